"""3D boxes beside true ones, from above: the overlap of two rectangles on the ground.

Judged are true objects with ten labelled points or more in the truth, by the box of the label that
their 2D box prompted, whatever its status; an object without a box has IoU 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from perception.core.statistics import Figure, Int64, of_sums, per_scene, share
from perception.core.types import Cuboids, Float32, Float64, Int32, RowAligned
from perception.evaluation.points import MIN_OBJECT_POINTS
from perception.evaluation.report import Table
from perception.evaluation.truth import TruePoints, Vocabulary

GOOD_IOUS = (0.5, 0.7)  # KITTI's, for people and for cars
COLUMNS = ("mean IoU", *(f"IoU {iou} or more" for iou in GOOD_IOUS))


@dataclass(frozen=True, eq=False, repr=False)
class CuboidRows(RowAligned):
    """N true objects.

    Attributes:
        class_ids: (N,) int32.
        ious: (N,) float64 from above.
    """

    class_ids: Int32
    ious: Float64


def count_cuboids(
    ours: Cuboids, true: Cuboids, points: TruePoints, links: Mapping[int, frozenset[int]]
) -> CuboidRows:
    """Judge the boxes of one sample.

    Args:
        ours: Found boxes.
        true: True boxes; ids are those of `points`.
        points: The truth of the points.
        links: Id of each true object to the ids of the labels that its 2D boxes prompted.
    """
    kinds, ious = list[int](), list[float]()
    ids, first, counts = np.unique(points.instance_ids, return_index=True, return_counts=True)
    for number, row, count in zip(ids.tolist(), first, counts, strict=True):
        place = np.flatnonzero(true.instance_ids == number)
        if number == 0 or count < MIN_OBJECT_POINTS or number not in links or len(place) == 0:
            continue
        rows = np.flatnonzero(np.isin(ours.instance_ids, list(links[number])))
        kinds.append(int(points.class_ids[row]))
        ious.append(max((bev_iou(ours, int(one), true, int(place[0])) for one in rows), default=0))
    return CuboidRows(np.array(kinds, np.int32), np.array(ious, np.float64))


def bev_iou(ours: Cuboids, row: int, theirs: Cuboids, other: int) -> float:
    """Return the intersection over union of two boxes seen from above."""
    one, two = _corners(ours, row), _corners(theirs, other)
    common, _ = cv2.intersectConvexConvex(one, two)
    whole = cv2.contourArea(one) + cv2.contourArea(two) - common
    return float(common / whole) if whole > 0 else 0.0


def _corners(cuboids: Cuboids, row: int) -> Float32:
    """Return the (4, 1, 2) corners on the ground."""
    length, width, _ = cuboids.sizes_lwh_m[row].astype(np.float64)
    cosine, sine = np.cos(cuboids.yaws_rad[row]), np.sin(cuboids.yaws_rad[row])
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * [length / 2, width / 2]
    turned = corners @ np.array([[cosine, sine], [-sine, cosine]])
    return np.asarray(turned + cuboids.centres_m[row, :2], np.float32)[:, None]


def cuboid_table(
    found: list[tuple[int, CuboidRows]], classes: Vocabulary, weights: Int64
) -> Table | None:
    """Return the table of all boxes and of each class; None where nothing was judged.

    Args:
        found: Number of the scene, and what was judged there.
        classes: Names.
        weights: (draws, scenes) of the bootstrap.
    """
    rows = [one for _, one in found]
    kinds = np.concatenate([np.zeros(0, np.int32), *(one.class_ids for one in rows)])
    ious = np.concatenate([np.zeros(0), *(one.ious for one in rows)])
    scenes = np.repeat([number for number, _ in found], [len(one) for one in rows]).astype(np.int64)
    if len(ious) == 0:
        return None
    lines = [("all", np.ones(len(ious), bool))]
    lines += [(name, kinds == number) for number, name in classes.names.items()]
    body = tuple((name, _figures(ious[of], scenes[of], weights)) for name, of in lines if of.any())
    title = "3D boxes from above, of true objects with 10 points or more, by prompt box; n: objects"
    return Table("boxes", title, COLUMNS, body)


def _figures(ious: Float64, scenes: Int64, weights: Int64) -> tuple[Figure, ...]:
    columns = [ious, *(ious >= least for least in GOOD_IOUS)]
    whole = per_scene(scenes, np.ones(len(ious)), weights.shape[1])
    return tuple(
        of_sums(
            np.stack([per_scene(scenes, np.asarray(column), weights.shape[1]), whole], axis=1),
            weights,
            lambda s: share(s[:, 0], s[:, 1]),
            len(ious),
        )
        for column in columns
    )
