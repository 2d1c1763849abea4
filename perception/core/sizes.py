"""Sizes of objects in a picture: COCO's three, by the pixels of the object's mask.

Source: https://cocodataset.org/#detection-eval (areas of 32 x 32 and 96 x 96 pixels).
"""

import numpy as np

SMALL_PX, LARGE_PX = 32**2, 96**2  # below: small; from here on: large
SIZES_PX: dict[str, tuple[float, float]] = {  # half-open
    "small": (0, SMALL_PX),
    "medium": (SMALL_PX, LARGE_PX),
    "large": (LARGE_PX, np.inf),
}


def size_name(area_px: float) -> str:
    """Return the name of an object's size by the pixels of its mask."""
    return next(name for name, (_, high) in SIZES_PX.items() if area_px < high)
