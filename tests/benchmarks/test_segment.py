"""`perception bench segment` and `memory`: time and memory by the number of boxes."""

import json

import pytest

from perception import cli


@pytest.mark.slow
def test_growth_in_boxes_is_measured_for_each_number(capsys: pytest.CaptureFixture[str]) -> None:
    common = ["bench", "segment", "--segmenter", "boxes"]
    assert cli.run([*common, "--size", "4K"]) == 2
    assert "expected WIDTHxHEIGHT" in capsys.readouterr().err
    assert cli.run([*common, "--size", "640x480", "--boxes", "0", "--boxes", "3", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["boxes"] for row in rows] == [0, 3]
    assert all(row["peak_gb"] > 0 for row in rows)


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    tokens = ["bench", "memory", "--segmenter", "boxes", "--boxes", "3", "--json"]
    assert cli.run([*tokens, "--width", "640", "--height", "480"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 0 < found["loaded_gb"] <= found["peak_gb"] < 2 and found["seconds"] < 10
    assert cli.run(["bench", "memory", "--segmenter", "none.pt"]) == 2
    assert "bench.failed" in capsys.readouterr().err
