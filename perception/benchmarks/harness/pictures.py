"""Pictures for benchmarks: drawn where any will do, or laid out as contenders want them."""

import shutil
from pathlib import Path

import cv2
import numpy as np

from perception.readers import sources

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


def lay_out(images: str, out: Path, repeat: int, limit: int = 0) -> int:
    """Put images into one flat folder, as some contenders want them, and return how many.

    A repeated image is another name of the same file. Names are those of the images, behind a
    number where one name comes twice.
    """
    refs = sources.find(sources.parse_source(f"images:{images}"))[: limit or None]
    files = [Path(ref.root) / picture.file_name for ref in refs for picture in ref.pictures]
    unique = repeat == 1 and len({path.name for path in files}) == len(files)
    out.mkdir(parents=True)
    copies: list[Path] = []
    for number, path in enumerate(files):
        copies.append(out / (path.name if unique else f"{number:06d}-{path.name}"))
        shutil.copyfile(path, copies[-1])
    for turn in range(1, repeat):
        for number, copy in enumerate(copies):
            (out / f"{turn * len(files) + number:06d}{copy.name[6:]}").hardlink_to(copy)
    return len(files) * repeat
