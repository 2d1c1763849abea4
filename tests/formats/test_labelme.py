"""LabelMe and X-AnyLabeling, written by hand."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from perception.formats import labelme


def read(tmp_path: Path, *shapes: Any, **values: Any) -> labelme.PictureBoxes:
    (tmp_path / "a.json").write_text(json.dumps({"shapes": list(shapes), **values}))
    return labelme.read(tmp_path / "a.json", "a")


def shape(kind: str | None, points: Any, **values: Any) -> dict[str, Any]:
    return {"label": "car", "shape_type": kind, "points": points, **values}


def test_a_circle_is_a_centre_and_a_point_on_it(tmp_path: Path) -> None:
    (row,) = read(tmp_path, shape("circle", [[50, 20], [53, 24]])).rows
    assert row.box_xyxy == (45, 15, 55, 25)


def test_a_mask_includes_its_last_pixel(tmp_path: Path) -> None:
    (row,) = read(tmp_path, shape("mask", [[5, 6], [9, 7]])).rows
    assert row.box_xyxy == (5, 6, 10, 8)


def test_parts_are_joined_by_label_and_group_and_not_otherwise(tmp_path: Path) -> None:
    one, two = [[1, 1], [5, 5]], [[7, 2], [9, 9]]
    found = read(
        tmp_path,
        shape("rectangle", one, group_id=1, score=0.9),
        shape("rectangle", two, group_id=1, score=0.5),
        shape("rectangle", one, group_id=2),
        shape("rectangle", two, group_id=None),
        shape("rectangle", two, group_id=None),
        {**shape("rectangle", one, group_id=1), "label": "bus"},
    )
    boxes = [(row.class_name, row.box_xyxy, row.score) for row in found.rows]
    assert boxes == [
        ("car", (1, 1, 9, 9), 0.5),
        ("car", (1, 1, 5, 5), 1.0),
        ("car", (7, 2, 9, 9), 1.0),
        ("car", (7, 2, 9, 9), 1.0),
        ("bus", (1, 1, 5, 5), 1.0),
    ]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (shape("rectangle", [[1, 1]]), "row.bbox"),
        (shape("polygon", [[1, 1], [2, 2]]), "row.bbox"),
        (shape("polygon", [[1, 1], [2, 2], [3]]), "row.bbox"),
        (shape("polygon", None), "row.bbox"),
        (shape("linestrip", [[1, 1], [2, 2], [3, 3]]), "shape.linestrip"),
        (shape("rectangle", [[1, 1], [2, 2]], label=None), "row.category"),
        ("car", "row.category"),
    ],
)
def test_what_gives_no_box_is_counted(tmp_path: Path, entry: Any, reason: str) -> None:
    found = read(tmp_path, entry)
    assert (found.rows, found.dropped) == ((), ((reason, 1),))


def test_a_number_that_is_none_leaves_a_box_that_is_dropped_later(tmp_path: Path) -> None:
    (row,) = read(tmp_path, shape("rectangle", [[1, "x"], [2, 2]])).rows
    assert all(map(math.isnan, row.box_xyxy))


def test_a_file_says_its_size_and_its_picture(tmp_path: Path) -> None:
    found = read(tmp_path, imagePath="b.jpg", imageHeight=40, imageWidth="100")
    assert (found.size_hw, found.other_name, found.rows) == ((40, 100), "b.jpg", ())


@pytest.mark.parametrize("text", ["[]", "{}", '{"shapes": 1}', "{", "[" * 100_000])
def test_what_is_no_labelme_file_is_a_fault_of_its_picture(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    assert "a.json" in labelme.read(tmp_path / "a.json", "a").fault
