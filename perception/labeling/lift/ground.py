"""How high each point of a sweep lies above the ground.

The ground is a surface over square cells. It begins as the lowest point of each cell, lowered until
no cell lies above a neighbour by more than a slope: below an object, where nothing of the ground
was measured, the cells around it say where it is. Then it is smoothed over the points that lie near
it, twice.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perception.core.types import Float32, Float64

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


@dataclass(frozen=True, eq=False)
class Ground:
    """The surface under a sweep.

    Attributes:
        surface: (C, C) height of each cell's centre, first axis x; infinite where not known.
    """

    surface: Grid

    def heights_m(self, points_lidar: Float32) -> Float64:
        """Return the (P,) heights of points above the ground, NaN where that is not known."""
        x, y, z = points_lidar.astype(np.float64).T
        last = self.surface.shape[0] - 2
        with np.errstate(invalid="ignore"):
            inside = (np.abs(x) < REACH_M) & (np.abs(y) < REACH_M) & np.isfinite(z)
        heights = np.full(len(points_lidar), np.nan)
        u, v = (np.stack([x[inside], y[inside]]) + REACH_M) / CELL_M - 0.5
        i = np.clip(np.floor(u).astype(np.int64), 0, last)
        j = np.clip(np.floor(v).astype(np.int64), 0, last)
        right, up = np.clip(u - i, 0, 1), np.clip(v - j, 0, 1)  # no further than the last centre
        total, known = np.zeros(len(u)), np.zeros(len(u))
        for corner_i, weight_i in ((0, 1 - right), (1, right)):
            for corner_j, weight_j in ((0, 1 - up), (1, up)):
                value = self.surface[i + corner_i, j + corner_j]
                weight = np.where(np.isfinite(value), weight_i * weight_j, 0)
                total += weight * np.where(weight > 0, value, 0)
                known += weight
        ground = np.divide(total, known, out=np.full(len(u), np.nan), where=known > KNOWN)
        heights[inside] = z[inside] - ground
        return heights


def find_ground(points_lidar: Float32) -> Ground:
    """Find the surface under a sweep.

    Args:
        points_lidar: (P, 3) metres, z up; points that are not finite, and those beyond `REACH_M`,
            are left out. Where there are too few points, no ground is known.
    """
    with np.errstate(invalid="ignore"):
        near = (np.abs(points_lidar[:, :2]) < REACH_M).all(axis=1)
    rows = np.flatnonzero(near & np.isfinite(points_lidar[:, 2]))
    z = points_lidar[rows, 2].astype(np.float64)
    side = int(2 * REACH_M / CELL_M)
    places = ((points_lidar[rows, :2] + np.float32(REACH_M)) / np.float32(CELL_M)).astype(np.int64)
    cell = np.minimum(places[:, 0], side - 1) * side + np.minimum(places[:, 1], side - 1)
    lowest = np.full(side * side, np.inf)
    np.minimum.at(lowest, cell, z)
    surface = _envelope(_supported(lowest.reshape(side, side)))
    for near_m in NEAR_M:
        surface = _smoothed(surface, cell, z, near_m)
    return Ground(surface)


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
    from scipy import ndimage  # late, see `perception.labeling.lift`

    near = np.abs(z - surface.ravel()[cell]) < near_m
    cell, z = cell[near], z[near]
    count = np.bincount(cell, minlength=surface.size).reshape(surface.shape)
    total = np.bincount(cell, z, minlength=surface.size).reshape(surface.shape)
    weight = np.minimum(count, FULL_COUNT).astype(np.float64)
    mean = np.divide(total, count, out=np.zeros(surface.shape), where=count > 0)
    weights = ndimage.convolve(weight, KERNEL, mode="constant")
    sums = ndimage.convolve(mean * weight, KERNEL, mode="constant")
    return np.asarray(np.divide(sums, weights, out=surface.copy(), where=weights > KNOWN))
