"""Rows of YOLO label files as people have them: what the numbers after the class mean.

| numbers after the class | meaning | written by |
|---|---|---|
| 4: xc yc w h | box | all |
| 4 + K * D | box and K key points of D numbers (`kpt_shape: [K, D]` in the YAML) | pose data sets |
| 6, 8, 10, ...: x y x y ... | polygon; 8 are the corners of a rotated box, too | -seg and -obb |
| one more | a score, or a track id | ultralytics' save_conf, or track |
| two more | a score and a track id | ultralytics' track with save_conf |

Source: https://docs.ultralytics.com/datasets/{detect,segment,pose,obb}; Results.save_txt in
ultralytics/engine/results.py; verify_image_label in ultralytics/data/utils.py (8.4).

One row alone cannot say whether 6 numbers are a triangle, a box with score and track id, or a box
with a key point. So the meaning is told once, from many rows, and holds for all of a folder: see
`prompts.yolo_meaning`.
Coordinates are shares of the image's width and height. Ultralytics takes them up to 0.01 outside of
[0, 1]; so do we, and boxes end at the border. Of a polygon we take the bounds.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from perception.core.errors import SampleError
from perception.core.types import Detections
from perception.formats import parse_number, read_lines

TOLERANCE = 0.01
ROUNDING = 1e-5  # six decimals: no coordinate was meant to be outside
Lines = list[tuple[int, list[str]]]  # number from 1, and words


class Fault(NamedTuple):
    """Why a row gives no box: a code to count it by, and words."""

    code: str
    text: str


class Row(NamedTuple):
    """One row of numbers: where it stands, its class, the others, and the last as it is written."""

    where: str
    class_id: int
    values: list[float]
    last_word: str


class Shape(NamedTuple):
    """What a row says: corners and score, all as shares; `mended` if it reached outside."""

    box_xyxy: tuple[float, float, float, float]
    score: float
    kind: str
    mended: bool


@dataclass(frozen=True)
class Meaning:
    """What numbers mean in all files of a folder.

    Attributes:
        keypoints: (K, D): K key points of D numbers may follow a box; K is 0 where there are none.
        last_is_id: One number more is a track id, not a score.
        box_pairs: Six numbers are a box, a score and a track id, not a triangle.
        polygon_rest: Numbers after a polygon: 0; 1, a score or a track id; 2, both, or the first.
    """

    keypoints: tuple[int, int] = (0, 2)
    last_is_id: bool = False
    box_pairs: bool = False
    polygon_rest: int = 0


def rows_of(path: Path, lines: Lines) -> Iterator[Row | Fault]:
    """Yield the rows of numbers, and what is none."""
    for number, words in lines:
        where = f"{path}:{number}"
        values = [parse_number(word) for word in words]
        bad = [word for word, v in zip(words, values, strict=True) if not np.isfinite(v)]
        if any("," in word for word in bad):
            text = f"{bad[0]!r}, expected numbers with a point, separated by spaces"
            yield Fault("row.number", f"{where}: {text}")
        elif bad and bad[0] == words[0]:
            yield Fault("row.class", f"{where}: class {words[0]!r}, expected a whole number from 0")
        elif bad:
            yield Fault("row.number", f"{where}: {bad[0]!r}, expected a finite number")
        elif not values[0].is_integer() or values[0] < 0:
            yield Fault("row.class", f"{where}: class {words[0]!r}, expected a whole number from 0")
        else:
            yield Row(where, int(values[0]), values[1:], words[-1])


def shape_of(row: Row, meaning: Meaning) -> Shape | Fault:
    """Return what a row says under a meaning."""
    body, rest = split(len(row.values), meaning)
    if not body:
        return Fault("row.words", f"{row.where}: {len(row.values) + 1} words, {_expected(meaning)}")
    is_box = body == 4 or meaning.keypoints[0] > 0
    coordinates = row.values[:4] if is_box else row.values[:body]
    for value in coordinates:
        if not -TOLERANCE <= value <= 1 + TOLERANCE:
            text = f"{value:g}, expected 0 to 1: a share of the image's width or height"
            return Fault("row.range", f"{row.where}: {text}")
    tail = row.values[body:]
    scored = rest == 2 or not meaning.last_is_id
    scores, ids = (tail[:1], tail[1:]) if scored else ([], tail)
    if scores and not 0 <= scores[0] <= 1:
        return Fault("row.score", f"{row.where}: {scores[0]:g}, expected a score of 0 to 1")
    if ids and not ids[0].is_integer():
        return Fault("row.track", f"{row.where}: {ids[0]:g}, expected a whole number: a track id")
    if is_box:
        x, y, width, height = coordinates
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    else:
        xs, ys = coordinates[::2], coordinates[1::2]
        box = (min(xs), min(ys), max(xs), max(ys))
    mended = not all(-ROUNDING <= value <= 1 + ROUNDING for value in coordinates)
    kind = "boxes" if body == 4 else "boxes with key points" if is_box else "polygons"
    extra = ["score"] * len(scores) + ["track id"] * len(ids)
    if extra:
        kind += f"{', ' if kind.endswith('points') else ' with '}{' and '.join(extra)}"
    return Shape(box, scores[0] if scores else 1.0, kind, mended)


def split(count: int, meaning: Meaning) -> tuple[int, int]:
    """Return how many numbers are the object and how many follow it; (0, 0) if nothing fits."""
    points, size = meaning.keypoints
    if points:
        for body in (4 + points * size, 4):
            if 0 <= count - body <= 2:
                return body, count - body
        return 0, 0
    if count in (4, 5):
        return 4, count - 4
    if count == 6 and meaning.box_pairs:
        return 4, 2
    rest = 1 if count % 2 and meaning.polygon_rest == 2 else meaning.polygon_rest
    body = count - rest
    return (body, rest) if body >= 6 and body % 2 == 0 else (0, 0)


def _expected(meaning: Meaning) -> str:
    points, size = meaning.keypoints
    if points:
        return f"expected class, box and {points} key points of {size} numbers"
    most = ("", " and a last number", " and two last numbers")[meaning.polygon_rest]
    return (
        f"expected 5 (class and box), 6 (and a score), or class and x y of 3 points or more{most}"
    )


def read_boxes(
    path: Path,
    size_hw: tuple[int, int],
    class_names: tuple[str, ...],
    meaning: Meaning | None = None,
) -> Detections:
    """Read one label file as boxes; no file, or an empty one: no boxes.

    Args:
        path: The file.
        size_hw: Height and width of the picture.
        class_names: Names of the classes, in the order of their numbers.
        meaning: Of the numbers, the same for all files of a folder; None: boxes and polygons.

    Returns:
        The boxes. Rows that give none are counted in `dropped`, those that reached outside of the
        picture by up to `TOLERANCE` in `mended`.

    Raises:
        SampleError: `label.invalid` for a file that is no text, or without one good row;
            `class.unknown` for a number that has no name.
    """
    shapes, class_ids, faults = list[Shape](), list[int](), list[Fault]()
    for row in rows_of(path, read_lines(path) if path.exists() else []):
        shape = row if isinstance(row, Fault) else shape_of(row, meaning or Meaning())
        if isinstance(row, Row) and row.class_id >= len(class_names):
            raise SampleError("class.unknown", f"{row.where}: {nameless(row, class_names)}")
        if isinstance(shape, Fault):
            faults.append(shape)
        elif isinstance(row, Row):
            shapes.append(shape)
            class_ids.append(row.class_id)
    if faults and not shapes:
        raise SampleError("label.invalid", f"{faults[0].text}; the file has no good row")
    corners = np.array([shape.box_xyxy for shape in shapes], np.float64).reshape(-1, 4)
    clipped = sum(shape.mended for shape in shapes)
    return Detections(
        boxes_xyxy=(corners * np.tile(size_hw[::-1], 2)).astype(np.float32),
        scores=np.array([shape.score for shape in shapes], np.float32),
        class_ids=np.array(class_ids, np.int32),
        class_names=class_names,
        dropped=tuple(sorted(Counter(fault.code for fault in faults).items())),
        mended=(("row.clipped", clipped),) if clipped else (),
    )


def nameless(row: Row, class_names: tuple[str, ...]) -> str:
    """Say that a class number has no name."""
    return (
        f"class {row.class_id}, expected 0 to {len(class_names) - 1}: there are "
        f"{len(class_names)} names"
    )
