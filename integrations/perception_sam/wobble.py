"""How much a mask depends on the exact box: boxes are moved a little and decoded again.

The image is encoded once, so this costs decoding alone. A mask that changes with its box is one
that the box made up, not the image.
"""

import numpy as np
import numpy.typing as npt

from perception.types import Bool, Float32
from perception_sam.views import CELL_PX, View

JITTER_SHARE = 0.1  # each side moves by up to this share of the box: what detectors are off by
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


def steadiness(own: Float32, others: Float32, view: View) -> tuple[Float32, Float32]:
    """Compare N masks with those of their jittered boxes, at the resolution of the logits.

    Args:
        own: (N, h, w) logits.
        others: (K * N, h, w) logits of the jittered boxes, N for each of K moves.
        view: Where all were decoded; what it does not fill is left out.

    Returns:
        (N,) mean IoU with the K masks, and (N,) IoU with the cells that more than half of them
        cover; NaN for an empty mask.
    """
    height, width = (-(-side // CELL_PX) for side in view.filled_hw)
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
