"""Boxes from files, on a layout drawn in a temporary folder."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.core.errors import RequestError, SampleError
from perception.core.ontology import load_ontology
from perception.core.types import Detections, Picture, PictureRef, SampleRef
from perception.models.given_boxes import (
    KittiBoxes,
    MatchedBoxes,
    YoloBoxes,
    check_boxes,
    class_map_for,
    digest,
    open_boxes,
)
from perception.readers.sources import traits

SIZE_HW = (40, 100)
ROAD = load_ontology()
KITTI_ROW = "{} 0 0 0 {} 10 30 30 1.5 1.6 4 0 1.5 20 0\n"  # the left side varies
KITTI, IMAGES = traits("kitti"), traits("images")


def picture(file_name: str, size_hw: tuple[int, int] = SIZE_HW) -> Picture:
    return Picture("camera", file_name, np.zeros((*size_hw, 3), np.uint8))


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refs_of(*names: str) -> tuple[SampleRef, ...]:
    return tuple(SampleRef(name, "images", "", (PictureRef("camera", name),)) for name in names)


def named(found: Detections) -> list[str]:
    return [found.class_names[i] for i in found.class_ids]


def kitti_rows(left: float, *types: str) -> str:
    return "".join(KITTI_ROW.format(kind, left) for kind in types or ("Car",))


# --- KITTI


@pytest.mark.parametrize("prefix", ["", "training/"])
def test_label_2_lies_beside_the_folder_of_the_images(tmp_path: Path, prefix: str) -> None:
    put(tmp_path / f"{prefix}label_2" / "000007.txt", kitti_rows(10, "Car", "Pedestrian"))
    boxes = open_boxes("label_2", KITTI, tmp_path)
    found = boxes(picture(f"{prefix}image_2/000007.png"))
    assert named(found) == ["Car", "Pedestrian"]
    np.testing.assert_array_equal(found.boxes_xyxy, [[10, 10, 30, 30]] * 2)
    np.testing.assert_array_equal(found.scores, [1, 1])


@pytest.mark.parametrize("layout", ["images", "kitti-raw"])
def test_label_2_goes_with_the_kitti_layout_only(tmp_path: Path, layout: str) -> None:
    with pytest.raises(RequestError) as caught:
        open_boxes("label_2", traits(layout), tmp_path)
    assert caught.value.code == "boxes.invalid"
    assert layout in caught.value.message


def test_regions_that_kitti_did_not_label_are_no_prompts(tmp_path: Path) -> None:
    put(tmp_path / "label_2" / "1.txt", kitti_rows(10, "DontCare", "Van", "DontCare"))
    assert named(open_boxes("label_2", KITTI, tmp_path)(picture("image_2/1.png"))) == ["Van"]


@pytest.mark.parametrize("text", ["", kitti_rows(10, "DontCare")])
def test_a_kitti_file_without_objects_means_that_there_are_none(tmp_path: Path, text: str) -> None:
    put(tmp_path / "label_2" / "1.txt", text)
    found = open_boxes("label_2", KITTI, tmp_path)(picture("image_2/1.png"))
    assert found.boxes_xyxy.shape == (0, 4)


def test_a_missing_kitti_file_means_unlabelled_not_empty(tmp_path: Path) -> None:
    put(tmp_path / "label_2" / "1.txt", kitti_rows(10))
    with pytest.raises(SampleError, match=r"2\.txt") as caught:
        open_boxes("label_2", KITTI, tmp_path)(picture("image_2/2.png"))
    assert caught.value.code == "io.not_found"


def test_a_folder_of_kitti_files_goes_with_the_frames_by_number(tmp_path: Path) -> None:
    folder = put(tmp_path / "own" / "000007.txt", kitti_rows(11)).parent
    boxes = open_boxes(str(folder), KITTI, tmp_path / "elsewhere")
    assert isinstance(boxes, KittiBoxes)
    found = boxes(picture("training/image_2/000007.png"))
    np.testing.assert_array_equal(found.boxes_xyxy, [[11, 10, 30, 30]])


def test_kitti_files_of_two_folders_of_images_stay_apart(tmp_path: Path) -> None:
    folder = tmp_path / "boxes"
    put(folder / "left" / "1.txt", kitti_rows(11))
    put(folder / "right" / "1.txt", kitti_rows(12))
    boxes = open_boxes(str(folder), IMAGES, tmp_path)
    assert boxes(picture("left/1.jpg")).boxes_xyxy[0, 0] == 11
    assert boxes(picture("right/1.jpg")).boxes_xyxy[0, 0] == 12
    with pytest.raises(SampleError) as caught:
        boxes(picture("1.jpg"))
    assert caught.value.code == "io.not_found"


def test_one_kitti_file_is_not_taken_for_two_images_of_one_name(tmp_path: Path) -> None:
    folder = put(tmp_path / "boxes" / "1.txt", kitti_rows(11)).parent
    boxes = open_boxes(str(folder), IMAGES, tmp_path)
    assert len(boxes(picture("1.jpg"))) == 1
    for name in ("left/1.jpg", "right/1.jpg"):
        with pytest.raises(SampleError) as caught:
            boxes(picture(name))
        assert caught.value.code == "io.not_found"


# --- YOLO

NAMES = "names: [car, person]\n"


def test_a_yolo_folder_is_a_tree_parallel_to_the_images(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    put(tmp_path / "data.yaml", NAMES)
    put(folder / "left" / "a.txt", "0 0.5 0.5 0.2 0.5\n")
    put(folder / "right" / "a.txt", "1 0.25 0.5 0.1 0.5\n")
    boxes = open_boxes(str(folder), IMAGES, tmp_path)
    assert isinstance(boxes, YoloBoxes)
    left, right = boxes(picture("left/a.jpg")), boxes(picture("right/a.jpg"))
    # 100 wide, 40 high: the centre at (50, 20), 20 wide and 20 high
    np.testing.assert_allclose(left.boxes_xyxy, [[40, 10, 60, 30]])
    np.testing.assert_allclose(right.boxes_xyxy, [[20, 10, 30, 30]])
    assert (named(left), named(right)) == (["car"], ["person"])


def test_a_leading_folder_images_has_no_counterpart_unless_there_is_one(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    put(folder / "data.yaml", NAMES)
    put(folder / "train" / "a.txt", "0 0.5 0.5 0.2 0.5\n")
    boxes = open_boxes(str(folder), IMAGES, tmp_path)
    assert named(boxes(picture("images/train/a.jpg"))) == ["car"]
    put(folder / "images" / "train" / "a.txt", "1 0.5 0.5 0.2 0.5\n")
    assert named(boxes(picture("images/train/a.jpg"))) == ["person"]


def test_a_name_with_dots_loses_only_its_extension(tmp_path: Path) -> None:
    put(tmp_path / "data.yaml", NAMES)
    put(tmp_path / "a.b.txt", "0 0.5 0.5 0.2 0.5\n")
    assert len(open_boxes(str(tmp_path), IMAGES, tmp_path)(picture("a.b.jpg"))) == 1


def test_without_a_yolo_file_there_is_no_object(tmp_path: Path) -> None:
    put(tmp_path / "data.yaml", NAMES)
    put(tmp_path / "b.txt", "")
    boxes = open_boxes(str(tmp_path), IMAGES, tmp_path)
    for name in ("a.jpg", "b.jpg"):
        assert boxes(picture(name)).boxes_xyxy.shape == (0, 4)
        assert boxes(picture(name)).class_names == ("car", "person")


@pytest.mark.parametrize("place", [".", "..", "../.."])
def test_data_yaml_is_found_beside_or_above_the_labels(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "set" / "labels" / "train"
    put(folder / "a.txt", "1 0.5 0.5 0.2 0.5\n")
    put(folder / place / "data.yaml", NAMES)
    assert named(open_boxes(str(folder), IMAGES, tmp_path)(picture("a.jpg"))) == ["person"]


def test_yolo_files_without_data_yaml_cannot_be_named(tmp_path: Path) -> None:
    put(tmp_path / "a" / "b" / "c" / "labels" / "x.txt", "0 0.5 0.5 0.2 0.5\n")
    put(tmp_path / "a" / "b" / "c" / "labels" / "empty.txt", "")
    put(tmp_path / "data.yaml", NAMES)  # four folders up: another dataset's
    with pytest.raises(RequestError, match=r"data\.yaml") as caught:
        open_boxes(str(tmp_path / "a" / "b" / "c" / "labels"), IMAGES, tmp_path)
    assert caught.value.code == "boxes.invalid"


# --- COCO


def coco_file(path: Path, **changes: Any) -> Path:
    document: dict[str, Any] = {
        "categories": [{"id": 3, "name": "car"}, {"id": 1, "name": "person"}],
        "images": [
            {"id": 1, "file_name": "left/a.jpg", "height": 40, "width": 100},
            {"id": 2, "file_name": "right/a.jpg", "height": 40, "width": 100},
            {"id": 3, "file_name": "none.jpg", "height": 40, "width": 100},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 3, "bbox": [10, 5, 20, 30]},
            {"id": 2, "image_id": 1, "category_id": 1, "bbox": [0, 0, 99, 39], "iscrowd": 1},
            {"id": 3, "image_id": 2, "category_id": 1, "bbox": [50, 5, 10, 10], "score": 0.5},
        ],
    }
    return put(path, json.dumps({**document, **changes}))


COCO_NAMES = ("left/a.jpg", "right/a.jpg", "none.jpg")


def test_coco_boxes_are_matched_by_path_and_turned_into_corners(tmp_path: Path) -> None:
    boxes = open_boxes(str(coco_file(tmp_path / "a.json")), IMAGES, tmp_path, COCO_NAMES)
    assert isinstance(boxes, MatchedBoxes)
    left, right = boxes(picture("left/a.jpg")), boxes(picture("right/a.jpg"))
    np.testing.assert_array_equal(left.boxes_xyxy, [[10, 5, 30, 35]])
    np.testing.assert_array_equal(right.boxes_xyxy, [[50, 5, 60, 15]])
    assert (named(left), named(right)) == (["car"], ["person"])
    assert (left.scores.tolist(), right.scores.tolist()) == ([1], [0.5])


def test_a_crowd_is_a_region_not_a_prompt(tmp_path: Path) -> None:
    boxes = open_boxes(str(coco_file(tmp_path / "a.json")), IMAGES, tmp_path, COCO_NAMES)
    found = boxes(picture("left/a.jpg"))
    assert (named(found), found.dropped) == (["car"], (("row.crowd", 1),))


def test_a_coco_image_without_annotations_has_no_objects(tmp_path: Path) -> None:
    boxes = open_boxes(str(coco_file(tmp_path / "a.json")), IMAGES, tmp_path, COCO_NAMES)
    assert boxes(picture("none.jpg")).boxes_xyxy.shape == (0, 4)


@pytest.mark.parametrize("name", ["left/b.jpg", "none2.jpg"])
def test_an_image_that_coco_does_not_list_is_unlabelled_not_empty(
    tmp_path: Path, name: str
) -> None:
    names = ("left/a.jpg", name)
    boxes = open_boxes(str(coco_file(tmp_path / "a.json")), IMAGES, tmp_path, names)
    with pytest.raises(SampleError, match=rf"{name}.*nearest.*(a|none)\.jpg") as caught:
        boxes(picture(name))
    assert caught.value.code == "boxes.missing"


@pytest.mark.parametrize("name", ["a.jpg", "b/a.jpg"])
def test_an_image_that_two_of_coco_could_be_gets_the_boxes_of_neither(
    tmp_path: Path, name: str
) -> None:
    boxes = open_boxes(str(coco_file(tmp_path / "a.json")), IMAGES, tmp_path, (name, "none.jpg"))
    with pytest.raises(SampleError, match=r"'left/a\.jpg', 'right/a\.jpg'") as caught:
        boxes(picture(name))
    assert caught.value.code == "boxes.ambiguous"


def test_boxes_for_an_image_of_another_size_name_both_sizes(tmp_path: Path) -> None:
    boxes = open_boxes(str(coco_file(tmp_path / "a.json")), IMAGES, tmp_path, COCO_NAMES)
    with pytest.raises(SampleError, match=r"40 x 100,.*100 x 40; .*Orientation") as caught:
        boxes(picture("left/a.jpg", (100, 40)))
    assert caught.value.code == "size.mismatch"
    with pytest.raises(SampleError, match=r"99 x 40,.*100 x 40$"):
        boxes(picture("left/a.jpg", (40, 99)))


def test_a_coco_file_that_lists_an_image_twice_loses_no_box_silently(tmp_path: Path) -> None:
    twice = [{"id": i, "file_name": "left/a.jpg", "height": 40, "width": 100} for i in (1, 2)]
    other = {"id": 3, "file_name": "none.jpg", "height": 40, "width": 100}
    path = coco_file(tmp_path / "a.json", images=[*twice, other])
    boxes = open_boxes(str(path), IMAGES, tmp_path, COCO_NAMES)
    with pytest.raises(SampleError, match=r"left/a\.jpg") as caught:
        boxes(picture("left/a.jpg"))
    assert caught.value.code == "boxes.ambiguous"
    assert len(boxes(picture("none.jpg"))) == 0
    alone = open_boxes(str(path), IMAGES, tmp_path, ("left/a.jpg",))
    with pytest.raises(RequestError, match=r"left/a\.jpg"):
        check_boxes(alone, refs_of("left/a.jpg"))


def test_a_coco_file_without_images_opens_and_is_refused_before_work(tmp_path: Path) -> None:
    path = coco_file(tmp_path / "a.json", images=[], annotations=[])
    boxes = open_boxes(str(path), IMAGES, tmp_path, COCO_NAMES)
    assert boxes.class_names == ()
    with pytest.raises(SampleError, match=r"nor any other"):
        boxes(picture("left/a.jpg"))
    with pytest.raises(RequestError, match=r"boxes\.invalid.*none of its 0 pictures"):
        check_boxes(boxes, refs_of(*COCO_NAMES))


# --- What is no box file


@pytest.mark.parametrize(
    ("name", "code"),
    [("a.json", "io.not_found"), ("a.xml", "io.not_found"), ("nowhere", "boxes.invalid")],
)
def test_what_is_not_there_is_told(tmp_path: Path, name: str, code: str) -> None:
    with pytest.raises(RequestError, match=name) as caught:
        open_boxes(str(tmp_path / name), IMAGES, tmp_path)
    assert caught.value.code == code


def test_a_folder_without_boxes_is_told(tmp_path: Path) -> None:
    put(tmp_path / "notes.md", "hello")
    with pytest.raises(RequestError) as caught:
        open_boxes(str(tmp_path), KITTI, tmp_path)
    assert caught.value.code == "boxes.invalid"


# --- The fingerprint


def test_the_digest_changes_with_a_byte_a_name_a_place_and_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "boxes"
    one = put(folder / "a" / "1.txt", kitti_rows(10))
    seen = {digest(str(folder), tmp_path)}
    put(one, kitti_rows(11))
    seen.add(digest(str(folder), tmp_path))
    one = one.rename(folder / "a" / "2.txt")
    seen.add(digest(str(folder), tmp_path))
    (folder / "b").mkdir()
    one = one.rename(folder / "b" / "2.txt")
    seen.add(digest(str(folder), tmp_path))
    put(folder / "b" / "3.txt", "")
    seen.add(digest(str(folder), tmp_path))
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("data.yaml", "names: [car, person]\n", "names: [person, car]\n"),
        ("data.yaml", "names: [car]\nkpt_shape: [0, 2]", "names: [car]\nkpt_shape: [1, 2]"),
        ("classes.txt", "car\nperson\n", "person\ncar\n"),
        ("obj.names", "car\nperson\n", "person\ncar\n"),
    ],
)
def test_the_digest_changes_when_class_numbers_change_their_names(
    tmp_path: Path, name: str, one: str, other: str
) -> None:
    folder = tmp_path / "labels"
    put(folder / "a.txt", "0 0.5 0.5 0.2 0.5\n")
    digests = set()
    for text in (one, other):
        put(tmp_path / name, text)
        names_files = open_boxes(str(folder), IMAGES, tmp_path).names_files
        assert names_files == (tmp_path / name,)
        digests.add(digest(str(folder), tmp_path, names_files))
    assert len(digests) == 2


def test_the_digest_of_a_coco_file_is_of_its_bytes(tmp_path: Path) -> None:
    path = coco_file(tmp_path / "a.json")
    before = digest(str(path), tmp_path)
    assert digest(str(path), tmp_path) == before
    assert digest(str(path.rename(tmp_path / "b.json")), tmp_path) == before
    coco_file(tmp_path / "b.json", annotations=[])
    assert digest(str(tmp_path / "b.json"), tmp_path) != before


@pytest.mark.parametrize("prefix", ["", "training/"])
def test_the_digest_of_label_2_is_of_the_files_that_are_read(tmp_path: Path, prefix: str) -> None:
    put(tmp_path / f"{prefix}label_2" / "1.txt", kitti_rows(10))
    before = digest("label_2", tmp_path)
    put(tmp_path / "notes.txt", "not a label")
    assert digest("label_2", tmp_path) == before
    put(tmp_path / f"{prefix}label_2" / "1.txt", kitti_rows(11))
    assert digest("label_2", tmp_path) != before


def test_the_digest_is_the_same_wherever_the_folder_lies(tmp_path: Path) -> None:
    put(tmp_path / "one" / "a" / "1.txt", kitti_rows(10))
    put(tmp_path / "one" / "b" / "1.txt", kitti_rows(12))
    shutil.copytree(tmp_path / "one", tmp_path / "two" / "deeper")
    assert digest(str(tmp_path / "one"), tmp_path) == digest(
        str(tmp_path / "two" / "deeper"), tmp_path
    )


# --- The class map


@pytest.mark.parametrize(
    ("names", "source", "examples"),
    [
        ((), "road", {"bicyclist": "bicyclist"}),
        (("car", "traffic-light"), "road", {"car": "car", "bicyclist": "bicyclist"}),
        (("Car", "DontCare"), "kitti", {"Car": "car", "Tram": "train", "DontCare": None}),
        (("car", "traffic light"), "coco80", {"traffic light": "traffic-light", "dog": None}),
    ],
)
def test_the_class_map_is_the_shipped_one_that_knows_all_names(
    names: tuple[str, ...], source: str, examples: dict[str, str | None]
) -> None:
    chosen, notices = class_map_for(names, ROAD)
    assert notices == ()
    assert (chosen.source, chosen.target) == (source, "road")
    chosen.check_names(names)
    assert {name: chosen(name) for name in examples} == examples


@pytest.mark.parametrize(
    ("names", "targets", "told"),
    [
        (("car", "CAR"), ("car", "car"), ("CAR",)),
        (("Train", "Traffic_Light"), ("train", "traffic-light"), ("Train", "Traffic_Light")),
        (("pedestrian", "tram"), ("person", "train"), ("pedestrian", "tram")),
        (("Pedestrian", "bus", "motorbike"), ("person", "bus", "motorcycle"), ()),  # of three maps
        (("tvmonitor", "dog"), (None, None), ()),
    ],
)
def test_names_of_another_form_or_of_several_maps_are_understood(
    names: tuple[str, ...], targets: tuple[str | None, ...], told: tuple[str, ...]
) -> None:
    chosen, notices = class_map_for(names, ROAD)
    assert tuple(map(chosen, names)) == targets
    assert bool(notices) == bool(told)
    assert all(repr(name) in notices[0] for name in told)


@pytest.mark.parametrize(
    ("names", "unknown"),
    [
        (("unicorn",), ["unicorn"]),
        (("person", "Car", "traffic cone", "pole"), ["traffic cone", "pole"]),
        ((*(f"thing {i:02}" for i in range(40)),), [*(f"thing {i:02}" for i in range(20))]),
    ],
)
def test_names_that_no_map_knows_are_named_and_no_others(
    names: tuple[str, ...], unknown: list[str]
) -> None:
    with pytest.raises(RequestError, match=r"class\.unknown.*used by boxes\.json") as caught:
        class_map_for(names, ROAD, "boxes.json")
    assert re.findall(r"'([^']*)'", caught.value.message) == unknown


def test_class_numbers_of_a_results_list_have_a_map_of_their_own() -> None:
    with pytest.raises(RequestError, match=r"results list.*coco91-ids-to-road.*'2'"):
        class_map_for(("2",), ROAD, "boxes.json")


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("train/a.jpg", "train/a.txt"),
        ("images/train/a.jpg", "train/a.txt"),
        ("images/train/a.jpg", "labels/train/a.txt"),  # data.yaml and labels/ in the root
        ("train/images/a.jpg", "train/labels/a.txt"),  # as Roboflow exports
        ("images/images/a.jpg", "images/labels/a.txt"),  # the last one, as ultralytics has it
    ],
)
def test_yolo_files_are_found_where_people_keep_them(
    tmp_path: Path, image: str, label: str
) -> None:
    put(tmp_path / "data.yaml", "names: [car]\n")
    put(tmp_path / label, "0 0.5 0.5 0.2 0.2\n")
    assert named(open_boxes(str(tmp_path), IMAGES, tmp_path)(picture(image))) == ["car"]


def test_a_folder_that_holds_no_file_for_any_image_is_the_wrong_folder(tmp_path: Path) -> None:
    put(tmp_path / "data.yaml", "names: [car]\n")
    put(tmp_path / "other" / "a.txt", "0 0.5 0.5 0.2 0.2\n")
    boxes = open_boxes(str(tmp_path), IMAGES, tmp_path)
    refs = refs_of("a.jpg", "b.jpg")
    with pytest.raises(RequestError, match=r"boxes\.invalid.*a\.txt"):
        check_boxes(boxes, refs)
    put(tmp_path / "b.txt", "")
    (notice,) = check_boxes(boxes, refs)
    assert "1 of 2 pictures have no file" in notice
    put(tmp_path / "a.txt", "")
    assert check_boxes(boxes, refs) == check_boxes(boxes, ()) == ()


def test_rows_that_begin_with_names_are_kitti_whatever_lies_above(tmp_path: Path) -> None:
    put(tmp_path / "data.yaml", "names: [car]\n")
    put(tmp_path / "label_2" / "1.txt", kitti_rows(10, "Van"))
    boxes = open_boxes(str(tmp_path / "label_2"), KITTI, tmp_path)
    assert named(boxes(picture("image_2/1.png"))) == ["Van"]


def test_kitti_files_without_any_object_are_a_folder_of_empty_frames(tmp_path: Path) -> None:
    put(tmp_path / "label_2" / "1.txt", "")
    boxes = open_boxes(str(tmp_path / "label_2"), KITTI, tmp_path)
    assert len(boxes(picture("image_2/1.png"))) == 0


@pytest.mark.parametrize("layout", ["kitti", "kitti-raw"])
@pytest.mark.parametrize("name", ["000007.png", "training/image_2/000007.png"])
def test_for_kitti_the_frame_number_is_enough(layout: str, name: str, tmp_path: Path) -> None:
    path = coco_file(
        tmp_path / "a.json",
        images=[{"id": 1, "file_name": name, "width": SIZE_HW[1], "height": SIZE_HW[0]}],
        annotations=[{"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4]}],
        categories=[{"id": 3, "name": "car"}],
    )
    planned = ("training/image_2/000007.png",)
    boxes = open_boxes(str(path), traits(layout), tmp_path, planned)
    assert named(boxes(picture("training/image_2/000007.png"))) == ["car"]
