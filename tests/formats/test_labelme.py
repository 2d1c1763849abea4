"""LabelMe and X-AnyLabeling, written by hand."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from perception.core.errors import RequestError
from perception.core.ontology import Target
from perception.core.types import PictureLabels, SampleLabels, Status
from perception.formats import labelme
from perception.io.pictures import Pictures

ACCEPTED = frozenset({Status.ACCEPTED})


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


def drawn(root: Path, *pictures: PictureLabels) -> Pictures:
    for one in pictures:
        path = root / one.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.zeros((*one.size_hw, 3), np.uint8))
    return Pictures(root)


def test_labels_are_polygons_beside_their_picture_and_come_back(
    tmp_path: Path,
    picture: Callable[..., PictureLabels],
    sample: Callable[..., SampleLabels],
    block: Callable[..., np.ndarray],
    target: Target,
) -> None:
    step = block(2, 3, 12, 8) | block(2, 8, 6, 13)
    bitmaps = [block(29, 19, 30, 20), step, block(0, 0, 0, 0), step]
    statuses = [Status.ACCEPTED] * 3 + [Status.REVIEW]
    street = picture(bitmaps, [1, 6, 6, 6], statuses, file_name="cam/a.png", first_id=7)
    empty = picture(file_name="cam/b.jpg")
    images = drawn(tmp_path / "data", street, empty)
    out = tmp_path / "out"
    written = labelme.write(
        [sample(street, empty)], out, target, statuses=ACCEPTED, pictures=images
    )
    assert (written.labels, written.left_out) == (2, (("mask.empty", 1), ("review", 1)))
    document = json.loads((out / "images" / "cam" / "a.json").read_text())
    assert (document["imageHeight"], document["imageWidth"]) == (20, 30)
    assert (
        out / "images" / "cam" / document["imagePath"]
    ).resolve() == tmp_path / "data" / "cam" / "a.png"
    person, _ = document["shapes"]
    assert (person["label"], person["group_id"], person["shape_type"]) == ("person", 7, "polygon")
    # A tenth of a pixel inside the edges of pixel (29, 19).
    assert sorted(map(tuple, person["points"])) == [
        (29.1, 19.1),
        (29.1, 19.9),
        (29.9, 19.1),
        (29.9, 19.9),
    ]
    found = labelme.read_written(out, "cam/a.png")
    assert found.instance_ids.tolist() == [7, 8] and found.class_names == ("person", "car")
    np.testing.assert_array_equal(found.scores, street.instances.scores[:2])
    assert found.masks.counts == street.instances.masks.counts[:2]
    assert len(labelme.read_written(out, "cam/b.jpg")) == 0
    # And as boxes of one's own, which count from the corner of the picture.
    boxes = labelme.read(out / "images" / "cam" / "a.json", "cam/a.png")
    assert boxes.size_hw == (20, 30) and boxes.other_name == "a.png"
    np.testing.assert_allclose(boxes.rows[1].box_xyxy, [2.1, 3.1, 11.9, 12.9])


def test_a_picture_that_tools_would_see_otherwise_is_a_png(
    tmp_path: Path,
    picture: Callable[..., PictureLabels],
    sample: Callable[..., SampleLabels],
    target: Target,
) -> None:
    rare = picture(file_name="a.tiff")
    images = drawn(tmp_path / "data", rare)
    labelme.write([sample(rare)], tmp_path / "out", target, statuses=ACCEPTED, pictures=images)
    assert json.loads((tmp_path / "out" / "images" / "a.json").read_text())["imagePath"] == "a.png"
    assert (tmp_path / "out" / "images" / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "shape",
    [
        {},
        [],
        {"points": [[0, 0], [1, 1]], "score": 1, "group_id": 1, "label": "car"},
        {"points": [[0, 0], [1, 1], [1e12, 0]], "score": 1, "group_id": 1, "label": "car"},
        {"points": [[0, 0], [1, 1], [2, 0]], "score": 1, "group_id": None, "label": "car"},
    ],
)
def test_shapes_that_were_not_written_so_are_refused(tmp_path: Path, shape: object) -> None:
    document = {"imageHeight": 9, "imageWidth": 9, "shapes": [shape]}
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.json").write_text(json.dumps(document))
    with pytest.raises(RequestError, match=r"a\.json: ") as caught:
        labelme.read_written(tmp_path, "a.png")
    assert caught.value.code == "labelme.invalid"
