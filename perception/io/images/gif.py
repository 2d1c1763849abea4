"""GIF: the first frame. Source: GIF89a (CompuServe, 1990)."""

import struct
from typing import BinaryIO

from perception.io.images.declared import Format, sized, take

EXTENSION, FRAME = 0x21, 0x2C


def _size(stream: BinaryIO) -> tuple[int, int]:
    stream.seek(6)
    return sized(*struct.unpack("<HH", take(stream, 4)))


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _is_complete(data: bytes) -> bool:
    """Walk to the end of the first frame's last block."""
    if len(data) < 13:
        return False
    position = 13 + _palette_bytes(data[10])
    while position + 10 < len(data) and data[position] in (EXTENSION, FRAME):
        is_frame = data[position] == FRAME
        position += 11 + _palette_bytes(data[position + 9]) if is_frame else 2
        while position < len(data) and data[position]:
            position += data[position] + 1
        if is_frame:
            return position < len(data)
        position += 1
    return False


GIF = Format("GIF", _size, _is_complete)
