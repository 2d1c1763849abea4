"""The bench of detectors: what counts as found, by size, on a street whose truth is drawn."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.benchmarks import recall
from perception.benchmarks.harness.streets import open_streets
from perception.core.errors import RequestError
from perception.core.ontology import load_class_map, load_ontology
from perception.core.types import Detections

CAR, PERSON, RIDER, SKY = 26, 24, 25, 23


@pytest.fixture
def cityscapes(tmp_path: Path, draw: Callable[..., Path]) -> Path:
    """Two bright cars of 20 and 100 px, a rider of 40, a bright spot, one in a group of cars."""
    root = tmp_path / "cityscapes"
    cars = [(10, 10, 30, 30), (40, 10, 140, 110)]
    spots = [(150, 150, 160, 160), (200, 20, 220, 40)]
    bright = [(*box, 255) for box in (*cars, *spots)]
    draw(root / "a_leftImg8bit.png", *bright, size_hw=(200, 300))
    ids = np.full((200, 300), SKY, np.uint16)
    for number, (x0, y0, x1, y1) in enumerate(cars):
        ids[y0:y1, x0:x1] = CAR * 1000 + number
    ids[100:140, 200:240] = RIDER * 1000
    ids[10:60, 190:240] = CAR  # a group
    cv2.imwrite(str(root / "a_gtFine_instanceIds.png"), ids)
    return root


def test_recall_by_size_and_precision(cityscapes: Path) -> None:
    off, native = recall.measure([cityscapes], ["bright"], 1, lambda done, total: None)
    assert (off.tiles, native.tiles) == ("off", "native")
    by_size = {name: off.of_size(name) for name in recall.SIZES_PX}
    assert by_size == {
        "under 16": (0, 0),
        "16-32": (1, 1),
        "32-96": (0, 1),  # the rider
        "over 96": (1, 1),
    }
    assert (off.right, off.wrong) == (2, 1)  # the box in the group does not count
    assert off.to_dict()["recall"] == pytest.approx(2 / 3)
    assert "0.667" in recall.report([off, native]).lines[1]


def test_a_person_s_box_finds_a_rider_and_low_scores_find_nothing(cityscapes: Path) -> None:
    ontology, class_map = load_ontology(), load_class_map(recall.CLASS_MAP)
    streets = open_streets(cityscapes, ontology)
    seen = Detections(
        boxes_xyxy=np.array([[200, 100, 240, 140], [10, 10, 30, 30], [0, 0, 9, 9]], np.float32),
        scores=np.array([0.9, 0.24, 0.9], np.float32),
        class_ids=np.array([0, 1, 2], np.int32),
        class_names=("person", "car", "cat"),
    )
    one = recall.compare(seen, "a_leftImg8bit.png", streets.truth, ontology, class_map)
    assert len(one.labels) == 1  # the car is below the score, the cat of no class that counts
    rider = one.truth.class_ids.tolist().index(int(one.labels.class_ids[0]))
    assert one.ious[0, rider] == 1


def test_of_coco_only_the_street_images_are_taken(
    tmp_path: Path, draw: Callable[..., Path]
) -> None:
    draw(tmp_path / "train2017" / "000000000007.jpg")
    draw(tmp_path / "train2017" / "000000000008.jpg")
    cv2.imwrite(str(tmp_path / "000000000007.png"), np.zeros((48, 64, 3), np.uint8))
    document: dict[str, object] = {
        "images": [{"id": 7}, {"id": 8}],
        "annotations": [{"file_name": "000000000007.png", "segments_info": []}],
        "categories": [],
        "street_image_ids": [7],
    }
    (tmp_path / "panoptic_x.json").write_text(json.dumps(document))
    streets = open_streets(tmp_path, load_ontology())
    assert [path.name for path in streets.images] == ["000000000007.jpg"]
    (found, _) = recall.measure([tmp_path], ["bright"], 1, lambda done, total: None)
    assert found.to_dict()["recall"] is None and found.to_dict()["objects"] == 0
    nothing = replace(found, right=0, wrong=0)  # neither an object nor a box: no zero of it
    assert nothing.to_dict()["precision"] is None
    assert recall.report([nothing]).lines[1].split()[3:5] == ["-", "-"]
    (tmp_path / "train2017" / "000000000007.jpg").unlink()
    with pytest.raises(RequestError, match=r"source\.empty: .* none of the images of panoptic_x"):
        open_streets(tmp_path, load_ontology())


def test_a_folder_without_truth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"source\.empty.*Cityscapes.*COCO"):
        open_streets(tmp_path, load_ontology())
