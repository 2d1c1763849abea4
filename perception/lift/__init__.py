"""Lift masks onto a LiDAR sweep: which points belong to which object.

A point under a mask need not be on the object: the LiDAR sits elsewhere, sees over roofs and
through windows, and masks leak at their edges, or leave a part of the object out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perception.config import LiftConfig
from perception.lift.doubts import doubts
from perception.lift.ground import heights_m
from perception.lift.separate import View, nearest_strong_mode, separate
from perception.lift.sight import look
from perception.lift.vote import vote
from perception.types import Float32, PointLabels

__all__ = ["Findings", "Lifted", "View", "lift", "nearest_strong_mode"]


@dataclass(frozen=True)
class Findings:
    """What the points say of one view's N instances.

    Attributes:
        doubts: N tuples of reason codes; () where there are no points.
        wins: Pairs of rows: where both masks cover a pixel, the points are the first one's.
    """

    doubts: tuple[tuple[str, ...], ...] = ()
    wins: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, eq=False)
class Lifted:
    """What the points say.

    Attributes:
        labels: (P) labels.
        findings: One entry per view.
        same_as: Ids of instances that another camera sees as well, to the id that their points
            have.
    """

    labels: PointLabels
    findings: tuple[Findings, ...]
    same_as: dict[int, int]


def lift(views: Sequence[View], points_lidar: Float32, config: LiftConfig) -> Lifted:
    """Label points by the masks of one or more cameras.

    Args:
        views: Cameras with their masks.
        points_lidar: (P, 3) metres; points that are not finite stay unknown.
        config: Settings.

    Returns:
        Labels in the order of the points. Unknown is what no camera sees, and what is under a mask
        or hangs together with an object that it cannot be shown to belong to.
    """
    count = len(points_lidar)
    heights = heights_m(points_lidar) if config.ground_m > 0 else np.full(count, np.nan)
    sights = [
        look(view.camera, points_lidar, view.masks.size_hw, occlusion=config.occlusion)
        for view in views
    ]
    parts = [
        separate(view, sight, points_lidar, heights, config)
        for view, sight in zip(views, sights, strict=True)
    ]
    labels, same_as = vote(views, sights, parts, count)
    findings = tuple(
        Findings(doubts(view, sight, part, points_lidar, heights, config), part.wins)
        for view, sight, part in zip(views, sights, parts, strict=True)
    )
    return Lifted(labels=labels, findings=findings, same_as=same_as)
