"""What the points say against a mask.

points.behind      there are points under the mask, all too far for anything of its class to
                   look so tall: it is a picture, a reflection, or of another class
points.size        its points reach further than anything of its class
points.depth_span  most of what shows through the mask lies at another depth than its object
"""

import numpy as np

from perception.config import LiftConfig
from perception.lift.separate import Parts, View
from perception.lift.sight import Sight
from perception.types import Float32, Float64

FEW_POINTS = 5  # fewer say nothing
WITHIN = (2.0, 98.0)  # percentiles of an object's points between which its size is measured


def doubts(
    view: View,
    sight: Sight,
    parts: Parts,
    points_lidar: Float32,
    heights_m: Float64,
    config: LiftConfig,
) -> tuple[tuple[str, ...], ...]:
    """Return N tuples of reason codes; none for instances that are rejected already.

    Args:
        view: N instances.
        sight: M points.
        parts: The M points, told apart.
        points_lidar: (M, 3) metres.
        heights_m: (M,) above the ground.
        config: Settings.
    """
    return tuple(
        _doubts(row, view, sight, parts, points_lidar, heights_m, config)
        if row in parts.under
        else ()
        for row in range(len(view.instance_ids))
    )


def _doubts(
    row: int,
    view: View,
    sight: Sight,
    parts: Parts,
    points_lidar: Float32,
    heights_m: Float64,
    config: LiftConfig,
) -> tuple[str, ...]:
    own = np.flatnonzero(parts.owners == row)
    under, inset_px = parts.under[row].rows, parts.under[row].insets_px
    free = ~sight.hidden[under] & ~(heights_m[under] < config.ground_m)
    free &= (parts.owners[under] == row) | (parts.owners[under] < 0)
    if len(own) == 0:
        alone = config.sizes and np.count_nonzero(free) >= FEW_POINTS
        return ("points.behind",) if alone and np.isfinite(view.most_m[row, 2]) else ()
    if len(own) < FEW_POINTS:
        return ()
    reasons = []
    if config.sizes and (extent_m(points_lidar[own]) > view.most_m[row]).any():
        reasons.append("points.size")
    weight = inset_px[free].sum()
    at_depth = inset_px[free & (parts.owners[under] == row)].sum()
    if weight > 0 and at_depth < config.review_depth_share * weight:
        reasons.append("points.depth_span")
    return tuple(reasons)


def extent_m(points_lidar: Float32) -> Float64:
    """Return length, width and height of a few points: along their main level axis, and across."""
    points = points_lidar.astype(np.float64)
    level = points[:, :2] - points[:, :2].mean(axis=0)
    _, _, axes = np.linalg.svd(level, full_matrices=False)
    sides = np.column_stack([level @ axes.T, points[:, 2]])
    low, high = np.percentile(sides, WITHIN, axis=0)
    return np.asarray(high - low, np.float64)
