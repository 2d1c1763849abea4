"""Which labels may be kept so that a wanted share of them is right."""

import numpy as np
import numpy.typing as npt

from perception.core.statistics import DRAWS, Figure, draw_weights, of_sums, per_scene, share
from perception.core.types import Bool, Float64

NOTHING = 1.01  # a line that no probability reaches


def line_for(trusts: Float64, right: Bool, target: float) -> float:
    """Return the least trust at which the labels from there on are right as often as wanted.

    Of all lines that hold the target, the loosest; labels of equal trust are kept together.
    `NOTHING` where none holds it.

    Args:
        trusts: (N,) of labels that the model was not fitted on.
        right: (N,) bool.
        target: The share that must be right.
    """
    order = np.argsort(-trusts, kind="stable")
    kept = np.arange(1, len(order) + 1)
    ends = np.append(trusts[order][1:] != trusts[order][:-1], True)[: len(order)]
    # 1e-9: 0.95 is not a binary number, 19 of 20 are enough.
    holds = ends & (np.cumsum(right[order]) >= target * kept - 1e-9)
    return float(trusts[order][np.flatnonzero(holds)[-1]]) if holds.any() else NOTHING


def share_of(part: Bool, whole: Bool, groups: npt.NDArray[np.int64], seed: int = 0) -> Figure:
    """Return which share of `whole` is in `part`, with its interval.

    Groups are drawn with replacement, since labels of one scene resemble each other; with fewer
    than two there is no interval.

    Args:
        part: (N,) bool.
        whole: (N,) bool.
        groups: (N,) group numbers.
        seed: Of the draws.
    """
    count = int(groups.max(initial=-1)) + 1
    counts = np.stack([per_scene(groups, mask, count) for mask in (part & whole, whole)], axis=1)
    weights = draw_weights(count, seed, DRAWS if count > 1 else 0)
    return of_sums(counts, weights, lambda sums: share(sums[:, 0], sums[:, 1]), int(whole.sum()))


def class_lines(
    trusts: Float64, class_names: list[str], line: float, floor: int
) -> dict[str, float]:
    """Return a lower line for each class of which fewer than `floor` labels are kept.

    Its best labels below the line are kept as well, until there are `floor` or no more.

    Args:
        trusts: (N,) of the labels of a run that are accepted or for review.
        class_names: N names.
        line: For all classes.
        floor: Labels that each class should have.
    """
    names = np.asarray(class_names, dtype=np.str_)
    lines: dict[str, float] = {}
    for name in np.unique(names):
        own = np.sort(trusts[(names == name) & np.isfinite(trusts)])[::-1]
        if len(own) and np.count_nonzero(own >= line) < floor:
            lower = float(own[min(floor, len(own)) - 1])
            if lower < line:
                lines[str(name)] = lower
    return lines
