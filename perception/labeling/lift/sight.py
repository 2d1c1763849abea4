"""What a camera sees of a sweep: where each point falls, and which points are hidden from it.

The LiDAR sits elsewhere than the camera and looks over what stands in the camera's way. A point is
hidden if a nearer surface closes over its pixel. Returns are sparse: a surface is what they leave
after a morphological closing with a window of two beam spacings, which are the same in pixels at
every range, since a spinning LiDAR spaces its beams evenly in angle. A closing ends at the
outermost returns of a surface, so that what stands beside it is not hidden.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from perception.core import masks as masks_
from perception.core.geometry import points_in_view
from perception.core.types import Bool, Camera, Float32, Float64, Masks, RowAligned

Rows = npt.NDArray[np.intp]
BEHIND_M, BEHIND_SHARE = 0.5, 0.05  # a point is hidden this far behind the surface, and this share
COLUMN_RAD = 0.003  # width of the columns in which beams lie one above the other: one firing
LEAST_SPACING_RAD = 0.0015  # what is closer in elevation is one beam
MOST_SPACING_RAD = 0.035
FAR_M = np.float32(1e6)


@dataclass(frozen=True, eq=False, repr=False)
class Sight(RowAligned):
    """The M points of a sweep that fall into an image.

    Attributes:
        rows: (M,) rows of the sweep.
        uv: (M, 2) pixels, pixel centres at integers.
        x: (M,) column of the pixel. y: (M,) its row.
        depth_m: (M,) along the camera's axis.
        hidden: (M,) bool, the camera cannot see it.
        clear: (M,) float32, 1 on the nearest surface of its pixel, 0 from where it is hidden on.
    """

    rows: Rows
    uv: Float64
    x: Rows
    y: Rows
    depth_m: Float64
    hidden: Bool
    clear: Float32


def points_in_sight(
    camera: Camera, points_lidar: Float32, size_hw: tuple[int, int], *, occlusion: bool
) -> Sight:
    """Project a sweep and find what is hidden; without `occlusion` nothing is."""
    rows, uv, depth_m = points_in_view(camera, points_lidar, size_hw)
    x, y = np.floor(uv + 0.5).astype(np.intp).T
    hidden, clear = np.zeros(len(rows), bool), np.ones(len(rows), np.float32)
    spacing_px = beam_spacing_px(x, y, camera.K) if occlusion and len(rows) else 0.0
    if spacing_px > 0:
        nearest_m = _nearest_m(x, y, depth_m, size_hw, spacing_px)
        most_m = nearest_m * (1 + BEHIND_SHARE) + BEHIND_M
        hidden = depth_m > most_m
        clear = np.clip((most_m - depth_m) / (most_m - nearest_m), 0, 1).astype(np.float32)
    return Sight(rows=rows, uv=uv, x=x, y=y, depth_m=depth_m, hidden=hidden, clear=clear)


def _nearest_m(
    x: Rows, y: Rows, depth_m: Float64, size_hw: tuple[int, int], spacing_px: float
) -> Float64:
    """Return the (M,) depth of the nearest surface that closes over the pixel of each point."""
    image = np.full(size_hw, FAR_M, np.float32)
    far_first = np.argsort(-depth_m, kind="stable")
    image[y[far_first], x[far_first]] = depth_m[far_first]
    # A spinning LiDAR's columns are about twice as dense as its beams.
    window = np.ones((2 * round(spacing_px) - 1, 2 * round(spacing_px / 2) + 1), np.uint8)
    surface = cv2.dilate(cv2.erode(image, window), window)
    return surface[y, x].astype(np.float64)


def beam_spacing_px(x: Rows, y: Rows, K: Float64) -> float:
    """Return the median distance in pixels of beams one above the other; 0 for too few points."""
    column = (x / max(COLUMN_RAD * K[0, 0], 1.0)).astype(np.int64)
    order = np.lexsort((y, column))
    gaps = np.diff(y[order])[np.diff(column[order]) == 0]
    low, high = np.array([LEAST_SPACING_RAD, MOST_SPACING_RAD]) * K[1, 1]
    gaps = gaps[(gaps > low) & (gaps < high)]
    return float(np.median(gaps)) if len(gaps) else 0.0


@dataclass(frozen=True, eq=False, repr=False)
class Under(RowAligned):
    """The N points whose pixel lies in one mask.

    Attributes:
        rows: (N,) rows of the sight.
        insets_px: (N,) distance to the mask's edge, above 0.
    """

    rows: Rows
    insets_px: Float64


def points_under(masks: Masks, row: int, sight: Sight) -> Under:
    """Return the points under one mask."""
    x0, y0, x1, y1 = masks.boxes_xyxy[row]
    if not masks.counts[row]:
        return Under(np.zeros(0, np.intp), np.zeros(0))
    x, y = sight.x, sight.y
    near = np.flatnonzero((x >= x0) & (x < x1) & (y >= y0) & (y < y1))
    crop = np.pad(masks_.decode_crop(masks, row), 1).astype(np.uint8)
    inset_px = cv2.distanceTransform(crop, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    inset = inset_px[y[near] - y0 + 1, x[near] - x0 + 1].astype(np.float64)
    return Under(near[inset > 0], inset[inset > 0])
