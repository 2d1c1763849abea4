"""Rigid transforms and projection: pure functions on arrays.

`T_dst_from_src` maps points of frame src into frame dst; inner names touch when composed.
Camera axes: x right, y down, z forward. LiDAR axes: x forward, y left, z up.
"""

import numpy as np

from perception.types import Camera, Float32, Float64

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


def rotation_fault(R: Float64) -> str:
    """Say why (3, 3) `R` is not a rotation; "" if it is one, within `ROTATION_TOLERANCE`."""
    if not np.isfinite(R).all():
        return "has values that are not finite"
    deviation = float(np.abs(R @ R.T - np.eye(3)).max())
    if deviation > ROTATION_TOLERANCE:
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


def points_in_view(
    camera: Camera, points_lidar: Float32 | Float64, size_hw: tuple[int, int]
) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], Float64, Float64]:
    """Find the points that fall into an image.

    Points nearer than `MIN_DEPTH_M` or behind the camera are culled before the division: past the
    image plane they would mirror into the image. Points that are not finite are culled too.

    Args:
        camera: Intrinsics and mounting.
        points_lidar: (P, 3) metres.
        size_hw: Height and width of the image.

    Returns:
        rows: (M,) indices into `points_lidar`. uv: (M, 2) pixels. depth_m: (M,) metres.
    """
    finite = np.flatnonzero(np.isfinite(points_lidar).all(axis=1))
    points_cam = transform(camera.T_cam_from_lidar, points_lidar[finite].astype(np.float64))
    ahead = points_cam[:, 2] > MIN_DEPTH_M
    uv, depth_m = project(camera.K, points_cam[ahead])
    height, width = size_hw
    inside = (
        (uv[:, 0] >= -0.5)
        & (uv[:, 0] < width - 0.5)
        & (uv[:, 1] >= -0.5)
        & (uv[:, 1] < height - 0.5)
    )
    return finite[ahead][inside], uv[inside], depth_m[inside]
