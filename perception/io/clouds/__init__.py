"""Point cloud files: KITTI's .bin, and .npy, .pcd, .ply and text, told by their first bytes.

Labels are matched to a sweep by row, so every row of a file stays where it is: points that are not
finite, and returns that never came, which many drivers write as (0, 0, 0), are NaN here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from perception.core.errors import SampleError
from perception.core.types import Float32
from perception.io.clouds import npy, pcd, ply, rows, text
from perception.io.clouds.places import check_places
from perception.io.files import opened

MAX_BYTES = 1 << 29
MAX_POINTS = 10_000_000
# Where a frame has several files, the first of these is read.
SUFFIXES = (".bin", ".npy", ".pcd", ".ply", ".txt", ".xyz", ".csv")

_Read = Callable[[bytes, Path], npt.NDArray[np.floating]]
_READERS: dict[str, tuple[Callable[[bytes], bool], _Read]] = {
    ".npy": (npy.begins, npy.read),
    ".pcd": (pcd.begins, pcd.read),
    ".ply": (ply.begins, ply.read),
    ".txt": (text.begins, text.read),
}
# What else is found under the name of a sweep. None of these begins a .bin: as float32 each is
# farther than any LiDAR sees, or nearer than a nanometre.
_OTHERS = (
    (b"version https://git-lfs", "a pointer of Git LFS: fetch the file itself with `git lfs pull`"),
    (b"PK\x03\x04", "a zip archive or .npz: unpack it"),
    (b"LASF", "a LAS file: convert it to .pcd or .npy"),
    (b"\x89HDF\r\n", "an HDF5 file: convert it to .pcd or .npy"),
    (b"ARROW1", "a Feather file: convert it to .pcd or .npy"),
    (b"PAR1", "a Parquet file: convert it to .pcd or .npy"),
    (b"<!DOCTYPE", "a web page: the download has failed"),
    (b"<html", "a web page: the download has failed"),
)


@dataclass(frozen=True, eq=False)
class Sweep:
    """What a file of points holds.

    Attributes:
        points_lidar: (P, 3) float32, metres, LiDAR frame, in the order of the file; NaN for what is
            no point.
        remarks: What is odd, one sentence each.
    """

    points_lidar: Float32
    remarks: tuple[str, ...] = ()


NO_SWEEP = Sweep(np.zeros((0, 3), np.float32))


def read_sweep(path: Path, columns: int) -> Sweep:
    """Read the points of a sweep.

    Args:
        path: The file.
        columns: Numbers per point of a .bin, x, y, z first (KITTI: 4, with the reflectance); the
            other formats say it themselves.

    Raises:
        SampleError: `cloud.malformed` naming the file, what was found and what was expected;
            `io.not_found`, `io.denied`, `io.failed`.
    """
    data, remarks = _bytes_of(path), tuple[str, ...]()
    read = _reader_of(data, path)
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold is not finite
        if read is not None:
            found = read(data, path)
        else:
            found, remarks = rows.read(data, path, columns)
        if not 0 < len(found) <= MAX_POINTS:
            raise _malformed(path, f"{len(found)} points, expected 1 to {MAX_POINTS}")
        points_lidar = np.ascontiguousarray(found, np.float32)
    x, y, z = points_lidar.T
    missing = (x == 0) & (y == 0) & (z == 0)
    if missing.all():
        raise _malformed(path, f"all {len(missing)} points are (0, 0, 0): is the file whole?")
    if missing.any():
        points_lidar[missing] = np.nan
    remarks += check_places(points_lidar, path)
    return Sweep(points_lidar, remarks)


def _bytes_of(path: Path) -> bytes:
    with opened(path) as stream:
        size_bytes = path.stat().st_size
        if size_bytes > MAX_BYTES:
            raise _malformed(path, f"{size_bytes} bytes, expected at most {MAX_BYTES}")
        data = stream.read(size_bytes)
    if len(data) != size_bytes:
        raise _malformed(path, f"{len(data)} of {size_bytes} bytes could be read")
    return data


def _reader_of(data: bytes, path: Path) -> _Read | None:
    """Return who reads these bytes, whatever the file is called; None for rows of float32."""
    for beginning, what in _OTHERS:
        if data.startswith(beginning):
            raise _malformed(path, f"is {what}")
    for begins, read in _READERS.values():
        if begins(data):
            return read
    if data.startswith(b"\x1f\x8b\x08") and data[3:4] < b"\x20":
        raise _malformed(path, "is compressed by gzip: unpack it")
    if path.suffix.lower() in {*SUFFIXES} - {".bin"}:
        raise _malformed(
            path, f"begins with {data[:12]!r}, which no {path.suffix} does: is it what it is named?"
        )
    return None


def _malformed(path: Path, message: str) -> SampleError:
    return SampleError("cloud.malformed", f"{path}: {message}")
