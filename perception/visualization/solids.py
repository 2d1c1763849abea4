"""Corners and edges of 3D boxes, from above, in space and in pictures. Arrays in, arrays out."""

import numpy as np

from perception.core import geometry
from perception.core.types import Camera, Cuboids, Float64, Lens

AXIS_SHARE = 0.25  # of the length: how far the line along it leaves the box at either end
EDGES = (
    *((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4)),
    *((0, 4), (1, 5), (2, 6), (3, 7)),
    (8, 9),  # the axis
)
STEPS = 8  # pieces of an edge: a lens bends it, and it may lead behind the camera
FAR_SHARE = 1.0  # of the picture's longest side: pieces farther outside are left out

_SIDES = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]])


def footprints(cuboids: Cuboids, ahead: int) -> Float64:
    """Return (N, 4, 2) corners of boxes from above, x forward and y left, metres."""
    return corners(cuboids, ahead)[:, :4, :2]


def axes(cuboids: Cuboids, ahead: int) -> Float64:
    """Return (N, 2, 2) ends of the line along the length of boxes, from above, metres."""
    return corners(cuboids, ahead)[:, 8:, :2]


def corners(cuboids: Cuboids, ahead: int = 0) -> Float64:
    """Return the corners of boxes and the ends of their axis.

    The axis runs along the length and leaves the box at both ends, since front and back of a box
    are not told apart.

    Args:
        cuboids: N boxes in the LiDAR's own axes.
        ahead: Which axis of the LiDAR points ahead, see `Scene`; 0 for the LiDAR's own axes.

    Returns:
        (N, 10, 3) metres, x forward, y left, z up: four of the bottom, four above them, the axis at
        half height. `EDGES` joins them.
    """
    along = np.stack([np.cos(cuboids.yaws_rad), np.sin(cuboids.yaws_rad)], axis=1)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    half_m = cuboids.sizes_lwh_m[:, None, :2] / 2 * _SIDES
    level = half_m[..., :1] * along[:, None] + half_m[..., 1:] * across[:, None]
    reach = (0.5 + AXIS_SHARE) * cuboids.sizes_lwh_m[:, :1] * along
    level = np.concatenate([level, level, reach[:, None], -reach[:, None]], axis=1)
    high = np.array([-1] * 4 + [1] * 4 + [0] * 2) * cuboids.sizes_lwh_m[:, 2:] / 2
    places = np.concatenate([level, high[..., None]], axis=2) + cuboids.centres_m[:, None]
    turned = places[..., [1, 0, 2]] * np.array([1, -1, 1]) if ahead else places
    return np.asarray(turned, np.float64)


def in_picture(cuboids: Cuboids, row: int, camera: Camera, size_hw: tuple[int, int]) -> Float64:
    """Return the edges of a box as a camera sees them.

    Args:
        cuboids: N boxes in the LiDAR's own axes.
        row: Which.
        camera: Intrinsics, mounting and lens.
        size_hw: Of its image.

    Returns:
        (M, 4) x0 y0 x1 y1 of pieces of edges, pixels, pixel (x, y) covering x to x + 1; none where
        the box is behind the camera or far outside the picture.
    """
    ends = corners(cuboids[np.array([row])])[0][np.array(EDGES)]
    steps = np.linspace(0, 1, STEPS + 1)[:, None, None]
    points = ends[:, 0] * (1 - steps) + ends[:, 1] * steps  # (steps, edges, 3)
    points_cam = geometry.transform(camera.T_cam_from_lidar, points.reshape(-1, 3))
    seen = points_cam[:, 2] > geometry.MIN_DEPTH_M
    depth_m = np.where(seen, points_cam[:, 2], 1)
    xy = points_cam[:, :2] / depth_m[:, None]
    if camera.lens != Lens.PINHOLE:
        seen &= np.hypot(*xy.T) < geometry.field_limit(camera)
        xy = geometry.bend(camera, np.where(seen[:, None], xy, 0))
    uv, _ = geometry.project(camera.K, np.column_stack([xy, np.ones(len(xy))]))
    uv += 0.5  # from the middle of pixels to their corners
    height, width = size_hw
    far = FAR_SHARE * max(size_hw)
    seen &= ((uv > -far) & (uv < [width + far, height + far])).all(axis=1)
    inside = seen & ((uv > 0) & (uv < [width, height])).all(axis=1)
    if not inside.any():
        return np.zeros((0, 4))
    grid, kept = uv.reshape(STEPS + 1, -1, 2), seen.reshape(STEPS + 1, -1)
    pieces = np.concatenate([grid[:-1], grid[1:]], axis=2).reshape(-1, 4)
    return pieces[(kept[:-1] & kept[1:]).ravel()]
