"""What the numbers of YOLO rows mean, told from the rows of many files.

Six numbers are a triangle, a box with score and track id, or a box with a key point: one row cannot
say which, many can. Where they cannot, the folder is refused, with what settles it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from perception.core.errors import RequestError
from perception.core.types import Float64
from perception.formats.yolo_rows import TOLERANCE, Meaning, Row, split

MOST_KEYPOINTS = 200  # a body with face and hands has 133


def understand(rows: Sequence[Row], keypoints: tuple[int, int] | None = None) -> Meaning:
    """Tell from many rows what their numbers mean.

    Args:
        rows: Of many files; the more, the surer.
        keypoints: `kpt_shape` of the YAML file; None where it has none.

    Raises:
        RequestError: `boxes.invalid` where that stays unclear.
    """
    known = keypoints if keypoints is not None else _keypoints_with_visibility(rows)
    if known is not None and known[0]:
        meaning = Meaning(keypoints=known)
    else:
        meaning = _boxes_and_polygons(rows)
        if keypoints is None:
            _refuse_keypoints(rows, meaning)
    singles = [row for row in rows if split(len(row.values), meaning)[1] == 1]
    return replace(meaning, last_is_id=_are_track_ids(singles))


def _boxes_and_polygons(rows: Sequence[Row]) -> Meaning:
    """Tell what follows boxes and polygons. One polygon of another length is a row gone wrong."""
    six = [row for row in rows if len(row.values) == 6]
    even = [row for row in rows if len(row.values) > 6 and len(row.values) % 2 == 0]
    odd = [row for row in rows if len(row.values) > 6 and len(row.values) % 2]
    box_pairs = _decide(six, [_ends_box(row) for row in six], "a box, a score and a track id")
    ends = [_ends_polygon(row) for row in even]
    if _decide(even, ends, "a polygon, a score and a track id"):
        return Meaning(box_pairs=box_pairs, polygon_rest=2)
    whole = len(even) + (0 if box_pairs else len(six))
    return Meaning(box_pairs=box_pairs, polygon_rest=int(len(odd) > whole))


def _decide(rows: list[Row], votes: list[bool | None], what: str) -> bool:
    """Return what most rows say, those who know; refuse where one in ten says otherwise."""
    yes, no = votes.count(True), votes.count(False)
    if min(yes, no) * 10 > yes + no:
        first = [rows[votes.index(vote)].where for vote in (True, False)]
        raise RequestError(
            "boxes.invalid",
            f"{first[0]} looks like {what}, {first[1]} like a polygon; expected the same in all "
            "files: put them into folders of their own",
        )
    if rows and not yes and not no:
        raise RequestError(
            "boxes.invalid",
            f"{rows[0].where}: {len(rows[0].values) + 1} words are {what}, or a polygon; write "
            "coordinates with a point, as 1.0, and track ids without, as 1",
        )
    return yes > no


def _ends_box(row: Row) -> bool | None:
    """Say if 6 numbers are box, score, track id; None if unsure: 1.0 is an id, or a border."""
    *_, score, last = row.values
    if not _is_box(row.values) or not 0 <= score <= 1 or not last.is_integer() or last < 0:
        return False
    return True if last > 1 or row.last_word.isdigit() else None


def _ends_polygon(row: Row) -> bool | None:
    """Say if 8, 10, ... numbers end with a score and a track id; None if unsure.

    A last point at the border is a whole number too, but lies beside its neighbours.
    """
    *_, score, last = row.values
    if not 0 <= score <= 1 or not last.is_integer() or last < 0:
        return False
    if last > 1 or _is_far(np.reshape(row.values, (-1, 2)), -1):
        return True
    return None if row.last_word.isdigit() else False


def _are_track_ids(rows: list[Row]) -> bool:
    """Tell track ids, whole numbers, from scores, 0 to 1; 1 alone may be either, and means 1."""
    lasts = [row.values[-1] for row in rows]
    ids = [row for row, last in zip(rows, lasts, strict=True) if last.is_integer() and last > 1]
    scores = [row for row, last in zip(rows, lasts, strict=True) if 0 < last < 1]
    others = [
        row
        for row, last in zip(rows, lasts, strict=True)
        if not 0 <= last <= 1 and not last.is_integer()
    ]
    if not ids and not scores:  # only 0 and 1: a flag, for all one knows
        others += [row for row, last in zip(rows, lasts, strict=True) if last == 0]
    if len(ids) > len(scores):  # a percentage, for all one knows
        others += _twice(ids)
    if len(others) * 10 > len(rows):
        raise RequestError(
            "boxes.invalid",
            f"{others[0].where}: the last number is {others[0].values[-1]:g}, neither a score of 0 "
            "to 1 nor the id of a track, a whole number that no other object of the picture has; "
            "leave it out (a rotated box is given by its four corners)",
        )
    if min(len(ids), len(scores)) * 10 > len(ids) + len(scores):
        raise RequestError(
            "boxes.invalid",
            f"the last number looks like a track id in {ids[0].where}, and like a score in "
            f"{scores[0].where}; expected the same in all files",
        )
    return len(ids) > len(scores)


def _twice(rows: list[Row]) -> list[Row]:
    """Return the rows whose last number another row of that class and file has, too."""
    keys = [(row.where.rpartition(":")[0], row.class_id, row.values[-1]) for row in rows]
    counts = Counter(keys)
    return [row for row, key in zip(rows, keys, strict=True) if counts[key] > 1]


def _is_box(values: Sequence[float]) -> bool:
    """Tell whether four numbers can be a box inside the picture."""
    x, y, width, height = values[:4]
    sides = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    inside = all(-TOLERANCE <= side <= 1 + TOLERANCE for side in sides)
    return width > 0 and height > 0 and inside


def _is_far(points: Float64, index: int) -> bool:
    """Tell whether a point lies further from the others than these reach; points are (N, 2)."""
    others = np.delete(points, index, axis=0)
    low, high = others.min(axis=0), others.max(axis=0)
    reach = high - low
    return bool(((points[index] < low - reach) | (points[index] > high + reach)).any())


def _keypoints_with_visibility(rows: Sequence[Row]) -> tuple[int, int] | None:
    """Return (K, 3) if every third number after the boxes is 0, 1 or 2, a visibility."""
    long = [row.values for row in rows if len(row.values) >= 7]
    if not long:
        return None
    usual = Counter(map(len, long)).most_common(1)[0][0]
    count = (usual - 4) // 3
    ends = 4 + 3 * count
    fitting = [
        values[6:ends:3]
        for values in long
        if ends <= len(values) <= ends + 2 and _is_box(values) and {*values[6:ends:3]} <= {0, 1, 2}
    ]
    sure = count >= 3 or any(2 in thirds for thirds in fitting)  # 0 and 1 are borders, too
    return (count, 3) if sure and len(fitting) * 10 >= len(long) * 9 else None


def _refuse_keypoints(rows: Sequence[Row], meaning: Meaning) -> None:
    """Refuse rows that may be boxes with key points, whose number no file says.

    Of 363 polygons of COCO 3 looked like a box with key points, of the same objects' boxes with 1
    to 17 points in them at least 95 in 100.
    """
    bodies = [(row, split(len(row.values), meaning)[0]) for row in rows]
    polygons = [(row, row.values[:body]) for row, body in bodies if body >= 6]
    alike = [row for row, values in polygons if _like_keypoints(values)]
    if len(alike) * 2 > len(polygons):
        raise RequestError(
            "boxes.invalid",
            f"{alike[0].where}: {len(alike[0].values)} numbers after the class look like a box and "
            "key points, and could be a polygon; say which in a data.yaml, beside `names`: "
            "`kpt_shape: [K, 2]` or `[K, 3]` for K key points, `kpt_shape: [0, 2]` for polygons",
        )


def _like_keypoints(values: Sequence[float]) -> bool:
    """Tell whether numbers are a box with points in it, and no polygon.

    Points that a box has spread about its centre, over much of its size. Read as a polygon, centre
    and size are vertices: the size may lie anywhere, and lines to and from a centre cross others,
    where a vertex lies near its neighbours and no line crosses another.
    """
    if not _is_box(values):
        return False
    centre, size = np.array(values[:2]), np.array(values[2:4])
    for step in (2, 3):
        count = (len(values) - 4) // step  # what is left over are a score and a track id
        if not 0 < count <= MOST_KEYPOINTS:
            continue
        points = np.reshape(values[4 : 4 + count * step], (count, step))[:, :2]
        points = points[(points != 0).any(axis=1)]  # 0 0 is a point that was not marked
        ring = np.vstack([centre, size, points])
        inside = (np.abs(points - centre) <= 0.55 * size + TOLERANCE).all()
        if len(points) and inside:
            spread = np.ptp(points, axis=0)
            off = np.abs(points.min(axis=0) + spread / 2 - centre)
            fills = bool(((spread >= 0.4 * size) & (off <= 0.25 * spread)).all())
            return fills or _is_far(ring, 1) or _crosses_itself(ring)
    return False


def _crosses_itself(ring: Float64) -> bool:
    """Tell whether two sides of a polygon cross; points are (N, 2). Sides that touch do not."""
    starts, ends = ring, np.roll(ring, -1, axis=0)

    def turns(points: Float64) -> Float64:
        """Return (N, N): on which side of each line each point lies, as -1, 0 or 1."""
        along, to = (ends - starts)[:, None], points[None] - starts[:, None]
        side: Float64 = np.sign(along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0])
        return side

    apart = turns(starts) * turns(ends) < 0
    return bool((apart & apart.T).any())
