"""What the files of each format share: faults of their bytes, and what a file declares."""

from collections.abc import Callable
from typing import BinaryIO, NamedTuple


class FileFaultError(Exception):
    """A fault of the bytes; `perception.io.images` adds the path."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def upright(stream: BinaryIO) -> int:
    """Return the Orientation of a format that has none."""
    return 1


class Format(NamedTuple):
    """How one format declares its pictures.

    Attributes:
        name: For people.
        size_hw: Reads height and width of the stored pixels.
        is_complete: Tells whether nothing is missing at the end.
        orientation: Reads the Orientation, 1 to 8, as Exif counts it; 1 for none, or a wrong one.
        is_plain: Tells whether every tool sees the pixels that we see: 8 bit, no frames to choose
            from, and a format that trainers read.
    """

    name: str
    size_hw: Callable[[BinaryIO], tuple[int, int]]
    is_complete: Callable[[bytes], bool]
    orientation: Callable[[BinaryIO], int] = upright
    is_plain: Callable[[BinaryIO], bool] = lambda stream: False


def take(stream: BinaryIO, count: int) -> bytes:
    """Read so many bytes of a header.

    Raises:
        FileFaultError: `image.truncated`.
    """
    data = stream.read(count)
    if len(data) < count:
        raise FileFaultError("image.truncated", "ends inside its header; copy it again")
    return data


def sized(width: int, height: int) -> tuple[int, int]:
    """Return (height, width); raise `image.unsupported` for a picture without pixels."""
    if width < 1 or height < 1:
        raise FileFaultError("image.unsupported", f"declares {width} x {height} px")
    return height, width
