"""Worked by hand. LiDAR: x forward, y left, z up. Camera: x right, y down, z forward."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from perception.core.geometry import (
    MIN_DEPTH_M,
    bend,
    field_limit,
    points_in_view,
    project,
    quaternion_fault,
    rigid,
    rotation_fault,
    rotation_of_quaternion,
    transform,
)
from perception.core.types import Camera, Float64, Lens

SIZE_HW = (1080, 1920)
K = np.array([[1000, 0, 960], [0, 1000, 540], [0, 0, 1.0]])
R_CAM_FROM_LIDAR = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0.0]])
# The camera sits 1 m above the LiDAR: what is 1 m up for the LiDAR is level with the camera.
T_cam_from_lidar = rigid(R_CAM_FROM_LIDAR, np.array([0, 1, 0.0]))
CAMERA = Camera("front", K, T_cam_from_lidar)


def see(points_lidar: list[list[float]] | Float64) -> tuple[list[int], Float64, Float64]:
    points = np.asarray(points_lidar, np.float64).reshape(-1, 3)
    rows, uv, depth_m = points_in_view(CAMERA, points, SIZE_HW)
    return rows.tolist(), uv, depth_m


def test_a_point_ahead_of_the_lidar_lands_at_the_image_centre() -> None:
    rows, uv, depth_m = see([[10, 0, 1]])
    assert rows == [0]
    np.testing.assert_allclose(uv, [[960, 540]])
    np.testing.assert_allclose(depth_m, [10])


def test_one_metre_to_the_left_at_ten_metres_is_a_hundred_pixels_to_the_left() -> None:
    np.testing.assert_allclose(see([[10, 1, 1]])[1], [[860, 540]])


def test_one_metre_down_at_ten_metres_is_a_hundred_pixels_down() -> None:
    np.testing.assert_allclose(see([[10, 0, 0]])[1], [[960, 640]])


def test_twice_as_far_is_half_as_far_from_the_centre() -> None:
    np.testing.assert_allclose(see([[10, 1, 0], [20, 1, 0]])[1], [[860, 640], [910, 590]])


def test_the_depth_is_along_the_optical_axis_not_along_the_ray() -> None:
    np.testing.assert_allclose(see([[10, 5, 1]])[2], [10])


def test_a_point_behind_the_camera_is_not_mirrored_into_the_image() -> None:
    # Divided by its negative depth it would land at (1060, 440), well inside the image.
    rows, _, _ = see([[-10, 1, 0], [10, 0, 1]])
    assert rows == [1]


@pytest.mark.parametrize(
    "points",
    [
        [],
        [[-10, 0, 1], [-0.5, 0, 1], [-1000, 3, -2]],
        [[0, 0, 1], [0, 5, 5], [-0.0, 0, 0], [1e-300, 1, 1], [0.99 * MIN_DEPTH_M, 0, 1]],
        [[math.nan, 0, 1], [10, math.nan, 1], [10, 0, math.inf], [-math.inf, 0, 0]],
        [[10, 0, 1000], [10, 1000, 1], [10, -1000, 1], [10, 0, -1000]],
        [[3e38, 3e38, 3e38]],
    ],
    ids=["none", "behind", "z about 0", "not finite", "outside", "largest float32"],
)
def test_row_23_nothing_is_projected_and_nothing_warns(points: list[list[float]]) -> None:
    for dtype in (np.float32, np.float64):  # warnings are errors in this suite
        given = np.array(points, dtype).reshape(-1, 3)
        rows, uv, depth_m = points_in_view(CAMERA, given, SIZE_HW)  # type: ignore[arg-type]
        assert rows.shape == (0,)
        assert uv.shape == (0, 2)
        assert depth_m.shape == (0,)


def test_rows_point_into_the_callers_cloud_though_points_were_culled() -> None:
    rows, uv, depth_m = see([[math.nan, 0, 0], [10, 0, 1], [-10, 0, 1], [10, 0, 1000], [20, 0, 1]])
    assert rows == [1, 4]
    assert uv.shape == (2, 2)
    np.testing.assert_allclose(depth_m, [10, 20])


def test_the_first_pixel_reaches_half_a_pixel_beyond_its_centre() -> None:
    # Pixel centres are at integers: at 1 m depth a pixel is 1 mm wide.
    left_m, top_m = 0.960, 0.540
    inside = [[1, left_m + 0.0004, 1 + top_m + 0.0004]]  # u = v = -0.4
    outside = [[1, left_m + 0.0006, 1 + top_m]]  # u = -0.6
    assert see(inside)[0] == [0]
    assert see(outside)[0] == []


def test_the_last_pixel_ends_half_a_pixel_beyond_its_centre() -> None:
    inside = [[1, -0.9594, 1 - 0.5394]]  # u = 1919.4, v = 1079.4
    outside = [[1, -0.9596, 1 - 0.5394], [1, -0.9594, 1 - 0.5396]]  # u = 1919.6, v = 1079.6
    assert see(inside)[0] == [0]
    assert see(outside)[0] == []


def test_looking_at_points_changes_neither_the_cloud_nor_the_camera() -> None:
    points = np.array([[10, 0, 1], [-10, 0, 1], [math.nan, 0, 0]])
    before = points.copy()
    points_in_view(CAMERA, points, SIZE_HW)
    np.testing.assert_array_equal(points, before)
    np.testing.assert_array_equal(CAMERA.T_cam_from_lidar, T_cam_from_lidar)


def test_there_and_back_again_is_where_it_was() -> None:
    points_lidar = np.random.default_rng(0).normal(scale=30, size=(50, 3))
    T_lidar_from_cam = np.linalg.inv(T_cam_from_lidar).astype(np.float64)
    points_cam = transform(T_cam_from_lidar, points_lidar)
    np.testing.assert_allclose(transform(T_lidar_from_cam, points_cam), points_lidar, atol=1e-12)


def test_composing_transforms_is_applying_one_after_the_other() -> None:
    T_ego_from_lidar = rigid(
        Rotation.from_euler("z", 90, degrees=True).as_matrix(), np.array([1, 0, 2.0])
    )
    T_world_from_ego = rigid(np.eye(3), np.array([100, 0, 0.0]))
    point_lidar = np.array([[1, 0, 0.0]])  # a quarter turn to the left: forward becomes left
    point_ego = transform(T_ego_from_lidar, point_lidar)
    np.testing.assert_allclose(point_ego, [[1, 1, 2]], atol=1e-12)
    np.testing.assert_allclose(
        transform(T_world_from_ego @ T_ego_from_lidar, point_lidar),
        transform(T_world_from_ego, point_ego),
    )


def test_no_points_stay_no_points() -> None:
    assert transform(T_cam_from_lidar, np.zeros((0, 3))).shape == (0, 3)
    uv, depth_m = project(K, np.zeros((0, 3)))
    assert uv.shape == (0, 2)
    assert depth_m.shape == (0,)


@pytest.mark.parametrize(
    ("R", "fault"),
    [
        (np.eye(3), ""),
        (R_CAM_FROM_LIDAR, ""),
        (Rotation.from_euler("xyz", [10, 20, 30], degrees=True).as_matrix(), ""),
        (np.round(Rotation.from_euler("xyz", [1, 2, 3]).as_matrix(), 5), ""),
        (np.eye(3) * 1.01, "not orthonormal"),
        (np.zeros((3, 3)), "not orthonormal"),
        (np.diag([1, 1, -1.0]), "reflection"),
        (np.full((3, 3), math.nan), "not finite"),
        (np.diag([1, 1, math.inf]), "not finite"),
    ],
)
def test_what_is_no_rotation_is_told(R: Float64, fault: str) -> None:
    found = rotation_fault(R)
    assert (fault in found) and bool(found) == bool(fault)


# KITTI's camera 2 before rectification (calib_cam_to_cam.txt of 2011_09_26: K_02, D_02).
KITTI_K = np.array([[959.791, 0, 696.0217], [0, 956.9251, 224.1806], [0, 0, 1]])
KITTI_D = np.array([-3.691481e-01, 1.968681e-01, 1.353473e-03, 5.677587e-04, -6.770705e-02])
RADTAN = Camera("raw", KITTI_K, T_cam_from_lidar, Lens.RADTAN, KITTI_D)
RATIONAL = replace(RADTAN, distortion=np.array([0.3, -0.1, 0.001, -0.002, 0.01, 0.6, 0.02, -0.03]))
FISHEYE = replace(RADTAN, lens=Lens.FISHEYE, distortion=np.array([0.05, -0.02, 0.01, -0.008]))
BENT = pytest.mark.parametrize("camera", [RADTAN, RATIONAL, FISHEYE], ids=lambda c: str(c.lens))


def by_opencv(camera: Camera, points_cam: Float64) -> Float64:
    k, nothing = camera.distortion, np.zeros(3)
    given = points_cam[:, None]
    if camera.lens == Lens.FISHEYE:
        uv, _ = cv2.fisheye.projectPoints(given, nothing, nothing, camera.K, k)
    else:
        uv, _ = cv2.projectPoints(given, nothing, nothing, camera.K, k)
    return np.asarray(uv[:, 0], np.float64)


@BENT
def test_bent_images_are_those_of_opencv(camera: Camera) -> None:
    points_lidar = np.random.default_rng(0).uniform([1, -30, -8], [60, 30, 8], (4000, 3))
    rows, uv, depth_m = points_in_view(camera, points_lidar, (512, 1392))
    assert len(rows) > 500
    points_cam = transform(T_cam_from_lidar, points_lidar[rows])
    np.testing.assert_allclose(uv, by_opencv(camera, points_cam), atol=1e-9)
    np.testing.assert_allclose(depth_m, points_cam[:, 2])
    # and none of those that the field holds is missing
    points_cam = transform(T_cam_from_lidar, points_lidar)
    slope = np.hypot(points_cam[:, 0], points_cam[:, 1]) / points_cam[:, 2]
    u, v = by_opencv(camera, points_cam).T
    shown = (u >= -0.5) & (u < 1391.5) & (v >= -0.5) & (v < 511.5) & (slope < field_limit(camera))
    assert rows.tolist() == np.flatnonzero(shown).tolist()


def test_points_outside_the_field_of_the_lens_do_not_fold_into_the_image() -> None:
    # r(1 - 0.4 r^2) turns back at r^2 = 1 / 1.2; 1.5 m aside at 1 m lands at 1.5 (1 - 0.9) = 0.15.
    camera = replace(CAMERA, lens=Lens.RADTAN, distortion=np.array([-0.4, 0, 0, 0]))
    assert field_limit(camera) == pytest.approx(math.sqrt(1 / 1.2))
    folded = np.array([[1, 1.5, 1]])
    u, _ = by_opencv(camera, transform(T_cam_from_lidar, folded))[0]
    assert 0 < u < 1920  # OpenCV alone would show it
    assert len(points_in_view(camera, folded, SIZE_HW)[0]) == 0
    assert len(points_in_view(camera, np.array([[10, 1.5, 1.0]]), SIZE_HW)[0]) == 1


@pytest.mark.parametrize(
    ("lens", "coefficients", "limit"),
    [
        (Lens.PINHOLE, [], math.inf),
        (Lens.RADTAN, [0, 0, 0, 0], math.inf),
        (Lens.RADTAN, [0.1, 0, 0.01, 0.01], math.inf),
        (Lens.RADTAN, [0, 0, 0, 0, 0, -1, 0, 0], 1.0),  # the denominator passes zero
        (Lens.FISHEYE, [0, 0, 0, 0], math.inf),
        (Lens.FISHEYE, [-1 / 3, 0, 0, 0], math.tan(1)),  # angle (1 - angle^2 / 3) peaks at 1 rad
        (Lens.FISHEYE, [-0.01, 0, 0, 0], math.inf),  # turns back beyond a right angle
    ],
)
def test_where_the_field_of_a_lens_ends(
    lens: Lens, coefficients: list[float], limit: float
) -> None:
    camera = replace(CAMERA, lens=lens, distortion=np.array(coefficients, np.float64))
    assert field_limit(camera) == pytest.approx(limit)


@given(st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=3), st.booleans())
def test_within_its_field_a_lens_orders_points_by_their_angle(
    k: list[float], fisheye: bool
) -> None:
    lens = Lens.FISHEYE if fisheye else Lens.RADTAN
    coefficients = [*k, 0.0] if fisheye else [k[0], k[1], 0, 0, k[2]]
    camera = replace(CAMERA, lens=lens, distortion=np.array(coefficients))
    r = np.linspace(0, min(field_limit(camera), 20.0), 200)[:-1]
    bent = bend(camera, np.stack([r, np.zeros_like(r)], axis=1))
    assert (np.diff(bent[:, 0]) > -1e-9).all()
    np.testing.assert_array_equal(bent[:, 1], 0)


@BENT
def test_a_bent_image_has_no_points_where_there_are_none(camera: Camera) -> None:
    nothing = np.array([[math.nan, 0, 1], [-10, 0, 1], [0.05, 0, 1], [math.inf, 1, 1], [3e38] * 3])
    for points in (nothing, nothing[:0], nothing.astype(np.float32)):
        rows, uv, depth_m = points_in_view(camera, points, (512, 1392))
        assert (rows.shape, uv.shape, depth_m.shape) == ((0,), (0, 2), (0,))
    centre = bend(camera, np.zeros((1, 2)))  # straight ahead: no division by a radius of zero
    np.testing.assert_array_equal(centre, [[0, 0]])


def test_row_25_a_quaternion_has_its_real_part_first() -> None:
    # A quarter turn about z takes x to y. Read as x, y, z, w it would turn about x.
    half = math.sqrt(0.5)
    quarter = rotation_of_quaternion(np.array([half, 0, 0, half]))
    np.testing.assert_allclose(quarter @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(quarter @ [0, 0, 1], [0, 0, 1], atol=1e-12)
    rng = np.random.default_rng(0)
    for x, y, z, w in rng.normal(size=(20, 4)):
        unit = np.array([w, x, y, z]) / np.linalg.norm([w, x, y, z])
        expected = Rotation.from_quat([x, y, z, w]).as_matrix()  # scipy has it last
        np.testing.assert_allclose(rotation_of_quaternion(unit), expected, atol=1e-12)


@pytest.mark.parametrize("norm", [1, 1.0009, 0.9991])
def test_row_25_rounded_quaternions_are_made_unit(norm: float) -> None:
    given = norm * np.array([0.5, -0.5, 0.5, -0.5])
    assert quaternion_fault(given) == ""
    assert rotation_fault(rotation_of_quaternion(given)) == ""


@pytest.mark.parametrize("norm", [0, 0.5, 0.998, 1.002, 2, math.nan, math.inf])
def test_row_25_what_is_no_unit_quaternion_is_told_with_its_norm(norm: float) -> None:
    with np.errstate(invalid="ignore"):
        fault = quaternion_fault(np.array([norm, 0, 0, 0.0]))
    assert fault.startswith(f"is no unit quaternion: its norm is {norm:.6g}, expected 1 +- 0.001")
