"""`perception bench memory`: the peak of many boxes on a large image."""

import json

import pytest

from perception import cli


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    tokens = ["bench", "memory", "--segmenter", "boxes", "--boxes", "3", "--json"]
    assert cli.run([*tokens, "--width", "640", "--height", "480"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 0 < found["loaded_gb"] <= found["peak_gb"] < 2 and found["seconds"] < 10
    assert cli.run(["bench", "memory", "--segmenter", "none.pt"]) == 2
    assert "bench.failed" in capsys.readouterr().err
