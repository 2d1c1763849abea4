"""How fast the lift is, beside loops over masks.

The sweep is drawn here, so that the figures need no data: 64 beams, 1,875 columns, a flat street
with 20 boxes on it, each of which is a mask. Times are the median CPU time of several runs, so that
what else the machine does counts little; set OMP_NUM_THREADS=1 for those of one core.
"""

import time
from collections.abc import Callable

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from perception.core import masks as masks_
from perception.core.config import LiftConfig
from perception.core.geometry import Rows, points_in_view, rigid
from perception.core.types import Bool, Camera, Float32, Float64, Int32
from perception.labeling.lift import View, lift, nearest_strong_mode

BEAMS, COLUMNS, OBJECTS, HEIGHT_M = 64, 1875, 20, 1.73
SIZE_HW = (375, 1242)
K = np.array([[721.5, 0, 609.6], [0, 721.5, 172.9], [0, 0, 1.0]])
R_CAM_FROM_LIDAR = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0.0]])
CAMERA = Camera("front", K, rigid(R_CAM_FROM_LIDAR, np.array([0.0, -0.08, -0.27])))
REPEATS = 7
PLANE_M, CLUSTER_M = 0.1, 0.5  # of the loop that clusters


def measure() -> dict[str, float]:
    """Return the speed of projection, of the whole lift and of loops over masks."""
    points, boxes = _sweep()
    view = _view(boxes)
    config = LiftConfig()
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        owners = _painted(view)
        look_s = _seconds(lambda: _look_up(points, owners))
        lift_s = _seconds(lambda: lift([view], points, config))
        loop_s = _seconds(lambda: _loop(points, view, config))
        cluster_s = _seconds(lambda: _cluster_loop(points, view, config))
    finally:
        cv2.setNumThreads(threads)
    return {
        "projection and look-up, million points/s": len(points) / look_s / 1e6,
        "whole lift, ms": 1000 * lift_s,
        "loop over masks, depth modes, ms": 1000 * loop_s,
        "loop over masks, depth modes and clusters, ms": 1000 * cluster_s,
    }


def _seconds(work: Callable[[], object]) -> float:
    """Return the median time of some runs, after one that is not counted."""
    work()
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return float(np.median(times))


def _sweep() -> tuple[Float32, Float64]:
    """Return (P, 3) points of a street with boxes, and the boxes: (N, 6) lowest and highest."""
    rng = np.random.default_rng(0)
    ahead = np.linspace(6, 60, OBJECTS)
    aside = rng.permutation(np.linspace(-0.7, 0.6, OBJECTS)) * ahead  # none behind another
    size = np.where(np.arange(OBJECTS)[:, None] % 2, [4.2, 1.8, 1.5], [0.7, 0.6, 1.7])
    low = np.column_stack([ahead, aside, np.full(OBJECTS, -HEIGHT_M)])
    boxes = np.concatenate([low, low + size], axis=1)
    azimuth = np.linspace(-np.pi, np.pi, COLUMNS, endpoint=False)
    elevation = np.deg2rad(np.linspace(2, -24.8, BEAMS))
    e, a = np.meshgrid(elevation, azimuth, indexing="ij")
    rays = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], -1).reshape(-1, 3)
    with np.errstate(divide="ignore"):
        range_m = np.where(rays[:, 2] < 0, -HEIGHT_M / rays[:, 2], 80)
        for box in boxes:
            near, far = box[:3] / rays, box[3:] / rays
            enter, leave = np.minimum(near, far).max(axis=1), np.maximum(near, far).min(axis=1)
            hit = (enter < leave) & (enter > 0)
            range_m = np.where(hit, np.minimum(range_m, enter), range_m)
    range_m = np.minimum(range_m, 80) + 0.02 * rng.standard_normal(len(rays))
    return (rays * range_m[:, None]).astype(np.float32), boxes


def _view(boxes: Float64) -> View:
    """Return the boxes as masks of one picture, the nearer in front."""
    rows, taken = [], np.zeros(SIZE_HW, bool)
    whole = []
    for box in boxes:
        corners = np.array(np.meshgrid(*zip(box[:3], box[3:], strict=True))).reshape(3, -1).T
        _, uv, _ = points_in_view(CAMERA, corners, (10**6, 10**6))
        hull = cv2.convexHull(np.round(uv).astype(np.int32)) if len(uv) else np.zeros((0, 2))
        bitmap = np.zeros(SIZE_HW, np.uint8)
        if len(hull):
            cv2.fillConvexPoly(bitmap, hull, 1)
        whole.append(masks_.encode_one(bitmap.astype(bool)))
        rows.append(masks_.encode_one(bitmap.astype(bool) & ~taken))
        taken |= bitmap.astype(bool)
    n = len(boxes)
    masks = masks_.join(tuple(rows), SIZE_HW)
    return View(
        camera=CAMERA,
        masks=masks,
        whole=masks_.join(tuple(whole), SIZE_HW),
        instance_ids=np.arange(1, n + 1, dtype=np.int32),
        class_ids=np.ones(n, np.int32),
        statuses=np.zeros(n, np.uint8),
        boxes_xyxy=masks.boxes_xyxy.astype(np.float32),
        order=tuple(range(n)),
        usual_m=boxes[:, 3:] - boxes[:, :3],
        most_m=2 * (boxes[:, 3:] - boxes[:, :3]),
    )


def _painted(view: View) -> Int32:
    image = np.zeros(SIZE_HW, np.int32)
    for row in range(len(view.masks)):
        image[masks_.decode_one(view.masks, row)] = row + 1
    return image


def _look_up(points: Float32, owners: Int32) -> Int32:
    found = np.zeros(len(points), np.int32)
    rows, uv, _ = points_in_view(CAMERA, points, SIZE_HW)
    x, y = np.floor(uv + 0.5).astype(np.int64).T
    found[rows] = owners[y, x]
    return found


def _loop(points: Float32, view: View, config: LiftConfig) -> Int32:
    """Do what scripts do: for each mask, project the sweep, look it up, keep the depth mode."""
    found = np.zeros(len(points), np.int32)
    for row in range(len(view.masks)):
        found[_mode(points, view, row, config)[1]] = row + 1
    return found


def _cluster_loop(points: Float32, view: View, config: LiftConfig) -> Int32:
    """Do what better scripts do: for each mask, a plane, and the clusters that it mostly covers."""
    found = np.zeros(len(points), np.int32)
    for row in range(len(view.masks)):
        inside, mode = _mode(points, view, row, config)
        standing = np.flatnonzero(inside & (_over_plane(points) > PLANE_M))
        pairs = cKDTree(points[standing]).query_pairs(CLUSTER_M, output_type="ndarray")
        links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(standing), len(standing)))
        count, cluster = connected_components(links, directed=False)
        own = np.bincount(cluster, np.isin(standing, mode), count) / np.bincount(cluster)
        found[standing[own[cluster] > 0.5]] = row + 1
    return found


def _mode(points: Float32, view: View, row: int, config: LiftConfig) -> tuple[Bool, Rows]:
    """Return which points are in the image, and the rows of those in the mask's depth mode."""
    bitmap = masks_.decode_one(view.masks, row)
    homogeneous = np.column_stack([points, np.ones(len(points))])
    camera = (CAMERA.T_cam_from_lidar @ homogeneous.T)[:3]
    u, v, depth = K @ camera
    with np.errstate(divide="ignore", invalid="ignore"):
        u, v = np.floor(u / depth + 0.5), np.floor(v / depth + 0.5)
    inside = (depth > 0.1) & (u >= 0) & (u < SIZE_HW[1]) & (v >= 0) & (v < SIZE_HW[0])
    on = np.flatnonzero(inside)
    on = on[bitmap[v[on].astype(np.int64), u[on].astype(np.int64)]]
    return inside, on[nearest_strong_mode(depth[on], np.ones(len(on)), config)]


def _over_plane(points: Float32) -> Float64:
    """Return heights over the plane, of 50 drawn ones, that most points lie on."""
    rng = np.random.default_rng(0)
    heights = np.zeros(len(points))
    most = 0
    for _ in range(50):
        one, other, third = points[rng.integers(0, len(points), 3)].astype(np.float64)
        normal = np.cross(other - one, third - one)
        if abs(normal[2]) > 0.9 * np.linalg.norm(normal):
            found = (points - one) @ (normal / np.linalg.norm(normal) * np.sign(normal[2]))
            on_it = int(np.count_nonzero(np.abs(found) < PLANE_M))
            if on_it > most:
                heights, most = found, on_it
    return heights
