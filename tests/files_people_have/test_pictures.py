"""Pictures that are not what their suffix, size or place says."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from perception.commands import exports
from perception.core.errors import RequestError

Draw = Callable[[Path], Path]
LabelHere = Callable[..., Any]
BOTH = [("car", (130, 80, 12, 20)), ("train", (20, 30, 90, 40))]  # as `draw_street` draws them
WIDTH, HEIGHT = 160, 120
ROWS = "0 0.40625 0.41666667 0.5625 0.33333333\n1 0.85 0.75 0.075 0.16666667\n"  # by hand


def turned(path: Path, upright: Path, orientation: int = 6) -> Path:
    """Write a JPEG that is stored a quarter turn to the left, with the Orientation that says so."""
    image = cv2.imread(str(upright))
    assert image is not None
    stored = cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE)
    data = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    block = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:])
    return path


@pytest.fixture
def street(tmp_path: Path, draw_street: Draw) -> Path:
    return draw_street(tmp_path / "upright" / "street.png")


def yolo(folder: Path, *stems: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for stem in stems:
        (folder / f"{stem}.txt").write_text(ROWS)
    (folder / "classes.txt").write_text("train\ncar\n")
    return folder


def coco(path: Path, width: int, height: int) -> Path:
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [20, 30, 90, 40]}
    image = {"id": 1, "file_name": "street.jpg", "width": width, "height": height}
    categories = [{"id": 1, "name": "train"}]
    path.write_text(json.dumps({"images": [image], "categories": categories, "annotations": [box]}))
    return path


def test_boxes_drawn_on_the_upright_picture_lie_where_people_saw_them(
    tmp_path: Path, street: Path, label_here: LabelHere
) -> None:
    # supervision#2577, labelImg#376, Yolo_mark#107: a phone's picture, turned by its Orientation.
    (tmp_path / "images").mkdir()
    turned(tmp_path / "images" / "street.jpg", street)
    answer = label_here(tmp_path / "images", boxes=str(yolo(tmp_path / "labels", "street")))
    assert answer.labels == {"street.jpg": BOTH}


def test_a_coco_file_of_the_upright_size_fits_and_of_the_stored_size_does_not(
    tmp_path: Path, street: Path, label_here: LabelHere
) -> None:
    # cvat#1059, cvat#733, ultralytics#19222
    (tmp_path / "images").mkdir()
    turned(tmp_path / "images" / "street.jpg", street)
    boxes = coco(tmp_path / "boxes.json", WIDTH, HEIGHT)
    answer = label_here(tmp_path / "images", boxes=str(boxes))
    assert answer.labels == {"street.jpg": [("train", (20, 30, 90, 40))]}
    kept = label_here(
        tmp_path / "images",
        boxes=str(boxes),
        out=tmp_path / "stored",
        overrides={"observe": {"orientation": "stored"}},
    )
    assert kept.counts["quarantined_by"] == {"size.mismatch": 1}
    assert "Orientation" in (kept.run / "quarantine.jsonl").read_text()


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_a_thermal_picture_shows_what_its_8_bit_copy_shows(
    tmp_path: Path, street: Path, label_here: LabelHere, suffix: str
) -> None:
    # ultralytics#21645, yolov5#8481: 14 bits in a file of 16, black where only high bytes count.
    grey = cv2.imread(str(street), cv2.IMREAD_GRAYSCALE)
    assert grey is not None
    (tmp_path / "thermal").mkdir()
    thermal = 7000 + grey.astype(np.uint16) * 6
    assert cv2.imwrite(str(tmp_path / "thermal" / f"street{suffix}"), thermal)
    found = label_here(tmp_path / "thermal", detector="bright")
    seen = label_here(street.parent, detector="bright", out=tmp_path / "seen")
    places = [box for _, box in seen.labels["street.png"]]
    assert [box for _, box in found.labels[f"street{suffix}"]] == places != []


def test_what_is_read_by_its_bytes_is_labelled_and_the_rest_counted_by_suffix(
    tmp_path: Path, street: Path, label_here: LabelHere
) -> None:
    # ultralytics#23358, #24594, yolov5#2446: .jfif, .jpe and .mpo are JPEG inside.
    root = tmp_path / "images"
    root.mkdir()
    data = cv2.imencode(".jpg", cv2.imread(str(street)))[1].tobytes()
    for name in ("a.jfif", "b.jpe", "c.mpo"):
        (root / name).write_bytes(data)
    for name in ("d.jp2", "e.jp2", "f.dng"):
        (root / name).write_bytes(b"\0" * 40)
    answer = label_here(root, detector="bright")
    assert {name: len(labels) for name, labels in answer.labels.items()} == {
        "a.jfif": 2,
        "b.jpe": 2,
        "c.mpo": 2,
    }
    said = next(notice for notice in answer.notices if notice.startswith("passed over 3 pictures"))
    assert "2 .jp2" in said and "1 .dng" in said


def test_a_panorama_is_labelled_where_the_limit_is_moved(
    tmp_path: Path, draw_street: Draw, label_here: LabelHere
) -> None:
    root = draw_street(tmp_path / "images" / "pano.png").parent
    wide = np.full((1000, 1100, 3), 40, np.uint8)  # 1.1 megapixels
    wide[100:200, 100:300] = 230
    assert cv2.imwrite(str(root / "pano.png"), wide)
    limit = {"observe": {"max_megapixels": 1}}
    refused = label_here(root, detector="bright", overrides=limit)
    assert refused.counts["samples"]["quarantined"] == 1
    assert "megapixels" in (refused.run / "quarantine.jsonl").read_text()
    limit = {"observe": {"max_megapixels": 2}}
    moved = label_here(root, detector="bright", overrides=limit, out=tmp_path / "moved")
    assert [box for _, box in moved.labels["pano.png"]] == [(100, 100, 200, 100)]


@pytest.mark.parametrize("linked", ["folder", "file"])
def test_data_sets_made_of_links_are_read_and_the_links_said(
    tmp_path: Path, draw_street: Draw, label_here: LabelHere, linked: str
) -> None:
    # ultralytics#5036, fiftyone#2827 (folders); datasets#6853, pytorch-image-models#334 (files).
    elsewhere = draw_street(tmp_path / "elsewhere" / "street.png")
    root = tmp_path / "images"
    root.mkdir()
    (root / "day").mkdir() if linked == "file" else None
    link, target = {
        "folder": (root / "day", elsewhere.parent),
        "file": (root / "day" / "street.png", elsewhere),
    }[linked]
    link.symlink_to(target)
    answer = label_here(root, detector="bright")
    assert [len(labels) for labels in answer.labels.values()] == [2]
    assert any("links lead out of the source to 1 file" in said for said in answer.notices)


def test_our_own_yolo_export_is_a_source_with_its_boxes(
    tmp_path: Path, street: Path, label_here: LabelHere
) -> None:
    first = label_here(street.parent, boxes=str(yolo(tmp_path / "labels", "street")))
    exports.export(first.run, "yolo", tmp_path / "yolo")
    again = label_here(
        tmp_path / "yolo" / "images",
        boxes=str(tmp_path / "yolo" / "labels"),
        out=tmp_path / "again",
    )
    assert list(again.labels.values()) == [BOTH]


def test_a_turned_jpeg_is_exported_upright_and_another_as_the_file_it_is(
    tmp_path: Path, street: Path, label_here: LabelHere
) -> None:
    # What ignores the Orientation would see the picture lie beside its labels.
    root = tmp_path / "images"
    root.mkdir()
    turned(root / "turned.jpg", street)
    plain = cv2.imencode(".jpg", cv2.imread(str(street)))[1].tobytes()
    (root / "plain.jpg").write_bytes(plain)
    run = label_here(root, boxes=str(yolo(tmp_path / "labels", "turned", "plain"))).run
    exports.export(run, "yolo", tmp_path / "yolo")
    images = tmp_path / "yolo" / "images"
    assert sorted(path.name for path in images.iterdir()) == ["plain.jpg", "turned.png"]
    assert (images / "plain.jpg").read_bytes() == plain
    assert cv2.imread(str(images / "turned.png")).shape[:2] == (HEIGHT, WIDTH)


@pytest.mark.parametrize("source", ["photos [v2]", "photos [v2]/*.png"])
def test_brackets_in_the_name_of_a_folder_are_brackets(
    tmp_path: Path, draw_street: Draw, label_here: LabelHere, source: str
) -> None:
    draw_street(tmp_path / "photos [v2]" / "street.png")
    answer = label_here(tmp_path / source, detector="bright")
    assert [len(labels) for labels in answer.labels.values()] == [2]


def test_a_link_to_what_is_no_picture_is_refused(
    tmp_path: Path, draw_street: Draw, label_here: LabelHere
) -> None:
    root = draw_street(tmp_path / "images" / "street.png").parent
    (tmp_path / "key").write_text("secret")
    (root / "other.png").symlink_to(tmp_path / "key")
    with pytest.raises(RequestError, match="key"):
        label_here(root, detector="bright")


@pytest.mark.parametrize("to", ["yolo", "png", "cityscapes", "coco-panoptic", "cutouts", "coco"])
def test_two_files_of_one_stem_are_both_exported(
    tmp_path: Path, draw_street: Draw, label_here: LabelHere, to: str
) -> None:
    # classifai#15, datumaro#2201, pylabel#26: converters leave a.png beside a.jpg.
    root = draw_street(tmp_path / "images" / "street.png").parent
    draw_street(root / "street.jpg")
    run = label_here(root, detector="bright").run
    (done,) = exports.export(run, to, tmp_path / "export")
    assert done.written.samples == 2 and done.read_back.labels == done.written.labels == 4


def test_a_quarantined_picture_is_named_in_the_export(
    tmp_path: Path, draw_street: Draw, label_here: LabelHere
) -> None:
    root = draw_street(tmp_path / "images" / "street.png").parent
    (root / "broken.png").write_bytes((root / "street.png").read_bytes()[:90])
    answer = label_here(root, detector="bright")
    assert answer.counts["samples"]["quarantined"] == 1
    (done,) = exports.export(answer.run, "coco", tmp_path / "labels.json")
    assert any("broken" in line for line in done.lines())
