"""A scene that rays can be cast into at any moment: what stands still is prepared once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perception.core.types import Bool, Float32, Float64, Int32, UInt8
from perception.synthetic import meshes
from perception.synthetic.meshes import Mesh
from perception.synthetic.rays import Caster, Surface
from perception.synthetic.world import Thing, World


@dataclass(frozen=True, eq=False)
class Faces:
    """What is known of the F faces of a scene; one more row, where -1 leads, is the sky.

    Attributes:
        ids: (F + 1,) int32 id of the thing, 0 for scenery.
        materials: (F + 1,) uint8, `Material`.
        colours: (F + 1, 3) float32.
        normals: (F + 1, 3) float32, outwards; nothing ever turns.
    """

    ids: Int32
    materials: UInt8
    colours: Float32
    normals: Float32


@dataclass(frozen=True, eq=False)
class Movers:
    """Some moving things at one time.

    Attributes:
        surface: Their triangles.
        faces: (T,) int32 number of each triangle in the scene's `Faces`; -1 leads to -1.
    """

    surface: Surface
    faces: Int32

    def closer(self, rays: Float32, distance: Float32, face: Int32, rows: Int32) -> None:
        """Cast some rays and replace, in place, what they met where a mover is nearer."""
        if len(rows) == 0 or len(self.faces) == 1:
            return
        other, triangle = self.surface.cast(rays[rows])
        near = other < distance[rows]
        distance[rows[near]] = other[near]
        face[rows[near]] = self.faces[triangle[near]]


class Stage:
    """A world and the caster that sees it."""

    def __init__(self, world: World, caster: Caster) -> None:
        """Prepare what stands still, and the table of all faces."""
        self.world = world
        self.caster = caster
        things = [thing for thing in world.things if thing.speed_m_s == 0]
        self.movers = tuple(thing for thing in world.things if thing.speed_m_s != 0)
        parts = [thing.mesh_at(0.0) for thing in things]
        mesh = meshes.join(parts)
        self.still = caster(mesh.vertices_m, mesh.triangles)
        self._parts = {thing.id: thing.mesh_at(0.0) for thing in self.movers}
        all_parts = [*parts, *self._parts.values()]
        self.faces = _tabulate([thing.id for thing in (*things, *self.movers)], all_parts)
        counts = [len(part.triangles) for part in self._parts.values()]
        starts = len(mesh.triangles) + np.cumsum([0, *counts])
        self._starts = dict(zip(self._parts, starts.tolist(), strict=False))
        self.reach_m = {t.id: float(np.linalg.norm(t.size_lwh_m)) / 2 for t in self.movers}
        self.speeds_m_s = np.zeros(max((thing.id for thing in world.things), default=0) + 1)
        for thing in self.movers:
            self.speeds_m_s[thing.id] = thing.speed_m_s

    def near(self, centre_m: Float64, time_s: float, range_m: float) -> list[Thing]:
        """Return the movers within a range."""
        return [
            thing
            for thing in self.movers
            if np.linalg.norm(thing.place_m(time_s)[:2] - centre_m[:2]) < range_m
        ]

    def mesh_at(self, thing: Thing, time_s: float) -> Mesh:
        """Return the shape of a thing in the world."""
        if thing.id not in self._parts:
            return thing.mesh_at(0.0)
        still = self._parts[thing.id]
        shift = (thing.place_m(time_s) - thing.start_m).astype(np.float32)
        return Mesh(still.vertices_m + shift, still.triangles, still.materials, still.colours)

    def at(self, movers: Sequence[Thing], time_s: float) -> Movers:
        """Return some movers where they are at a time."""
        parts = [self.mesh_at(thing, time_s) for thing in movers]
        mesh = meshes.join(parts)
        numbers = [
            np.arange(len(part.triangles), dtype=np.int32) + self._starts[thing.id]
            for thing, part in zip(movers, parts, strict=True)
        ]
        faces = np.concatenate([*numbers, [-1]]).astype(np.int32)
        return Movers(self.caster(mesh.vertices_m, mesh.triangles), faces)


def cast(stage: Stage, movers: Movers, rays: Float32) -> tuple[Float32, Int32]:
    """Return distance and face of the nearest hit of (N, 6) rays; inf and -1 for the sky."""
    distance, face = stage.still.cast(rays)
    distance, face = distance.copy(), face.copy()
    movers.closer(rays, distance, face, np.arange(len(rays), dtype=np.int32))
    return distance, face


def blocked(stage: Stage, movers: Movers, rays: Float32) -> Bool:
    """Return which of (N, 6) rays meet anything."""
    result = stage.still.blocked(rays).copy()
    free = np.flatnonzero(~result)
    result[free] = movers.surface.blocked(rays[free])
    return result


def _tabulate(ids: Sequence[int], parts: Sequence[Mesh]) -> Faces:
    mesh = meshes.join(parts)
    counts = [len(part.triangles) for part in parts]
    zero = np.zeros((1, 3), np.float32)
    return Faces(
        ids=np.append(np.repeat(np.array(ids, np.int32), counts), np.int32(0)),
        materials=np.append(mesh.materials, np.uint8(0)),
        colours=np.concatenate([mesh.colours, zero]),
        normals=np.concatenate([meshes.normals(mesh), zero]),
    )
