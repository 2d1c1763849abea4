import colorsys
import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from perception.core import masks as rle
from perception.core.errors import RequestError, SampleError
from perception.core.ontology import Target
from perception.core.types import PictureLabels, SampleLabels, Status
from perception.formats import coco_panoptic

ACCEPTED = frozenset({Status.ACCEPTED})
Picture = Callable[..., PictureLabels]
Sample = Callable[..., SampleLabels]
Block = Callable[..., np.ndarray]


def test_panopticapi_finds_every_segment_and_a_perfect_match(
    tmp_path: Path,
    picture: Picture,
    sample: Sample,
    block: Block,
    target: Target,
    oracle: Callable[[str], ModuleType],
) -> None:
    judge = oracle("panopticapi.evaluation")
    bitmaps = [block(0, 0, 4, 4), block(6, 0, 9, 9), block(10, 0, 12, 2), block(20, 10, 30, 20)]
    front = picture(bitmaps, [6, 1, 7, 6], [0, 0, 0, 1], file_name="cam/a.jpg", first_id=70_000)
    out = tmp_path / "out"
    summary = coco_panoptic.write(
        [sample(front), sample(picture(file_name="b.png"), id="s2")], out, target, statuses=ACCEPTED
    )
    assert (summary.samples, summary.labels, summary.ignored) == (2, 3, 1)
    document = json.loads((out / "panoptic.json").read_bytes())
    pairs = [(entry, entry) for entry in document["annotations"]]
    categories = {entry["id"]: entry for entry in document["categories"]}
    with contextlib.redirect_stdout(io.StringIO()):
        stat = judge.pq_compute_single_core(
            0, pairs, str(out / "panoptic"), str(out / "panoptic"), categories
        )
        found, _ = stat.pq_average(categories, isthing=True)
    assert (found["pq"], found["n"]) == (1.0, 2)
    assert [stat[number].tp for number in (24, 26)] == [1, 2]  # the crowd is left out
    segments = document["annotations"][0]["segments_info"]
    assert [s["id"] for s in segments] == [70_000, 70_001, 70_002, 70_003]
    assert segments[1]["bbox"] == [6, 0, 3, 9] and segments[1]["area"] == 27
    pixels = oracle("panopticapi.utils").rgb2id(
        cv2.cvtColor(cv2.imread(str(out / "panoptic/cam/a.png")), cv2.COLOR_BGR2RGB)
    )
    np.testing.assert_array_equal(pixels == 70_002, bitmaps[2])


@given(hnp.arrays(np.uint8, (7, 9), elements=st.integers(0, 3)))
def test_reading_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    picture: Picture,
    sample: Sample,
    target: Target,
    owners: np.ndarray,
) -> None:
    front = picture([owners == i for i in (1, 2, 3)], [1, 6, 7], [0, 1, 0], size_hw=(7, 9))
    out = tmp_path_factory.getbasetemp() / "panoptic"
    coco_panoptic.write([sample(front)], out, target, statuses=ACCEPTED)
    (found,) = coco_panoptic.read(out)
    rows = [i for i in (0, 1, 2) if (owners == i + 1).any()]
    objects = found.objects
    assert (found.file_name, found.size_hw) == ("a.png", (7, 9))
    assert objects.instance_ids.tolist() == [i + 1 for i in rows]
    assert objects.class_names == tuple(("person", "car", "car")[i] for i in rows)
    np.testing.assert_array_equal(objects.scores, front.instances.scores[rows])
    assert objects.ignored.tolist() == [i == 1 for i in rows]
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(rle.decode_one(objects.masks, place), owners == row + 1)


def test_contested_pixels_go_to_the_label_then_the_higher_score(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    # scores fall with the row; the first is no label
    bitmaps = [block(0, 0, 9, 2), block(0, 0, 6, 2), block(3, 0, 9, 2), block(1, 0, 2, 1)]
    front = picture(bitmaps, [6, 6, 6, 6], [1, 0, 0, 0])
    summary = coco_panoptic.write([sample(front)], tmp_path, target, statuses=ACCEPTED)
    (found,) = coco_panoptic.read(tmp_path)
    assert found.objects.instance_ids.tolist() == [2, 3]
    assert found.objects.masks.boxes_xyxy.tolist() == [[0, 0, 6, 2], [6, 0, 9, 2]]
    assert summary.left_out == (("mask.covered", 2),)


def test_row_20_an_id_of_more_than_three_bytes_is_refused(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    front = picture([block(0, 0, 1, 1)], file_name="x.png", first_id=1 << 24)
    with pytest.raises(RequestError, match=r"id\.overflow: x\.png: instance id 16777216"):
        coco_panoptic.write([sample(front)], tmp_path, target, statuses=ACCEPTED)
    assert not list(tmp_path.rglob("*.*"))


def test_four_classes_have_colours_that_differ(tmp_path: Path) -> None:
    names = {1: "person", 2: "bicycle", 3: "car", 4: "bus"}
    target = Target(ids={number: number for number in names}, names=names)
    coco_panoptic.write([], tmp_path, target, statuses=ACCEPTED)
    categories = json.loads((tmp_path / "panoptic.json").read_bytes())["categories"]
    hues = sorted(colorsys.rgb_to_hsv(*category["color"])[0] for category in categories)
    assert min(np.diff([*hues, hues[0] + 1])) > 1 / 8  # half of what four equal steps would have


def test_files_that_disagree_are_refused(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    coco_panoptic.write([sample(picture([block(0, 0, 2, 2)]))], tmp_path, target, statuses=ACCEPTED)
    path = tmp_path / "panoptic.json"
    good = json.loads(path.read_bytes())

    def read_with(change: Callable[[dict], None]) -> None:
        document = json.loads(json.dumps(good))
        change(document)
        path.write_text(json.dumps(document))
        list(coco_panoptic.read(tmp_path))

    with pytest.raises(RequestError, match=r"panoptic\.invalid.*segments \[1\] stand in only one"):
        read_with(lambda d: d["annotations"][0].update(segments_info=[]))
    with pytest.raises(RequestError, match=r"panoptic\.invalid.*KeyError"):
        read_with(lambda d: d.pop("images"))
    with pytest.raises(RequestError, match=r"path\.outside_root"):
        read_with(lambda d: d["annotations"][0].update(file_name="../a.png"))
    with pytest.raises(SampleError, match=r"size\.mismatch"):
        read_with(lambda d: d["images"][0].update(width=31))
    path.write_text(json.dumps(good))
    grey = cv2.imencode(".png", np.zeros((20, 30), np.uint8))[1].tobytes()
    (tmp_path / "panoptic/a.png").write_bytes(grey)
    with pytest.raises(SampleError, match=r"label\.invalid.*expected 8-bit RGB"):
        list(coco_panoptic.read(tmp_path))
