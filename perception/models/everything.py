"""Segment everything: a grid of points, and of the masks those that are sure, stable and new.

Source: `SamAutomaticMaskGenerator` of https://github.com/facebookresearch/segment-anything with one
crop layer; its defaults are ours.
"""

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from perception.core import boxes as boxes_
from perception.core import masks as masks_
from perception.core.config import EverythingConfig
from perception.core.types import Bool, Float32, Float64, Masks, Prompt, Segments, UInt8
from perception.models.protocols import Promptable

MASKS_EACH = 3  # a point may mean a whole, a part, or a part of that
POINTS_TOGETHER = 64  # asked about together; bounds the memory that answers take


def grid_points(side: int, size_hw: tuple[int, int]) -> Float64:
    """Return (side * side, 2) xy in pixels, row by row: the centres of side x side equal fields."""
    centres = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(centres * size_hw[1], centres * size_hw[0])
    return np.stack([x.ravel(), y.ravel()], axis=1)


def everything(model: Promptable, image_rgb: UInt8, config: EverythingConfig) -> Segments:
    """Return a mask for each thing that some point of the grid finds.

    Args:
        model: The segmenter.
        image_rgb: (H, W, 3) uint8; not changed.
        config: Grid and thresholds.

    Returns:
        Masks that may overlap, the surest first; there may be none.
    """
    size_hw = image_rgb.shape[0], image_rgb.shape[1]
    look = model.embed(image_rgb)
    kept: list[Segments] = []
    points = grid_points(config.points_per_side, size_hw)
    for start in range(0, len(points), POINTS_TOGETHER):
        prompts = [
            Prompt(points=((float(x), float(y), 1),))
            for x, y in points[start : start + POINTS_TOGETHER]
        ]
        found = look(prompts, MASKS_EACH).segments
        # Comparisons with NaN are false: what has no score is not kept.
        sure = found.predicted_ious > config.min_predicted_iou
        kept.append(found[sure & (found.stabilities >= config.min_stability)])
    segments = Segments.joined(kept)
    segments = segments[_first_of_alike(segments.masks, segments.predicted_ious, config.nms_iou)]
    if config.min_region_px:
        segments = _without_small_regions(segments, config)
    return segments


def _first_of_alike(masks: Masks, scores: Float32, max_iou: float) -> npt.NDArray[np.intp]:
    """Return the rows that stay, best score first, of masks whose bounds nearly agree."""
    # Bounds from the first to the last pixel, as upstream has them: one less than our half-open.
    bounds = masks.boxes_xyxy.astype(np.float32) - np.array([0, 0, 1, 1], np.float32)
    left, kept = np.argsort(-scores, kind="stable"), []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        same = np.broadcast_to(bounds[best], (len(left), 4))
        left = left[boxes_.paired_ious(bounds[left], same) <= max_iou]
    return np.array(kept, np.intp)


def _without_small_regions(segments: Segments, config: EverythingConfig) -> Segments:
    """Fill small holes, drop small islands, and prefer masks that had none where two are alike."""
    masks, changed = segments.masks, np.zeros(len(segments), bool)
    rows = []
    for row in range(len(masks)):
        bitmap = masks_.decode_one(masks, row)
        filled = _without_small_holes(bitmap, config.min_region_px)
        cleaned = _without_small_islands(filled, config.min_region_px)
        changed[row] = not np.array_equal(bitmap, cleaned)
        rows.append(masks_.encode_one(cleaned))
    cleaned_up = replace(segments, masks=masks_.join(tuple(rows), masks.size_hw))
    order = _first_of_alike(cleaned_up.masks, (~changed).astype(np.float32), config.nms_iou)
    return cleaned_up[order]


def _without_small_holes(bitmap: Bool, min_px: int) -> Bool:
    _, regions, stats, _ = cv2.connectedComponentsWithStats((~bitmap).astype(np.uint8))
    small = stats[:, cv2.CC_STAT_AREA] < min_px
    small[0] = False  # the mask itself
    return np.asarray(bitmap | small[regions])


def _without_small_islands(bitmap: Bool, min_px: int) -> Bool:
    _, regions, stats, _ = cv2.connectedComponentsWithStats(bitmap.astype(np.uint8))
    areas_px = stats[:, cv2.CC_STAT_AREA]
    large = areas_px >= min_px
    large[0] = False  # what is not the mask
    if len(areas_px) > 1 and not large.any():
        large[1 + int(areas_px[1:].argmax())] = True  # a mask never goes altogether
    return np.asarray(large[regions])
