"""How high each point of a sweep lies above the ground.

The ground is a surface over square cells. It begins as the lowest point of each cell, lowered until
no cell lies above a neighbour by more than a slope: below an object, where nothing of the ground
was measured, the cells around it say where it is. Then it is smoothed over the points that lie near
it, twice.
"""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from perception.types import Float32, Float64

CELL_M = 1.0
REACH_M = 80.0  # further out the beams meet too little ground
SLOPE = 0.15  # streets are less steep; of the surface from cell to cell
NEAR_M = (0.3, 0.15)  # points this near the surface smooth it, in two passes
STEP_M = 0.3  # a cell lower than its neighbours by this and the slope is a reflection ...
SUPPORT = 4  # ... unless so many of the 24 around it are as low
PASSES = 12  # cells that the slope is followed: half the length of a bus and more
FULL_COUNT = 10  # points that make a cell's weight full
KNOWN = 0.25  # with less weight around it the ground is not known
KERNEL = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
Grid = npt.NDArray[np.float64]


def heights_m(points_lidar: Float32) -> Float64:
    """Return the height of each point above the ground.

    Args:
        points_lidar: (P, 3) metres, z up.

    Returns:
        (P,) metres; NaN where no ground is known: beyond `REACH_M`, points that are not finite, and
        where a sweep has too few points to tell.
    """
    heights = np.full(len(points_lidar), np.nan)
    with np.errstate(invalid="ignore"):
        near = (np.abs(points_lidar[:, :2]) < REACH_M).all(axis=1)
    rows = np.flatnonzero(near & np.isfinite(points_lidar[:, 2]))
    x, y, z = points_lidar[rows].astype(np.float64).T
    side = int(2 * REACH_M / CELL_M)
    cell = ((x + REACH_M) / CELL_M).astype(np.int64) * side
    cell += ((y + REACH_M) / CELL_M).astype(np.int64)
    lowest = np.full(side * side, np.inf)
    np.minimum.at(lowest, cell, z)
    surface = _envelope(_supported(lowest.reshape(side, side)))
    for near_m in NEAR_M:
        surface = _smoothed(surface, cell, z, near_m)
    ground = _between_cells(surface, x, y)
    heights[rows] = z - ground
    return heights


def _supported(lowest: Grid) -> Grid:
    """Return the cells' lowest points without reflections, which lie below the street."""
    count = np.zeros(lowest.shape, np.int64)
    padded = np.pad(lowest, 2, constant_values=np.inf)
    height, width = lowest.shape
    for down in range(5):
        for right in range(5):
            if (down, right) != (2, 2):
                slack = STEP_M + SLOPE * CELL_M * np.hypot(down - 2, right - 2)
                count += padded[down : down + height, right : right + width] <= lowest + slack
    return np.where(count >= SUPPORT, lowest, np.inf)


def _envelope(lowest: Grid) -> Grid:
    """Return the highest surface on or under the lowest points that is nowhere too steep."""
    surface = lowest
    height, width = lowest.shape
    steps = [(down, right) for down in range(3) for right in range(3) if (down, right) != (1, 1)]
    for _ in range(PASSES):
        padded, before = np.pad(surface, 1, constant_values=np.inf), surface
        surface = surface.copy()
        for down, right in steps:
            rise = SLOPE * CELL_M * np.hypot(down - 1, right - 1)
            shifted = padded[down : down + height, right : right + width] + rise
            np.minimum(surface, shifted, out=surface)
        if np.array_equal(surface, before):
            break
    return surface


def _smoothed(surface: Grid, cell: npt.NDArray[np.int64], z: Float64, near_m: float) -> Grid:
    """Return the weighted mean height of the points near the surface, over cells and neighbours."""
    near = np.abs(z - surface.ravel()[cell]) < near_m
    count = np.bincount(cell[near], minlength=surface.size).reshape(surface.shape)
    total = np.bincount(cell[near], z[near], minlength=surface.size).reshape(surface.shape)
    weight = np.minimum(count, FULL_COUNT).astype(np.float64)
    mean = np.divide(total, count, out=np.zeros(surface.shape), where=count > 0)
    weights = ndimage.convolve(weight, KERNEL, mode="constant")
    sums = ndimage.convolve(mean * weight, KERNEL, mode="constant")
    return np.asarray(np.divide(sums, weights, out=surface.copy(), where=weights > KNOWN))


def _between_cells(surface: Grid, x: Float64, y: Float64) -> Float64:
    """Return the surface at (P,) places, NaN where it is not known; bilinear between centres."""
    known = np.isfinite(surface)
    places = np.stack([x + REACH_M, y + REACH_M]) / CELL_M - 0.5
    share = ndimage.map_coordinates(known.astype(np.float64), places, order=1, mode="nearest")
    values = ndimage.map_coordinates(np.where(known, surface, 0), places, order=1, mode="nearest")
    return np.asarray(np.divide(values, share, out=np.full(len(x), np.nan), where=share > KNOWN))
