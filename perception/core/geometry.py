"""Rigid transforms and projection: pure functions on arrays.

`T_dst_from_src` maps points of frame src into frame dst; inner names touch when composed.
Camera axes: x right, y down, z forward. LiDAR axes: x forward, y left, z up.
"""

import numpy as np
from numpy.polynomial import Polynomial
from numpy.polynomial.polynomial import polyval

from perception.core.errors import SampleError
from perception.core.types import Camera, Float32, Float64, Lens

Rows = np.ndarray[tuple[int], np.dtype[np.intp]]

MIN_DEPTH_M = 0.1
ROTATION_TOLERANCE = 1e-3


def transform(T_dst_from_src: Float64, points_src: Float64) -> Float64:
    """Return (N, 3) points of frame src in frame dst."""
    return points_src @ T_dst_from_src[:3, :3].T + T_dst_from_src[:3, 3]


def rigid(R: Float64, translation_m: Float64) -> Float64:
    """Return the (4, 4) transform of a (3, 3) rotation and a (3,) translation."""
    T = np.eye(4)
    T[:3, :3] = R
    T[:3, 3] = translation_m
    return T


def inverse(T_dst_from_src: Float64) -> Float64:
    """Return T_src_from_dst of a rigid transform."""
    R = T_dst_from_src[:3, :3].T
    return rigid(R, -R @ T_dst_from_src[:3, 3])


def intrinsics_fault(K: Float64) -> str:
    """Say why `K` holds no intrinsics of a camera; "" if it does."""
    if K.shape != (3, 3):
        return f"intrinsics of shape {K.shape}, expected (3, 3)"
    if not np.isfinite(K).all():
        return "intrinsics that are not finite"
    if K[0, 0] <= 0 or K[1, 1] <= 0:
        return f"has focal lengths {K[0, 0]:g}, {K[1, 1]:g} px, expected > 0"
    if not np.allclose(K[2], [0, 0, 1]) or K[1, 0] != 0:
        return f"is no projection: in place of intrinsics stands {K.tolist()}"
    return ""


def refuse_other_size(camera: Camera, file_name: str, size_hw: tuple[int, int]) -> None:
    """Refuse an image of another size than the calibration of its camera is for.

    Raises:
        SampleError: `size.mismatch`, where the calibration states a size.
    """
    if any(camera.size_hw) and camera.size_hw != size_hw:
        height, width = camera.size_hw
        raise SampleError(
            "size.mismatch",
            f"{file_name} is {size_hw[1]} x {size_hw[0]} px, the calibration of {camera.name} is "
            f"for {width} x {height}; use the images and the calibration that belong together",
        )


def quaternion_fault(quaternion_wxyz: Float64) -> str:
    """Say why (4,) numbers are no unit quaternion; "" if they are, within `ROTATION_TOLERANCE`."""
    norm = float(np.linalg.norm(quaternion_wxyz))
    if abs(norm - 1) <= ROTATION_TOLERANCE:  # NaN is not
        return ""
    return f"is no unit quaternion: its norm is {norm:.6g}, expected 1 +- {ROTATION_TOLERANCE}"


def rotation_of_quaternion(quaternion_wxyz: Float64) -> Float64:
    """Return the (3, 3) rotation of (4,) w, x, y, z, which are normalised first."""
    w, x, y, z = quaternion_wxyz / np.linalg.norm(quaternion_wxyz)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def rotation_fault(R: Float64) -> str:
    """Say why (3, 3) `R` is not a rotation; "" if it is one, within `ROTATION_TOLERANCE`."""
    if not np.isfinite(R).all():
        return "has values that are not finite"
    with np.errstate(over="ignore", invalid="ignore"):  # huge numbers give infinity, or NaN
        deviation = float(np.abs(R @ R.T - np.eye(3)).max())
    if not deviation <= ROTATION_TOLERANCE:
        return (
            f"is not orthonormal: |R R^T - I| is {deviation:.3g}, expected <= {ROTATION_TOLERANCE}"
        )
    if np.linalg.det(R) < 0:
        return "is a reflection: its determinant is negative"
    return ""


def project(K: Float64, points_cam: Float64) -> tuple[Float64, Float64]:
    """Project points in front of a pinhole camera.

    Args:
        K: (3, 3) intrinsics, pixels.
        points_cam: (N, 3) metres, camera frame, all with z > 0 (cull first, see `points_in_view`).

    Returns:
        uv: (N, 2) pixels, pixel centres at integers. depth_m: (N,) z.
    """
    depth_m = points_cam[:, 2]
    uvw = points_cam @ K.T
    return uvw[:, :2] / uvw[:, 2:3], depth_m


def field_limit(camera: Camera) -> float:
    """Return the tangent of the angle off the axis up to which the lens's polynomial grows.

    Beyond it the polynomial turns back, or its denominator passes zero, and a point far outside the
    field would fold into the image. The tangential terms are left out: they are small.
    """
    k = camera.distortion
    if camera.lens == Lens.PINHOLE:
        return np.inf
    if camera.lens == Lens.FISHEYE:  # slope of the image radius, in powers of the squared angle
        slope = Polynomial(np.array([1, *k]) * [1, 3, 5, 7, 9])
        angle_rad = np.sqrt(_first_root(slope))
        return float(np.tan(angle_rad)) if angle_rad < np.pi / 2 else np.inf
    k1, k2, _, _, k3, k4, k5, k6 = np.pad(k, (0, 8 - len(k)))
    over, under = Polynomial([1, k1, k2, k3]), Polynomial([1, k4, k5, k6])
    s = Polynomial([0, 1])  # the squared radius
    slope = over * under + 2 * s * (over.deriv() * under - over * under.deriv())
    return float(np.sqrt(min(_first_root(slope), _first_root(under))))


def _first_root(polynomial: Polynomial) -> float:
    """Return the smallest positive real root of 1 + c1 s + c2 s^2 ...; infinity without one."""
    # In 1 / s the leading coefficient is the 1, so that small ones at the other end do no harm.
    inverse = Polynomial(polynomial.coef[::-1]).roots()
    real = inverse.real[np.abs(inverse.imag) <= 1e-9 * np.abs(inverse)]
    largest = real.max(initial=0.0)
    return float(1 / largest) if largest > np.finfo(np.float64).tiny else np.inf


def bend(camera: Camera, xy: Float64) -> Float64:
    """Apply the lens to points of the plane one metre ahead.

    Equal to cv2.projectPoints and cv2.fisheye.projectPoints with K = I.

    Args:
        camera: Whose lens.
        xy: (N, 2) tangents of the angles off the axis, within `field_limit`.

    Returns:
        (N, 2) where a pinhole of the same K would have seen them.
    """
    if camera.lens == Lens.PINHOLE:
        return xy
    x, y = xy[:, 0], xy[:, 1]
    s = x * x + y * y
    if camera.lens == Lens.FISHEYE:
        r = np.sqrt(s)
        angle_rad = np.arctan(r)
        bent = angle_rad * polyval(angle_rad**2, [1, *camera.distortion])
        centre = r < 1e-8  # where the lens does nothing
        return np.asarray(xy * np.where(centre, 1, bent / np.where(centre, 1, r))[:, None])
    k1, k2, p1, p2, k3, k4, k5, k6 = np.pad(camera.distortion, (0, 8 - len(camera.distortion)))
    radial = polyval(s, [1, k1, k2, k3]) / polyval(s, [1, k4, k5, k6])
    tangential_x = 2 * p1 * x * y + p2 * (s + 2 * x * x)
    tangential_y = p1 * (s + 2 * y * y) + 2 * p2 * x * y
    return np.stack([x * radial + tangential_x, y * radial + tangential_y], axis=1)


def points_in_view(
    camera: Camera, points_lidar: Float32 | Float64, size_hw: tuple[int, int]
) -> tuple[Rows, Float64, Float64]:
    """Find the points that fall into an image.

    Points nearer than `MIN_DEPTH_M` or behind the camera are culled before the division: past the
    image plane they would mirror into the image. So are points outside the field of the lens, where
    its polynomial would fold them in, and points that are not finite. A fisheye sees less than
    half of all directions here: what lies 90 degrees off the axis has no depth.

    Args:
        camera: Intrinsics and mounting.
        points_lidar: (P, 3) metres, LiDAR frame; P may be 0.
        size_hw: Height and width of the image.

    Returns:
        rows: (M,) indices into `points_lidar`. uv: (M, 2) pixels. depth_m: (M,) metres.
    """
    limit = field_limit(camera)
    rows = _roughly_in_view(camera, points_lidar, size_hw, limit)
    points_cam = transform(camera.T_cam_from_lidar, points_lidar[rows].astype(np.float64))
    ahead = points_cam[:, 2] > MIN_DEPTH_M
    if camera.lens != Lens.PINHOLE:
        ahead &= np.hypot(points_cam[:, 0], points_cam[:, 1]) < limit * points_cam[:, 2]
    rows, points_cam = rows[ahead], points_cam[ahead]
    depth_m = points_cam[:, 2]
    if camera.lens != Lens.PINHOLE:
        bent = bend(camera, points_cam[:, :2] / depth_m[:, None])
        points_cam = np.column_stack([bent, np.ones(len(bent))])
    uv, _ = project(camera.K, points_cam)
    height, width = size_hw
    inside = (
        (uv[:, 0] >= -0.5)
        & (uv[:, 0] < width - 0.5)
        & (uv[:, 1] >= -0.5)
        & (uv[:, 1] < height - 0.5)
    )
    return rows[inside], uv[inside], depth_m[inside]


def _roughly_in_view(
    camera: Camera, points_lidar: Float32 | Float64, size_hw: tuple[int, int], limit: float
) -> Rows:
    """Return the finite points within the sides of the image and a little beyond.

    Most points of a sweep are elsewhere: looking in float32 first makes projection four times as
    fast, and what is left is projected in float64.
    """
    height, width = size_hw
    corners = np.array([[-1, -1, 1], [width, -1, 1], [-1, height, 1], [width, height, 1.0]])
    reach = np.abs(np.linalg.solve(camera.K, corners.T)[:2]).max(axis=1)
    if camera.lens != Lens.PINHOLE:  # bent: only the field of the lens is known
        reach = np.full(2, limit)
    T = camera.T_cam_from_lidar.astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        points = points_lidar.astype(np.float32, copy=False)
        right, down, depth = (points @ T[axis, :3] + T[axis, 3] for axis in range(3))
        near = depth > 0
        for side, tangent in ((right, reach[0]), (down, reach[1])):
            if np.isfinite(tangent):
                near &= np.abs(side) <= np.float32(tangent * 1.001 + 0.001) * depth + 0.1
    rows = np.flatnonzero(near)
    return rows[np.isfinite(points_lidar[rows]).all(axis=1)]
