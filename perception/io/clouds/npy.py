"""NumPy's .npy: an array of N rows, x, y, z first. Nothing is unpickled.

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

import math
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from perception.core.errors import SampleError

_MAX_COLUMNS = 64
_MAX_HEADER = 10_000
_SIZES = {"f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8)}
_KINDS = {
    f"{order}{kind}{size}" for order in "<>|=" for kind, sizes in _SIZES.items() for size in sizes
}
# A header is a Python dictionary; only these three forms of its values are read, none is evaluated.
_KEYS = (
    re.compile(r"'descr': *('[^']*'|\[)"),
    re.compile(r"'fortran_order': *(True|False)"),
    re.compile(r"'shape': *\(([\d, ]{1,60})\)"),
)


def begins(data: bytes) -> bool:
    """Tell whether a file begins as a .npy."""
    return data.startswith(b"\x93NUMPY")


def read(data: bytes, path: Path) -> npt.NDArray[np.floating]:
    """Return (P, 3) places.

    Raises:
        SampleError: `cloud.malformed`.
    """
    start, described, order, dimensions = _header(data, path)
    if described not in _KINDS:
        raise _malformed(
            path, f"an array of {described[:60]!r}, expected float32: N rows, x, y, z first"
        )
    kind = np.dtype(described)
    words = [word.strip() for word in dimensions.split(",") if word.strip()]
    shape = tuple(int(word) for word in words if word.isdigit())
    if len(shape) < len(words):
        raise _malformed(path, f"an array of shape ({dimensions}), expected whole numbers")
    if len(shape) != 2 or not 3 <= shape[1] <= _MAX_COLUMNS:
        turned = ": turn it" if len(shape) == 2 and 3 <= shape[0] <= _MAX_COLUMNS else ""
        raise _malformed(
            path, f"an array of shape {shape}, expected N rows of x, y, z and more{turned}"
        )
    if len(data) - start != math.prod(shape) * kind.itemsize:
        raise _malformed(
            path,
            f"{len(data) - start} bytes after its header, expected {shape[0]} x {shape[1]} of "
            f"{kind}: is the file whole?",
        )
    flat = np.frombuffer(data, kind, offset=start)
    table = flat.reshape(shape[::-1]).T if order == "True" else flat.reshape(shape)
    return table[:, :3].astype(np.float32)


def _header(data: bytes, path: Path) -> tuple[int, str, str, str]:
    """Return where the values begin, and the texts of descr, fortran_order and shape."""
    size_bytes = {1: 2, 2: 4, 3: 4}.get(data[6] if len(data) > 6 else 0, 0)
    start = 8 + size_bytes
    end = start + int.from_bytes(data[8:start], "little")
    text = data[start : min(end, start + _MAX_HEADER)].decode("latin-1")
    found = [pattern.search(text) for pattern in _KEYS]
    descr, order, shape = (one.group(1) if one else "" for one in found)
    if not (size_bytes and descr and order and shape):
        raise _malformed(path, f"begins as a .npy, and its header is {text[:60]!r}")
    return end, descr.strip("'"), order, shape


def _malformed(path: Path, message: str) -> SampleError:
    return SampleError("cloud.malformed", f"{path}: {message}")
