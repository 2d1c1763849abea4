"""How far points reach, and which of them can be one thing, in metres worked by hand."""

import numpy as np
import pytest

from perception.core.config import LiftConfig
from perception.core.types import Float32, Float64
from perception.labeling.lift.extent import connected, one_thing, reach

CAR_M = np.array([6.0, 2.5, 2.0])  # the largest car


def side(start: tuple[float, float], end: tuple[float, float], top_m: float = 1.0) -> Float32:
    """Return an upright face with a point each 0.1 m."""
    steps = max(2, round(np.hypot(end[0] - start[0], end[1] - start[1]) / 0.1) + 1)
    level = np.linspace(start, end, steps)
    rows = [np.column_stack([level, np.full(steps, z)]) for z in np.arange(0, top_m + 0.05, 0.1)]
    return np.concatenate(rows).astype(np.float32)


def turned(points: Float32, angle_rad: float) -> Float32:
    cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
    level = points[:, :2] @ np.array([[cosine, sine], [-sine, cosine]])
    return np.column_stack([level, points[:, 2]]).astype(np.float32)


def corner() -> Float32:
    """Return the side and the back of a car, 4 x 1.8 m, ten metres ahead."""
    return np.concatenate([side((10, 3), (14, 3)), side((10, 3), (10, 4.8))])


@pytest.mark.parametrize("angle_deg", [0, 10, 45, 75, 120])
def test_a_corner_of_a_car_reaches_as_far_as_its_sides_whatever_its_heading(
    angle_deg: int,
) -> None:
    # 4 / 6 of the length, 1.8 / 2.5 of the width; headings are tried each 5 degrees.
    found = reach(turned(corner(), np.deg2rad(angle_deg)), CAR_M, (0, 100))
    assert found == pytest.approx(1.8 / 2.5, rel=0.02)


@pytest.mark.parametrize(
    ("most_m", "share"),
    [((4.0, 2.0, 2.0), 1.0), ((8.0, 0.9, 2.0), 2.0), ((8.0, 3.6, 0.5), 2.0), ((np.inf,) * 3, 0.0)],
)
def test_the_side_that_is_most_too_large_counts(
    most_m: tuple[float, float, float], share: float
) -> None:
    whole = np.concatenate([corner(), side((14, 3), (14, 4.8)), side((10, 4.8), (14, 4.8))])
    assert reach(whole, np.array(most_m), (0, 100)) == pytest.approx(share, rel=0.02)


def weights(*counts: tuple[int, float]) -> Float64:
    return np.concatenate([np.full(count, weight) for count, weight in counts])


def test_a_wall_beside_a_car_is_left_out_and_what_fits_into_the_car_is_not() -> None:
    car, wall = corner(), side((10.5, 7), (13.5, 7))
    seat = side((12, 4), (12, 4.2), 0.5)  # seen through a window, part of nothing else
    points = np.concatenate([car, wall, seat])
    sure = weights((len(car), 2.0), (len(wall), 1.0), (len(seat), 1.0))
    chosen = one_thing(points, sure, CAR_M, LiftConfig())
    assert chosen.tolist() == [True] * len(car) + [False] * len(wall) + [True] * len(seat)


def test_the_heaviest_part_is_the_object_not_the_largest() -> None:
    person, wall = side((10, 0), (10, 0.4), 1.7), side((10.5, 2), (10.5, 5))
    points = np.concatenate([person, wall])
    sure = weights((len(person), 9.0), (len(wall), 1.0))
    chosen = one_thing(points, sure, np.array([1.0, 1.0, 2.5]), LiftConfig())
    assert chosen.tolist() == [True] * len(person) + [False] * len(wall)


@pytest.mark.parametrize(
    "points",
    [np.zeros((0, 3), np.float32), np.zeros((1, 3), np.float32), side((10, 3), (30, 3))],
)
def test_what_is_one_part_or_nothing_stays_and_so_does_a_class_without_bounds(
    points: Float32,
) -> None:
    sure = np.ones(len(points))
    assert one_thing(points, sure, CAR_M, LiftConfig()).all()
    apart = np.concatenate([points, points + np.float32(50)])
    assert one_thing(apart, np.ones(len(apart)), np.full(3, np.inf), LiftConfig()).all()


def test_places_are_connected_by_chains() -> None:
    places = np.array([[0.0], [0.9], [1.8], [5.0], [5.5]])
    assert connected(places, 1.0).tolist() == [0, 0, 0, 1, 1]
