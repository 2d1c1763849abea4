import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from perception.core import masks as rle
from perception.core.errors import RequestError, SampleError
from perception.core.ontology import Target
from perception.core.polygons import ring_around
from perception.core.types import PictureLabels, SampleLabels, Status
from perception.formats import yolo
from perception.io.pictures import Pictures

ACCEPTED = frozenset({Status.ACCEPTED})
Picture = Callable[..., PictureLabels]
Sample = Callable[..., SampleLabels]
Block = Callable[..., np.ndarray]


def _images(root: Path, *pictures: PictureLabels) -> Path:
    for entry in pictures:
        path = root / entry.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((*entry.size_hw, 3), np.uint8))
    return root


def _disc(radius: float, size: int = 32) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return x**2 + y**2 <= radius**2


def test_labels_names_and_pictures_stand_where_ultralytics_looks(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    front = picture(
        [block(3, 5, 9, 10), block(20, 0, 22, 2), block(0, 0, 0, 0)],
        [6, 13, 6],
        file_name="cam/a.b.png",
    )
    root = _images(tmp_path / "data", front)

    summary = yolo.write(
        [sample(front)], tmp_path / "out", target, statuses=ACCEPTED, pictures=Pictures(root)
    )

    assert summary.left_out == (("class.ignored", 1), ("mask.empty", 1))
    assert (summary.samples, summary.labels, summary.ignored) == (1, 1, 0)
    # Person (24) is class 0, car (26) class 1. Pixels 3..8 x 5..9 of 30 x 20; vertices a tenth of
    # a pixel inside: 3.1 / 30, 5.1 / 20, 8.9 / 30, 9.9 / 20.
    row = (tmp_path / "out/labels/cam/a.b.txt").read_text().split()
    assert row[0] == "1"
    corners = {tuple(row[i : i + 2]) for i in range(1, len(row), 2)}
    assert corners == {(x, y) for x in ("0.103333", "0.296667") for y in ("0.255000", "0.495000")}
    copy = tmp_path / "out/images/cam/a.b.png"
    assert not copy.is_symlink() and not copy.samefile(root / "cam/a.b.png")
    assert copy.read_bytes() == (root / "cam/a.b.png").read_bytes()
    assert yaml.safe_load((tmp_path / "out/data.yaml").read_text()) == {
        "path": str((tmp_path / "out").resolve()),
        "train": "images",
        "val": "images",
        "names": {0: "person", 1: "car"},
    }
    assert yolo.read_names(tmp_path / "out/data.yaml") == ("person", "car")


def test_what_may_be_an_object_and_is_no_label_is_painted_over(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    # A trainer takes whatever has no row for background: silence must not be seen.
    bitmaps = [block(3, 5, 9, 10), block(8, 4, 12, 8), block(20, 0, 22, 2), block(25, 9, 27, 12)]
    bitmaps[1] &= ~bitmaps[0]  # masks are settled; its box still reaches over the label
    front = picture(
        bitmaps,
        [6, 1, 13, 6],
        [Status.ACCEPTED, Status.REVIEW, Status.REVIEW, Status.REJECTED],
        file_name="a.jpg",
    )
    wide = front.instances.boxes_xyxy.copy()
    wide[1], wide[3] = (8, 4, 14.5, 8), (24, 9, 30, 12)
    front = replace(front, instances=replace(front.instances, boxes_xyxy=wide))
    root = tmp_path / "data"
    root.mkdir()
    shade = np.full((20, 30, 3), (200, 90, 40), np.uint8)  # one colour: JPEG keeps it
    cv2.imwrite(str(root / "a.jpg"), shade)
    seen = cv2.imread(str(root / "a.jpg"))
    before, out = (root / "a.jpg").read_bytes(), tmp_path / "out"
    for _ in range(2):
        summary = yolo.write(
            [sample(front)], out, target, statuses=ACCEPTED, pictures=Pictures(root)
        )
    assert (summary.labels, summary.ignored) == (1, 2)
    assert summary.left_out == (("class.ignored", 1),)
    assert [path.name for path in (out / "images").iterdir()] == ["a.png"]
    assert [path.name for path in (out / "labels").iterdir()] == ["a.txt"]
    painted = cv2.imread(str(out / "images/a.png"))
    # For review the whole box, 8..14 x 4..7; what is rejected its mask; no pixel of the label.
    hidden = (block(8, 4, 15, 8) | bitmaps[3]) & ~bitmaps[0]
    assert (painted[hidden] == 114).all()  # the grey around a picture that ultralytics pads
    np.testing.assert_array_equal(painted[~hidden], seen[~hidden])
    assert (root / "a.jpg").read_bytes() == before
    other = picture([block(1, 1, 3, 3)], [6], [Status.REVIEW], size_hw=(20, 31), file_name="a.jpg")
    with pytest.raises(RequestError, match=r"size\.mismatch.*restore the picture"):
        yolo.write([sample(other)], out, target, statuses=ACCEPTED, pictures=Pictures(root))


def _again(bitmap: np.ndarray) -> np.ndarray:
    """Write a mask the way a label file does and fill it the way ultralytics does."""
    height, width = bitmap.shape
    ring = ring_around(bitmap) / (width, height)
    assert len(ring) >= 3
    assert (ring >= 0).all() and (ring <= 1).all()
    rounded = np.array([float(f"{value:.6f}") for value in ring.ravel()], np.float32)
    canvas = np.zeros(bitmap.shape, np.uint8)
    points = (rounded.reshape(-1, 2) * (width, height)).astype(np.int32)
    cv2.fillPoly(canvas, [points], 1)
    return canvas.astype(bool)


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)))
def test_a_mask_of_one_part_comes_back_exactly_holes_included(bitmap: np.ndarray) -> None:
    parts, labels = cv2.connectedComponents(bitmap.astype(np.uint8), connectivity=8)
    assume(parts > 1)
    piece = labels == 1
    np.testing.assert_array_equal(_again(piece), piece)


@pytest.mark.parametrize(
    "bitmap",
    [
        np.ones((1, 1), bool),
        np.ones((1, 5), bool),
        np.ones((5, 1), bool),
        np.eye(5, dtype=bool),
        np.eye(5, dtype=bool)[::-1],
        np.ones((2, 2), bool),
        _disc(15),
        _disc(15) & ~_disc(6),
        _disc(15) & ~_disc(12) | _disc(8) & ~_disc(3),
    ],
    ids=["pixel", "row", "column", "diagonal", "anti", "2x2", "disc", "ring", "target"],
)
def test_shapes_of_any_size_have_three_points_and_come_back(bitmap: np.ndarray) -> None:
    again = _again(bitmap)
    iou = (again & bitmap).sum() / (again | bitmap).sum()
    assert iou > 0.97


def test_the_bounds_of_a_ring_are_those_of_the_mask() -> None:
    # ultralytics takes its boxes from the polygon; through pixel centres it would be too small.
    ring = ring_around(_disc(10))
    ys, xs = np.nonzero(_disc(10))
    bounds = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    assert np.abs(np.concatenate([ring.min(axis=0), ring.max(axis=0)]) - bounds).max() < 0.2


def test_masks_in_parts_are_joined_and_specks_smaller_than_their_bridge_left_out() -> None:
    near = np.zeros((32, 64), bool)
    near[4:28, 4:30] = True
    near[4:28, 32:60] = True
    again = _again(near)
    assert (again & near).sum() == near.sum()
    assert (again & ~near).sum() <= 3  # the bridge
    far = np.zeros((32, 64), bool)
    far[4:28, 4:20] = True
    far[10, 60] = True
    again = _again(far)
    assert (again ^ far).sum() == 1


def test_many_specks_do_not_stop_the_export() -> None:
    noise = np.random.default_rng(0).random((200, 200)) < 0.3
    assert len(ring_around(noise)) >= 3


@pytest.mark.parametrize("hidden", [False, True], ids=["same-jpeg", "painted-png"])
def test_reading_gives_back_what_was_written_and_the_loss_is_measured(
    tmp_path: Path, picture: Picture, sample: Sample, target: Target, hidden: bool
) -> None:
    size_hw = (40, 96)
    bitmaps = np.zeros((4, *size_hw), bool)
    bitmaps[0, 4:36, 2:34] = _disc(15.5)
    bitmaps[1, 4:36, 34:66] = _disc(14) & ~_disc(6)
    bitmaps[2, 4:36, 66:72] = bitmaps[2, 4:36, 75:90] = True  # two parts
    bitmaps[3, 4:36, 92:94] = True
    statuses = [*[Status.ACCEPTED] * 3, Status.REJECTED]
    count = 4 if hidden else 3
    front = picture(
        list(bitmaps[:count]),
        [6, 1, 7, 6][:count],
        statuses[:count],
        size_hw=size_hw,
        file_name="a.JPEG",
    )
    root = tmp_path / "data"
    root.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), np.uint8)
    (root / "a.JPEG").write_bytes(cv2.imencode(".jpg", noise)[1].tobytes())
    before, out = (root / "a.JPEG").read_bytes(), tmp_path / "out"

    summary = yolo.write([sample(front)], out, target, statuses=ACCEPTED, pictures=Pictures(root))

    assert [path.name for path in root.iterdir()] == ["a.JPEG"]
    assert (root / "a.JPEG").read_bytes() == before
    (image,) = (out / "images").iterdir()
    if hidden:  # a second JPEG would change all other pixels too
        shown = cv2.imread(str(root / "a.JPEG"))
        shown[bitmaps[3]] = 114
        assert image.name == "a.png"
        np.testing.assert_array_equal(cv2.imread(str(image)), shown)
    else:
        assert image.name == "a.JPEG" and not image.is_symlink()
        assert image.read_bytes() == before
    found = yolo.read(out, {"a.JPEG": size_hw})["a.JPEG"]
    assert found.class_ids.tolist() == [1, 0, 1]
    again = rle.decode(found.masks)
    ious = (again & bitmaps[:3]).sum(axis=(1, 2)) / (again | bitmaps[:3]).sum(axis=(1, 2))
    assert ious[:2].tolist() == [1, 1]
    assert 0.97 < ious[2] < 1
    assert summary.labels == 3


def test_exports_without_objects_have_empty_files_and_lose_nothing(
    tmp_path: Path, picture: Picture, sample: Sample, target: Target
) -> None:
    root = _images(tmp_path / "data", picture())
    for number, samples in enumerate([[], [sample()], [sample(picture())]]):
        out = tmp_path / str(number)
        summary = yolo.write(samples, out, target, statuses=ACCEPTED, pictures=Pictures(root))
        assert summary.labels == 0
        assert (out / "images").is_dir() and (out / "labels").is_dir()
    assert (tmp_path / "2/labels/a.txt").read_bytes() == b""
    assert len(yolo.read(tmp_path / "2", {"a.png": (20, 30)})["a.png"]) == 0
    assert list((tmp_path / "1/labels").iterdir()) == []


ULTRALYTICS = """
import json, sys
import numpy as np
import yaml
from ultralytics.data.dataset import YOLODataset
from ultralytics.data.utils import polygon2mask
out, result = sys.argv[1:]
data = yaml.safe_load(open(out + "/data.yaml")) | {"channels": 3}
dataset = YOLODataset(img_path=out + "/images", data=data, task="segment", augment=False)
found = {}
for label in dataset.labels:
    h, w = label["shape"]
    masks = [polygon2mask((h, w), [(s * (w, h)).reshape(-1)]) for s in label["segments"]]
    found[label["im_file"]] = {
        "classes": label["cls"].ravel().tolist(),
        "masks": [np.flatnonzero(mask).tolist() for mask in masks],
        "boxes": (label["bboxes"] * (w, h, w, h)).tolist(),
    }
json.dump(found, open(result, "w"))
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ultralytics") is None, reason="ultralytics is not installed")
def test_ultralytics_own_loader_finds_the_same_objects_classes_and_pixels(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    front = picture(
        [block(3, 5, 9, 10) & ~block(5, 7, 7, 8), block(10, 0, 12, 2), block(20, 9, 21, 10)],
        [6, 1, 6],
        file_name="cam/images/a.png",  # a folder `images` would mislead ultralytics' path rule
    )
    pictures = [front, picture(file_name="empty.png"), picture([block(0, 0, 30, 20)])]
    root, out = _images(tmp_path / "data", *pictures), tmp_path / "images" / "out"
    yolo.write([sample(*pictures)], out, target, statuses=ACCEPTED, pictures=Pictures(root))

    environment = {
        **os.environ,
        "YOLO_OFFLINE": "True",
        "YOLO_AUTOINSTALL": "False",
        "ULTRALYTICS_SKIP_REQUIREMENTS_CHECKS": "1",
        "YOLO_CONFIG_DIR": str(tmp_path),
        "YOLO_VERBOSE": "False",
    }
    result = tmp_path / "found.json"
    command = [sys.executable, "-c", ULTRALYTICS, str(out), str(result)]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)

    by_name = json.loads(result.read_text())
    assert len(by_name) == 3
    seen = by_name[str(out / "images/cam/images_/a.png")]
    assert seen["classes"] == [1, 0, 1]
    for number, pixels in enumerate(seen["masks"]):
        ours = rle.decode_one(front.instances.masks, number)
        assert pixels == np.flatnonzero(ours).tolist()
    np.testing.assert_allclose(seen["boxes"][0], [6, 7.5, 6, 5], atol=0.3)
    assert by_name[str(out / "images/empty.png")]["classes"] == []
    assert by_name[str(out / "images/a.png")]["classes"] == [1]
    assert len(by_name[str(out / "images/a.png")]["masks"][0]) == 600


def test_an_export_can_be_repeated_and_never_replaces_a_picture_by_another(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    front = picture([block(3, 5, 9, 10)])
    root, out = _images(tmp_path / "data", front), tmp_path / "out"
    source, copy = root / "a.png", out / "images/a.png"
    before = source.read_bytes()
    copy.parent.mkdir(parents=True)
    copy.symlink_to(source)  # exports of before were links: nothing is written through one
    for _ in range(2):
        yolo.write([sample(front)], out, target, statuses=ACCEPTED, pictures=Pictures(root))
        assert not copy.is_symlink() and copy.read_bytes() == before
    copy.write_bytes(b"precious")
    with pytest.raises(RequestError, match=r"export\.collision.*another file"):
        yolo.write([sample(front)], out, target, statuses=ACCEPTED, pictures=Pictures(root))
    assert copy.read_bytes() == b"precious"
    assert source.read_bytes() == before


def test_the_dataset_itself_and_missing_pictures_are_refused(
    tmp_path: Path, picture: Picture, sample: Sample, target: Target
) -> None:
    with pytest.raises(RequestError, match=r"export\.collision.*the dataset itself"):
        yolo.write([], tmp_path, target, statuses=ACCEPTED, pictures=Pictures(tmp_path))
    with pytest.raises(RequestError, match=r"io\.not_found.*a\.png"):
        yolo.write(
            [sample(picture())],
            tmp_path / "o",
            target,
            statuses=ACCEPTED,
            pictures=Pictures(tmp_path),
        )


@pytest.mark.parametrize("name", ["../a.png", "/a.png"])
def test_no_name_leads_outside_the_export(
    tmp_path: Path, picture: Picture, sample: Sample, target: Target, name: str
) -> None:
    with pytest.raises(RequestError, match=r"path\.outside_root"):
        yolo.write(
            [sample(picture(file_name=name))],
            tmp_path / "out",
            target,
            statuses=ACCEPTED,
            pictures=Pictures(tmp_path),
        )


def test_one_stem_with_two_extensions_collides(
    tmp_path: Path, picture: Picture, sample: Sample, target: Target
) -> None:
    pictures = [picture(file_name="a.png"), picture(file_name="a.jpg")]
    root = _images(tmp_path / "data", *pictures)
    samples = [sample(pictures[0], id="one"), sample(pictures[1], id="two")]
    with pytest.raises(RequestError, match=r"export\.collision.*'one'.*'two'"):
        yolo.write(samples, tmp_path / "out", target, statuses=ACCEPTED, pictures=Pictures(root))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0 0.5 0.5 0.2", "a.txt:2: 4 words, expected 5"),
        ("0 0.5 0.5 0.2 0.1 0.9", "a.txt:2: 6 words"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "a.txt:2: 8 words"),
        ("0 0.5 0.5 0.2 x", "a.txt:2: 'x', expected a finite number"),
        ("0 0.5 0.5 inf 0.1", "'inf'"),
        ("2 0.5 0.5 0.2 0.1", "class '2', expected 0 to 1"),
        ("0.5 0.5 0.5 0.2 0.1", "class '0.5'"),
        ("0 0.5 1.02 0.2 0.1", "1.02, expected 0 to 1"),
        ("0 0.5 -0.02 0.2 0.1", "-0.02"),
    ],
)
def test_a_row_that_is_no_mask_of_ours_is_named_by_file_and_line(
    tmp_path: Path, row: str, message: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"0 0.5 0.5 0.2 1.005\n{row}\n")
    with pytest.raises(SampleError, match=r"label\.invalid") as caught:
        list(yolo.read_rows(path, 2))
    assert message in caught.value.message


@given(
    st.lists(st.floats(-1e-2, 1 + 1e-2), min_size=6, max_size=16).filter(lambda v: not len(v) % 2)
)
def test_foreign_polygons_stay_in_the_image(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    out = tmp_path_factory.getbasetemp() / "foreign"
    (out / "labels").mkdir(parents=True, exist_ok=True)
    (out / "data.yaml").write_text("names: [car]\n")
    (out / "labels/a.txt").write_text("0 " + " ".join(f"{value:.9f}" for value in values))
    found = yolo.read(out, {"a.jpg": (7, 11)})["a.jpg"]
    rle.checked(found.masks)
    assert rle.areas(found.masks)[0] >= 1


def test_a_box_row_is_no_mask(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "data.yaml").write_text("names: [car]\n")
    (tmp_path / "labels/a.txt").write_text("0 0.5 0.5 0.2 0.1\n")
    with pytest.raises(SampleError, match=r"label\.invalid.*a\.txt:1: a box"):
        yolo.read(tmp_path, {"a.jpg": (7, 11)})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: [person, car]", ("person", "car")),
        ("names: {1: car, 0: person}", ("person", "car")),
        ("names: {'0': person, '1': car}", ("person", "car")),  # text keys
        ("\ufeffnames: [person]", ("person",)),
        ("names: [traffic light]\npath: /x\ntrain: images", ("traffic light",)),
    ],
)
def test_names_come_as_a_list_or_by_number(
    tmp_path: Path, text: str, names: tuple[str, ...]
) -> None:
    (tmp_path / "data.yaml").write_text(text)
    assert yolo.read_names(tmp_path / "data.yaml") == names


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("config.unsafe", "names: [car]\ndownload: |\n  open('canary', 'w')"),
        ("config.unsafe", "names: [car]\ndownload: null"),
        ("config.unsafe", "names: !!python/object/apply:os.system ['touch canary']"),
        ("config.unsafe", "a: &a [car]\nnames: *a"),
        ("config.invalid", "names: {0: car, 2: bus}"),
        ("config.invalid", "names: {0: car, '0': bus}"),
        ("config.invalid", "names: {0: car, '01': bus}"),
        ("config.invalid", "names: []"),
        ("config.invalid", "names: [no, 1]"),
        ("config.invalid", "names: car"),
        ("config.invalid", "path: x"),
        ("config.invalid", "[car]"),
        ("config.invalid", ""),
    ],
)
def test_a_data_yaml_that_is_unsafe_or_incomplete_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(RequestError) as caught:
        yolo.read_names(tmp_path / "data.yaml")
    assert caught.value.code == code
    assert not (tmp_path / "canary").exists()
