"""3D boxes in space, from above and in pictures: worked by hand."""

import math
from dataclasses import replace

import numpy as np

from perception.core.types import Camera, Cuboids, Lens
from perception.visualization import solids

# LiDAR: x forward, y left, z up.  Camera: x right, y down, z forward, at the same place.
T_CAM_FROM_LIDAR = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
K = np.array([[100, 0, 99.5], [0, 100, 49.5], [0, 0, 1.0]])
CAMERA = Camera("front", K, T_CAM_FROM_LIDAR)
SIZE_HW = (100, 200)


def box(x_m: float, y_m: float, z_m: float, yaw_rad: float = 0.0) -> Cuboids:
    """Return a box 4 m long, 2 m wide and 2 m high."""
    return Cuboids(
        instance_ids=np.array([1], np.int32),
        centres_m=np.array([[x_m, y_m, z_m]], np.float32),
        sizes_lwh_m=np.array([[4, 2, 2]], np.float32),
        yaws_rad=np.array([yaw_rad], np.float32),
        confidences=np.ones(1, np.float32),
    )


def test_corners_lie_half_a_size_from_the_centre_and_the_axis_leaves_both_ends() -> None:
    (found,) = solids.corners(box(20, 5, 1))
    assert found.shape == (10, 3)
    np.testing.assert_allclose(found[:8].min(axis=0), [18, 4, 0])
    np.testing.assert_allclose(found[:8].max(axis=0), [22, 6, 2])
    np.testing.assert_allclose(found[:4, 2], 0)
    np.testing.assert_allclose(found[8:], [[23, 5, 1], [17, 5, 1]])


def test_where_y_points_ahead_a_box_is_turned_as_the_points_are() -> None:
    # In nuScenes' axes: 5 m to the left, 20 m ahead, its length along y.
    (found,) = solids.corners(box(-5, 20, 1, math.pi / 2), ahead=1)
    np.testing.assert_allclose(found[8:], [[23, 5, 1], [17, 5, 1]], atol=1e-5)


def test_a_box_ahead_is_seen_where_its_corners_project() -> None:
    # Its near side is 10 m away: 1 m to the side is 10 px; its far side 14 m: 7.14 px.
    pieces = solids.in_picture(box(12, 0, 0), 0, CAMERA, SIZE_HW)
    assert len(pieces) == len(solids.EDGES) * solids.STEPS
    ends = pieces.reshape(-1, 2)
    np.testing.assert_allclose([ends.min(axis=0), ends.max(axis=0)], [[90, 40], [110, 60]])
    near = np.abs(ends - [100, 50]).max(axis=1)
    assert np.isclose(near, 100 / 14, atol=1e-6).any()


def test_a_box_behind_or_beside_the_camera_is_not_seen_and_one_around_it_in_part() -> None:
    assert len(solids.in_picture(box(-12, 0, 0), 0, CAMERA, SIZE_HW)) == 0
    assert len(solids.in_picture(box(12, 40, 0), 0, CAMERA, SIZE_HW)) == 0
    beside = solids.in_picture(box(1.5, 1.5, 0), 0, CAMERA, SIZE_HW)
    assert 0 < len(beside) < len(solids.EDGES) * solids.STEPS
    assert np.isfinite(beside).all() and np.abs(beside).max() <= 2 * max(SIZE_HW) + 1


def test_a_lens_bends_the_edges() -> None:
    bent = replace(CAMERA, lens=Lens.RADTAN, distortion=np.array([-0.2, 0, 0, 0]))
    straight = solids.in_picture(box(6, 2, 0), 0, CAMERA, SIZE_HW)
    found = solids.in_picture(box(6, 2, 0), 0, bent, SIZE_HW)
    away = np.abs(straight - 100)[:, 0] > 20
    assert (np.abs(found - [100, 50, 100, 50]) <= np.abs(straight - [100, 50, 100, 50]))[away].all()
    assert not np.allclose(found, straight)
