"""Points: by hand, by range, by what is seen, and against semantic-kitti-api."""

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from perception.core.types import Status
from perception.evaluation import Report, evaluate_labels
from perception.evaluation.panoptic import mean_qualities, qualities
from perception.evaluation.points import RINGS, count_points, prompted, range_rings
from perception.evaluation.tables import class_ious
from perception.evaluation.truth import vocabulary_of

PERSON, CAR, VAN = 1, 6, 7


def report_of(
    make: SimpleNamespace,
    points: Any,
    true: Any,
    *,
    sweep: Any = None,
    picture: Any = None,
    truths: tuple[Any, ...] = (),
) -> Report:
    labels = make.labelled([(0, 0, 9, 9), (10, 0, 19, 9)]) if picture is None else picture
    return evaluate_labels(
        [make.sample(labels, points=points)],
        make.truth_of(truths, {"0": true}),
        sweep_of=None if sweep is None else (lambda sample_id: np.asarray(sweep, np.float32)),
    )


def test_iou_per_class_and_coverage_by_hand(make: SimpleNamespace) -> None:
    # 10 points: 4 of a car (3 found, 1 unknown), 2 of a person (called a car), 4 of nothing (1
    # called a car, 3 background). Car: 3 in common, 4 true, 6 predicted.
    true = make.true_points([CAR] * 4 + [PERSON] * 2 + [0] * 4, [1] * 4 + [2] * 2 + [0] * 4)
    ours = make.point_labels([CAR] * 7 + [0] * 3, [1] * 4 + [2] * 3 + [0] * 3, unknown=[3])
    report = report_of(make, ours, true)
    assert report.figure("points.all.iou", "car", "all").value == pytest.approx(3 / 7)
    assert report.figure("points.all.iou", "person", "all").value == 0.0
    assert report.figure("points.all.iou", "mIoU", "all").value == pytest.approx(3 / 14)
    assert report.figure("points.all.iou", "mIoU", "all").n == 6

    def covered(group: str, kind: str) -> float | None:
        return report.figure("points.all.coverage", f"{group}: {kind}", "all").value

    assert covered("all points", "accepted") == pytest.approx(6 / 10)
    assert covered("all points", "unknown") == pytest.approx(1 / 10)
    assert covered("all points", "background") == pytest.approx(3 / 10)
    assert covered("points on objects", "accepted") == pytest.approx(5 / 6)
    assert covered("points on objects", "unknown") == pytest.approx(1 / 6)
    assert "points.seen.iou" not in report.to_dict()["tables"]  # no flags were given


def test_a_class_that_the_truth_lacks_has_iou_0_and_no_part_in_the_mean(
    make: SimpleNamespace,
) -> None:
    true = make.true_points([CAR, CAR, 0], [1, 1, 0])
    report = report_of(make, make.point_labels([CAR, CAR, PERSON], [1, 1, 2]), true)
    assert report.figure("points.all.iou", "person", "all").value == 0.0
    assert report.figure("points.all.iou", "mIoU", "all").value == 1.0


def test_points_of_instances_for_review_are_not_predicted(make: SimpleNamespace) -> None:
    true = make.true_points([CAR] * 4, [1] * 4)
    ours = make.point_labels([CAR] * 4, [1, 1, 2, 2])
    picture = make.labelled(
        [(0, 0, 9, 9), (10, 0, 19, 9)], statuses=[Status.ACCEPTED, Status.REVIEW]
    )
    report = report_of(make, ours, true, picture=picture)
    assert report.figure("points.all.iou", "car", "all").value == 0.5
    rows = report.table("points.all.coverage")
    assert rows.figure("all points: not accepted", "all").value == 0.5


def test_points_that_no_camera_sees_are_left_out_of_one_view_and_void_of_both(
    make: SimpleNamespace,
) -> None:
    true = make.true_points([CAR, CAR, CAR, -1], [1, 1, 1, 0], [True, True, False, True])
    ours = make.point_labels([CAR, 0, 0, CAR], [1, 0, 0, 1])
    report = report_of(make, ours, true)
    assert report.figure("points.seen.iou", "car", "all").value == 0.5
    assert report.figure("points.all.iou", "car", "all").value == pytest.approx(1 / 3)


def test_points_of_objects_that_are_ignored_on_the_image_are_left_out_of_what_is_seen(
    make: SimpleNamespace,
) -> None:
    true = make.true_points([CAR, CAR, CAR, CAR], [1, 1, 2, 2], [True] * 4)
    ours = make.point_labels([CAR, CAR, 0, 0], [1, 1, 0, 0])
    truth = make.true_picture([(0, 0, 9, 9), (50, 0, 52, 2)], ignored=[False, True], ids=[1, 2])
    report = report_of(make, ours, true, truths=(truth,))
    assert report.figure("points.seen.iou", "car", "all").value == 1.0
    assert report.figure("points.all.iou", "car", "all").value == 0.5


def test_rings_are_distances_on_the_ground() -> None:
    points = [[3, 4, 100], [10, 0, 0], [-19.9, 0, 0], [0, 30, 0], [50, 0, 0], [np.nan, 0, 0]]
    assert range_rings(np.array(points, np.float32)).tolist() == [1, 2, 2, 4, 5, 0]


def test_figures_by_ring_count_the_points_of_the_ring(make: SimpleNamespace) -> None:
    sweep = [[5, 0, 0], [5, 1, 0], [25, 0, 0], [25, 1, 0]]
    true = make.true_points([CAR] * 4, [1, 1, 2, 2])
    ours = make.point_labels([CAR, CAR, CAR, 0], [1, 1, 2, 0])
    report = report_of(make, ours, true, sweep=sweep)
    ious = [report.figure("points.all.iou", "car", ring).value for ring in RINGS]
    assert ious == [0.75, 1.0, None, 0.5, None, None]


def test_an_object_is_measured_with_its_best_label_and_with_the_one_it_prompted(
    make: SimpleNamespace,
) -> None:
    # A car of 20 points. Label 1, prompted by its box but for review, has 5 of them and 5 others;
    # label 2, prompted elsewhere, has 10 of them.
    true = make.true_points([CAR] * 20 + [0] * 5, [7] * 20 + [0] * 5)
    ids = [1] * 5 + [2] * 10 + [0] * 5 + [1] * 5
    ours = make.point_labels([CAR if i else 0 for i in ids], ids)
    picture = make.labelled(
        [(0, 0, 20, 20), (40, 0, 60, 20)], statuses=[Status.REVIEW, Status.ACCEPTED]
    )
    truth = make.true_picture([(0, 0, 20, 18)], ids=[7])
    report = report_of(make, ours, true, picture=picture, truths=(truth,))
    objects = report.table("points.all.objects")
    assert objects.figure("mean, highest IoU", "all").value == pytest.approx(10 / 20)
    assert objects.figure("mean, prompt box", "all").value == pytest.approx(5 / 25)
    assert objects.figure("pooled, prompt box", "all").value == pytest.approx(5 / 25)
    assert objects.figure("mean, prompt box", "all").n == 1


def test_an_object_that_two_cameras_show_is_measured_with_the_better_of_its_labels(
    make: SimpleNamespace,
) -> None:
    # One camera shows a corner of a car, label 1; the next one the rest, label 2.
    true = make.true_points([CAR] * 20, [7] * 20)
    ids = [1] * 5 + [2] * 12 + [0] * 3
    left = make.labelled([(0, 0, 20, 20)], name="left.png")
    right = make.labelled([(40, 0, 60, 20)], name="right.png", first_id=2)
    shown = [
        make.true_picture([box], ids=[7], name=name)
        for name, box in (("left.png", (0, 0, 20, 20)), ("right.png", (40, 0, 60, 20)))
    ]
    labels = make.sample(left, right, points=make.point_labels([CAR if i else 0 for i in ids], ids))
    report = evaluate_labels([labels], make.truth_of(tuple(shown), {"0": true}))
    objects = report.table("points.all.objects")
    assert objects.figure("mean, prompt box", "all").value == pytest.approx(12 / 20)
    assert objects.figure("mean, prompt box", "all").n == 1


def test_objects_under_10_points_are_left_out_and_objects_without_a_label_have_iou_0(
    make: SimpleNamespace,
) -> None:
    true = make.true_points([CAR] * 10 + [CAR] * 9, [1] * 10 + [2] * 9)
    report = report_of(make, make.point_labels([0] * 19, [0] * 19), true)
    found = report.figure("points.all.objects", "mean, highest IoU", "all")
    assert (found.value, found.n) == (0.0, 1)
    assert report.figure("points.all.objects", "pooled, prompt box", "all").value == 0.0


def test_prompts_are_matched_one_to_one_to_objects_with_an_id(make: SimpleNamespace) -> None:
    labels = make.labelled(
        [(0, 0, 9, 9)] * 3, prompts=[(0, 0, 20, 20), (1, 0, 21, 20), (50, 0, 60, 9)]
    )
    truth = make.true_picture(
        [(0, 0, 20, 20), (1, 0, 21, 20), (50, 0, 60, 9), (0, 0, 20, 19)],
        ignored=[False, False, False, True],
        ids=[4, 5, 0, 6],
    )
    assert prompted(labels, truth) == {4: 1, 5: 2}


def test_sweeps_without_points_of_ours_or_without_truth_are_no_figures(
    make: SimpleNamespace,
) -> None:
    report = evaluate_labels(
        [make.sample(make.labelled(), points=make.point_labels([CAR], [1]))], make.truth_of()
    )
    assert dict(report.counts)["sweeps without truth, left out"] == 1
    assert [table.name for table in report.tables] == ["ap", "labels", "panoptic", "yield"]


def test_iou_and_pq_equal_semantic_kitti_api(
    make: SimpleNamespace,
    oracle: Callable[[str], ModuleType],
    capsys: pytest.CaptureFixture[str],
) -> None:
    judge = oracle("auxiliary.eval_np")
    classes = vocabulary_of(make.road)
    api = judge.PanopticEval(9, ignore=[0], min_points=50)
    rng = np.random.default_rng(1)
    sums, ious = np.zeros((13, 4)), np.zeros((13, 3))
    for _ in range(10):
        # Segments of 20 to 150 points; half of each is given to a neighbour now and then. The
        # background is class 8 there, a class like others, and no segment at all here.
        sizes = rng.integers(20, 150, 20)
        instance = np.repeat(np.arange(20), sizes)
        kind = rng.choice([8, PERSON, CAR, VAN], 20)[instance]
        void = rng.random(len(instance)) < 0.1
        shift = int(rng.integers(0, 30))
        our_instance, our_kind = np.roll(instance, shift), np.roll(kind, shift)
        true_kind = np.where(kind == 8, 0, kind)
        true = make.true_points(np.where(void, -1, true_kind), instance + 1)
        label_kind = np.where(our_kind == 8, 0, our_kind)
        ours = make.sample(
            make.labelled([(0, 0, 2, 2)] * 20),
            points=make.point_labels(label_kind, our_instance + 1),
        )
        found = count_points(ours, true, classes, np.zeros((0, 3), np.float32), {}, only_seen=False)
        sums += found.panoptic[0]
        ious += found.classes[0]
        # 0 is what their evaluation leaves out in the truth
        api.addBatch(
            our_kind[None],
            np.where(our_kind == 8, 0, our_instance + 1)[None],
            np.where(void, 0, kind)[None],
            np.where(kind == 8, 0, instance + 1)[None],
        )
    capsys.readouterr()  # it prints
    _, _, _, pq, sq, rq = api.getPQ()
    _, iou = api.getSemIoU()
    for class_id in (PERSON, CAR, VAN):
        row = class_id - 1
        assert [float(q) for q in qualities(sums[row])] == pytest.approx(
            [pq[class_id], sq[class_id], rq[class_id]], abs=1e-6
        )
        assert 0.2 < pq[class_id] < 0.95
        assert float(class_ious(ious[row])) == pytest.approx(iou[class_id], abs=1e-6)
    mean = float(mean_qualities(sums)[0])
    assert mean == pytest.approx(float(np.mean(pq[[PERSON, CAR, VAN]])), abs=1e-6)
    sys.modules.pop("auxiliary", None)
