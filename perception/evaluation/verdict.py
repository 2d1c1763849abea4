"""The first lines of a report: how good the labels are, in words, the worst figure first.

All figures here are shares and IoU, so 1 is best and the least is the worst. A class, a size or a
distance is named only where the truth has ten objects of it: the worst of less is chance.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from perception.core.sizes import SIZES_PX
from perception.core.statistics import Figure
from perception.evaluation.notes import BOXES_ONLY, NO_POINTS
from perception.evaluation.points import RINGS
from perception.evaluation.report import Report

LEAST_OBJECTS = 10


@dataclass(frozen=True)
class Entry:
    """One figure of a verdict.

    Attributes:
        name: Short, for columns and tables.
        words: What it is a share or a mean of.
        table: Where it stands in the report, with row and column.
        row: See `table`.
        column: See `table`.
    """

    name: str
    words: str
    table: str
    row: str
    column: str

    def of(self, report: Report) -> Figure:
        """Return the figure; one without value where a report does not have it."""
        return report.find(self.table, self.row, self.column)


ENTRIES = (
    Entry(
        "yield at 95",
        "of the objects have a right label (IoU 0.75) where 95 % of labels are right",
        *("yield", "all", "yield at 95"),
    ),
    Entry("recall", "of the objects are found (IoU 0.5)", "labels", "all", "recall"),
    Entry("precision", "of the accepted labels are right (IoU 0.5)", "labels", "all", "precision"),
    Entry("precision 75", "of the accepted labels fit (IoU 0.75)", "labels", "all", "precision 75"),
    Entry("mask IoU", "mean IoU of right masks", "labels", "all", "IoU of matches"),
    Entry("3D box IoU", "mean IoU of 3D boxes from above", "boxes", "all", "mean IoU"),
)
_POINTS = (
    ("mIoU", "mean IoU of points over classes", "iou", "mIoU"),
    ("object IoU", "mean IoU of an object's points", "objects", "mean, highest IoU"),
)


def entries(report: Report) -> tuple[Entry, ...]:
    """Return what the report has a value for, the worst first."""
    view = "seen" if any(table.name == "points.seen.iou" for table in report.tables) else "all"
    told = "that a camera sees" if view == "seen" else "all round"
    points = [
        Entry(f"point {name}", f"{words}, {told}", f"points.{view}.{table}", row, "all")
        for name, words, table, row in _POINTS
    ]
    found = [*ENTRIES, *points, *_worst_slices(report, view)]
    known = [(entry.of(report).value, entry) for entry in found]
    ranked = sorted(
        ((value, entry) for value, entry in known if value is not None), key=lambda pair: pair[0]
    )
    return tuple(entry for _, entry in ranked)


def _worst_slices(report: Report, view: str) -> list[Entry]:
    """Return the recall of the worst class, size and distance; point IoU of the worst class."""
    tables = {table.name: table for table in report.tables}
    rows = [name for name, _ in tables["labels"].rows] if "labels" in tables else []
    others = {"all", "not small", "unknown range", *SIZES_PX, *RINGS}
    groups = {
        "class": [name for name in rows if name not in others],
        "size": [name for name in rows if name in SIZES_PX],
        "distance": [name for name in rows if name in RINGS[1:]],
    }
    found = []
    for kind, names in groups.items():
        row = _worst(report, "labels", names, "recall")
        if row:
            words = f"of the objects of the worst {kind}, {row}, are found"
            found.append(Entry(f"recall of {row}", words, "labels", row, "recall"))
    iou = f"points.{view}.iou"
    if not found and iou in tables:
        names = [name for name, _ in tables[iou].rows if not name.startswith("mIoU")]
        row = _worst(report, iou, names, "all")
        if row:
            words = f"IoU of points of the worst class, {row}"
            found.append(Entry(f"point IoU of {row}", words, iou, row, "all"))
    return found


def _worst(report: Report, table: str, rows: Iterable[str], column: str) -> str:
    """Return the row with the least value; "" unless there are two to choose from."""
    known = [(row, report.figure(table, row, column)) for row in rows]
    values = {
        row: figure.value
        for row, figure in known
        if figure.value is not None and figure.n >= LEAST_OBJECTS
    }
    return min(values, key=lambda row: values[row]) if len(values) > 1 else ""


def verdict_lines(report: Report) -> list[str]:
    """Return about ten lines for a terminal."""
    counts = dict(report.counts)
    compared = [
        f"{counts[name]} {name.split()[0]}"
        for name in ("images with truth", "sweeps with truth")
        if counts[name]
    ]
    lines = [
        f"{' and '.join(compared) or 'nothing'} compared with {report.truth}"
        + (
            f": {counts['true objects']} true objects, {counts['labels accepted']} labels "
            f"accepted, {counts['labels for review']} for review"
            if counts["images with truth"]
            else ""
        )
    ]
    found = entries(report)
    if not found:
        return [*lines, "nothing to judge", *report.notes]
    recall, precision = (report.find("labels", "all", name) for name in ("recall", "precision"))
    if recall.value is not None and precision.value is not None:
        lines.append(
            f"of 100 objects {_of_100(recall)} are found; of 100 accepted labels "
            f"{_of_100(precision)} are right: IoU 0.5 or more"
        )
        found = tuple(entry for entry in found if entry.name not in {"recall", "precision"})
    shown = [entry.of(report).text() for entry in found]
    width = max(map(len, shown), default=0)
    lines += [
        f"  {text:{width}}  {entry.words} (n {entry.of(report).n:,})"
        for text, entry in zip(shown, found, strict=True)
    ]
    drawn = any(entry.of(report).low is not None for entry in entries(report))
    sure = "in brackets 95 % intervals over scenes" if drawn else "no intervals: there is one scene"
    lines.append(f"the worst first, 1 is best; {sure}")
    return [*lines, *(note for note in report.notes if note in {BOXES_ONLY, NO_POINTS})]


def _of_100(figure: Figure) -> str:
    value, low, high = figure.value, figure.low, figure.high
    if value is None:
        return "-"
    between = (
        f" [{low * 100:.0f}, {high * 100:.0f}]" if low is not None and high is not None else ""
    )
    return f"{value * 100:.0f}{between}"
