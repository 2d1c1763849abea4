"""A street: who and what stands and moves on it. Everything is drawn from the seed.

Frame of the world: x along the street in the driving direction, y left, z up; y is 0 in the middle
of the ego's lane, z is 0 on the road. Traffic keeps to the right.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from perception.core.geometry import rigid
from perception.core.types import Float64
from perception.synthetic import meshes, scenery
from perception.synthetic.casting import make_person, make_rider, make_vehicle
from perception.synthetic.constants import LOOK, STREET, TRAFFIC
from perception.synthetic.meshes import Material, Mesh

Rng = np.random.Generator
PARKED_FACES = (0.0, np.pi)
WALLS = ((0.42, 0.22, 0.16), (0.55, 0.50, 0.42), (0.60, 0.57, 0.52), (0.38, 0.36, 0.35))
ROOFS = ((0.30, 0.13, 0.09), (0.16, 0.16, 0.17), (0.24, 0.20, 0.18))


@dataclass(frozen=True, eq=False)
class Thing:
    """Something on the street.

    Attributes:
        id: From 1 for road users, unique in the scene, the same over time; 0 for scenery.
        class_name: Of the road ontology; "" for scenery.
        mesh: Its shape: x forward, origin at the centre of the bottom of its box.
        start_m: (3,) where its origin is at time 0.
        heading_rad: Which way x points, about z; constant.
        speed_m_s: Along its heading; constant, 0 for what is parked or built.
    """

    id: int
    class_name: str
    mesh: Mesh
    start_m: Float64
    heading_rad: float
    speed_m_s: float = 0.0

    @property
    def size_lwh_m(self) -> Float64:
        """Length, width and height of its box."""
        low, high = self.mesh.bounds_m
        return high - low

    def place_m(self, time_s: float) -> Float64:
        """Return (3,) its origin at a time."""
        ahead = np.array([np.cos(self.heading_rad), np.sin(self.heading_rad), 0.0])
        return self.start_m + ahead * self.speed_m_s * time_s

    def mesh_at(self, time_s: float) -> Mesh:
        """Return its shape in the world."""
        return meshes.moved(self.mesh, meshes.about_z(self.heading_rad), self.place_m(time_s))


@dataclass(frozen=True, eq=False)
class Light:
    """Sun, sky and camera settings of a scene.

    Attributes:
        sun: (3,) unit vector towards the sun.
        sun_strength: 0 when overcast.
        haze_m: Distance at which 1/e of the contrast is left.
        exposure: Factor.
        noise: Standard deviation of the sensor, grey levels.
    """

    sun: Float64
    sun_strength: float
    haze_m: float
    exposure: float
    noise: float


@dataclass(frozen=True, eq=False)
class World:
    """A scene.

    Attributes:
        seed: (drive's seed, number of the scene): what it was drawn from.
        things: Road users and scenery.
        light: Sun and sky.
        ego_m_s: Speed of the ego along x.
        kerbs_y_m: Right and left edge of the road.
        lines: (y, dashed) of the lane markings.
        junctions_x_m: Middles of the side streets.
    """

    seed: tuple[int, int]
    things: tuple[Thing, ...]
    light: Light
    ego_m_s: float
    kerbs_y_m: tuple[float, float]
    lines: tuple[tuple[float, bool], ...]
    junctions_x_m: tuple[float, ...]

    def T_world_from_ego(self, time_s: float) -> Float64:
        """Return the (4, 4) pose of the ego."""
        return rigid(np.eye(3), np.array([self.ego_m_s * time_s, 0.0, 0.0]))


@dataclass(frozen=True)
class _Side:
    """One side of the street, seen from the road: sign -1 is the right."""

    sign: int
    lanes_y_m: tuple[float, ...]
    bike_y_m: float
    bike: bool
    parked_y_m: float
    across: bool
    kerb_y_m: float
    pavement_m: float
    garden_m: float


def make_world(seed: int, scene: int = 0, duration_s: float = 10.0) -> World:
    """Draw a street that is long enough to drive on for `duration_s`."""
    rng = np.random.default_rng([seed, scene, 1])
    ego_m_s = float(rng.uniform(*TRAFFIC.ego_m_s))
    span = (-STREET.behind_m, STREET.ahead_m + ego_m_s * duration_s)
    lane_m, lanes = float(rng.uniform(*STREET.lane_m)), 1 + int(rng.random() < STREET.two_lanes)
    right = _side(rng, -1, lane_m, 1, -lane_m / 2)
    left = _side(rng, 1, lane_m, lanes, (lanes - 0.5) * lane_m)
    junctions = _junctions(rng, span)
    things = list(_ground(span, right, left))
    for side in (right, left):
        things += _frontage(rng, side, span, junctions)
        things += _furniture(rng, side, span, junctions)
        things += _parked(rng, side, span, junctions)
        things += _pavement_people(rng, side, span)
    things += _traffic(rng, right, left, lanes, lane_m, ego_m_s, duration_s)
    things += _waiting(rng, right, left, junctions)
    road_users = [thing for thing in things if thing.class_name]
    numbered = [replace(thing, id=number) for number, thing in enumerate(road_users, start=1)]
    lines = [(lane_m * (i + 0.5), i != lanes - 1) for i in range(2 * lanes - 1)]
    lines += [(-lane_m / 2, True), (lane_m * (2 * lanes - 0.5), True)]
    return World(
        seed=(seed, scene),
        things=(*numbered, *(thing for thing in things if not thing.class_name)),
        light=_light(rng),
        ego_m_s=ego_m_s,
        kerbs_y_m=(right.kerb_y_m, left.kerb_y_m),
        lines=tuple(lines),
        junctions_x_m=junctions,
    )


def _light(rng: Rng) -> Light:
    height, turn = np.deg2rad(rng.uniform(*LOOK.sun_height_deg)), rng.uniform(0, 2 * np.pi)
    sun = [np.cos(height) * np.cos(turn), np.cos(height) * np.sin(turn), np.sin(height)]
    overcast = rng.random() < LOOK.overcast
    return Light(
        sun=np.array(sun),
        sun_strength=0.0 if overcast else float(rng.uniform(*LOOK.sun)),
        haze_m=float(rng.uniform(*LOOK.haze_m)),
        exposure=float(rng.uniform(*LOOK.exposure)),
        noise=float(rng.uniform(*LOOK.noise)),
    )


def _side(rng: Rng, sign: int, lane_m: float, lanes: int, edge_y_m: float) -> _Side:
    """Stack bike lane, parked cars and pavement outwards; on the left beyond the oncoming lanes."""
    far = edge_y_m if sign < 0 else edge_y_m + lanes * lane_m
    lanes_y = (0.0,) if sign < 0 else tuple(edge_y_m + (i + 0.5) * lane_m for i in range(lanes))
    bike = bool(rng.random() < STREET.bike_lanes)
    bike_m = float(rng.uniform(*STREET.bike_lane_m)) if bike else 0.35
    across = bool(rng.random() < STREET.parked_across)
    parked_m = STREET.parked_across_m if across else STREET.parked_m
    return _Side(
        sign=sign,
        lanes_y_m=lanes_y,
        bike_y_m=far + sign * bike_m / 2,
        bike=bike,
        parked_y_m=far + sign * (bike_m + parked_m / 2),
        across=across,
        kerb_y_m=far + sign * (bike_m + parked_m),
        pavement_m=float(rng.uniform(*STREET.pavement_m)),
        garden_m=float(rng.uniform(*STREET.front_garden_m)),
    )


def _junctions(rng: Rng, span: tuple[float, float]) -> tuple[float, ...]:
    places, x = [], span[0] + rng.uniform(*STREET.junction_every_m)
    while x < span[1]:
        places.append(float(x))
        x += rng.uniform(*STREET.junction_every_m)
    return tuple(places)


def _clear(x_m: float, junctions: tuple[float, ...], reach_m: float) -> bool:
    half = STREET.side_street_m / 2 + reach_m
    return all(abs(x_m - junction) > half for junction in junctions)


def _built(mesh: Mesh, place_m: tuple[float, float, float], heading_rad: float = 0.0) -> Thing:
    return Thing(0, "", mesh, np.array(place_m), heading_rad)


def _ground(span: tuple[float, float], right: _Side, left: _Side) -> Iterator[Thing]:
    low, high = (span[0] - 150, -250.0), (span[1] + 400, 250.0)
    yield _built(scenery.make_ground(low, high, Material.GRASS), (0, 0, 0))
    edges = (low[0], right.kerb_y_m - 0.2), (high[0], left.kerb_y_m + 0.2)
    yield _built(scenery.make_ground(*edges, Material.ROAD), (0, 0, 0))


def _frontage(
    rng: Rng, side: _Side, span: tuple[float, float], junctions: tuple[float, ...]
) -> Iterator[Thing]:
    """Pavements and houses, block by block between the side streets."""
    half = STREET.side_street_m / 2
    starts = (span[0] - 60, *(x + half for x in junctions))
    ends = (*(x - half for x in junctions), span[1] + 60)
    outer = side.kerb_y_m + side.sign * side.pavement_m
    for x in junctions:
        y0, y1 = sorted((side.kerb_y_m, side.kerb_y_m + side.sign * 90))
        asphalt = scenery.make_ground((x - half, y0), (x + half, y1), Material.ROAD)
        yield _built(asphalt, (0, 0, 0))
    for start, end in zip(starts, ends, strict=True):
        if end - start < 6:
            continue
        y0, y1 = sorted((side.kerb_y_m, outer))
        yield _built(scenery.make_slab((start, y0), (end, y1), STREET.kerb_m), (0, 0, 0))
        x = start + rng.uniform(0.5, 3)
        while x < end - 5:
            length = float(min(rng.uniform(*STREET.building_m), end - x))
            if rng.random() < 0.9:
                yield _house(rng, side, outer, x, length)
            x += length + (rng.uniform(1, 6) if rng.random() < 0.3 else 0.0)


def _house(rng: Rng, side: _Side, outer_y_m: float, x_m: float, length_m: float) -> Thing:
    storeys, depth = int(rng.integers(*STREET.storeys, endpoint=True)), float(rng.uniform(8, 13))
    shade = rng.uniform(0.75, 1.15)
    r, g, b = (float(c * shade) for c in WALLS[rng.integers(len(WALLS))])
    roof = ROOFS[rng.integers(len(ROOFS))]
    eaves = bool(rng.random() < 0.5)
    size = (length_m, depth, storeys * STREET.storey_m)
    setback = side.garden_m + float(rng.uniform(0, 0.6))
    y = outer_y_m + side.sign * (setback + depth / 2)
    mesh = scenery.make_building(size, (r, g, b), roof, eaves)
    return _built(mesh, (x_m + length_m / 2, y, 0.0))


def _furniture(
    rng: Rng, side: _Side, span: tuple[float, float], junctions: tuple[float, ...]
) -> Iterator[Thing]:
    """Trees, lamps, poles and signs along the kerb."""
    trees = rng.uniform(0.2, 0.8)
    x = span[0] + rng.uniform(*STREET.furniture_every_m)
    while x < span[1]:
        place = (float(x), side.kerb_y_m + side.sign * 0.55, STREET.kerb_m)
        draw = rng.random()
        if _clear(x, junctions, 0.5):
            if draw < trees:
                yield _built(scenery.make_tree(float(rng.uniform(5, 9.5)), rng), place)
            elif draw < trees + 0.5 * (1 - trees):
                towards = 0.0 if side.sign < 0 else np.pi
                yield _built(scenery.make_pole(7.5, 0.09, lamp=True), place, towards)
            elif draw < trees + 0.75 * (1 - trees):
                sign = scenery.make_sign(float(rng.uniform(2.4, 3.0)), int(rng.integers(3)))
                yield _built(sign, place, 0.0 if side.sign < 0 else np.pi)
            else:
                yield _built(scenery.make_pole(float(rng.uniform(3, 5)), 0.06, lamp=False), place)
        x += rng.uniform(*STREET.furniture_every_m)


def _parked(
    rng: Rng, side: _Side, span: tuple[float, float], junctions: tuple[float, ...]
) -> Iterator[Thing]:
    """A row of parked vehicles; a person stands in some of the free places."""
    share = rng.uniform(*STREET.parked_share)
    x = span[0] + rng.uniform(0, 6)
    while x < span[1]:
        kind, mesh = make_vehicle(rng, TRAFFIC.parked_kinds)
        length, width, _ = np.subtract(*mesh.bounds_m[::-1])
        room = float(width + 0.6 if side.across else length)
        middle = x + room / 2
        fits = not side.across or length < STREET.parked_across_m + 0.4
        if fits and rng.random() < share and _clear(middle, junctions, room / 2 + 2):
            heading = float(side.sign * np.pi / 2 * rng.choice([-1, 1]) if side.across else 0.0)
            heading += 0.0 if side.across else float(PARKED_FACES[int(side.sign > 0)])
            y = side.parked_y_m + rng.normal(0, 0.08)
            turn = heading + rng.normal(0, 0.02)
            yield Thing(0, kind, mesh, np.array([middle, y, 0.0]), float(turn))
        elif rng.random() < TRAFFIC.standing and _clear(middle, junctions, 1):
            y = side.parked_y_m + rng.uniform(-0.8, 0.8)
            person = make_person(rng, standing=True)
            yield Thing(0, "person", person, np.array([middle, y, 0.0]), float(rng.uniform(0, 6.3)))
        x += room + rng.uniform(*STREET.parked_gap_m)


def _pavement_people(rng: Rng, side: _Side, span: tuple[float, float]) -> Iterator[Thing]:
    """Walkers in groups; the pavement's kerb side belongs to trees and poles."""
    crowd = rng.uniform(0.6, 1.8)
    x = span[0] + rng.uniform(*TRAFFIC.group_gap_m)
    while x < span[1]:
        size = 1 + int(rng.choice(len(TRAFFIC.group_sizes), p=TRAFFIC.group_sizes))
        heading = float(rng.choice(PARKED_FACES))
        speed = float(rng.uniform(*TRAFFIC.walk_m_s)) if rng.random() < 0.85 else 0.0
        inner, outer = 1.15, side.pavement_m - 0.4
        middle = rng.uniform(inner, outer)
        for member in range(size):
            across = np.clip(middle + (member % 2) * 0.65 + rng.normal(0, 0.08), inner, outer)
            along = x + (member // 2) * 0.9 + rng.normal(0, 0.25)
            place = np.array([along, side.kerb_y_m + side.sign * across, STREET.kerb_m])
            turn = heading if speed else float(rng.uniform(0, 6.3))
            person = make_person(rng, standing=speed == 0)
            yield Thing(0, "person", person, place, turn, speed)
        x += 0.9 * size + rng.uniform(*TRAFFIC.group_gap_m) * crowd


def _traffic(
    rng: Rng,
    right: _Side,
    left: _Side,
    lanes: int,
    lane_m: float,
    ego_m_s: float,
    duration_s: float,
) -> Iterator[Thing]:
    """Everyone in a lane has the lane's speed, so that nobody runs into anybody."""
    ahead = 110.0
    first = rng.uniform(*TRAFFIC.first_gap_m) + 3
    yield from _lane(rng, 0.0, (first, ahead), 0.0, ego_m_s)
    yield from _lane(rng, 0.0, (-45.0, -11.0), 0.0, ego_m_s)
    if lanes == 2:
        speed = ego_m_s * float(rng.uniform(0.9, 1.15))
        reach = abs(ego_m_s - speed) * duration_s
        yield from _lane(rng, lane_m, (-40.0 - reach, ahead + reach), 0.0, speed)
    for y in left.lanes_y_m:
        speed = float(rng.uniform(*TRAFFIC.oncoming_m_s))
        end = ahead + (ego_m_s + speed) * duration_s
        yield from _lane(rng, y, (-40.0, end), np.pi, speed)
    for side, heading in ((right, 0.0), (left, np.pi)):
        if side.bike:
            speed = float(rng.uniform(*TRAFFIC.bicycle_m_s))
            end = ahead + (ego_m_s + speed) * duration_s
            yield from _bicycles(rng, side.bike_y_m, (-25.0, end), heading, speed)


def _lane(
    rng: Rng, y_m: float, span: tuple[float, float], heading_rad: float, speed_m_s: float
) -> Iterator[Thing]:
    x = span[0]
    while x < span[1]:
        kind, mesh = make_vehicle(rng, TRAFFIC.moving_kinds)
        length = float(np.subtract(*mesh.bounds_m[::-1])[0])
        place = np.array([x + length / 2, y_m + rng.normal(0, 0.12), 0.0])
        if x + length < span[1] or span[1] > 0:
            yield Thing(0, kind, mesh, place, float(heading_rad), speed_m_s)
        x += length + rng.uniform(*TRAFFIC.lane_gap_m)


def _bicycles(
    rng: Rng, y_m: float, span: tuple[float, float], heading_rad: float, speed_m_s: float
) -> Iterator[Thing]:
    x = span[0] + rng.uniform(*TRAFFIC.bicycle_gap_m)
    while x < span[1]:
        if abs(x) > 6:
            place = np.array([x, y_m + rng.normal(0, 0.1), 0.0])
            yield Thing(0, "bicyclist", make_rider(rng), place, float(heading_rad), speed_m_s)
        x += 2.5 + rng.uniform(*TRAFFIC.bicycle_gap_m)


def _waiting(rng: Rng, right: _Side, left: _Side, junctions: tuple[float, ...]) -> Iterator[Thing]:
    """Vehicles that wait in side streets, and riders beside them."""
    for x in junctions:
        for side in (right, left):
            if rng.random() < 0.6:
                kind, mesh = make_vehicle(rng, TRAFFIC.parked_kinds)
                length = float(np.subtract(*mesh.bounds_m[::-1])[0])
                y = side.kerb_y_m + side.sign * (length / 2 + rng.uniform(0.3, 4))
                place = np.array([x - side.sign * 2.2, y, 0.0])
                yield Thing(0, kind, mesh, place, float(-side.sign * np.pi / 2))
            if rng.random() < 0.3:
                y = side.kerb_y_m + side.sign * rng.uniform(0.8, 4)
                place = np.array([x - side.sign * 4.0, y, 0.0])
                yield Thing(0, "bicyclist", make_rider(rng), place, float(-side.sign * np.pi / 2))
