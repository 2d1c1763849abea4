"""Which labels may be kept so that a wanted share of them is right."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perception.core.types import Bool, Float64

NOTHING = 1.01  # a line that no probability reaches
DRAWS = 1000
PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Share:
    """A share of labels with its 95 % interval over groups.

    Attributes:
        value: NaN where there is nothing to count.
        low: Lower end; NaN with fewer than two groups.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    def text(self) -> str:
        """Return "0.412 [0.380, 0.447]"."""
        if np.isnan(self.low):
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


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


def share_of(part: Bool, whole: Bool, groups: npt.NDArray[np.int64], seed: int = 0) -> Share:
    """Return which share of `whole` is in `part`, with its interval.

    Groups are drawn with replacement, since labels of one scene resemble each other.

    Args:
        part: (N,) bool.
        whole: (N,) bool.
        groups: (N,) group numbers.
        seed: Of the draws.
    """
    count = int(groups.max(initial=-1)) + 1
    parts = np.bincount(groups, (part & whole).astype(np.float64), count)
    wholes = np.bincount(groups, whole.astype(np.float64), count)
    if wholes.sum() == 0:
        return Share(np.nan, np.nan, np.nan)
    value = float(parts.sum() / wholes.sum())
    if count < 2:
        return Share(value, np.nan, np.nan)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), DRAWS)
    bottom = drawn @ wholes
    known = bottom > 0
    low, high = np.percentile((drawn @ parts)[known] / bottom[known], PERCENTILES)
    return Share(value, float(min(low, value)), float(max(high, value)))


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
