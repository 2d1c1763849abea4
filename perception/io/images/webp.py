"""WebP: lossy, lossless or extended. Source: RFC 9649."""

import struct
from typing import BinaryIO

from perception.io.images import exif
from perception.io.images.declared import FileFaultError, Format, sized, take

MAX_CHUNKS = 1 << 16
MAX_EXIF_BYTES = 1 << 20


def _size(stream: BinaryIO) -> tuple[int, int]:
    stream.seek(12)
    kind, _ = struct.unpack("<4sI", take(stream, 8))
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", take(stream, 10)[6:])
        return sized(width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":
        bits = int.from_bytes(take(stream, 5)[1:], "little")
        return sized((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X":
        head = take(stream, 10)
        if head[0] & 0x02:
            raise FileFaultError(
                "image.unsupported", "is an animated WebP; convert its frames to PNG"
            )
        width, height = int.from_bytes(head[4:7], "little"), int.from_bytes(head[7:10], "little")
        return sized(width + 1, height + 1)
    raise FileFaultError("image.unsupported", f"WebP begins with chunk {kind!r}")


def _orientation(stream: BinaryIO) -> int:
    stream.seek(12)
    for _ in range(MAX_CHUNKS):
        head = stream.read(8)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head)
        start = stream.tell()
        if kind == b"EXIF" and length <= MAX_EXIF_BYTES:
            return exif.orientation_of(stream.read(length))
        stream.seek(start + length + length % 2)
    return 1


def _is_complete(data: bytes) -> bool:
    return len(data) >= int.from_bytes(data[4:8], "little") + 8


WEBP = Format("WebP", _size, _is_complete, _orientation, is_plain=lambda stream: True)
