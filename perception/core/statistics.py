"""Bootstrap intervals: how much a figure depends on which scenes happened to be in the data.

Objects of one scene resemble each other, so scenes are drawn, not objects: S of S with replacement,
1,000 times (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13: the
percentile interval). A draw is a row of weights, how often each scene is in it; a figure that
follows from sums over scenes is then one matrix product.
"""

from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass

import numpy as np
import numpy.typing as npt

from perception.core.types import Float64

Int64 = npt.NDArray[np.int64]
DRAWS = 1000
PERCENTILES = (2.5, 97.5)
NO_DRAWS = np.zeros(0)
NO_DRAWS.flags.writeable = False


@dataclass(frozen=True)
class Figure:
    """One number, how sure it is, and what it counts.

    Attributes:
        value: The number; None where there is nothing to judge.
        low: Lower end of the 95 % bootstrap interval; None where there is none.
        high: Upper end of it.
        n: How many things it rests on: objects, labels, points or classes, see the table.
        drawn: (R,) its value on every draw of scenes, NaN where a draw has none; empty where they
            were not kept. No field: it takes no part in comparisons and in `asdict`.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    draws: InitVar[Float64] = NO_DRAWS

    def __post_init__(self, draws: Float64) -> None:
        """Keep the draws."""
        object.__setattr__(self, "_drawn", draws)

    @property
    def drawn(self) -> Float64:
        """Return the draws, see above."""
        return self.__dict__["_drawn"]  # type: ignore[no-any-return]

    def text(self, *, intervals: bool = True) -> str:
        """Return "0.812 [0.790, 0.834]"; "-" where there is nothing to judge."""
        if self.value is None:
            return "-"
        if not intervals or self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def draw_weights(scenes: int, seed: int, draws: int = DRAWS) -> Int64:
    """Return (draws, scenes) int64: how often each draw takes each scene; rows sum to `scenes`."""
    if scenes == 0:
        return np.zeros((draws, 0), np.int64)
    rng = np.random.default_rng(seed)
    return rng.multinomial(scenes, np.full(scenes, 1 / scenes), size=draws)


def weights_of(scene_names: Sequence[str], seed: int) -> Int64:
    """Return (draws, S) int64 weights of S samples: those of one scene are drawn together.

    With fewer than two scenes there is nothing to draw: no row, so that figures have no interval.
    """
    names, numbers = np.unique(np.asarray(scene_names, dtype=np.str_), return_inverse=True)
    if len(names) < 2:
        return np.zeros((0, len(scene_names)), np.int64)
    return draw_weights(len(names), seed)[:, numbers]


def interval(point: float, drawn: Float64, n: int) -> Figure:
    """Return a figure with the percentile interval of its draws.

    Draws that are NaN (no object of a rare class was drawn) are left out. The interval is widened
    to hold the point where it would not: a figure that is a maximum or a threshold is biased.

    Args:
        point: The figure on all scenes; NaN gives a figure without value.
        drawn: (R,) the figure on every draw.
        n: See `Figure`.
    """
    if not np.isfinite(point):
        return Figure(None, n=n)
    known = drawn[np.isfinite(drawn)]
    if len(known) == 0:
        return Figure(float(point), n=n)
    low, high = np.percentile(known, PERCENTILES)
    return Figure(float(point), float(min(low, point)), float(max(high, point)), n, drawn)


def difference(ours: Figure, theirs: Figure) -> Figure:
    """Return how much one figure is above another of the same scenes, paired draw by draw.

    Scenes differ more than labels of one scene do, so the interval is that of the differences. It
    is the caller's to know that both were drawn from the same scenes with the same seed.
    """
    if ours.value is None or theirs.value is None:
        return Figure(None)
    n = min(ours.n, theirs.n)
    if len(ours.drawn) != len(theirs.drawn):
        return Figure(ours.value - theirs.value, n=n)
    return interval(ours.value - theirs.value, ours.drawn - theirs.drawn, n)


def of_sums(
    counts: Float64, weights: Int64, statistic: Callable[[Float64], Float64], n: int
) -> Figure:
    """Return a figure that follows from sums over scenes.

    Args:
        counts: (S, ...) counts of every scene.
        weights: (R, S) as from `draw_weights`.
        statistic: From (K, ...) sums to (K,) values.
        n: See `Figure`.
    """
    point = statistic(counts.sum(axis=0, dtype=np.float64)[None])
    drawn = statistic(np.tensordot(weights.astype(np.float64), counts.astype(np.float64), axes=1))
    return interval(float(point[0]), drawn, n)


def paired(ours: Float64, theirs: Float64, seed: int) -> Figure:
    """Return the mean difference of (N,) values of the same things, with an interval over them."""
    differences = ours - theirs
    drawn = draw_weights(len(differences), seed) @ differences / max(len(differences), 1)
    point = float(differences.mean()) if len(differences) else float("nan")
    return interval(point, drawn, len(differences))


def per_scene(scenes: Int64, values: npt.NDArray[np.generic], count: int) -> Float64:
    """Return (count,) sums of `values` by scene number."""
    sums = np.bincount(scenes, weights=values.astype(np.float64), minlength=count)
    return sums.astype(np.float64)  # no rows: numpy answers with integers


def share(part: Float64, whole: Float64, other: Float64 | None = None) -> Float64:
    """Return part / whole; where the whole is 0, 0 if there is something `other`, else NaN."""
    empty = np.full(part.shape, np.nan)
    if other is not None:
        empty[other > 0] = 0.0
    return np.asarray(np.divide(part, whole, out=empty, where=whole > 0))


def mean_known(values: Float64) -> Float64:
    """Return the mean over the last axis of what is not NaN; NaN where nothing is."""
    known = np.isfinite(values)
    return share(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1).astype(np.float64))
