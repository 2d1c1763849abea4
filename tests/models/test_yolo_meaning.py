"""Rows as ultralytics writes them: of any number of them, the boxes are right or refused."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from perception.core.errors import RequestError
from perception.formats.yolo_rows import Fault, Meaning, Row, Shape, rows_of, shape_of
from perception.models.given_boxes.yolo_meaning import understand

Ends = Sequence[str]
TAILS: list[Ends] = [(), ("score",), ("id",), ("score", "id")]


def written(numbers: Sequence[float]) -> list[str]:
    return ["0", *(f"{value:g}" for value in numbers)]  # as save_txt does


def objects(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return (N, 4) boxes inside the picture, x0 y0 x1 y1, of all sizes."""
    size = 0.02 + 0.6 * rng.random((count, 2)) ** 2
    low = (1 - size) * rng.random((count, 2))
    return np.hstack([low, low + size])


def body(kind: str, box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    (x0, y0, x1, y1), centre, size = box, (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    if kind == "polygon":  # a convex outline that touches all four sides
        corners = int(rng.integers(4, 20))
        angles = np.sort(np.r_[[0, 0.25, 0.5, 0.75], rng.random(corners)]) * 2 * np.pi
        ring = centre + size / 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return np.roll(ring, int(rng.integers(len(ring))), axis=0).ravel()
    if kind == "corners":  # of a rotated box
        return np.array([x0, centre[1], centre[0], y0, x1, centre[1], centre[0], y1])
    xywh = np.concatenate([centre, size])
    if kind == "box":
        return xywh
    points, numbers = int(kind[4]), int(kind[5])
    inside = box[:2] + rng.random((points, 2)) * size
    visible = rng.integers(0, 3, (points, 1)) if kind.endswith("v") else rng.random((points, 1))
    return np.concatenate([xywh, np.hstack([inside, visible])[:, :numbers].ravel()])


def folder(kind: str, tail: Ends, seed: int) -> tuple[list[Row], np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, *map(ord, kind), len(tail)])
    boxes = objects(rng, int(rng.integers(1, 30)))
    scores = 0.25 + 0.7 * rng.random(len(boxes))
    lines = []
    for number, (box, score) in enumerate(zip(boxes, scores, strict=True), 1):
        ends = {"score": score, "id": float(number)}
        lines.append((number, written([*body(kind, box, rng), *(ends[name] for name in tail)])))
    rows = [row for row in rows_of(Path("a.txt"), lines) if isinstance(row, Row)]
    assert len(rows) == len(boxes)
    return rows, boxes, scores if "score" in tail else np.ones(len(boxes))


def check(rows: list[Row], boxes: np.ndarray, scores: np.ndarray, meaning: Meaning) -> None:
    shapes = [shape_of(row, meaning) for row in rows]
    good = [shape for shape in shapes if isinstance(shape, Shape)]
    assert not [shape for shape in shapes if isinstance(shape, Fault)]
    np.testing.assert_allclose([shape.box_xyxy for shape in good], boxes, atol=1e-5)
    np.testing.assert_allclose([shape.score for shape in good], scores, atol=1e-5)


@pytest.mark.parametrize("tail", TAILS, ids="+".join)
@pytest.mark.parametrize("kind", ["box", "polygon", "corners"])
def test_boxes_and_polygons_are_told_whatever_follows_them(kind: str, tail: Ends) -> None:
    refused = 0
    for seed in range(60):
        rows, boxes, scores = folder(kind, tail, seed)
        try:
            meaning = understand(rows)
        except RequestError:
            refused += 1
            continue
        check(rows, boxes, scores, meaning)
    assert refused <= 3  # of single objects a few look like others


@pytest.mark.parametrize("tail", TAILS, ids="+".join)
@pytest.mark.parametrize("kind", ["pose42", "pose43v", "pose43", "pose12", "pose13v"])
def test_key_points_are_told_by_kpt_shape(kind: str, tail: Ends) -> None:
    for seed in range(20):
        rows, boxes, scores = folder(kind, tail, seed)
        check(rows, boxes, scores, understand(rows, (int(kind[4]), int(kind[5]))))


@pytest.mark.parametrize("tail", TAILS, ids="+".join)
@pytest.mark.parametrize("kind", ["pose42", "pose43v", "pose43", "pose82"])
def test_key_points_without_kpt_shape_are_never_read_as_polygons(kind: str, tail: Ends) -> None:
    wrong = 0
    for seed in range(60):
        rows, boxes, scores = folder(kind, tail, seed)
        try:
            meaning = understand(rows)
        except RequestError as error:
            assert "kpt_shape" in error.message or "polygon" in error.message
            continue
        if not meaning.keypoints[0]:
            wrong += 1
            continue
        check(rows, boxes, scores, meaning)
    assert wrong <= 1  # a single box at its own size


def test_one_polygon_of_another_length_is_a_row_gone_wrong() -> None:
    rows, _, _ = folder("polygon", (), 3)
    broken = rows[0]._replace(values=rows[0].values[:-1])
    shapes = [shape_of(row, understand([*rows, broken])) for row in [*rows, broken]]
    faults = [shape for shape in shapes if isinstance(shape, Fault)]
    assert [fault.code for fault in faults] == ["row.words"]


def test_one_score_too_high_is_dropped_and_does_not_make_track_ids() -> None:
    rows, _, _ = folder("box", ("score",), 1)
    assert len(rows) >= 9
    odd = rows[0]._replace(values=[*rows[0].values[:-1], 2.0], last_word="2")
    meaning = understand([*rows, odd])
    fault = shape_of(odd, meaning)
    assert isinstance(fault, Fault) and fault.code == "row.score"


def test_scores_here_and_track_ids_there_are_refused() -> None:
    scored, tracked = folder("box", ("score",), 1)[0], folder("box", ("id",), 1)[0]
    with pytest.raises(RequestError, match=r"a track id in .*like a score in"):
        understand([*scored, *tracked])


def test_triangles_among_other_polygons_stay_triangles() -> None:
    rows, _, _ = folder("polygon", (), 3)
    triangle = rows[0]._replace(values=[0.1, 0.1, 0.3, 0.1, 0.2, 0.4], last_word="0.4")
    meaning = understand([*rows, triangle])
    found = shape_of(triangle, meaning)
    assert isinstance(found, Shape) and found.box_xyxy == (0.1, 0.1, 0.3, 0.4)


def test_no_row_has_the_plain_meaning() -> None:
    assert understand([]) == Meaning()
