"""KITTI's label_2 as truth: boxes on images, points in 3D boxes, what is ignored and not known."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from perception.commands.label import label
from perception.commands.request import LabelRequest
from perception.core.errors import PerceptionError
from perception.evaluation import evaluate, evaluate_labels, read_truth
from perception.evaluation.truth import BACKGROUND, VOID

PERSON, CAR, OTHER = 1, 6, 11
CALIB = (
    "P2: 60 0 40 0 0 60 30 0 0 0 1 0\nR0_rect: 1 0 0 0 1 0 0 0 1\n"
    "Tr_velo_to_cam: 0 -1 0 0 0 0 -1 0 1 0 0 0\n"
)
LABELS = (  # type, ..., box, height width length, bottom centre, turn
    "Car 0 0 0 28 24 52 36 2 2 4 0 1 10 0\n"
    "DontCare -1 -1 -10 60 0 80 60 -1 -1 -1 -1000 -1000 -1000 -10\n"
    "Pedestrian 0 0 0 48 24 55 36 2 1 1 1.9 1 10 0\n"
    "Misc 0 0 0 37 27 43 33 2 2 2 0 1 20 0\n"
)
# (forward, left, up): what it is, class, instance (the row in the file)
POINTS = (
    ((10, 0, 0), "in the car", CAR, 1),
    ((10, 0, -1.05), "under its bottom, which does not grow", BACKGROUND, 0),
    ((10, 0, 1.05), "over its top, which grows by 0.1 m", CAR, 1),
    ((10, 2.05, 0), "beside its end, which grows too", CAR, 1),
    ((10, 2.15, 0), "farther beside it", BACKGROUND, 0),
    ((-10, 0, 0), "behind the camera: nobody annotated it", VOID, 0),
    ((10, -5, 0), "in a DontCare region", VOID, 0),
    ((10, -1.5, 0), "in the car and the pedestrian", VOID, 0),
    ((10, -2.4, 0), "in the pedestrian", PERSON, 3),
    ((20, 0, 0), "in a Misc object", VOID, 0),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two frames; the second has no label file."""
    base = tmp_path / "kitti" / "training"
    for name in ("image_2", "calib", "velodyne", "label_2"):
        (base / name).mkdir(parents=True)
    points = np.array([(*place, 0) for place, *_ in POINTS], "<f4")
    for frame in ("000000", "000001"):
        cv2.imwrite(str(base / "image_2" / f"{frame}.png"), np.zeros((60, 80, 3), np.uint8))
        (base / "calib" / f"{frame}.txt").write_text(CALIB)
        (base / "velodyne" / f"{frame}.bin").write_bytes(points.tobytes())
    (base / "label_2" / "000000.txt").write_text(LABELS)
    return tmp_path / "kitti"


def test_points_are_those_of_the_box_they_lie_in(make: SimpleNamespace, root: Path) -> None:
    truth = read_truth(f"kitti:{root}", make.road)
    points = truth.find_points("000000", len(POINTS))
    assert points is not None
    assert make.named(points, POINTS) == [tuple(expected) for _, *expected in POINTS]
    assert points.seen.tolist() == [what[:6] != "behind" for _, what, *_ in POINTS]
    assert truth.find_points("000001", len(POINTS)) is None  # without a label file
    with pytest.raises(PerceptionError, match=r"label\.count_mismatch: .* the run labelled 3"):
        truth.find_points("000000", 3)


def test_boxes_judge_boxes_and_dont_care_is_neither_right_nor_false(
    make: SimpleNamespace, root: Path
) -> None:
    truth = read_truth(f"kitti:{root}", make.road)
    name = "training/image_2/000000.png"
    picture = truth.find_picture(name)
    assert picture is not None and truth.find_picture("training/image_2/000001.png") is None
    assert picture.ignored.tolist() == [False, True, False, True]
    np.testing.assert_allclose(picture.ranges_m[[0, 2]], [10, np.hypot(1.9, 10)], rtol=1e-6)
    # The car by a ring that fills half its box: the box around it is right. A car in the DontCare
    # region and one on the Misc object do not count, a car where nothing is does. The class of
    # the Misc object is not judged. The pedestrian is missed.
    ring = make.bitmap((28, 24, 52, 36)) & ~make.bitmap((30, 26, 50, 34))
    shapes = [ring, (62, 10, 78, 30), (37, 27, 43, 33), (0, 40, 20, 50), (37, 27, 43, 33)]
    labels = make.labelled(shapes, [CAR] * 4 + [OTHER], name=name)
    points = make.point_labels([CAR] * 5 + [0] * 5, [1] * 5 + [0] * 5)
    report = evaluate_labels([make.sample(labels, id="000000", points=points)], truth)
    assert report.figure("labels", "all", "precision").value == 1 / 2
    assert report.figure("labels", "all", "recall").value == 1 / 2
    assert report.figure("labels", "car", "precision 75").value == 1 / 2
    assert report.figure("labels", "10-20 m", "recall").value == 1 / 2
    assert report.figure("ap", "box", "AP").value == pytest.approx(1 / 2)  # car 1, person 0
    assert dict(report.counts)["labels of classes that the truth does not know"] == 1
    for row, column in (("mask", "AP"), ("boundary", "AP50")):
        assert report.figure("ap", row, column).value is None
    for column in ("IoU of matches", "Dice of matches", "boundary IoU", "IoU of objects"):
        assert report.figure("labels", "all", column).value is None
    assert not {"yield", "panoptic"} & report.to_dict()["tables"].keys()
    assert "The truth holds boxes and no masks" in report.notes[0]
    # the five that are labelled: three of the car, two of the road; the ground truth has three
    assert report.figure("points.seen.iou", "car", "all").value == 3 / 5


@pytest.mark.slow
def test_kitti_alone_means_the_root_of_the_run(root: Path, tmp_path: Path) -> None:
    (root / "training" / "image_2" / "000001.png").unlink()
    run = tmp_path / "run"
    label(LabelRequest(f"kitti:{root}", run, "boxes", boxes="label_2"))
    report = evaluate(run, "kitti")
    assert report == evaluate(run, f"kitti:{root}")
    # not AP: the pedestrian takes a strip of the box of the car
    assert report.figure("ap", "box", "AP50").value == pytest.approx(1.0)
    label(LabelRequest(f"images:{root}/training/image_2", tmp_path / "p", "boxes", "bright"))
    with pytest.raises(PerceptionError, match=r"truth\.unknown: .*give kitti:ROOT"):
        evaluate(tmp_path / "p", "kitti")


def test_objects_without_3d_boxes_are_known_on_the_image_alone(
    make: SimpleNamespace, root: Path
) -> None:
    """Label files made for images have -1 and -1000, or 0: that is no box at 1,414 m."""
    path = root / "training" / "label_2" / "000000.txt"
    flat = "Car 0 0 -10 28 24 52 36 -1 -1 -1 -1000 -1000 -1000 -10\n"
    person = "Pedestrian 0 0 0 48 24 55 36 0 0 0 0 0 0 0\n"
    name = "training/image_2/000000.png"
    path.write_text(flat + person)
    truth = read_truth(f"kitti:{root}", make.road)
    picture = truth.find_picture(name)
    assert picture is not None and np.isnan(picture.ranges_m).all()
    assert truth.find_points("000000", len(POINTS)) is None
    points = make.point_labels([CAR] * len(POINTS), [1] * len(POINTS))
    labels = make.labelled([(28, 24, 52, 36), (48, 24, 55, 36)], [CAR, PERSON], name=name)
    report = evaluate_labels([make.sample(labels, id="000000", points=points)], truth)
    assert dict(report.counts)["sweeps without truth, left out"] == 1
    assert not [table.name for table in report.tables if table.name.startswith(("points", "box"))]
    assert report.figure("labels", "all", "recall").value == 1.0
    path.write_text(flat + LABELS.splitlines()[2])
    mixed = read_truth(f"kitti:{root}", make.road).find_points("000000", len(POINTS))
    assert mixed is not None
    # what projects into the car's box is not known; the pedestrian still has its points
    expected = {"in the car": VOID, "farther beside it": BACKGROUND, "in the pedestrian": PERSON}
    assert {
        what: int(class_id)
        for (_, what, *_), class_id in zip(POINTS, mixed.class_ids, strict=True)
        if what in expected
    } == expected
    boxes = read_truth(f"kitti:{root}", make.road).find_cuboids("000000")
    assert boxes is not None and boxes.instance_ids.tolist() == [2]
