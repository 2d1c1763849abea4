"""Yield at 95: how much of the world comes out as labels that one may trust.

Let the accepted labels that count (see `instances`) have scores s_1 >= ... >= s_L: their trust
where it was fitted (on other scenes, or it flatters), else the detector's. Call a label right if it
is matched to a true object of its class with a mask IoU of at least 0.75. For a threshold t, the
labels with s >= t are taken, all of equal score together. Among the t that occur as scores and at
which at least 95 % of the labels taken are right, the loosest (least) is chosen, even where a
stricter one is below 95 %. The yield is the number of right labels taken there, over the number of
all true objects (ignored regions are none).

No such t, or no accepted label: the yield is 0. No true object: it has no value. The yield of a
size is the share of the objects of that size found at the same, common threshold.
"""

from dataclasses import dataclass

import numpy as np

from perception.core.statistics import Int64, share
from perception.core.types import Bool, Float32, Float64

CORRECT_IOU = 0.75
SHARE = 0.95
_MAX_CELLS = 1 << 21


@dataclass(frozen=True, eq=False)
class Yield:
    """The yield of every draw (or of the data, for a single row of weights).

    Attributes:
        yields: (R, G) share of the objects of each group; NaN for a group without objects.
        thresholds: (R,) the least score taken; NaN where no threshold reaches the share.
        precisions: (R,) share of right ones among the labels taken; NaN likewise.
        taken: (R,) labels taken.
    """

    yields: Float64
    thresholds: Float64
    precisions: Float64
    taken: Float64


def yields_at(
    scores: Float32,
    right: Bool,
    scenes: Int64,
    groups: Bool,
    objects: Int64,
    weights: Int64,
    wanted: float = SHARE,
) -> Yield:
    """Compute the yield for every row of weights.

    Args:
        scores: (L,) of the accepted labels that count, or their trust.
        right: (L,) bool.
        scenes: (L,) the sample of each.
        groups: (L, G) bool: the groups (sizes) of the object that a right label is matched to.
        objects: (S, G) true objects by sample and group.
        weights: (R, S) how often each sample counts.
        wanted: The share that must be right.
    """
    step = max(1, _MAX_CELLS // max(1, len(scores)))
    parts = [
        _some(scores, right, scenes, groups, objects, weights[start : start + step], wanted)
        for start in range(0, max(1, len(weights)), step)
    ]
    return Yield(
        yields=np.concatenate([part.yields for part in parts]),
        thresholds=np.concatenate([part.thresholds for part in parts]),
        precisions=np.concatenate([part.precisions for part in parts]),
        taken=np.concatenate([part.taken for part in parts]),
    )


def _some(
    scores: Float32,
    right: Bool,
    scenes: Int64,
    groups: Bool,
    objects: Int64,
    weights: Int64,
    wanted: float,
) -> Yield:
    order = np.argsort(-scores, kind="stable")
    drawn = weights[:, scenes[order]].astype(np.float64)
    taken = np.cumsum(drawn, axis=1)
    correct = np.cumsum(drawn * right[order], axis=1)
    ends = np.append(scores[order][1:] != scores[order][:-1], True)[: len(scores)]
    # 1e-9: 0.95 is not a binary number, 19 of 20 are enough. A draw without a label has no t.
    reached = ends & (taken > 0) & (correct >= wanted * taken - 1e-9)
    any_reached = reached.any(axis=1)
    last = len(scores) - 1 - reached[:, ::-1].argmax(axis=1) if len(scores) else None
    totals = (weights @ objects).astype(np.float64)
    found = np.zeros(totals.shape)
    nothing = np.full(len(weights), np.nan)
    if last is None:
        return Yield(share(found, totals), nothing, nothing, np.zeros(len(weights)))
    rows = np.arange(len(weights))
    for group in range(groups.shape[1]):
        inside = np.cumsum(drawn * (right & groups[:, group])[order], axis=1)
        found[:, group] = np.where(any_reached, inside[rows, last], 0)
    count = np.where(any_reached, taken[rows, last], 0)
    return Yield(
        yields=share(found, totals),
        thresholds=np.where(any_reached, scores[order][last], np.nan),
        precisions=np.where(any_reached, share(correct[rows, last], taken[rows, last]), np.nan),
        taken=count,
    )
