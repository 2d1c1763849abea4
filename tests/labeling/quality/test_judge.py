"""Worked by hand on an image of 40 x 50 pixels; the object is a block of 10 x 10."""

import math
from typing import Any

import numpy as np
import pytest

from perception.core import masks as masks_
from perception.core.config import JudgeConfig
from perception.core.types import Bool, Detections, Masks, Segments, Status
from perception.labeling.quality.judge import Verdicts, judge, outside_shares
from perception.models.fakes import segments_of

SIZE_HW = (40, 50)
BOX = (10.0, 10.0, 20.0, 20.0)
CONFIG = JudgeConfig()


def block(x0: int, y0: int, x1: int, y1: int) -> Bool:
    bitmap = np.zeros(SIZE_HW, bool)
    bitmap[y0:y1, x0:x1] = True
    return bitmap


OBJECT = block(10, 10, 20, 20)


def masks_of(*bitmaps: Bool) -> Masks:
    return masks_.join(tuple(masks_.encode_one(bitmap) for bitmap in bitmaps), SIZE_HW)


def judged(
    bitmap: Bool = OBJECT,
    box: tuple[float, float, float, float] = BOX,
    *,
    score: float = 0.9,
    predicted_iou: float = 0.9,
    stability: float = 0.9,
    config: JudgeConfig = CONFIG,
) -> tuple[Status, tuple[str, ...]]:
    verdicts = judge_all([(bitmap, box, score, predicted_iou, stability)], config)
    return Status(int(verdicts.statuses[0])), verdicts.reasons[0]


def judge_all(rows: list[tuple[Any, ...]], config: JudgeConfig = CONFIG) -> Verdicts:
    n = len(rows)
    detections = Detections(
        boxes_xyxy=np.array([row[1] for row in rows], np.float32).reshape(n, 4),
        scores=np.array([row[2] for row in rows], np.float32),
        class_ids=np.zeros(n, np.int32),
        class_names=("car",),
    )
    plain = segments_of([row[0] for row in rows], SIZE_HW)
    segments = Segments(
        masks=plain.masks,
        predicted_ious=np.array([row[3] for row in rows], np.float32),
        stabilities=np.array([row[4] for row in rows], np.float32),
        logits=plain.logits,
        wobbles=np.full(n, np.nan, np.float32),
        consensus_ious=np.full(n, np.nan, np.float32),
    )
    return judge(detections, segments, config)


def test_a_mask_that_fills_its_box_is_accepted_without_a_reason() -> None:
    assert judged() == (Status.ACCEPTED, ())


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (0.25, (Status.ACCEPTED, ())),
        (0.2499, (Status.REJECTED, ("score.low",))),
        (0.0, (Status.REJECTED, ("score.low",))),
    ],
)
def test_a_score_below_the_threshold_rejects(score: float, expected: object) -> None:
    assert judged(score=score) == expected


@pytest.mark.parametrize(
    ("predicted_iou", "expected"),
    [
        (1.02, (Status.ACCEPTED, ())),  # an estimate, it may exceed 1
        (0.7, (Status.ACCEPTED, ())),
        (0.6999, (Status.REVIEW, ("iou.low",))),
        (-0.1, (Status.REVIEW, ("iou.low",))),
        (math.nan, (Status.REVIEW, ("iou.low",))),  # unknown is not good
    ],
)
def test_a_low_or_unknown_predicted_iou_asks_for_review(
    predicted_iou: float, expected: object
) -> None:
    assert judged(predicted_iou=predicted_iou) == expected


@pytest.mark.parametrize(
    ("stability", "expected"),
    [
        (0.8, (Status.ACCEPTED, ())),
        (0.7999, (Status.REVIEW, ("stability.low",))),
        (0.0, (Status.REVIEW, ("stability.low",))),  # undefined counts as 0
        (math.nan, (Status.REVIEW, ("stability.low",))),
    ],
)
def test_an_unstable_mask_asks_for_review(stability: float, expected: object) -> None:
    assert judged(stability=stability) == expected


def test_an_empty_mask_is_rejected_for_that_alone() -> None:
    # Its bounds are all zero: off the box too, but that would say nothing new.
    assert judged(np.zeros(SIZE_HW, bool)) == (Status.REJECTED, ("mask.empty",))


@pytest.mark.parametrize(
    ("bitmap", "box", "flagged"),
    [
        # 40 x 50 = 2000 px: more than 90 % is more than 1800 px, 80 % are 1600 px.
        (block(0, 0, 45, 40), (0, 0, 30, 40), False),  # 1800 px
        (block(0, 0, 46, 40), (0, 0, 30, 40), True),  # 1840 px
        (block(0, 0, 50, 40), (0, 0, 39.5, 40), True),  # a box of 1580 px
        (block(0, 0, 50, 40), (0, 0, 40, 40), False),  # 1600 px: the object is that large
        (block(0, 0, 50, 40), (0, 0, 50, 40), False),
    ],
)
def test_a_mask_over_the_whole_image_is_rejected_unless_its_box_is_as_large(
    bitmap: Bool, box: tuple[float, float, float, float], flagged: bool
) -> None:
    status, reasons = judged(bitmap, box)
    assert ("mask.full_frame" in reasons) == flagged
    assert (status == Status.REJECTED) == flagged


@pytest.mark.parametrize(
    ("bitmap", "expected"),
    [
        (block(10, 10, 16, 20), (Status.ACCEPTED, ())),  # 6 of 10 columns: IoU 0.6
        (block(10, 10, 15, 20), (Status.REVIEW, ("mask.off_box",))),  # 0.5
        (block(10, 10, 12, 20), (Status.REVIEW, ("mask.off_box",))),  # 0.2
        (block(10, 10, 11, 20), (Status.REJECTED, ("mask.off_box",))),  # 0.1
    ],
)
def test_a_mask_whose_bounds_are_not_the_box_is_doubted_then_rejected(
    bitmap: Bool, expected: object
) -> None:
    assert judged(bitmap) == expected


def test_it_is_the_bounds_of_the_mask_that_are_compared_not_its_pixels() -> None:
    ring = OBJECT & ~block(11, 11, 19, 19)  # 36 of 100 pixels
    assert judged(ring) == (Status.ACCEPTED, ())


def with_outside(count: int) -> Bool:
    """Return 100 pixels, `count` of them in the row above the box (at most 10)."""
    bitmap = OBJECT.copy()
    bitmap[9, 10 : 10 + count] = True
    bitmap[15, 10 : 10 + count] = False
    return bitmap


def test_a_tenth_of_the_mask_may_lie_outside_the_box() -> None:
    assert judged(with_outside(10)) == (Status.ACCEPTED, ())


def test_more_than_a_tenth_outside_asks_for_review() -> None:
    strict = JudgeConfig(review_outside_share=0.05)
    assert judged(with_outside(5), config=strict) == (Status.ACCEPTED, ())
    assert judged(with_outside(6), config=strict) == (Status.REVIEW, ("mask.outside_box",))


def test_more_than_half_outside_rejects() -> None:
    # The mask's bounds are 10 x 20 against a box of 10 x 10 or 10 x 9: IoU 0.5 and 0.45.
    double = block(10, 10, 20, 30)
    both = ("mask.off_box", "mask.outside_box")
    assert judged(double, (10, 10, 20, 20))[0] == Status.REVIEW  # exactly half
    assert judged(double, (10, 10, 20, 19)) == (Status.REJECTED, ("mask.outside_box", both[0]))
    assert judged(double, (10, 10, 20, 20)) == (Status.REVIEW, both)


def test_all_reasons_are_kept_in_order_each_once_and_the_worst_is_the_status() -> None:
    everywhere = np.ones(SIZE_HW, bool)
    assert judged(everywhere, score=0.1, predicted_iou=0.5, stability=0.5) == (
        Status.REJECTED,
        (
            "score.low",
            "mask.full_frame",
            "mask.off_box",
            "mask.outside_box",
            "iou.low",
            "stability.low",
        ),
    )


def test_two_doubts_are_a_review_with_both_reasons() -> None:
    assert judged(predicted_iou=0.5, stability=0.5) == (
        Status.REVIEW,
        ("iou.low", "stability.low"),
    )


@pytest.mark.parametrize(
    ("bitmap", "reason"),
    [
        (np.zeros(SIZE_HW, bool), "mask.empty"),
        (np.ones(SIZE_HW, bool), "mask.full_frame"),
        (block(30, 25, 40, 35), "mask.outside_box"),
    ],
)
def test_an_empty_full_frame_or_outside_mask_is_never_a_good_label(
    bitmap: Bool, reason: str
) -> None:
    # However sure the models are.
    status, reasons = judged(bitmap, score=1, predicted_iou=1, stability=1)
    assert status == Status.REJECTED
    assert reason in reasons


def test_each_instance_is_judged_by_its_own_row() -> None:
    verdicts = judge_all(
        [
            (OBJECT, BOX, 0.9, 0.9, 0.9),
            (np.zeros(SIZE_HW, bool), BOX, 0.9, 0.9, 0.9),
            (OBJECT, BOX, 0.9, 0.1, 0.9),
            (block(30, 25, 40, 35), BOX, 0.9, 0.9, 0.9),
        ]
    )
    assert verdicts.statuses.tolist() == [0, 2, 1, 2]
    assert verdicts.reasons == (
        (),
        ("mask.empty",),
        ("iou.low",),
        ("mask.off_box", "mask.outside_box"),
    )
    np.testing.assert_array_equal(verdicts.box_ious, [1, 0, 1, 0])
    np.testing.assert_array_equal(verdicts.outside_shares, [0, 0, 0, 1])
    assert verdicts.statuses.dtype == np.uint8
    assert verdicts.box_ious.dtype == verdicts.outside_shares.dtype == np.float32


def test_no_instances_are_no_verdicts() -> None:
    verdicts = judge_all([])
    assert verdicts.reasons == ()
    for column in (verdicts.statuses, verdicts.box_ious, verdicts.outside_shares):
        assert column.shape == (0,)


@pytest.mark.parametrize(
    ("bitmap", "box", "share"),
    [
        (OBJECT, (10, 10, 20, 20), 0),
        (OBJECT, (10, 10, 15, 20), 0.5),  # half-open: column 15 is outside
        (OBJECT, (10, 10, 20, 17), 0.3),
        (OBJECT, (12, 10, 20, 20), 0.2),
        (OBJECT, (10, 11, 20, 20), 0.1),
        (OBJECT, (15, 15, 40, 40), 0.75),
        (OBJECT, (30, 30, 40, 40), 1),
        (OBJECT, (10.5, 10, 20, 20), 0),  # the centre of column 10 is at 10.5, still inside
        (OBJECT, (10.6, 10, 20, 20), 0.1),
        (OBJECT, (10, 10, 19.5, 20), 0.1),  # and that of column 19 at 19.5, just outside
        (OBJECT, (10, 10.5, 20, 19.5), 0.1),
        (OBJECT & ~block(10, 10, 20, 15), (10, 10, 15, 20), 0.5),  # only pixels of the mask count
        (np.zeros(SIZE_HW, bool), (10, 10, 20, 20), 0),
    ],
)
def test_the_outside_share_counts_pixels_whose_centre_is_outside(
    bitmap: Bool, box: tuple[float, float, float, float], share: float
) -> None:
    found = outside_shares(masks_of(bitmap), np.array([box], np.float32))
    np.testing.assert_allclose(found, [share], rtol=1e-6)


def test_no_masks_have_no_outside_shares() -> None:
    assert outside_shares(masks_of(), np.zeros((0, 4), np.float32)).shape == (0,)


def test_judging_changes_nothing_it_was_given() -> None:
    boxes = np.array([BOX], np.float32)
    boxes.setflags(write=False)
    before = boxes.copy()
    outside_shares(masks_of(OBJECT), boxes)
    judged()
    np.testing.assert_array_equal(boxes, before)
