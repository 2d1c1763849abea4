"""The features of a trust model: one number per label and feature, all from stored labels.

Every feature is a plain function of one image's instances, so that a model that was fitted on one
run reads the labels of any other. NaN says that a signal is not known there.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from perception.core import boxes as boxes_
from perception.core import masks as masks_
from perception.core.types import (
    SIGNALS,
    Float32,
    Float64,
    Instances,
    Scale,
    Signal,
    values_of,
)

SHARE_FLOOR = 0.01  # 0 and 1 have no log-odds; what is nearer to them says no more


def log_odds(shares: Float32) -> Float64:
    """Return ln(p / (1 - p)) of shares; what leaves [0.01, 0.99], as SAM's scores do, is clamped.

    NaN stays NaN.
    """
    inside = np.clip(shares.astype(np.float64), SHARE_FLOOR, 1 - SHARE_FLOOR)
    return np.asarray(np.log(inside / (1 - inside)))


def _root(shares: Float32) -> Float64:
    return np.asarray(np.sqrt(np.maximum(shares.astype(np.float64), 0)))


def _log_area(instances: Instances) -> Float64:
    return np.asarray(np.log(np.maximum(masks_.areas(instances.masks), 1)))


def _fill(instances: Instances) -> Float64:
    areas = np.maximum(boxes_.areas(instances.boxes_xyxy), 1)
    return np.asarray(masks_.areas(instances.masks) / areas)


def _elongation(instances: Instances) -> Float64:
    sides = np.maximum(instances.boxes_xyxy[:, 2:] - instances.boxes_xyxy[:, :2], 1)
    return np.asarray(np.log(sides[:, 0] / sides[:, 1]), np.float64)


SCALES: dict[Scale, Callable[[Float32], Float64]] = {
    Scale.LOG_ODDS: log_odds,
    Scale.ROOT: _root,
    Scale.PLAIN: lambda values: values.astype(np.float64),
}
Feature = Callable[[Instances], Float64]


def _read(signal: Signal) -> Feature:
    def feature(rows: Instances) -> Float64:
        return SCALES[signal.scale](values_of(rows, signal))

    return feature


FEATURES: dict[str, Feature] = {
    **{signal.name: _read(signal) for signal in SIGNALS},
    "size": _log_area,
    "fill": _fill,
    "elongation": _elongation,
}
# The scores that a person might trust on their own; what a fit has to beat. Larger is better.
SCORES = tuple(signal.name for signal in SIGNALS if signal.better > 0)
# And the other signals whose direction is known without a checked label: less is better.
FLAWS = tuple(signal.name for signal in SIGNALS if signal.better < 0)


def features_of(instances: Instances) -> Float64:
    """Return (N, F) features of one image's labels, in the order of `FEATURES`."""
    columns = [feature(instances) for feature in FEATURES.values()]
    return np.stack(columns, axis=1).astype(np.float64)


def doubts(features: Float64) -> Float64:
    """Return (N,) doubts in [0, 1] for labels that nobody checked: an order, no probability.

    A label's doubt is the mean, over the signals with a known direction that are known for it, of
    the share of the labels that look better there. It depends on the labels beside it, so give all
    labels of a run at once.

    Args:
        features: (N, F) as from `features_of`.
    """
    names = list(FEATURES)
    columns = [features[:, names.index(name)] for name in SCORES]
    columns += [-features[:, names.index(name)] for name in FLAWS]
    ranks = np.stack([_worse_shares(column) for column in columns], axis=1)
    known = np.isfinite(ranks)
    total = np.where(known, ranks, 0).sum(axis=1)
    return np.asarray(total / np.maximum(known.sum(axis=1), 1))


def worst_first(trusts: Float64, features: Float64) -> npt.NDArray[np.int64]:
    """Return (N,) places of a run's labels, the most doubtful first: the order of every list.

    The doubt of a label is 1 - trust where every label has a trust, else as from `doubts`: the two
    have no common scale. Of equal doubts the label that stands first comes first.

    Args:
        trusts: (N,) fitted probabilities of being right; NaN without a model.
        features: (N, F) as from `features_of`.
    """
    doubt = doubts(features) if np.isnan(trusts).any() else 1 - trusts
    return np.argsort(-doubt, kind="stable")


def _worse_shares(values: Float64) -> Float64:
    """Return for each value the share of the known ones that are larger; half of the equal ones."""
    known = np.isfinite(values)
    ranked = np.sort(values[known])
    shares = np.full(len(values), np.nan)
    above = len(ranked) - np.searchsorted(ranked, values[known], side="right")
    equal = np.searchsorted(ranked, values[known], side="right") - np.searchsorted(
        ranked, values[known], side="left"
    )
    shares[known] = (above + equal / 2) / max(len(ranked), 1)
    return shares
