"""Reasons that the points give against a mask.

points.behind      there are points under the mask, all too far for anything of its class to
                   look so tall: it is a picture, a reflection, or of another class
points.size        its points reach further than anything of its class
points.depth_span  most of what shows through the mask lies at another depth than its object
"""

import numpy as np

from perception.core.config import LiftConfig
from perception.core.types import Float32, Float64
from perception.labeling.lift.extent import reach
from perception.labeling.lift.separate import Parts, View
from perception.labeling.lift.sight import Sight

FEW_POINTS = 5  # fewer prove nothing


def measure(
    view: View,
    sight: Sight,
    parts: Parts,
    points_lidar: Float32,
    heights_m: Float64,
    config: LiftConfig,
) -> Float64:
    """Measure N instances by their points.

    Args:
        view: N instances.
        sight: M points.
        parts: The M points, told apart.
        points_lidar: (M, 3) metres.
        heights_m: (M,) above the ground.
        config: Settings.

    Returns:
        (N, 3): 1 where all points under the mask are behind it, else 0; how far its points reach,
        as a share of the most that its class does; the share of what shows through the mask that
        lies at its depth. NaN where points are too few, or the instance was rejected before.
    """
    rows = [
        _measured(row, view, sight, parts, points_lidar, heights_m, config)
        if row in parts.under
        else (np.nan,) * 3
        for row in range(len(view.instance_ids))
    ]
    return np.array(rows, np.float64).reshape(-1, 3)


def _measured(
    row: int,
    view: View,
    sight: Sight,
    parts: Parts,
    points_lidar: Float32,
    heights_m: Float64,
    config: LiftConfig,
) -> tuple[float, float, float]:
    own = np.flatnonzero(parts.owners == row)
    under, inset_px = parts.under[row].rows, parts.under[row].insets_px
    free = ~sight.hidden[under] & ~(heights_m[under] < config.ground_m)
    free &= (parts.owners[under] == row) | (parts.owners[under] < 0)
    if len(own) == 0 and np.isfinite(view.most_m[row, 2]):
        return (1.0 if np.count_nonzero(free) >= FEW_POINTS else np.nan), np.nan, np.nan
    if len(own) < FEW_POINTS:
        return np.nan, np.nan, np.nan
    weight = float(inset_px[free].sum())
    at_depth = float(inset_px[free & (parts.owners[under] == row)].sum())
    reached = reach(points_lidar[own], view.most_m[row])
    return 0.0, reached, at_depth / weight if weight > 0 else np.nan


def doubts(measured: Float64, config: LiftConfig) -> tuple[tuple[str, ...], ...]:
    """Return N tuples of reason codes for what `measure` found."""
    behind, reached, at_depth = measured.T
    codes = {
        "points.behind": (behind == 1) & config.sizes,
        "points.size": (reached > 1) & config.sizes,
        "points.depth_span": at_depth < config.review_depth_share,
    }
    return tuple(
        tuple(code for code, holds in codes.items() if holds[row]) for row in range(len(measured))
    )
