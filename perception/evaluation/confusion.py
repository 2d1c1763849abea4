"""What labels are called beside what is there: a table of counts, and examples of each cell.

A label belongs to the object of its class that it is matched to (`instances`, IoU 0.5), so that
the diagonal is what precision and recall count as right. What is left is matched once more whatever
the class: these are confusions. A label that is left then is a false alarm, an object is missed.
Accepted labels alone; what does not count for precision does not count here.
"""

from dataclasses import dataclass

import numpy as np

from perception.core.types import Float32, Masks
from perception.evaluation.instances import IGNORED_SHARE, Comparison, Int64, ignored_shares, match
from perception.evaluation.rows import FOUND_IOU
from perception.evaluation.truth import Vocabulary

NOTHING, MISSED = "no object", "missed"  # where no partner has an IoU of 0.5
PER_CELL = 6  # examples


@dataclass(frozen=True, eq=False)
class Example:
    """One label, one object, or both.

    A false alarm shows the object that it overlaps most, and a missed object the label, if any: the
    rows are empty where there is none.

    Attributes:
        true: Class of the object; `NOTHING` for a false alarm.
        called: Class of the label; `MISSED` for an object without one.
        file_name: Of the image.
        iou: Of the two that are shown; 0 where one is missing.
        score: Of the label; 0 without one.
        true_masks: (0 or 1) masks, empty ones where the truth is boxes.
        true_boxes_xyxy: (0 or 1, 4).
        label_masks: (0 or 1) masks.
        label_boxes_xyxy: (0 or 1, 4) bounds of the mask.
    """

    true: str
    called: str
    file_name: str
    iou: float
    score: float
    true_masks: Masks
    true_boxes_xyxy: Float32
    label_masks: Masks
    label_boxes_xyxy: Float32


@dataclass(frozen=True, eq=False)
class Confusion:
    """Counts of pairs.

    Attributes:
        true_names: Of the rows: classes, then `NOTHING`.
        called_names: Of the columns: classes, then `MISSED`.
        counts: (K + 1, K + 1) int64.
        examples: At most `PER_CELL` of each cell, the worst first: false alarms by score, missed
            objects by size, what is right by IoU.
    """

    true_names: tuple[str, ...]
    called_names: tuple[str, ...]
    counts: Int64
    examples: tuple[Example, ...]


def confusion(comparisons: list[Comparison], classes: Vocabulary) -> Confusion:
    """Count the labels and objects of all images; classes that are nowhere are left out."""
    pairs = [pair for found in comparisons for pair in _pairs(found)]
    present = {found.labels.class_ids[label] for found, _, label in pairs if label >= 0}
    present |= {found.truth.class_ids[row] for found, row, _ in pairs if row >= 0}
    kept = {class_id: name for class_id, name in classes.names.items() if class_id in present}
    place = {class_id: number for number, class_id in enumerate(kept)}
    counts = np.zeros((len(kept) + 1, len(kept) + 1), np.int64)
    cells: dict[tuple[int, int], list[tuple[float, Comparison, int, int]]] = {}
    for found, row, label in pairs:
        cell = (
            place[int(found.truth.class_ids[row])] if row >= 0 else len(kept),
            place[int(found.labels.class_ids[label])] if label >= 0 else len(kept),
        )
        counts[cell] += 1
        cells.setdefault(cell, []).append((_goodness(found, row, label, cell), found, row, label))
    names = tuple(kept.values())
    true_names, called_names = (*names, NOTHING), (*names, MISSED)
    examples = [
        _example(found, row, label, true_names[cell[0]], called_names[cell[1]])
        for cell, rows in sorted(cells.items())
        for _, found, row, label in sorted(rows, key=lambda one: one[0])[:PER_CELL]
    ]
    return Confusion(true_names, called_names, counts, tuple(examples))


def _goodness(found: Comparison, row: int, label: int, cell: tuple[int, int]) -> float:
    """Return what examples are sorted by, the worst is the least."""
    if label < 0:
        return -float(found.true_areas[row])
    if cell[0] == cell[1]:
        return float(found.ious[label, row])
    return -float(found.labels.scores[label])


def _pairs(found: Comparison) -> list[tuple[Comparison, int, int]]:
    """Return (image, row of the object, row of the label) of one image; -1 for none."""
    accepted = found.labels.accepted
    to = match(found, accepted, FOUND_IOU)
    free = ~found.truth.ignored
    free[to[to >= 0]] = False
    counted = accepted & ((to >= 0) | (ignored_shares(found) <= IGNORED_SHARE))
    for label in np.argsort(-found.labels.scores, kind="stable"):
        if counted[label] and to[label] < 0:
            ious = np.where(free, found.ious[label], 0.0)
            if ious.max(initial=0.0) >= FOUND_IOU:
                to[label] = ious.argmax()
                free[to[label]] = False
    return [
        *((found, int(to[label]), int(label)) for label in np.flatnonzero(counted)),
        *((found, int(row), -1) for row in np.flatnonzero(free)),
    ]


def _example(found: Comparison, row: int, label: int, true: str, called: str) -> Example:
    ious = np.where(found.labels.accepted[:, None] & ~found.truth.ignored[None, :], found.ious, 0.0)
    if row < 0 and ious[label].max(initial=0.0) > 0:
        row = int(ious[label].argmax())
    elif label < 0 and ious[:, row].max(initial=0.0) > 0:
        label = int(ious[:, row].argmax())
    rows, labels = ([number] if number >= 0 else [] for number in (row, label))
    return Example(
        true=true,
        called=called,
        file_name=found.truth.file_name,
        iou=float(ious[label, row]) if rows and labels else 0.0,
        score=float(found.labels.scores[label]) if labels else 0.0,
        true_masks=found.truth.masks[np.array(rows, np.intp)],
        true_boxes_xyxy=found.truth.boxes_xyxy[np.array(rows, np.intp)],
        label_masks=found.labels.masks[np.array(labels, np.intp)],
        label_boxes_xyxy=found.labels.masks.boxes_xyxy[np.array(labels, np.intp)].astype(
            np.float32
        ),
    )
