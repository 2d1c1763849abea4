"""What a page gets of one sample: its cameras in their places, its labels and their stories."""

from dataclasses import replace

import numpy as np
import pytest

from perception.core import masks as masks_
from perception.core.ontology import load_ontology
from perception.core.types import (
    Camera,
    Cuboids,
    Instances,
    Picture,
    PictureLabels,
    PointLabels,
    Sample,
    SampleLabels,
    Scene,
    Status,
)
from perception.review.frames import Frame, camera_rows, pack
from perception.review.html import start

ONTOLOGY = load_ontology()
SIX = {"FL": 55, "F": 0, "FR": -55, "BL": 110, "B": 180, "BR": -110}  # of nuScenes, degrees left


def camera(name: str, left_deg: float, ahead: int = 0) -> Camera:
    """Return a level camera that looks so far to the left of the way ahead."""
    angle_rad = np.radians(left_deg)
    look = np.array([np.cos(angle_rad), np.sin(angle_rad), 0])
    if ahead == 1:  # y ahead, x to the right
        look = np.array([-look[1], look[0], 0])
    down = np.array([0, 0, -1.0])
    T_cam_from_lidar = np.eye(4)
    T_cam_from_lidar[:3, :3] = [np.cross(down, look), down, look]
    K = np.array([[50, 0, 32], [0, 50, 24], [0, 0, 1.0]])
    return Camera(name, K, T_cam_from_lidar)


def scene(ahead: int = 0) -> Scene:
    cameras = tuple(camera(name, left_deg, ahead) for name, left_deg in SIX.items())
    return Scene(cameras, np.zeros((0, 3), np.float32), ahead=1 if ahead else 0)


@pytest.mark.parametrize("ahead", [0, 1])
def test_cameras_stand_as_on_the_car(ahead: int) -> None:
    names = sorted(SIX)  # as a dataset may list them
    rows = [[names[place] for place in row] for row in camera_rows(names, scene(ahead))]
    assert rows == [["FL", "F", "FR"], ["BL", "B", "BR"]]


def test_side_cameras_stand_in_front_and_cameras_without_calibration_as_they_come() -> None:
    sides = Scene(
        (camera("right", -90), camera("front", 0), camera("left", 99)),
        np.zeros((0, 3), np.float32),
    )
    assert camera_rows(["right", "front", "left"], sides) == [[2, 1, 0]]
    assert camera_rows(["right", "front", "other"], sides) == [[0, 1, 2]]
    assert camera_rows(["front"], sides) == [[0]] and camera_rows([], sides) == [[]]


def labels(*statuses: Status, reasons: tuple[str, ...] = ()) -> SampleLabels:
    """Return labels of one picture, a car of 4 x 2 pixels each; the first has points and a box."""
    n = len(statuses)
    bitmaps = np.zeros((n, 48, 64), bool)
    bitmaps[:, 10:12, 20:24] = True
    instances = replace(
        Instances.blank(n, (48, 64)),
        instance_ids=np.arange(1, n + 1, dtype=np.int32),
        class_ids=np.full(n, ONTOLOGY.id_of("car"), np.int32),
        statuses=np.array(statuses, np.uint8),
        reasons=tuple(() if status == Status.ACCEPTED else reasons for status in statuses),
        boxes_xyxy=np.tile(np.array([20, 10, 24, 12], np.float32), (n, 1)),
        masks=masks_.encode(bitmaps),
    )
    points = PointLabels(
        states=np.array([2, 2, 1], np.uint8),
        class_ids=np.array([6, 6, -1], np.int32),
        instance_ids=np.array([1, 1, 0], np.int32),
        trusts=np.zeros(3, np.uint8),
    )
    box = Cuboids(
        instance_ids=np.array([1], np.int32),
        centres_m=np.array([[12, 0, 0]], np.float32),
        sizes_lwh_m=np.array([[4, 2, 1.5]], np.float32),
        yaws_rad=np.zeros(1, np.float32),
        confidences=np.ones(1, np.float32),
    )
    return SampleLabels("s", (PictureLabels("F", "f.png", (48, 64), instances, ()),), points, box)


def packed(own: SampleLabels) -> dict:
    places = np.array([[10, 0, 0], [14, 0, 0], [20, 5, 0]], np.float32)
    picture = Picture("F", "f.png", np.zeros((48, 64, 3), np.uint8))
    loaded = Sample("s", (picture,), Scene((camera("F", 0),), places))
    return pack(3, loaded, own, ONTOLOGY, ("pictures/003-0.jpg",))


def test_a_label_has_its_outline_its_box_in_space_and_its_story() -> None:
    found = packed(labels(Status.ACCEPTED, Status.REVIEW, reasons=("iou.low", "stability.low")))
    ((picture,),) = found["rows"]
    assert (picture["name"], picture["size_wh"], found["number"]) == ("f.png", (64, 48), 3)
    car, doubtful = picture["labels"]
    assert (car["id"], car["status"], car["text"], car["box"]) == (
        1,
        "accepted",
        "car",
        [20, 10, 24, 12],
    )
    (line,) = car["outlines"]
    assert sorted(line) == [10, 10, 12, 12, 20, 20, 24, 24]
    assert len(car["solid"]) == 13 * 8 and doubtful["solid"] == []
    assert car["words"][0] == "Accepted: no check spoke against it."
    assert car["words"][-2:] == [
        "2 LiDAR points",
        "3D box 4.0 m long, 2.0 m wide, 1.5 m high, 12 m away",
    ]
    assert doubtful["words"][0] == (
        "For review: the segmenter doubts its mask; the mask changes with its threshold."
    )
    (solid,) = found["solids"]
    assert solid["id"] == 1 and solid["corners_cm"][-6:] == [1500, 0, 0, 900, 0, 0]


def test_a_rejected_label_has_no_outline_and_says_why() -> None:
    found = packed(labels(Status.REJECTED, reasons=("duplicate_of.7",)))
    (label,) = found["rows"][0][0]["labels"]
    assert label["outlines"] == [] and label["words"][0] == "Rejected: duplicate of label 7."


def test_the_page_opens_with_the_frame_that_has_most_to_see() -> None:
    gone, empty = Frame("a", note="gone"), Frame("b", 0, "frames/001.js", "pictures/001-0.jpg")
    few, many = (Frame(str(n), n, f"frames/{n:03d}.js", "x.jpg") for n in (2, 9))
    assert start([gone, few, many, few]) == 2
    assert start([gone, empty]) == 1 and start([gone]) == 0 and start([]) == 0
