"""KITTI's .bin: rows of little-endian float32, x, y, z first, without a header.

Nothing in such a file says what it is. So its size must fit, its values must be distances (the
bytes of doubles or integers, read as float32, give absurd numbers and no error), and its columns
must look like as many as are asked for.
"""

from pathlib import Path

import numpy as np

from perception.core.errors import SampleError
from perception.core.types import Float32
from perception.io.clouds.columns import LENGTHS, tell_columns

MAX_COORDINATE_M = 1e4  # no LiDAR sees farther than 10 km
MIN_COORDINATE_M = 1e-9  # integers and halves of doubles become numbers such as 1e-41
ABSURD_SHARE = 0.5
_LOOKED_AT = 5_000  # rows


def read(data: bytes, path: Path, columns: int) -> tuple[Float32, tuple[str, ...]]:
    """Return (P, 3) places, and a remark where nothing tells whether the columns are right.

    Raises:
        SampleError: `cloud.malformed`.
    """
    row_bytes = 4 * columns
    expected = f"expected N x {columns} float32, little-endian ({row_bytes} bytes a point)"
    numbers = np.frombuffer(data[: len(data) // 4 * 4], "<f4")
    if len(data) == 0 or len(data) % row_bytes:
        raise _malformed(path, f"{len(data)} bytes, {expected}{_what_fits(numbers, data, columns)}")
    table = numbers.reshape(-1, columns)
    share = _absurd_share(table[:: max(1, len(table) // _LOOKED_AT), :3])
    if share > ABSURD_SHARE:
        raise _malformed(
            path,
            f"{len(data)} bytes, {expected}, but {share:.0%} of the rows are no distances in "
            f"metres (beyond {MAX_COORDINATE_M:g} or below {MIN_COORDINATE_M:g}): is it float64 or "
            "integer, in millimetres, or not in the sensor's frame?",
        )
    told = tell_columns(numbers, columns)
    if told not in {0, columns}:
        raise _malformed(
            path,
            f"its values are those of {told} columns, {columns} were expected ({len(data)} bytes "
            f"are {len(data) / 4 / told:g} points of {told}, or {len(table)} of {columns}); if "
            f"{told} is right give --columns {told}, else keep the sweep as .npy or .pcd, which "
            "state their columns",
        )
    points: Float32 = table[:, :3].astype(np.float32)
    if told:
        return points, ()
    return points, (
        f"{path}: its values do not tell how many columns it has, it is read as {columns}; "
        "if that is wrong, give --columns",
    )


def _what_fits(numbers: Float32, data: bytes, columns: int) -> str:
    """Say which numbers of columns the size fits, and which the values look like."""
    if len(data) == 0:
        return ""
    fitting = [length for length in LENGTHS if len(data) % (4 * length) == 0]
    told = tell_columns(numbers, columns)
    if told == columns:
        return f": its values are those of {columns} columns, so its end is missing; fetch it again"
    if told in fitting:
        return f"; its values are those of {told} columns, and its size fits: give --columns {told}"
    if not fitting:
        return ", and no other number of columns fits: is the file whole?"
    listed = ", ".join(map(str, fitting))
    return f"; {listed} columns would fit: give --columns if one of them is right"


def _absurd_share(places: Float32) -> float:
    """Return the share of absurd rows among those with a finite value."""
    size_m = np.abs(places)
    finite = np.isfinite(size_m)
    absurd = finite & ((size_m > MAX_COORDINATE_M) | ((size_m > 0) & (size_m < MIN_COORDINATE_M)))
    counted = int(finite.any(axis=1).sum())
    return float(absurd.any(axis=1).sum()) / counted if counted else 0.0


def _malformed(path: Path, message: str) -> SampleError:
    return SampleError("cloud.malformed", f"{path}: {message}")
