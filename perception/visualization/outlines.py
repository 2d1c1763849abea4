"""Outlines of masks as polygons: what a browser draws in place of pixels."""

import cv2
import numpy as np

from perception.core import masks as masks_
from perception.core.types import Masks


def outlines(masks: Masks, row: int) -> list[list[int]]:
    """Return the closed outlines of a mask, holes included, for filling by the even-odd rule.

    They run along the edges of pixels, and pixel (x, y) covers x to x + 1 and y to y + 1: nothing
    is smoothed, since that would spare little text.

    Args:
        masks: Of one image.
        row: Which.

    Returns:
        Flat lists x y x y ...; none for an empty mask.
    """
    crop = masks_.decode_crop(masks, row)
    if not crop.size:
        return []
    # Doubled and rounded, a line through the middle of pixels becomes one along their outer edges.
    doubled = np.kron(crop, np.ones((2, 2), np.uint8)).astype(np.uint8)
    found, _ = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    result = []
    for line in found:
        corners = np.round((line.astype(np.float32) + 0.5) / 2).astype(np.int32)
        kept = np.asarray(cv2.approxPolyDP(corners, 0, closed=True), np.int32)
        result.append((kept.reshape(-1, 2) + masks.boxes_xyxy[row, :2]).ravel().tolist())
    return result
