"""Outlines of masks: exact for straight edges, within a pixel for all others."""

import cv2
import numpy as np
import pytest

from perception.core import masks as masks_
from perception.visualization.outlines import outlines


def drawn(lines: list[list[int]], size_hw: tuple[int, int], scale: int) -> np.ndarray:
    """Fill outlines by the even-odd rule, `scale` times enlarged."""
    canvas = np.zeros((size_hw[0] * scale, size_hw[1] * scale), np.uint8)
    for line in lines:
        one = np.zeros_like(canvas)
        # A polygon of OpenCV holds its border: half a pixel less puts it between pixels.
        corners = (np.array(line, np.float64).reshape(-1, 2) * scale - 0.5) * 16
        cv2.fillPoly(one, [corners.round().astype(np.int32)], 1, shift=4)
        canvas ^= one
    return canvas.astype(bool)


def mask_of(bitmap: np.ndarray) -> list[list[int]]:
    return outlines(masks_.encode(bitmap[None]), 0)


def test_a_rectangle_has_its_four_corners_on_the_corners_of_pixels() -> None:
    bitmap = np.zeros((20, 30), bool)
    bitmap[3:7, 5:15] = True
    (line,) = mask_of(bitmap)
    corners = {(x, y) for x, y in zip(line[::2], line[1::2], strict=True)}
    assert corners == {(5, 3), (15, 3), (15, 7), (5, 7)}


def test_a_single_pixel_and_a_hole_have_outlines_and_an_empty_mask_has_none() -> None:
    bitmap = np.zeros((8, 8), bool)
    assert mask_of(bitmap) == []
    bitmap[2, 3] = True
    (line,) = mask_of(bitmap)
    assert [min(line[::2]), max(line[::2]), min(line[1::2]), max(line[1::2])] == [3, 4, 2, 3]
    bitmap[1:7, 1:7] = True
    bitmap[3:5, 2:4] = False
    outer, inner = sorted(mask_of(bitmap), key=min)
    assert [min(outer), max(outer)] == [1, 7]
    assert [min(inner[::2]), max(inner[::2]), min(inner[1::2]), max(inner[1::2])] == [2, 4, 3, 5]


@pytest.mark.parametrize("seed", range(5))
def test_what_is_filled_differs_from_the_mask_by_less_than_a_pixel(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=(60, 90))
    bitmap = cv2.GaussianBlur(noise, (0, 0), 4) > 0.02
    scale = 8
    found = drawn(mask_of(bitmap), bitmap.shape, scale)
    wanted = np.kron(bitmap, np.ones((scale, scale), bool))
    # Distance of each pixel from the other side of the mask's edge.
    inside = cv2.distanceTransform(wanted.astype(np.uint8), cv2.DIST_L2, 5)
    outside = cv2.distanceTransform((~wanted).astype(np.uint8), cv2.DIST_L2, 5)
    assert (inside + outside)[found != wanted].max(initial=0) <= 1.0 * scale
    assert (found != wanted).mean() < 0.02
