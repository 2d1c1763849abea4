import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.core import boxes
from perception.core.types import Detections, Float32

SIZE_HW = (100, 200)
NAN, INF = math.nan, math.inf


def detections(rows: list[list[float]], scores: list[float] | None = None) -> Detections:
    n = len(rows)
    return Detections(
        boxes_xyxy=np.array(rows, np.float32).reshape(n, 4),
        scores=np.array(scores if scores is not None else [0.9] * n, np.float32),
        class_ids=np.arange(n, dtype=np.int32),
        class_names=("car",),
    )


def floats(*rows: list[float]) -> Float32:
    return np.array(rows, np.float32).reshape(-1, 4)


GOOD = [10.0, 20.0, 30.0, 40.0]


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ([NAN, 20, 30, 40], "box.nan"),
        ([NAN] * 4, "box.nan"),
        ([10, 20, INF, 40], "box.nan"),
        ([-INF, 20, 30, 40], "box.nan"),
        ([30, 20, 10, 40], "box.inverted"),
        ([10, 40, 30, 20], "box.inverted"),
        ([10, 20, 10, 40], "box.inverted"),
        ([0, 0, 0, 0], "box.inverted"),
        ([250, 20, 300, 40], "box.outside_image"),
        ([10, 150, 30, 190], "box.outside_image"),
        ([-50, -60, -10, -20], "box.outside_image"),
        ([200, 20, 230, 40], "box.outside_image"),  # half-open: 200 is the first column outside
        ([10, 20, 10.5, 40], "box.too_small"),
        ([199.5, 20, 300, 40], "box.too_small"),  # half a pixel is left after clipping
        ([-20, -20, 0.25, 0.25], "box.too_small"),
    ],
)
def test_a_box_that_cannot_prompt_is_dropped_by_reason_and_the_others_are_kept(
    box: list[float], reason: str
) -> None:
    kept, dropped = boxes.usable(detections([GOOD, box, GOOD]), SIZE_HW)
    assert dropped == ((reason, 1),)
    np.testing.assert_array_equal(kept.class_ids, [0, 2])
    np.testing.assert_array_equal(kept.boxes_xyxy, [GOOD, GOOD])


def test_every_reason_is_counted_in_alphabetical_order() -> None:
    kept, dropped = boxes.usable(
        detections([[NAN] * 4, [5, 5, 5.1, 5.1], [NAN] * 4, [9, 9, 1, 1], [300, 0, 400, 9]]),
        SIZE_HW,
    )
    assert len(kept) == 0
    assert dropped == (
        ("box.inverted", 1),
        ("box.nan", 2),
        ("box.outside_image", 1),
        ("box.too_small", 1),
    )


def test_no_boxes_are_no_fault() -> None:
    kept, dropped = boxes.usable(detections([]), SIZE_HW)
    assert dropped == ()
    assert kept.boxes_xyxy.shape == (0, 4)
    assert kept.class_names == ("car",)


def test_a_score_that_is_no_number_drops_the_box() -> None:
    kept, dropped = boxes.usable(detections([GOOD, GOOD], [NAN, 0.5]), SIZE_HW)
    assert dropped == (("box.nan", 1),)
    np.testing.assert_array_equal(kept.scores, [0.5])


def test_a_box_that_looks_over_the_border_is_cut_there() -> None:
    kept, dropped = boxes.usable(detections([[-15, -5, 30, 40], [150, 60, 999, 999]]), SIZE_HW)
    assert dropped == ()
    np.testing.assert_array_equal(kept.boxes_xyxy, [[0, 0, 30, 40], [150, 60, 200, 100]])


def test_a_box_of_one_pixel_can_prompt() -> None:
    kept, dropped = boxes.usable(detections([[199, 99, 200, 100]]), SIZE_HW)
    assert (len(kept), dropped) == (1, ())


def test_the_callers_boxes_are_unchanged() -> None:
    raw = np.array([[-15, -5, 30, 40], [NAN, 0, 1, 1]], np.float32)
    before = raw.copy()
    given_boxes = Detections(raw, np.ones(2, np.float32), np.zeros(2, np.int32), ("car",))
    boxes.usable(given_boxes, SIZE_HW)
    boxes.clip(raw, SIZE_HW)
    boxes.areas(raw)
    np.testing.assert_array_equal(raw, before)
    np.testing.assert_array_equal(given_boxes.boxes_xyxy, before)


def test_rows_that_the_source_dropped_are_counted_with_those_dropped_here() -> None:
    found = replace(
        detections([GOOD, [5, 5, 5, 5], [NAN, 0, 1, 1]]),
        dropped=(("box.nan", 2), ("row.words", 1)),
        mended=(("row.clipped", 1),),
    )
    kept, dropped = boxes.usable(found, SIZE_HW)
    assert dropped == (("box.inverted", 1), ("box.nan", 3), ("row.words", 1))
    assert (kept.dropped, kept.mended) == ((), (("row.clipped", 1),))  # none is counted twice


coordinates = st.one_of(
    st.floats(-50, 260, width=32), st.sampled_from([NAN, INF, -INF, 0.0, 3e38, -3e38])
)


@given(st.lists(st.lists(coordinates, min_size=4, max_size=4), max_size=8))
def test_every_box_is_kept_or_counted_and_what_is_kept_fits(rows: list[list[float]]) -> None:
    kept, dropped = boxes.usable(detections(rows), SIZE_HW)
    assert len(kept) + sum(count for _, count in dropped) == len(rows)
    low, high = kept.boxes_xyxy[:, :2], kept.boxes_xyxy[:, 2:]
    assert (low >= 0).all() and (high <= [200, 100]).all()
    assert (high - low >= boxes.MIN_SIDE_PX).all()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([0, 0, 10, 10], [0, 0, 10, 10], 1),
        ([0, 0, 10, 10], [5, 0, 15, 10], 50 / 150),
        ([0, 0, 10, 10], [0, 0, 5, 5], 25 / 100),
        ([0, 0, 10, 10], [10, 0, 20, 10], 0),  # half-open boxes that touch share no pixel
        ([0, 0, 10, 10], [50, 50, 60, 60], 0),
        ([0, 0, 10, 10], [8, 8, 2, 2], 0),  # inverted: no area
        ([0, 0, 0, 0], [0, 0, 0, 0], 0),  # no union to divide by
    ],
)
def test_iou_of_a_pair(first: list[float], second: list[float], expected: float) -> None:
    both_ways = boxes.paired_ious(floats(first, second), floats(second, first))
    np.testing.assert_allclose(both_ways, [expected, expected])


def test_measures_of_no_boxes_are_empty() -> None:
    assert boxes.areas(floats()).shape == (0,)
    assert boxes.paired_ious(floats(), floats()).shape == (0,)
    assert boxes.clip(floats(), SIZE_HW).shape == (0, 4)


def test_areas_are_in_square_pixels_and_exact_for_large_boxes() -> None:
    np.testing.assert_array_equal(
        boxes.areas(floats([0, 0, 8191, 4097], [5, 5, 1, 9])), [8191 * 4097, 0]
    )


@given(
    st.lists(
        st.tuples(*[st.integers(-5, 20)] * 2, *[st.integers(1, 12)] * 2, st.integers(0, 1)),
        max_size=12,
    ),
    st.sampled_from([0.3, 0.5, 0.7]),
)
def test_suppression_keeps_what_the_textbook_keeps(
    rows: list[tuple[int, int, int, int, int]], max_iou: float
) -> None:
    found = Detections(
        boxes_xyxy=floats(*([x, y, x + w, y + h] for x, y, w, h, _ in rows)),
        scores=np.array([(7 * i % 5) / 5 for i in range(len(rows))], np.float32),  # with ties
        class_ids=np.array([row[4] for row in rows], np.int32),
        class_names=("car", "truck"),
    )
    kept: list[int] = []
    for row in np.argsort(-found.scores, kind="stable"):
        same = [other for other in kept if found.class_ids[other] == found.class_ids[row]]
        if (boxes.ious(found.boxes_xyxy[[row]], found.boxes_xyxy[same]) <= max_iou).all():
            kept.append(int(row))
    ours = boxes.suppress(found, max_iou)
    np.testing.assert_array_equal(ours.boxes_xyxy, found.boxes_xyxy[kept])
    np.testing.assert_array_equal(ours.class_ids, found.class_ids[kept])
