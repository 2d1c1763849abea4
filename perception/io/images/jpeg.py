"""JPEG: JFIF, Exif, and the first picture of an MPO. Source: ITU T.81, annex B.

CMYK is read where an Adobe marker says that it is theirs, stored inverted; others' may be either.
"""

import io
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

from perception.io.images import exif
from perception.io.images.declared import FileFaultError, Format, sized, take

MAX_SEGMENTS = 10_000  # of a header
SOF_MARKERS = frozenset(
    {0xC0, 0xC1, 0xC2, 0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC)}
) | frozenset(range(0xCD, 0xD0))  # table B.1; C4, C8 and CC are no frame headers
SOF_DECODABLE = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended, progressive; Huffman coded
EOI, SOS, APP1, APP14 = 0xD9, 0xDA, 0xE1, 0xEE
MARKER_IN_SCAN = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")  # not stuffing, restart or fill
CMYK = 4  # components


def _segments(stream: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, offset, length) of the payloads up to the first scan."""
    stream.seek(2)
    for _ in range(MAX_SEGMENTS):
        prefix, marker = take(stream, 2)
        if prefix != 0xFF:
            raise FileFaultError("image.unsupported", f"no JPEG marker at byte {stream.tell() - 2}")
        while marker == 0xFF:  # fill bytes
            marker = take(stream, 1)[0]
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # these stand alone
            continue
        if marker == EOI:
            return
        length = int.from_bytes(take(stream, 2), "big") - 2
        if length < 0:
            raise FileFaultError("image.unsupported", f"JPEG segment of length {length + 2}")
        offset = stream.tell()
        yield marker, offset, length
        if marker == SOS:
            return
        stream.seek(offset + length)


def _size(stream: BinaryIO) -> tuple[int, int]:
    is_adobe, found = False, None
    for marker, _, length in _segments(stream):
        if marker in SOF_MARKERS and found is None:
            found = marker, *struct.unpack(">BHHB", take(stream, 6))
        if marker == APP14 and length >= 5:
            is_adobe = is_adobe or take(stream, 5) == b"Adobe"
        if found and (is_adobe or found[-1] != CMYK):
            break
    if found is None:
        raise FileFaultError("image.unsupported", "JPEG without a frame header")
    marker, precision, height, width, components = found
    if marker not in SOF_DECODABLE or precision != 8:
        raise FileFaultError(
            "image.unsupported",
            f"JPEG process {marker:#x}, {precision} bit; expected Huffman coding, 8 bit",
        )
    if components not in (1, 3) and not (components == CMYK and is_adobe):
        raise FileFaultError(
            "image.unsupported",
            f"JPEG with {components} components (CMYK?), expected 1, 3, or Adobe's 4; "
            "convert it to RGB",
        )
    return sized(width, height)


def _orientation(stream: BinaryIO) -> int:
    for marker, _, length in _segments(stream):
        if marker == APP1:
            payload = take(stream, length)
            if payload.startswith(b"Exif\0\0"):
                return exif.orientation_of(payload)
    return 1


def _is_complete(data: bytes) -> bool:
    """Walk past the header's segments, which may hold a whole thumbnail, to the image's own EOI."""
    scans = [
        offset + length for marker, offset, length in _segments(io.BytesIO(data)) if marker == SOS
    ]
    position = scans[0] if scans else len(data)
    while found := MARKER_IN_SCAN.search(data, position):
        if found[1][0] == EOI:
            return True
        position = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return False


JPEG = Format("JPEG", _size, _is_complete, _orientation, is_plain=lambda stream: True)
