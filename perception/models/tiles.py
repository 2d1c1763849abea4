"""Tiles at native resolution: what a detector cannot see in an image scaled down to its input.

The detector looks at the whole image, for large objects, and at overlapping tiles of its input's
size, for small ones. A box that an inner edge of a tile cuts is dropped: another tile, or the whole
image, has the object in full. What is seen twice is joined class by class; a car that one tile
takes for a truck stays both, as it does within one look, and `decide` chooses by their masks.
"""

from dataclasses import replace

import numpy as np

from perception.core import boxes
from perception.core.config import ObserveConfig
from perception.core.types import Bool, Detections, Float32, Int32, Picture
from perception.models.protocols import SizedDetector

OVERLAP = 0.25  # of a tile's side: objects up to that size are whole in one of two neighbours
ENOUGH_SCALE = 0.8  # an image that needs no smaller scale to fit the input is seen well enough
CUT_PX = 4.0  # a box that ends so close to an edge is cut: half a cell of YOLO's finest grid


class TiledDetector:
    """Has a detector look at tiles too, where an image is larger than the detector's input."""

    def __init__(self, detector: SizedDetector, config: ObserveConfig) -> None:
        """Wrap a detector.

        Args:
            detector: Whatever knows the size of its input.
            config: `tile_merge_iou`.
        """
        self._detector = detector
        self._merge_iou = config.tile_merge_iou
        self.class_names = detector.class_names

    def __call__(self, picture: Picture) -> Detections:
        """Return the boxes of the image and of its tiles, best first."""
        whole = self._detector(picture)
        tiles_xyxy = lay_tiles(picture.size_hw, self._detector.input_hw)
        if len(tiles_xyxy) == 0:
            return whole
        looks = [whole, *(self._look(picture, tile) for tile in tiles_xyxy)]
        found = Detections(
            boxes_xyxy=np.concatenate([look.boxes_xyxy for look in looks]),
            scores=np.concatenate([look.scores for look in looks]),
            class_ids=np.concatenate([look.class_ids for look in looks]),
            class_names=self.class_names,
        )
        return boxes.suppress(found, self._merge_iou)

    def _look(self, picture: Picture, tile_xyxy: Int32) -> Detections:
        """Return the boxes that a tile holds in full, in pixels of the image."""
        x0, y0, x1, y1 = tile_xyxy
        crop = Picture(picture.camera, picture.file_name, picture.image_rgb[y0:y1, x0:x1])
        found = self._detector(crop)
        shifted = found.boxes_xyxy + np.array([x0, y0, x0, y0], np.float32)
        found = replace(found, boxes_xyxy=shifted)
        return found[~cut(shifted, tile_xyxy, picture.size_hw)]


def lay_tiles(size_hw: tuple[int, int], input_hw: tuple[int, int]) -> Int32:
    """Return (T, 4) xyxy tiles that cover an image; none where it fits the input well enough.

    They have the input's size, or the image's where that is smaller; they are spread evenly, and
    overlap by a quarter of their sides or more.

    Args:
        size_hw: Height and width of the image.
        input_hw: Height and width of the detector's input.
    """
    if min(side / length for side, length in zip(input_hw, size_hw, strict=True)) >= ENOUGH_SCALE:
        return np.zeros((0, 4), np.int32)
    tops, lefts = (_starts(*sides) for sides in zip(size_hw, input_hw, strict=True))
    corners = [(left, top) for top in tops for left in lefts]
    low = np.array(corners, np.int32)
    limit = np.array(size_hw[::-1], np.int32)
    return np.concatenate([low, np.minimum(low + np.array(input_hw[::-1], np.int32), limit)], 1)


def _starts(length_px: int, tile_px: int) -> list[int]:
    """Return where tiles begin along one side of an image."""
    spare_px = max(length_px - tile_px, 0)
    steps = int(np.ceil(spare_px / (tile_px * (1 - OVERLAP))))
    return [round(spare_px * i / max(steps, 1)) for i in range(steps + 1)]


def cut(boxes_xyxy: Float32, tile_xyxy: Int32, size_hw: tuple[int, int]) -> Bool:
    """Return (N,) whether a tile's edge cuts a box; the border of the image cuts none.

    Args:
        boxes_xyxy: (N, 4) found in the tile, in pixels of the image.
        tile_xyxy: (4,) the tile.
        size_hw: Height and width of the image.
    """
    border = np.array([0, 0, size_hw[1], size_hw[0]])
    near = np.abs(boxes_xyxy - tile_xyxy) < CUT_PX
    return np.asarray((near & (tile_xyxy != border)).any(axis=1))
