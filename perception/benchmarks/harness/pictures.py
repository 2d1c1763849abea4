"""Pictures that are drawn, where a benchmark needs many and none in particular."""

from pathlib import Path

import cv2
import numpy as np

SIZE_HW = (375, 1242)  # KITTI's


def draw(root: Path, frames: int, objects: int) -> None:
    """Draw JPEG pictures of KITTI's size: noise, and bright boxes that differ between pictures."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    height, width = SIZE_HW
    ground = cv2.resize(
        rng.integers(0, 150, (height // 4, width // 4, 3), np.uint8),
        (width, height),
        interpolation=cv2.INTER_CUBIC,
    )
    step = width // max(objects, 1)
    for frame in range(frames):
        image = np.minimum(ground, 190)
        for i in range(objects):
            x0, y0 = i * step + frame % 7, 100 + 13 * i % 120
            image[y0 : y0 + 20 + frame % 40, x0 : x0 + step // 2] = 205 + (frame + 11 * i) % 50
        cv2.imwrite(str(root / f"{frame:06d}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 90])
