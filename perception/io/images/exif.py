"""Exif's Orientation, and pixels turned by it.

Source: CIPA DC-008 (Exif 2.32), tag 0x0112: which side of the scene the first row and the first
column of the stored pixels are. 1 is upright; 2, 4, 5 and 7 are mirrored too.
"""

import io

import cv2
import numpy as np

from perception.core.types import UInt8
from perception.io.images import tiff
from perception.io.images.declared import FileFaultError


def orientation_of(block: bytes) -> int:
    """Return the Orientation in a block of Exif, which is a small TIFF; 1 where there is none."""
    try:
        return tiff.orientation(io.BytesIO(block.removeprefix(b"Exif\0\0")))
    except FileFaultError:
        return 1


def turned(image_rgb: UInt8, orientation: int) -> UInt8:
    """Return stored pixels upright: (H, W, 3), or (W, H, 3) from 5 on."""
    if orientation == 1:
        return image_rgb
    if orientation >= 5:
        image_rgb = np.ascontiguousarray(image_rgb.transpose(1, 0, 2))
    flips = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}
    flip = flips.get(orientation)
    return image_rgb if flip is None else np.asarray(cv2.flip(image_rgb, flip), np.uint8)


def stored(image_rgb: UInt8, orientation: int) -> UInt8:
    """Undo `turned`."""
    return turned(image_rgb, {6: 8, 8: 6}.get(orientation, orientation))
