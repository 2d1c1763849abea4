"""How much a mask depends on the exact box: boxes are moved a little and decoded again.

The image is encoded once, so this costs decoding alone. Jittered boxes are shown only
the part of the embedding around them, since the cost is mostly that of its cells. The masks are not
those of the whole, but whether they agree says as much (docs/experiments/wobble.md). A mask that
changes with its box is one that the box made up, not the image.
"""

import numpy as np
import numpy.typing as npt

from perception.core.types import Bool, Float32
from perception_sam.views import CELL_PX, PATCH_PX, View

JITTER_SHARE = 0.1  # each side moves by up to this share of the box: what detectors are off by
# Sides of the parts, in cells of the embedding: each is a network to compile. Boxes lie in the
# least that is half as long again, longer ones in the whole.
PART_CELLS = (12, 24, 48)
PART_PER_BOX = 1.5
_SEED = 0  # the same moves for every box, image and run

Moves = npt.NDArray[np.float64]


def jitter(boxes_xyxy: Float32, count: int, size_hw: tuple[int, int]) -> Float32:
    """Return (count, N, 4): every box moved `count` times, inside the image.

    The moves are the same for all boxes, as shares of width and height, so a box's answer does not
    depend on the boxes beside it.
    """
    shares: Moves = np.random.default_rng(_SEED).uniform(-JITTER_SHARE, JITTER_SHARE, (count, 1, 4))
    sides = np.tile(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 2)
    height, width = size_hw
    moved = boxes_xyxy + shares * sides
    return np.clip(moved, 0, [width, height, width, height]).astype(np.float32)


def part_around(
    box_xyxy: Float32, view: View, grid_hw: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return the cells x0, y0, x1, y1 of an embedding of `grid_hw` cells to show a box in."""
    corners = view.to_input(box_xyxy.astype(np.float64).reshape(2, 2)) / PATCH_PX
    needed = PART_PER_BOX * float((corners[1] - corners[0]).max())
    side = next((cells for cells in PART_CELLS if cells >= needed), max(grid_hw))
    height, width = (min(side, cells) for cells in grid_hw)
    centre = corners.mean(axis=0)
    x0 = int(np.clip(round(float(centre[0]) - width / 2), 0, grid_hw[1] - width))
    y0 = int(np.clip(round(float(centre[1]) - height / 2), 0, grid_hw[0] - height))
    return x0, y0, x0 + width, y0 + height


def steadiness(
    own: Float32, others: Float32, filled_hw: tuple[int, int]
) -> tuple[Float32, Float32]:
    """Compare N masks with those of their jittered boxes, at the resolution of the logits.

    Args:
        own: (N, h, w) logits.
        others: (K * N, h, w) logits of the jittered boxes, N for each of K moves.
        filled_hw: Pixels of the input that the image fills; what is beyond is left out.

    Returns:
        (N,) mean IoU with the K masks, and (N,) IoU with the cells that more than half of them
        cover; NaN for an empty mask.
    """
    height, width = (-(-side // CELL_PX) for side in filled_hw)
    mine = own[:, :height, :width] > 0
    theirs = (others[:, :height, :width] > 0).reshape(-1, *mine.shape)
    wobbles = np.mean([_ious(mine, one) for one in theirs], axis=0)
    consensus = _ious(mine, theirs.sum(axis=0) * 2 > len(theirs))
    empty = ~mine.any(axis=(1, 2))
    return (
        np.where(empty, np.nan, wobbles).astype(np.float32),
        np.where(empty, np.nan, consensus).astype(np.float32),
    )


def _ious(first: Bool, second: Bool) -> npt.NDArray[np.float64]:
    shared = (first & second).sum(axis=(1, 2))
    union = (first | second).sum(axis=(1, 2))
    return np.asarray(shared / np.maximum(union, 1))
