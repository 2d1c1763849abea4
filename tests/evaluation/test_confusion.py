"""Bugs caught: a confusion counted as a false alarm and a miss, ignored regions that count."""

from types import SimpleNamespace

import numpy as np
import pytest

from perception.core.types import Status
from perception.evaluation import evaluate_labels
from perception.evaluation.confusion import MISSED, NOTHING, PER_CELL, confusion
from perception.evaluation.instances import compare
from perception.evaluation.truth import vocabulary_of

PERSON, CAR, VAN = 1, 6, 7


def cells(found: object) -> dict[tuple[str, str], int]:
    from perception.evaluation.confusion import Confusion

    assert isinstance(found, Confusion)
    return {
        (true, called): int(found.counts[i, j])
        for i, true in enumerate(found.true_names)
        for j, called in enumerate(found.called_names)
        if found.counts[i, j]
    }


def test_each_label_and_object_is_in_one_cell(make: SimpleNamespace) -> None:
    # A car found; a van called car; a person missed; a car where nothing is; a label in a crowd and
    # one for review, which do not count. The best label of the van's box is the van's own class.
    truth = make.true_picture(
        [(0, 0, 20, 20), (30, 0, 50, 20), (0, 30, 10, 50), (60, 30, 80, 60)],
        [CAR, VAN, PERSON, CAR],
        [False, False, False, True],
    )
    labels = make.labelled(
        [(0, 0, 20, 20), (30, 0, 50, 19), (20, 30, 40, 50), (62, 32, 78, 44), (0, 30, 10, 50)],
        [CAR, CAR, CAR, CAR, PERSON],
        statuses=[*[Status.ACCEPTED] * 4, Status.REVIEW],
    )
    classes = vocabulary_of(make.road)
    found = confusion([compare(0, labels, truth, classes)], classes)
    assert cells(found) == {
        ("car", "car"): 1,
        ("van", "car"): 1,
        ("person", MISSED): 1,
        (NOTHING, "car"): 1,
    }
    assert found.true_names == ("person", "car", "van", NOTHING)
    (missed,) = [one for one in found.examples if one.called == MISSED]
    assert len(missed.true_masks) == 1 and len(missed.label_masks) == 0  # one for review is none
    (alarm,) = [one for one in found.examples if one.true == NOTHING]
    assert len(alarm.true_masks) == 0 and alarm.score == pytest.approx(0.9)


def test_a_false_alarm_shows_the_object_that_it_overlaps(make: SimpleNamespace) -> None:
    truth = make.true_picture([(0, 0, 20, 20)])
    classes = vocabulary_of(make.road)
    labels = make.labelled([(0, 0, 20, 8)])
    found = confusion([compare(0, labels, truth, classes)], classes)
    assert cells(found) == {("car", MISSED): 1, (NOTHING, "car"): 1}
    assert [(len(e.true_masks), len(e.label_masks)) for e in found.examples] == [(1, 1), (1, 1)]
    assert {round(one.iou, 6) for one in found.examples} == {0.4}


def test_the_diagonal_is_what_precision_and_recall_count(make: SimpleNamespace) -> None:
    samples, truths = make.random_world(5, scenes=12)
    report = evaluate_labels(samples, make.truth_of(truths))
    (plot,) = [one for one in report.plots if one.name == "confusion"]
    true, called, counts = plot.table()
    right = sum(count for (row, column), count in counts.items() if row == column)
    labels = sum(count for (_, column), count in counts.items() if column != MISSED)
    objects = sum(count for (row, _), count in counts.items() if row != NOTHING)
    precision, recall = (report.figure("labels", "all", name) for name in ("precision", "recall"))
    assert precision.value == pytest.approx(right / labels) and precision.n == labels
    assert recall.value == pytest.approx(right / objects) and recall.n == objects
    assert sum(counts.get((name, "truck"), 0) for name in ("person", "car", "van")) > 0
    assert set(true) - {NOTHING} == set(called) - {MISSED}


def test_examples_are_few_and_the_worst_first(make: SimpleNamespace) -> None:
    boxes = [(x, 0, x + 8, 8) for x in range(0, 72, 8)]
    truth = make.true_picture([], [])
    scores = np.linspace(0.1, 0.9, len(boxes)).tolist()
    classes = vocabulary_of(make.road)
    found = confusion([compare(0, make.labelled(boxes, scores=scores), truth, classes)], classes)
    assert [round(one.score, 1) for one in found.examples] == [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    assert len(found.examples) == PER_CELL
    objects = make.true_picture([(0, 0, 4, 4), (20, 0, 40, 20), (50, 0, 60, 10)])
    missed = confusion([compare(0, make.labelled(), objects, classes)], classes)
    assert [one.true_boxes_xyxy[0, 0] for one in missed.examples] == [20, 50, 0]  # largest first


def test_no_images_have_no_cells(make: SimpleNamespace) -> None:
    found = confusion([], vocabulary_of(make.road))
    assert cells(found) == {} and found.examples == () and found.counts.shape == (1, 1)
