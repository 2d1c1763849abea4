"""Rows of KITTI label files as box prompts: only the type and the box count.

`kitti_label` reads a row whole, as truth needs it. People's own files have other types (`Bus`),
other cases (`pedestrian`, as TAO writes it), the first eight columns alone, or numbers that nobody
filled in behind the box; none of that is in a prompt's way.

| columns | meaning |
|---|---|
| 8 to 15 | type, truncated, occluded, alpha, left, top, right, bottom; the rest is not read |
| 16 | the same, and a score last |
| 17, 18 | KITTI tracking: frame and track id come first; a file holds a whole sequence |

Source: http://www.cvlibs.net/datasets/kitti/eval_object.php (devkit readme).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from perception.core.errors import SampleError
from perception.core.types import Detections
from perception.formats import parse_number, read_lines

DONT_CARE = "dontcare"  # in any case: a region, no object
LEFT, SCORE = 4, 15  # columns
LARGEST_PX = 1e9  # float32 holds it


class Box(NamedTuple):
    """One object: its type, its corners in pixels and its score."""

    kind: str
    box_xyxy: tuple[float, ...]
    score: float


class Fault(NamedTuple):
    """Why a row gives no box: a code to count it by, and words."""

    code: str
    text: str


def rows_of(path: Path) -> Iterator[Box | Fault]:
    """Yield the rows of a label file, `DontCare` rows left out.

    Raises:
        SampleError: `label.invalid` for a file that is no text, or of KITTI tracking; `io.*`.
    """
    for number, words in read_lines(path):
        where = f"{path}:{number}"
        if len(words) in (17, 18) and all(word.isdigit() for word in words[:2]):
            raise SampleError(
                "label.invalid",
                f"{where}: {len(words)} columns that begin with two numbers, as KITTI tracking's "
                "frame and track id; expected one file per image, with the type first, or "
                "kitti-tracking:ROOT as the source",
            )
        if words[0].lower() != DONT_CARE:
            yield _row(words, where)


def rows_by_frame(path: Path) -> dict[int, list[Box | Fault]]:
    """Return the rows of a sequence of KITTI tracking by their frame, `DontCare` rows left out.

    Raises:
        SampleError: `label.invalid` for a file that is no text, or a row without a frame; `io.*`.
    """
    frames: dict[int, list[Box | Fault]] = {}
    for number, words in read_lines(path):
        if not (words[0].isascii() and words[0].isdigit() and len(words) > 2):
            raise SampleError(
                "label.invalid",
                f"{path}:{number}: {' '.join(words[:3])!r} begins the row, expected frame, track "
                "id and type, as KITTI tracking has them",
            )
        if words[2].lower() != DONT_CARE:
            frames.setdefault(int(words[0]), []).append(_row(words[2:], f"{path}:{number}"))
    return frames


def _row(words: list[str], where: str) -> Box | Fault:
    if not 8 <= len(words) <= SCORE + 1:
        return Fault(
            "row.words", f"{where}: {len(words)} columns, expected 8 to 15, or 16 with a score"
        )
    sides = tuple(parse_number(word) for word in words[LEFT : LEFT + 4])
    score = parse_number(words[SCORE]) if len(words) > SCORE else 1.0
    if not all(abs(side) <= LARGEST_PX for side in sides):
        shown = " ".join(words[LEFT : LEFT + 4])
        return Fault("row.number", f"{where}: the box is {shown!r}, expected four finite numbers")
    if not abs(score) <= LARGEST_PX:
        return Fault("row.number", f"{where}: score is {words[SCORE]!r}, expected a finite number")
    return Box(words[0], sides, score)


def read(path: Path) -> Detections:
    """Read one label file as boxes; an empty file has none.

    Returns:
        The boxes, in pixels. Rows that give none are counted in `dropped`.

    Raises:
        SampleError: as `rows_of`; `label.invalid` for a file without one good row.
    """
    return detections(list(rows_of(path)))


def detections(rows: Sequence[Box | Fault]) -> Detections:
    """Return the boxes of one picture; rows that give none are counted in `dropped`.

    Raises:
        SampleError: `label.invalid` for rows of which none is good.
    """
    boxes = [row for row in rows if isinstance(row, Box)]
    faults = [row for row in rows if isinstance(row, Fault)]
    if faults and not boxes:
        raise SampleError("label.invalid", f"{faults[0].text}; the file has no good row")
    names = tuple(sorted({box.kind for box in boxes}))
    return Detections(
        boxes_xyxy=np.array([box.box_xyxy for box in boxes], np.float32).reshape(-1, 4),
        scores=np.array([box.score for box in boxes], np.float32),
        class_ids=np.array([names.index(box.kind) for box in boxes], np.int32),
        class_names=names,
        dropped=tuple(sorted(Counter(fault.code for fault in faults).items())),
    )
