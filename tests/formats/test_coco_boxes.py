"""COCO for boxes: ids and bounds. What files people have is in files_people_have/test_boxes.py."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from perception.core.errors import RequestError
from perception.formats import coco_boxes

PATH = Path("boxes.json")


def document(**row: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"image_id": 1, "category_id": 3, "bbox": [5, 6, 7, 8], **row}],
        "categories": [{"id": 3, "name": "car"}],
    }


@pytest.mark.parametrize("written", [1, 1.0, "1", " 1 ", "01"])
@pytest.mark.parametrize("meant", [1, "1"])
def test_ids_are_compared_by_what_they_say(written: object, meant: object) -> None:
    given_ = document(image_id=written)
    given_["images"][0]["id"] = meant
    (picture,) = coco_boxes.read(given_, PATH).pictures
    assert [row.box_xyxy for row in picture.rows] == [(5, 6, 12, 14)]


@pytest.mark.parametrize("image_id", [True, None, [1], {}, 1.5, float("nan"), "", "1_0", "\u0661"])
def test_what_is_no_id_leads_nowhere(image_id: object) -> None:
    given_ = document(image_id=image_id)
    given_["annotations"].append(document()["annotations"][0])
    found = coco_boxes.read(given_, PATH)
    assert (len(found.pictures[0].rows), found.lost) == (1, (("row.image", 1),))


@pytest.mark.parametrize(
    "image_id",
    [1 << 63, 10**400, -(10**400), "9" * 5000],
    ids=["64-bits", "400-digits", "negative", "too-many-for-python"],
)
def test_ids_of_any_length_are_ids(image_id: int | str) -> None:
    given_ = document(image_id=str(image_id))
    given_["images"][0]["id"] = image_id
    assert len(coco_boxes.read(given_, PATH).pictures[0].rows) == 1


def test_rows_of_an_image_without_a_name_are_counted() -> None:
    given_ = document()
    given_["images"].append({"id": 2, "file_name": None})
    given_["annotations"].append(document(image_id=2)["annotations"][0])
    assert coco_boxes.read(given_, PATH).lost == (("row.image", 1),)
    given_["images"] = [{"id": 1}]
    with pytest.raises(RequestError, match=r"coco\.invalid.*file_name"):
        coco_boxes.read(given_, PATH)


def test_a_file_whose_pictures_all_share_an_id_blames_the_pictures_not_the_rows() -> None:
    given_ = document()
    given_["images"].append({"id": 1, "file_name": "b.jpg"})
    found = coco_boxes.read(given_, PATH)
    assert [len(picture.rows) for picture in found.pictures] == [0, 0]
    for picture in found.pictures:
        assert "image id 1 stands for 'a.jpg', 'b.jpg'" in picture.fault


@given(st.one_of(st.integers(-(10**17), 10**17), st.text(min_size=1).filter(str.strip)))
def test_every_id_leads_to_its_own_image(image_id: int | str) -> None:
    given_ = document(image_id=image_id)
    given_["images"] = [{"id": image_id, "file_name": "b.jpg"}]
    (picture,) = coco_boxes.read(given_, PATH).pictures
    assert len(picture.rows) == 1


@pytest.mark.parametrize(
    ("shape", "bounds"),
    [
        ([[5, 6, 9, 6, 9, 8]], (5, 6, 9, 8)),
        ([[5, 6, 9, 6, 9, 8], [1, 7, 2, 7, 2, 9]], (1, 6, 9, 9)),
        ([5, 6, 9, 6, 9, 8], (5, 6, 9, 8)),  # one polygon without its list
        ([["5", "6", "9", "8"]], (5, 6, 9, 8)),
        ([], None),
        ([[]], None),
        ([[5, 6]], None),
        ({"size": [40, 100], "counts": [81, 3, 3916]}, (2, 1, 3, 4)),
        ({"size": [40, 100], "counts": [4000]}, None),
        ({"size": [40, 100], "counts": "hello"}, None),
        (None, None),
        ("x", None),
    ],
)
def test_without_a_bbox_the_bounds_of_the_shape_are_taken(
    shape: Any, bounds: tuple[int, ...] | None
) -> None:
    given_ = document()
    given_["annotations"].append({"image_id": 1, "category_id": 3, "segmentation": shape})
    (picture,) = coco_boxes.read(given_, PATH).pictures
    assert [row.box_xyxy for row in picture.rows[1:]] == ([] if bounds is None else [bounds])
    assert picture.dropped == (() if bounds else (("row.bbox", 1),))


def test_compressed_run_lengths_have_the_bounds_of_their_mask() -> None:
    bitmap = np.zeros((40, 100), np.uint8, order="F")
    bitmap[6:14, 5:12] = 1
    counts = coco_mask.encode(bitmap)["counts"].decode()
    given_ = document(bbox=None, segmentation={"size": [40, 100], "counts": counts})
    (picture,) = coco_boxes.read(given_, PATH).pictures
    assert picture.rows[0].box_xyxy == (5, 6, 12, 14)


@pytest.mark.parametrize(
    ("score", "read"),
    [(0.5, 0.5), ("0.5", 0.5), (None, 1), ("x", 1), (7, 1), (-1, 0), (math.nan, 1), (10**400, 1)],
)
def test_scores_lie_between_0_and_1(score: object, read: float) -> None:
    (picture,) = coco_boxes.read(document(score=score), PATH).pictures
    assert picture.rows[0].score == read


@pytest.mark.parametrize("iscrowd", [1, 1.0, "1", True])
def test_crowds_are_counted_and_are_no_fault(iscrowd: object) -> None:
    found = coco_boxes.read(document(iscrowd=iscrowd), PATH)
    assert found.pictures[0].dropped == (("row.crowd", 1),)


@pytest.mark.parametrize("iscrowd", [0, 0.0, "0", False, None, "", "x"])
def test_what_is_not_said_to_be_a_crowd_is_an_object(iscrowd: object) -> None:
    assert coco_boxes.read(document(iscrowd=iscrowd), PATH).pictures[0].dropped == ()


def test_boxes_past_the_edge_are_not_taken_for_corners() -> None:
    given_ = document(bbox=[90, 20, 30, 15])  # 20 px past the right edge; as corners, inverted
    given_["images"][0] |= {"width": 100, "height": 40}
    assert coco_boxes.read(given_, PATH).pictures[0].rows[0].box_xyxy == (90, 20, 120, 35)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["id", "image_id", "category_id", "bbox", "score", "iscrowd"]), _values)
def test_a_row_with_anything_in_it_costs_no_other_row(key: str, value: Any) -> None:
    given_ = document()
    given_["annotations"].append({**document()["annotations"][0], key: value})
    (picture,) = coco_boxes.read(given_, PATH).pictures
    assert picture.rows[0].box_xyxy == (5, 6, 12, 14)


def test_a_results_list_keeps_what_it_can() -> None:
    rows = [
        {"image_id": "a", "category_id": 3, "bbox": [5, 6, 7, 8], "score": 0.5},
        {"image_id": None, "category_id": 3, "bbox": [5, 6, 7, 8]},
        {"image_id": "a", "bbox": [5, 6, 7, 8]},
        {"image_id": 71, "category_id": "3", "segmentation": [[5, 6, 9, 6, 9, 8]]},
        None,
    ]
    found = coco_boxes.read_results(rows, PATH)
    assert [(one.file_name, one.rows) for one in found.pictures] == [
        ("a", (("3", (5, 6, 12, 14), 0.5),)),
        ("71", (("3", (5, 6, 9, 8), 1.0),)),
    ]
    assert found.lost == (("row.image", 2),)
    assert found.pictures[0].dropped == (("row.category", 1),)
