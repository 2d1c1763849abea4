"""Which label an object of an edited file is, and when it is as it was."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from perception.core import masks as masks_
from perception.core.shapes import BOX, MASK, POLYGON, Shape
from perception.core.types import Status
from perception.formats import mask_of_polygons
from perception.review.decisions.matching import (
    FEW,
    Match,
    Row,
    Version,
    is_copy,
    match,
    tolerance_px,
)

HW = (60, 80)
Box = tuple[int, int, int, int]


def block(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    bitmap = np.zeros(HW, bool)
    bitmap[y0:y1, x0:x1] = True
    return bitmap


def row(bitmap: np.ndarray, kind: str = MASK, instance_id: int = 0) -> Row:
    shape = Shape("here", kind, "car", instance_id)
    return Row(shape, masks_.encode_one(bitmap), "car")


def label(
    bitmap: np.ndarray, instance: int = 1, status: Status = Status.ACCEPTED, *, now: bool = True
) -> Version:
    mask = masks_.encode_one(bitmap)
    return Version(instance, instance, "car", status, mask, "set" if now else "old", now)


def found(rows: Sequence[Row], labels: Sequence[Version]) -> dict[int, int]:
    return {place: one.instance for place, one in match(list(rows), list(labels), HW).items()}


def test_a_mask_without_our_id_is_the_label_that_it_overlaps_by_half() -> None:
    ours = label(block(10, 10, 30, 30))
    assert found([row(block(10, 10, 30, 22))], [ours]) == {0: 1}  # IoU 0.6
    assert found([row(block(10, 10, 30, 18))], [ours]) == {}  # 0.4
    assert found([row(block(28, 10, 48, 30))], [ours]) == {}  # 0.05


def test_the_id_finds_a_label_wherever_it_was_moved() -> None:
    labels = [label(block(10, 10, 30, 30)), label(block(40, 10, 60, 30), 2)]
    assert found([row(block(50, 40, 70, 55), instance_id=1)], labels) == {0: 1}


def test_the_same_pixels_say_more_than_an_id() -> None:
    """Other tools have an `instance_id` of their own, which may be one of ours by chance."""
    labels = [label(block(10, 10, 30, 30)), label(block(40, 10, 60, 30), 2)]
    rows = [
        row(block(40, 10, 60, 30), instance_id=1),
        row(block(10, 10, 30, 30), instance_id=2),
    ]
    assert found(rows, labels) == {0: 2, 1: 1}


def test_of_two_with_one_id_the_one_that_stayed_is_the_label() -> None:
    labels = [label(block(10, 10, 30, 30))]
    copied = row(block(50, 40, 70, 55), instance_id=1)
    stayed = row(block(10, 10, 30, 30), instance_id=1)
    assert found([copied, stayed], labels) == {1: 1}


def test_a_rejected_label_is_found_as_it_was_and_not_by_overlap() -> None:
    gone = label(block(10, 10, 30, 30), status=Status.REJECTED)
    assert found([row(block(10, 10, 30, 30))], [gone]) == {0: 1}
    assert found([row(block(10, 10, 30, 26))], [gone]) == {}


def test_what_a_label_was_before_is_it_but_overlaps_with_that_say_nothing() -> None:
    now, before = label(block(10, 10, 30, 30)), label(block(40, 30, 60, 50), now=False)
    assert found([row(block(40, 30, 60, 50))], [now, before]) == {0: 1}
    assert found([row(block(40, 30, 60, 44))], [now, before]) == {}
    both = match([row(block(40, 30, 60, 50))], [now, before], HW)[0]
    assert both.same(0) == (before,)


def off(one: Row, ours: np.ndarray) -> int:
    """Return by how many pixels an edge is off; 3 for more."""
    matched = match([one], [label(ours)], HW).get(0, Match(1, ()))
    return min((pixels for _, pixels in matched.off_px), default=3)


@pytest.mark.parametrize(
    ("drawn", "kind", "pixels"),
    [
        (block(10, 10, 30, 30), MASK, 0),
        (block(10, 10, 30, 31), MASK, 1),
        (block(11, 11, 29, 29), MASK, 1),
        (block(10, 10, 32, 30), MASK, 2),
        (block(10, 10, 33, 30), MASK, 3),
        (block(12, 10, 32, 30), MASK, 2),  # moved, not grown
        (block(13, 10, 33, 30), MASK, 3),
        (block(10, 10, 30, 30) & ~block(18, 18, 24, 24), MASK, 3),  # a hole that was not there
        (block(10, 10, 30, 30) & ~block(10, 18, 30, 19), MASK, 3),  # a slit
    ],
)
def test_how_far_an_edge_is_off(drawn: np.ndarray, kind: str, pixels: int) -> None:
    assert off(row(drawn, kind), block(10, 10, 30, 30)) == pixels


@pytest.mark.parametrize(
    ("drawn", "ours", "pixels"),
    [
        (block(0, 0, 21, 20), block(0, 0, 20, 20), 1),
        (block(1, 1, 20, 20), block(0, 0, 20, 20), 1),
        (block(60, 40, 78, 58), block(60, 40, 80, 60), 2),
        (block(0, 0, 80, 59), block(0, 0, 80, 60), 1),
    ],
)
def test_an_edge_at_the_border_of_the_picture_is_off_by_as_much(
    drawn: np.ndarray, ours: np.ndarray, pixels: int
) -> None:
    assert off(row(drawn), ours) == pixels


def test_a_wire_that_was_cut_off_is_missed() -> None:
    mast = block(10, 10, 30, 30) | block(30, 20, 40, 21)  # ten pixels long, one thick
    assert off(row(block(10, 10, 30, 30)), mast) == 3


def test_outlines_cannot_say_a_hole_and_boxes_say_nothing_but_bounds() -> None:
    holed = block(10, 10, 30, 30) & ~block(16, 16, 24, 24)
    holed[10, 10] = False  # no rectangle
    outline = block(10, 10, 30, 30)
    outline[10, 10] = False
    assert off(row(outline, POLYGON), holed) == 0
    assert off(row(outline, MASK), holed) == 3
    round_ = np.zeros((*HW, 1), np.uint8)
    cv2.ellipse(round_, (30, 30), (15, 9), 0, 0, 360, 1, cv2.FILLED)
    ours = round_[..., 0].astype(bool)
    x0, y0, x1, y1 = masks_.encode_one(ours)[0].tolist()
    for kind in (BOX, POLYGON):
        assert off(row(block(x0, y0, x1, y1), kind), ours) == 0
        assert off(row(block(x0 + 1, y0, x1, y1), kind), ours) == 1
    assert off(row(block(x0, y0, x1, y1), MASK), ours) == 3


def test_a_contour_of_opencv_is_off_by_one_at_most() -> None:
    canvas = np.zeros(HW, np.uint8)
    cv2.ellipse(canvas, (30, 30), (18, 11), 30, 0, 360, 1, cv2.FILLED)
    contours, _ = cv2.findContours(canvas, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    drawn = mask_of_polygons([contours[0].ravel().astype(float).tolist()], HW, "")
    assert off(row(masks_.decode_one(drawn, 0), POLYGON), canvas.astype(bool)) == 1


@pytest.mark.parametrize(
    ("form", "off_px", "tolerance"),
    [
        (MASK, {}, 0),
        (MASK, {1: FEW - 1}, 0),  # a person who moved a few
        (MASK, {1: FEW}, 1),  # a tool that draws them again
        (MASK, {0: FEW, 1: FEW}, 0),
        ("outline", {}, 1),
        ("outline", {0: 1}, 0),
        ("outline", {0: 3, 1: 2}, 0),
        ("outline", {1: 2}, 1),
        ("outline", {2: FEW - 1}, 1),
        ("outline", {2: FEW}, 2),
        ("outline", {0: 2, 1: 4, 2: FEW}, 1),
        (BOX, {}, 1),
    ],
)
def test_the_tolerance_is_what_most_outlines_of_a_file_need(
    form: str, off_px: dict[int, int], tolerance: int
) -> None:
    assert tolerance_px(form, Counter(off_px)) == tolerance


def test_a_copy_of_a_label_is_no_new_object() -> None:
    ours = [label(block(10, 10, 30, 30))]
    assert is_copy(row(block(10, 10, 30, 30)), ours, 0)
    assert not is_copy(row(block(10, 10, 30, 31)), ours, 0)
    before = label(block(10, 10, 30, 30), now=False)
    assert not is_copy(row(block(10, 10, 30, 30)), [before], 0)
    assert is_copy(row(block(10, 10, 30, 30)), [replace(before, label_set="")], 0)  # as drawn


def test_a_picture_without_labels_or_rows() -> None:
    assert found([], [label(block(1, 1, 5, 5))]) == {} and found([row(block(1, 1, 5, 5))], []) == {}
