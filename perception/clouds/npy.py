"""NumPy's .npy: an array of N rows, x, y, z first. Nothing is unpickled.

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

import io
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from perception.errors import SampleError

_MAX_COLUMNS = 64


def begins(data: bytes) -> bool:
    """Tell whether a file begins as a .npy."""
    return data.startswith(b"\x93NUMPY")


def read(data: bytes, path: Path) -> npt.NDArray[np.floating]:
    """Return (P, 3) places.

    Raises:
        SampleError: `cloud.malformed`.
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            header = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            header = np.lib.format.read_array_header_2_0(stream)
        else:
            raise ValueError(f"version {version}, expected 1.0 or 2.0")
    except ValueError as error:
        raise _malformed(path, f"cannot be read as .npy: {str(error).splitlines()[0]}") from error
    shape, is_fortran, kind = header
    if kind.kind not in "fiu":
        raise _malformed(path, f"an array of {kind}, expected float32: N rows, x, y, z first")
    if len(shape) != 2 or not 3 <= shape[1] <= _MAX_COLUMNS:
        turned = ": turn it" if len(shape) == 2 and 3 <= shape[0] <= _MAX_COLUMNS else ""
        raise _malformed(
            path, f"an array of shape {shape}, expected N rows of x, y, z and more{turned}"
        )
    start = stream.tell()
    if len(data) - start != math.prod(shape) * kind.itemsize:
        raise _malformed(
            path,
            f"{len(data) - start} bytes after its header, expected {shape[0]} x {shape[1]} of "
            f"{kind}: is the file whole?",
        )
    flat = np.frombuffer(data, kind, offset=start)
    table = flat.reshape(shape[::-1]).T if is_fortran else flat.reshape(shape)
    with np.errstate(over="ignore"):
        return table[:, :3].astype(np.float32)


def _malformed(path: Path, message: str) -> SampleError:
    return SampleError("cloud.malformed", f"{path}: {message}")
