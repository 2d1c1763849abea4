"""Image files: what they declare, whether they are whole, and their pixels.

A file is read once, its header is parsed here and checked before OpenCV sees a byte: a decoder that
allocates what a hostile header declares, or pads a cut file in silence, would make a label of it.

What becomes of the odd ones: 16 bit keeps the high byte; grey is repeated over three channels;
palettes are resolved; alpha is dropped, not blended; an animated PNG gives its first frame. CMYK
and 12-bit JPEG, compressed BMP, animated WebP, TIFF, GIF and others are `image.unsupported`.
A JPEG whose scan is cut but still ends with an EOI marker cannot be told from a whole one.
"""

import io
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np

from perception import files
from perception.errors import SampleError
from perception.types import UInt8

MAX_PIXELS = 64_000_000
MAX_BYTES = 1 << 29  # 64 MP of 16-bit RGBA, uncompressed
MAX_SEGMENTS = 10_000  # of a JPEG header

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
SOF_MARKERS = frozenset(
    {0xC0, 0xC1, 0xC2, 0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC)}
) | frozenset(range(0xCD, 0xD0))  # ITU T.81, table B.1; C4, C8 and CC are no frame headers
SOF_DECODABLE = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended, progressive; Huffman coded
EOI, SOS = 0xD9, 0xDA
MARKER_IN_SCAN = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")  # not stuffing, restart or fill

KNOWN_UNSUPPORTED: dict[bytes, str] = {
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "BigTIFF",
    b"MM\0+": "BigTIFF",
    b"GIF8": "GIF",
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL": "JPEG XL",
    b"8BPS": "Photoshop",
    b"v/1\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    **{b"P%d%c" % (n, space): "PNM" for n in range(1, 8) for space in b"\n "},
}

# OpenCV's own lines on stderr would stand beside our error; it has no other switch than this one.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class _FileError(Exception):
    """A fault of the bytes; the callers below add the path."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Format(NamedTuple):
    """How one format declares its size, and how it shows that nothing is missing at its end."""

    name: str
    size_hw: Callable[[BinaryIO], tuple[int, int]]
    is_complete: Callable[[bytes], bool]


def decode_image(path: Path) -> UInt8:
    """Decode an image file to its stored pixels.

    EXIF orientation is ignored: driving calibration refers to the raw pixels of the sensor.

    Args:
        path: A JPEG, PNG, BMP or WebP file; told by its content, not by its name. Never written to.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        SampleError: `io.not_found`, `io.denied`, `io.failed`, `image.empty`, `image.truncated`,
            `image.not_an_image`, `image.too_large`, `image.unsupported` (a kind that is not
            read, or damaged inside).
    """
    with _opened(path) as stream:
        size_bytes = path.stat().st_size
        if size_bytes > MAX_BYTES:
            raise _FileError("image.too_large", f"{size_bytes} bytes, expected at most {MAX_BYTES}")
        data = stream.read(MAX_BYTES)
        source = io.BytesIO(data)
        form = _format_of(source)
        height, width = form.size_hw(source)
        if height * width > MAX_PIXELS:
            raise _FileError(
                "image.too_large",
                f"declares {width} x {height} px, expected at most {MAX_PIXELS} pixels",
            )
        if not form.is_complete(data):
            raise _FileError(
                "image.truncated", f"the {form.name} ends early ({len(data)} bytes); copy it again"
            )
        return _pixels(data, form.name, (height, width))


def probe_image(path: Path) -> tuple[int, int]:
    """Return (height, width) of the stored pixels as the header declares them; reads nothing else.

    Raises:
        SampleError: as `decode_image`, but for what only the rest of the file can show.
    """
    with _opened(path) as stream:
        return _format_of(stream).size_hw(stream)


def _pixels(data: bytes, name: str, size_hw: tuple[int, int]) -> UInt8:
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_ANYDEPTH
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        bgr = None
    if bgr is None:
        raise _FileError(
            "image.unsupported",
            f"the {name} cannot be decoded: it is damaged inside, or a rare variant",
        )
    if bgr.shape[:2] != size_hw:
        raise _FileError(
            "image.unsupported",
            f"the {name} header declares (height, width) {size_hw}, decoded were {bgr.shape[:2]}",
        )
    if bgr.dtype == np.uint16:
        bgr = (bgr.view(np.uint16) >> 8).astype(np.uint8)
    if bgr.dtype != np.uint8:
        raise _FileError("image.unsupported", f"pixels of type {bgr.dtype}, expected 8 or 16 bit")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading; faults of the file and of its bytes become sample errors."""
    with files.opened(path) as stream:
        try:
            yield stream
        except _FileError as error:
            raise SampleError(error.code, f"{path}: {error}") from None


def _format_of(stream: BinaryIO) -> _Format:
    stream.seek(0)
    head = stream.read(64)
    if not head:
        raise _FileError("image.empty", "has no bytes")
    if head.startswith(b"\xff\xd8"):
        return _Format("JPEG", _jpeg_size, _jpeg_is_complete)
    if head.startswith(PNG_SIGNATURE):
        return _Format("PNG", _png_size, _png_is_complete)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _Format("WebP", _webp_size, _webp_is_complete)
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return _Format("BMP", _bmp_size, _bmp_is_complete)
    for magic, name in KNOWN_UNSUPPORTED.items():
        if head.startswith(magic):
            raise _FileError("image.unsupported", f"is {name}; convert it to PNG or JPEG")
    if head[4:8] == b"ftyp":
        raise _FileError("image.unsupported", "is HEIF, AVIF or a video; convert it to PNG or JPEG")
    if head.startswith(b"version https://git-lfs"):
        raise _FileError("image.not_an_image", "is a git-LFS pointer; run `git lfs pull`")
    raise _FileError("image.not_an_image", f"expected an image, the file begins with {head[:16]!r}")


def _take(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise _FileError("image.truncated", "ends inside its header; copy it again")
    return data


def _sized(width: int, height: int) -> tuple[int, int]:
    if width < 1 or height < 1:
        raise _FileError("image.unsupported", f"declares {width} x {height} px")
    return height, width


def _jpeg_segments(stream: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, offset, length) of the payloads up to the first scan."""
    stream.seek(2)
    for _ in range(MAX_SEGMENTS):
        prefix, marker = _take(stream, 2)
        if prefix != 0xFF:
            raise _FileError("image.unsupported", f"no JPEG marker at byte {stream.tell() - 2}")
        while marker == 0xFF:  # fill bytes
            marker = _take(stream, 1)[0]
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # these stand alone
            continue
        if marker == EOI:
            return
        length = int.from_bytes(_take(stream, 2), "big") - 2
        if length < 0:
            raise _FileError("image.unsupported", f"JPEG segment of length {length + 2}")
        offset = stream.tell()
        yield marker, offset, length
        if marker == SOS:
            return
        stream.seek(offset + length)


def _jpeg_size(stream: BinaryIO) -> tuple[int, int]:
    for marker, _, _ in _jpeg_segments(stream):
        if marker not in SOF_MARKERS:
            continue
        precision, height, width, components = struct.unpack(">BHHB", _take(stream, 6))
        if marker not in SOF_DECODABLE or precision != 8:
            raise _FileError(
                "image.unsupported",
                f"JPEG process {marker:#x}, {precision} bit; expected Huffman coding, 8 bit",
            )
        if components not in (1, 3):  # Adobe's CMYK is inverted, others' is not: a guess either way
            raise _FileError(
                "image.unsupported",
                f"JPEG with {components} components (CMYK?), expected 1 or 3; convert it to RGB",
            )
        return _sized(width, height)
    raise _FileError("image.unsupported", "JPEG without a frame header")


def _jpeg_is_complete(data: bytes) -> bool:
    """Walk past the header's segments, which may hold a whole thumbnail, to the image's own EOI."""
    scans = [
        offset + length
        for marker, offset, length in _jpeg_segments(io.BytesIO(data))
        if marker == SOS
    ]
    position = scans[0] if scans else len(data)
    while found := MARKER_IN_SCAN.search(data, position):
        if found[1][0] == EOI:
            return True
        position = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return False


def _png_size(stream: BinaryIO) -> tuple[int, int]:
    stream.seek(8)
    length, kind, width, height = struct.unpack(">I4sII", _take(stream, 16))
    if kind != b"IHDR" or length != 13:
        raise _FileError("image.unsupported", f"PNG begins with chunk {kind!r}, expected IHDR")
    return _sized(width, height)


def _png_is_complete(data: bytes) -> bool:
    position = 8
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        position += 12 + length
        if kind == b"IEND":
            return position <= len(data)
    return False


def _bmp_layout(stream: BinaryIO) -> tuple[int, int, int, int]:
    """Return pixel offset, width, height (negative: top row first) and bits per pixel."""
    stream.seek(10)
    offset, header = struct.unpack("<II", _take(stream, 8))
    if header == 12:
        width, height, _, bits = struct.unpack("<HHHH", _take(stream, 8))
        return offset, width, height, bits
    if header < 40:
        raise _FileError("image.unsupported", f"BMP header of {header} bytes, expected 12 or >= 40")
    width, height, _, bits, compression = struct.unpack("<iiHHI", _take(stream, 16))
    if compression not in (0, 3):
        raise _FileError("image.unsupported", f"BMP compression {compression}, expected none")
    return offset, width, height, bits


def _bmp_size(stream: BinaryIO) -> tuple[int, int]:
    _, width, height, _ = _bmp_layout(stream)
    return _sized(width, abs(height))


def _bmp_is_complete(data: bytes) -> bool:
    offset, width, height, bits = _bmp_layout(io.BytesIO(data))
    return len(data) >= offset + abs(height) * ((width * bits + 31) // 32 * 4)


def _webp_size(stream: BinaryIO) -> tuple[int, int]:
    """Parse the first chunk (RFC 9649): lossy, lossless or extended."""
    stream.seek(12)
    kind, _ = struct.unpack("<4sI", _take(stream, 8))
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", _take(stream, 10)[6:])
        return _sized(width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":
        bits = int.from_bytes(_take(stream, 5)[1:], "little")
        return _sized((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X":
        head = _take(stream, 10)
        if head[0] & 0x02:
            raise _FileError("image.unsupported", "is an animated WebP; convert its frames to PNG")
        width, height = int.from_bytes(head[4:7], "little"), int.from_bytes(head[7:10], "little")
        return _sized(width + 1, height + 1)
    raise _FileError("image.unsupported", f"WebP begins with chunk {kind!r}")


def _webp_is_complete(data: bytes) -> bool:
    return len(data) >= int.from_bytes(data[4:8], "little") + 8
