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


@pytest.mark.slow
def test_a_drive_is_made_labelled_and_measured(tmp_path: Path) -> None:
    drive, run, page = tmp_path / "drive", tmp_path / "run", tmp_path / "report.html"
    card = perception("synthesize", drive, "--frames", 1, "--seed", 5)
    assert card["frames"] == 1
    perception(
        *("label", f"kitti:{drive}", "--boxes", "label_2"),
        *("--segmenter", "boxes", "--out", run),
    )
    licences = json.loads((run / "run.json").read_text())["licences"]
    assert licences["source"] == "CC0-1.0"  # KITTI's layout, not its licence
    report = perception("evaluate", run, "--truth", drive, "--page", page)
    tables = report["tables"]
    assert isinstance(tables, dict)
    box = tables["ap"]["rows"]["box"]["AP50"]["value"]
    mask = tables["labels"]["rows"]["all"]["IoU of objects"]["value"]
    assert box > 0.9  # the prompts are the true boxes
    assert 0.2 < mask < 0.9  # boxes filled are poor masks
    assert page.read_text().startswith("<!")


@pytest.mark.slow
def test_the_truth_of_a_drive_is_exported_like_labels(tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    tokens = ("--frames", 2, "--seed", 6, "--scene-frames", 1, "--stride", 5)
    card = perception("synthesize", drive, *tokens)
    assert (card["scene_frames"], card["stride_s"]) == (1, 0.5)
    perception("export", drive, "--to", "coco", "--out", tmp_path / "again.json")
    again, truth = (
        json.loads(path.read_text()) for path in (tmp_path / "again.json", drive / "truth.json")
    )
    for row in (*again["annotations"], *truth["annotations"]):
        row.pop("camera")  # not in the file that is read
    assert again["annotations"] == truth["annotations"]
    exports = perception("export", drive, "--to", "yolo", "--out", tmp_path / "yolo")["exports"]
    assert isinstance(exports, list)
    written = exports[0]["written"]
    large = sum(not row["iscrowd"] for row in truth["annotations"])
    assert written["labels"] == large > 0
    rows = [path.read_text() for path in (tmp_path / "yolo" / "labels").rglob("*.txt")]
    assert sum(len(text.splitlines()) for text in rows) == large
