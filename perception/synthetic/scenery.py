"""What stands along a street: buildings, trees, poles, signs, kerbs."""

import numpy as np

from perception.synthetic.meshes import (
    Material,
    Mesh,
    Palette,
    Rgb,
    box,
    ellipsoid,
    join,
    loft,
    tube,
)

GREY_STEEL: Palette = {Material.METAL: (0.30, 0.31, 0.32)}


def make_building(
    size_lwh_m: tuple[float, float, float], wall: Rgb, roof: Rgb, eaves: bool
) -> Mesh:
    """Return a house block, its windows are texture; with eaves it has a gable along x."""
    length, width, height = size_lwh_m
    palette: Palette = {Material.WALL: wall, Material.ROOF: roof}
    x, y = length / 2, width / 2
    body = box((-x, -y, 0), (x, y, height), Material.WALL, palette)
    if not eaves:
        top = box((-x, -y - 0.15, height), (x, y + 0.15, height + 0.4), Material.ROOF, palette)
        return join([body, top])
    gable = [(-y - 0.5, height), (y + 0.5, height), (0.0, height + 0.45 * width)]
    rings = [[(end, across, up) for across, up in gable] for end in (-x, x)]
    return join([body, loft(rings, Material.ROOF, palette)])


def make_tree(height_m: float, rng: np.random.Generator) -> Mesh:
    """Return a trunk and a crown of a few blobs."""
    shade = rng.uniform(0.75, 1.2)
    palette: Palette = {
        Material.BARK: (0.16, 0.11, 0.07),
        Material.LEAF: (0.10 * shade, 0.19 * shade, 0.045 * shade),
    }
    radius = rng.uniform(0.12, 0.22)
    crown = height_m * rng.uniform(0.38, 0.48)
    joints = [(0, 0, 0), (0, 0, crown), (0, 0, height_m * 0.8)]
    radii = (radius, radius * 0.75, 0.04)
    parts = [tube(joints, radii, Material.BARK, palette, sides=7)]
    reach = height_m * 0.22
    for _ in range(6):
        spread = reach * 0.7
        centre = (
            float(rng.uniform(-spread, spread)),
            float(rng.uniform(-spread, spread)),
            float(rng.uniform(crown + 0.6 * reach, height_m - 0.6 * reach)),
        )
        size = (reach * rng.uniform(0.55, 0.9, 3)).tolist()
        parts.append(ellipsoid(centre, size, Material.LEAF, palette, sides=7, rings=5))
    return join(parts)


def make_pole(height_m: float, radius_m: float, lamp: bool) -> Mesh:
    """Return a lamp post or a plain pole; the arm of a lamp reaches along y."""
    joints = [(0, 0, 0), (0, 0, height_m)]
    parts = [tube(joints, (radius_m, 0.7 * radius_m), Material.METAL, GREY_STEEL, sides=7)]
    if lamp:
        arm = [(0, 0, height_m - 0.1), (0, 1.6, height_m + 0.15)]
        parts.append(tube(arm, (0.05, 0.05), Material.METAL, GREY_STEEL, sides=4))
        low, high = (-0.15, 1.2, height_m + 0.05), (0.15, 1.9, height_m + 0.17)
        parts.append(box(low, high, Material.METAL, GREY_STEEL))
    return join(parts)


def make_sign(height_m: float, kind: int) -> Mesh:
    """Return a traffic sign that faces traffic coming along x."""
    face: Palette = {Material.LAMP: ((0.6, 0.05, 0.05), (0.05, 0.12, 0.5), (0.7, 0.6, 0.1))[kind]}
    white: Palette = {Material.LAMP: (0.8, 0.8, 0.8)}
    post = tube([(0, 0, 0), (0, 0, height_m)], (0.035, 0.035), Material.METAL, GREY_STEEL)
    z = height_m - 0.32
    plate = tube([(0.0, 0, z), (-0.06, 0, z)], (0.32, 0.32), Material.LAMP, face, (12, 4, 4)[kind])
    inner = tube([(0.0, 0, z), (-0.07, 0, z)], (0.22, 0.22), Material.LAMP, white, (12, 4, 3)[kind])
    return join([post, plate, inner])


def make_slab(low_m: tuple[float, float], high_m: tuple[float, float], height_m: float) -> Mesh:
    """Return a pavement with its kerb."""
    palette: Palette = {Material.PAVING: (0.33, 0.32, 0.30)}
    return box((*low_m, -0.2), (*high_m, height_m), Material.PAVING, palette)


def make_ground(
    low_m: tuple[float, float], high_m: tuple[float, float], material: Material
) -> Mesh:
    """Return a plane at the road's height (grass a little below), one face up."""
    palette: Palette = {Material.ROAD: (0.12, 0.12, 0.125), Material.GRASS: (0.11, 0.15, 0.05)}
    depth = -0.02 if material == Material.GRASS else 0.0
    return box((*low_m, -1.0), (*high_m, depth), material, palette)
