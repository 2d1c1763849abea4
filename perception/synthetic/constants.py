"""The frozen constants of the generator; their hash stands in every drive's card.

A figure measured on a drive is comparable with another only if the hashes are equal: change nothing
here to make a model look better.
"""

import hashlib
import json

from perception.core.config import Settings
from perception.synthetic import casting, people, rig, vehicles
from perception.synthetic.meshes import Material

VERSION = 1  # of the algorithm: raise it when the same constants give other bytes


class StreetConstants(Settings):
    """How streets are laid out; pairs are the bounds of uniform draws."""

    lane_m: tuple[float, float] = (3.1, 3.6)
    two_lanes: float = 0.3  # share of streets with two lanes in each direction
    bike_lane_m: tuple[float, float] = (1.1, 1.6)
    bike_lanes: float = 0.6
    parked_m: float = 2.2  # depth of a row of cars parked along the kerb
    parked_across_m: float = 5.2  # of a row parked across
    parked_across: float = 0.25
    parked_share: tuple[float, float] = (0.15, 0.75)  # of the places taken
    parked_gap_m: tuple[float, float] = (0.7, 1.6)
    pavement_m: tuple[float, float] = (2.8, 4.5)
    kerb_m: float = 0.12
    junction_every_m: tuple[float, float] = (45.0, 95.0)
    side_street_m: float = 9.0
    building_m: tuple[float, float] = (8.0, 20.0)
    storeys: tuple[int, int] = (2, 6)
    storey_m: float = 3.1
    front_garden_m: tuple[float, float] = (0.0, 5.0)
    furniture_every_m: tuple[float, float] = (7.0, 16.0)  # trees, lamps, poles
    behind_m: float = 60.0
    ahead_m: float = 170.0


class TrafficConstants(Settings):
    """Who is on the street."""

    ego_m_s: tuple[float, float] = (4.0, 11.0)
    oncoming_m_s: tuple[float, float] = (5.0, 12.0)
    bicycle_m_s: tuple[float, float] = (3.5, 6.0)
    walk_m_s: tuple[float, float] = (0.7, 1.7)
    lane_gap_m: tuple[float, float] = (7.0, 45.0)
    first_gap_m: tuple[float, float] = (7.0, 26.0)
    bicycle_gap_m: tuple[float, float] = (8.0, 45.0)
    group_gap_m: tuple[float, float] = (6.0, 30.0)
    group_sizes: tuple[float, ...] = (0.45, 0.3, 0.15, 0.1)  # share of one, two, three, four
    standing: float = 0.15  # a person in a free parking place
    parked_kinds: tuple[float, ...] = (0.82, 0.13, 0.05, 0.0)  # car, van, truck, bus
    moving_kinds: tuple[float, ...] = (0.70, 0.14, 0.10, 0.06)


class LidarConstants(Settings):
    """A spinning LiDAR with 64 beams."""

    beams: int = 64
    top_deg: float = 2.0
    bottom_deg: float = -24.8
    columns: int = 1800
    turn_s: float = rig.TURN_S
    slices: int = 20  # of a turn: movers stand still within one, 5 ms
    max_range_m: float = 100.0
    min_range_m: float = 1.5
    range_noise_m: float = 0.02
    dropout: float = 0.02  # of all returns
    far_dropout: float = 0.6  # of a black face at `max_range_m`, growing with the square of range
    glass_pass: float = 0.92  # share of beams that go through a pane
    leaf_pass: float = 0.35
    passes: int = 4  # panes that a beam goes through at most


class LookConstants(Settings):
    """Light and sensor of the camera."""

    sun: tuple[float, float] = (0.75, 1.25)
    sun_height_deg: tuple[float, float] = (22.0, 65.0)
    overcast: float = 0.3  # share of scenes without a sun
    ambient: float = 0.42
    haze_m: tuple[float, float] = (180.0, 700.0)  # distance at which 1/e of the contrast is left
    exposure: tuple[float, float] = (0.85, 1.25)
    blur_px: float = 0.6  # sigma of the lens
    noise: tuple[float, float] = (1.5, 4.5)  # grey levels of the sensor


class TruthConstants(Settings):
    """What counts as seen."""

    near_m: float = 120.0  # road users beyond are not told apart
    min_visible_px: int = 100  # smaller: an ignored region
    seen_slack_m: float = 0.1  # five sigmas of the range noise


REFLECTANCE = {
    Material.PAINT: 0.45,
    Material.GLASS: 0.9,
    Material.RUBBER: 0.08,
    Material.METAL: 0.5,
    Material.CLOTH: 0.35,
    Material.SKIN: 0.5,
    Material.LAMP: 0.95,
    Material.WALL: 0.4,
    Material.ROOF: 0.35,
    Material.LEAF: 0.45,
    Material.BARK: 0.3,
    Material.ROAD: 0.18,
    Material.PAVING: 0.3,
    Material.GRASS: 0.4,
}
STREET, TRAFFIC = StreetConstants(), TrafficConstants()
LIDAR, LOOK, TRUTH = LidarConstants(), LookConstants(), TruthConstants()


def constants_sha256(cameras: int = 1) -> str:
    """Return the hash of all constants and of the tables that shapes are made from.

    Args:
        cameras: Key of `rig.RIGS`; the constants of a rig count for its drives alone.
    """
    ring = [rig.RING_DEG, rig.RING_FOCAL_PX, rig.RING_HW, rig.RING_RADIUS_M]
    frozen = {
        "version": VERSION,
        **{type(part).__name__: part.model_dump() for part in (STREET, TRAFFIC, LIDAR, LOOK)},
        "TruthConstants": TRUTH.model_dump(),
        "reflectance": list(REFLECTANCE.values()),
        "rig": [
            *(rig.FOCAL_PX, rig.CENTRE_PX, rig.KITTI_HW, rig.CAMERA_HEIGHT_M, rig.LIDAR_M),
            *(rig.LIDAR_TURN_RAD, rig.RECTIFY_RAD, rig.CAMERAS_Y_M),
            *(ring if cameras == 6 else ()),
        ],
        "shapes": [
            [vehicles.SALOON, vehicles.SALOON_GLASS, vehicles.HATCHBACK, vehicles.HATCHBACK_GLASS],
            [vehicles.VAN, vehicles.VAN_GLASS, vehicles.CAB, vehicles.CAB_GLASS, vehicles.PANES],
            [
                people.TORSO,
                people.NECK,
                people.ADULT_M,
                casting.PAINTS,
                casting.SKINS,
                casting.KINDS,
            ],
        ],
    }
    return hashlib.sha256(json.dumps(frozen, sort_keys=True).encode()).hexdigest()
