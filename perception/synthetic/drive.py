"""Render one frame of a drive: pictures, sweep, and the truth about both.

All truth comes from rays: a pixel belongs to the thing that the ray through its centre meets first;
a thing's whole mask are the pixels whose ray meets it at all. Panes are part of their vehicle for
the camera, while most LiDAR beams pass them.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import find_objects

from perception.core import masks as masks_
from perception.core.geometry import inverse, points_in_view, transform
from perception.core.types import Bool, Camera, Float32, Float64, Int32, Masks, RowAligned, UInt8
from perception.synthetic import lidar
from perception.synthetic.constants import LIDAR, TRUTH
from perception.synthetic.lidar import Sweep
from perception.synthetic.paint import Painter
from perception.synthetic.rays import Caster
from perception.synthetic.rig import Rig, RigCamera
from perception.synthetic.stage import Movers, Stage, cast
from perception.synthetic.world import Thing, World

TICK_NS = 100_000_000  # 10 Hz
ROUNDING_M = 0.01  # far more than float32 loses on a hit within a scene
Bounds = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False, repr=False)
class Objects(RowAligned):
    """N road users at one moment.

    Attributes:
        ids: (N,) int32, from 1, the same over the scene; ascending.
        class_names: N names of the road ontology.
        sizes_lwh_m: (N, 3) length, width, height of the box.
        places_ego_m: (N, 3) centre of the box's bottom, ego frame.
        headings_rad: (N,) about the ego's z axis.
        speeds_m_s: (N,) along the heading, over ground.
    """

    ids: Int32
    class_names: tuple[str, ...]
    sizes_lwh_m: Float64
    places_ego_m: Float64
    headings_rad: Float64
    speeds_m_s: Float64


@dataclass(frozen=True, eq=False)
class View:
    """What one camera has of a frame.

    Attributes:
        camera: Intrinsics and mounting.
        image_rgb: (H, W, 3) uint8.
        instance_ids: (H, W) int32 id of the road user that each pixel shows, 0 for none.
        visible: (N) masks of the frame's objects, as seen; empty where nothing is seen.
        whole: (N) masks as if the object stood alone; empty below `TRUTH.min_visible_px`.
        hidden_shares: (N,) of the whole mask; 1 where that is empty.
        truncated_shares: (N,) of the box's volume that projects outside the picture.
        seen: (P,) booleans: the camera sees this point of the sweep.
        stamp_ns: Moment of the picture, from the start of the scene.
        T_world_from_ego: (4, 4) pose at that moment.
    """

    camera: Camera
    image_rgb: UInt8
    instance_ids: Int32
    visible: Masks
    whole: Masks
    hidden_shares: Float64
    truncated_shares: Float64
    seen: Bool
    stamp_ns: int
    T_world_from_ego: Float64


@dataclass(frozen=True, eq=False)
class Frame:
    """One moment of a drive: that of the sweep, and of the first camera.

    Attributes:
        number: In its scene, from 0.
        stamp_ns: From the start of the scene.
        T_world_from_ego: (4, 4) pose in the scene's world.
        objects: (N) road users that a camera or the LiDAR meets.
        views: One per camera of the rig.
        sweep: (P) points with their truth.
    """

    number: int
    stamp_ns: int
    T_world_from_ego: Float64
    objects: Objects
    views: tuple[View, ...]
    sweep: Sweep


class Renderer:
    """Renders the frames of a scene, in any order, one at a time."""

    def __init__(self, world: World, rig: Rig, caster: Caster) -> None:
        """Prepare what stands still, its light, and the rays of the pixels."""
        self.stage = Stage(world, caster)
        self.rig = rig
        self._painter = Painter(self.stage)
        self._beams = lidar.beam_directions(rig)
        self._rays = [_pixel_rays(camera) for camera in rig.cameras]

    def __call__(self, number: int) -> Frame:
        """Render frame `number`; frames are 0.1 s apart."""
        stage, rig, time_s = self.stage, self.rig, number * TICK_NS / 1e9
        sources = np.random.default_rng([*stage.world.seed, number, 2]).spawn(1 + len(rig.cameras))
        sweep = lidar.turn(stage, rig, self._beams, time_s, sources[0])
        T_world_from_ego = stage.world.T_world_from_ego(time_s)
        looks = [
            _look(stage, camera, rays, time_s + camera.delay_s)
            for camera, rays in zip(rig.cameras, self._rays, strict=True)
        ]
        met = np.bincount(sweep.ids, minlength=len(stage.speeds_m_s))
        for look in looks:
            met += np.bincount(look.ids.ravel(), minlength=len(met))
        objects = [thing for thing in stage.world.things if thing.id and met[thing.id]]
        table = _objects(objects, T_world_from_ego, time_s)
        views = []
        for row, look in enumerate(looks):
            T_then_from_now = inverse(look.T_world_from_ego) @ T_world_from_ego
            camera = rig.calibrated(row, T_then_from_now)
            things = stage.near(look.T_world_from_ego[:3, 3], look.time_s, TRUTH.near_m)
            movers = stage.at(things, look.time_s)
            image = self._painter(
                movers, look.rays, look.depth_m, look.face, look.ids.shape, sources[1 + row]
            )
            visible, whole, hidden = _masks(look, objects)
            then = _objects(objects, look.T_world_from_ego, look.time_s)
            views.append(
                View(
                    camera=camera,
                    image_rgb=image,
                    instance_ids=look.ids,
                    visible=visible,
                    whole=whole,
                    hidden_shares=hidden,
                    truncated_shares=_truncated(then, rig.cameras[row]),
                    seen=_seen(look, movers, camera, sweep),
                    stamp_ns=number * TICK_NS + round(look.camera.delay_s * 1e9),
                    T_world_from_ego=look.T_world_from_ego,
                )
            )
        stamp_ns = number * TICK_NS
        return Frame(number, stamp_ns, T_world_from_ego, table, tuple(views), sweep)


@dataclass(frozen=True, eq=False)
class _Look:
    """What the rays of one camera met at one moment."""

    stage: Stage
    camera: RigCamera
    time_s: float
    T_world_from_ego: Float64
    T_world_from_cam: Float64
    rays: Float32
    depth_m: Float32
    face: Int32
    ids: Int32


@lru_cache(maxsize=6)  # the cameras of a rig, for all scenes
def _directions(camera: RigCamera) -> Float32:
    """Return (H * W, 3) directions of the pixels; the ego never turns, so they stay."""
    height, width = camera.size_hw
    v, u = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    pixels = np.stack([u.ravel(), v.ravel(), np.ones(height * width)], axis=1)
    T_ego_from_cam = np.linalg.inv(camera.T_cam_from_ego)
    directions = pixels @ (T_ego_from_cam[:3, :3] @ np.linalg.inv(camera.K)).T
    result = directions.astype(np.float32)
    result.flags.writeable = False
    return result


def _pixel_rays(camera: RigCamera) -> Float32:
    """Return (H * W, 6) rays, origins open."""
    directions = _directions(camera)
    rays = np.zeros((len(directions), 6), np.float32)
    rays[:, 3:] = directions
    return rays


def _look(stage: Stage, camera: RigCamera, rays: Float32, time_s: float) -> _Look:
    """Cast the pixels, movers only where they can be seen; writes the origins into `rays`."""
    T_world_from_ego = stage.world.T_world_from_ego(time_s)
    T_world_from_cam = T_world_from_ego @ np.linalg.inv(camera.T_cam_from_ego)
    rays[:, :3] = T_world_from_cam[:3, 3]
    depth_m, face = stage.still.cast(rays)
    depth_m, face = depth_m.copy(), face.copy()
    possible, behind_m = np.zeros(camera.size_hw, bool), depth_m.reshape(camera.size_hw)
    things = []
    for thing in stage.near(T_world_from_cam[:3, 3], time_s, TRUTH.near_m):
        points = stage.mesh_at(thing, time_s).vertices_m
        x0, y0, x1, y1 = _window(camera, T_world_from_cam, points)
        nearest_m = float(((points - T_world_from_cam[:3, 3]) @ T_world_from_cam[:3, 2]).min())
        open_ = behind_m[y0:y1, x0:x1] > nearest_m - ROUNDING_M
        if open_.any():
            possible[y0:y1, x0:x1] |= open_
            things.append(thing)
    rows = np.flatnonzero(possible).astype(np.int32)
    stage.at(things, time_s).closer(rays, depth_m, face, rows)
    ids = stage.faces.ids[face].reshape(camera.size_hw)
    return _Look(
        stage, camera, time_s, T_world_from_ego, T_world_from_cam, rays, depth_m, face, ids
    )


def _objects(things: list[Thing], T_world_from_ego: Float64, time_s: float) -> Objects:
    T_ego_from_world = inverse(T_world_from_ego)
    places = np.array([thing.place_m(time_s) for thing in things]).reshape(-1, 3)
    turn = float(np.arctan2(T_ego_from_world[1, 0], T_ego_from_world[0, 0]))
    headings = np.array([thing.heading_rad for thing in things], np.float64) + turn
    return Objects(
        ids=np.array([thing.id for thing in things], np.int32),
        class_names=tuple(thing.class_name for thing in things),
        sizes_lwh_m=np.array([thing.size_lwh_m for thing in things]).reshape(-1, 3),
        places_ego_m=transform(T_ego_from_world, places),
        headings_rad=(headings + np.pi) % (2 * np.pi) - np.pi,
        speeds_m_s=np.array([thing.speed_m_s for thing in things], np.float64),
    )


def _masks(look: _Look, things: list[Thing]) -> tuple[Masks, Masks, Float64]:
    """Return the visible masks, the whole masks, and the share of each that is hidden."""
    visible, whole, hidden = [], [], np.ones(len(things))
    places = find_objects(look.ids)
    nothing = (np.zeros(4, np.int32), b"")
    for row, thing in enumerate(things):
        place = places[thing.id - 1] if thing.id <= len(places) else None
        visible.append(nothing)
        whole.append(nothing)
        if place is None:
            continue
        v, u = place
        seen = look.ids[place] == thing.id
        visible[row] = masks_.encode_one(seen, (u.start, v.start))
        pixels = int(np.count_nonzero(seen))
        if pixels >= TRUTH.min_visible_px:
            bitmap, corner = _whole(look, thing, (u.start, v.start, u.stop, v.stop))
            whole[row] = masks_.encode_one(bitmap, corner)
            hidden[row] = 1 - pixels / int(np.count_nonzero(bitmap))
    size_hw = look.camera.size_hw
    return masks_.join(tuple(visible), size_hw), masks_.join(tuple(whole), size_hw), hidden


def _whole(look: _Look, thing: Thing, tight: Bounds) -> tuple[Bool, tuple[int, int]]:
    """Cast one thing alone, where something nearer could hide it.

    Returns:
        The bitmap of the window and the window's upper left corner.
    """
    mesh = look.stage.mesh_at(thing, look.time_s)
    x0, y0, x1, y1 = _window(look.camera, look.T_world_from_cam, mesh.vertices_m)
    x0, y0, x1, y1 = min(x0, tight[0]), min(y0, tight[1]), max(x1, tight[2]), max(y1, tight[3])
    window = (slice(y0, y1), slice(x0, x1))
    bitmap = look.ids[window] == thing.id
    offset = mesh.vertices_m - look.T_world_from_cam[:3, 3]
    farthest_m = float((offset @ look.T_world_from_cam[:3, 2]).max())
    covered = ~bitmap & (look.depth_m.reshape(look.ids.shape)[window] < farthest_m + ROUNDING_M)
    if covered.any():
        alone = look.stage.caster(mesh.vertices_m, mesh.triangles)
        rays = look.rays.reshape(*look.ids.shape, 6)[window][covered]
        bitmap[covered] = alone.blocked(rays)
    return bitmap, (x0, y0)


def _window(camera: RigCamera, T_world_from_cam: Float64, points_world: Float32) -> Bounds:
    """Return half-open pixel bounds in which points project; the whole picture if unsure."""
    height, width = camera.size_hw
    points_cam = (points_world - T_world_from_cam[:3, 3]) @ T_world_from_cam[:3, :3]
    depth = points_cam[:, 2]
    if depth.max() < 0.1:
        return 0, 0, 0, 0
    if depth.min() < 0.1:
        return 0, 0, width, height
    uv = points_cam[:, :2] / points_cam[:, 2:] * camera.K[[0, 1], [0, 1]] + camera.K[:2, 2]
    (u0, v0), (u1, v1) = np.floor(uv.min(axis=0)) - 1, np.ceil(uv.max(axis=0)) + 2
    x0, y0, x1, y1 = max(int(u0), 0), max(int(v0), 0), min(int(u1), width), min(int(v1), height)
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else (0, 0, 0, 0)


def _truncated(objects: Objects, camera: RigCamera) -> Float64:
    """Return the share of a grid in each box that lies outside the picture."""
    steps = np.linspace(-0.45, 0.45, 5)
    grid = np.stack(np.meshgrid(steps, steps, steps + 0.5, indexing="ij"), -1).reshape(-1, 3)
    local = grid * objects.sizes_lwh_m[:, None]  # (N, 125, 3)
    c, s = np.cos(objects.headings_rad)[:, None], np.sin(objects.headings_rad)[:, None]
    x, y = c * local[..., 0] - s * local[..., 1], s * local[..., 0] + c * local[..., 1]
    places = np.stack([x, y, local[..., 2]], axis=-1) + objects.places_ego_m[:, None]
    points_cam = transform(camera.T_cam_from_ego, places.reshape(-1, 3))
    depth = points_cam[:, 2]
    uv = (points_cam @ camera.K.T)[:, :2] / np.maximum(depth, 1e-6)[:, None]
    height, width = camera.size_hw
    inside = (depth > 0.1) & (uv > -0.5).all(axis=1)
    inside &= (uv[:, 0] < width - 0.5) & (uv[:, 1] < height - 0.5)
    return np.asarray(1 - inside.reshape(len(objects), len(grid)).mean(axis=1), np.float64)


def _roughly_in_view(
    camera: Camera, points_lidar: Float32, size_hw: tuple[int, int]
) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return the points between the sides of the picture and a little beyond: most are not."""
    T = camera.T_cam_from_lidar.astype(np.float32)
    right, _, depth = (points_lidar @ T[axis, :3] + T[axis, 3] for axis in range(3))
    centre_px, width = float(camera.K[0, 2]), size_hw[1]
    widest = (max(centre_px, width - centre_px) + 2) / float(camera.K[0, 0])
    return np.flatnonzero((depth > 0) & (np.abs(right) <= widest * depth + 0.1))


def _seen(look: _Look, movers: Movers, camera: Camera, sweep: Sweep) -> Bool:
    """Say which points the camera sees.

    The pixel that the point falls into shows the thing that the point lies on, and nothing stands
    between: the first thing that the ray from the camera to the point meets is no nearer than the
    point, but for the noise of its range and the way that its thing went since it was measured.
    """
    seen = np.zeros(len(sweep), bool)
    near = _roughly_in_view(camera, sweep.points_lidar, look.camera.size_hw)
    rows, uv, _ = points_in_view(camera, sweep.points_lidar[near], look.camera.size_hw)
    rows = near[rows]
    u, v = np.floor(uv + 0.5).astype(np.int64).T
    rows = rows[look.ids[v, u] == sweep.ids[rows]]
    T_cam_from_lidar = camera.T_cam_from_lidar
    points_cam = transform(T_cam_from_lidar, sweep.points_lidar[rows].astype(np.float64))
    rays = np.empty((len(rows), 6), np.float32)
    rays[:, :3] = look.T_world_from_cam[:3, 3]
    rays[:, 3:] = points_cam @ look.T_world_from_cam[:3, :3].T
    share, _ = cast(look.stage, movers, rays)
    range_m = np.linalg.norm(points_cam, axis=1)
    lag_s = (
        np.abs(sweep.lags_s[rows] - np.float32(look.camera.delay_s)) + LIDAR.turn_s / LIDAR.slices
    )
    moved_m = look.stage.speeds_m_s[sweep.ids[rows]] * lag_s
    seen[rows] = (1 - share) * range_m <= TRUTH.seen_slack_m + moved_m
    return seen
