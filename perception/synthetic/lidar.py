"""The spinning LiDAR.

One turn takes 0.1 s and begins and ends behind the car, so that it looks forward at the moment of
the picture. While it turns the ego drives on: each column has its own origin. The points are given
in the LiDAR's frame at the moment of the picture, with the ego's motion taken out, as KITTI does.
The others' motion stays in: a car that comes towards us at 10 m/s is up to 0.1 m off at the edge of
the front camera's view, and half a metre behind us. Movers stand still within a slice of 5 ms.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from perception.core.types import Float32, Float64, Int32, RowAligned, UInt8
from perception.synthetic.constants import LIDAR, REFLECTANCE
from perception.synthetic.meshes import Material
from perception.synthetic.rig import Rig
from perception.synthetic.stage import Movers, Stage

Rows = np.ndarray[tuple[int], np.dtype[np.intp]]


@dataclass(frozen=True, eq=False, repr=False)
class Sweep(RowAligned):
    """P returns.

    Attributes:
        points_lidar: (P, 3) float32 metres, LiDAR frame at the moment of the picture.
        reflectances: (P,) float32 in [0, 1].
        ids: (P,) int32 thing hit, 0 for scenery.
        lags_s: (P,) float32 when it was measured, from the moment of the picture.
        beams: (P,) uint8 number of the beam, 0 is the highest.
    """

    points_lidar: Float32
    reflectances: Float32
    ids: Int32
    lags_s: Float32
    beams: UInt8


@dataclass(frozen=True, eq=False)
class _Slice:
    """Columns that are measured at about the same time, and the movers that they may meet."""

    first: int
    end: int
    nearest_m: float  # no mover is nearer
    movers: Movers


def turn(
    stage: Stage, rig: Rig, directions: Float32, time_s: float, rng: np.random.Generator
) -> Sweep:
    """Return the sweep of the turn around `time_s`; beam by beam, each clockwise from behind.

    Args:
        stage: The scene.
        rig: Where the LiDAR sits.
        directions: From `beam_directions`.
        time_s: Moment of the picture.
        rng: For noise, panes and dropouts.
    """
    T_world_from_lidar = stage.world.T_world_from_ego(time_s) @ rig.T_ego_from_lidar
    lag_s = _lags_s()
    rays = np.empty((len(directions), 6), np.float32)
    rays[:, :3] = T_world_from_lidar[:3, 3]
    rays[:, 0] += np.repeat(stage.world.ego_m_s * lag_s, LIDAR.beams)
    rays[:, 3:] = directions
    range_m, face = _through(stage, _slices(stage, time_s, lag_s), rays, rng)
    within = np.flatnonzero((range_m < LIDAR.max_range_m) & (range_m > LIDAR.min_range_m))
    slope = np.abs(np.einsum("ij,ij->i", directions[within], stage.faces.normals[face[within]]))
    back = _strengths()[stage.faces.materials[face[within]]]
    kept = _returned(range_m[within], back * np.sqrt(slope), rng)
    kept = kept[np.argsort(within[kept] % LIDAR.beams, kind="stable")]
    rows = within[kept]
    noise_m = LIDAR.range_noise_m * rng.standard_normal(len(rows), np.float32)
    hits_m = (range_m[rows] + noise_m)[:, None]
    offset = directions[rows] * hits_m
    offset[:, 0] += rays[rows, 0] - np.float32(T_world_from_lidar[0, 3])
    R = T_world_from_lidar[:3, :3].astype(np.float32)
    reflectance = back[kept] * (0.3 + 0.7 * slope[kept])
    return Sweep(
        points_lidar=np.einsum("ij,jk->ik", offset, R),
        reflectances=reflectance.astype(np.float32).round(2),
        ids=stage.faces.ids[face[rows]],
        lags_s=lag_s[rows // LIDAR.beams].astype(np.float32),
        beams=(rows % LIDAR.beams).astype(np.uint8),
    )


def _lags_s() -> Float64:
    """Return when each column is measured, from the moment of the picture."""
    columns = (np.arange(LIDAR.columns) + 0.5) / LIDAR.columns
    return np.asarray((columns - 0.5) * LIDAR.turn_s, np.float64)


def _azimuths_rad() -> Float64:
    return -2 * np.pi / LIDAR.turn_s * _lags_s()


@lru_cache(maxsize=1)  # a rig sees many scenes
def beam_directions(rig: Rig) -> Float32:
    """Return the (columns * beams, 3) directions of a turn; the ego never turns."""
    elevation = np.deg2rad(np.linspace(LIDAR.top_deg, LIDAR.bottom_deg, LIDAR.beams))
    a, e = np.meshgrid(_azimuths_rad(), elevation, indexing="ij")
    direction = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], axis=-1)
    turned = direction.reshape(-1, 3) @ rig.T_ego_from_lidar[:3, :3].T
    result = turned.astype(np.float32)
    result.flags.writeable = False
    return result


def _slices(stage: Stage, time_s: float, lag_s: Float64) -> list[_Slice]:
    azimuth = _azimuths_rad()
    ego_m = stage.world.T_world_from_ego(time_s)[:3, 3]
    near = stage.near(ego_m, time_s, LIDAR.max_range_m)
    offsets = np.array([thing.place_m(time_s) - ego_m for thing in near]).reshape(-1, 3)
    reach_m = (
        np.array([stage.reach_m[thing.id] for thing in near]) + 1.5
    )  # 1.2 m: both move meanwhile; 0.3 m: the mount
    distance = np.hypot(offsets[:, 0], offsets[:, 1])
    half = np.where(distance < reach_m + 2, np.pi, np.arcsin(np.minimum(reach_m / distance, 1)))
    bearing = np.arctan2(offsets[:, 1], offsets[:, 0])
    slices = []
    for columns in np.array_split(np.arange(LIDAR.columns), LIDAR.slices):
        first, last = int(columns[0]), int(columns[-1])
        away = bearing - (azimuth[first] + azimuth[last]) / 2
        away = np.abs((away + np.pi) % (2 * np.pi) - np.pi)
        wide = half + (azimuth[first] - azimuth[last]) / 2 + 0.02
        met = [near[row] for row in np.flatnonzero(away <= wide)]
        middle_s = time_s + float(lag_s[columns].mean())
        # `reach_m` is of the box and `distance` is level, so this is a lower bound in space too
        nearest_m = float((distance - reach_m)[away <= wide].min(initial=np.inf))
        slices.append(_Slice(first, last + 1, nearest_m, stage.at(met, middle_s)))
    return slices


def _cast(
    stage: Stage, slices: list[_Slice], rays: Float32, columns: Int32, gone_m: Float32
) -> tuple[Float32, Int32]:
    """Cast rays, ordered by column, into what stands still and into each slice's movers.

    The rays begin `gone_m` from the LiDAR; one that ends before the nearest mover cannot meet any.
    """
    range_m, face = stage.still.cast(rays)
    range_m, face = range_m.copy(), face.copy()
    for part in slices:
        first, end = np.searchsorted(columns, np.array([part.first, part.end], np.int32))
        rows = first + np.flatnonzero(range_m[first:end] + gone_m[first:end] > part.nearest_m)
        part.movers.closer(rays, range_m, face, rows.astype(np.int32))
    return range_m, face


def _through(
    stage: Stage, slices: list[_Slice], rays: Float32, rng: np.random.Generator
) -> tuple[Float32, Int32]:
    """Cast rays that may pass glass and leaves; each pane is a new draw."""
    share = np.zeros(len(Material))
    share[Material.GLASS], share[Material.LEAF] = LIDAR.glass_pass, LIDAR.leaf_pass
    columns = np.repeat(np.arange(LIDAR.columns, dtype=np.int32), LIDAR.beams)
    range_m, face = _cast(stage, slices, rays, columns, np.zeros(len(rays), np.float32))
    going = np.flatnonzero(face >= 0)
    for _ in range(LIDAR.passes):
        passes = share[stage.faces.materials[face[going]]] * (face[going] >= 0)
        going = going[rng.random(len(going), np.float32) < passes]
        if len(going) == 0:
            break
        beyond = range_m[going] + np.float32(1e-3)
        onward = rays[going]
        onward[:, :3] += onward[:, 3:] * beyond[:, None]
        further, met = _cast(stage, slices, onward, columns[going], beyond)
        range_m[going], face[going] = beyond + further, met
    return range_m, face


def _strengths() -> Float32:
    return np.array([REFLECTANCE[kind] for kind in Material], np.float32)


def _returned(range_m: Float32, strength: Float32, rng: np.random.Generator) -> Rows:
    """Draw which rays come back: dark, steep and far faces are lost first."""
    far = range_m / np.float32(LIDAR.max_range_m)
    lost = LIDAR.dropout + LIDAR.far_dropout * (1 - strength) * far**2
    return np.flatnonzero(rng.random(len(range_m), np.float32) > lost)
