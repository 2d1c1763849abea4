"""The last line of `label`: where the pictures are, if there are any, and of how many samples."""

from pathlib import Path
from typing import Any

import pytest

from perception.cli import labels
from perception.commands.results import Run


def counts(samples: int, quarantined: int = 0) -> dict[str, Any]:
    ok = samples - quarantined
    return {"samples": {"input": samples, "ok": ok, "empty": 0, "quarantined": quarantined}}


def last_line(run: Run, capsys: pytest.CaptureFixture[str]) -> str:
    labels._show_run(run, as_json=False)
    return capsys.readouterr().out.splitlines()[-1]


def test_pictures_are_named_where_they_are_and_no_further(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "preview" / "a").mkdir(parents=True)
    few = Run(tmp_path, counts(100), "runs/a")
    assert last_line(few, capsys) == "labels in runs/a; no pictures were drawn"
    (tmp_path / "preview" / "a" / "b.jpg").touch()
    assert last_line(few, capsys) == "labels in runs/a, pictures in runs/a/preview"
    many = Run(tmp_path, counts(101), "runs/a")
    assert "pictures of the first 100 of 101 samples in runs/a/preview" in last_line(many, capsys)


def test_a_run_in_a_bucket_is_believed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = tmp_path / "gone"
    assert last_line(Run(gone, counts(2), "s3://b/r"), capsys).endswith("s3://b/r/preview")
    lost = Run(gone, counts(0), "s3://b/r")
    assert last_line(lost, capsys).endswith("no pictures were drawn")
