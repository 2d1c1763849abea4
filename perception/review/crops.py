"""Crops around a label: a piece of its picture, the edge of its mask, its points."""

from typing import Any

import cv2
import numpy as np

from perception.core import masks as masks_
from perception.core.types import Float32, Instances, PointLabels, PointState, UInt8
from perception.review.sweeps import encode_places
from perception.visualization import drawing

SIDE_PX = 320  # of a crop's longer side
MARGIN_SHARE, MARGIN_PX = 0.25, 16  # around mask and box: what is beside it tells what it is
REACH_M, MAX_POINTS = 3.0, 600  # around the label's own points
BESIDE, UNKNOWN, ANOTHER, OWN = range(
    4
)  # codes of points, see `PALETTE`; point_view.js draws 3 large
PALETTE = [
    {"name": "beside", "rgb": "#8c8c96"},
    {"name": "unknown", "rgb": "#5a5a6e"},
    {"name": "another label", "rgb": "#7aa6d8"},
    {"name": "this label", "rgb": "#ffc800"},
]

Window = tuple[int, int, int, int]


def window_of(instances: Instances, row: int) -> Window:
    """Return what to show of a picture, x0 y0 x1 y1: the mask, its prompt box, and a margin."""
    height, width = instances.masks.size_hw
    mask, box = instances.masks.boxes_xyxy[row], instances.boxes_xyxy[row]
    low = np.minimum(mask[:2], np.floor(box[:2]))
    high = np.maximum(mask[2:], np.ceil(box[2:]))
    margin = MARGIN_PX + MARGIN_SHARE * (high - low)
    x0, y0 = np.clip(low - margin, 0, (width - 1, height - 1)).astype(int).tolist()
    x1, y1 = np.clip(high + margin, (x0 + 1, y0 + 1), (width, height)).astype(int).tolist()
    return x0, y0, x1, y1


def crop_jpeg(image_rgb: UInt8, window: Window) -> bytes:
    """Return a window of a picture, scaled to `SIDE_PX` at its longer side."""
    x0, y0, x1, y1 = window
    scale, size = _scale(window), size_wh(window)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(np.ascontiguousarray(image_rgb[y0:y1, x0:x1]), size, interpolation=way)
    return drawing.to_jpeg(np.asarray(scaled, np.uint8))


def size_wh(window: Window) -> tuple[int, int]:
    """Return width and height of a window's crop."""
    x0, y0, x1, y1 = window
    scale = _scale(window)
    return max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))


def _scale(window: Window) -> float:
    x0, y0, x1, y1 = window
    return SIDE_PX / max(x1 - x0, y1 - y0)


def edge(instances: Instances, row: int, window: Window) -> list[list[int]]:
    """Return the outlines of a mask in pixels of its crop: flat lists x y x y ..."""
    crop = np.kron(masks_.decode_crop(instances.masks, row), np.ones((2, 2), np.uint8))
    # Doubled, so that an outline runs along its pixels' outer edges and a single pixel has one.
    outlines, _ = cv2.findContours(crop.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_TC89_L1)
    corner = instances.masks.boxes_xyxy[row, :2] - np.array(window[:2])
    scale = _scale(window)
    return [
        np.round(((line.reshape(-1, 2) + 0.5) / 2 + corner) * scale).astype(int).ravel().tolist()
        for line in outlines
    ]


def points_near(
    points_lidar: Float32, labels: PointLabels, instance_id: int
) -> dict[str, Any] | None:
    """Pack a label's points and those around them; None where it has none.

    Returns:
        As `sweeps.pack_sweep`, with codes of `PALETTE`, and `centre_cm`, the median of its points.
    """
    own = labels.instance_ids == instance_id
    finite = np.isfinite(points_lidar).all(axis=1)
    mine = points_lidar[own & finite]
    if not len(mine):
        return None
    low, high = mine.min(axis=0) - REACH_M, mine.max(axis=0) + REACH_M
    with np.errstate(invalid="ignore"):
        near = np.flatnonzero(((points_lidar >= low) & (points_lidar <= high)).all(axis=1))
    near = np.concatenate([_thinned(near[own[near]]), _thinned(near[~own[near]])])
    codes = np.where(labels.states[near] == PointState.UNKNOWN, UNKNOWN, BESIDE)
    codes[labels.instance_ids[near] > 0] = ANOTHER
    codes[own[near]] = OWN
    return {
        **encode_places(points_lidar[near], codes=codes.astype(np.uint8)),
        "centre_cm": np.round(np.median(mine, axis=0) * 100).astype(int).tolist(),
        "own": len(mine),
    }


def _thinned(rows: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    if len(rows) <= MAX_POINTS:
        return rows
    return rows[np.linspace(0, len(rows) - 1, MAX_POINTS).astype(np.int64)]
