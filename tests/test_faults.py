"""What is known to go wrong, through the whole job: source, label, status. One number, one fault.

The rows that one module answers for alone are tested beside it as well (`test_row_NN` in its file);
`test_every_fault_that_we_promise_to_handle_has_a_test` knows all numbers; `make faults` shows them.
"""

import importlib.util
import json
import math
import os
import pickle
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from perception import cli
from perception.commands.exports import export
from perception.commands.label import label as label_source
from perception.commands.request import LabelRequest
from perception.commands.results import Run
from perception.core import masks as rle
from perception.core.errors import RequestError
from perception.core.types import PointState, SampleLabels, Status
from perception.formats import coco

Draw = Callable[..., Path]
Prepare = Callable[[str], None]
OBJECT = (10, 10, 30, 30, 255)
HTML = b"<!DOCTYPE html>\n<html><title>404</title></html>"


def test_every_fault_that_we_promise_to_handle_has_a_test() -> None:
    spec = importlib.util.spec_from_file_location("faults", Path(__file__).parent / "faults.py")
    assert spec is not None and spec.loader is not None
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    text = "".join(path.read_text() for path in Path(__file__).parent.rglob("test_*.py"))
    names = re.findall(r"def (test_rows?_\w+)", text)
    tested = {row for name in names for row in table.rows_of(name)}
    assert tested == table.ROWS.keys() == {*range(1, 44)}


def label(source: str, out: Path, **options: Any) -> Run:
    looking = {} if "boxes" in options else {"detector": "bright"}
    settings = {"segmenter": "boxes"} | looking | options
    return label_source(LabelRequest(source, out, **settings))


def refused(source: str, out: Path, **options: Any) -> RequestError:
    """Return why a request is refused; nothing may have been labelled by then."""
    with pytest.raises(RequestError) as caught:
        label(source, out, **options)
    assert list(out.glob("evidence/*")) == [] and list(out.glob("labels/*")) == []
    return caught.value


class Results:
    """What became of each sample of a run."""

    def __init__(self, run: Run) -> None:
        self.counts = run.counts
        self.labels = {sample.id: sample for sample in run.labels()}
        rows = (run.folder / "quarantine.jsonl").read_text().splitlines()
        self.quarantine = {row["sample_id"]: row for row in map(json.loads, rows)}
        samples = self.counts["samples"]
        assert samples["ok"] + samples["empty"] + samples["quarantined"] == samples["input"]
        assert not self.labels.keys() & self.quarantine.keys()
        assert len(self.labels) + len(self.quarantine) == samples["input"]

    def code(self, sample_id: str) -> str:
        return str(self.quarantine[sample_id]["code"])

    def instances(self, sample_id: str) -> int:
        return sum(len(picture.instances) for picture in self.labels[sample_id].pictures)


def png(width: int, height: int, *, kind: int = 2) -> bytes:
    """Return the header of a PNG and no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    chunk = b"IHDR" + header
    length, checksum = struct.pack(">I", len(header)), struct.pack(">I", zlib.crc32(chunk))
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + length + chunk + checksum + end


def with_exif_rotation(jpeg: bytes) -> bytes:
    """Insert EXIF orientation 6: turn by a quarter to show it upright."""
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    payload = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, draw: Draw) -> Path:
    """A folder of pictures with every fault that an image file can have, and a list of them."""
    root = tmp_path_factory.mktemp("faults") / "src"
    for name in ("good.png", "image_02/000.png", "image_03/000.png", "Case.png", "case.png"):
        draw(root / name, OBJECT)
    draw(root / "nothing.png")
    draw(root / "a b \u00fc,;.png", OBJECT)
    (root / "zero.jpg").touch()
    image = cv2.imread(str(root / "good.png"))
    assert image is not None
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    (root / "half.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (root / "no-eoi.jpg").write_bytes(jpeg[:-2])
    (root / "rotated.jpg").write_bytes(with_exif_rotation(jpeg))
    (root / "page.jpg").write_bytes(HTML)
    (root / "lfs.jpg").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:6d\n")
    (root / "bomb.png").write_bytes(png(50_000, 50_000))
    cv2.imwrite(str(root / "deep.png"), image.astype(np.uint16) * 257)
    cv2.imwrite(str(root / "grey.png"), image[..., 0])
    cv2.imwrite(str(root / "alpha.png"), np.dstack([image, np.full(image.shape[:2], 9, np.uint8)]))
    cv2.imwrite(str(root / "pixel.png"), np.full((1, 1, 3), 20, np.uint8))
    (root / "animation.gif.png").write_bytes(b"GIF89a" + bytes(40))
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*.*"))
    (root / "list.txt").write_text("\n".join([*names, "missing.png", ""]), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def results(folder: Path, snapshot: Callable[[Path], dict[str, bytes]]) -> Results:
    before = snapshot(folder)
    run = label(f"images:{folder / 'list.txt'}", folder.parent / "run")
    assert snapshot(folder) == before, "the source was changed"
    found = Results(run)
    assert found.instances("good.png") == 1  # the rest of the run is unharmed
    return found


@pytest.mark.slow
def test_row_01_a_zero_byte_image_is_quarantined(results: Results) -> None:
    assert results.code("zero.jpg") == "image.empty"


def test_row_02_a_truncated_jpeg_is_quarantined(results: Results) -> None:
    assert results.code("half.jpg") == results.code("no-eoi.jpg") == "image.truncated"


def test_row_03_pages_and_pointers_are_no_images(results: Results) -> None:
    assert results.code("page.jpg") == results.code("lfs.jpg") == "image.not_an_image"


def test_row_04_a_bomb_is_quarantined_by_its_header(results: Results) -> None:
    assert results.code("bomb.png") == "image.too_large"
    assert "50000 x 50000" in results.quarantine["bomb.png"]["message"]


def test_row_05_odd_kinds_of_images_are_labelled_or_unsupported(results: Results) -> None:
    for name in ("deep.png", "grey.png", "alpha.png"):
        assert results.instances(name) == 1, name
    assert results.instances("pixel.png") == 0
    assert results.code("animation.gif.png") == "image.unsupported"


def test_row_06_masks_lie_on_the_picture_as_it_is_shown(results: Results) -> None:
    (picture,) = results.labels["rotated.jpg"].pictures
    assert picture.size_hw == picture.instances.masks.size_hw == (64, 48)
    x0, y0, x1, y1 = OBJECT[:4]  # Orientation 6: a quarter turn clockwise
    upright = [48 - y1, x0, 48 - y0, x1]
    np.testing.assert_allclose(picture.instances.masks.boxes_xyxy, [upright], atol=1)


def test_row_07_a_missing_image_is_quarantined(results: Results) -> None:
    assert results.code("missing.png") == "io.not_found"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_row_07_an_image_without_permission_is_quarantined(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "src" / "a.png").chmod(0)
    draw(tmp_path / "src" / "b.png", OBJECT)
    found = Results(label(f"images:{tmp_path / 'src'}", tmp_path / "run"))
    assert found.code("a.png") == "io.denied" and found.instances("b.png") == 1


def test_row_08_equal_names_give_two_records_and_two_outputs(
    results: Results, folder: Path, tmp_path: Path
) -> None:
    twins = ("image_02/000.png", "image_03/000.png", "Case.png", "case.png")
    assert [results.instances(name) for name in twins] == [1, 1, 1, 1]
    export(folder.parent / "run", "png", tmp_path)
    for name in twins:
        assert (tmp_path / "class" / name).is_file()
        preview = Path(name).with_suffix(".jpg")
        assert (folder.parent / "run" / "preview" / preview).is_file()


def test_row_09_legal_odd_names_are_labelled(results: Results) -> None:
    assert results.instances("a b \u00fc,;.png") == 1


@pytest.mark.parametrize("entry", ["../secret", "{}/secret", "link.png"])
def test_row_09_a_list_that_leads_out_of_its_folder_to_no_image_is_refused(
    tmp_path: Path, draw: Draw, entry: str
) -> None:
    (tmp_path / "secret").write_text("root:x:0:0\n")
    source = draw(tmp_path / "src" / "in.png", OBJECT).parent
    (source / "link.png").symlink_to(tmp_path / "secret")
    (source / "list.txt").write_text(f"in.png\n{entry.format(tmp_path)}\n")
    error = refused(f"images:{source / 'list.txt'}", tmp_path / "run")
    assert error.code == "path.outside_root" and "root:x" not in error.message


@pytest.mark.slow
def test_row_09_a_link_that_leads_out_after_planning_is_quarantined(
    tmp_path: Path, draw: Draw, detector_does: Prepare
) -> None:
    source = draw(tmp_path / "src" / "a.png", OBJECT).parent
    for number in range(8):  # more than are read ahead
        draw(source / f"b{number}.png", OBJECT)
    draw(tmp_path / "out.png", OBJECT)
    link, new = draw(source / "c.png", OBJECT), str(tmp_path / "new")
    # At once: between two steps there would be no file at all.
    detector_does(
        f"os.symlink({str(tmp_path / 'out.png')!r}, {new!r}); os.replace({new!r}, {str(link)!r})"
    )
    found = Results(label(f"images:{source}", tmp_path / "run"))
    assert found.code("c.png") == "path.outside_root" and found.instances("a.png") == 1


def coco_boxes(path: Path, boxes: list[Any], **image: Any) -> Path:
    """Write boxes (xywh, and more keys) of one image for `--boxes`."""
    entry = {"id": 1, "file_name": "a.png", "width": 64, "height": 48} | image
    annotations = [
        {"id": i, "image_id": 1, "category_id": 1}
        | (box if isinstance(box, dict) else {"bbox": box})
        for i, box in enumerate(boxes, start=1)
    ]
    value = {
        "images": [entry],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "car"}],
    }
    path.write_text(json.dumps(value))
    return path


@pytest.mark.slow
def test_row_10_an_image_of_another_size_than_its_boxes_is_quarantined(
    tmp_path: Path, draw: Draw
) -> None:
    draw(tmp_path / "src" / "a.png", OBJECT)
    boxes = coco_boxes(tmp_path / "boxes.json", [[10, 10, 20, 20]], width=128)
    found = Results(label(f"images:{tmp_path / 'src'}", tmp_path / "run", boxes=str(boxes)))
    assert found.code("a.png") == "size.mismatch"
    assert re.search("64 x 48.*128 x 48", found.quarantine["a.png"]["message"])


@pytest.mark.slow
def test_row_10_an_image_of_another_size_than_its_calibration_is_quarantined(
    tmp_path: Path, draw: Draw
) -> None:
    drive = tmp_path / "drive"
    for i, size_hw in enumerate([(48, 64), (40, 64)]):
        draw(drive / "image_02" / "data" / f"{i:010d}.png", OBJECT, size_hw=size_hw)
    (drive / "calib_cam_to_cam.txt").write_text(
        "S_rect_02: 64 48\nP_rect_02: 50 0 32 0 0 50 24 0 0 0 1 0\nR_rect_00: 1 0 0 0 1 0 0 0 1\n"
    )
    (drive / "calib_velo_to_cam.txt").write_text("R: 0 -1 0 0 0 -1 1 0 0\nT: 0 0 0\n")
    found = Results(label(f"kitti-raw:{drive}", tmp_path / "run"))
    assert found.code("0000000001") == "size.mismatch" and found.instances("0000000000") == 1
    message = found.quarantine["0000000001"]["message"]
    assert "64 x 40" in message and "64 x 48" in message


def test_row_11_a_picture_without_objects_is_recorded_as_empty(
    results: Results, folder: Path
) -> None:
    assert results.instances("nothing.png") == 0
    assert results.counts["samples"]["empty"] == 2  # the picture of one pixel is the other


@pytest.mark.slow
def test_row_14_boxes_that_are_none_are_dropped_and_counted(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "src" / "a.png", OBJECT)
    boxes = [
        [10, 10, 20, 20],
        [-5, -5, 20, 20],  # over the edge: cut there
        [30, 10, -9, 20],
        [30, 10, 20, 0],
        [100, 100, 9, 9],
        [5, 5, 0.4, 0.4],
        [math.nan, 1, 9, 9],
        {"bbox": [1, 1, 9, 9], "score": None},  # a box that a person gave needs none
    ]
    path = coco_boxes(tmp_path / "boxes.json", boxes)
    found = Results(label(f"images:{tmp_path / 'src'}", tmp_path / "run", boxes=str(path)))
    assert found.instances("a.png") == 3
    assert found.counts["boxes_dropped"] == {
        "box.inverted": 2,
        "box.nan": 1,
        "box.outside_image": 1,
        "box.too_small": 1,
    }


@pytest.mark.slow
def test_row_15_masks_that_are_none_are_never_written_as_good_labels(
    tmp_path: Path, draw: Draw, in_worker: Prepare
) -> None:
    draw(tmp_path / "src" / "a.png", *((x, 10, x + 9, 30, 255) for x in (2, 22, 42)))
    in_worker(
        "import numpy as np\n"
        "from perception.models import fakes\n"
        "def segment(self, image_rgb, boxes_xyxy):\n"
        "    nothing = np.zeros(image_rgb.shape[:2], bool)\n"
        "    elsewhere = nothing.copy()\n"
        "    elsewhere[35:45, 2:12] = True\n"
        "    return fakes.segments_of([nothing, ~nothing, elsewhere], nothing.shape)\n"
        "fakes.BoxFiller.__call__ = segment\n"
    )
    run = label(f"images:{tmp_path / 'src'}", tmp_path / "run")
    (picture,) = Results(run).labels["a.png"].pictures
    assert set(picture.instances.statuses) == {Status.REJECTED}
    assert [reasons[0] for reasons in picture.instances.reasons] == [
        "mask.empty",
        "mask.full_frame",
        "mask.off_box",
    ]
    (done,) = export(run.folder, "coco", tmp_path / "coco.json")
    assert done.written.labels == 0  # type: ignore[union-attr]
    (exported,) = coco.read(tmp_path / "coco.json")
    assert exported.annotations.iscrowd.all()


@pytest.mark.slow
def test_row_16_what_a_segmenter_does_to_its_boxes_is_not_stored(
    tmp_path: Path, draw: Draw, in_worker: Prepare
) -> None:
    draw(tmp_path / "src" / "a.png", OBJECT)
    in_worker(
        "from perception.models import fakes\n"
        "plain = fakes.BoxFiller.__call__\n"
        "def segment(self, image_rgb, boxes_xyxy):\n"
        "    answer = plain(self, image_rgb, boxes_xyxy)\n"
        "    try:\n"
        "        boxes_xyxy *= 16\n"
        "    except ValueError:\n"
        "        pass\n"
        "    return answer\n"
        "fakes.BoxFiller.__call__ = segment\n"
    )
    found = Results(label(f"images:{tmp_path / 'src'}", tmp_path / "run"))
    (picture,) = found.labels["a.png"].pictures
    np.testing.assert_array_equal(picture.instances.boxes_xyxy, [OBJECT[:4]])


@pytest.mark.slow
def test_row_17_a_class_map_that_misses_a_name_of_the_model_is_refused(
    tmp_path: Path, draw: Draw
) -> None:
    draw(tmp_path / "src" / "a.png", OBJECT)
    error = refused(f"images:{tmp_path / 'src'}", tmp_path / "run", class_map="kitti-to-road")
    assert error.code == "class.unknown" and "'car'" in error.message


@pytest.mark.slow
def test_row_17_ignored_classes_are_counted_and_unknown_ones_refused(
    tmp_path: Path, kitti: Draw
) -> None:
    labels = kitti(tmp_path / "src", 3) / "training" / "label_2"
    row = "{} 0 0 0 20 14 44 34 1 1 1 0 0 10 0\n"
    (labels / "000001.txt").write_text(row.format("Spaceship"))
    (labels / "000002.txt").write_text(row.format("DontCare"))
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "source: kitti\ntarget: road\nmap: {Van: van}\n"
        "ignore: [Car, Truck, Pedestrian, Person_sitting, Cyclist, Tram, Misc, DontCare]\n"
    )
    source, options = f"kitti:{tmp_path / 'src'}", {"boxes": "label_2", "class_map": str(mine)}
    with pytest.raises(RequestError, match=r"class\.unknown.*'Spaceship'"):
        label(source, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
    other = tmp_path / "other.yaml"
    other.write_text(mine.read_text().replace("[Car,", "[Car, Spaceship,"))
    found = Results(label(source, tmp_path / "run", **options | {"class_map": str(other)}))
    assert found.counts["classes_ignored"] == {"Car": 1, "Spaceship": 1}
    assert found.counts["classes_accepted"] == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "counts", ["P", "0" * 9, [3, -1, 48 * 64 - 2], [1, 2], [48 * 64 + 1], "\u00e9", 7]
)
def test_row_18_hostile_run_lengths_are_refused_and_the_process_lives(
    tmp_path: Path, draw: Draw, counts: object
) -> None:
    draw(tmp_path / "src" / "a.png", OBJECT)
    shape = {"segmentation": {"size": [48, 64], "counts": counts}}
    boxes = coco_boxes(tmp_path / "boxes.json", [shape, [1, 1, 9, 9]])
    with pytest.raises(RequestError, match=r"rle\.invalid.*annotation 1"):
        coco.read(boxes)
    found = Results(label(f"images:{tmp_path / 'src'}", tmp_path / "run", boxes=str(boxes)))
    assert found.instances("a.png") == 1  # as a prompt, a row without a bbox is dropped
    assert found.counts["boxes_dropped"] == {"row.bbox": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    "polygon",
    [[0, 0, 1e9, 0, 9, 9], [0, 0, 9, 0, 9], [0, 0, 9, 0], [1, 1, 5, 5, 9, 9], ["x", 0, 9, 0, 9, 9]],
)
def test_row_19_hostile_polygons_are_refused(
    tmp_path: Path, draw: Draw, polygon: list[object]
) -> None:
    draw(tmp_path / "src" / "a.png", OBJECT)
    shape = {"bbox": [1, 1, 9, 9], "segmentation": [polygon]}
    boxes = coco_boxes(tmp_path / "boxes.json", [shape])
    with pytest.raises(RequestError, match=r"polygon\.invalid.*annotation 1"):
        coco.read(boxes)
    found = Results(label(f"images:{tmp_path / 'src'}", tmp_path / "run", boxes=str(boxes)))
    assert found.instances("a.png") == 1  # a prompt is its bbox


@pytest.mark.slow
def test_row_19_a_polygon_that_crosses_itself_is_accepted(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "src" / "a.png", OBJECT)
    shape = {"bbox": [10, 10, 20, 20], "segmentation": [[10, 10, 30, 30, 30, 10, 10, 30, 20, 5]]}
    boxes = coco_boxes(tmp_path / "boxes.json", [shape])
    found = Results(label(f"images:{tmp_path / 'src'}", tmp_path / "run", boxes=str(boxes)))
    assert found.instances("a.png") == 1


def cloud(rows: list[list[float]], kind: str = "<f4") -> bytes:
    return np.column_stack([rows, np.zeros(len(rows))]).astype(kind).tobytes()


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory, kitti: Draw) -> Results:
    """A KITTI tree where each frame has another fault in its sweep or calibration."""
    base = tmp_path_factory.mktemp("drive")
    training = kitti(base / "src", 12) / "training"
    ahead = [[10.0, y, 0.0] for y in (-0.5, 0.0, 0.5)]
    for frame, data in (
        ("000001", cloud(ahead)[:-3]),
        ("000002", b""),
        ("000003", np.random.default_rng(0).uniform(-40, 40, (60, 4)).astype("<f8").tobytes()),
        ("000004", cloud([[np.nan, 0, 0], [5, 0, 0], [np.inf, 0, 0], [10, -np.inf, 0]])),
        ("000005", cloud([[-10, 0, 0], [-5, 1, 1]])),
        ("000006", cloud([[0, 0, 0], [1e-6, 0, 0], [1e-6, 3, 3]])),
        ("000007", cloud([[10, 90, 0], [10, -90, 0]])),
    ):
        (training / "velodyne" / f"{frame}.bin").write_bytes(data)
    calibration = (training / "calib" / "000000.txt").read_text()
    for frame, text in (
        ("000008", calibration.replace("R0_rect: 1", "R0_rect: 2")),
        ("000009", calibration.replace("Tr_velo_to_cam", "Tr")),
        ("000010", calibration.replace("P2: 50", "P2: 0")),
    ):
        (training / "calib" / f"{frame}.txt").write_text(text)
    (training / "velodyne" / "000011.bin").unlink()
    found = Results(label(f"kitti:{base / 'src'}", base / "run", overrides={"shard_size": 5}))
    assert states(found.labels["000000"]) == [2, 1, 0, 0]  # the rest of the run is unharmed
    return found


def states(sample: SampleLabels) -> list[int]:
    return [int(state) for state in sample.points.states]


@pytest.mark.slow
def test_row_07_a_missing_sweep_is_quarantined(drive: Results) -> None:
    assert drive.code("000011") == "io.not_found"
    assert "000011.bin" in drive.quarantine["000011"]["message"]


def test_row_22_malformed_sweeps_are_quarantined(drive: Results) -> None:
    for frame in ("000001", "000002", "000003"):
        assert drive.code(frame) == "cloud.malformed", frame


def test_row_22_points_that_are_not_finite_keep_their_place_and_stay_unknown(
    drive: Results,
) -> None:
    assert states(drive.labels["000004"]) == [PointState.UNKNOWN, PointState.LABELLED, 0, 0]


@pytest.mark.parametrize("frame", ["000005", "000006", "000007"])
def test_row_23_points_that_the_camera_does_not_see_stay_unknown(
    drive: Results, frame: str
) -> None:
    assert set(states(drive.labels[frame])) == {PointState.UNKNOWN}
    assert drive.instances(frame) == 1  # the picture has its labels all the same


@pytest.mark.parametrize(
    ("frame", "words"),
    [("000008", "R0_rect"), ("000009", "Tr_velo_to_cam.*odometry"), ("000010", "P2.*focal")],
)
def test_row_24_wrong_calibration_is_quarantined_by_key(
    drive: Results, frame: str, words: str
) -> None:
    assert drive.code(frame) == "calib.invalid"
    assert re.search(words, drive.quarantine[frame]["message"])


def test_quarantined_frames_are_in_the_order_of_the_plan_and_counted_by_code(
    drive: Results,
) -> None:
    assert list(drive.quarantine) == sorted(drive.quarantine)
    assert drive.counts["quarantined_by"] == {
        "calib.invalid": 3,
        "cloud.malformed": 3,
        "io.not_found": 1,
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "observe: !!python/object/apply:os.system ['touch canary']\n",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "observe: " + "[" * 5000,
    ],
)
@pytest.mark.parametrize("option", ["config", "class_map", "source"])
def test_row_28_yaml_that_wants_more_than_values_is_refused(
    tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch, text: str, option: str
) -> None:
    draw(tmp_path / "src" / "a.png", OBJECT)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.yaml"
    path.write_text(text)
    source, options = f"images:{tmp_path / 'src'}", {}
    if option == "source":
        source = str(path)
    else:
        options = {option: path if option == "config" else str(path)}
    assert refused(source, tmp_path / "run", **options).code == "config.unsafe"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evil.yaml", "src"]


class Bomb:
    """What a malicious .pt holds: loading it runs a command."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.system, (f"touch {self.canary}",))


def malicious(path: Path, canary: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:  # as torch.save lays it out
        archive.writestr("archive/data.pkl", pickle.dumps({"model": Bomb(canary)}, protocol=2))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return path


def exit_code(*tokens: object) -> int:
    return cli.run(["label", *map(str, tokens)])


def test_row_30_a_malicious_detector_is_refused_unopened(
    tmp_path: Path, draw: Draw, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path / "src" / "a.png", OBJECT)
    weights = malicious(tmp_path / "best.pt", tmp_path / "canary")
    tokens = [tmp_path / "src", "--out", tmp_path / "run", "--segmenter", "boxes"]
    assert exit_code(*tokens, "--detector", weights) == cli.USAGE
    assert "weights.untrusted" in capsys.readouterr().err
    assert not (tmp_path / "canary").exists() and not (tmp_path / "run").exists()


@pytest.mark.skipif(importlib.util.find_spec("ultralytics") is None, reason="needs ultralytics")
def test_row_30_a_malicious_segmenter_is_read_as_data_and_refused(
    tmp_path: Path,
    draw: Draw,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    python_path: Callable[..., str],
) -> None:
    monkeypatch.setenv("PYTHONPATH", python_path())
    draw(tmp_path / "src" / "a.png", OBJECT)
    weights = malicious(tmp_path / "best.pt", tmp_path / "canary")
    tokens = [tmp_path / "src", "--out", tmp_path / "run", "--detector", "bright"]
    assert exit_code(*tokens, "--segmenter", weights) == cli.USAGE
    errors = capsys.readouterr().err
    assert "weights.invalid" in errors and "holds a whole network" in errors
    assert "weights_only" not in errors  # torch's advice is to switch it off
    assert not (tmp_path / "canary").exists()
    assert list((tmp_path / "run").glob("evidence/*")) == []


@pytest.mark.parametrize("option", ["--detector", "--segmenter"])
@pytest.mark.parametrize(("content", "word"), [(HTML, "web page"), (b"PK\x03\x04", "cut off")])
def test_row_30_pages_and_halves_are_no_weights(
    tmp_path: Path,
    draw: Draw,
    capsys: pytest.CaptureFixture[str],
    option: str,
    content: bytes,
    word: str,
) -> None:
    draw(tmp_path / "src" / "a.png", OBJECT)
    (tmp_path / "best.pt").write_bytes(content)
    other = {"--detector": ["--segmenter", "boxes"], "--segmenter": ["--detector", "bright"]}
    tokens = [tmp_path / "src", "--out", tmp_path / "run", *other[option]]
    assert exit_code(*tokens, option, tmp_path / "best.pt") == cli.USAGE
    errors = capsys.readouterr().err
    assert "weights.corrupt" in errors and word in errors
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "deed",
    [
        "signal.raise_signal(signal.SIGSEGV)",  # in the thread of the model, as a real one
        "sys.exit(0)",
    ],
)
def test_row_34_a_frame_that_kills_its_worker_twice_is_quarantined_for_good(
    tmp_path: Path,
    pictures: Draw,
    draw: Draw,
    snapshot: Callable[[Path], dict[str, bytes]],
    detector_does: Prepare,
    deed: str,
) -> None:
    source = pictures(tmp_path / "src", 5)
    draw(source / "002-poison.png", OBJECT)
    log = tmp_path / "log"
    detector_does(f"if 'poison' in picture.file_name: open({str(log)!r}, 'a').write('x'); {deed}")
    run = label(f"images:{source}", tmp_path / "run", overrides={"shard_size": 4})
    found = Results(run)
    assert found.quarantine.keys() == {"002-poison.png"}
    assert found.quarantine["002-poison.png"]["stage"] == "process"
    assert found.code("002-poison.png") == "process.crash"
    assert [found.instances(f"{i:03d}.png") for i in range(5)] == [0, 1, 2, 0, 1]
    assert log.read_text() == "xx"
    before = snapshot(run.folder)
    shutil.rmtree(run.folder / "evidence")
    shutil.rmtree(run.folder / "labels")
    label(f"images:{source}", run.folder, overrides={"shard_size": 4})
    assert log.read_text() == "xx"  # known by now: not tried again
    assert snapshot(run.folder) == before


@pytest.mark.slow
def test_row_34_a_frame_that_hangs_is_quarantined_and_the_others_are_labelled(
    tmp_path: Path, pictures: Draw, detector_does: Prepare
) -> None:
    source = pictures(tmp_path / "src", 3)
    detector_does("if picture.file_name == '001.png': time.sleep(600)")
    found = Results(label(f"images:{source}", tmp_path / "run", overrides={"hang_s": 6}))
    assert found.quarantine.keys() == {"001.png"}
    assert found.code("001.png") == "process.crash"
    assert found.instances("002.png") == 2
    (poison,) = (tmp_path / "run" / "poison").iterdir()
    assert "hung" in poison.read_text() and "in detect" in poison.read_text()  # and where


@pytest.mark.slow
def test_row_34_two_poisonous_frames_of_one_shard_are_both_found(
    tmp_path: Path, pictures: Draw, detector_does: Prepare
) -> None:
    source = pictures(tmp_path / "src", 4)
    detector_does("if picture.file_name in ('001.png', '003.png'): os._exit(1)")
    found = Results(label(f"images:{source}", tmp_path / "run"))
    assert found.quarantine.keys() == {"001.png", "003.png"}
    assert found.instances("002.png") == 2


@pytest.mark.slow
def test_row_34_a_worker_that_dies_once_costs_nothing(
    tmp_path: Path, pictures: Draw, detector_does: Prepare
) -> None:
    source, once = pictures(tmp_path / "src", 3), tmp_path / "once"
    detector_does(
        f"if not os.path.exists({str(once)!r}): open({str(once)!r}, 'w').close(); os._exit(1)"
    )
    found = Results(label(f"images:{source}", tmp_path / "run"))
    assert once.exists() and found.quarantine == {}
    assert not (tmp_path / "run" / "poison").exists()


@pytest.mark.slow
def test_row_34_an_ordinary_exception_is_quarantined_with_its_words(
    tmp_path: Path, pictures: Draw, detector_does: Prepare
) -> None:
    source = pictures(tmp_path / "src", 3)
    detector_does("if picture.file_name == '001.png': raise KeyError('no such layer')")
    found = Results(label(f"images:{source}", tmp_path / "run"))
    assert found.quarantine["001.png"] == {
        "sample_id": "001.png",
        "stage": "observe",
        "code": "internal.error",
        "message": "KeyError: 'no such layer'",
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"overrides": {"observe": {"min_score": 0.1}}}, "config.observe.min_score: 0.2 there"),
        ({"segmenter": "grabcut"}, "segmenter.kind: 'boxes' there, 'grabcut' asked for"),
        ({"class_map": "coco80-to-road"}, "class_map.source: "),
        ({"overrides": {"observe": {"orientation": "stored"}}}, "config.observe.orientation: "),
    ],
    ids=["config", "model", "class map", "reading"],
)
def test_row_37_a_run_is_not_resumed_with_other_settings(
    tmp_path: Path,
    pictures: Draw,
    snapshot: Callable[[Path], dict[str, bytes]],
    change: dict[str, Any],
    shown: str,
) -> None:
    source = f"images:{pictures(tmp_path / 'src', 2)}"
    run = label(source, tmp_path / "run").folder
    before = snapshot(run)
    with pytest.raises(RequestError) as caught:
        label(source, run, **change)
    assert caught.value.code == "run.mismatch"
    assert shown in caught.value.message and "--new-run" in caught.value.message
    assert snapshot(run) == before


@pytest.mark.slow
def test_row_37_other_boxes_under_the_same_name_are_another_run(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "src" / "a.png", OBJECT)
    source = f"images:{tmp_path / 'src'}"
    boxes = str(coco_boxes(tmp_path / "boxes.json", [[10, 10, 20, 20]]))
    label(source, tmp_path / "run", boxes=boxes)
    coco_boxes(tmp_path / "boxes.json", [[10, 10, 20, 21]])
    with pytest.raises(RequestError, match=r"detector\.sha256") as caught:
        label(source, tmp_path / "run", boxes=boxes)
    assert caught.value.code == "run.mismatch"


def test_masks_of_the_whole_job_are_those_of_the_pixels(results: Results) -> None:
    (picture,) = results.labels["good.png"].pictures
    x0, y0, x1, y1, _ = OBJECT
    expected = np.zeros((48, 64), bool)
    expected[y0:y1, x0:x1] = True
    np.testing.assert_array_equal(rle.decode_one(picture.instances.masks, 0), expected)
