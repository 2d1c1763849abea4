"""Point cloud files: KITTI's .bin, rows of little-endian float32, no header.

Nothing in such a file says what it is. So its size must fit, and its values must be distances: the
bytes of doubles or integers, read as float32, give absurd numbers, and no error.
"""

from pathlib import Path

import numpy as np

from perception.errors import SampleError
from perception.files import opened
from perception.types import Float32

MAX_POINTS = 10_000_000
MAX_COORDINATE_M = 1e4  # no LiDAR sees farther than 10 km
MIN_COORDINATE_M = 1e-9  # integers and halves of doubles become numbers such as 1e-41
ABSURD_SHARE = 0.5


def read_points(path: Path, columns: int) -> Float32:
    """Read the points of a sweep.

    Args:
        path: The file.
        columns: Numbers per point, x, y, z first (KITTI: 4, with the reflectance).

    Returns:
        (P, 3) float32, metres, LiDAR frame, in the order of the file. Points that are not finite
        stay in place, since labels are matched to the file by row.

    Raises:
        SampleError: `cloud.malformed` naming the file, its size and what was expected;
            `io.not_found`, `io.denied`, `io.failed`.
    """
    row_bytes = 4 * columns
    expected = f"expected N x {columns} float32, little-endian ({row_bytes} bytes a point)"
    with opened(path) as stream:
        size_bytes = path.stat().st_size
        if size_bytes == 0 or size_bytes % row_bytes:
            raise SampleError("cloud.malformed", f"{path}: {size_bytes} bytes, {expected}")
        if size_bytes > MAX_POINTS * row_bytes:
            raise SampleError(
                "cloud.malformed",
                f"{path}: {size_bytes} bytes, {expected}, at most {MAX_POINTS} points",
            )
        data = stream.read(size_bytes)
    if len(data) != size_bytes:
        raise SampleError(
            "cloud.malformed", f"{path}: {len(data)} of {size_bytes} bytes could be read"
        )
    points_lidar = np.frombuffer(data, "<f4").reshape(-1, columns)[:, :3].astype(np.float32)
    share = _absurd_share(points_lidar)
    if share > ABSURD_SHARE:
        raise SampleError(
            "cloud.malformed",
            f"{path}: {size_bytes} bytes, {expected}, but {share:.0%} of the rows are no "
            f"distances in metres (beyond {MAX_COORDINATE_M:g} or below {MIN_COORDINATE_M:g}): "
            "is it float64 or integer, or not in the sensor's frame?",
        )
    return points_lidar


def _absurd_share(points_lidar: Float32) -> float:
    """Return the share of absurd rows among those with a finite value."""
    size_m = np.abs(points_lidar)
    finite = np.isfinite(size_m)
    absurd = finite & ((size_m > MAX_COORDINATE_M) | ((size_m > 0) & (size_m < MIN_COORDINATE_M)))
    counted = int(finite.any(axis=1).sum())
    return float(absurd.any(axis=1).sum()) / counted if counted else 0.0
