"""Overlaps, boundaries and matches worked by hand, and against whole bitmaps."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from perception.core import masks
from perception.core.errors import RequestError
from perception.core.types import Bool, Masks, Status
from perception.evaluation import evaluate_labels
from perception.evaluation.instances import boundaries, compare, cross_overlaps, match
from perception.evaluation.truth import vocabulary_of


def slow_boundary(bitmap: Bool) -> Bool:
    """`mask_to_boundary` of the reference code, on the whole image."""
    distance = max(1, round(0.02 * np.hypot(*bitmap.shape)))
    framed = cv2.copyMakeBorder(bitmap.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inner = cv2.erode(framed, np.ones((3, 3), np.uint8), iterations=distance)
    return bitmap & (inner[1:-1, 1:-1] == 0)


@given(st.integers(0, 10_000), st.integers(0, 4), st.integers(0, 4))
def test_overlaps_are_those_of_the_whole_bitmaps(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.random((n, 13, 9)) < 0.3, rng.random((m, 13, 9)) < 0.3
    expected = (first[:, None] & second[None]).sum(axis=(2, 3))
    ours = cross_overlaps(encoded(first, (13, 9)), encoded(second, (13, 9)))
    np.testing.assert_array_equal(ours, expected)


def encoded(bitmaps: Bool, size_hw: tuple[int, int]) -> Masks:
    return masks.join(tuple(masks.encode_one(b) for b in bitmaps), size_hw)


@pytest.mark.parametrize("size_hw", [(40, 60), (100, 150), (200, 300)])
def test_boundaries_are_those_of_the_reference(size_hw: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    small = rng.random((5, *(side // 10 for side in size_hw))) < 0.6
    bitmaps = small.repeat(10, axis=1).repeat(10, axis=2)
    bitmaps[0] = True  # the whole image: its border is boundary
    bitmaps[1] = False
    found = masks.decode(boundaries(encoded(bitmaps, size_hw)))
    for ours, bitmap in zip(found, bitmaps, strict=True):
        np.testing.assert_array_equal(ours, slow_boundary(bitmap))


def test_boundary_iou_by_hand(make: SimpleNamespace) -> None:
    # 60 x 80: diagonal 100, so the boundary is 2 px wide: a square of 20 has a ring of
    # 20^2 - 16^2 = 144 pixels. Moved 2 to the right, the rings share their top and bottom bars.
    truth = make.true_picture([(10, 10, 30, 30)])
    found = compare(0, make.labelled([(12, 10, 32, 30)]), truth, vocabulary_of(make.road))
    ring = make.bitmap((10, 10, 30, 30)) & ~make.bitmap((12, 12, 28, 28))
    moved = make.bitmap((12, 10, 32, 30)) & ~make.bitmap((14, 12, 30, 28))
    common = (ring & moved).sum()
    assert common == 2 * 2 * 18
    expected = common / (144 + 144 - common)
    assert ring.sum() == 144
    assert found.boundary_ious[0, 0] == pytest.approx(expected)
    assert found.ious[0, 0] == pytest.approx(18 / 22)
    assert expected < 18 / 22  # stricter than mask IoU


def test_ious_are_those_of_pycocotools(make: SimpleNamespace) -> None:
    samples, truths = make.random_world(5, scenes=3)
    for one, truth in zip(samples, truths, strict=True):
        found = compare(0, one.pictures[0], truth, vocabulary_of(make.road))
        if len(found.labels) == 0 or len(truth) == 0:
            continue
        ours = [masks.to_coco(found.labels.masks, row) for row in range(len(found.labels))]
        true = [masks.to_coco(truth.masks, row) for row in range(len(truth))]
        expected = coco_mask.iou(ours, true, [0] * len(true))
        np.testing.assert_allclose(found.ious, expected, atol=1e-12)


def test_a_label_takes_one_object_and_the_better_score_chooses_first(
    make: SimpleNamespace,
) -> None:
    # Both labels lie on the first object; the second label, surer, gets it.
    truth = make.true_picture([(0, 0, 20, 20), (40, 0, 60, 20)])
    labels = make.labelled([(0, 0, 20, 20), (0, 0, 20, 19)], scores=[0.5, 0.6])
    found = compare(0, labels, truth, vocabulary_of(make.road))
    rows = np.ones(2, bool)
    assert match(found, rows, 0.5).tolist() == [-1, 0]
    assert match(found, np.array([True, False]), 0.5).tolist() == [0, -1]


def test_a_label_of_another_class_matches_nothing(make: SimpleNamespace) -> None:
    truth = make.true_picture([(0, 0, 20, 20)], [make.van])
    found = compare(0, make.labelled([(0, 0, 20, 20)], [make.car]), truth, vocabulary_of(make.road))
    assert match(found, np.ones(1, bool), 0.5).tolist() == [-1]


def test_classes_that_the_truth_does_not_know_are_left_out_and_counted(
    make: SimpleNamespace,
) -> None:
    labels = make.labelled([(0, 0, 20, 20), (30, 0, 50, 20)], [make.car, make.van])
    found = compare(0, labels, make.true_picture(), vocabulary_of(make.road, ["car"]))
    assert (len(found.labels), found.not_judged) == (1, 1)


def test_a_picture_of_another_size_is_refused(make: SimpleNamespace) -> None:
    with pytest.raises(RequestError, match=r"size\.mismatch: .* 80 x 60, the truth's 81 x 60"):
        compare(0, make.labelled(), make.true_picture(size_hw=(60, 81)), vocabulary_of(make.road))
    with pytest.raises(RequestError, match=r"the truth's 60 x 80: one of the two .* Orientation"):
        compare(0, make.labelled(), make.true_picture(size_hw=(80, 60)), vocabulary_of(make.road))


def test_precision_recall_iou_and_dice_by_hand(make: SimpleNamespace) -> None:
    # Objects: two cars of 20 x 20 (small), a van of 40 x 40 (medium), a crowd of cars.
    # Labels: car 1 exact; car 2 at half its height (IoU 0.5); a car where nothing is; one in the
    # crowd (not counted); the van's for review (does not count as found).
    truth = make.true_picture(
        [(0, 0, 20, 20), (0, 30, 20, 50), (25, 0, 65, 40), (66, 0, 80, 60)],
        [make.car, make.car, make.van, make.car],
        [False, False, False, True],
        ranges_m=[5, 15, 25, 35],
    )
    labels = make.labelled(
        [(0, 0, 20, 20), (0, 30, 20, 40), (30, 45, 50, 55), (67, 0, 79, 20), (25, 0, 65, 40)],
        [make.car, make.car, make.car, make.car, make.van],
        statuses=[Status.ACCEPTED] * 4 + [Status.REVIEW],
    )
    report = evaluate_labels([make.sample(labels)], make.truth_of([truth]))

    def value(row: str, column: str) -> float | None:
        return report.figure("labels", row, column).value

    assert value("all", "precision") == pytest.approx(2 / 3)
    assert value("all", "recall") == pytest.approx(2 / 3)
    assert value("all", "precision 75") == pytest.approx(1 / 3)
    assert value("all", "recall 75") == pytest.approx(1 / 3)
    assert value("all", "IoU of matches") == pytest.approx((1 + 0.5) / 2)
    assert value("all", "Dice of matches") == pytest.approx((1 + 2 * 0.5 / 1.5) / 2)
    assert value("all", "IoU of objects") == pytest.approx((1 + 0.5 + 0) / 3)
    assert value("small", "recall") == 1.0
    assert value("small", "precision") == pytest.approx(2 / 3)
    assert value("medium", "recall") == 0.0
    assert value("medium", "precision") == 0.0  # nothing accepted, though there is an object
    assert value("large", "precision") is None  # neither objects nor labels
    assert value("car", "precision") == pytest.approx(2 / 3)
    assert value("van", "recall") == 0.0
    assert value("0-10 m", "recall") == 1.0
    assert value("20-30 m", "recall") == 0.0
    assert value("0-10 m", "precision") == 1.0
    assert value("unknown range", "precision") == 0.0  # the false alarm: it has no points
    counts = dict(report.counts)
    assert (counts["true objects"], counts["ignored regions"]) == (3, 1)
    assert (counts["labels accepted"], counts["labels for review"]) == (4, 1)


def test_rejected_labels_take_no_part(make: SimpleNamespace) -> None:
    truth = make.true_picture([(0, 0, 20, 20)])
    labels = make.labelled([(0, 0, 20, 20)] * 2, statuses=[Status.REJECTED, Status.REVIEW])
    found = compare(0, labels, truth, vocabulary_of(make.road))
    assert found.labels.accepted.tolist() == [False]


def test_a_label_has_the_size_of_the_object_that_it_is_matched_to(make: SimpleNamespace) -> None:
    truth = make.true_picture([(0, 0, 40, 30)])  # 1200 pixels: medium; the label has 1000: small
    report = evaluate_labels([make.sample(make.labelled([(0, 0, 40, 25)]))], make.truth_of([truth]))
    assert report.figure("labels", "medium", "precision").value == 1.0
    assert report.figure("labels", "small", "precision").value is None


def test_a_poor_match_in_a_crowd_counts_at_50_and_is_excused_at_75(make: SimpleNamespace) -> None:
    # IoU with the object 12 / 20; 12 of 20 rows lie in the crowd that overlaps it.
    truth = make.true_picture([(0, 0, 20, 12), (0, 8, 20, 30)], ignored=[False, True])
    report = evaluate_labels([make.sample(make.labelled([(0, 0, 20, 20)]))], make.truth_of([truth]))
    assert report.figure("labels", "all", "precision").n == 1
    assert report.figure("labels", "all", "precision 75").n == 0


def test_a_label_half_in_a_crowd_of_its_class_does_not_count_and_of_another_class_does(
    make: SimpleNamespace,
) -> None:
    truth = make.true_picture([(0, 0, 40, 40)], [make.car], [True])
    for class_id, box, expected in (
        (make.car, (20, 0, 59, 40), None),  # 20 of 39 columns in the crowd
        (make.car, (20, 0, 60, 40), 0.0),  # 20 of 40: not more than half
        (make.van, (0, 0, 40, 40), 0.0),
    ):
        report = evaluate_labels(
            [make.sample(make.labelled([box], [class_id]))], make.truth_of([truth])
        )
        found = report.figure("labels", "all", "precision")
        # nothing true, one label: false alarms are 0 of 1, excused ones nothing of nothing
        assert found.value == expected
