"""HEIF: AVIF, which OpenCV decodes where it was built so, and HEIC, which pillow-heif decodes.

Source: ISO/IEC 23008-12. The size is that of the largest `ispe`: pictures of parts, and thumbnails,
have smaller ones. Turning (`irot`, `imir`) is part of the format, and Exif's Orientation does not
count beside it.
"""

import importlib.util
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from perception.core.types import UInt8
from perception.io.images.declared import FileFaultError, Format, sized, take

MAX_META_BYTES = 1 << 24
MAX_BOXES = 1 << 12
GET_HEIC = "pip install 'driving-perception[heic]' reads it"
AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_SIZE = re.compile(rb"ispe\0\0\0\0(.{4})(.{4})", re.DOTALL)
_ROTATION = re.compile(rb"\0\0\0\x09irot(.)", re.DOTALL)
_MIRROR = re.compile(rb"\0\0\0\x09imir(.)", re.DOTALL)
# (quarter turns to the left, then mirrored: 0 top and bottom, 1 left and right): as Exif counts.
_ORIENTATIONS = {
    (0, None): 1, (0, 1): 2, (2, None): 3, (0, 0): 4, (1, 0): 5, (3, None): 6, (3, 0): 7,
    (1, None): 8, (3, 1): 5, (1, 1): 7, (2, 0): 2, (2, 1): 4,
}  # fmt: skip


def _boxes(stream: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and length of the data of each box at the top; the last may have 0."""
    position = 0
    for _ in range(MAX_BOXES):
        stream.seek(position)
        head = stream.read(8)
        if len(head) < 8:
            return
        length, kind, start = int.from_bytes(head[:4], "big"), head[4:], position + 8
        if length == 1:
            length, start = int.from_bytes(take(stream, 8), "big"), position + 16
        if length == 0:  # to the end of the file
            yield kind, start, 0
            return
        if position + length < start:
            raise FileFaultError("image.unsupported", f"HEIF box {kind!r} of {length} bytes")
        yield kind, start, position + length - start
        position += length


def _meta(stream: BinaryIO) -> bytes:
    for kind, start, length in _boxes(stream):
        if kind == b"meta" and length <= MAX_META_BYTES:
            stream.seek(start)
            return take(stream, length)
    raise FileFaultError("image.truncated", "HEIF without its table of pictures; copy it again")


def _size(stream: BinaryIO) -> tuple[int, int]:
    found = [
        (int.from_bytes(height, "big"), int.from_bytes(width, "big"))
        for width, height in _SIZE.findall(_meta(stream))
    ]
    if not found:
        raise FileFaultError("image.unsupported", "HEIF that declares no size")
    height, width = max(found, key=lambda size: size[0] * size[1])
    return sized(width, height)


def _orientation(stream: BinaryIO) -> int:
    meta = _meta(stream)
    rotation, mirror = _ROTATION.search(meta), _MIRROR.search(meta)
    quarters = rotation[1][0] & 3 if rotation else 0
    return _ORIENTATIONS.get((quarters, mirror[1][0] & 1 if mirror else None), 1)


def _is_complete(data: bytes) -> bool:
    return all(start + length <= len(data) for _, start, length in _boxes(io.BytesIO(data)))


def reads_heic() -> bool:
    """Tell whether the extra `heic` is installed; imports nothing."""
    return importlib.util.find_spec("pillow_heif") is not None


def format_of(stream: BinaryIO) -> Format:
    """Tell AVIF, HEIC and videos apart by the brands in the first box.

    Raises:
        FileFaultError: `image.unsupported`, `image.truncated`.
    """
    stream.seek(0)
    length = int.from_bytes(take(stream, 4), "big")
    take(stream, 4)
    brands = take(stream, min(max(length, 16), 256) - 8)
    known = {brands[start : start + 4] for start in range(0, len(brands), 4) if start != 4}
    if known & AVIF_BRANDS:
        return Format("AVIF", _size, _is_complete, _orientation)
    if known & HEIC_BRANDS:
        if not reads_heic():
            raise FileFaultError("image.unsupported", f"is HEIC; {GET_HEIC}, or convert it to JPEG")
        return Format("HEIC", _size, _is_complete, _orientation)
    raise FileFaultError("image.unsupported", f"is a video or another kind of {brands[:4]!r}")


def decode_heic(data: bytes) -> UInt8:
    """Return (H, W, 3) RGB, upright: pillow-heif has no other way.

    Raises:
        FileFaultError: `image.unsupported` for what it cannot decode.
    """
    import pillow_heif

    try:
        picture = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
        pixels = np.asarray(picture)
    except (ValueError, RuntimeError, OSError, EOFError, SyntaxError) as error:
        raise FileFaultError(
            "image.unsupported", "the HEIC cannot be decoded: it is damaged inside"
        ) from error
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        raise FileFaultError("image.unsupported", f"the HEIC has pixels of {picture.mode}")
    return np.ascontiguousarray(pixels[..., :3])
