"""Whether image and points lie upon each other: a calibration that is off shows in every object.

Objects are found in the sweep alone, by gaps between points: masks play no part, since what is
looked for under a mask that lies beside its object follows the mask. In the image an object ends
where its prompt box does: masks leave out heads, hands and wheels. A box and a cluster of about
its width and height may be the same object, and say how far apart their edges are: at the left and
the right by half a column of the LiDAR, at the top by half a beam, at the bottom where the ground
meets the nearest points. Most pairs are wrong, and disagree with each other. The offset that most
boxes agree on counts. A calibration is doubted where no offset of about zero has as many, and the
edges of those boxes tell it from zero: few objects agree by chance now and then, their edges less.

Boxes that were projected from the sweep's own space with the same calibration follow it, and show
nothing.
"""

from dataclasses import dataclass

import numpy as np

from perception.core.config import LiftConfig
from perception.core.geometry import project, transform
from perception.core.types import Bool, BoxOffset, Float32, Float64, Status
from perception.labeling.lift.extent import connected
from perception.labeling.lift.links import link_places
from perception.labeling.lift.separate import View
from perception.labeling.lift.sight import Rows, Sight, beam_spacing_px

REACH_RAD = np.deg2rad(2.2)  # the largest offset that is searched
AGREE_RAD = np.deg2rad(0.3)  # offsets this near each other agree; a beam's spacing adds to it
MIN_INSTANCES = 5  # a picture with fewer is not judged
MIN_AGREE = 2
SURE = 3.0  # standard errors of an offset, by edges that agree on it, that tell it from zero
STANDING_M = 0.3  # what is lower joins everything
MIN_POINTS = 4
MOST_HIDDEN = 0.3  # of a cluster
WIDTH_SHARE, HEIGHT_SHARE = 0.2, 0.25  # by which boxes and clusters may differ
FEET_SHARE = 0.1  # of a cluster's points, the nearest, tell where it stands
MIN_HEIGHT_PX = 12.0


@dataclass(frozen=True, eq=False)
class _Clusters:
    """C objects as the LiDAR shows them.

    Attributes:
        edges_px: (C, 4) left, top, right, bottom.
        heights_m: (C,) above the ground.
    """

    edges_px: Float64
    heights_m: Float64


def box_offset(
    view: View, sight: Sight, points_lidar: Float32, heights_m: Float64, config: LiftConfig
) -> BoxOffset:
    """Measure how far the boxes of a picture lie from the objects in the sweep.

    Args:
        view: N instances; a picture with fewer than `MIN_INSTANCES` good ones is not judged.
        sight: M points.
        points_lidar: (M, 3) metres, those of the sight.
        heights_m: (M,) above the ground, NaN where that is not known.
        config: Settings.
    """
    boxes = view.boxes_xyxy.astype(np.float64)
    height, width = view.masks.size_hw
    good = view.statuses != Status.REJECTED
    cut = (boxes[:, 0] <= 1) | (boxes[:, 2] >= width - 1)
    cut |= (boxes[:, 1] <= 1) | (boxes[:, 3] >= height - 1)
    if good.sum() < MIN_INSTANCES:
        return BoxOffset()
    rows = np.flatnonzero(good & ~cut & (boxes[:, 3] - boxes[:, 1] >= MIN_HEIGHT_PX))
    near = _near(boxes[rows], sight, REACH_RAD * view.camera.K[0, 0])
    standing = np.flatnonzero(near & ~(heights_m < STANDING_M))
    spacing_px = beam_spacing_px(sight.x, sight.y, view.camera.K)
    if len(standing) < 2 or spacing_px == 0:
        return BoxOffset()
    clusters = _clusters(view, sight, points_lidar, heights_m, standing, spacing_px, config)
    paired, apart_px = _pairs(
        boxes[rows], view.most_m[rows, 2], clusters, spacing_px, view.camera.K
    )
    return _agreed(paired, apart_px, spacing_px, view.camera.K, config)


def _near(boxes_xyxy: Float64, sight: Sight, out_px: float) -> Bool:
    near = np.zeros(len(sight), bool)
    u, v = sight.uv.T
    for x0, y0, x1, y1 in boxes_xyxy:
        near |= (u >= x0 - out_px) & (u < x1 + out_px) & (v >= y0 - out_px) & (v < y1 + out_px)
    return near


def _clusters(
    view: View,
    sight: Sight,
    points_lidar: Float32,
    heights_m: Float64,
    standing: Rows,
    spacing_px: float,
    config: LiftConfig,
) -> _Clusters:
    from scipy.spatial import cKDTree  # late, see `perception.labeling.lift`

    places, _ = link_places(points_lidar[standing].astype(np.float64), config)
    cluster = connected(places, config.link_rad)
    order = np.argsort(cluster, kind="stable")
    uv = sight.uv[standing]
    column_px = float(np.median(cKDTree(uv).query(uv, k=2)[0][:, 1]))
    edges, heights = [], []
    for own in np.split(standing[order], np.flatnonzero(np.diff(cluster[order])) + 1):
        if len(own) < MIN_POINTS or sight.hidden[own].mean() > MOST_HIDDEN:
            continue
        (left, top), (right, _) = sight.uv[own].min(axis=0), sight.uv[own].max(axis=0)
        bottom = _foot_px(own, view, sight, points_lidar, heights_m)
        if not np.isfinite(bottom):  # the ground below it is not known
            continue
        half = column_px / 2
        # A box's right edge is half-open: pixel i covers [i, i + 1).
        edges.append((left - half, top - spacing_px / 2, right + 1 + half, bottom))
        heights.append(float(np.nanmax(heights_m[own])))
    return _Clusters(np.array(edges, np.float64).reshape(-1, 4), np.array(heights, np.float64))


def _foot_px(
    own: Rows, view: View, sight: Sight, points_lidar: Float32, heights_m: Float64
) -> float:
    """Return the row of pixels where the ground lies under a cluster's nearest points."""
    count = max(3, int(FEET_SHARE * len(own)))
    nearest = own[np.argsort(sight.depth_m[own], kind="stable")[:count]]
    feet = points_lidar[nearest].astype(np.float64)
    feet[:, 2] -= heights_m[nearest]
    uv, _ = project(view.camera.K, transform(view.camera.T_cam_from_lidar, feet))
    return float(np.median(uv[:, 1]))


def _pairs(
    boxes_xyxy: Float64, most_height_m: Float64, clusters: _Clusters, spacing_px: float, K: Float64
) -> tuple[Rows, Float64]:
    """Return (Q,) rows of boxes and how far (Q, 4) their edges are from those of clusters."""
    apart = boxes_xyxy[:, None] - clusters.edges_px[None]
    width, height = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).T[:, :, None]
    offsets = (apart[..., :2] + apart[..., 2:]) / 2
    alike = np.abs(apart[..., 0] - apart[..., 2]) <= WIDTH_SHARE * width + spacing_px / 2
    alike &= np.abs(apart[..., 1] - apart[..., 3]) <= HEIGHT_SHARE * height + spacing_px
    alike &= clusters.heights_m[None] <= most_height_m[:, None]
    alike &= (np.abs(offsets) < REACH_RAD * np.array([K[0, 0], K[1, 1]])).all(axis=2)
    rows, columns = np.nonzero(alike)
    return rows, apart[rows, columns]


def _agreed(
    rows: Rows, apart_px: Float64, spacing_px: float, K: Float64, config: LiftConfig
) -> BoxOffset:
    offsets_px = (apart_px[:, :2] + apart_px[:, 2:]) / 2
    focal_px = np.array([K[0, 0], K[1, 1]])
    near_px = AGREE_RAD * focal_px + [0, spacing_px / 4]

    def support(place: Float64) -> tuple[int, float]:
        """Return how many boxes agree, and how well."""
        closeness = 1 - (np.abs(offsets_px - place) / near_px).max(axis=1)
        best = np.zeros(rows.max() + 1)
        np.maximum.at(best, rows, closeness)
        return int(np.count_nonzero(best)), float(best.sum())

    if len(rows) == 0:
        return BoxOffset()
    (most, _), best_pair = max((support(place), pair) for pair, place in enumerate(offsets_px))
    if most < MIN_AGREE:
        return BoxOffset()
    agreeing = (np.abs(offsets_px - offsets_px[best_pair]) < near_px).all(axis=1)
    offset = np.median(offsets_px[agreeing], axis=0)
    edges_px = apart_px[agreeing].reshape(-1, 2)  # left and top, right and bottom
    error_px = np.maximum(edges_px.std(axis=0, ddof=1) / np.sqrt(len(edges_px)), 1e-6)
    sure = float(np.hypot(*(offset / error_px))) > SURE
    far = float(np.hypot(*(offset / focal_px))) > np.deg2rad(config.alarm_deg)
    return BoxOffset(
        right_px=float(offset[0]),
        down_px=float(offset[1]),
        objects=most,
        alarm=bool(far and sure and most > support(np.zeros(2))[0]),
    )
