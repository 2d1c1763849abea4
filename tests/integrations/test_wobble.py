"""How far a mask depends on its exact box."""

import numpy as np
import pytest

pytest.importorskip("PIL")

from perception_sam.views import square
from perception_sam.wobble import JITTER_SHARE, jitter, part_around, steadiness

SIZE_HW = (100, 200)
BOXES = np.array([[20, 30, 60, 50], [0, 0, 200, 100], [199, 99, 200, 100]], np.float32)


def test_every_side_moves_by_at_most_a_tenth_of_the_box_and_stays_in_the_image() -> None:
    moved = jitter(BOXES, 8, SIZE_HW)
    assert moved.shape == (8, 3, 4) and moved.dtype == np.float32
    sides = np.tile(BOXES[:, 2:] - BOXES[:, :2], 2)
    assert (np.abs(moved - BOXES) <= JITTER_SHARE * sides + 1e-4).all()
    assert (moved >= 0).all() and (moved <= [200, 100, 200, 100]).all()
    assert (moved[..., 2:] > moved[..., :2]).all()
    assert len(np.unique(moved[:, 0], axis=0)) == 8


def test_a_box_is_moved_alike_whatever_stands_beside_it() -> None:
    np.testing.assert_array_equal(jitter(BOXES, 8, SIZE_HW)[:, :1], jitter(BOXES[:1], 8, SIZE_HW))
    assert jitter(BOXES[:0], 8, SIZE_HW).shape == (8, 0, 4)


def test_a_part_holds_the_box_with_a_quarter_around_it_and_lies_inside() -> None:
    view = square((1024, 1024))  # one pixel of the input for each of the image
    # 160 px are 10 cells: 15 needed, 24 given, around cell 37, 21
    box = np.array([512, 256, 672, 416], np.float32)
    assert part_around(box, view, (64, 64)) == (25, 9, 49, 33)
    assert part_around(box - [512, 256, 512, 256], view, (64, 64)) == (0, 0, 24, 24)
    assert part_around(box, view, (20, 64)) == (25, 0, 49, 20)  # wider than high
    assert part_around(box * 1.5, view, (64, 64)) == (40, 20, 64, 44)  # at the edge
    assert part_around(np.float32([0, 0, 1024, 1000]), view, (64, 64)) == (0, 0, 64, 64)
    assert part_around(np.float32([9, 9, 9, 9]), view, (64, 64)) == (0, 0, 12, 12)


def test_steadiness_is_the_mean_iou_and_the_iou_with_the_majority() -> None:
    view = square((256, 1024))  # fills a quarter of the square
    own, others = np.full((2, 256, 256), -1.0), np.full((6, 256, 256), -1.0)
    own[0, 0, :2] = 1
    others[0, 0, :2] = others[2, 0, :1] = others[4, 0, :3:2] = 1  # of the first box
    others[3, 0, 0] = 1  # of the second box
    others[:, 64:] = 1  # below the image
    found = steadiness(own.astype(np.float32), others.astype(np.float32), view.filled_hw)
    # IoU 2/2, 1/2 and 1/3; most cover the first cell alone: 1 of 2
    np.testing.assert_allclose(found[0], [(1 + 1 / 2 + 1 / 3) / 3, np.nan], rtol=1e-6)
    np.testing.assert_allclose(found[1], [1 / 2, np.nan])
