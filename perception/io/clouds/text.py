"""Sweeps as text: a line for each point, x, y, z first, or under a line that names its columns.

KITTI's raw drives that are not synchronised have such files, as CloudCompare and others write them.
"""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from perception.core.errors import SampleError

_HEAD = 512  # bytes that tell text from numbers
_PRINTABLE = re.compile(rb"[\t\r\n\x20-\x7e]*")
_BOM = b"\xef\xbb\xbf"
_BETWEEN = re.compile(rb"[\s,;]+")
_AXES = (b"x", b"y", b"z")


def begins(data: bytes) -> bool:
    """Tell whether a file begins as lines of words, which no rows of float32 do."""
    head = data.removeprefix(_BOM)[:_HEAD]
    return len(head) > 4 and b"\n" in head and _PRINTABLE.fullmatch(head) is not None


def read(data: bytes, path: Path) -> npt.NDArray[np.floating]:
    """Return (P, 3) places.

    Raises:
        SampleError: `cloud.malformed` naming the line.
    """
    lines = data.removeprefix(_BOM).split(b"\n")
    columns, rows = (0, 1, 2), list[list[float]]()
    for number, line in enumerate(lines, start=1):
        words = _BETWEEN.split(line.strip(b" \t\r,;"))
        if words == [b""]:
            continue
        names = [word.strip(b'"').lower() for word in words]
        if names[0].startswith((b"#", b"//")):
            names = [name.lstrip(b"#/") for name in names if name.strip(b"#/")]
            if not set(_AXES) <= set(names):
                continue  # a comment
        if not rows and set(_AXES) <= set(names):
            columns = (names.index(b"x"), names.index(b"y"), names.index(b"z"))
            continue
        try:
            if b"_" in line:
                raise ValueError
            rows.append([float(words[column]) for column in columns])
        except (ValueError, IndexError):
            raise SampleError(
                "cloud.malformed",
                f"{path}: is text, and line {number} is {line[:40]!r}, expected x y z and more",
            ) from None
    return np.array(rows, np.float64).reshape(-1, 3)
