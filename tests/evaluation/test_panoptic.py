"""Panoptic quality: by hand, and against panopticapi."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from perception.core.types import Int32
from perception.evaluation import evaluate_labels
from perception.evaluation.panoptic import (
    contingency,
    mean_qualities,
    paint,
    qualities,
    segment_counts,
)

CAR, VAN, STUFF = 6, 7, 99


def counts_of(
    table: list[list[int]],
    true: list[int],
    ours: list[int],
    ignored: list[bool] | None = None,
    min_size: int = 0,
) -> list[list[float]]:
    found = segment_counts(
        np.array(table, np.int64),
        np.array(true, np.int32),
        np.array(ignored or [False] * len(true), bool),
        np.array(ours, np.int32),
        (CAR, VAN),
        min_size,
    )
    return [row.tolist() for row in found]


def test_a_match_a_false_alarm_and_a_miss() -> None:
    # Car of 100, label of 90 with 80 in common: IoU 80 / 110. A second label of 30 on background,
    # a second car of 50 that nobody found.
    table = [[0, 10, 30], [20, 80, 0], [50, 0, 0]]
    counts = counts_of(table, [CAR, CAR], [CAR, CAR])
    assert counts == [[80 / 110, 1, 1, 1], [0, 0, 0, 0]]
    pq, sq, rq = qualities(np.array(counts[0]))
    assert (sq, rq) == (pytest.approx(80 / 110), 0.5)
    assert pq == pytest.approx(sq * rq)


def test_an_iou_of_a_half_is_no_match() -> None:
    assert counts_of([[0, 0], [50, 50]], [CAR], [CAR])[0] == [0, 0, 1, 1]


def test_the_right_place_and_the_wrong_class_is_a_miss_and_a_false_alarm() -> None:
    assert counts_of([[0, 0], [0, 50]], [CAR], [VAN]) == [[0, 0, 0, 1], [0, 0, 1, 0]]


def test_void_leaves_the_union_and_excuses_labels() -> None:
    # Row 2 is void. Label 1: 80 on the car, 20 in void: IoU 80 / 100. Label 2: 30 of 50 in void.
    table = [[0, 0, 20], [20, 80, 0], [0, 20, 30]]
    counts = counts_of(table, [CAR, -1], [CAR, VAN], [False, True])
    assert counts == [[80 / 100, 1, 0, 0], [0, 0, 0, 0]]
    assert counts_of([[0, 25], [0, 25]], [-1], [CAR], [True])[0] == [0, 0, 1, 0]  # half: no excuse


def test_a_crowd_excuses_its_class_only_and_is_never_missed() -> None:
    assert counts_of([[0, 10], [0, 90]], [CAR], [CAR], [True]) == [[0, 0, 0, 0], [0, 0, 0, 0]]
    assert counts_of([[0, 10], [0, 90]], [CAR], [VAN], [True])[1] == [0, 0, 1, 0]


def test_small_segments_are_neither_missed_nor_false_but_may_match() -> None:
    table = [[0, 49, 0], [49, 0, 0], [0, 0, 10]]
    assert counts_of(table, [CAR, VAN], [CAR, VAN], min_size=50) == [[0, 0, 0, 0], [1, 1, 0, 0]]
    assert counts_of(table, [CAR, VAN], [CAR, VAN], min_size=49)[0] == [0, 0, 1, 1]


def test_nothing_and_nobody_has_no_quality_and_classes_without_any_are_no_part_of_the_mean() -> (
    None
):
    counts = np.array([[0.0, 0, 0, 0], [0.8, 1, 0, 0]])
    assert [bool(np.isnan(q)) for q in qualities(counts[0])] == [True] * 3
    assert [float(q) for q in mean_qualities(counts)] == [0.8, 0.8, 1.0]


def test_the_smaller_of_two_overlapping_masks_is_on_top_and_regions_are_below(
    make: SimpleNamespace,
) -> None:
    masks = make.encode([(0, 0, 10, 10), (0, 0, 40, 40), (5, 5, 50, 50)])
    canvas = paint(masks, np.array([True, False, False]))
    assert canvas[2, 2] == 2  # the small region lies under the objects
    assert canvas[20, 20] == 2  # 1600 px beat 2025 px
    assert canvas[45, 45] == 3


def test_contingency_counts_pairs() -> None:
    table = contingency(np.array([0, 1, 1, 2]), np.array([1, 1, 1, 0]), (3, 2))
    assert table.tolist() == [[0, 1], [0, 2], [1, 0]]


def world(rng: np.random.Generator) -> tuple[Int32, list[dict[str, Any]], Int32]:
    """Return a true map (0 void), its segments, and a map of labels that are not quite it."""
    true = np.ones((60, 80), np.int32)  # 1: stuff
    segments = [{"id": 1, "category_id": STUFF, "iscrowd": 0}]
    crowded: set[int] = set()  # panopticapi knows one crowd of each class
    for number in range(2, 9):
        x, y = rng.integers(0, 60), rng.integers(0, 40)
        category = int(rng.choice([CAR, VAN]))
        crowd = category not in crowded and rng.random() < 0.25
        crowded |= {category} if crowd else set()
        true[y : y + rng.integers(5, 30), x : x + rng.integers(5, 30)] = number
        segments.append({"id": number, "category_id": category, "iscrowd": int(crowd)})
    true[rng.integers(0, 40) :, : rng.integers(5, 30)] = 0
    ours = np.roll(true, tuple(rng.integers(-3, 4, 2)), (0, 1))
    ours[ours == 1] = 0
    patch = rng.integers(0, 40)
    ours[patch : patch + 10, 60:] = 20
    present = set(np.unique(true).tolist())
    return true, [one for one in segments if one["id"] in present], ours


def write_ids(path: Path, ids: Int32) -> None:
    """Id = R + 256 G + 65536 B; cv2 stores BGR."""
    blue_green_red = np.stack([ids >> 16, (ids >> 8) & 255, ids & 255], axis=-1)
    assert cv2.imwrite(str(path), blue_green_red.astype(np.uint8))


def test_pq_equals_panopticapi(
    oracle: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = oracle("panopticapi.evaluation")
    rng = np.random.default_rng(0)
    pairs, counts = [], np.zeros((2, 4))
    for image in range(30):
        true, segments, ours = world(rng)
        our_ids = [int(i) for i in np.unique(ours) if i]
        classes = {one["id"]: one["category_id"] for one in segments} | {20: CAR}
        our_classes = [VAN if rng.random() < 0.2 else classes.get(i, CAR) for i in our_ids]
        counts += ours_of(true, segments, ours, our_ids, our_classes)
        for folder, ids in (("true", true), ("ours", ours)):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_ids(tmp_path / folder / f"{image}.png", ids)
        areas = dict(zip(*np.unique(true, return_counts=True), strict=True))
        name = f"{image}.png"
        known = [{**one, "area": int(areas[one["id"]])} for one in segments]
        found = [
            {"id": i, "category_id": c, "iscrowd": 0}
            for i, c in zip(our_ids, our_classes, strict=True)
        ]
        pairs.append(
            (
                {"image_id": image, "file_name": name, "segments_info": known},
                {"image_id": image, "file_name": name, "segments_info": found},
            )
        )
    categories = {key: {"id": key, "isthing": int(key != STUFF)} for key in (CAR, VAN, STUFF)}
    stat = judge.pq_compute_single_core(
        0, pairs, str(tmp_path / "true"), str(tmp_path / "ours"), categories
    )
    capsys.readouterr()  # it prints
    mean, per_class = stat.pq_average(categories, isthing=True)
    for row, category in enumerate((CAR, VAN)):
        ours_q = [float(q) for q in qualities(counts[row])]
        assert ours_q == pytest.approx([per_class[category][k] for k in ("pq", "sq", "rq")])
        assert counts[row].min() > 0  # every count had something to count
    assert [float(q) for q in mean_qualities(counts)] == pytest.approx(
        [mean[k] for k in ("pq", "sq", "rq")], abs=1e-6
    )


def ours_of(
    true: Int32,
    segments: list[dict[str, Any]],
    ours: Int32,
    our_ids: list[int],
    our_classes: list[int],
) -> Any:
    """Things as segments, stuff as background, void as an ignored segment of any class."""
    things = [one for one in segments if one["category_id"] != STUFF]
    rows = np.zeros(true.shape, np.int64)
    for row, one in enumerate(things, start=1):
        rows[true == one["id"]] = row
    rows[true == 0] = len(things) + 1
    columns = np.searchsorted([0, *our_ids], ours)
    return segment_counts(
        contingency(rows, columns, (len(things) + 2, len(our_ids) + 1)),
        np.array([*(one["category_id"] for one in things), -1], np.int32),
        np.array([*(bool(one["iscrowd"]) for one in things), True], bool),
        np.array(our_classes, np.int32),
        (CAR, VAN),
    )


def test_the_report_counts_accepted_labels_only(make: SimpleNamespace) -> None:
    truth = make.true_picture([(0, 0, 20, 20), (40, 0, 60, 20)])
    labels = make.labelled([(0, 0, 20, 20), (40, 0, 60, 20)], statuses=[0, 1])
    report = evaluate_labels([make.sample(labels)], make.truth_of([truth]))
    assert report.figure("panoptic", "car", "PQ").value == pytest.approx(1 / 1.5)
    assert report.figure("panoptic", "car", "SQ").value == 1.0
    assert report.figure("panoptic", "mean", "RQ").value == pytest.approx(1 / 1.5)
