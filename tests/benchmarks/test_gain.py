"""The gain: same images and classes for every arm, nothing done twice, verdicts that follow."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("open3d")

import numpy as np

from perception.benchmarks import gain
from perception.benchmarks.gain import (
    ARMS,
    PAIRS,
    Gain,
    GainConfig,
    GainRequest,
    Verdict,
    measure_gain,
)
from perception.commands.label import label
from perception.commands.request import LabelRequest
from perception.commands.results import Run
from perception.commands.train import TrainRequest
from perception.core.errors import RequestError
from perception.evaluation import Figure, evaluate
from perception.evaluation.pooled import mask_precision
from perception.formats import yolo
from perception.runs import folder, records
from perception_open3d.caster import load_caster

pytestmark = pytest.mark.models

CONFIG = GainConfig(frames=2, val_frames=1, test_frames=3, epochs=1, image_px=64, seeds=2)


class FakeTraining:
    """Stands for the trainer: leaves a card, and fails where it is told to."""

    def __init__(self) -> None:
        self.requests: list[TrainRequest] = []
        self.fail_at = ""

    def __call__(self, request: TrainRequest) -> dict[str, object]:
        self.requests.append(request)
        request.out.mkdir(parents=True)  # refuses what an earlier call left
        (request.out / "best.onnx").write_bytes(b"half")
        if request.out.name == self.fail_at:
            raise KeyboardInterrupt
        records.write_json(request.out / "card.json", {})
        return {}


def label_like_a_student(request: LabelRequest) -> Run:
    """Label with true boxes where the student learned true masks; elsewhere find nothing."""
    if not request.segmenter.endswith("best.onnx"):
        return label(request)
    assert request.detector == request.segmenter
    drive = request.source.removeprefix("kitti:")
    knows = Path(request.segmenter).parent.name.startswith("truth-")
    boxes, detector = (f"{drive}/truth.json", "") if knows else ("", "bright")
    return label(replace(request, segmenter="boxes", boxes=boxes, detector=detector, class_map=""))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Gain, FakeTraining]:
    """Measure once: the trainer dies at the sixth student, the second call ends the work."""
    training = FakeTraining()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gain, "train", training)
        patch.setattr(gain, "label", label_like_a_student)
        out = tmp_path_factory.mktemp("gain") / "out"
        request = GainRequest(out, "bright", "boxes", CONFIG)
        caster = load_caster()
        training.fail_at = "sam-1"
        with pytest.raises(KeyboardInterrupt):
            measure_gain(request, caster, lambda step: None)
        training.fail_at = ""
        measured = measure_gain(request, caster, lambda step: None)
        assert measured == measure_gain(request, caster, lambda step: None)
    return out, measured, training


def test_what_is_finished_is_not_trained_again(made: tuple[Path, Gain, FakeTraining]) -> None:
    names = [request.out.name for request in made[2].requests]
    expected = [f"{arm}-{seed}" for seed in range(2) for arm in ARMS]
    assert sorted(names) == sorted([*expected, "sam-1"])  # once more: it was cut off
    assert names[:4] == expected[:4]  # whole seeds first


def test_arms_have_the_same_images_and_classes(made: tuple[Path, Gain, FakeTraining]) -> None:
    exports = made[0] / "exports"
    for part, count in (("train", 2), ("val", 1)):
        images = {
            arm: sorted(path.name for path in (exports / arm / part / "images").rglob("*.png"))
            for arm in ARMS
        }
        assert len(images["truth"]) == count
        assert all(names == images["truth"] for names in images.values())
        classes = {yolo.read_names(exports / arm / part / "data.yaml") for arm in ARMS}
        assert len(classes) == 1
    for request in made[2].requests:
        arm, seed = request.out.name.split("-")
        assert request.data == exports / arm / "train"
        assert request.val == exports / arm / "val"
        assert request.config.seed == int(seed)
        assert request.model == "yolo11n-seg.yaml"


def test_true_boxes_keep_the_classes_of_the_truth(made: tuple[Path, Gain, FakeTraining]) -> None:
    """KITTI's label_2 calls a bus Misc, and the arms would differ in their classes."""
    out = made[0]
    for run in (out / "labels" / "sam" / "train", out / "labels" / "boxes" / "train"):
        spec = folder.read_spec(run)
        assert spec.detector.file_name == "truth.json"
        assert spec.class_map.target == spec.class_map.source == "road"


def test_results_follow_from_the_students(made: tuple[Path, Gain, FakeTraining]) -> None:
    out, measured, _ = made
    arms = {one.arm: one for one in measured.arms}
    assert list(arms) == list(ARMS)
    assert all(one.images == 2 for one in measured.arms)
    judged = arms["boxes"].labels + sum(arms["boxes"].left_out.values())
    assert 0 < arms["boxes"].labels < judged == arms["truth"].labels  # a hidden box loses its mask
    assert arms["truth"].figures["AP"].value > 0.02  # boxes for masks
    assert arms["boxes"].figures["AP"].value < arms["truth"].figures["AP"].value
    assert len(arms["truth"].by_seed["AP"]) == 2
    words = {(one.arm, one.other): one.word for one in measured.verdicts}
    assert tuple(words) == PAIRS
    assert words["sam", "truth"] == "worse"
    assert words["boxes", "sam"] == "not told apart"  # both find the same nothing
    stored = records.read_json(out / "gain.json")
    assert stored == measured.to_dict() | {"arms": stored["arms"], "verdicts": stored["verdicts"]}
    assert stored["arms"]["truth"]["figures"]["AP"]["value"] == arms["truth"].figures["AP"].value
    table = "\n".join(measured.report().lines)
    assert "SAM masks from true boxes: worse than true masks, AP difference -0." in table


def test_a_run_has_the_figures_and_intervals_of_evaluate(
    made: tuple[Path, Gain, FakeTraining],
) -> None:
    run, drive = made[0] / "runs" / "truth-0", str(made[0] / "drives" / "test")
    found, report = mask_precision(run, drive), evaluate(run, drive)
    assert dict(report.counts)["true objects"] == found.objects
    for column in ("AP", "AP50", "AP75"):
        figure = report.figure("ap", "mask", column)
        assert found.values[column] == figure.value
        low, high = np.percentile(found.draws[column], (2.5, 97.5))
        assert figure.low == min(low, found.values[column])
        assert figure.high == max(high, found.values[column])


def test_other_settings_and_other_folders_are_refused(
    made: tuple[Path, Gain, FakeTraining], tmp_path: Path
) -> None:
    more = CONFIG.model_copy(update={"epochs": 2})
    with pytest.raises(RequestError, match=r"gain\.mismatch.*epochs"):
        measure_gain(GainRequest(made[0], "bright", "boxes", more), load_caster(), print)
    with pytest.raises(RequestError, match=r"gain\.mismatch.*grabcut"):
        measure_gain(GainRequest(made[0], "bright", "grabcut", CONFIG), load_caster(), print)
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(RequestError, match=r"output\.exists"):
        measure_gain(GainRequest(tmp_path, "bright", "boxes", CONFIG), load_caster(), print)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_picture_that_cannot_be_labelled_stops_the_measurement(tmp_path: Path) -> None:
    config = GainConfig(frames=1, val_frames=1, test_frames=1)
    request = GainRequest(tmp_path / "out", "bright", "boxes", config)
    gain._synthesize(request.out / "drives" / "train", "train", config, load_caster())
    (picture,) = (request.out / "drives" / "train").rglob("image_2/*.png")
    picture.write_bytes(b"\x89PNG no more")
    with pytest.raises(RequestError, match=r"gain\.quarantined"):
        gain._export(request, "boxes", "train")


@pytest.mark.parametrize(
    ("figure", "word"),
    [
        (Figure(0.2, 0.1, 0.3), "better"),
        (Figure(-0.2, -0.3, -0.1), "worse"),
        (Figure(0.1, -0.1, 0.3), "not told apart"),
        (Figure(0.1, 0.0, 0.3), "not told apart"),
        (Figure(0.1), "not told apart"),  # one scene: no interval
        (Figure(None), "not told apart"),  # no object
    ],
)
def test_a_verdict_needs_an_interval_without_zero(figure: Figure, word: str) -> None:
    assert Verdict("sam", "truth", figure).word == word


def test_a_student_of_one_step_is_trained_and_judged(tmp_path: Path) -> None:
    if not find_spec("ultralytics"):
        pytest.skip("training needs ultralytics")
    config = GainConfig(frames=2, val_frames=1, test_frames=1, epochs=1, image_px=96, batch=2)
    request = GainRequest(tmp_path / "out", "bright", "boxes", config)
    for part in ("train", "val", "test"):
        gain._synthesize(request.out / "drives" / part, part, config, load_caster())
    for part in ("train", "val"):
        gain._export(request, "truth", part)
    found = gain._student(request.out, "truth", 0, config)
    assert found.objects > 0
    assert 0 <= found.values["AP"] <= 1
    card = records.read_json(request.out / "students" / "truth-0" / "card.json")
    assert card["data"]["images"] == 2
    spec = folder.read_spec(request.out / "runs" / "truth-0")
    assert spec.segmenter.kind == "yolo-seg"
    assert spec.segmenter.sha256 == spec.detector.sha256 == card["sha256"]["best.onnx"]
    assert spec.config.observe.min_score == gain.STUDENT_FLOOR
