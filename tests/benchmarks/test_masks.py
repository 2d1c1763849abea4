"""`perception bench masks`: what is compared with what."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception import cli
from perception.benchmarks import masks
from perception.benchmarks.harness import scores
from perception.benchmarks.harness.scores import Score
from perception.core.errors import RequestError
from perception.models.fakes import BoxFiller

CAR, ROAD = 26, 7


def no_progress(done: int, total: int, name: str = "") -> None:
    """Say nothing."""


@pytest.fixture
def cityscapes(tmp_path: Path, draw: Callable[..., Path]) -> Path:
    """A square car, a car that fills half of its box, one too small, and a group."""
    root = tmp_path / "cityscapes"
    draw(root / "a_leftImg8bit.png", (0, 0, 9, 9, 255), size_hw=(200, 300))
    ids = np.full((200, 300), ROAD, np.uint16)
    ids[10:40, 10:40] = CAR * 1000
    ids[100:140, 100:120] = CAR * 1000 + 1
    ids[100:120, 120:140] = CAR * 1000 + 1
    ids[180:199, 0:20] = CAR * 1000 + 2  # 380 pixels
    ids[10:60, 190:240] = CAR
    cv2.imwrite(str(root / "a_gtFine_instanceIds.png"), ids)
    return root


def test_boxes_of_true_things_are_compared_with_their_masks(cityscapes: Path) -> None:
    found = masks.compare(cityscapes, BoxFiller(), no_progress)
    assert [(one.size, one.overlap, one.union) for one in found] == [
        (900, 900, 900),
        (1200, 1200, 1600),
    ]
    with pytest.raises(RequestError, match=r"source\.empty"):
        masks.compare(cityscapes / "none", BoxFiller(), no_progress)


def test_the_verb_prints_and_sums_up(cityscapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokens = ["bench", "masks", str(cityscapes), "--segmenter", "boxes"]
    assert cli.run([*tokens, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"objects": 2, "pooled_iou": 0.84, "mean_iou": 0.875, "min_iou": 0.75}
    assert cli.run(tokens) == 0
    assert "objects 2, pooled_iou 0.84" in capsys.readouterr().out


def test_rows_have_the_figures_of_the_summary() -> None:
    report = scores.report((Score("a", "car", 4, 2, 4), Score("b", "car", 4, 4, 4)), "px")
    assert {row.what: row.figure.value for row in report.rows} == {
        "objects": 2,
        "pooled IoU": 0.75,
        "mean IoU": 0.75,
        "least IoU": 0.5,
    }
    with pytest.raises(RequestError, match=r"truth\.empty: here: there is nothing"):
        scores.some([], "here")
