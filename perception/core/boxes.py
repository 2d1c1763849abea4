"""Axis-aligned boxes, (N, 4) xyxy in pixels, half-open: pure functions."""

from collections import Counter
from dataclasses import replace

import cv2
import numpy as np

from perception.core.types import Bool, Counts, Detections, Float32, Float64

MIN_SIDE_PX = 1.0


def areas(boxes_xyxy: Float32) -> Float64:
    """Return (N,) areas in square pixels; 0 for inverted boxes."""
    sides = np.maximum(boxes_xyxy[:, 2:].astype(np.float64) - boxes_xyxy[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1])


def paired_ious(first_xyxy: Float32, second_xyxy: Float32) -> Float64:
    """Return (N,) IoU of row i of one with row i of the other; 0 where the union is empty."""
    low = np.maximum(first_xyxy[:, :2], second_xyxy[:, :2]).astype(np.float64)
    high = np.minimum(first_xyxy[:, 2:], second_xyxy[:, 2:]).astype(np.float64)
    overlap = np.prod(np.maximum(high - low, 0), axis=1)
    union = areas(first_xyxy) + areas(second_xyxy) - overlap
    return np.asarray(np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0))


def overlaps(first_xyxy: Float32, second_xyxy: Float32) -> Float64:
    """Return (N, M) square pixels that every box of one shares with every box of the other."""
    low = np.maximum(first_xyxy[:, None, :2], second_xyxy[None, :, :2]).astype(np.float64)
    high = np.minimum(first_xyxy[:, None, 2:], second_xyxy[None, :, 2:]).astype(np.float64)
    return np.asarray(np.maximum(high - low, 0).prod(axis=2))


def ious(first_xyxy: Float32, second_xyxy: Float32) -> Float64:
    """Return (N, M) IoU of every box of one with every box of the other."""
    n, m = len(first_xyxy), len(second_xyxy)
    flat = paired_ious(np.repeat(first_xyxy, m, axis=0), np.tile(second_xyxy, (n, 1)))
    return flat.reshape(n, m)


def clip(boxes_xyxy: Float32, size_hw: tuple[int, int]) -> Float32:
    """Return the boxes cut at the borders of the image."""
    height, width = size_hw
    limit = np.array([width, height, width, height], np.float32)
    return np.clip(boxes_xyxy, 0, limit).astype(np.float32)


def suppress(detections: Detections, max_iou: float) -> Detections:
    """Return the boxes, best first, without those that a better one of their class overlaps.

    Args:
        detections: N boxes.
        max_iou: Boxes of one class that overlap more are one object; the better score stays, of
            equal scores the earlier row.
    """
    if len(detections) == 0:
        return detections
    corners = detections.boxes_xyxy.astype(np.float64)
    kept = cv2.dnn.NMSBoxesBatched(
        np.column_stack([corners[:, :2], corners[:, 2:] - corners[:, :2]]).tolist(),
        detections.scores.tolist(),
        detections.class_ids.tolist(),
        score_threshold=-1.0,  # every score counts
        nms_threshold=max_iou,
    )
    return detections[np.asarray(kept, np.int64)]


def usable(detections: Detections, size_hw: tuple[int, int]) -> tuple[Detections, Counts]:
    """Keep the boxes that can prompt a segmenter, clipped to the image; count the others by reason.

    Args:
        detections: N boxes.
        size_hw: Height and width of the image.

    Returns:
        The rows that are left, and (("box.nan", n), ...) in alphabetical order, what the source
        dropped by itself included.
    """
    boxes = detections.boxes_xyxy
    nan = ~np.isfinite(boxes).all(axis=1) | ~np.isfinite(detections.scores)
    finite = np.where(nan[:, None], 0, boxes).astype(np.float32)
    inverted = (finite[:, 2] <= finite[:, 0]) | (finite[:, 3] <= finite[:, 1])
    clipped = clip(finite, size_hw)
    left = (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])
    small = ((clipped[:, 2:] - clipped[:, :2]) < MIN_SIDE_PX).any(axis=1)
    faults: list[tuple[str, Bool]] = [
        ("box.nan", nan),
        ("box.inverted", ~nan & inverted),
        ("box.outside_image", ~nan & ~inverted & ~left),
        ("box.too_small", ~nan & ~inverted & left & small),
    ]
    keep = ~(nan | inverted | ~left | small)
    kept = replace(detections, boxes_xyxy=clipped, dropped=())[keep]
    dropped = Counter(dict(detections.dropped))
    dropped.update({code: int(rows.sum()) for code, rows in faults if rows.any()})
    return kept, tuple(sorted(dropped.items()))
