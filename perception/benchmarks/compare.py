"""One detector, several segmenters, one truth: what each segmenter's masks are worth as labels.

Each contender labels the source with the same detector (or given boxes), through `label`,
and is judged by `evaluate`. That all were asked the same boxes is checked, not believed.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from perception.benchmarks.harness.measurement import Measurement, Row, rows_of
from perception.commands.label import label
from perception.commands.request import LabelRequest
from perception.commands.results import no_progress, read_labels
from perception.core.errors import RequestError
from perception.core.progress import Progress
from perception.core.text import text_table
from perception.core.types import SampleLabels
from perception.evaluation import Figure, Report, evaluate
from perception.evaluation.notes import BOXES_ONLY

# row of the table: where its figure stands in a report
FIGURES = {
    "mask AP50": ("ap", "mask", "AP50"),
    "mask AP": ("ap", "mask", "AP"),
    "boundary AP": ("ap", "boundary", "AP"),
    "box AP": ("ap", "box", "AP"),
    "mask IoU of matched": ("labels", "all", "IoU of matches"),
    "yield at 95": ("yield", "all", "yield at 95"),
    "precision": ("labels", "all", "precision"),
    "recall": ("labels", "all", "recall"),
    "precision 75": ("labels", "all", "precision 75"),
    "recall 75": ("labels", "all", "recall 75"),
    "point IoU of objects": ("points.seen.objects", "mean, highest IoU", "all"),
    "point mIoU": ("points.seen.iou", "mIoU", "all"),
}
COUNTS = ("true objects", "labels accepted", "labels for review")


@dataclass(frozen=True)
class Entry:
    """What one segmenter came to.

    Attributes:
        segmenter: As it was asked for.
        run: Its run folder.
        report: The whole evaluation.
    """

    segmenter: str
    run: Path
    report: Report

    def figure(self, name: str) -> Figure:
        """Return a figure of the table; without value where the truth cannot give it."""
        table, row, column = FIGURES[name]
        known = {entry.name for entry in self.report.tables}
        return self.report.figure(table, row, column) if table in known else Figure(None)


def compete(
    request: LabelRequest,
    segmenters: tuple[str, ...],
    truth: str,
    *,
    truth_map: str = "",
    seed: int = 0,
    progress: Progress = no_progress,
) -> tuple[Entry, ...]:
    """Label and evaluate with each segmenter.

    Args:
        request: What to label and by which boxes; its `segmenter` is replaced, and its `out` is the
            folder that holds the runs. Runs that are there are taken up, as by `label`.
        segmenters: As `--segmenter` takes them.
        truth: As `evaluate` takes it.
        truth_map: Class map of the truth, as `evaluate` takes it.
        seed: Of the bootstrap.
        progress: Called as samples are done, for each contender from the start.

    Raises:
        RequestError: `contest.invalid` for two contenders of one name, or boxes that differ; those
            of `label` and `evaluate`.
    """
    names = [Path(segmenter).stem for segmenter in segmenters]
    if not names or len(set(names)) < len(names):
        raise RequestError(
            "contest.invalid", f"--segmenter: expected different ones, found {', '.join(names)}"
        )
    entries: list[Entry] = []
    for segmenter, name in zip(segmenters, names, strict=True):
        out = Path(request.out) / name
        run = label(replace(request, segmenter=segmenter, out=out), progress)
        if entries:
            _check_boxes(entries[0].run, run.folder)
        report = evaluate(run.folder, truth, class_map=truth_map, seed=seed)
        entries.append(Entry(segmenter, run.folder, report))
    return tuple(entries)


def _check_boxes(first: Path, second: Path) -> None:
    """Raise `contest.invalid` unless both runs asked their segmenters the same boxes."""
    pairs = zip(read_labels(first), read_labels(second), strict=True)
    for one, other in pairs:
        ours, theirs = _prompts(one), _prompts(other)
        if one.id != other.id or not np.array_equal(ours, theirs):
            raise RequestError(
                "contest.invalid",
                f"{one.id}: the boxes of {first} and {second} differ ({len(ours)} and "
                f"{len(theirs)}), so their masks cannot be compared; delete the runs",
            )


def _prompts(labels: SampleLabels) -> np.ndarray[Any, np.dtype[np.float32]]:
    rows = [np.zeros((0, 5), np.float32)]
    for picture in labels.pictures:
        found = picture.instances
        rows.append(np.column_stack([found.boxes_xyxy, found.scores]))
    return np.concatenate(rows)


def report(entries: tuple[Entry, ...]) -> Measurement:
    """Return the figures of each contender, and the table: a column for each."""
    names = [Path(entry.segmenter).stem for entry in entries]
    counts = [dict(entry.report.counts) for entry in entries]
    rows: list[Row] = []
    for name, entry, count in zip(names, entries, counts, strict=True):
        rows += rows_of({key: count[key] for key in COUNTS}, name)
        rows += [Row(f"{name}: {what}", entry.figure(what)) for what in FIGURES]
    cells = [["", *names], *([name, *(str(count[name]) for count in counts)] for name in COUNTS)]
    cells += [
        [name, *(entry.figure(name).text(intervals=False) for entry in entries)] for name in FIGURES
    ]
    notes = [note for note in entries[0].report.notes if note == BOXES_ONLY]
    value = {"contenders": {entry.segmenter: entry.report.to_dict() for entry in entries}}
    return Measurement(rows, [*text_table(cells), *notes], value)
