"""`perception demo`: one command, and a page that says how good the labels are."""

import importlib
import json
from pathlib import Path

import pytest

from perception import cli


@pytest.mark.slow
def test_one_command_makes_a_drive_labels_and_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr(importlib.import_module("perception.cli.demo"), "FRAMES", 1)
    out = tmp_path / "demo"
    assert cli.run(["demo", str(out), "--offline", "--json"]) == cli.FINE
    told = json.loads(capsys.readouterr().out)
    assert told["masks"] == "grabcut" and Path(told["page"]).is_file()
    assert (out / "drive" / "training" / "velodyne" / "000000.bin").is_file()
    run = json.loads((out / "run" / "run.json").read_bytes())
    assert run["counts"]["samples"]["input"] == 1
    assert cli.run(["demo", str(out), "--offline"]) == cli.USAGE
    assert "output.exists" in capsys.readouterr().err
    assert not (tmp_path / "empty").exists()  # nothing was fetched
