"""`perception bench segment`: time and memory by the number of boxes."""

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
