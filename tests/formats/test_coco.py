import contextlib
import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools.coco import COCO

from perception.core import masks as rle
from perception.core.boxes import usable
from perception.core.errors import RequestError
from perception.core.ontology import Target, load_ontology
from perception.core.types import PictureLabels, SampleLabels, Status
from perception.formats import coco
from perception.io.json_files import MAX_JSON_BYTES

# pycocotools 2.0.11 hands NumPy 2.4 an old `__array__` in `decode`; the pipeline never calls it.
DECODES = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
ACCEPTED = frozenset({Status.ACCEPTED})
Picture = Callable[..., PictureLabels]
Sample = Callable[..., SampleLabels]
Block = Callable[..., np.ndarray]


def _load(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def _two_samples(picture: Picture, sample: Sample, block: Block) -> list[SampleLabels]:
    ring = block(10, 5, 20, 15) & ~block(13, 8, 17, 12)  # a hole, and a second part
    ring |= block(25, 5, 27, 7)
    first = picture(
        [block(1, 2, 5, 4), ring, block(0, 18, 4, 20), block(0, 0, 0, 0), block(28, 18, 30, 20)],
        [6, 1, 7, 6, 13],
        [0, 0, 1, 0, 0],
        file_name="cam/a.png",
    )
    return [
        sample(first, picture(file_name="cam/b.png"), id="one"),
        sample(picture([block(0, 0, 3, 3)], [6], [2], file_name="c.png"), id="two"),
    ]


@DECODES
def test_pycocotools_reads_the_masks_the_boxes_and_the_crowds(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    samples = _two_samples(picture, sample, block)
    path = tmp_path / "new" / "instances.json"

    summary = coco.write(samples, path, target, statuses=ACCEPTED, ontology=load_ontology())

    assert (summary.samples, summary.labels, summary.ignored) == (2, 2, 2)
    assert summary.left_out == (("class.ignored", 1), ("mask.empty", 1))
    truth = _load(path)
    assert [truth.imgs[i]["file_name"] for i in (1, 2, 3)] == ["cam/a.png", "cam/b.png", "c.png"]
    assert (truth.imgs[1]["width"], truth.imgs[1]["height"]) == (30, 20)
    assert truth.loadCats([24, 26]) == [
        {"id": 24, "name": "person", "supercategory": "human"},
        {"id": 26, "name": "car", "supercategory": "vehicle"},
    ]
    assert sorted(truth.anns) == [1, 2, 3, 4]
    assert [truth.anns[i]["iscrowd"] for i in (1, 2, 3, 4)] == [0, 0, 1, 1]
    assert [truth.anns[i]["category_id"] for i in (1, 2, 3, 4)] == [26, 24, 26, 26]
    assert [truth.anns[i]["image_id"] for i in (1, 2, 3, 4)] == [1, 1, 1, 3]
    assert truth.anns[1]["bbox"] == [1, 2, 4, 2]
    assert truth.anns[2]["area"] == 100 - 16 + 4  # of the mask, not of its 17 x 10 box
    for number, row in ((1, 0), (2, 1), (3, 2)):
        ours = rle.decode_one(samples[0].pictures[0].instances.masks, row)
        np.testing.assert_array_equal(truth.annToMask(truth.anns[number]), ours)


def test_what_we_know_besides_stands_in_keys_of_its_own(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    path = tmp_path / "x.json"
    coco.write(_two_samples(picture, sample, block), path, target, statuses=ACCEPTED)
    annotation = json.loads(path.read_text())["annotations"][2]
    assert annotation["score"] == pytest.approx(0.7)
    assert annotation["predicted_iou"] == pytest.approx(0.8)
    assert annotation["stability"] == pytest.approx(0.9)
    assert annotation["box_iou"] == pytest.approx(0.7)
    assert annotation["prompt_box"] == [0, 18, 4, 2]
    known = ("instance_id", "sample_id", "camera", "status", "reasons")
    assert [annotation[key] for key in known] == [3, "one", "front", "review", []]


def test_results_load_into_the_ground_truth_with_the_areas_of_the_masks(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    samples = _two_samples(picture, sample, block)
    coco.write(samples, tmp_path / "gt.json", target, statuses=ACCEPTED)
    summary = coco.write_results(samples, tmp_path / "dt.json", target, statuses=ACCEPTED)
    assert (summary.labels, summary.ignored) == (2, 0)
    assert dict(summary.left_out) == {
        "class.ignored": 1,
        "mask.empty": 1,
        "rejected": 1,
        "review": 1,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        results = _load(tmp_path / "gt.json").loadRes(str(tmp_path / "dt.json"))
    assert [results.anns[i]["area"] for i in (1, 2)] == [8, 88]
    rows = json.loads((tmp_path / "dt.json").read_text())
    assert {tuple(sorted(row)) for row in rows} == {
        ("category_id", "image_id", "score", "segmentation")
    }


def test_results_take_the_image_ids_of_a_foreign_ground_truth(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    samples = _two_samples(picture, sample, block)
    path = tmp_path / "dt.json"
    ids = {"cam/a.png": 70, "cam/b.png": 80, "c.png": 90}
    coco.write_results(samples, path, target, statuses=frozenset(Status), image_ids=ids)
    assert [row["image_id"] for row in json.loads(path.read_text())] == [70, 70, 70, 90]
    del ids["c.png"]
    with pytest.raises(RequestError, match=r"export\.unknown_image.*'c\.png'"):
        coco.write_results(samples, path, target, statuses=ACCEPTED, image_ids=ids)
    assert len(json.loads(path.read_text())) == 4  # the file of before is whole
    assert [entry.name for entry in tmp_path.iterdir()] == ["dt.json"]


@pytest.mark.parametrize("pictures", [None, 0, 1])
def test_an_export_without_objects_is_a_valid_file(
    tmp_path: Path, picture: Picture, sample: Sample, target: Target, pictures: int | None
) -> None:
    samples = [] if pictures is None else [sample(*[picture()] * pictures)]
    path = tmp_path / "x.json"
    summary = coco.write(samples, path, target, statuses=ACCEPTED)
    assert (summary.samples, summary.labels, summary.left_out) == (len(samples), 0, ())
    assert len(_load(path).imgs) == len(coco.read(path)) == (pictures or 0)
    assert all(len(found.annotations) == 0 for found in coco.read(path))
    coco.write_results(samples, path, target, statuses=ACCEPTED)
    assert json.loads(path.read_text()) == []


def _flat(found: coco.CocoPicture) -> list[object]:
    rows = found.annotations
    return [
        *(found.image_id, found.file_name, found.size_hw, rows.masks.counts),
        *(rows.detections.class_names, rows.detections.class_ids.tolist()),
        *(rows.annotation_ids.tolist(), rows.instance_ids.tolist(), rows.iscrowd.tolist()),
        *(rows.masks.boxes_xyxy.tolist(), rows.detections.scores.tolist()),
    ]


def test_reading_line_by_line_gives_what_reading_at_once_gives(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    for samples in ([], [sample()], [sample(picture())], _two_samples(picture, sample, block)):
        coco.write(samples, tmp_path / "x.json", target, statuses=ACCEPTED)
        at_once = [_flat(found) for found in coco.read(tmp_path / "x.json")]
        assert [_flat(found) for found in coco.read_written(tmp_path / "x.json")] == at_once


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"annotations": [\n', b'"annotations": ['),
        (b"},\n{", b"}\n{"),
        (b'"image_id": 1', b'"image_id": 7'),
        (b'"category_id": ', b'"category_id": 99'),
        (b'"id": 2, "image_id"', b'"id": 1, "image_id"'),
        (b'"images": [', b'"pictures": ['),
        (b'{"id": 1, "image_id"', b'{"id" 1, "image_id"'),
        (b'"categories": [', b'"categories": [['),
    ],
)
def test_what_was_not_written_so_is_not_read_so(
    tmp_path: Path,
    picture: Picture,
    sample: Sample,
    block: Block,
    target: Target,
    old: bytes,
    new: bytes,
) -> None:
    path = tmp_path / "x.json"
    coco.write(_two_samples(picture, sample, block), path, target, statuses=ACCEPTED)
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    with pytest.raises(RequestError, match=r"coco\.invalid"):
        list(coco.read_written(path))


@pytest.mark.slow
def test_row_27_memory_does_not_grow_with_an_export(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    one, peaks_bytes = sample(picture([block(0, 0, 3, 3)], [1], [2])), list[int]()
    path = tmp_path / "x.json"
    for count in (1000, 3000):
        many = (replace(one, pictures=_renamed(one.pictures, i)) for i in range(count))
        coco.write(many, path, target, statuses=ACCEPTED)
        tracemalloc.start()
        assert sum(1 for _ in coco.read_written(path)) == count
        peaks_bytes.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks_bytes[1] < 1.2 * peaks_bytes[0]


def _renamed(pictures: tuple[PictureLabels, ...], number: int) -> tuple[PictureLabels, ...]:
    return tuple(replace(each, file_name=f"{number}.png") for each in pictures)


@given(hnp.arrays(np.uint8, (6, 8), elements=st.integers(0, 3)))
def test_reading_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    picture: Picture,
    sample: Sample,
    target: Target,
    owners: np.ndarray,
) -> None:
    front = picture(
        [owners == 1, owners == 2, owners == 3], [6, 1, 6], [0, 1, 0], size_hw=(6, 8), first_id=5
    )
    path = tmp_path_factory.getbasetemp() / "round.json"
    coco.write([sample(front)], path, target, statuses=ACCEPTED)
    (found,) = coco.read(path)
    kept = front.instances[np.array([bool(counts) for counts in front.instances.masks.counts])]
    rows = found.annotations
    assert (found.image_id, found.file_name, found.size_hw) == (1, "a.png", (6, 8))
    assert rows.masks.counts == kept.masks.counts
    np.testing.assert_array_equal(rows.masks.boxes_xyxy, kept.masks.boxes_xyxy)
    np.testing.assert_array_equal(rows.detections.boxes_xyxy, kept.masks.boxes_xyxy)
    np.testing.assert_array_equal(rows.detections.scores, kept.scores)
    np.testing.assert_array_equal(rows.instance_ids, kept.instance_ids)
    np.testing.assert_array_equal(rows.iscrowd, kept.statuses != Status.ACCEPTED)
    assert rows.detections.class_names == ("person", "car")
    assert rows.detections.class_ids.tolist() == [int(i != 1) for i in kept.class_ids]
    assert rows.annotation_ids.tolist() == list(range(1, len(kept) + 1))


def test_numbers_that_json_lacks_are_written_as_null(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    front = picture([block(0, 0, 2, 2)])
    values = {**vars(front.instances), "scores": np.array([np.nan], np.float32)}
    broken = PictureLabels("front", "a.png", (20, 30), type(front.instances)(**values), ())
    path = tmp_path / "x.json"
    coco.write([sample(broken)], path, target, statuses=ACCEPTED)
    assert "NaN" not in path.read_text()
    assert np.isnan(coco.read(path)[0].annotations.detections.scores).all()


def test_a_picture_that_comes_twice_is_refused_naming_both_samples(
    tmp_path: Path, picture: Picture, sample: Sample, target: Target
) -> None:
    samples = [sample(picture(), id="one"), sample(picture(), id="two")]
    with pytest.raises(RequestError, match=r"export\.collision.*'one'.*'two'.*'a\.png'"):
        coco.write(samples, tmp_path / "x.json", target, statuses=ACCEPTED)
    assert list(tmp_path.iterdir()) == []


def _document(**annotation: Any) -> dict[str, Any]:
    row = {"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], **annotation}
    return {
        "images": [{"id": 1, "width": 30, "height": 20, "file_name": "a.png"}],
        "categories": [{"id": 3, "name": "car"}, {"id": 2, "name": "bus"}],
        "annotations": [row],
    }


def _read(tmp_path: Path, document: Any) -> tuple[coco.CocoPicture, ...]:
    path = tmp_path / "in.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return coco.read(path)


def test_a_box_without_a_mask_is_a_prompt(tmp_path: Path) -> None:
    (found,) = _read(tmp_path, _document())
    rows = found.annotations
    assert rows.detections.boxes_xyxy.tolist() == [[1, 2, 4, 6]]
    assert rows.detections.scores.tolist() == [1]
    assert rows.detections.class_names == ("bus", "car")
    assert rows.detections.class_ids.tolist() == [1]
    assert rows.masks.counts == (b"",)
    assert (rows.iscrowd.tolist(), rows.instance_ids.tolist()) == ([False], [0])


@pytest.mark.parametrize(
    ("bbox", "reason"),
    [
        ([5, 5, -2, 3], "box.inverted"),
        ([1e300, 0, 1, 1], "box.nan"),
        ([400, 0, 5, 5], "box.outside_image"),
        ([1, 1, 0.25, 3], "box.too_small"),
    ],
)
def test_bad_boxes_are_passed_on_to_be_dropped_and_counted(
    tmp_path: Path, bbox: list[float], reason: str
) -> None:
    (found,) = _read(tmp_path, _document(bbox=bbox))
    kept, dropped = usable(found.annotations.detections, found.size_hw)
    assert (len(kept), dropped) == (0, ((reason, 1),))


@DECODES
@pytest.mark.parametrize(
    "polygons",
    [
        [[2, 2, 12, 2, 12, 9, 2, 9]],
        [[2.3, 2.7, 12.1, 3.3, 7, 15.2]],
        [[2, 2, 12, 12, 12, 2, 2, 12]],  # crosses itself
        [[0, 0, 5, 0, 5, 5], [10, 10, 20, 10, 20, 18, 10, 18]],
        [[-30, -20, 60, -20, 60, 40, -30, 40]],
    ],
)
def test_polygons_fill_the_pixels_that_pycocotools_fills(
    tmp_path: Path, polygons: list[list[float]]
) -> None:
    document = _document(segmentation=polygons)
    (found,) = _read(tmp_path, document)
    truth = _load(tmp_path / "in.json")
    ours = rle.decode_one(found.annotations.masks, 0)
    assert ours.any()
    np.testing.assert_array_equal(ours, truth.annToMask(truth.anns[1]))


def test_uncompressed_run_lengths_are_column_major(tmp_path: Path) -> None:
    runs = {"size": [20, 30], "counts": [20, 2, 578]}  # the top two pixels of the second column
    (found,) = _read(tmp_path, _document(segmentation=runs, iscrowd=1))
    assert found.annotations.masks.boxes_xyxy.tolist() == [[1, 0, 2, 2]]
    assert found.annotations.iscrowd.tolist() == [True]


# Whatever is wrong, the process survives: nothing of this may reach pycocotools.
HOSTILE = [
    ("rle.invalid", {"segmentation": {"size": [20, 30], "counts": "P"}}),
    ("rle.invalid", {"segmentation": {"size": [20, 30], "counts": [5, 5]}}),
    ("rle.invalid", {"segmentation": {"size": [20, 30], "counts": [-5, 605]}}),
    ("rle.invalid", {"segmentation": {"size": [30, 20], "counts": [600]}}),
    ("rle.invalid", {"segmentation": {"size": [1 << 20, 1 << 20], "counts": [1 << 40]}}),
    ("rle.invalid", {"segmentation": {"counts": [600]}}),
    ("polygon.invalid", {"segmentation": [[0, 0, 1e9, 0, 5, 5]]}),
    ("polygon.invalid", {"segmentation": [[0, 0, 10**400, 0, 5, 5]]}),
    ("polygon.invalid", {"segmentation": [[0, 0, 61, 0, 5, 5]]}),
    ("polygon.invalid", {"segmentation": [[0, 0, 5, -21, 5, 5]]}),
    ("polygon.invalid", {"segmentation": [[0, 0, 5, 0, 5, 5, 1]]}),
    ("polygon.invalid", {"segmentation": [[0, 0, 5, 5]]}),
    ("polygon.invalid", {"segmentation": [[0, 0, 5, 5, 2, 2]]}),
    ("polygon.invalid", {"segmentation": [[3, 3, 3, 3, 3, 3]]}),
    ("polygon.invalid", {"segmentation": [[0, 0, "5", 0, 5, 5]]}),
    ("polygon.invalid", {"segmentation": [[0, 0, None, 0, 5, 5]]}),
    ("polygon.invalid", {"segmentation": [[0, 0, 5, 0, 5, 5], 7]}),
    ("polygon.invalid", {"segmentation": [[0, 0, 60, 40, 0, 1] * 40_000]}),
    ("coco.invalid", {"segmentation": "0 0 5 0 5 5"}),
    ("coco.invalid", {"id": "1"}),
    ("coco.invalid", {"id": -1}),
    ("coco.invalid", {"id": 1 << 63}),
    ("coco.invalid", {"id": True}),
    ("coco.invalid", {"image_id": "1"}),
    ("coco.invalid", {"image_id": 2}),
    ("coco.invalid", {"category_id": 1}),
    ("coco.invalid", {"category_id": [3]}),
    ("coco.invalid", {"bbox": [1, 2, 3]}),
    ("coco.invalid", {"bbox": [1, 2, 3, "4"]}),
    ("coco.invalid", {"bbox": [1, 2, 3, 10**400]}),
    ("coco.invalid", {"bbox": None}),
    ("coco.invalid", {"iscrowd": 2}),
    ("coco.invalid", {"iscrowd": "0"}),
    ("coco.invalid", {"score": "high"}),
    ("coco.invalid", {"instance_id": 1 << 31}),
]


@pytest.mark.parametrize(("code", "annotation"), HOSTILE)
def test_a_hostile_annotation_is_refused_by_name(
    tmp_path: Path, code: str, annotation: dict[str, Any]
) -> None:
    with pytest.raises(RequestError) as caught:
        _read(tmp_path, _document(**annotation))
    assert caught.value.code == code
    assert "in.json: annotation" in caught.value.message


def test_infinite_coordinates_do_not_slip_in_as_large_exponents(tmp_path: Path) -> None:
    text = json.dumps(_document(segmentation=[[0, 0, 12345, 0, 5, 5]])).replace("12345", "1e999")
    with pytest.raises(RequestError, match=r"polygon\.invalid.*inf"):
        _read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "a results list has none"),
        ('{"images": NaN}', "holds NaN"),
        ('{"images": -Infinity}', "holds -Infinity"),
        ('{"images": [], "annotations": []}', "categories is None, expected a list"),
        ('{"images": [7], "annotations": [], "categories": []}', r"images\[0\]: the row is 7"),
    ],
)
def test_a_file_that_is_no_instances_file_says_why(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RequestError, match=rf"coco\.invalid.*in\.json.*{message}"):
        _read(tmp_path, text)


@pytest.mark.parametrize("table", ["images", "annotations", "categories"])
def test_ids_that_come_twice_are_refused(tmp_path: Path, table: str) -> None:
    document = _document()
    document[table] = [document[table][0]] * 2
    document["categories"] += [] if table == "categories" else [{"id": 9, "name": "x"}]
    with pytest.raises(RequestError, match=rf"coco\.invalid.*{table}\[\]\.id.*twice"):
        _read(tmp_path, document)


@pytest.mark.parametrize(
    ("code", "image"),
    [
        ("coco.invalid", {"width": 0}),
        ("coco.invalid", {"width": "30"}),
        ("coco.invalid", {"height": 1 << 17}),
        ("coco.invalid", {"height": 1 << 16, "width": 1 << 16}),
        ("coco.invalid", {"file_name": 5}),
        ("coco.invalid", {"file_name": ""}),
        ("path.outside_root", {"file_name": "../a.png"}),
        ("path.outside_root", {"file_name": "/etc/passwd"}),
    ],
)
def test_a_bad_image_row_is_refused(tmp_path: Path, code: str, image: dict[str, Any]) -> None:
    document = _document()
    document["images"][0].update(image)
    with pytest.raises(RequestError) as caught:
        _read(tmp_path, document)
    assert caught.value.code == code


def test_files_that_are_missing_or_too_large_are_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"io\.not_found"):
        coco.read(tmp_path / "none.json")
    with (tmp_path / "big.json").open("wb") as stream:
        stream.truncate(MAX_JSON_BYTES + 1)  # sparse
    with pytest.raises(RequestError, match=r"coco\.too_large"):
        coco.read(tmp_path / "big.json")


def test_a_process_that_reads_hostile_files_survives(tmp_path: Path) -> None:
    for number, (_, annotation) in enumerate(HOSTILE):
        (tmp_path / f"{number}.json").write_text(json.dumps(_document(**annotation)))
    code = (
        "import sys, pathlib\nfrom perception.core.errors import RequestError\n"
        "from perception.formats import coco\nrefused = 0\n"
        f"for path in pathlib.Path({str(tmp_path)!r}).glob('*.json'):\n"
        "    try:\n        coco.read(path)\n    except RequestError:\n        refused += 1\n"
        "sys.exit(0 if refused == " + str(len(HOSTILE)) + " else 1)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
