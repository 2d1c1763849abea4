"""How well true objects were found: one by one, and summed up."""

from dataclasses import dataclass

import numpy as np

from perception.benchmarks.harness.measurement import Measurement, rows_of
from perception.core.errors import RequestError
from perception.core.types import Bool


@dataclass(frozen=True)
class Score:
    """How well one true object was found.

    Attributes:
        sample: Where it is.
        kind: Its class, as its dataset names it.
        size: True pixels or true points.
        overlap: Pixels (points) in both.
        union: Pixels (points) in either.
    """

    sample: str
    kind: str
    size: int
    overlap: int
    union: int

    @property
    def iou(self) -> float:
        """Intersection over union; 0 if nothing was found."""
        return self.overlap / self.union if self.union else 0.0


def score(sample: str, kind: str, truth: Bool, found: Bool) -> Score:
    """Compare what was found with the truth: pixels of an image, or points of a sweep."""
    size, overlap, union = (int(bits.sum()) for bits in (truth, truth & found, truth | found))
    return Score(sample, kind, size, overlap, union)


def some(scores: list[Score], missing: str) -> tuple[Score, ...]:
    """Return the scores; figures of no object would read as failures."""
    if not scores:
        raise RequestError("truth.empty", f"{missing}: there is nothing to compare with")
    return tuple(scores)


def report(scores: tuple[Score, ...], unit: str) -> Measurement:
    """Return the table of scores, and their summary."""
    found = summarise(scores)
    lines = [f"{s.sample:40} {s.kind:16} {s.size:8} {unit}  IoU {s.iou:.3f}" for s in scores]
    lines.append(", ".join(f"{name} {value:.4g}" for name, value in found.items()))
    whats = ("objects", "pooled IoU", "mean IoU", "least IoU")
    rows = rows_of(dict(zip(whats, found.values(), strict=True)))
    return Measurement(rows, lines, found)


def summarise(scores: tuple[Score, ...]) -> dict[str, float]:
    """Return the number of objects, pooled, mean and least IoU."""
    ious = [score.iou for score in scores]
    union = sum(score.union for score in scores)
    return {
        "objects": len(scores),
        "pooled_iou": sum(score.overlap for score in scores) / union if union else 0.0,
        "mean_iou": float(np.mean(ious)) if ious else 0.0,
        "min_iou": min(ious, default=0.0),
    }
