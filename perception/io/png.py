"""PNG files of label formats: the header is checked before a byte is decoded."""

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from perception.core.errors import SampleError
from perception.core.masks import MAX_PIXELS

GREY, RGB, RGBA = 0, 2, 6  # colour types of a PNG
MAX_BYTES = 1 << 30
_HEADER = struct.Struct(">8s4x4sIIBB")  # signature, length, "IHDR", width, height, depth, colour
_SWAPPED = [2, 1, 0, 3]  # OpenCV's order of the channels, and back
_NAMES = {GREY: "grey", RGB: "RGB", RGBA: "RGBA"}


def encode_png(pixels: npt.NDArray[Any]) -> bytes:
    """Return a PNG file of (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA pixels, 8 or 16 bit."""
    own = pixels if pixels.ndim == 2 else pixels[..., _SWAPPED[: pixels.shape[2]]]
    return cv2.imencode(".png", np.ascontiguousarray(own))[1].tobytes()


def decode_png(data: bytes, path: Path, *, depth: int = 8, colour: int = GREY) -> npt.NDArray[Any]:
    """Return the pixels of a PNG file of exactly this depth and colour type, in RGB order.

    Raises:
        SampleError: `label.invalid` for another file, or one that claims more pixels than any image
            here may have: a small PNG can claim gigabytes.
    """
    fault = _header_fault(data, depth, colour)
    pixels = None if fault else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise SampleError("label.invalid", f"{path}: {fault or 'is damaged or cut off'}")
    return pixels if pixels.ndim == 2 else pixels[..., _SWAPPED[: pixels.shape[2]]]


def _header_fault(data: bytes, depth: int, colour: int) -> str:
    if len(data) < _HEADER.size:
        return f"{len(data)} bytes, expected a PNG"
    signature, chunk, width, height, found, kind = _HEADER.unpack_from(data)
    if signature != b"\x89PNG\r\n\x1a\n" or chunk != b"IHDR":
        return "is not a PNG"
    if found != depth or kind != colour:
        return (
            f"bit depth {found}, colour type {kind}, expected {depth}-bit {_NAMES[colour]} "
            f"(colour type {colour})"
        )
    if not 0 < width * height <= MAX_PIXELS:
        return f"{width} x {height} pixels, expected at most {MAX_PIXELS}"
    return ""
