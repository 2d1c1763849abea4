"""`perception bench settings`: prompts from true masks, and tables by size."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from perception import cli
from perception.benchmarks import settings
from perception.benchmarks.harness import timed_process
from perception.benchmarks.harness.timed_process import Task
from perception.benchmarks.settings import Row, Setting
from perception.core import masks
from perception.core.errors import RequestError
from perception.core.types import Masks, Prompt


def drawn(*bitmaps: np.ndarray) -> Masks:
    return masks.join(tuple(masks.encode_one(bits) for bits in bitmaps), bitmaps[0].shape)


def test_the_deepest_point_of_a_square_is_its_middle_and_the_next_one_lies_elsewhere() -> None:
    bits = np.zeros((9, 19), bool)
    bits[1:8, 1:8] = True  # 7 x 7
    bits[3:6, 12:15] = True  # 3 x 3
    assert settings.deepest_points(bits, 2) == [(4, 4), (13, 4)]
    assert settings.deepest_points(np.zeros((4, 4), bool), 3) == []
    assert settings.deepest_points(np.ones((1, 1), bool), 3) == [(0, 0)]


def test_prompts_are_scaled_with_the_image() -> None:
    bits = np.zeros((20, 40), bool)
    bits[4:9, 10:15] = True  # 5 x 5: its middle is the pixel (12, 6)
    objects = drawn(bits)
    assert settings.prompt_of(objects, 0, "box", 1.0) == Prompt(box_xyxy=(10, 4, 15, 9))
    assert settings.prompt_of(objects, 0, "1 point", 2.0) == Prompt(points=((25, 13, 1),))
    both = settings.prompt_of(objects, 0, "box and point", 0.5)
    assert both == Prompt(box_xyxy=(5, 2, 7.5, 4.5), points=((6.25, 3.25, 1),))


def test_masks_of_a_scaled_image_are_compared_at_full_size() -> None:
    truth = np.zeros((8, 8), bool)
    truth[:4, :4] = True
    small = np.zeros((4, 4), bool)
    small[:2, :1] = True  # half of it
    assert settings._scores(drawn(truth), drawn(small)) == [(16, 0.5)]
    assert settings._scores(drawn(truth), drawn(truth)) == [(16, 1.0)]
    assert settings._scores(drawn(truth), drawn(np.zeros((8, 8), bool))) == [(16, 0.0)]


def test_a_row_has_a_mean_for_each_size_that_occurs() -> None:
    row = Row(Setting("fast", "openvino", "fp32"), 2.0, None, (1023, 1024, 9216), (0.2, 0.4, 0.9))
    assert [row.mean_iou(name) for name in settings.SIZES_PX] == [0.2, 0.4, 0.9]
    assert row.mean_iou() == pytest.approx(0.5)
    alone = Row(row.setting, 2.0, 1.5, (10,), (0.3,))
    assert alone.mean_iou("large") is None
    found = settings.report([row, alone])
    kept = {one.what: one.figure.value for one in found.rows}
    assert kept["fast, openvino, fp32, own, box: images/s"] == 2.0
    table = found.lines
    assert table[0].split()[:3] == ["mode", "backend", "precision"]
    assert table[1].split() == [
        *("fast", "openvino", "fp32", "own", "box"),
        *("0.500", "0.200", "0.400", "0.900", "2.00", "-"),
    ]
    assert table[-1] == "3 true objects: 1 small, 1 medium, 1 large"


@pytest.mark.parametrize("bf16", [True, False])
def test_every_setting_has_a_process_of_its_own(
    bf16: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, draw: Callable[..., Path]
) -> None:
    weights = tmp_path / "sam.pt"
    monkeypatch.setattr(settings, "has_bf16", lambda: bf16)
    monkeypatch.setattr(
        settings.registry, "choose_segmenter", lambda text: type("Choice", (), {"path": weights})
    )
    ran: list[Setting] = []

    def call(entry: str, task: Task) -> tuple[list[float], float]:
        assert entry == settings.ENTRY
        ran.append(Setting(**task.extra))
        answer = {"images_per_s": 2.0, "sizes_px": [50], "ious": [0.5]}
        Path(task.out).write_text(json.dumps(answer))
        return [1.0], 0.7

    monkeypatch.setattr(timed_process, "call", call)
    rows = settings.measure(tmp_path, "sam.pt", (512,), tmp_path, lambda text: None)
    assert [row.setting for row in rows] == ran
    assert len(ran) == 3 * (4 if bf16 else 2) + len(settings.PROMPTS)
    assert len(set(ran)) == len(ran)
    assert rows[0].to_dict()["mean_iou_by_size"] == {"small": 0.5, "medium": None, "large": None}
    with pytest.raises(RequestError, match="--sides"):
        settings.measure(tmp_path, "sam.pt", (-1,), tmp_path, lambda text: None)


def test_a_folder_without_truth_is_refused(
    tmp_path: Path, pictures: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    source = pictures(tmp_path / "src", 1)
    assert cli.run(["bench", "settings", str(source), "--segmenter", "no.pt"]) == 2
    assert "weights.missing" in capsys.readouterr().err
