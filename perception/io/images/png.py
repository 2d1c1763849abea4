"""PNG. Source: W3C PNG, third edition; the chunk eXIf holds a block of Exif."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from perception.io.images import exif
from perception.io.images.declared import FileFaultError, Format, sized, take

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 1 << 20
MAX_EXIF_BYTES = 1 << 20


def _size(stream: BinaryIO) -> tuple[int, int]:
    stream.seek(8)
    length, kind, width, height = struct.unpack(">I4sII", take(stream, 16))
    if kind != b"IHDR" or length != 13:
        raise FileFaultError("image.unsupported", f"PNG begins with chunk {kind!r}, expected IHDR")
    return sized(width, height)


def _chunks(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield kind and length of each chunk; its data is what is read next."""
    stream.seek(8)
    for _ in range(MAX_CHUNKS):
        head = stream.read(8)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        start = stream.tell()
        yield kind, length
        stream.seek(start + length + 4)


def _orientation(stream: BinaryIO) -> int:
    for kind, length in _chunks(stream):
        if kind == b"eXIf" and length <= MAX_EXIF_BYTES:
            return exif.orientation_of(stream.read(length))
    return 1


def _is_complete(data: bytes) -> bool:
    position = 8
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        position += 12 + length
        if kind == b"IEND":
            return position <= len(data)
    return False


def _is_plain(stream: BinaryIO) -> bool:
    stream.seek(24)
    return take(stream, 1)[0] <= 8


PNG = Format("PNG", _size, _is_complete, _orientation, _is_plain)
