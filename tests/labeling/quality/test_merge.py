"""Riders, duplicates and overlaps, worked by hand on an image of 60 x 80 pixels."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.core import masks as masks_
from perception.core.config import ResolveConfig
from perception.core.ontology import load_ontology
from perception.core.types import Bool, Instances, Masks, Status, unknown_signals
from perception.labeling.quality.merge import (
    Join,
    find_riders,
    flag_contested,
    flag_doubts,
    join_riders,
    precedence,
    reject_duplicates,
    settle_overlaps,
    yield_overlaps,
)

SIZE_HW = (60, 80)
ROAD = load_ontology()
CONFIG = ResolveConfig()
Box = tuple[float, float, float, float]


def block(x0: float, y0: float, x1: float, y1: float) -> Bool:
    bitmap = np.zeros(SIZE_HW, bool)
    bitmap[int(y0) : int(y1), int(x0) : int(x1)] = True
    return bitmap


def instances(
    rows: Sequence[tuple[str, Box]],
    *,
    bitmaps: Sequence[Bool] | None = None,
    statuses: Sequence[Status] | None = None,
    scores: Sequence[float] | None = None,
    predicted_ious: Sequence[float] | None = None,
    ids: Sequence[int] | None = None,
    reasons: Sequence[tuple[str, ...]] | None = None,
) -> Instances:
    """Build instances that fill their boxes and are accepted with score 0.9, unless told."""
    n = len(rows)
    shapes = [block(*box) for _, box in rows] if bitmaps is None else bitmaps
    return Instances(
        instance_ids=np.array(ids or range(1, n + 1), np.int32),
        prompt_ids=np.array(ids or range(1, n + 1), np.int32),
        class_ids=np.array([ROAD.id_of(name) for name, _ in rows], np.int32),
        statuses=np.array(statuses or [Status.ACCEPTED] * n, np.uint8),
        reasons=tuple(reasons or ((),) * n),
        scores=np.array(scores or [0.9] * n, np.float32),
        predicted_ious=np.array(predicted_ious or [0.9] * n, np.float32),
        stabilities=np.full(n, 0.9, np.float32),
        box_ious=np.ones(n, np.float32),
        outside_shares=np.zeros(n, np.float32),
        boxes_xyxy=np.array([box for _, box in rows], np.float32).reshape(n, 4),
        masks=masks_.join(tuple(masks_.encode_one(shape) for shape in shapes), SIZE_HW),
        signals=unknown_signals(n),
        trusts=np.full(n, np.nan, np.float32),
        by_human=np.zeros(n, bool),
    )


def names(found: Instances) -> list[str]:
    return [ROAD.by_id(int(i)).name for i in found.class_ids]


def riders(found: Instances) -> list[tuple[int, int]]:
    return [(join.over, join.under) for join in find_riders(found, ROAD)]


# A bicycle 30 wide and 20 high that stands on the ground at y = 50, and who sits on it.
BICYCLE: Box = (20, 30, 50, 50)
RIDER: Box = (28, 10, 42, 44)


def test_a_person_above_and_on_a_bicycle_rides_it() -> None:
    found = find_riders(instances([("person", RIDER), ("bicycle", BICYCLE)]), ROAD)
    assert found == (Join(over=0, under=1, class_id=ROAD.id_of("bicyclist"), sure=True),)


def test_a_person_on_a_motorcycle_is_a_motorcyclist() -> None:
    found = find_riders(instances([("motorcycle", BICYCLE), ("person", RIDER)]), ROAD)
    assert found == (Join(over=1, under=0, class_id=ROAD.id_of("motorcyclist"), sure=True),)


@pytest.mark.parametrize(("feet", "sure"), [(49, True), (50, False), (52, False)])
def test_who_may_stand_on_the_ground_beside_it_is_for_a_person_to_judge(
    feet: int, sure: bool
) -> None:
    # The bicycle is 20 high and ends at y = 50: 49 is 0.95 of the way down.
    before = instances(
        [("person", (28, 10, 42, feet)), ("bicycle", BICYCLE)],
        bitmaps=[block(*RIDER), block(*BICYCLE)],
    )
    after = join_riders(before, find_riders(before, ROAD))
    assert names(after)[0] == "bicyclist"
    assert after.statuses[0] == (Status.ACCEPTED if sure else Status.REVIEW)
    assert after.reasons[0] == (() if sure else ("rider.unsure",))


def test_a_rider_is_measured_against_the_box_of_both() -> None:
    rows: list[tuple[str, Box]] = [("person", RIDER), ("bicycle", BICYCLE)]
    before = instances(rows, bitmaps=[block(*RIDER), block(20, 30, 50, 56)])
    after = join_riders(before, find_riders(before, ROAD))
    # Joined box 20..50 x 10..50, mask bounds 20..50 x 10..56: IoU 40 / 46; six rows are outside.
    assert after.box_ious[0] == pytest.approx(40 / 46)
    total = int(np.count_nonzero(block(*RIDER) | block(20, 30, 50, 56)))
    assert after.outside_shares[0] == pytest.approx(180 / total)


@pytest.mark.parametrize(
    ("person", "rides"),
    [
        # The bicycle spans x 20 to 50, y 30 to 50.
        ((28, 10, 42, 52), True),  # feet a tenth of its height below it: 50 + 2
        ((28, 10, 42, 53), False),  # feet on the ground in front of it
        ((28, 10, 42, 59), False),  # a pedestrian much closer to the camera
        ((28, 10, 42, 34), True),  # reaches a fifth down from its top: 30 + 4
        ((28, 10, 42, 33), False),  # stands behind it, hidden from the hips
        ((28, 10, 42, 28), False),  # far behind, above it in the image
        ((28, 29, 42, 44), True),
        ((28, 30, 42, 44), False),  # no higher than the bicycle: a child behind it
        ((28, 35, 42, 44), False),
        ((43, 10, 57, 44), True),  # centre 50: at the end of the bicycle
        ((44, 10, 58, 44), False),  # centre 51: beside it
        ((13, 10, 27, 44), True),  # centre 20
        ((12, 10, 26, 44), False),  # centre 19
    ],
)
def test_who_sits_on_it_rides_and_who_stands_beside_it_walks(person: Box, rides: bool) -> None:
    assert riders(instances([("person", person), ("bicycle", BICYCLE)])) == [(0, 1)] * rides


def test_of_two_people_the_one_closer_to_the_middle_rides() -> None:
    middle, beside = (29, 10, 43, 44), (22, 10, 36, 44)  # centres 36 and 29; the bicycle's is 35
    found = [("person", beside), ("person", middle), ("bicycle", BICYCLE)]
    assert riders(instances(found)) == [(1, 2)]


def test_a_person_rides_one_bicycle_only_the_closest() -> None:
    far: Box = (8, 30, 38, 50)  # centre 23; the person's is 35
    rows = [("bicycle", far), ("person", RIDER), ("bicycle", BICYCLE)]
    assert riders(instances(rows)) == [(1, 2)]


def test_two_people_on_two_bicycles_each_ride_their_own() -> None:
    second_bicycle: Box = (35, 30, 65, 50)
    second_rider: Box = (43, 10, 57, 44)
    rows = [
        ("person", second_rider),
        ("person", RIDER),
        ("bicycle", BICYCLE),
        ("bicycle", second_bicycle),
    ]
    assert sorted(riders(instances(rows))) == [(0, 3), (1, 2)]


def test_a_person_prefers_the_closer_vehicle_whatever_its_kind() -> None:
    rows = [("person", RIDER), ("bicycle", (16, 30, 46, 50)), ("motorcycle", BICYCLE)]
    assert riders(instances(rows)) == [(0, 2)]


@pytest.mark.parametrize("rejected", [0, 1])
def test_what_was_rejected_neither_rides_nor_is_ridden(rejected: int) -> None:
    statuses = [Status.ACCEPTED, Status.ACCEPTED]
    statuses[rejected] = Status.REJECTED
    found = instances([("person", RIDER), ("bicycle", BICYCLE)], statuses=statuses)
    assert riders(found) == []


def test_a_car_is_not_ridden_and_a_rider_rides_no_second_time() -> None:
    assert riders(instances([("person", RIDER), ("car", BICYCLE)])) == []
    assert riders(instances([("bicyclist", RIDER), ("bicycle", BICYCLE)])) == []


def test_nobody_rides_in_an_empty_image() -> None:
    found = instances([])
    assert find_riders(found, ROAD) == ()
    assert join_riders(found, ()) is found


def test_a_rider_takes_the_union_of_masks_and_boxes_and_the_bicycle_is_emptied() -> None:
    before = instances(
        [("bicycle", BICYCLE), ("car", (60, 5, 75, 15)), ("person", RIDER)], ids=[4, 5, 6]
    )
    after = join_riders(
        before, (Join(over=2, under=0, class_id=ROAD.id_of("bicyclist"), sure=True),)
    )
    assert names(after) == ["bicycle", "car", "bicyclist"]
    np.testing.assert_array_equal(
        masks_.decode(after.masks),
        [np.zeros(SIZE_HW, bool), block(60, 5, 75, 15), block(*BICYCLE) | block(*RIDER)],
    )
    np.testing.assert_array_equal(after.boxes_xyxy[2], [20, 10, 50, 50])
    np.testing.assert_array_equal(after.boxes_xyxy[:2], before.boxes_xyxy[:2])
    assert after.statuses.tolist() == [Status.REJECTED, Status.ACCEPTED, Status.ACCEPTED]
    assert after.reasons == (("part_of.6",), (), ())
    np.testing.assert_array_equal(after.instance_ids, [4, 5, 6])


def test_the_box_of_a_rider_reaches_as_far_as_either_on_every_side() -> None:
    rows: list[tuple[str, Box]] = [("person", (18, 10, 42, 52)), ("bicycle", BICYCLE)]
    after = join_riders(instances(rows), (Join(0, 1, ROAD.id_of("bicyclist"), sure=True),))
    np.testing.assert_array_equal(after.boxes_xyxy[0], [18, 10, 50, 52])


def test_a_rider_is_as_doubtful_as_the_worse_of_the_two_and_keeps_all_reasons_once() -> None:
    before = instances(
        [("person", RIDER), ("bicycle", BICYCLE)],
        statuses=[Status.ACCEPTED, Status.REVIEW],
        reasons=[(), ("iou.low", "stability.low")],
    )
    joins = find_riders(before, ROAD)
    after = join_riders(before, joins)
    assert after.statuses.tolist() == [Status.REVIEW, Status.REJECTED]
    assert after.reasons == (("iou.low", "stability.low"), ("part_of.1",))
    both = replace(
        before,
        statuses=np.array([1, 1], np.uint8),
        reasons=(("iou.low",), ("stability.low", "iou.low")),
    )
    assert join_riders(both, joins).reasons[0] == ("iou.low", "stability.low")


def test_joining_leaves_what_it_was_given_as_it_was() -> None:
    before = instances([("person", RIDER), ("bicycle", BICYCLE)])
    boxes, classes = before.boxes_xyxy.copy(), before.class_ids.copy()
    join_riders(before, find_riders(before, ROAD))
    np.testing.assert_array_equal(before.boxes_xyxy, boxes)
    np.testing.assert_array_equal(before.class_ids, classes)
    assert before.statuses.tolist() == [0, 0]


def rejected(found: Instances) -> list[tuple[str, ...]]:
    after = reject_duplicates(found, ROAD, CONFIG)
    for status, reasons in zip(after.statuses, after.reasons, strict=True):
        assert (status == Status.REJECTED) == bool(reasons)
    return list(after.reasons)


CAR: Box = (10, 10, 30, 20)  # 20 x 10 = 200 pixels


@pytest.mark.parametrize("other", ["car", "truck", "person"])
def test_two_masks_of_one_object_are_one_whatever_their_classes(other: str) -> None:
    found = instances([(other, CAR), ("car", CAR)], scores=[0.5, 0.8], ids=[7, 8])
    assert rejected(found) == [("duplicate_of.8",), ()]


@pytest.mark.parametrize(
    ("width", "same"),
    [(20, True), (16, True), (15, False)],  # IoU 1, 160 / 200 = 0.8, 150 / 200 = 0.75
)
def test_masks_are_one_object_from_an_iou_of_eight_tenths(width: int, same: bool) -> None:
    # A person and a car: of two families, so that containment does not count.
    found = instances([("car", CAR), ("person", (10, 10, 10 + width, 20))], scores=[0.9, 0.8])
    assert rejected(found) == [(), ("duplicate_of.1",) if same else ()]


def test_a_part_with_a_lower_score_inside_one_of_its_family_is_a_duplicate() -> None:
    part: Box = (12, 12, 18, 18)
    found = instances([("truck", part), ("car", CAR)], scores=[0.6, 0.9])
    assert rejected(found) == [("duplicate_of.2",), ()]


@pytest.mark.parametrize(
    ("part", "is_part"),
    [
        ((26, 12, 36, 18), False),  # 4 of its 10 columns are inside
        ((21, 12, 31, 18), True),  # 9 of 10 columns: 0.9 of the mask and of the box
        ((22, 12, 32, 18), False),  # 8 of 10
    ],
)
def test_a_part_lies_inside_by_nine_tenths(part: Box, is_part: bool) -> None:
    found = instances([("car", CAR), ("car", part)], scores=[0.9, 0.6])
    assert rejected(found) == [(), ("duplicate_of.1",) if is_part else ()]


@pytest.mark.parametrize(
    "box",
    [(10, 2, 30, 38), (10, 22, 30, 58), (1, 22, 30, 38), (10, 22, 70, 38)],
    ids=["above", "below", "left", "right"],
)
def test_a_part_needs_its_box_inside_too(box: Box) -> None:
    # Two cars behind each other: the mask of the second leaks onto the first, its box does not.
    found = instances(
        [("car", (5, 20, 45, 40)), ("car", box)],
        bitmaps=[block(5, 20, 45, 40), block(10, 22, 30, 38)],
        scores=[0.9, 0.8],
    )
    assert reject_duplicates(found, ROAD, CONFIG).statuses.tolist() == [Status.ACCEPTED] * 2
    inside = replace(found, boxes_xyxy=np.array([(5, 20, 45, 40), (10, 22, 30, 38)], np.float32))
    assert reject_duplicates(inside, ROAD, CONFIG).statuses.tolist() == [0, Status.REJECTED]


def test_a_part_needs_its_mask_inside_too() -> None:
    # The box is inside, the mask runs away from it.
    found = instances(
        [("car", CAR), ("car", (12, 12, 18, 18))],
        bitmaps=[block(*CAR), block(12, 12, 18, 50)],
        scores=[0.9, 0.6],
    )
    assert rejected(found) == [(), ()]


@pytest.mark.parametrize("inner", ["person", "traffic-sign", "bicycle"])
def test_a_person_inside_the_mask_of_a_car_is_no_part_of_the_car(inner: str) -> None:
    found = instances([("car", CAR), (inner, (12, 12, 18, 18))], scores=[0.9, 0.6])
    assert rejected(found) == [(), ()]


def test_of_boxes_that_a_person_gave_none_is_a_part() -> None:
    # A car in front of a bus: both score 1; the car's predicted IoU is lower.
    found = instances(
        [("bus", CAR), ("car", (12, 12, 18, 18))], scores=[1, 1], predicted_ious=[0.9, 0.8]
    )
    assert rejected(found) == [(), ()]


def test_a_part_with_the_higher_score_is_kept_and_so_is_the_whole() -> None:
    found = instances([("car", CAR), ("car", (12, 12, 18, 18))], scores=[0.6, 0.9])
    assert rejected(found) == [(), ()]


def test_an_accepted_duplicate_beats_a_better_scored_one_for_review() -> None:
    found = instances(
        [("car", CAR), ("car", CAR)],
        scores=[0.99, 0.5],
        statuses=[Status.REVIEW, Status.ACCEPTED],
        reasons=[("iou.low",), ()],
    )
    after = reject_duplicates(found, ROAD, CONFIG)
    assert after.statuses.tolist() == [Status.REJECTED, Status.ACCEPTED]
    assert after.reasons == (("iou.low", "duplicate_of.2"), ())


def test_a_rejected_or_empty_instance_makes_no_other_a_duplicate() -> None:
    found = instances(
        [("car", CAR), ("car", CAR), ("car", CAR)],
        bitmaps=[block(*CAR), np.zeros(SIZE_HW, bool), block(*CAR)],
        statuses=[Status.REJECTED, Status.ACCEPTED, Status.ACCEPTED],
        scores=[0.99, 0.98, 0.5],
        reasons=[("score.low",), (), ()],
    )
    after = reject_duplicates(found, ROAD, CONFIG)
    assert after.statuses.tolist() == [Status.REJECTED, Status.ACCEPTED, Status.ACCEPTED]
    assert after.reasons == (("score.low",), (), ())


def test_two_empty_masks_are_not_one_object() -> None:
    nothing = np.zeros(SIZE_HW, bool)
    assert rejected(instances([("car", CAR)] * 2, bitmaps=[nothing, nothing])) == [(), ()]


def test_a_third_duplicate_names_the_survivor_not_another_duplicate() -> None:
    found = instances([("car", CAR)] * 3, scores=[0.5, 0.7, 0.6], ids=[11, 12, 13])
    assert rejected(found) == [("duplicate_of.12",), (), ("duplicate_of.12",)]


def test_what_only_resembles_a_duplicate_is_kept() -> None:
    # Three masks in a row, each shifted by 2 of 20 columns: IoU 18 / 22 = 0.82 to the next,
    # 16 / 24 = 0.67 to the one after. The middle one goes, so the last has nothing to resemble.
    boxes: list[Box] = [(10, 10, 30, 20), (12, 10, 32, 20), (14, 10, 34, 20)]
    found = instances(
        [("car", boxes[0]), ("car", boxes[1]), ("car", boxes[2])], scores=[0.9, 0.8, 0.7]
    )
    assert rejected(found) == [(), ("duplicate_of.1",), ()]


def test_no_instances_have_no_duplicates() -> None:
    assert len(reject_duplicates(instances([]), ROAD, CONFIG)) == 0
    assert precedence(instances([])) == []


def test_precedence_is_status_then_score_then_how_low_a_box_reaches_then_id() -> None:
    low: Box = (10, 10, 30, 30)
    high: Box = (10, 0, 30, 20)
    found = instances(
        [("car", high)] * 4 + [("car", low), ("car", high), ("car", high)],
        statuses=[Status(status) for status in (2, 1, 0, 0, 0, 0, 0)],
        scores=[0.99, 0.98, 0.5, 0.6, 0.6, 0.6, 0.6],
        predicted_ious=[0.9, 0.9, 0.9, 0.7, 0.1, 0.8, math.nan],
        ids=[1, 2, 3, 7, 6, 5, 4],
    )
    # 4 reaches lower; of the others the lower id is first, whatever the segmenter thinks of them.
    assert precedence(found) == [4, 6, 5, 3, 2, 1, 0]


def test_of_boxes_that_reach_as_low_the_smaller_mask_is_in_front_then_the_lower_id() -> None:
    small: Box = (12, 12, 18, CAR[3])
    found = instances([("bus", CAR), ("car", small), ("car", CAR)], scores=[1, 1, 1], ids=[3, 2, 1])
    assert precedence(found) == [1, 2, 0]


def contested(kept_columns: int, status: Status = Status.ACCEPTED) -> Instances:
    """Return a car of 20 columns that keeps some of them."""
    before = instances([("car", CAR)], statuses=[status], reasons=[("iou.low",) * int(status)])
    settled = masks_.encode(block(10, 10, 10 + kept_columns, 20)[None])
    return flag_contested(before, settled, ResolveConfig(review_lost_share=0.3))


@pytest.mark.parametrize(
    ("kept_columns", "status", "reasons"),
    [
        (20, Status.ACCEPTED, ()),
        (14, Status.ACCEPTED, ()),  # lost 6 of 20: 0.3
        (13, Status.REVIEW, ("mask.contested",)),
        (0, Status.REVIEW, ("mask.contested",)),
    ],
)
def test_who_lost_many_pixels_to_better_claims_is_reviewed(
    kept_columns: int, status: Status, reasons: tuple[str, ...]
) -> None:
    after = contested(kept_columns)
    assert (after.statuses.tolist(), after.reasons) == ([status], (reasons,))
    assert masks_.areas(after.masks).tolist() == [kept_columns * 10]


def test_a_contested_mask_keeps_its_doubts_and_a_rejected_one_stays_rejected() -> None:
    doubted = contested(5, Status.REVIEW)
    assert doubted.statuses.tolist() == [Status.REVIEW]
    assert doubted.reasons == (("iou.low", "mask.contested"),)
    rejected_one = contested(5, Status.REJECTED)
    assert rejected_one.statuses.tolist() == [Status.REJECTED]
    assert "mask.contested" not in rejected_one.reasons[0]
    assert masks_.areas(rejected_one.masks).tolist() == [50]


def test_nobody_and_nothing_is_contested_where_there_is_none() -> None:
    none = instances([])
    assert len(flag_contested(none, none.masks, CONFIG)) == 0
    empty = instances([("car", CAR)], bitmaps=[np.zeros(SIZE_HW, bool)])
    assert flag_contested(empty, empty.masks, CONFIG).reasons == ((),)


def test_the_better_one_keeps_its_pixels_and_the_other_the_rest() -> None:
    masks = masks_.encode(np.stack([block(0, 0, 20, 20), block(10, 10, 30, 30)]))
    first = masks_.decode(settle_overlaps(masks, [0, 1]))
    np.testing.assert_array_equal(
        first, [block(0, 0, 20, 20), block(10, 10, 30, 30) & ~block(0, 0, 20, 20)]
    )
    second = masks_.decode(settle_overlaps(masks, [1, 0]))
    np.testing.assert_array_equal(
        second, [block(0, 0, 20, 20) & ~block(10, 10, 30, 30), block(10, 10, 30, 30)]
    )


def test_a_covered_mask_stays_as_an_empty_row() -> None:
    masks = masks_.encode(np.stack([block(5, 5, 9, 9), block(0, 0, 20, 20)]))
    settled = settle_overlaps(masks, [1, 0])
    assert len(settled) == 2
    assert settled.counts[0] == b""
    np.testing.assert_array_equal(settled.boxes_xyxy[0], [0, 0, 0, 0])


def test_no_masks_and_empty_masks_settle() -> None:
    none = Masks(np.zeros((0, 4), np.int32), (), SIZE_HW)
    assert len(settle_overlaps(none, [])) == 0
    empty = masks_.encode(np.zeros((2, *SIZE_HW), bool))
    assert settle_overlaps(empty, [1, 0]).counts == (b"", b"")


@st.composite
def stacks(draw: st.DrawFn) -> tuple[Bool, list[int]]:
    n, height, width = draw(st.integers(0, 5)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bitmaps = np.zeros((n, height, width), bool)
    for bitmap in bitmaps:
        y0, x0 = random.integers(0, height), random.integers(0, width)
        y1, x1 = random.integers(y0, height + 1), random.integers(x0, width + 1)
        bitmap[y0:y1, x0:x1] = random.random((y1 - y0, x1 - x0)) < random.choice([0.5, 1])
    return bitmaps, draw(st.permutations(range(n)))


@given(stacks())
def test_every_pixel_has_one_owner_the_first_that_claims_it(case: tuple[Bool, list[int]]) -> None:
    bitmaps, order = case
    before = masks_.encode(bitmaps)
    settled = settle_overlaps(before, order)
    after = masks_.decode(masks_.checked(settled))
    assert (after.sum(axis=0) <= 1).all()
    np.testing.assert_array_equal(after.any(axis=0), bitmaps.any(axis=0))
    assert not (after & ~bitmaps).any()
    earlier = np.zeros(bitmaps.shape[1:], bool)
    for row in order:
        np.testing.assert_array_equal(after[row], bitmaps[row] & ~earlier)
        earlier |= bitmaps[row]
    np.testing.assert_array_equal(masks_.decode(before), bitmaps)


def test_a_mask_yields_what_the_points_give_to_another_and_keeps_the_rest() -> None:
    shapes = [block(10, 10, 30, 30), block(20, 20, 40, 40), block(60, 0, 70, 10)]
    masks = instances([("car", (0, 0, 1, 1))] * 3, bitmaps=shapes).masks
    yielded = masks_.decode(yield_overlaps(masks, ((1, 0),)))
    np.testing.assert_array_equal(yielded, [shapes[0] & ~shapes[1], *shapes[1:]])
    untouched = yield_overlaps(masks, ((0, 2), (2, 1)))  # they do not overlap
    np.testing.assert_array_equal(masks_.decode(untouched), shapes)


def test_a_mask_that_yields_all_is_empty_and_two_may_take_from_one() -> None:
    shapes = [block(10, 10, 30, 30), block(0, 0, 20, 60), block(20, 0, 40, 60)]
    masks = instances([("car", (0, 0, 1, 1))] * 3, bitmaps=shapes).masks
    assert masks_.areas(yield_overlaps(masks, ((1, 0), (2, 0)))).tolist() == [0, 1200, 1200]
    empty = instances([("car", (0, 0, 1, 1))], bitmaps=[np.zeros(SIZE_HW, bool)]).masks
    assert masks_.areas(yield_overlaps(empty, ())).tolist() == [0]


def test_doubts_send_to_review_and_never_back() -> None:
    box = (0.0, 0.0, 5.0, 5.0)
    statuses = [Status.ACCEPTED, Status.REVIEW, Status.ACCEPTED]
    found = instances([("car", box)] * 3, statuses=statuses, reasons=[(), ("iou.low",), ()])
    flagged = flag_doubts(found, (("points.size",), ("points.behind",), ()))
    assert flagged.statuses.tolist() == [Status.REVIEW, Status.REVIEW, Status.ACCEPTED]
    assert flagged.reasons == (("points.size",), ("iou.low", "points.behind"), ())
    assert flag_doubts(found, ()) is found
