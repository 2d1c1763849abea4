"""Triangle meshes and the few solids that all shapes are made of.

Every solid is closed and its triangles face outwards (counter-clockwise seen from outside).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from perception.core.types import Float32, Float64, Int32, UInt8

Rgb = tuple[float, float, float]


class Material(IntEnum):
    """What a face is made of: how it is textured, and what a LiDAR makes of it."""

    PAINT = 0
    GLASS = 1  # the camera sees it, most LiDAR beams pass
    RUBBER = 2
    METAL = 3
    CLOTH = 4
    SKIN = 5
    LAMP = 6
    WALL = 7
    ROOF = 8
    LEAF = 9  # some LiDAR beams pass
    BARK = 10
    ROAD = 11
    PAVING = 12
    GRASS = 13


Palette = Mapping[Material, Rgb]


@dataclass(frozen=True, eq=False)
class Mesh:
    """Coloured triangles.

    Attributes:
        vertices_m: (V, 3) float32.
        triangles: (T, 3) int32, rows of `vertices_m`.
        materials: (T,) uint8, `Material`.
        colours: (T, 3) float32, albedo in [0, 1].
    """

    vertices_m: Float32
    triangles: Int32
    materials: UInt8
    colours: Float32

    @cached_property
    def bounds_m(self) -> tuple[Float64, Float64]:
        """Least and greatest corner, (3,) each."""
        vertices = self.vertices_m.astype(np.float64)
        return vertices.min(axis=0), vertices.max(axis=0)


EMPTY = Mesh(
    np.zeros((0, 3), np.float32),
    np.zeros((0, 3), np.int32),
    np.zeros(0, np.uint8),
    np.zeros((0, 3), np.float32),
)


def join(parts: Sequence[Mesh]) -> Mesh:
    """Put meshes together, triangles in their order."""
    if not parts:
        return EMPTY
    starts = np.cumsum([0, *(len(part.vertices_m) for part in parts)])
    return Mesh(
        np.concatenate([part.vertices_m for part in parts]),
        np.concatenate(
            [part.triangles + start for part, start in zip(parts, starts, strict=False)]
        ).astype(np.int32),
        np.concatenate([part.materials for part in parts]),
        np.concatenate([part.colours for part in parts]),
    )


def moved(mesh: Mesh, R: Float64, translation_m: Sequence[float] | Float64) -> Mesh:
    """Turn a mesh by a (3, 3) rotation, then shift it."""
    vertices = mesh.vertices_m @ R.T + np.asarray(translation_m, np.float64)
    return replace(mesh, vertices_m=vertices.astype(np.float32))


def about_z(heading_rad: float) -> Float64:
    """Return the (3, 3) rotation about the z axis."""
    c, s = np.cos(heading_rad), np.sin(heading_rad)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def fitted(mesh: Mesh, size_lwh_m: Sequence[float] | Float64) -> Mesh:
    """Scale a mesh to its stated length, width and height, standing on the origin."""
    low, high = mesh.bounds_m
    centre = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    scale = np.asarray(size_lwh_m, np.float64) / (high - low)
    vertices = (mesh.vertices_m - centre) * scale
    return replace(mesh, vertices_m=vertices.astype(np.float32))


def _corners(mesh: Mesh) -> tuple[Float64, Float64, Float64]:
    """Return the three (T, 3) corners of the triangles."""
    vertices = mesh.vertices_m.astype(np.float64)
    a, b, c = mesh.triangles.T
    return vertices[a], vertices[b], vertices[c]


def _cross(a: Float64, b: Float64) -> Float64:
    """Return the (..., 3) cross product; on a scene's thousands of small parts np.cross is slow."""
    ax, ay, az, bx, by, bz = a[..., 0], a[..., 1], a[..., 2], b[..., 0], b[..., 1], b[..., 2]
    result = np.empty(a.shape)
    result[..., 0] = ay * bz - az * by
    result[..., 1] = az * bx - ax * bz
    result[..., 2] = ax * by - ay * bx
    return result


def volume_m3(mesh: Mesh) -> float:
    """Return the signed volume: positive if closed triangles face outwards."""
    a, b, c = _corners(mesh)
    return float(np.einsum("ij,ij->i", a, _cross(b, c)).sum() / 6)


def normals(mesh: Mesh) -> Float32:
    """Return (T, 3) outward unit normals; zero for a triangle without area."""
    a, b, c = _corners(mesh)
    cross = _cross(b - a, c - a)
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    unit = np.divide(cross, length, out=np.zeros_like(cross), where=length > 0)
    return np.asarray(unit, np.float32)


@cache
def _skin(count: int, corners: int, closed: bool) -> Int32:
    """Return the triangles between rings, and of the caps unless closed; a scene asks thousands."""
    strips = count if closed else count - 1
    s, p = np.meshgrid(np.arange(strips), np.arange(corners), indexing="ij")
    following = (s + 1) % count * corners
    right = (p + 1) % corners
    a, b, c, d = s * corners + p, s * corners + right, following + right, following + p
    triangles = np.stack([a, b, c, a, c, d], axis=-1).reshape(-1, 3)
    if not closed:
        i = np.arange(1, corners - 1)
        last = (count - 1) * corners
        caps = [np.stack([0 * i, i + 1, i], axis=1), np.stack([0 * i, i, i + 1], axis=1) + last]
        triangles = np.concatenate([triangles, *caps])
    result = triangles.astype(np.int32)
    result.flags.writeable = False  # shared by all meshes of this make
    return result


def loft(
    rings_m: npt.ArrayLike,
    material: Material,
    palette: Palette,
    cells: Mapping[tuple[int, int], Material] | None = None,
    *,
    closed: bool = False,
) -> Mesh:
    """Stretch a skin over rings.

    Args:
        rings_m: (S, P, 3) rings of P corners each; without `closed`, first and last are capped.
        material: Of the skin.
        palette: Colours of the materials.
        cells: (strip, edge) of single cells that are of another material.
        closed: The last ring is joined to the first, as in a tyre.
    """
    rings = np.asarray(rings_m, np.float64)
    count, corners = rings.shape[:2]
    strips = count if closed else count - 1
    triangles = _skin(count, corners, closed)
    materials = np.full((strips, corners, 2), material, np.uint8)
    for cell, other in (cells or {}).items():
        materials[cell] = other
    kinds = materials.reshape(-1)
    if not closed:
        kinds = np.concatenate([kinds, np.full(2 * (corners - 2), material, np.uint8)])
    table = np.zeros((len(Material), 3), np.float32)
    for kind, colour in palette.items():
        table[kind] = colour
    colours = table[kinds]
    mesh = Mesh(rings.reshape(-1, 3).astype(np.float32), triangles, kinds, colours)
    if volume_m3(mesh) < 0:
        mesh = replace(mesh, triangles=np.ascontiguousarray(mesh.triangles[:, ::-1]))
    return mesh


def box(
    low_m: Sequence[float], high_m: Sequence[float], material: Material, palette: Palette
) -> Mesh:
    """Return an upright box between two corners."""
    (x0, y0, z0), (x1, y1, z1) = low_m, high_m
    rings = [[(x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)] for x in (x0, x1)]
    return loft(rings, material, palette)


def tube(
    joints_m: Sequence[Sequence[float]],
    radii_m: Sequence[float],
    material: Material,
    palette: Palette,
    sides: int = 6,
) -> Mesh:
    """Return a round limb through two or more joints, one radius at each."""
    joints = np.asarray(joints_m, np.float64)
    along = joints[-1] - joints[0]
    along /= np.linalg.norm(along)
    helper = np.array([0.0, 1, 0]) if abs(along[1]) < 0.9 else np.array([1.0, 0, 0])
    across = _cross(along, helper)
    across /= np.linalg.norm(across)
    upright = _cross(along, across)
    angles = np.arange(sides) * 2 * np.pi / sides + np.pi / sides
    circle = np.cos(angles)[:, None] * across + np.sin(angles)[:, None] * upright
    rings = joints[:, None] + np.asarray(radii_m)[:, None, None] * circle
    return loft(rings, material, palette)


def ellipsoid(
    centre_m: Sequence[float],
    radii_m: Sequence[float],
    material: Material,
    palette: Palette,
    sides: int = 8,
    rings: int = 5,
) -> Mesh:
    """Return a rounded blob; its ends are small facets."""
    slope = np.linspace(-0.45, 0.45, rings) * np.pi
    angles = np.arange(sides) * 2 * np.pi / sides
    circle = np.stack([np.cos(angles), np.sin(angles), np.zeros(sides)], axis=1)
    skin = np.cos(slope)[:, None, None] * circle
    skin[..., 2] += np.sin(slope)[:, None] / np.sin(0.45 * np.pi)
    return loft(skin * np.asarray(radii_m) + np.asarray(centre_m), material, palette)


def hoop(
    centre_m: Sequence[float],
    radii_m: tuple[float, float],
    width_m: float,
    material: Material,
    palette: Palette,
    sides: int = 14,
) -> Mesh:
    """Return a bicycle's wheel: a ring about the y axis, between two radii."""
    angles = np.arange(sides) * 2 * np.pi / sides
    inner, outer, half = radii_m[0], radii_m[1], width_m / 2
    profile = [(inner, -half), (outer, -half), (outer, half), (inner, half)]
    rings = [[(r * np.cos(a), y, r * np.sin(a)) for r, y in profile] for a in angles]
    return loft(np.asarray(rings) + np.asarray(centre_m), material, palette, closed=True)
