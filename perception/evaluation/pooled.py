"""Models trained several times, told apart: their mean precision over seeds, and its differences.

Two things happen by chance: which scenes the test has, and which seed a training had. A draw takes
scenes as `bootstrap` does, the same for every run, and seeds, the same for every group of runs: a
difference of two groups is paired in both. Of S seeds it takes S - 1, with replacement: S of S
would give the mean of few seeds too small a variance, by the factor (S - 1) / S; with S - 1 it is
unbiased (McCarthy and Snowden, "The bootstrap and finite population sampling", 1985; Rao and Wu,
JASA 83, 1988). With one seed an interval knows of scenes alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perception.core.statistics import Figure, Int64, interval, weights_of
from perception.core.types import Float64
from perception.evaluation import ranking
from perception.evaluation.compare import compare_pictures

COLUMNS = ("AP", "AP50", "AP75")


@dataclass(frozen=True, eq=False)
class Precision:
    """Average precision of the masks of one run.

    Attributes:
        values: Each of `COLUMNS` on all scenes; NaN where the truth has no object.
        draws: (R,) each of `COLUMNS` on every draw of scenes; R is 0 with less than two scenes.
        objects: True objects.
    """

    values: dict[str, float]
    draws: dict[str, Float64]
    objects: int


def mask_precision(run: Path, truth: str, seed: int = 0) -> Precision:
    """Judge a finished run; runs over the same samples get the same draws.

    Args:
        run: The run folder.
        truth: As for `evaluate`.
        seed: Of the bootstrap.

    Raises:
        RequestError: as `evaluate`.
    """
    comparisons, classes, scenes = compare_pictures(run, truth)
    values = ranking.coco_figures(comparisons, classes, "segm")
    drawn = ranking.draws(comparisons, classes, "segm", weights_of(scenes, seed), COLUMNS)
    return Precision(
        values={column: values[column] for column in COLUMNS},
        draws={column: drawn[column][0] for column in COLUMNS},
        objects=drawn[COLUMNS[0]][1],
    )


def draw_seeds(seeds: int, draws: int, seed: int) -> Int64:
    """Return (draws, seeds - 1) which seeds each draw takes; the only one if there is one."""
    rng = np.random.default_rng((seed, 1))  # another stream than that of the scenes
    return rng.integers(seeds, size=(draws, max(seeds - 1, 1)))


def mean(runs: Sequence[Precision], column: str, seed: int = 0) -> Figure:
    """Return the mean over seeds of one column, with the interval over scenes and seeds.

    Args:
        runs: One for each seed, at least one.
        column: One of `COLUMNS`.
        seed: Of the bootstrap.
    """
    return interval(*_pooled(runs, column, seed), runs[0].objects)


def difference(
    runs: Sequence[Precision], others: Sequence[Precision], column: str, seed: int = 0
) -> Figure:
    """Return how much the mean of `runs` is above that of `others`, paired by scene and seed.

    Args:
        runs: One for each seed.
        others: As many, in the same order of seeds, over the same samples.
        column: One of `COLUMNS`.
        seed: Of the bootstrap.
    """
    ours, drawn = _pooled(runs, column, seed)
    theirs, other = _pooled(others, column, seed)
    return interval(ours - theirs, drawn - other, runs[0].objects)


def _pooled(runs: Sequence[Precision], column: str, seed: int) -> tuple[float, Float64]:
    table = np.stack([run.draws[column] for run in runs])  # (S, R)
    draws = table.shape[1]
    chosen = table[draw_seeds(len(runs), draws, seed), np.arange(draws)[:, None]]
    return float(np.mean([run.values[column] for run in runs])), chosen.mean(axis=1)
