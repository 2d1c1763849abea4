"""Statistics of a mask from pixels and a second model, taken once, while the image is open."""

import cv2
import numpy as np

from perception.core import masks as masks_
from perception.core.types import Bool, Float32, Float64, ImageStatistics, Int32, Masks, UInt8

RING_SHARE = 0.1  # the surroundings of a mask reach this share of its longer side out ...
MIN_RING_PX = 3  # ... but at least this far: a camera blurs an edge over a pixel or two
_LONGEST = float(np.sqrt(3) * 255)  # from black to white
_TO_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as OpenCV


def image_statistics(image_rgb: UInt8, masks: Masks, second: Masks | None) -> ImageStatistics:
    """Look at N masks in their image.

    Args:
        image_rgb: (H, W, 3) uint8.
        masks: (N) masks.
        second: (N) a second segmenter's answers to the same boxes; None without one.

    Returns:
        (N) statistics. An empty mask has no light; two answers that are both empty do not agree.
    """
    light = np.full((len(masks), 2), np.nan, np.float32)
    for row in range(len(masks)):
        if masks.counts[row]:
            light[row] = _light(image_rgb, masks_.decode_crop(masks, row), masks.boxes_xyxy[row])
    nothing = np.full(len(masks), np.nan, np.float32)
    return ImageStatistics(
        brightness=light[:, 0],
        contrasts=light[:, 1],
        second_ious=nothing if second is None else masks_.paired_ious(masks, second),
    )


def _light(image_rgb: UInt8, crop: Bool, box_xyxy: Int32) -> Float32:
    """Return the mean grey under a mask and its distance in colour from the ring around it."""
    reach = max(MIN_RING_PX, round(RING_SHARE * max(crop.shape)))
    padded: UInt8 = np.pad(crop, reach).astype(np.uint8)
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    around: UInt8 = np.asarray(cv2.dilate(padded, kernel), np.uint8) - padded
    x0, y0 = (int(side) - reach for side in box_xyxy[:2])
    top, left = max(-y0, 0), max(-x0, 0)
    window = image_rgb[max(y0, 0) : y0 + len(padded), max(x0, 0) : x0 + padded.shape[1]]
    height, width = window.shape[:2]
    mean = _mean(window, padded[top : top + height, left : left + width])
    around = around[top : top + height, left : left + width]
    brightness = float(mean @ _TO_GREY) / 255
    if not around.any():  # the mask is the whole image
        return np.array([brightness, np.nan], np.float32)
    contrast = np.linalg.norm(mean - _mean(window, around)) / _LONGEST
    return np.array([brightness, contrast], np.float32)


def _mean(window_rgb: UInt8, chosen: UInt8) -> Float64:
    """Return (3,) the mean of the pixels where `chosen` is not 0."""
    return np.array(cv2.mean(window_rgb, chosen)[:3])
