"""Panoptic quality: how well things are found (RQ) and how well they fit (SQ); PQ = SQ x RQ.

Source: Kirillov et al., "Panoptic Segmentation", CVPR 2019, section 4, with the treatment of void
and crowds of panopticapi (https://github.com/cocodataset/panopticapi, evaluation.py):

- a segment is matched if its IoU with a segment of the same class is above 0.5; then there is but
  one, since neither side overlaps itself; pixels of the label in void are left out of the union;
- a true segment that is not matched is missed, unless it is ignored;
- a label that is not matched is a false alarm, unless more than half of it is void or crowd of its
  class. (panopticapi takes only the last crowd of a class; this module takes all, as the paper.)

Things only: stuff is background, known to be no thing. It is not void.
"""

import numpy as np
import numpy.typing as npt

from perception.core import masks as masks_
from perception.core.statistics import mean_known, share
from perception.core.types import Bool, Float64, Int32, Masks
from perception.evaluation.truth import ANY_CLASS

Int64 = npt.NDArray[np.int64]
MATCH_IOU = 0.5  # above, not at
IGNORED_SHARE = 0.5
COUNTS = ("iou", "matched", "false", "missed")


def segment_counts(
    table: Int64,
    true_classes: Int32,
    ignored: Bool,
    predicted_classes: Int32,
    classes: tuple[int, ...],
    min_size: int = 0,
) -> Float64:
    """Count the matched, false and missed segments of one image or sweep.

    Args:
        table: (1 + M, 1 + N) pixels (or points) that true segment and label have in common; row 0
            is background in the truth, column 0 what no label has.
        true_classes: (M,) class ids; `ANY_CLASS` with `ignored` is void.
        ignored: (M,) crowds and void.
        predicted_classes: (N,) class ids.
        classes: K class ids to count.
        min_size: Segments smaller than this are neither false nor missed.

    Returns:
        (K, 4) float64: sum of the IoU of matches, matched, false, missed.
    """
    true_sizes, sizes = table.sum(axis=1)[1:], table.sum(axis=0)[1:]
    common = table[1:, 1:]
    void = common[true_classes == ANY_CLASS].sum(axis=0)
    union = true_sizes[:, None] + sizes[None, :] - common - void[None, :]
    ious = common / np.maximum(union, 1)
    same = true_classes[:, None] == predicted_classes[None, :]
    pairs = same & ~ignored[:, None] & (ious > MATCH_IOU)
    crowds = np.where(same & ignored[:, None], common, 0).sum(axis=0)
    excused = (void + crowds) > IGNORED_SHARE * sizes
    missed = ~pairs.any(axis=1) & ~ignored & (true_sizes >= max(1, min_size))
    false = ~pairs.any(axis=0) & ~excused & (sizes >= max(1, min_size))
    counts = np.zeros((len(classes), len(COUNTS)))
    for row, class_id in enumerate(classes):
        ours = predicted_classes == class_id
        counts[row] = (
            ious[pairs & ours[None, :]].sum(),
            np.count_nonzero(pairs & ours[None, :]),
            np.count_nonzero(false & ours),
            np.count_nonzero(missed & (true_classes == class_id)),
        )
    return counts


def qualities(counts: Float64) -> tuple[Float64, Float64, Float64]:
    """Return PQ, SQ and RQ from (..., 4) counts; NaN where there is neither truth nor label."""
    ious, matched, false, missed = (counts[..., i] for i in range(len(COUNTS)))
    whole = matched + false / 2 + missed / 2
    return share(ious, whole), share(ious, matched, other=whole), share(matched, whole)


def mean_qualities(counts: Float64) -> tuple[Float64, Float64, Float64]:
    """Return PQ, SQ and RQ from (..., K, 4) counts, averaged over the classes that occur."""
    pq, sq, rq = qualities(counts)
    return mean_known(pq), mean_known(sq), mean_known(rq)


def paint(masks: Masks, ignored: Bool) -> Int32:
    """Return an (H, W) map: 1 + row of the mask at each pixel, 0 where there is none.

    Where masks overlap (COCO's instances do, a little), ignored regions lie under objects, and the
    smaller object is on top.
    """
    canvas = np.zeros(masks.size_hw, np.int32)
    for row in np.lexsort((-masks_.areas(masks), ~ignored)):
        x0, y0, x1, y1 = masks.boxes_xyxy[row]
        canvas[y0:y1, x0:x1][masks_.decode_crop(masks, int(row))] = row + 1
    return canvas


def contingency(
    first: npt.NDArray[np.integer], second: npt.NDArray[np.integer], shape: tuple[int, int]
) -> Int64:
    """Return how often each pair of values occurs at the same place; values count from 0."""
    codes = first.astype(np.int64).ravel() * shape[1] + second.ravel()
    return np.bincount(codes, minlength=shape[0] * shape[1]).reshape(shape)
