"""Outlines of masks: filled again they are the mask, to the pixel."""

import cv2
import numpy as np
import pytest

from perception.core import masks as masks_
from perception.visualization.outlines import outlines


def filled(lines: list[list[int]], size_hw: tuple[int, int]) -> np.ndarray:
    """Fill outlines that run along pixels by the even-odd rule: each upright side flips a row."""
    canvas = np.zeros(size_hw, bool)
    for line in lines:
        corners = np.array(line).reshape(-1, 2)
        for (x, y), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            assert x == x1 or y == y1, "along the edges of pixels"
            canvas[min(y, y1) : max(y, y1), x:] ^= True
    return canvas


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
def test_an_outline_filled_again_is_the_mask(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=(60, 90))
    for smooth_px in (1, 4):
        bitmap = cv2.GaussianBlur(noise, (0, 0), smooth_px) > 0.02
        np.testing.assert_array_equal(filled(mask_of(bitmap), bitmap.shape), bitmap)
