"""Pedestrians and bicyclists (a bicycle and its rider are one object)."""

from collections.abc import Sequence

import numpy as np

from perception.synthetic.meshes import (
    Material,
    Mesh,
    Palette,
    Rgb,
    box,
    ellipsoid,
    fitted,
    hoop,
    join,
    loft,
    tube,
)

# Ellipses of a torso, from the hips up: share of the body's height, half depth, half width (m).
TORSO = ((0.47, 0.10, 0.15), (0.55, 0.105, 0.155), (0.66, 0.11, 0.165), (0.79, 0.11, 0.20))
NECK = (0.84, 0.06, 0.08)
ADULT_M = 1.71
Point = tuple[float, float, float]


def _at(x: float, y: float, z: float) -> Point:
    return (x, y, z)


def _clothes(jacket: Rgb, trousers: Rgb, skin: Rgb) -> tuple[Palette, Palette, Palette]:
    upper: Palette = {Material.CLOTH: jacket}
    lower: Palette = {Material.CLOTH: trousers}
    bare: Palette = {Material.SKIN: skin, Material.CLOTH: (0.05, 0.035, 0.025)}
    return upper, lower, bare


def _torso(height_m: float, lean_rad: float, hips: Point, palette: Palette) -> Mesh:
    angles = np.arange(8) * np.pi / 4 + np.pi / 8
    rings = []
    for share, depth, width in (*TORSO, NECK):
        above = (share - TORSO[0][0]) * height_m
        x, z = hips[0] + above * np.sin(lean_rad), hips[2] + above * np.cos(lean_rad)
        ring = [(x + depth * np.cos(a), width * np.sin(a), z) for a in angles]
        rings.append(ring)
    return loft(rings, Material.CLOTH, palette)


def _head(centre: Point, bare: Palette) -> list[Mesh]:
    x, y, z = centre
    return [
        ellipsoid((x, y, z), (0.095, 0.078, 0.12), Material.SKIN, bare),
        ellipsoid((x - 0.02, y, z + 0.035), (0.098, 0.085, 0.10), Material.CLOTH, bare),
    ]


def _leg(joints: Sequence[Point], palette: Palette) -> list[Mesh]:
    x, y, z = joints[-1]
    shoe: Palette = {Material.RUBBER: (0.04, 0.035, 0.03)}
    return [
        tube(joints, (0.085, 0.06, 0.045), Material.CLOTH, palette),
        box((x - 0.07, y - 0.045, z - 0.08), (x + 0.18, y + 0.045, z), Material.RUBBER, shoe),
    ]


def make_pedestrian(
    height_m: float, stride: float, jacket: Rgb, trousers: Rgb, skin: Rgb, *, bag: bool
) -> Mesh:
    """Return a walking person, facing x.

    Args:
        height_m: From sole to crown.
        stride: -1 to 1, how far the legs are apart; 0 stands still.
        jacket: Colour.
        trousers: Colour.
        skin: Colour.
        bag: Carries a rucksack.
    """
    upper, lower, bare = _clothes(jacket, trousers, skin)
    h = ADULT_M  # children are small adults
    parts = [_torso(h, 0.05, _at(0, 0, TORSO[0][0] * h), upper)]
    for side in (-1, 1):
        swing = side * stride
        hip, y = _at(0, side * 0.085, 0.50 * h), side * 0.09
        knee = _at(0.10 * h * max(swing, -0.4), y, 0.28 * h)
        foot = _at(0.19 * h * swing, y, 0.045 * h + 0.05 * h * max(-swing, 0))
        parts += _leg([hip, knee, foot], lower)
        shoulder = _at(0.01, side * 0.20, 0.79 * h)
        elbow = _at(-0.07 * h * swing, side * 0.25, 0.62 * h)
        hand = _at(-0.10 * h * swing + 0.05, side * 0.25, 0.48 * h)
        parts.append(tube([shoulder, elbow, hand], (0.06, 0.05, 0.035), Material.CLOTH, upper))
        palm = (0.04, 0.03, 0.06)
        parts.append(ellipsoid(hand, palm, Material.SKIN, bare, sides=5, rings=3))
    parts += _head(_at(0.03, 0, 0.925 * h), bare)
    neck = [_at(0.015, 0, 0.82 * h), _at(0.03, 0, 0.89 * h)]
    parts.append(tube(neck, (0.055, 0.05), Material.SKIN, bare))
    if bag:
        cloth: Palette = {Material.CLOTH: (trousers[2], trousers[0], jacket[1])}
        low, high = (-0.27, -0.14, 0.56 * h), (-0.09, 0.14, 0.79 * h)
        parts.append(box(low, high, Material.CLOTH, cloth))
    mesh = join(parts)
    low_m, high_m = mesh.bounds_m
    return fitted(mesh, (high_m - low_m) * height_m / (high_m[2] - low_m[2]))


def make_bicyclist(
    height_m: float, crank: float, jacket: Rgb, trousers: Rgb, skin: Rgb, frame: Rgb
) -> Mesh:
    """Return a bicycle with its rider, facing x.

    Args:
        height_m: From the road to the rider's crown, about the rider's own height.
        crank: Angle of the pedals, radians.
        jacket: Colour.
        trousers: Colour.
        skin: Colour.
        frame: Colour of the bicycle.
    """
    upper, lower, bare = _clothes(jacket, trousers, skin)
    steel: Palette = {Material.METAL: frame, Material.RUBBER: (0.03, 0.03, 0.03)}
    back, front, bottom = _at(-0.52, 0, 0.34), _at(0.53, 0, 0.34), _at(-0.07, 0, 0.29)
    saddle, steer = _at(-0.24, 0, 0.92), _at(0.36, 0, 0.93)
    parts = [hoop(hub, (0.29, 0.34), 0.045, Material.RUBBER, steel) for hub in (back, front)]
    for ends in (
        (back, bottom),
        (back, saddle),
        (bottom, saddle),
        (bottom, steer),
        (saddle, steer),
        (steer, front),
        (_at(0.38, -0.28, 1.0), _at(0.38, 0.28, 1.0)),
    ):
        parts.append(tube(ends, (0.022, 0.022), Material.METAL, steel, sides=4))
    parts.append(box((-0.36, -0.07, 0.91), (-0.12, 0.07, 0.97), Material.RUBBER, steel))
    hips = _at(-0.22, 0, 1.0)
    reach = 0.62
    parts.append(_torso(1.72, reach, hips, upper))
    for side in (-1, 1):
        turn = crank if side > 0 else crank + np.pi
        pedal = _at(-0.07 + 0.17 * np.cos(turn), side * 0.11, 0.36 + 0.17 * np.sin(turn))
        knee = _at(0.22 + 0.08 * np.cos(turn), side * 0.11, 0.84 + 0.10 * np.sin(turn))
        parts += _leg([_at(-0.2, side * 0.09, 1.0), knee, pedal], lower)
        shoulder = _at(0.09, side * 0.19, 1.45)
        arm = [shoulder, _at(0.22, side * 0.28, 1.22), _at(0.38, side * 0.27, 1.03)]
        parts.append(tube(arm, (0.055, 0.045, 0.035), Material.CLOTH, upper))
    parts += _head(_at(0.20, 0, 1.70), bare)
    neck = [_at(0.14, 0, 1.49), _at(0.19, 0, 1.63)]
    parts.append(tube(neck, (0.055, 0.05), Material.SKIN, bare))
    mesh = join(parts)
    low_m, high_m = mesh.bounds_m
    length, width, _ = high_m - low_m  # the bicycle stays as it is
    return fitted(mesh, (length, width, height_m))
