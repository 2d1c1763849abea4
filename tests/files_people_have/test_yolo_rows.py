"""Folders of txt files: rows by meaning, names of classes, what lies beside, encodings.

Pictures are 160 x 120: the train is at x 20 to 110, y 30 to 70, the car at 130 to 142, 80 to 100.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from perception.core.errors import RequestError

TRAIN, CAR = "1 0.40625 0.416667 0.5625 0.333333", "0 0.85 0.75 0.075 0.166667"
ROWS = f"{TRAIN}\n{CAR}\n"
YAML = {"data.yaml": "names: [car, train]\nnc: 2\n"}
TRAIN_QUAD = "1 0.125 0.25 0.6875 0.25 0.6875 0.583333 0.125 0.583333"
CAR_QUAD = "0 0.8125 0.666667 0.8875 0.666667 0.8875 0.833333 0.8125 0.833333"
KEYPOINTS = "0.2 0.3 0.6 0.3 0.6 0.5 0.2 0.5"
VISIBLE = "0.2 0.3 2 0.6 0.3 1 0.6 0.5 2 0 0 0"
TRAIN_ROW, CAR_ROW = ("train", (20, 30, 90, 40)), ("car", (130, 80, 12, 20))
BOTH = [CAR_ROW, TRAIN_ROW]


def put(root: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else content.encode()
        (root / name).write_bytes(data)


def pose(points: int, numbers: int) -> dict[str, str]:
    return {"data.yaml": f"names: [car, train]\nkpt_shape: [{points}, {numbers}]\n"}


@pytest.mark.parametrize(
    ("rows", "extra", "expected"),
    [
        pytest.param(f"{TRAIN} 1\n{CAR} 2", YAML, BOTH, id="ultralytics#1781: box, track id"),
        pytest.param(f"{TRAIN} 1", YAML, [TRAIN_ROW], id="box, score or track id 1"),
        pytest.param(f"{TRAIN} 0.82\n{CAR} 0.3", YAML, BOTH, id="box, score"),
        pytest.param(f"{TRAIN} 0.82 1", YAML, [TRAIN_ROW], id="ultralytics#1358: score, track id"),
        pytest.param(f"{TRAIN} 0.82 14\n{CAR} 0.3 1", YAML, BOTH, id="ultralytics#5139"),
        pytest.param(f"{TRAIN} 0.82 14.0\n{CAR} 0.3 1.0", YAML, BOTH, id="float track ids"),
        pytest.param(f"{TRAIN} 0.82 14\n{CAR} 0.3", YAML, BOTH, id="one not tracked yet"),
        pytest.param(f"{TRAIN} {KEYPOINTS}", pose(4, 2), [TRAIN_ROW], id="pose.md: K 4, D 2"),
        pytest.param(f"{TRAIN} {VISIBLE}\n{CAR}", pose(4, 3), BOTH, id="pose.md: K 4, D 3"),
        pytest.param(f"{TRAIN} 0.2 0.3", pose(1, 2), [TRAIN_ROW], id="one key point"),
        pytest.param(f"{TRAIN} {KEYPOINTS} 0.8 3", pose(4, 2), [TRAIN_ROW], id="pose, tracked"),
        pytest.param(f"{TRAIN} {VISIBLE} 0.8", pose(4, 3), [TRAIN_ROW], id="pose, score"),
        pytest.param(f"{TRAIN} {VISIBLE}", YAML, [TRAIN_ROW], id="hub#721: no kpt_shape"),
        pytest.param(f"{TRAIN} {VISIBLE} 0.8 3", YAML, [TRAIN_ROW], id="no kpt_shape, tracked"),
        pytest.param(f"{TRAIN_QUAD}\n{CAR_QUAD}", YAML, BOTH, id="polygons; rotated boxes"),
        pytest.param(f"{TRAIN_QUAD} 0.83", YAML, [TRAIN_ROW], id="ultralytics#5890: score"),
        pytest.param(f"{TRAIN_QUAD} 1\n{CAR_QUAD} 2", YAML, BOTH, id="polygon, track id"),
        pytest.param(f"{TRAIN_QUAD} 0.83 1", YAML, [TRAIN_ROW], id="polygon, score, track id"),
        pytest.param(f"{TRAIN_QUAD} 0.8 3\n{CAR_QUAD} 0.4", YAML, BOTH, id="one without id"),
        pytest.param(f"{TRAIN_QUAD}\n{CAR}", YAML, BOTH, id="a polygon and a box"),
        pytest.param(
            "1 0.125 0.25 0.6875 0.25 0.4 0.583333\n" + CAR_QUAD, YAML, BOTH, id="a triangle"
        ),
        pytest.param(f"{ROWS}0 0.99 0.5 0.02 nan", YAML, BOTH, id="yolov5#3656: one bad row"),
        pytest.param(f"{ROWS}0 1.5 0.5 0.1 0.1", YAML, BOTH, id="yolov5#5210: one far outside"),
        pytest.param(f"{ROWS}0 0.1 0.1 0.2", YAML, BOTH, id="a row cut short"),
        pytest.param("1.0 0.40625 .416667 5.625e-1 +0.333333", YAML, [TRAIN_ROW], id="formats"),
    ],
)
def test_rows_mean_what_they_say_not_what_their_length_says(
    rows: str,
    extra: dict[str, str],
    expected: list[Any],
    tmp_path: Path,
    draw_street: Callable[[Path], Path],
    label_here: Callable[..., Any],
) -> None:
    draw_street(tmp_path / "images" / "street.png")
    put(tmp_path, {"labels/street.txt": rows, **extra})
    answer = label_here(tmp_path / "images", boxes=str(tmp_path / "labels"))
    assert answer.labels == {"street.png": expected}
    assert "YOLO rows" in answer.notices[0]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(
            "0 0.5 0.5 0.2 0.9\n0 1.002 0.5 0.03 0.03",
            [("car", (64, 6, 32, 108)), ("car", (158, 58, 2, 4))],
            id="yolov5#5210: 1.002",
        ),
        pytest.param(
            "0 0.5 0.5 1.004 1.004\n0 0.5 0.5 0.2 0.2",
            [("car", (0, 0, 160, 120)), ("car", (64, 48, 32, 24))],
            id="wider than the picture",
        ),
    ],
)
def test_what_reaches_just_outside_is_clipped_and_counted(
    rows: str,
    expected: list[Any],
    tmp_path: Path,
    draw_street: Callable[[Path], Path],
    label_here: Callable[..., Any],
) -> None:
    draw_street(tmp_path / "images" / "street.png")
    put(tmp_path, {"labels/street.txt": rows, **YAML})
    answer = label_here(tmp_path / "images", boxes=str(tmp_path / "labels"))
    assert answer.labels == {"street.png": expected}
    assert answer.counts["boxes_mended"] == {"row.clipped": 1}
    assert answer.counts["boxes_dropped"] == {}


def test_dropped_rows_are_said_before_the_work_and_counted_after(
    tmp_path: Path, draw_street: Callable[[Path], Path], label_here: Callable[..., Any]
) -> None:
    draw_street(tmp_path / "images" / "street.png")
    rows = f"{ROWS}{TRAIN}\n0 0.5 0.5 0.1\n0 nan 0.5 0.1 0.1\n0 0.5 0.5 0 0.1\n"
    put(tmp_path, {"labels/street.txt": rows, **YAML})
    answer = label_here(tmp_path / "images", boxes=str(tmp_path / "labels"))
    assert answer.counts["boxes_dropped"] == {
        "box.inverted": 1,
        "row.number": 1,
        "row.words": 1,
    }
    assert "2 of 6 rows give no box" in answer.notices[1]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        pytest.param(f"{TRAIN} {KEYPOINTS}", r"key points.*kpt_shape", id="hub#721: pose, D 2"),
        pytest.param(f"{TRAIN} {KEYPOINTS} 0.8", r"kpt_shape", id="pose, score"),
        pytest.param(f"{TRAIN} {KEYPOINTS} 0.8 3", r"kpt_shape", id="pose, score, track id"),
        pytest.param(f"{CAR} 0.85 0.7", r"kpt_shape", id="one key point"),
        pytest.param(
            f"{TRAIN} 0.2 0.3 0.91 0.6 0.3 0.82", r"kpt_shape", id="pose, points with scores"
        ),
        pytest.param(f"{TRAIN} 87.5\n{CAR} 60.25", r"87\.5, neither a score", id="percent"),
        pytest.param(f"{TRAIN} 87\n{TRAIN} 87", r"87, neither a score", id="percent, whole"),
        pytest.param(f"{TRAIN} 1.57\n{CAR} -0.3", r"rotated box", id="an angle"),
        pytest.param(f"{TRAIN} 0\n{CAR} 1", r"0, neither a score", id="a flag"),
        pytest.param(f"{TRAIN} 0.82 1.000000", r"or a polygon", id="an id, or a border"),
        pytest.param("1 65 50 90 40\n0 136 90 12 20", r"65|90.*in pixels", id="pixels"),
        pytest.param(
            "1 0.125 0.25 0.6875 0.583333\n0 0.8125 0.6667 0.8875 0.8333",
            r"look like corners",
            id="corners",
        ),
        pytest.param("0,0.85,0.75,0.075,0.16", r"not by commas", id="commas"),
        pytest.param("0 0,85 0,75 0,075 0,16", r"with a point", id="decimal commas"),
        pytest.param("car 0.85 0.75 0.075 0.16", r"number of a class", id="names for numbers"),
        pytest.param("2 0.5 0.5 0.1 0.1", r":1: class 2.*2 names in.*data\.yaml", id="no name"),
        pytest.param("0 0.5 0.5\n1 0.2\n" + CAR, r"3 words.*2 of 3 rows", id="most rows bad"),
        pytest.param("1 \u0660.5 0.5 0.1 0.1", r"expected a finite number", id="other digits"),
        pytest.param("1 0.5 0.5 0.1 0_1", r"'0_1', expected a finite number", id="underscore"),
        pytest.param(CAR.encode("utf-16-le"), r"not UTF-8 text.*save it", id="UTF-16, no mark"),
    ],
)
def test_what_stays_unclear_is_refused_before_any_work(
    rows: str | bytes,
    words: str,
    tmp_path: Path,
    draw_street: Callable[[Path], Path],
    label_here: Callable[..., Any],
) -> None:
    draw_street(tmp_path / "images" / "street.png")
    put(tmp_path, {"labels/street.txt": rows, **YAML})
    with pytest.raises(RequestError, match=words) as caught:
        label_here(tmp_path / "images", boxes=str(tmp_path / "labels"))
    assert caught.value.code == "boxes.invalid"
    assert "street.txt" in caught.value.message
    assert not (tmp_path / "out").exists()


LIST = "car\ntrain\n"
STUDIO = json.dumps({"categories": [{"id": 1, "name": "train"}, {"id": 0, "name": "car"}]})


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"labels/classes.txt": LIST}, id="labelImg#639"),
        pytest.param({"classes.txt": LIST, "notes.json": STUDIO}, id="label-studio-converter#22"),
        pytest.param({"notes.json": STUDIO}, id="label-studio-converter#46"),
        pytest.param({"labels/predefined_classes.txt": LIST}, id="labelImg's menu"),
        pytest.param({"obj.names": LIST, "train.txt": "data/street.png"}, id="cvat#2046"),
        pytest.param(
            {"obj.data": "classes = 2\nnames = data/my.list\n", "my.list": LIST},
            id="obj.data names the file",
        ),
        pytest.param({"labels/_darknet.labels": LIST}, id="Roboflow's darknet"),
        pytest.param({"dataset.yaml": "names:\n  0: car\n  1: train\n"}, id="dataset.yaml"),
        pytest.param({"coco8.yml": "names: {'0': car, '1': train}"}, id="text keys"),
        pytest.param(
            {"my.yaml": "download: https://example.org/a.zip\nnames: [car, train]"},
            id="a YAML that downloads",
        ),
        pytest.param({"data.yaml": "\ufeffnames: [car, train]"}, id="BOM in the YAML"),
        pytest.param({"data.yaml": "names: [car, train]".encode("utf-16")}, id="UTF-16 YAML"),
        pytest.param({"labels/classes.txt": "\ufeffcar\r\ntrain\r\n\r\n"}, id="BOM, CRLF"),
        pytest.param({"labels/classes.txt": LIST.encode("utf-16")}, id="UTF-16 names"),
        pytest.param({"images/classes.txt": LIST}, id="beside the pictures"),
        pytest.param({"classes.txt": LIST, **YAML}, id="two that agree"),
        pytest.param({**YAML, "hyp.yaml": "lr0: 0.01", "ci.yaml": "- &a names\n- *a"}, id="others"),
        pytest.param({**YAML, "../data.yaml": "names: [bus]"}, id="above the root is another set"),
    ],
)
def test_names_of_class_numbers_are_found(
    extra: dict[str, str | bytes],
    tmp_path: Path,
    draw_street: Callable[[Path], Path],
    label_here: Callable[..., Any],
) -> None:
    root = tmp_path / "set"
    draw_street(root / "images" / "street.png")
    put(root, {"labels/street.txt": ROWS, **extra})
    answer = label_here(root / "images", boxes=str(root / "labels"))
    assert answer.labels == {"street.png": BOTH}
    assert "class names of" in answer.notices[0]


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        pytest.param({}, r"looked for data\.yaml.*classes\.txt, obj\.names", id="no names"),
        pytest.param({"labels/classes.txt": ""}, r"looked for data\.yaml", id="no names in it"),
        pytest.param(
            {"labels/classes.txt": "train\ncar\n", **YAML},
            r"classes\.txt and .*data\.yaml name the classes differently: train, car and car, tr",
            id="two that disagree",
        ),
        pytest.param(
            {"labels/classes.txt": "car\n\ntrain\n"}, r"classes\.txt:2: is blank", id="gap"
        ),
        pytest.param({"labels/classes.txt": b"car\nb\xe4r\n"}, r"save it as UTF-8", id="Latin-1"),
        pytest.param({"data.yaml": "names: ["}, r"data\.yaml", id="a damaged data.yaml"),
        pytest.param(
            {"data.yaml": "names: [car, train]\nkpt_shape: 17"}, r"kpt_shape is 17", id="kpt_shape"
        ),
        pytest.param(
            {"obj.data": "names = ../../secret", "../../secret": LIST}, r"looked for", id="outside"
        ),
    ],
)
def test_names_that_are_missing_or_unsure_are_refused(
    extra: dict[str, str | bytes],
    words: str,
    tmp_path: Path,
    draw_street: Callable[[Path], Path],
    label_here: Callable[..., Any],
) -> None:
    root = tmp_path / "a" / "set"
    draw_street(root / "images" / "street.png")
    put(root, {"labels/street.txt": ROWS, **extra})
    with pytest.raises(RequestError, match=words):
        label_here(root / "images", boxes=str(root / "labels"))


KITTI = (
    "Car 0.00 0 -1.57 130.0 80.0 142.0 100.0 1.5 1.6 4.0 0.0 1.5 20.0 0.0\n"
    "Tram 0.00 0 -1.57 20.0 30.0 110.0 70.0 3.5 2.6 14.0 0.0 1.5 20.0 0.0\n"
)


@pytest.mark.parametrize(
    ("files", "boxes", "kind"),
    [
        pytest.param(
            {"README.dataset.txt": "# vehicles\n", "README.roboflow.txt": "\nv1\n====\n"},
            ".",
            "YOLO",
            id="yolov5#7976: READMEs",
        ),
        pytest.param({"labels/0_notes.txt": "seen by Ann\n"}, "labels", "YOLO", id="notes first"),
        pytest.param({"labels/Train.txt": "images/street.png\n"}, "labels", "YOLO", id="a list"),
        pytest.param({"labels/0.txt": KITTI}, "labels", "YOLO", id="KITTI rows of no picture"),
        pytest.param({"labels/street.txt": KITTI}, "labels", "KITTI", id="KITTI rows"),
        pytest.param(
            {"labels/street.txt": KITTI, "labels/0.txt": ROWS, "labels/classes.txt": LIST},
            "labels",
            "KITTI",
            id="YOLO rows of no picture",
        ),
        pytest.param(
            {"labels/street.txt": KITTI, "labels/000.txt": "000001\n000002\n"},
            "labels",
            "KITTI",
            id="a list of numbers",
        ),
        pytest.param({"labels/street.txt": f"\ufeff{ROWS}"}, "labels", "YOLO", id="BOM"),
        pytest.param(
            {"labels/street.txt": ROWS.encode("utf-16")}, "labels", "YOLO", id="XLabeling#534"
        ),
        pytest.param(
            {"labels/street.txt": f"\ufeff{KITTI}".replace("\n", "\r\n")},
            "labels",
            "KITTI",
            id="BOM before KITTI",
        ),
        pytest.param(
            {"labels/street.txt": ROWS.replace(" ", "\t").replace("\n", " \r\n\r\n")},
            "labels",
            "YOLO",
            id="tabs, CRLF, blank lines",
        ),
        pytest.param({"labels/street.txt": ROWS.replace("\n", "\r")}, "labels", "YOLO", id="CR"),
    ],
)
def test_the_kind_of_a_folder_is_that_of_the_files_of_the_pictures(
    files: dict[str, str | bytes],
    boxes: str,
    kind: str,
    tmp_path: Path,
    draw_street: Callable[[Path], Path],
    label_here: Callable[..., Any],
) -> None:
    root = tmp_path / "set"
    draw_street(root / "images" / "street.png")
    put(root, {"labels/street.txt": ROWS, **YAML, **files})
    answer = label_here(root / "images", boxes=str(root / boxes))
    assert answer.labels == {"street.png": BOTH}
    assert f"read as {kind} rows" in answer.notices[0]


def test_a_file_of_another_kind_is_said_and_quarantined_and_the_others_are_labelled(
    tmp_path: Path, draw_street: Callable[[Path], Path], label_here: Callable[..., Any]
) -> None:
    for name in ("a", "b", "c", "d"):
        draw_street(tmp_path / "images" / f"{name}.png")
    put(tmp_path, {"labels/a.txt": KITTI, "labels/b.txt": ROWS, "labels/c.txt": ROWS, **YAML})
    answer = label_here(tmp_path / "images", boxes=str(tmp_path / "labels"))
    assert answer.labels == {"b.png": BOTH, "c.png": BOTH, "d.png": []}
    assert answer.counts["quarantined_by"] == {"label.invalid": 1}
    said = " ".join(answer.notices)
    assert "1 of 3 files hold no YOLO rows" in said and "a.txt" in said
    assert "1 of 4 pictures have no file, which means no object" in said


def test_flat_files_are_found_by_their_names(
    tmp_path: Path, draw_street: Callable[[Path], Path], label_here: Callable[..., Any]
) -> None:
    # ultralytics writes what it predicts into one folder, runs/detect/predict/labels.
    draw_street(tmp_path / "images" / "train" / "a.png")
    draw_street(tmp_path / "images" / "val" / "b.png")
    put(tmp_path, {"labels/a.txt": f"{TRAIN} 0.9", "labels/b.txt": f"{CAR} 0.8", **YAML})
    answer = label_here(tmp_path / "images", boxes=str(tmp_path / "labels"))
    assert answer.labels == {"train/a.png": [TRAIN_ROW], "val/b.png": [CAR_ROW]}
    assert "2 pictures were matched by the ends of their names" in answer.notices[1]


@pytest.mark.parametrize(
    "name", ["street_png.rf.0a1b2c.txt", "STREET.txt", "deep/er/street.txt", "0a1b2c3d-street.txt"]
)
def test_files_are_found_where_tools_renamed_them(
    name: str, tmp_path: Path, draw_street: Callable[[Path], Path], label_here: Callable[..., Any]
) -> None:
    draw_street(tmp_path / "images" / "street.png")
    put(tmp_path, {f"labels/{name}": ROWS, **YAML})
    answer = label_here(tmp_path / "images", boxes=str(tmp_path / "labels"))
    assert answer.labels == {"street.png": BOTH}


def test_a_flat_file_is_not_taken_for_two_pictures(
    tmp_path: Path, draw_street: Callable[[Path], Path], label_here: Callable[..., Any]
) -> None:
    for name in ("train/a.png", "val/a.png"):
        draw_street(tmp_path / "images" / name)
    put(tmp_path, {"labels/a.txt": TRAIN, **YAML})
    with pytest.raises(RequestError, match=r"a\.txt could mean .*/a\.png or another picture"):
        label_here(tmp_path / "images", boxes=str(tmp_path / "labels"))


def test_a_wrong_folder_shows_the_names_of_both_sides(
    tmp_path: Path, draw_street: Callable[[Path], Path], label_here: Callable[..., Any]
) -> None:
    draw_street(tmp_path / "images" / "street.png")
    put(tmp_path, {"labels/other.txt": ROWS, **YAML})
    with pytest.raises(RequestError, match=r"street\.txt; what is there: other\.txt \(1 \.txt"):
        label_here(tmp_path / "images", boxes=str(tmp_path / "labels"))
