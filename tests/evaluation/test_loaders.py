"""Truth from files: COCO, a drive, Cityscapes; what each knows, and what is refused."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from perception.core import masks
from perception.core.errors import PerceptionError
from perception.core.ontology import ClassMap, load_class_map
from perception.evaluation import drives, read_truth
from perception.evaluation.truth import NOT_JUDGED, vocabulary_of

PERSON, BICYCLIST, CAR, VAN = 1, 2, 6, 7


def coco_file(path: Path, categories: list[str], **changes: Any) -> Path:
    """Two pictures; the first has a car, a crowd of persons and a box without a mask."""
    ids = {name: number for number, name in enumerate(categories, start=1)}
    square = [[10, 10, 30, 10, 30, 30, 10, 30]]
    rows = [("car", 0, square), ("person", 1, square), ("car", 0, [])]
    document = {
        "images": [
            {"id": 5, "width": 80, "height": 60, "file_name": "a/0.png"},
            {"id": 6, "width": 80, "height": 60, "file_name": "a/1.png"},
        ],
        "annotations": [
            {
                "id": number,
                "image_id": 5,
                "category_id": ids[name],
                "iscrowd": crowd,
                "segmentation": shape,
                "bbox": [10, 10, 20, 20],
                "instance_id": number + 10,
            }
            for number, (name, crowd, shape) in enumerate(rows, start=1)
        ],
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
        **changes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def test_a_coco_file_gives_objects_and_crowds_and_judges_its_own_categories(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    truth = read_truth(str(coco_file(tmp_path / "t.json", ["person", "car"])), make.road)
    picture = truth.find_picture("a/0.png")
    assert picture is not None
    assert picture.class_ids.tolist() == [CAR, PERSON, CAR]
    assert picture.ignored.tolist() == [False, True, True]  # the box without a mask is a region
    assert picture.instance_ids.tolist() == [11, 12, 13]
    assert masks.areas(picture.masks).tolist() == [400, 400, 400]
    assert picture.boxes_xyxy.tolist() == [[10, 10, 30, 30]] * 3
    assert truth.picture_classes.names == {PERSON: "person", CAR: "car"}
    assert truth.picture_classes(np.array([CAR, VAN, 99, -1], np.int32)).tolist() == [
        CAR,
        NOT_JUDGED,
        NOT_JUDGED,
        NOT_JUDGED,
    ]
    empty = truth.find_picture("a/1.png")
    assert empty is not None and len(empty) == 0
    assert truth.find_picture("a/2.png") is None
    assert truth.find_points("0", 3) is None


def test_a_class_map_renames_and_ignores(make: SimpleNamespace, tmp_path: Path) -> None:
    path = coco_file(tmp_path / "t.json", ["person", "car", "dog"])
    document = json.loads(path.read_text())
    document["annotations"][0]["category_id"] = 3
    used = tmp_path / "used.json"
    used.write_text(json.dumps(document))
    with pytest.raises(PerceptionError, match=r"class\.unknown: .* dog; pass --class-map"):
        read_truth(str(used), make.road)
    assert CAR in read_truth(str(path), make.road).picture_classes.names  # no dog is in there
    truth = read_truth(str(path), make.road, load_class_map("coco80-to-road"))
    assert set(truth.picture_classes.names.values()) == {"person", "car"}
    renamed = ClassMap(
        source="x", target="road", map={"car": "van", "dog": "van"}, ignore=("person",)
    )
    picture = read_truth(str(path), make.road, renamed).find_picture("a/0.png")
    assert picture is not None
    assert picture.class_ids.tolist() == [VAN, VAN]


def test_what_is_no_truth_is_refused(make: SimpleNamespace, tmp_path: Path) -> None:
    images = [{"id": i, "width": 8, "height": 6, "file_name": "0.png"} for i in (1, 2)]
    double = coco_file(tmp_path / "d.json", ["car", "person"], images=images, annotations=[])
    for text, message in (
        (str(tmp_path), r"truth\.unknown: .* expected a COCO instances file"),
        (str(tmp_path / "none.json"), r"io\.not_found"),
        (f"cityscapes:{tmp_path}", r"truth\.invalid: .* holds no \*_gtFine_instanceIds\.png"),
        (str(double), r"truth\.invalid: .* in more than one image"),
    ):
        with pytest.raises(PerceptionError, match=message):
            read_truth(text, make.road)


def write_drive(root: Path) -> Path:
    base = root / "training"
    coco_file(
        base / "truth.json",
        ["person", "car"],
        images=[{"id": 5, "width": 80, "height": 60, "file_name": "training/image_2/000000.png"}],
    )
    (base / "label_2").mkdir()
    (base / "label_2" / "000000.txt").write_text(
        "DontCare -1 -1 -10 10 10 30 30 -1 -1 -1 -1000 -1000 -1000 -10\n"
        "Car 0 0 0 60 10 70 30 1 1 1 0 0 99 0\n"
        "Car 0 0 0 11 10 30 30 1.5 1.6 4 3 1.7 4 0\n"
    )
    (base / "labels").mkdir()
    # road, unlabelled, car 11, car 11, person 300, something that no class stands for
    values = np.array([40, 0, 10 | 11 << 16, 10 | 11 << 16, 30 | 300 << 16, 99 << 8], "<u4")
    (base / "labels" / "000000.label").write_bytes(values.tobytes())
    return base


def test_a_drive_gives_masks_ranges_and_points(make: SimpleNamespace, tmp_path: Path) -> None:
    base = write_drive(tmp_path)
    (base / "truth.json").rename(tmp_path / "truth.json")  # beside `training` does as well
    truth = read_truth(str(tmp_path), make.road)
    for name in ("training/image_2/000000.png", "image_2/000000.png"):
        picture = truth.find_picture(name)
        assert picture is not None
        # one row of label_2 has the box of the car; its ground distance is 5 m
        assert np.nanmin(picture.ranges_m) == 5
        assert np.isfinite(picture.ranges_m).sum() == 1
    (base / "label_2" / "000000.txt").write_text("Car 0 0 0 60 10 70 30 1 1 1 0 0 99 0\n")
    elsewhere = truth.find_picture("image_2/000000.png")
    assert elsewhere is not None and np.isnan(elsewhere.ranges_m).all()
    assert truth.picture_classes == vocabulary_of(make.road)  # all classes: the world is known
    points = truth.find_points("000000", 6)
    assert points is not None
    assert points.class_ids.tolist() == [0, 0, CAR, CAR, PERSON, 0]
    assert points.instance_ids.tolist() == [0, 0, 11, 11, 300, 0]
    assert (points.seen.all(), points.has_seen) == (True, False)
    # SemanticKITTI has no vans: on points they are judged as cars
    assert truth.point_classes(np.array([VAN, CAR], np.int32)).tolist() == [CAR, CAR]
    (base / "seen").mkdir()
    (base / "seen" / "000000.bin").write_bytes(bytes([0, 1, 2, 0, 1, 1]))
    seen = truth.find_points("000000", 6)
    assert seen is not None
    assert (seen.seen.tolist(), seen.has_seen) == ([False, True, True, False, True, True], True)
    assert truth.find_points("000001", 6) is None


def test_points_of_another_count_are_refused(make: SimpleNamespace, tmp_path: Path) -> None:
    base = write_drive(tmp_path)
    truth = read_truth(str(tmp_path), make.road)
    with pytest.raises(PerceptionError, match=r"label\.count_mismatch: .* 6 labels, expected 7"):
        truth.find_points("000000", 7)
    (base / "seen").mkdir()
    (base / "seen" / "000000.bin").write_bytes(bytes(5))
    with pytest.raises(PerceptionError, match=r"label\.count_mismatch: .* 5 bytes, expected 6"):
        truth.find_points("000000", 6)


def test_cityscapes_has_objects_crowds_and_void(make: SimpleNamespace, tmp_path: Path) -> None:
    pixels = np.full((60, 80), 7, np.uint16)  # road
    pixels[:10] = 23  # sky
    pixels[50:] = 1  # the car itself: void
    pixels[10:20, :10] = 26_000
    pixels[10:20, 20:30] = 26_001
    pixels[10:20, 40:60] = 26  # a group of cars
    pixels[30:40, :10] = 25_000  # a rider
    pixels[30:40, 20:30] = 29_000  # a caravan: not evaluated
    pixels[30:40, 40:50] = 20  # a sign: no instances
    folder = tmp_path / "gtFine" / "aachen"
    folder.mkdir(parents=True)
    path = folder / "aachen_000000_000019_gtFine_instanceIds.png"
    assert cv2.imwrite(str(path), pixels)
    truth = read_truth(f"cityscapes:{tmp_path}", make.road)
    picture = truth.find_picture("val/aachen/aachen_000000_000019_leftImg8bit.png")
    assert picture is not None
    rows = list(
        zip(
            picture.class_ids.tolist(),
            picture.ignored.tolist(),
            masks.areas(picture.masks).tolist(),
            strict=True,
        )
    )
    assert sorted(rows) == [
        (-1, True, 10 * 80 + 100),
        (BICYCLIST, False, 100),
        (CAR, False, 100),
        (CAR, False, 100),
        (CAR, True, 200),
    ]
    assert truth.picture_classes.names[BICYCLIST] == "rider"
    assert truth.picture_classes(np.array([VAN, 3, 13], np.int32)).tolist() == [
        CAR,
        BICYCLIST,
        NOT_JUDGED,
    ]
    assert truth.find_picture("aachen_000000_000020_leftImg8bit.png") is None
    path.write_bytes(b"no picture")
    with pytest.raises(PerceptionError, match=r"truth\.invalid: .* no 16-bit grey PNG"):
        truth.find_picture("aachen_000000_000019.png")


def test_frames_of_a_drive_know_their_scene_by_its_first_frame(tmp_path: Path) -> None:
    card = tmp_path / "card.json"
    card.write_text(json.dumps({"scenes": ["000000", "000020"]}))
    scene_of = drives._scenes_of(card)
    names = ["000000", "000019", "000020", "000039"]
    assert [scene_of(name) for name in names] == ["000000", "000000", "000020", "000020"]
    assert drives._scenes_of(tmp_path / "none.json")("000007") == "000007"


def test_coco_panoptic_files_have_things_crowds_and_no_stuff(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    numbers = np.zeros((60, 80), np.int64)
    numbers[:10, :20] = 3_000_001  # more than 16 bits: red, green and blue all count
    numbers[20:30, :20] = 7
    numbers[40:50, :20] = 9
    numbers[40:50, 30:50] = 300
    bgr = np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255], axis=2).astype(np.uint8)
    (tmp_path / "panoptic").mkdir()
    assert cv2.imwrite(str(tmp_path / "panoptic" / "000000000001.png"), bgr)
    rows = [(3_000_001, 3, 0), (7, 1, 1), (9, 17, 0), (300, 149, 0)]
    segments = [{"id": n, "category_id": kind, "iscrowd": crowd} for n, kind, crowd in rows]
    names = [(1, "person", 1), (3, "car", 1), (17, "cat", 1), (149, "road", 0)]
    document = {
        "annotations": [
            {"file_name": "000000000001.png", "segments_info": segments},
            {"file_name": "000000000002.png", "segments_info": []},
        ],
        "categories": [{"id": n, "name": name, "isthing": thing} for n, name, thing in names],
    }
    path = tmp_path / "panoptic.json"
    path.write_text(json.dumps(document))
    truth = read_truth(f"coco-panoptic:{path}", make.road)
    picture = truth.find_picture("train2017/000000000001.jpg")
    assert picture is not None
    assert picture.class_ids.tolist() == [CAR, PERSON]
    assert picture.ignored.tolist() == [False, True]
    assert picture.masks.boxes_xyxy.tolist() == [[0, 0, 20, 10], [0, 20, 20, 30]]
    assert set(truth.picture_classes.names.values()) == {"person", "car"}
    assert truth.find_picture("000000000003.jpg") is None
    with pytest.raises(PerceptionError, match=r"io\.not_found: .*000000000002\.png"):
        truth.find_picture("000000000002.jpg")
    path.write_text('{"annotations": [1]}')
    with pytest.raises(PerceptionError, match=r"truth\.invalid: .* no COCO panoptic file"):
        read_truth(f"coco-panoptic:{path}", make.road)
