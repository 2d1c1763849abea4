"""BMP without compression. It has no Orientation."""

import io
import struct
from typing import BinaryIO

from perception.io.images.declared import FileFaultError, Format, sized, take, upright


def _layout(stream: BinaryIO) -> tuple[int, int, int, int]:
    """Return pixel offset, width, height (negative: top row first) and bits per pixel."""
    stream.seek(10)
    offset, header = struct.unpack("<II", take(stream, 8))
    if header == 12:
        width, height, _, bits = struct.unpack("<HHHH", take(stream, 8))
        return offset, width, height, bits
    if header < 40:
        raise FileFaultError(
            "image.unsupported", f"BMP header of {header} bytes, expected 12 or >= 40"
        )
    width, height, _, bits, compression = struct.unpack("<iiHHI", take(stream, 16))
    if compression not in (0, 3):
        raise FileFaultError("image.unsupported", f"BMP compression {compression}, expected none")
    return offset, width, height, bits


def _size(stream: BinaryIO) -> tuple[int, int]:
    _, width, height, _ = _layout(stream)
    return sized(width, abs(height))


def _is_complete(data: bytes) -> bool:
    offset, width, height, bits = _layout(io.BytesIO(data))
    return len(data) >= offset + abs(height) * ((width * bits + 31) // 32 * 4)


BMP = Format("BMP", _size, _is_complete, upright, is_plain=lambda stream: True)
