"""Rows of box files from outside, as every reader of them gives them, and the numbers in them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from perception.core.types import Counts

DROPPED = {  # why a row of a box file gives no box; "shape.NAME": a shape without an area
    "row.bbox": "without a box",
    "row.category": "without a class, or of a class that is not listed",
    "row.crowd": "crowds, which are regions",
    "row.image": "of a picture that is not listed",
    "row.review": "for review",
}
Box = tuple[float, float, float, float]  # x0 y0 x1 y1, pixels, half-open


class BoxRow(NamedTuple):
    """One box as a file from outside holds it.

    Attributes:
        class_name: As in the file.
        box_xyxy: Pixels, half-open; may be NaN, inverted, or outside the picture.
        score: In [0, 1]; 1 where the file has none.
    """

    class_name: str
    box_xyxy: Box
    score: float = 1.0


@dataclass(frozen=True)
class PictureBoxes:
    """The boxes of one picture, as a file from outside holds them.

    Attributes:
        file_name: As in the file, or the path of a file about this picture, without its suffix.
        rows: The boxes.
        size_hw: Height and width of the picture; None where the file does not say.
        dropped: Rows that give no box, counted by reason, see `DROPPED`.
        other_name: Another name of the picture, used where no picture has `file_name`.
        fault: Why the boxes cannot be used; "" if they can.
    """

    file_name: str
    rows: tuple[BoxRow, ...] = ()
    size_hw: tuple[int, int] | None = None
    dropped: Counts = ()
    other_name: str = ""
    fault: str = ""


@dataclass(frozen=True)
class BoxFile:
    """What a file from outside says of boxes in many pictures.

    Attributes:
        pictures: In the order of the file.
        lost: Rows that belong to no picture, counted by reason, see `DROPPED`.
        notices: How it was understood, one sentence each.
        by_stem: Whether its pictures are named without a suffix.
        class_names: Those that it lists, whether boxes have them or not; () for formats without.
    """

    pictures: tuple[PictureBoxes, ...]
    lost: Counts = ()
    notices: tuple[str, ...] = ()
    by_stem: bool = False
    class_names: tuple[str, ...] = ()


def parse_number(word: str) -> float:
    """Return a decimal number; NaN for anything else that Python's `float` might take ("1_0")."""
    if not word.isascii() or "_" in word:
        return math.nan
    try:
        return float(word)
    except ValueError:
        return math.nan


def as_number(value: object) -> float:
    """Return a number of a JSON file, also one that is written as text; NaN for anything else."""
    if isinstance(value, str):
        return parse_number(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    return math.nan


def as_size_hw(height: object, width: object) -> tuple[int, int] | None:
    """Return the size of a picture; None for what is no size, as tools write 0 and null."""
    sides = as_number(height), as_number(width)
    if not all(side >= 1 and side.is_integer() for side in sides):
        return None
    return int(sides[0]), int(sides[1])


def as_score(value: object) -> float:
    """Return a score, cut to [0, 1]; 1 for what is no number: a person gave the box."""
    score = as_number(value)
    return 1.0 if math.isnan(score) else min(max(score, 0.0), 1.0)


def bounds_of(x: Sequence[float], y: Sequence[float]) -> Box | None:
    """Return the box around points; None for fewer than two, NaN where one is no number."""
    if len(x) < 2 or len(x) != len(y):
        return None
    if not all(map(math.isfinite, (*x, *y))):
        return (math.nan, math.nan, math.nan, math.nan)
    return (min(x), min(y), max(x), max(y))
