"""Boxes of people's own: picture names, rows, class names, formats."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perception.core.errors import RequestError

Document = dict[str, Any]
XYWH = tuple[int, int, int, int]
BOTH, CAR, TRAIN = ("car", "train"), ("car",), ("train",)


def coco(boxes_xywh: dict[str, XYWH], file_name: str = "street.jpg") -> Document:
    names = {"train": 7, "car": 3}
    return {
        "images": [{"id": 1, "file_name": file_name, "width": 160, "height": 120}],
        "categories": [{"id": number, "name": name} for name, number in names.items()],
        "annotations": [
            {"id": row, "image_id": 1, "category_id": names[name], "bbox": list(box), "iscrowd": 0}
            for row, (name, box) in enumerate(boxes_xywh.items(), 1)
        ],
    }


def quarantined(answer: Any) -> list[Document]:
    text = (answer.run / "quarantine.jsonl").read_text()
    return [json.loads(row) for row in text.splitlines()]


@pytest.fixture
def street(tmp_path: Path, draw_street: Callable[[Path], Path]) -> Path:
    draw_street(tmp_path / "images" / "street.jpg")
    return tmp_path


@pytest.fixture
def labels_of(
    street: Path, label_here: Callable[..., Any], boxes_xywh: dict[str, XYWH]
) -> Callable[..., None]:
    """Label the street with a box file; check what came of it and what was said."""

    def check(boxes: Path, expected: tuple[str, ...], *words: str, **options: Any) -> Any:
        answer = label_here(street / "images", boxes=str(boxes), **options)
        assert answer.labels["street.jpg"] == [(name, boxes_xywh[name]) for name in expected]
        for word in words:
            assert re.search(word, " ".join(answer.notices)), answer.notices
        if not words:
            assert answer.notices == ()
        return answer

    return check


def _set(document: Document, table: str, **values: Any) -> None:
    for row in document[table]:
        row.update(values)


def _drop(document: Document, table: str, *keys: str) -> None:
    for row in document[table]:
        for key in keys:
            row.pop(key, None)


def _as_text(document: Document) -> None:
    for table in ("images", "annotations", "categories"):
        for row in document[table]:
            for key, value in row.items():
                if isinstance(value, int):
                    row[key] = str(value)
                elif isinstance(value, list):
                    row[key] = [str(number) for number in value]


def _add(document: Document, **row: Any) -> None:
    document["annotations"].append({"id": 9, "image_id": 1, "category_id": 3, **row})


def _polygons_for_boxes(document: Document) -> None:
    for row in document["annotations"]:
        x, y, width, height = row.pop("bbox")
        row["segmentation"] = [[x, y, x + width, y, x + width, y + height, x, y + height]]


ROWS: list[tuple[str, Callable[[Document], None], tuple[str, ...], tuple[str, ...]]] = [
    (
        "roboflow/rf-detr#1303",
        lambda d: d["categories"].insert(0, {"id": 0, "name": "vehicles"}),
        BOTH,
        ("no box has.*: 'vehicles'$",),
    ),
    (
        "roboflow/rf-detr#85",
        lambda d: d["categories"].extend(
            {"id": number, "name": name}
            for number, name in enumerate(("bird", "Cyclist", "traffic cone", "boat"), 20)
        ),
        BOTH,
        ("no box has.*: 'traffic cone'$",),
    ),
    ("pylabel-project/pylabel#46", _as_text, BOTH, ()),
    ("whole-floats", lambda d: _set(d, "annotations", image_id=1.0, iscrowd=0.0), BOTH, ()),
    ("cocoapi#373", lambda d: (_set(d, "images", id="street"),
                               _set(d, "annotations", image_id="street"))[0], BOTH, ()),
    ("TACO#46", lambda d: _set(d, "annotations", id=1), BOTH, ("annotation ids stand more",)),
    ("without-annotation-ids", lambda d: _drop(d, "annotations", "id"), BOTH, ()),
    ("pylabel#1", lambda d: _drop(d, "images", "width", "height"), BOTH, ()),
    ("size-null", lambda d: _set(d, "images", width=None, height=0), BOTH, ()),
    ("yolact#103", lambda d: _add(d, image_id=99, bbox=[1, 1, 9, 9]), BOTH, ("1 of a picture",)),
    ("no-category", lambda d: _add(d, category_id=99, bbox=[1, 1, 9, 9]), BOTH, ("1 without a c",)),
    ("X-AnyLabeling#397", lambda d: _add(d, bbox=[]), BOTH, ("1 without a box",)),
    ("bbox-short", lambda d: _add(d, bbox=[1, 2, 3]), BOTH, ("1 without a box",)),
    ("bbox-null", lambda d: _add(d, bbox=None), BOTH, ("1 without a box",)),
    ("bbox-words", lambda d: _add(d, bbox=["a", 1, "1_0", "\u0661"]), BOTH, ()),
    ("bbox-nan", lambda d: _add(d, bbox=[float("nan"), 1, 2, 3]), BOTH, ()),
    ("bbox-negative", lambda d: _add(d, bbox=[9, 9, -5, 3]), BOTH, ()),
    ("nan-elsewhere", lambda d: _set(d, "annotations", area=float("nan"), segmentation=[[None]]),
     BOTH, ()),
    ("no-iscrowd", lambda d: _drop(d, "annotations", "iscrowd"), BOTH, ()),
    ("crowd", lambda d: _add(d, bbox=[1, 1, 90, 90], iscrowd=1), BOTH, ("1 crowds",)),
    ("polygons-only", _polygons_for_boxes, BOTH, ()),
    ("row-of-another-kind", lambda d: d["annotations"].append("x"), BOTH, ("1 without a box",)),
    ("case", lambda d: d["categories"].__setitem__(
        slice(None), [{"id": 7, "name": "TRAIN"}, {"id": 3, "name": "Car"}]),
     BOTH, ("'Car' as car",)),
    ("category-twice", lambda d: d["categories"].append({"id": 3, "name": "car"}), BOTH, ()),
    ("category-zero", lambda d: (d["categories"].append({"id": 0, "name": "car"}),
                                 d["annotations"][1].update(category_id=0))[0], BOTH, ()),
    ("more-pictures", lambda d: d["images"].append({"id": 2, "file_name": "other.jpg"}), BOTH,
     ("1 of its 2 pictures are not among",)),
    ("image-twice", lambda d: d["images"].append(dict(d["images"][0])), BOTH, ()),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected", "words"), [row[1:] for row in ROWS],
                         ids=[row[0] for row in ROWS])  # fmt: skip
def test_coco_files_as_people_have_them(
    change: Callable[[Document], None],
    expected: tuple[str, ...],
    words: tuple[str, ...],
    street: Path,
    boxes_xywh: dict[str, XYWH],
    labels_of: Callable[..., Any],
) -> None:
    document = coco(boxes_xywh)
    change(document)
    (street / "boxes.json").write_text(json.dumps(document))
    labels_of(street / "boxes.json", expected, *words)


@pytest.mark.parametrize(
    ("file_name", "words"),
    [
        ("street.jpg", ()),
        ("./street.jpg", ()),
        ("images/street.jpg", ()),
        ("images\\street.jpg", ()),
        ("/somewhere/data/images/street.jpg", ()),
        ("C:\\data\\street.jpg", ()),
        ("../images/street.jpg", ()),
        ("Street.JPG", ()),
        ("street_jpg.rf.0a1b2c3d.jpg", ("matched under another name: 1 of 1",)),
        ("images/0a1b2c3d-street.jpg", ("matched under another name",)),
        ("street.png", ("'street.png' for 'street.jpg'",)),
        ("street", ("matched under another name",)),
        (" street.jpg", ()),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8"])
def test_pictures_are_found_by_their_names(
    file_name: str,
    words: tuple[str, ...],
    encoding: str,
    street: Path,
    boxes_xywh: dict[str, XYWH],
    labels_of: Callable[..., Any],
) -> None:
    (street / "boxes.json").write_text(json.dumps(coco(boxes_xywh, file_name)), encoding)
    labels_of(street / "boxes.json", BOTH, *words)


def test_the_name_that_roboflow_keeps_leads_where_its_own_cannot(
    street: Path, boxes_xywh: dict[str, XYWH], labels_of: Callable[..., Any]
) -> None:
    document = coco(boxes_xywh, "my-street-1-_jpg.rf.0a1b2c3d.jpg")
    document["images"][0]["extra"] = {"name": "street.jpg"}
    (street / "boxes.json").write_text(json.dumps(document))
    labels_of(street / "boxes.json", BOTH, "my-street")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_that_windows_tools_write_are_read(
    encoding: str, street: Path, boxes_xywh: dict[str, XYWH], labels_of: Callable[..., Any]
) -> None:
    (street / "boxes.JSON").write_text(json.dumps(coco(boxes_xywh)), encoding)
    labels_of(street / "boxes.JSON", BOTH)


def test_a_picture_of_another_folder_is_said_aloud(
    tmp_path: Path,
    draw_street: Callable[[Path], Path],
    boxes_xywh: dict[str, XYWH],
    label_here: Callable[..., Any],
) -> None:
    draw_street(tmp_path / "images" / "val" / "street.jpg")
    (tmp_path / "b.json").write_text(json.dumps(coco(boxes_xywh, "train2017/street.jpg")))
    answer = label_here(tmp_path / "images", boxes=str(tmp_path / "b.json"))
    assert len(answer.labels["val/street.jpg"]) == 2
    assert "'train2017/street.jpg' for 'val/street.jpg'" in answer.notices[0]


def _refused(
    street: Path, label_here: Callable[..., Any], document: object, **options: Any
) -> RequestError:
    (street / "boxes.json").write_text(json.dumps(document))
    with pytest.raises(RequestError) as caught:
        label_here(street / "images", boxes=str(street / "boxes.json"), **options)
    assert not (street / "out" / "labels").exists()
    return caught.value


def _corners(boxes_xywh: dict[str, XYWH]) -> Document:
    document = coco(boxes_xywh)
    for row in document["annotations"]:
        x, y, width, height = row["bbox"]
        row["bbox"] = [x, y, x + width, y + height]
    return document


def _shares(boxes_xywh: dict[str, XYWH]) -> Document:
    document = coco(boxes_xywh)
    _set(document, "annotations", bbox=[0.1, 0.2, 0.3, 0.3])
    return document


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda b: coco(b, "other.jpg"), r"names 'other\.jpg'; the source has 'street\.jpg'"),
        (lambda b: [{"score": 1}], "results list has image_id"),
        (lambda b: [{"data": {}, "annotations": []}], "Label Studio"),
        (lambda b: [{"name": "street.jpg", "labels": []}], "BDD100K"),
        (lambda b: [{"image": "street.jpg", "annotations": []}], "CreateML"),
        (lambda b: {"_via_img_metadata": {}}, "VGG Image Annotator"),
        (lambda b: {"street.jpg123": {"filename": "street.jpg", "regions": []}}, "VGG Image Ann"),
        (lambda b: [], "it names none"),
        (lambda b: {"hello": 1}, "images is None, expected a list"),
        (lambda b: coco(b) | {"categories": None}, "categories is None, expected a list"),
        (lambda b: coco(b) | {"categories": []}, "none of its 2 rows.*2 without a class"),
        (_corners, r"looks like \[x0, y0, x1, y1\]"),
        (_shares, "shares of a picture"),
        (lambda b: coco(b) | {"categories": [{"id": 3, "name": "car"}, {"id": 3, "name": "bus"}]},
         "id 3 is 'car' and 'bus'"),
        (lambda b: coco(b) | {"categories": [{"id": 3, "name": "car"},
                                             {"id": 7, "name": "traffic cone"}]},
         r"1 class is neither.*'traffic cone'.*--class-map"),
        (lambda b: 7, "holds int"),
    ],
)  # fmt: skip
def test_files_that_lead_nowhere_are_refused_before_work(
    make: Callable[[dict[str, XYWH]], object],
    words: str,
    street: Path,
    boxes_xywh: dict[str, XYWH],
    label_here: Callable[..., Any],
) -> None:
    error = _refused(street, label_here, make(boxes_xywh))
    assert re.search(words, error.message), error.message
    assert "\n" not in error.message


def test_a_class_map_of_ones_own_is_told_what_it_misses(
    street: Path, boxes_xywh: dict[str, XYWH], label_here: Callable[..., Any]
) -> None:
    (street / "mine.yaml").write_text("{source: mine, target: road, map: {Car: car}}")
    options = {"class_map": str(street / "mine.yaml")}
    error = _refused(street, label_here, coco(boxes_xywh), **options)
    assert "mine-to-road: 'train';" in error.message and "'car'" not in error.message


def test_pictures_that_share_an_id_lose_their_boxes_and_others_keep_theirs(
    street: Path, draw_street: Callable[[Path], Path], boxes_xywh: dict[str, XYWH], label_here: Any
) -> None:
    for name in ("one.jpg", "two.jpg"):
        draw_street(street / "images" / name)
    document = coco(boxes_xywh)
    document["images"] += [{"id": 5, "file_name": name} for name in ("one.jpg", "two.jpg")]
    _add(document, image_id=5, bbox=[1, 1, 20, 20])
    (street / "boxes.json").write_text(json.dumps(document))
    answer = label_here(street / "images", boxes=str(street / "boxes.json"))
    assert len(answer.labels["street.jpg"]) == 2 and answer.labels.keys() == {"street.jpg"}
    assert "no boxes for 2 of the 3 pictures" in answer.notices[0]
    reasons = quarantined(answer)
    assert {row["code"] for row in reasons} == {"boxes.invalid"}
    assert "image id 5 stands for 'one.jpg', 'two.jpg'" in reasons[0]["message"]


# --- COCO results lists


@pytest.mark.parametrize(
    ("name", "image_id", "row", "options"),
    [
        ("street.jpg", "street", {"category_id": 3, "category_name": "car"}, {}),  # SAHI
        ("street.jpg", 7, {"file_name": "street.jpg", "category_name": "car"}, {}),
        ("street.jpg", "street", {"category_id": 3}, {"class_map": "coco91-ids-to-road"}),
        ("000000000071.jpg", 71, {"category_id": 3}, {"class_map": "coco91-ids-to-road"}),
        ("000000000071.jpg", "71", {"category_id": "3"}, {"class_map": "coco91-ids-to-road"}),
        # nanoseconds of this century have 19 digits
        (
            "01531883530449377000.jpg",
            1531883530449377000,
            {"category_id": 3},
            {"class_map": "coco91-ids-to-road"},
        ),
    ],
)
def test_a_results_list_is_read_where_its_classes_are_certain(
    name: str,
    image_id: object,
    row: Document,
    options: Document,
    tmp_path: Path,
    draw_street: Callable[[Path], Path],
    boxes_xywh: dict[str, XYWH],
    label_here: Callable[..., Any],
) -> None:
    draw_street(tmp_path / "images" / name)
    rows = [{"image_id": image_id, "bbox": boxes_xywh["car"], "score": 0.6, **row}]
    (tmp_path / "predictions.json").write_text(json.dumps(rows))
    boxes = str(tmp_path / "predictions.json")
    answer = label_here(tmp_path / "images", boxes=boxes, **options)
    assert answer.labels == {name: [("car", boxes_xywh["car"])]}
    assert "results list" in answer.notices[0]


def test_a_results_list_of_numbers_alone_is_refused_with_what_reads_it(
    street: Path, boxes_xywh: dict[str, XYWH], label_here: Callable[..., Any]
) -> None:
    rows = [{"image_id": "street", "category_id": 3, "bbox": boxes_xywh["car"], "score": 0.6}]
    error = _refused(street, label_here, rows)
    assert re.search(r"results list.*coco91-ids-to-road.*'3'.*`\"3\": CLASS`", error.message)


# --- LabelMe and X-AnyLabeling


def labelme(shapes: list[Document], image_path: str = "street.jpg", **values: Any) -> str:
    size = {"imageWidth": 160, "imageHeight": 120}
    return json.dumps({"version": "5", "shapes": shapes, "imagePath": image_path, **size, **values})


def shape(kind: str, points: list[Any], label: str = "car", **values: Any) -> Document:
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, **values}


CORNERS = [[130, 80], [142, 100]]  # of the car


@pytest.mark.parametrize(
    "shapes",
    [
        [shape("rectangle", CORNERS)],
        [shape("rectangle", CORNERS[::-1], score=None)],
        [shape("rectangle", [[130, 80], [142, 80], [142, 100], [130, 100]])],  # X-AnyLabeling 2.2
        [shape("polygon", [[130, 90], [136, 80], [142, 90], [136, 100]])],
        [shape("rotation", [[130, 90], [136, 80], [142, 90], [136, 100]], direction=0.8)],
        [shape("mask", [[130, 80], [141, 99]], mask="...")],
        [{"label": "car", "points": [[130, 80], [142, 80], [136, 100]]}],  # no shape_type: polygon
        [shape("polygon", [[130, 80], [136, 80], [136, 99]], group_id=1),
         shape("polygon", [[138, 81], [142, 81], [142, 100]], group_id=1)],
    ],
)  # fmt: skip
def test_labelme_shapes_with_an_area_are_boxes(
    shapes: list[Document], street: Path, labels_of: Callable[..., Any]
) -> None:
    (street / "labels").mkdir()
    (street / "labels" / "street.json").write_text(labelme(shapes))
    labels_of(street / "labels", CAR)


def test_labelme_shapes_without_an_area_are_counted(
    street: Path, labels_of: Callable[..., Any]
) -> None:
    shapes = [
        shape("rectangle", CORNERS),
        shape("point", [[5, 5]]),
        shape("line", [[5, 5], [9, 9]]),
        shape("rectangle", [[5, 5]]),
        shape("polygon", [[5, None], [6, 7], [8, 9]]),
        shape("rectangle", CORNERS, label=""),
    ]
    (street / "images" / "street.json").write_text(labelme(shapes))  # beside the picture
    answer = labels_of(street / "images", CAR, "1 without a box", "1 without a cl", "1 line")
    assert answer.counts["boxes_dropped"] == {
        "box.nan": 1,
        "row.bbox": 1,
        "row.category": 1,
        "shape.line": 1,
        "shape.point": 1,
    }


@pytest.mark.parametrize("image_path", ["street.jpg", "..\\images\\street.jpg", "street.png"])
def test_a_labelme_file_of_another_name_says_whose_it_is(
    image_path: str, street: Path, labels_of: Callable[..., Any]
) -> None:
    (street / "boxes.json").write_text(labelme([shape("rectangle", CORNERS)], image_path))
    labels_of(street / "boxes.json", CAR, "under another name")


def test_a_labelme_file_about_another_planned_picture_is_given_to_neither(
    street: Path, draw_street: Callable[[Path], Path], label_here: Callable[..., Any]
) -> None:
    draw_street(street / "images" / "other.jpg")
    draw_street(street / "images" / "third.jpg")
    (street / "labels").mkdir()
    for stem, image_path in (("street", "other.jpg"), ("third", "third.jpg")):
        content = labelme([shape("rectangle", CORNERS)], image_path)
        (street / "labels" / f"{stem}.json").write_text(content)
    answer = label_here(street / "images", boxes=str(street / "labels"))
    assert answer.labels.keys() == {"third.jpg"}
    rows = quarantined(answer)
    codes = {row["sample_id"]: row["code"] for row in rows}
    assert codes == {"street.jpg": "boxes.invalid", "other.jpg": "boxes.missing"}


# --- Pascal VOC


def voc(*objects: str, size: str = "<size><width>160</width><height>120</height></size>") -> str:
    return f"<annotation><filename>street.jpg</filename>{size}{''.join(objects)}</annotation>"


def voc_object(name: str, *sides: object) -> str:
    tags = ("xmin", "ymin", "xmax", "ymax")
    box = "".join(f"<{tag}>{side}</{tag}>" for tag, side in zip(tags, sides, strict=True))
    return f"<object><name>{name}</name><difficult>0</difficult><bndbox>{box}</bndbox></object>"


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        ([voc_object("car", 131, 81, 142, 100)], "counted from 1"),
        ([voc_object("car", "131.0", " 81 ", 142, 100)], "counted from 1"),
        ([voc_object("car", 130, 80, 142, 100), voc_object("dog", 0, 5, 9, 9)], "begins at 0"),
        ([voc_object("CAR", 131, 81, 142, 100)], "'CAR' as car"),
        ([voc_object("car", 131, 81, 142, 100), "<object><name>car</name></object>"], "1 without"),
        (["<object><name>car</name><polygon><x1>131</x1><y1>81</y1><x2>142</x2><y2>81</y2><x3>142"
          "</x3><y3>100</y3></polygon></object>"], "counted from 1"),
    ],
)  # fmt: skip
def test_pascal_voc_is_read(
    objects: list[str], words: str, street: Path, labels_of: Callable[..., Any]
) -> None:
    (street / "Annotations").mkdir()
    (street / "Annotations" / "street.xml").write_text(voc(*objects))
    labels_of(street / "Annotations", CAR, words)


def test_one_voc_file_that_is_broken_loses_its_picture_only(
    street: Path, draw_street: Callable[[Path], Path], label_here: Callable[..., Any]
) -> None:
    (street / "labels").mkdir()
    bad = {
        "cut": "<annotation><object>",
        "other": "<html/>",
        "entity": '<!DOCTYPE a [<!ENTITY b "c">]><annotation/>',
        "coding": '<?xml version="1.0" encoding="gbk"?><annotation/>',
    }
    for stem, text in {**bad, "street": voc(voc_object("car", 131, 81, 142, 100))}.items():
        draw_street(street / "images" / f"{stem}.jpg")
        (street / "labels" / f"{stem}.xml").write_text(text)
    answer = label_here(street / "images", boxes=str(street / "labels"))
    assert answer.labels.keys() == {"street.jpg"}
    rows = quarantined(answer)
    assert {(row["sample_id"], row["code"]) for row in rows} == {
        (f"{stem}.jpg", "boxes.invalid") for stem in bad
    }


def test_a_file_for_a_picture_of_another_size_is_told(
    street: Path, label_here: Callable[..., Any]
) -> None:
    (street / "street.xml").write_text(
        voc(voc_object("car", 1, 1, 9, 9), size="<size><width>99</width><height>9</height></size>")
    )
    answer = label_here(street / "images", boxes=str(street / "street.xml"))
    assert json.loads((answer.run / "quarantine.jsonl").read_text())["code"] == "size.mismatch"


# --- CVAT for images


def cvat(*shapes: str, name: str = "street.jpg") -> str:
    image = f'<image id="0" name="{name}" width="160" height="120">{"".join(shapes)}</image>'
    return f"<annotations><version>1.1</version>{image}</annotations>"


CVAT_BOX = '<box label="car" xtl="130" ytl="80" xbr="142" ybr="100" occluded="0"/>'


@pytest.mark.parametrize(
    "shape_",
    [
        CVAT_BOX,
        '<box label="car" xtl="126" ytl="84" xbr="146" ybr="96" rotation="90.0"/>',
        '<polygon label="car" points="130,80;142,80.0;142,100"/>',
        '<mask label="car" rle="0, 240" left="130" top="80" width="12" height="20"/>',
        '<ellipse label="car" cx="136" cy="90" rx="10" ry="6" rotation="90"/>',
        '<cuboid label="car" xtl1="130" ytl1="80" xbl1="130" ybl1="100" xtr1="140" ytr1="80" '
        'xbr1="140" ybr1="99" xtl2="132" ytl2="81" xbl2="132" ybl2="99" xtr2="142" ytr2="81" '
        'xbr2="142" ybr2="99"/>',
    ],
)
def test_cvat_shapes_are_boxes(shape_: str, street: Path, labels_of: Callable[..., Any]) -> None:
    (street / "annotations.xml").write_text(cvat(shape_, name="cam0\\street.jpg"))
    labels_of(street / "annotations.xml", CAR)


def test_cvat_shapes_that_are_no_boxes_are_counted(
    street: Path, labels_of: Callable[..., Any]
) -> None:
    shapes = [
        CVAT_BOX,
        '<polyline label="car" points="1,2;3,4"/>',
        '<box label="car" xtl="1" ytl="1" xbr="9" ybr="9"><attribute name="status">review'
        "</attribute></box>",
        '<box label="" xtl="1" ytl="1" xbr="9" ybr="9"/>',
        '<box label="car" xtl="x" ytl="1" xbr="9" ybr="9"/>',
        '<polygon label="car" points="1,2"/>',
        '<polygon label="car" points="1_0,2;3,4;5,6"/>',
    ]
    (street / "export").mkdir()
    (street / "export" / "annotations.xml").write_text(cvat(*shapes))
    answer = labels_of(street / "export", CAR, "1 polyline", "1 for review", "1 without a box")
    assert answer.counts["boxes_dropped"] == {
        "box.nan": 2,
        "row.bbox": 1,
        "row.category": 1,
        "row.review": 1,
        "shape.polyline": 1,
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<annotations><track/></annotations>", "cvat.video"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "xml.unsafe"),
        ("<annotations>", "cvat.invalid"),
        ("<other/>", "boxes.invalid"),
        ("", "boxes.invalid"),
    ],
)
def test_xml_of_another_kind_is_refused(
    text: str, code: str, street: Path, label_here: Callable[..., Any]
) -> None:
    (street / "a.xml").write_text(text)
    with pytest.raises(RequestError) as caught:
        label_here(street / "images", boxes=str(street / "a.xml"))
    assert caught.value.code == code and "\n" not in caught.value.message


# --- Folders


def test_a_folder_with_two_kinds_of_files_for_a_picture_is_refused(
    street: Path, label_here: Callable[..., Any]
) -> None:
    (street / "images" / "street.xml").write_text(voc(voc_object("car", 131, 81, 142, 100)))
    (street / "images" / "street.json").write_text(labelme([shape("rectangle", CORNERS)]))
    with pytest.raises(RequestError, match=r"\.json and \.xml files"):
        label_here(street / "images", boxes=str(street / "images"))


def test_json_of_other_things_beside_txt_files_is_passed_over(
    street: Path, labels_of: Callable[..., Any]
) -> None:
    folder = street / "labels"
    folder.mkdir()
    (folder / "street.json").write_text('{"weather": "fine"}')
    (folder / "street.txt").write_text("0 0.85 0.75 0.075 0.16666667\n")
    (street / "data.yaml").write_text("names: [car]\n")
    labels_of(folder, CAR, "YOLO")


def test_a_folder_with_one_coco_file_is_that_file(
    street: Path, boxes_xywh: dict[str, XYWH], labels_of: Callable[..., Any]
) -> None:
    folder = street / "train"  # as Roboflow and CVAT export
    folder.mkdir()
    (folder / "_annotations.coco.json").write_text(json.dumps(coco(boxes_xywh)))
    labels_of(folder, BOTH)


@pytest.mark.parametrize("kind", ["json", "xml", "coco"])
def test_a_changed_box_file_makes_another_run(
    kind: str, street: Path, boxes_xywh: dict[str, XYWH], label_here: Callable[..., Any]
) -> None:
    folder = street / "labels"
    folder.mkdir()
    texts = {
        "json": labelme([shape("rectangle", CORNERS)]),
        "xml": voc(voc_object("car", 131, 81, 142, 100)),
        "coco": json.dumps(coco(boxes_xywh)),
    }
    path = folder / f"street.{kind}"
    if kind == "coco":
        path = folder = street / "boxes.json"
    path.write_text(texts[kind])
    label_here(street / "images", boxes=str(folder))
    label_here(street / "images", boxes=str(folder))  # resumes
    path.write_text(texts[kind] + " ")
    with pytest.raises(RequestError, match="sha256"):
        label_here(street / "images", boxes=str(folder))
