"""Who plays: road users with drawn sizes, colours and postures."""

from collections.abc import Sequence

import numpy as np

from perception.synthetic.meshes import Mesh, Rgb
from perception.synthetic.people import make_bicyclist, make_pedestrian
from perception.synthetic.vehicles import make_bus, make_car, make_truck, make_van

Rng = np.random.Generator
KINDS = ("car", "van", "truck", "bus")
PAINTS: tuple[Rgb, ...] = (
    *((0.55, 0.56, 0.58), (0.70, 0.70, 0.69), (0.030, 0.030, 0.034), (0.16, 0.165, 0.175)),
    *((0.30, 0.31, 0.33), (0.07, 0.10, 0.20), (0.36, 0.045, 0.04), (0.10, 0.16, 0.13)),
    *((0.42, 0.37, 0.28), (0.05, 0.06, 0.08), (0.13, 0.22, 0.36)),
)
SKINS: tuple[Rgb, ...] = ((0.52, 0.36, 0.28), (0.38, 0.24, 0.17), (0.17, 0.10, 0.07))


def _paint(rng: Rng) -> Rgb:
    r, g, b = (float(c * rng.uniform(0.85, 1.15)) for c in PAINTS[rng.integers(len(PAINTS))])
    return r, g, b


def _cloth(rng: Rng, bright: float) -> Rgb:
    grey = rng.uniform(0.02, 0.35) if rng.random() > bright else rng.uniform(0.2, 0.6)
    tint = rng.uniform(0.5, 1.4, 3) if rng.random() < 0.6 else np.ones(3)
    r, g, b = (float(np.clip(grey * t, 0.015, 0.75)) for t in tint)
    return r, g, b


def make_vehicle(rng: Rng, shares: Sequence[float]) -> tuple[str, Mesh]:
    """Draw a vehicle.

    Args:
        rng: Source.
        shares: Of cars, vans, trucks and buses.

    Returns:
        Class name and shape.
    """
    kind = KINDS[int(rng.choice(len(KINDS), p=shares))]
    paint = _paint(rng)
    if kind == "van":
        size = (rng.uniform(4.6, 5.9), rng.uniform(1.85, 2.05), rng.uniform(1.9, 2.5))
        return kind, make_van(size, paint)
    if kind == "truck":
        size = (rng.uniform(6.2, 8.8), rng.uniform(2.25, 2.5), rng.uniform(2.9, 3.6))
        return kind, make_truck(size, paint, _paint(rng))
    if kind == "bus":
        size = (rng.uniform(10.5, 12.2), 2.52, rng.uniform(2.95, 3.2))
        return kind, make_bus(size, paint)
    saloon = bool(rng.random() < 0.45)
    tall = 0.0 if saloon else float(rng.choice([0.0, 0.0, 0.18]))  # one hatchback in three: SUV
    low, high = (4.3, 4.9) if saloon else (3.6, 4.5)
    size = (rng.uniform(low, high), rng.uniform(1.68, 1.88), rng.uniform(1.42, 1.54) + tall)
    return kind, make_car(size, paint, saloon=saloon)


def make_person(rng: Rng, *, standing: bool) -> Mesh:
    """Draw a pedestrian; one in eight is a child."""
    height = rng.uniform(1.05, 1.4) if rng.random() < 0.125 else rng.normal(1.71, 0.09)
    stride = 0.12 if standing else float(rng.uniform(-1, 1))
    return make_pedestrian(
        float(np.clip(height, 1.0, 1.98)),
        stride,
        _cloth(rng, 0.35),
        _cloth(rng, 0.1),
        SKINS[rng.integers(len(SKINS))],
        bag=bool(rng.random() < 0.3),
    )


def make_rider(rng: Rng) -> Mesh:
    """Draw a bicyclist."""
    return make_bicyclist(
        float(rng.uniform(1.68, 1.88)),
        float(rng.uniform(0, 2 * np.pi)),
        _cloth(rng, 0.5),
        _cloth(rng, 0.1),
        SKINS[rng.integers(len(SKINS))],
        _paint(rng),
    )
