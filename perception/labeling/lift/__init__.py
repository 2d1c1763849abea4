"""Lift masks onto a LiDAR sweep: which points belong to which object.

A point under a mask need not be on the object: the LiDAR sits elsewhere, sees over roofs and
through windows, and masks leak at their edges, or leave a part of the object out.

Parts of SciPy are imported by the functions that call them: it takes half a second in each of a
run's processes, and pictures without a sweep call none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from perception.core.config import LiftConfig
from perception.core.types import BoxOffset, Cuboids, Float32, Float64, PointLabels, Status
from perception.labeling.lift.alignment import box_offset
from perception.labeling.lift.cuboids import fit
from perception.labeling.lift.doubts import doubts, measure
from perception.labeling.lift.ground import Ground, find_ground
from perception.labeling.lift.separate import Parts, View, nearest_strong_mode, separate
from perception.labeling.lift.sight import Sight, points_in_sight
from perception.labeling.lift.vote import vote

__all__ = ["Findings", "Lifted", "View", "doubted", "lift", "nearest_strong_mode"]


@dataclass(frozen=True, eq=False)
class Findings:
    """What the points show of one view's N instances.

    Attributes:
        doubts: N tuples of reason codes; () where there are no points.
        measured: (N, 3), see `doubts.measure`; none where there is no camera.
        wins: Pairs of rows: where both masks cover a pixel, the points are the first one's.
        offset: How far the boxes lie from the objects in the sweep.
    """

    doubts: tuple[tuple[str, ...], ...] = ()
    measured: Float64 = field(default_factory=lambda: np.zeros((0, 3)))
    wins: tuple[tuple[int, int], ...] = ()
    offset: BoxOffset = field(default_factory=BoxOffset)


@dataclass(frozen=True, eq=False)
class Lifted:
    """What the points show.

    Attributes:
        labels: (P) labels.
        findings: One entry per view.
        same_as: Ids of instances that another camera sees as well, to the id that their points
            have.
        cuboids: Boxes of the objects whose points tell enough.
    """

    labels: PointLabels
    findings: tuple[Findings, ...]
    same_as: dict[int, int]
    cuboids: Cuboids


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
    wanted = config.ground_m > 0 and len(points_lidar) > 0
    ground = find_ground(points_lidar) if wanted else None
    sights, parts, findings, lowered = list[Sight](), list[Parts](), list[Findings](), list[View]()
    for view in views:
        size_hw = view.masks.size_hw
        sight = points_in_sight(view.camera, points_lidar, size_hw, occlusion=config.occlusion)
        seen = points_lidar[sight.rows]
        heights = np.full(len(seen), np.nan) if ground is None else ground.heights_m(seen)
        part = separate(view, sight, seen, heights, config)
        sights.append(sight)
        parts.append(part)
        measured = measure(view, sight, part, seen, heights, config)
        findings.append(
            Findings(
                doubts(measured, config),
                measured,
                part.wins,
                box_offset(view, sight, seen, heights, config),
            )
        )
        lowered.append(doubted(view, findings[-1].doubts))
    labels, same_as = vote(lowered, sights, parts, len(points_lidar))
    return Lifted(
        labels=labels,
        findings=tuple(findings),
        same_as=same_as,
        cuboids=_boxed(views, points_lidar, ground, labels),
    )


def doubted(view: View, doubts: tuple[tuple[str, ...], ...]) -> View:
    """Return a view whose instances have at least status review where the points doubt them."""
    low = np.array([bool(reasons) for reasons in doubts], bool)
    statuses = np.where(low, np.maximum(view.statuses, Status.REVIEW), view.statuses)
    return replace(view, statuses=statuses.astype(np.uint8))


def _boxed(
    views: Sequence[View], points_lidar: Float32, ground: Ground | None, labels: PointLabels
) -> Cuboids:
    usual_m = {
        int(number): view.usual_m[row]
        for view in views
        for row, number in enumerate(view.instance_ids)
    }
    own = np.flatnonzero(labels.instance_ids)
    points = points_lidar[own]
    heights = np.full(len(own), np.nan) if ground is None else ground.heights_m(points)
    return fit(points, heights, labels.instance_ids[own], usual_m)
