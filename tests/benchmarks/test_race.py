"""`perception bench`: turns, ratios, contenders in processes of their own."""

import importlib.util
import pkgutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception import cli
from perception.benchmarks import race
from perception.benchmarks.harness import pictures as pictures_
from perception.benchmarks.harness import timed_process
from perception.benchmarks.harness.timed_process import Lap, Task
from perception.benchmarks.race import Contender, Likeness, Result, Spread
from perception.commands.label import label
from perception.commands.request import LabelRequest
from perception.core import masks
from perception.core.errors import RequestError
from perception.formats import coco
from perception.models import registry

pytestmark = pytest.mark.models

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
WEIGHTS = DATA / "weights"
TASK = Task("images", "out", "yolo.onnx", "sam.pt")


def lap_of(rate: float, command_s: float = 10.0) -> Lap:
    """Return a lap of 11 images whose first took 2 s, in the second of its two calls."""
    return Lap(images=11, one_s=2.0, all_s=2.0 + 10 / rate, process_s=command_s + 4, peak_gb=1.5)


def test_the_first_image_and_the_loading_count_in_the_command_alone() -> None:
    one = Lap(images=11, one_s=2.0, all_s=7.0, process_s=12.5, peak_gb=None)
    assert one.images_per_s == 2.0  # ten images in five seconds
    assert one.command_s == 8.5


def test_contenders_take_turns_round_by_round() -> None:
    contenders = tuple(Contender(name, "m:f", TASK) for name in ("a", "b"))
    ran: list[tuple[str, int]] = []

    def run(contender: Contender, number: int) -> Lap:
        ran.append((contender.name, number))
        return lap_of(1.0 + number)

    laps = race.take_turns(contenders, 2, run)
    assert ran == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert [one.images_per_s for one in laps["b"]] == pytest.approx([1.0, 2.0])


def test_a_ratio_pairs_the_laps_of_a_round() -> None:
    # the machine halves its speed in the second round: the ratio stays
    ours, theirs = (lap_of(8), lap_of(4), lap_of(9)), (lap_of(1), lap_of(0.5), lap_of(1))
    found = race.ratio(ours, theirs, lambda one: one.images_per_s)
    assert (found.median, found.low, found.high) == pytest.approx((8, 8, 9))
    assert str(Spread(8, 7.5, 9)) == "8.00 (7.50 to 9.00)"


def test_json_has_the_ratios_of_each_mode_beside_the_raw_figures() -> None:
    laps = {
        "auto_annotate as shipped": (lap_of(0.5, 40),),
        "auto_annotate": (lap_of(1, 20),),
        "openvino loop": (lap_of(2, 12),),
        "fast": (lap_of(16, 4),),
        "exact": (lap_of(5, 5),),
        "detail": (lap_of(4, 6),),
    }
    result = Result(11, laps, {mode: Likeness(3, 0.9, 0.8) for mode in race.MODES})
    told = race.to_dict(result)
    assert told["ratios"] == pytest.approx({"fast": 16, "exact": 5, "detail": 4})
    assert told["ratios_openvino"] == pytest.approx({"fast": 8, "exact": 2.5, "detail": 2})
    assert told["ratios_command"] == pytest.approx({"fast": 5, "exact": 4, "detail": 20 / 6})
    assert told["spread"]["ratios"]["fast"] == pytest.approx([16, 16])
    assert told["contenders"]["fast"][0]["images_per_s"] == pytest.approx(16)
    assert told["mask_iou_with_fp32_pytorch"]["detail"]["least_iou"] == 0.8
    found = race.report(result)
    assert found.value["ratios"] == told["ratios"]
    rows = {row.what: row.figure.value for row in found.rows}
    assert rows["fast: times auto_annotate"] == pytest.approx(16)
    assert rows["exact: whole command"] == 5
    table = "\n".join(found.lines)
    assert "16.00 (16.00 to 16.00)" in table
    assert "fast: mask IoU with fp32 PyTorch 0.9000, least 0.8000, of 3 masks" in table


def test_repeated_images_are_other_names_of_the_same_files(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    source = pictures(tmp_path / "src", 3)
    assert pictures_.lay_out(str(source), tmp_path / "once", 1) == 3
    assert sorted(path.name for path in (tmp_path / "once").iterdir()) == [
        "000.png",
        "001.png",
        "002.png",
    ]
    assert pictures_.lay_out(str(source), tmp_path / "thrice", 3) == 9
    found = sorted((tmp_path / "thrice").iterdir())
    assert len(found) == 9
    assert [path.read_bytes() for path in found[3:6]] == [path.read_bytes() for path in found[:3]]
    assert pictures_.lay_out(str(source), tmp_path / "first", 1, limit=1) == 1


def test_images_of_one_name_are_told_apart(pictures: Callable[..., Path], tmp_path: Path) -> None:
    pictures(tmp_path / "src" / "a", 1)
    pictures(tmp_path / "src" / "b", 1)
    assert pictures_.lay_out(str(tmp_path / "src"), tmp_path / "flat", 1) == 2
    names = sorted(path.name for path in (tmp_path / "flat").iterdir())
    assert names == ["000000-000.png", "000001-000.png"]


def test_each_call_is_timed_in_a_process_of_its_own() -> None:
    seconds, _ = timed_process.call("builtins:repr", TASK, TASK)
    assert len(seconds) == 2
    assert all(0 <= one < 1 for one in seconds)
    with pytest.raises(RequestError, match="has no len"):
        timed_process.call("builtins:len", TASK)
    with pytest.raises(RequestError, match=r"source\.unknown|no such|io\.not_found"):
        timed_process.call(
            "perception.benchmarks.race:label_lap", replace(TASK, extra={"mode": "fast"})
        )


def test_a_lap_without_a_measurable_loop_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timed_process, "call", lambda entry, *tasks: ([2.5, 2.0, 1.9], None))
    with pytest.raises(RequestError, match="too few to measure"):
        timed_process.run_lap("m:f", TASK, "first", 2)


def test_masks_are_compared_box_by_box(pictures: Callable[..., Path], tmp_path: Path) -> None:
    source = pictures(tmp_path / "src", 3)
    run = label(LabelRequest(str(source), tmp_path / "run", "boxes", "bright")).folder
    assert race.compare_masks(run, run) == Likeness(3, 1.0, 1.0)
    for path in source.iterdir():
        cv2.imwrite(str(path), cv2.flip(cv2.imread(str(path)), 1))
    other = label(LabelRequest(str(source), tmp_path / "other", "boxes", "bright")).folder
    with pytest.raises(RequestError, match="the boxes of"):
        race.compare_masks(run, other)


def test_the_likeness_of_two_masks_is_their_iou() -> None:
    wide, half, none = np.ones((4, 4), bool), np.ones((4, 4), bool), np.zeros((4, 4), bool)
    half[2:] = False
    ours = masks.join(tuple(masks.encode_one(bits) for bits in (wide, wide, none)), (4, 4))
    theirs = masks.join(tuple(masks.encode_one(bits) for bits in (half, none, none)), (4, 4))
    assert race.likenesses(ours, theirs).tolist() == [0.5, 0.0, 1.0]


def test_what_cannot_race_is_refused(
    pictures: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = str(pictures(tmp_path / "src", 1))
    common = ["bench", "--images", images, "--segmenter", "boxes"]
    assert cli.run([*common, "--detector", "bright"]) == 2
    assert "expected an .onnx file" in capsys.readouterr().err
    assert cli.run([*common, "--detector", "bright", "--rounds", "0"]) == 2
    assert "--rounds and --repeat: expected 1 or more" in capsys.readouterr().err


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="the real weights are not beside the repository")
@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs openvino")
def test_both_rivals_label_the_same_objects(tmp_path: Path) -> None:
    for name, entry in registry.RIVALS.items():
        assert callable(pkgutil.resolve_name(entry)), name
    images = tmp_path / "images"
    street = DATA / "kitti_object" / "training" / "image_2" / "000008.png"
    pictures_.lay_out(str(street), images, 1)
    task = Task(
        str(images),
        str(tmp_path / "plain"),
        str(WEIGHTS / "yolov8n_int8.onnx"),
        str(WEIGHTS / "mobile_sam.pt"),
        threads=2,
        prepared=str(tmp_path / "prepared"),
    )
    timed_process.call(registry.RIVALS["auto_annotate"], task)
    timed_process.call(registry.RIVALS["prepare"], task)
    timed_process.call(registry.RIVALS["openvino"], replace(task, out=str(tmp_path / "openvino")))
    plain, quick = (
        [line.split() for line in (tmp_path / name / "000008.txt").read_text().splitlines()]
        for name in ("plain", "openvino")
    )
    assert len(plain) >= 3  # cars
    assert abs(len(quick) - len(plain)) <= 1  # int8 boxes differ between the runtimes
    assert {line[0] for line in quick} & {line[0] for line in plain}


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="the real weights are not beside the repository")
def test_our_contender_writes_a_coco_file(pictures: Callable[..., Path], tmp_path: Path) -> None:
    task = Task(
        str(pictures(tmp_path / "src", 1)),
        str(tmp_path / "out"),
        str(WEIGHTS / "yolov8n_int8.onnx"),
        str(WEIGHTS / "mobile_sam.pt"),
        extra={"mode": "fast"},
    )
    race.label_lap(task)
    assert len(coco.read(tmp_path / "out" / "coco.json")) == 1
