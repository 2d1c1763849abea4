"""Image files: what they declare, whether they are whole, and their pixels.

A file is read once, its header is parsed here (a file for each format) and checked before OpenCV
sees a byte: a decoder that allocates what a hostile header declares, or pads a cut file in silence,
would make a label of it.

What becomes of the odd ones: 16 bit see `levels`; grey is repeated over three channels; palettes
are resolved; alpha is dropped, not blended; an animated PNG or GIF gives its first frame, a TIFF
its first page. 12-bit JPEG, compressed BMP, animated WebP and others are `image.unsupported`.
A JPEG whose scan is cut but still ends with an EOI marker cannot be told from a whole one.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from perception.core.errors import SampleError
from perception.core.limits import MAX_MEGAPIXELS, MOST_MEGAPIXELS
from perception.core.types import UInt8
from perception.io import files
from perception.io.images import exif, heif, kinds, tiff
from perception.io.images.declared import FileFaultError
from perception.io.images.kinds import (
    is_read,
    link_as_text,
    read_suffixes,
    remedy_for,
    unread_suffix,
)
from perception.io.images.levels import to_8_bit

__all__ = [
    "MAX_BYTES",
    "STORED",
    "Decoded",
    "Reading",
    "decode_image",
    "is_as_shown",
    "is_read",
    "link_as_text",
    "probe_image",
    "read_image",
    "read_suffixes",
    "remedy_for",
    "swapped",
    "unread_suffix",
]

BYTES_PER_PIXEL = 8  # of a file: 16-bit RGBA, uncompressed
MAX_BYTES = 1 << 29  # of a file of up to `MAX_MEGAPIXELS`

# OpenCV's own lines on stderr would stand beside our error; it has no other switch than this one.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


@dataclass(frozen=True)
class Reading:
    """How pictures are read.

    Attributes:
        upright: Turned as their Orientation says; else as they are stored, which is what a
            calibration refers to.
        max_megapixels: What is larger is refused, before anything is allocated.
    """

    upright: bool = False
    max_megapixels: int = MAX_MEGAPIXELS


STORED = Reading()


@dataclass(frozen=True, eq=False)
class Decoded:
    """The pixels of a file.

    Attributes:
        image_rgb: (H, W, 3) uint8.
        changes: What was done to them that people may not expect, such as "turned upright".
    """

    image_rgb: UInt8
    changes: tuple[str, ...] = ()


def decode_image(path: Path, reading: Reading = STORED) -> UInt8:
    """Return the (H, W, 3) uint8 RGB pixels of a file; see `read_image`."""
    return read_image(path, reading).image_rgb


def read_image(path: Path, reading: Reading = STORED) -> Decoded:
    """Decode an image file.

    Args:
        path: JPEG, PNG, BMP, WebP, TIFF, GIF, AVIF or HEIC; told by its content, not by its name.
            Never written to.
        reading: Upright or as stored, and how large at most.

    Raises:
        SampleError: `io.not_found`, `io.denied`, `io.failed`, `image.empty`, `image.truncated`,
            `image.not_an_image`, `image.too_large`, `image.unsupported` (a kind that is not
            read, or damaged inside).
    """
    with _opened(path) as stream:
        limit = max(MAX_BYTES, reading.max_megapixels * 1_000_000 * BYTES_PER_PIXEL)
        size_bytes = path.stat().st_size
        if size_bytes > limit:
            raise FileFaultError("image.too_large", f"{size_bytes} bytes, expected at most {limit}")
        data = stream.read(limit)
        source = io.BytesIO(data)
        form = kinds.format_of(source)
        height, width = form.size_hw(source)
        if height * width > reading.max_megapixels * 1_000_000:
            raise FileFaultError("image.too_large", _too_large(width, height, reading))
        if not form.is_complete(data):
            raise FileFaultError(
                "image.truncated", f"the {form.name} ends early ({len(data)} bytes); copy it again"
            )
        orientation, changes = form.orientation(source), list[str]()
        pixels = _pixels(data, form.name, (height, width), orientation)
        if pixels.dtype == np.uint16:
            pixels, stretched = to_8_bit(pixels.view(np.uint16))
            changes += ["stretched from 16 bit"] if stretched else []
        if form.name == "GIF" or (form.name == "TIFF" and tiff.has_more(source)):
            changes.append(f"first {'frame' if form.name == 'GIF' else 'page'} of a {form.name}")
        if orientation != 1:
            changes.append("turned upright" if reading.upright else "Orientation not applied")
        image_rgb = pixels.astype(np.uint8, copy=False)
        if reading.upright:
            image_rgb = exif.turned(image_rgb, orientation)
        return Decoded(image_rgb, tuple(changes))


def probe_image(path: Path) -> tuple[int, int]:
    """Return (height, width) of the stored pixels as the header declares them; reads nothing else.

    Raises:
        SampleError: as `read_image`, but for what only the rest of the file can show.
    """
    with _opened(path) as stream:
        return kinds.format_of(stream).size_hw(stream)


def is_as_shown(path: Path) -> bool:
    """Tell whether every tool sees the stored pixels in this file; reads the header only.

    Not so where an Orientation turns them, which some tools apply and others do not; where 16 bit
    become 8 in one way or another; and in formats that trainers do not read.

    Raises:
        SampleError: as `probe_image`.
    """
    with _opened(path) as stream:
        form = kinds.format_of(stream)
        return form.is_plain(stream) and form.orientation(stream) == 1


def swapped(found_hw: tuple[int, int], stated_hw: tuple[int, int]) -> str:
    """Say that two sizes differ by a quarter turn, for a message about them; else ""."""
    if found_hw != stated_hw[::-1] or found_hw == stated_hw:
        return ""
    return (
        "; width and height are swapped: one was taken from the picture as stored, one as its EXIF "
        "Orientation turns it. Pictures without calibration are turned upright; "
        "--keep-orientation takes them as stored"
    )


def _pixels(
    data: bytes, name: str, size_hw: tuple[int, int], orientation: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8 | np.uint16]]:
    """Return stored pixels, (H, W, 3) RGB of 8 or 16 bit."""
    if name == "HEIC":
        return exif.stored(heif.decode_heic(data), orientation)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    flags |= 0 if name == "AVIF" else cv2.IMREAD_ANYDEPTH  # AVIF's 10 bit would come as they are
    stored = tiff.as_stored(data) if name == "TIFF" else data
    try:
        bgr = cv2.imdecode(np.frombuffer(stored, np.uint8), flags)
    except cv2.error:
        bgr = None
    if bgr is None:
        raise FileFaultError(
            "image.unsupported",
            f"the {name} cannot be decoded: it is damaged inside, or a rare variant",
        )
    if bgr.shape[:2] != size_hw:
        raise FileFaultError(
            "image.unsupported",
            f"the {name} header declares (height, width) {size_hw}, decoded were {bgr.shape[:2]}",
        )
    if bgr.dtype not in (np.uint8, np.uint16):
        raise FileFaultError(
            "image.unsupported", f"pixels of type {bgr.dtype}, expected 8 or 16 bit"
        )
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def _too_large(width: int, height: int, reading: Reading) -> str:
    needed = -(-height * width // 1_000_000)
    fix = f"at most {MOST_MEGAPIXELS} can be allowed; scale it down, or cut it"
    if needed <= MOST_MEGAPIXELS:
        fix = f"--max-megapixels {needed} allows it"
    return (
        f"declares {width} x {height} px, expected at most {reading.max_megapixels} megapixels; "
        f"{fix}"
    )


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading; faults of the file and of its bytes become sample errors."""
    with files.opened(path) as stream:
        try:
            yield stream
        except FileFaultError as error:
            raise SampleError(error.code, f"{path}: {error}") from None
