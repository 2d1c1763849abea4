import numpy as np
import pytest

from perception.core.types import Cuboids, Float32, Float64
from perception.labeling.lift.cuboids import fit

CAR_M = np.array([4.2, 1.8, 1.5])


def l_shape(centre: tuple[float, float], yaw: float, size_m: Float64 = CAR_M) -> Float32:
    """Return the points that a LiDAR at the origin, 1.7 m above the ground, gets from a box."""
    length, width, height = size_m
    along, across = np.meshgrid(
        np.linspace(-length / 2, length / 2, 30), np.linspace(0.2, height, 8)
    )
    side = np.stack([along.ravel(), np.full(along.size, width / 2), across.ravel()])
    front_y, front_z = np.meshgrid(
        np.linspace(-width / 2, width / 2, 14), np.linspace(0.2, height, 8)
    )
    front = np.stack([np.full(front_y.size, length / 2), front_y.ravel(), front_z.ravel()])
    sides = [side, side * [[1], [-1], [1]], front, front * [[-1], [1], [1]]]
    normals = [(0, 1), (0, -1), (1, 0), (-1, 0)]
    R = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    kept = []
    for points, normal in zip(sides, normals, strict=True):
        level = R @ points[:2] + np.array(centre)[:, None]
        if (R @ normal) @ level.mean(axis=1) < 0:  # turned towards the sensor
            kept.append(np.vstack([level, points[2] - 1.7]))
    return np.concatenate(kept, axis=1).T.astype(np.float32)


def boxed(points: Float32, usual_m: Float64 = CAR_M, heights: bool = True) -> Cuboids:
    heights_m = points[:, 2].astype(np.float64) + 1.7 if heights else np.full(len(points), np.nan)
    return fit(points, heights_m, np.full(len(points), 7, np.int32), {7: usual_m})


@pytest.mark.parametrize("yaw_deg", [-80, -30, 0, 5, 45, 70])
def test_two_sides_of_a_car_tell_its_box(yaw_deg: int) -> None:
    found = boxed(l_shape((12.0, 5.0), np.deg2rad(yaw_deg)))
    assert found.instance_ids.tolist() == [7]
    turned = np.rad2deg(found.yaws_rad[0]) - yaw_deg
    assert (turned + 90) % 180 - 90 == pytest.approx(0, abs=2.5)
    np.testing.assert_allclose(found.centres_m[0], [12, 5, -1.7 + 0.75], atol=0.15)
    np.testing.assert_allclose(found.sizes_lwh_m[0], CAR_M, atol=0.25)
    assert found.confidences[0] > 0.8


def test_a_back_alone_is_as_wide_as_it_is_and_as_long_as_usual() -> None:
    back = l_shape((10.0, 0.0), 0.0)
    back = back[back[:, 0] < 8]  # 10 - 4.2 / 2 = 7.9
    found = boxed(back)
    np.testing.assert_allclose(found.centres_m[0], [10, 0, -0.95], atol=0.1)
    np.testing.assert_allclose(found.sizes_lwh_m[0], CAR_M, atol=0.1)
    whole = boxed(l_shape((12.0, 5.0), 0.3))
    assert found.confidences[0] < whole.confidences[0]


def test_a_person_is_a_square_round_the_middle_of_the_points() -> None:
    """A hand held out moves no box, and there is no far side to make up for."""
    body = np.array([10.0, 2.0, 0.0]) + np.random.default_rng(0).uniform(-0.15, 0.15, (60, 3))
    hand = np.array([[9.3, 2.0, 0.0]] * 3)
    found = boxed(np.vstack([body, hand]).astype(np.float32), np.array([0.8, 0.6, 1.7]))
    np.testing.assert_allclose(found.centres_m[0, :2], [10, 2], atol=0.06)
    np.testing.assert_allclose(found.sizes_lwh_m[0, :2], np.sqrt(0.8 * 0.6), rtol=1e-5)


def test_without_ground_a_box_stands_on_its_lowest_point_and_low_tops_are_lifted() -> None:
    points = l_shape((10.0, 3.0), 0.2)
    assert boxed(points, heights=False).sizes_lwh_m[0, 2] == pytest.approx(1.3, abs=0.05)
    low = boxed(points[points[:, 2] < -1.2])  # the upper beams missed it
    assert low.sizes_lwh_m[0, 2] == pytest.approx(1.5)


def test_too_few_points_or_an_unknown_size_make_no_box() -> None:
    points = l_shape((10.0, 3.0), 0.2)
    assert len(boxed(points[:4])) == 0
    assert len(boxed(points[:0])) == 0
    assert len(boxed(points, np.full(3, np.nan))) == 0
    ids = np.zeros(len(points), np.int32)  # of nobody
    assert len(fit(points, points[:, 2].astype(np.float64), ids, {7: CAR_M})) == 0
    same = np.repeat(points[:1], 9, axis=0)  # one place
    assert np.isfinite(boxed(same).centres_m).all()
