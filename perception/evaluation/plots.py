"""Plots as the numbers that they show: what is drawn is what the CSV beside it holds.

A plot that has nothing to show is left out. Curves are of shares, or of what is no less than 0, and
thinned to at most `MAX_POINTS` points; what each shows is said in the function that makes it.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from perception.core.reasons import kind_of
from perception.core.sizes import SIZES_PX
from perception.core.statistics import Int64, share
from perception.core.types import Bool, Float32, Float64, PictureLabels, Status
from perception.evaluation import ranking
from perception.evaluation.confusion import Confusion
from perception.evaluation.instances import Comparison
from perception.evaluation.points import RINGS, RINGS_M
from perception.evaluation.rows import LabelRows, ObjectRows
from perception.evaluation.truth import Vocabulary

MAX_POINTS = 200
BINS = np.linspace(0.0, 1.0, 11)
IDEAL = "ideal"
NO_REASON = "no reason"
DECIMALS = 6
Cell = str | int | float
Statuses = Mapping[tuple[str, Status], int]


@dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes:
        name: For files.
        title: For people, one sentence.
        kind: "lines" (series, x, y), "bars" (category, series, count; stacked) or "matrix" (row,
            column, count).
        columns: Names of the three.
        rows: The numbers, in the order in which they are drawn.
    """

    name: str
    title: str
    kind: Literal["lines", "bars", "matrix"]
    columns: tuple[str, str, str]
    rows: tuple[tuple[Cell, Cell, Cell], ...]

    def to_csv(self) -> str:
        """Return the numbers as CSV."""
        return csv_text([self.columns, *self.rows])

    def series(self) -> dict[str, list[tuple[float, float]]]:
        """Return the points of each line of a plot of lines."""
        lines: dict[str, list[tuple[float, float]]] = {}
        for name, x, y in self.rows:
            lines.setdefault(str(name), []).append((float(x), float(y)))
        return lines

    def ends(self) -> tuple[float, float]:
        """Return where the axes of a plot of lines end: at 1, or at a round number beyond all."""
        points = [(float(x), float(y)) for _, x, y in self.rows]
        return _round_up(max(x for x, _ in points)), _round_up(max(y for _, y in points))

    def table(self) -> tuple[list[str], list[str], dict[tuple[str, str], int]]:
        """Return first names, second names and the count of each pair, of bars or a matrix."""
        counts = {(str(one), str(other)): int(count) for one, other, count in self.rows}
        first = list(dict.fromkeys(one for one, _ in counts))
        return first, list(dict.fromkeys(other for _, other in counts)), counts


def _round_up(value: float) -> float:
    """Return 1, or the next of 2, 4, 10, 20, 40, ...: a quarter of it is as round."""
    ten = 10.0 ** np.floor(np.log10(max(value, 1.0)))
    return float(ten * next(step for step in (1, 2, 4, 10) if value <= step * ten))


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def image_plots(
    comparisons: list[Comparison],
    labels: LabelRows,
    objects: ObjectRows,
    classes: Vocabulary,
    found: Confusion,
    statuses: Statuses,
    *,
    has_masks: bool,
) -> tuple[Plot, ...]:
    """Return every plot that has something to show.

    Args:
        comparisons: All images.
        labels: The accepted labels.
        objects: The true objects.
        classes: What is judged.
        found: Of the same images.
        statuses: How many labels have a reason and a status, see `count_reasons`.
        has_masks: False for a truth of boxes: then there is no yield, and trust is of masks.
    """
    of_masks = (yield_curve(labels, objects), reliability(labels)) if has_masks else ()
    plots = (
        precision_recall(comparisons, classes, "segm" if has_masks else "bbox"),
        by_threshold(labels, objects if has_masks else objects[:0]),
        *of_masks,
        _matrix(found),
        _by_class(objects, classes),
        _by_bin("sizes", "True objects by size", objects.areas, SIZES_PX, objects.found),
        _by_bin(
            "ranges",
            "True objects by distance",
            objects.ranges_m,
            dict(zip(RINGS[1:], pairwise(RINGS_M), strict=True)),
            objects.found,
        ),
        _by_score(labels),
        _by_reason(statuses),
    )
    return tuple(plot for plot in plots if plot.rows)


def precision_recall(
    comparisons: list[Comparison], classes: Vocabulary, kind: ranking.Kind
) -> Plot:
    """Precision at 101 recalls by class, as COCO interpolates it: its mean is AP50 of the class.

    Ranked are labels accepted or for review, by the detector's score.
    """
    scenes = 1 + max((found.scene for found in comparisons), default=-1)
    rows: list[tuple[Cell, Cell, Cell]] = []
    for class_id, name in classes.names.items():
        one = ranking.rank(comparisons, class_id, kind, "all", scenes)
        total = int(one.objects.sum())
        if total == 0:
            continue
        hits = np.cumsum(one.hits[0][~one.ignored[0]])
        precision = hits / np.arange(1, len(hits) + 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        first = np.searchsorted(hits / total, ranking.RECALLS, side="left")
        reached = np.append(envelope, 0.0)[np.minimum(first, len(envelope))]
        rows += _points(f"{name} ({total})", ranking.RECALLS, reached)
    title = "Precision by recall of each class at IoU 0.5, labels accepted or for review (objects)"
    return Plot("precision-recall", title, "lines", ("class", "recall", "precision"), tuple(rows))


def by_threshold(labels: LabelRows, objects: ObjectRows) -> Plot:
    """Precision and yield if labels below a threshold were not accepted; no yield of no objects."""
    rows: list[tuple[Cell, Cell, Cell]] = []
    if len(labels):
        ranks, ranked_by = _ranks(labels)
        name = f"threshold of {ranked_by}"
        for series, right, counted in (
            ("precision, IoU 0.5", labels.ious > 0, ~labels.excused),
            ("precision, IoU 0.75", labels.right, ~labels.excused_75),
        ):
            levels, taken, correct = _cumulated(ranks[counted], right[counted])
            rows += _points(series, levels, share(correct, taken))
        if len(objects):
            levels, _, correct = _cumulated(ranks, labels.right)
            rows += _points("yield, IoU 0.75", levels, correct / len(objects))
    else:
        name = "threshold"
    title = "Precision, and share of objects with a right label, by the threshold of acceptance"
    return Plot("thresholds", title, "lines", ("series", name, "share"), tuple(rows))


def yield_curve(labels: LabelRows, objects: ObjectRows) -> Plot:
    """Precision by yield, both at IoU 0.75, from the best label on: see `yields`."""
    counted = labels[~labels.excused_75]
    rows: list[tuple[Cell, Cell, Cell]] = []
    if len(counted) and len(objects):
        ways = {"score": counted.scores}
        if np.isfinite(counted.trusts).all():
            ways = {"trust": counted.trusts, **ways}
        for name, ranks in ways.items():
            _, taken, correct = _cumulated(ranks, counted.right)
            rows += _points(f"by {name}", correct / len(objects), share(correct, taken))
    title = "Share of the labels taken that are right, by share of objects with a right label"
    return Plot("yield", title, "lines", ("ranked", "yield", "precision 75"), tuple(rows))


def reliability(labels: LabelRows) -> Plot:
    """Share of right labels (IoU 0.75) by their trust, in tenths: the diagonal is what it claims.

    Labels without a trust are left out, all where none was fitted.
    """
    kept = labels[~labels.excused_75 & np.isfinite(labels.trusts)]
    rows: list[tuple[Cell, Cell, Cell]] = []
    if len(kept):
        tenth = np.clip(np.digitize(kept.trusts, BINS) - 1, 0, len(BINS) - 2)
        used = np.unique(tenth)
        trust, right = (
            np.array([values[tenth == one].mean() for one in used])
            for values in (kept.trusts.astype(np.float64), kept.right)
        )
        rows = [*_points(IDEAL, BINS[[0, -1]], BINS[[0, -1]])]
        rows += _points(f"labels ({len(kept)})", trust, right)
    title = "Share of accepted labels that are right (IoU 0.75), by fitted trust"
    return Plot("reliability", title, "lines", ("series", "trust", "share right"), tuple(rows))


def count_reasons(pictures: Iterable[PictureLabels]) -> Counter[tuple[str, Status]]:
    """Count labels by each of their reasons and their status."""
    counts = Counter[tuple[str, Status]]()
    for picture in pictures:
        for status, reasons in zip(
            picture.instances.statuses, picture.instances.reasons, strict=True
        ):
            kinds = {kind_of(code) for code in reasons} or {NO_REASON}
            counts.update((kind, Status(int(status))) for kind in kinds)
    return counts


def _by_reason(statuses: Statuses) -> Plot:
    totals = Counter[str]()
    for (kind, _), count in statuses.items():
        totals[kind] += count
    order = sorted(totals, key=lambda kind: (kind != NO_REASON, -totals[kind], kind))
    rows = tuple(
        (kind, status.name.lower(), statuses.get((kind, status), 0))
        for kind in order
        for status in (Status.ACCEPTED, Status.REVIEW, Status.REJECTED)
    )
    title = "Labels by reason: what became of them; a label with two reasons counts twice"
    return Plot("reasons", title, "bars", ("reason", "status", "labels"), rows)


def _matrix(found: Confusion) -> Plot:
    rows = tuple(
        (true, called, int(found.counts[i, j]))
        for i, true in enumerate(found.true_names)
        for j, called in enumerate(found.called_names)
    )
    title = "What is there (rows) and what accepted labels call it (columns), IoU 0.5 or more"
    columns = ("truth", "label", "count")
    return Plot("confusion", title, "matrix", columns, rows if found.counts.any() else ())


def _by_class(objects: ObjectRows, classes: Vocabulary) -> Plot:
    rows = []
    for class_id, name in classes.names.items():
        of = objects.class_ids == class_id
        if of.any():
            rows += _bar(name, objects.found[of])
    title = "True objects by class"
    return Plot("classes", title, "bars", ("class", "objects", "count"), tuple(rows))


def _by_bin(
    name: str,
    title: str,
    values: Int64 | Float32,
    bins: Mapping[str, tuple[float, float]],
    found: Bool,
) -> Plot:
    rows = []
    for label, (low, high) in bins.items():
        rows += _bar(label, found[(values >= low) & (values < high)])
    known = any(count for *_, count in rows)
    return Plot(name, title, "bars", (name, "objects", "count"), tuple(rows) if known else ())


def _bar(category: str, found: Bool) -> list[tuple[str, str, int]]:
    right = int(found.sum())
    return [(category, "found", right), (category, "missed", len(found) - right)]


def _by_score(labels: LabelRows) -> Plot:
    counted = labels[~labels.excused]
    tenth = np.clip(np.digitize(counted.scores, BINS) - 1, 0, len(BINS) - 2)
    rows: list[tuple[Cell, Cell, Cell]] = []
    for number in range(len(BINS) - 1):
        of = counted.ious[tenth == number] > 0
        category = f"{BINS[number]:.1f}-{BINS[number + 1]:.1f}"
        rows += [(category, "right", int(of.sum())), (category, "wrong", int((~of).sum()))]
    title = "Accepted labels by the detector's score; right: IoU 0.5 or more"
    columns = ("score", "labels", "count")
    return Plot("scores", title, "bars", columns, tuple(rows) if len(counted) else ())


def _ranks(labels: LabelRows) -> tuple[Float32, str]:
    """Return what labels are ranked by, and its name: trust where it was fitted."""
    fitted = bool(np.isfinite(labels.trusts).all())
    return (labels.trusts, "trust") if fitted else (labels.scores, "score")


def _cumulated(ranks: Float32, right: Bool) -> tuple[Float64, Float64, Float64]:
    """Return each level, falling, with the labels at it or above, and how many are right."""
    order = np.argsort(-ranks, kind="stable")
    ends = np.append(ranks[order][1:] != ranks[order][:-1], True)[: len(ranks)]
    taken = np.arange(1.0, len(ranks) + 1)[ends]
    correct = np.cumsum(right[order]).astype(np.float64)[ends]
    return ranks[order][ends].astype(np.float64), taken, correct


def _points(name: str, x: Float64, y: Float64) -> list[tuple[Cell, Cell, Cell]]:
    """Return the rows of a line, thinned evenly; the first and the last point stay."""
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), MAX_POINTS)).round().astype(int))
    return [(name, round(float(x[i]), DECIMALS), round(float(y[i]), DECIMALS)) for i in kept]
