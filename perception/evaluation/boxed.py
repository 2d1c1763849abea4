"""3D boxes in place of labels of points: which points they stand for, and the measure's ceiling.

Sides and top of a box are moved out 0.1 m and the bottom is where it is, so that the road stays
out. Points inside two boxes are not known, and those in boxes of ignored objects neither.

No labels reach an IoU of 1 against boxes, which hold ground and what others hide. So each figure
has its ceiling beside it: the best labels that there are, judged like any others. Where the truth
of every point is known, as on a synthetic drive, that is the truth; elsewhere the points in the
boxes without the ground and without what no camera sees.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from perception.core.config import LiftConfig
from perception.core.errors import SampleError
from perception.core.geometry import points_in_view
from perception.core.types import Bool, Int32, Masks, SampleRef, Scene
from perception.evaluation.truth import ANY_CLASS, BACKGROUND, VOID, TruePoints
from perception.labeling.lift.ground import find_ground
from perception.labeling.lift.sight import points_in_sight

BOX_MARGIN_M = 0.1  # sides and top of a 3D box move out by this, the bottom does not
GROUND_M = LiftConfig().ground_m


def no_masks(count: int, size_hw: tuple[int, int]) -> Masks:
    """Return empty masks, for objects that have boxes only."""
    return Masks(np.zeros((count, 4), np.int32), (b"",) * count, size_hw)


def require_count(ref: SampleRef, scene: Scene, count: int) -> None:
    """Refuse a sweep that has changed since it was labelled.

    Raises:
        SampleError: `label.count_mismatch`, naming both counts.
    """
    if len(scene.points_lidar) != count:
        raise SampleError(
            "label.count_mismatch",
            f"{ref.sweep_file}: {len(scene.points_lidar)} points, the run labelled {count}",
        )


def points_of(
    inside: Bool, class_ids: Int32, scene: Scene, sizes_hw: Sequence[tuple[int, int]]
) -> TruePoints:
    """Return the truth of a sweep; instance ids are 1 + the row of the box.

    Args:
        inside: (N, P) which points lie in each box.
        class_ids: (N,) `ANY_CLASS` for ignored ones.
        scene: The sweep and its cameras.
        sizes_hw: Of the cameras' images.
    """
    boxes = inside.sum(axis=0)
    found_class = np.full(inside.shape[1], BACKGROUND, np.int32)
    found_id = np.zeros(inside.shape[1], np.int32)
    for row, points in enumerate(inside):
        alone = points & (boxes == 1)
        if class_ids[row] == ANY_CLASS:
            found_class[points] = VOID
        else:
            found_class[alone], found_id[alone] = class_ids[row], row + 1
    found_class[boxes > 1] = VOID
    return TruePoints(found_class, found_id, seen_points(scene, sizes_hw), has_seen=True)


def seen_points(scene: Scene, sizes_hw: Sequence[tuple[int, int]]) -> Bool:
    """Return (P,): which points fall into the image of a camera, hidden ones too."""
    seen = np.zeros(len(scene.points_lidar), bool)
    for camera, size_hw in zip(scene.cameras, sizes_hw, strict=True):
        seen[points_in_view(camera, scene.points_lidar, size_hw)[0]] = True
    return seen


def standing_in_sight(
    points: TruePoints, scene: Scene, sizes_hw: Sequence[tuple[int, int]]
) -> TruePoints:
    """Return the points without the ground, and without what every camera finds hidden."""
    seen = np.zeros(len(points), bool)
    for camera, size_hw in zip(scene.cameras, sizes_hw, strict=True):
        sight = points_in_sight(camera, scene.points_lidar, size_hw, occlusion=True)
        seen[sight.rows[~sight.hidden]] = True
    heights_m = find_ground(scene.points_lidar).heights_m(scene.points_lidar)
    kept = seen & ~(heights_m < GROUND_M)
    return replace(
        points,
        class_ids=np.where(kept, points.class_ids, BACKGROUND).astype(np.int32),
        instance_ids=np.where(kept, points.instance_ids, 0).astype(np.int32),
    )
