"""Cars, vans, trucks and buses: skins over cross-sections, with wheels, windows and lamps.

Frame of a shape: x forward, y left, z up, origin at the centre of the bottom of its box.
"""

from collections.abc import Sequence

import numpy as np

from perception.synthetic.meshes import Material, Mesh, Palette, Rgb, box, fitted, join, loft, tube

# Stations along a body, in shares of length, height and half width:
# x, underside, sill, belt line, roof, half width of the body, half width of the roof.
Station = tuple[float, float, float, float, float, float, float]
SALOON: tuple[Station, ...] = (
    (-0.500, 0.28, 0.32, 0.48, 0.52, 0.86, 0.78),
    (-0.480, 0.20, 0.29, 0.60, 0.64, 0.94, 0.84),
    (-0.350, 0.17, 0.28, 0.63, 0.68, 0.985, 0.82),
    (-0.200, 0.17, 0.28, 0.63, 0.96, 0.985, 0.70),
    (-0.160, 0.17, 0.28, 0.63, 0.985, 0.985, 0.70),
    (-0.010, 0.17, 0.28, 0.62, 1.0, 0.985, 0.71),
    (0.020, 0.17, 0.28, 0.62, 1.0, 0.985, 0.71),
    (0.110, 0.17, 0.28, 0.61, 0.97, 0.985, 0.70),
    (0.270, 0.17, 0.28, 0.59, 0.64, 0.985, 0.80),
    (0.440, 0.18, 0.28, 0.53, 0.57, 0.96, 0.78),
    (0.490, 0.20, 0.30, 0.46, 0.50, 0.90, 0.74),
    (0.500, 0.28, 0.32, 0.40, 0.43, 0.84, 0.68),
)
SALOON_GLASS = ((2, 3), (4, 2), (4, 4), (6, 2), (6, 4), (7, 2), (7, 3), (7, 4))
HATCHBACK: tuple[Station, ...] = (
    (-0.500, 0.26, 0.31, 0.50, 0.55, 0.88, 0.80),
    (-0.485, 0.19, 0.28, 0.61, 0.66, 0.96, 0.84),
    (-0.390, 0.17, 0.27, 0.62, 0.95, 0.985, 0.72),
    (-0.350, 0.17, 0.27, 0.62, 0.98, 0.985, 0.72),
    (-0.190, 0.17, 0.27, 0.61, 1.0, 0.985, 0.73),
    (-0.155, 0.17, 0.27, 0.61, 1.0, 0.985, 0.73),
    (0.000, 0.17, 0.27, 0.60, 1.0, 0.985, 0.73),
    (0.030, 0.17, 0.27, 0.60, 1.0, 0.985, 0.73),
    (0.130, 0.17, 0.27, 0.59, 0.96, 0.985, 0.72),
    (0.300, 0.17, 0.27, 0.57, 0.62, 0.985, 0.82),
    (0.450, 0.18, 0.28, 0.52, 0.56, 0.95, 0.78),
    (0.490, 0.20, 0.30, 0.44, 0.48, 0.90, 0.74),
    (0.500, 0.27, 0.31, 0.39, 0.42, 0.84, 0.68),
)
HATCHBACK_GLASS = (
    *((1, 3), (3, 2), (3, 4), (5, 2), (5, 4), (7, 2), (7, 4)),
    *((8, 2), (8, 3), (8, 4)),
)
VAN: tuple[Station, ...] = (
    (-0.500, 0.18, 0.24, 0.52, 0.97, 0.94, 0.86),
    (-0.485, 0.14, 0.20, 0.52, 1.0, 0.985, 0.90),
    (0.100, 0.14, 0.20, 0.52, 1.0, 0.985, 0.90),
    (0.140, 0.14, 0.20, 0.51, 0.99, 0.985, 0.89),
    (0.250, 0.14, 0.20, 0.50, 0.94, 0.985, 0.86),
    (0.390, 0.14, 0.20, 0.48, 0.55, 0.985, 0.86),
    (0.480, 0.15, 0.22, 0.40, 0.44, 0.93, 0.84),
    (0.500, 0.20, 0.24, 0.34, 0.37, 0.88, 0.80),
)
VAN_GLASS = ((3, 2), (3, 4), (4, 2), (4, 3), (4, 4))
CAB: tuple[Station, ...] = (
    (0.300, 0.13, 0.18, 0.45, 0.84, 0.96, 0.90),
    (0.345, 0.13, 0.18, 0.45, 0.86, 0.97, 0.90),
    (0.450, 0.13, 0.18, 0.44, 0.83, 0.97, 0.90),
    (0.488, 0.13, 0.18, 0.43, 0.50, 0.97, 0.93),
    (0.500, 0.16, 0.20, 0.38, 0.42, 0.94, 0.90),
)
CAB_GLASS = ((1, 2), (1, 4), (2, 3))
PANES = 7  # of a bus, each side
LAMP_RED: Palette = {Material.LAMP: (0.55, 0.03, 0.03)}
LAMP_PALE: Palette = {Material.LAMP: (0.85, 0.85, 0.80)}
PLATE: Palette = {Material.LAMP: (0.75, 0.75, 0.70)}
RUBBER: Palette = {Material.RUBBER: (0.035, 0.035, 0.04)}
RIM: Palette = {Material.METAL: (0.42, 0.43, 0.45)}
INSIDE: Palette = {Material.CLOTH: (0.05, 0.05, 0.055)}


def _palette(paint: Rgb) -> Palette:
    return {Material.PAINT: paint, Material.GLASS: (0.035, 0.045, 0.055)}


def _body(
    stations: Sequence[Station],
    glass: Sequence[tuple[int, int]],
    size_lwh_m: tuple[float, float, float],
    paint: Rgb,
) -> Mesh:
    """Stretch a skin over stations; edges: 1 and 5 doors, 2 and 4 side windows, 3 roof."""
    length, width, height = size_lwh_m
    rings = []
    for x, low, sill, belt, roof, body_w, roof_w in stations:
        half = [(body_w * 0.94, low), (body_w, sill), (body_w, belt), (roof_w, roof)]
        ring = half + [(-y, z) for y, z in reversed(half)]
        rings.append([(x * length, y * width / 2, z * height) for y, z in ring])
    cells = dict.fromkeys(glass, Material.GLASS)
    return loft(rings, Material.PAINT, _palette(paint), cells)


def _wheels(xs_m: Sequence[float], radius_m: float, width_m: float) -> list[Mesh]:
    parts = []
    for x in xs_m:
        for side in (-1, 1):
            outer = side * width_m / 2
            ends = [(x, outer - 0.24 * side, radius_m), (x, outer - 0.008 * side, radius_m)]
            parts.append(tube(ends, (radius_m, radius_m), Material.RUBBER, RUBBER, sides=12))
            hub = [(x, outer - 0.1 * side, radius_m), (x, outer, radius_m)]
            parts.append(tube(hub, (radius_m * 0.6,) * 2, Material.METAL, RIM, sides=8))
    return parts


def _lamps(size_lwh_m: tuple[float, float, float], low: float, high: float) -> list[Mesh]:
    length, width, height = size_lwh_m
    parts = []
    for side in (-1, 1):
        for x0, x1, palette in (
            (-0.501 * length, -0.46 * length, LAMP_RED),
            (0.46 * length, 0.495 * length, LAMP_PALE),
        ):
            drop = 0.09 * height if x0 > 0 else -0.03 * height  # a bonnet slopes
            y0, y1 = sorted((side * 0.30 * width, side * (0.455 if x0 < 0 else 0.44) * width))
            low_m, high_m = (x0, y0, low * height - drop), (x1, y1, high * height - drop)
            parts.append(box(low_m, high_m, Material.LAMP, palette))
    plate = ((-0.502 * length, -0.26, 0.36 * height), (-0.49 * length, 0.26, 0.36 * height + 0.11))
    return [*parts, box(*plate, Material.LAMP, PLATE)]


def _seats(size_lwh_m: tuple[float, float, float], xs: Sequence[float]) -> list[Mesh]:
    length, width, height = size_lwh_m
    parts = []
    for x in xs:
        for y in (-0.2, 0.2):
            low = ((x - 0.03) * length, (y - 0.12) * width, 0.3 * height)
            high = ((x + 0.03) * length, (y + 0.12) * width, 0.82 * height)
            parts.append(box(low, high, Material.CLOTH, INSIDE))
    return parts


def make_car(size_lwh_m: tuple[float, float, float], paint: Rgb, *, saloon: bool) -> Mesh:
    """Return a saloon or a hatchback."""
    length, width, _ = size_lwh_m
    stations, glass = (SALOON, SALOON_GLASS) if saloon else (HATCHBACK, HATCHBACK_GLASS)
    parts = [
        _body(stations, glass, size_lwh_m, paint),
        *_wheels((-0.31 * length, 0.31 * length), 0.32, width),
        *_lamps(size_lwh_m, 0.46, 0.57),
        *_seats(size_lwh_m, (-0.2, 0.02)),
    ]
    return fitted(join(parts), size_lwh_m)


def make_van(size_lwh_m: tuple[float, float, float], paint: Rgb) -> Mesh:
    """Return a delivery van: glass in front only, rear windows in the doors."""
    length, width, height = size_lwh_m
    parts = [
        _body(VAN, VAN_GLASS, size_lwh_m, paint),
        *_wheels((-0.30 * length, 0.33 * length), 0.34, width),
        *_lamps(size_lwh_m, 0.30, 0.42),
        *_seats(size_lwh_m, (0.12,)),
    ]
    for y0, y1 in ((-0.40, -0.03), (0.03, 0.40)):
        low = (-0.503 * length, y0 * width, 0.56 * height)
        high = (-0.495 * length, y1 * width, 0.82 * height)
        parts.append(box(low, high, Material.GLASS, _palette(paint)))
    return fitted(join(parts), size_lwh_m)


def make_truck(size_lwh_m: tuple[float, float, float], paint: Rgb, load: Rgb) -> Mesh:
    """Return a lorry: cab and box on a frame."""
    length, width, height = size_lwh_m
    frame: Palette = {Material.METAL: (0.08, 0.08, 0.09)}
    skin: Palette = {Material.PAINT: load}
    low, high = (-0.5 * length, -0.49 * width, 0.31 * height), (0.28 * length, 0.49 * width, height)
    parts = [
        _body(CAB, CAB_GLASS, size_lwh_m, paint),
        box(low, high, Material.PAINT, skin),
        box(
            (-0.48 * length, -0.36 * width, 0.16 * height),
            (0.35 * length, 0.36 * width, 0.32 * height),
            Material.METAL,
            frame,
        ),
        *_wheels((-0.36 * length, -0.22 * length, 0.38 * length), 0.48, width),
        *_lamps(size_lwh_m, 0.22, 0.27),
    ]
    return fitted(join(parts), size_lwh_m)


def make_bus(size_lwh_m: tuple[float, float, float], paint: Rgb) -> Mesh:
    """Return a city bus: panes and pillars all along."""
    length, width, _ = size_lwh_m
    stations: list[Station] = [
        (-0.5, 0.14, 0.20, 0.42, 0.97, 0.95, 0.90),
        (-0.495, 0.11, 0.16, 0.36, 1.0, 0.985, 0.94),
    ]
    glass = []
    for start in np.linspace(-0.45, 0.36, PANES):
        for x in (float(start), float(start) + 0.11):
            stations.append((x, 0.11, 0.16, 0.36, 1.0, 0.985, 0.94))
        glass += [(len(stations) - 2, edge) for edge in (2, 4)]
    stations.append((0.49, 0.11, 0.16, 0.36, 0.96, 0.985, 0.92))
    stations.append((0.498, 0.11, 0.16, 0.34, 0.40, 0.97, 0.94))
    stations.append((0.5, 0.14, 0.18, 0.30, 0.34, 0.95, 0.92))
    glass.append((len(stations) - 3, 3))
    parts = [
        _body(stations, glass, size_lwh_m, paint),
        *_wheels((-0.29 * length, 0.29 * length), 0.48, width),
        *_lamps(size_lwh_m, 0.20, 0.27),
        *_seats(size_lwh_m, (-0.3, -0.15, 0.0, 0.15, 0.3)),
    ]
    return fitted(join(parts), size_lwh_m)
