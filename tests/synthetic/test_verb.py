"""From nothing to figures on the command line: a drive, its labels, their evaluation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("open3d")

ROOT = Path(__file__).parents[2]


def perception(*tokens: object) -> dict[str, object]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "integrations")])
    done = subprocess.run(
        [sys.executable, "-m", "perception.cli", *(str(token) for token in tokens), "--json"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    value: dict[str, object] = json.loads(done.stdout)
    return value


def test_a_drive_is_made_labelled_and_measured(tmp_path: Path) -> None:
    drive, run, page = tmp_path / "drive", tmp_path / "run", tmp_path / "report.html"
    card = perception("synthesize", drive, "--frames", 1, "--seed", 5)
    assert card["frames"] == 1
    perception(
        *("label", f"kitti:{drive}", "--boxes", "label_2"),
        *("--segmenter", "boxes", "--out", run),
    )
    report = perception("evaluate", run, "--truth", drive, "--page", page)
    tables = report["tables"]
    assert isinstance(tables, dict)
    box = tables["ap"]["rows"]["box"]["AP50"]["value"]
    mask = tables["labels"]["rows"]["all"]["IoU of objects"]["value"]
    assert box > 0.9  # the prompts are the true boxes
    assert 0.2 < mask < 0.9  # boxes filled are poor masks
    assert page.read_text().startswith("<!")
