"""Bugs caught: width taken for length, quaternions turned round, a box placed by another moment."""

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from perception.core.errors import PerceptionError
from perception.evaluation import evaluate_labels, read_truth
from perception.evaluation.paired import paired_table
from perception.evaluation.truth import BACKGROUND, VOID

PERSON, CAR, TRUCK = 1, 6, 8
HALF = float(np.sqrt(0.5))
FRONT = "samples/CAM_FRONT/a.png"
POINTS = (  # LiDAR: x right, y ahead, z up; what it is, class, instance (the row of the table)
    ((0, 10, 0), "in the middle of the car", CAR, 1),
    (
        (0, 12.05, 0),
        "before its front, which grows by 0.1 m: it is 4 m long",
        CAR,
        1,
    ),
    ((1.05, 10, 0), "beside it, which grows too: it is 2 m wide", CAR, 1),
    ((1.2, 10, 0), "farther beside it", BACKGROUND, 0),
    ((0, 10, 0.85), "over its top, which grows", CAR, 1),
    ((0, 10, -0.85), "under its bottom, which does not", BACKGROUND, 0),
    ((-5, 10, 0), "in a barrier, of which no class is ours", VOID, 0),
    ((0, -10, 0), "in the truck behind, which no camera sees", TRUCK, 3),
    ((3, 20, 0), "in two people", VOID, 0),
    ((3, 19.6, 0), "in one of them", PERSON, 4),
)
ANNOTATIONS = (  # category, centre in the world, width length height, points
    # The car of the world: the ego stands at (100, 50) and heads along the world's x axis.
    ("vehicle.car", [110.0, 50.0, 0.0], [2.0, 4.0, 1.6], 5),
    ("movable_object.barrier", [110.0, 55.0, 0.0], [1.0, 1.0, 1.0], 1),
    ("vehicle.truck", [90.0, 50.0, 0.0], [2.0, 6.0, 2.0], 1),
    ("human.pedestrian.child", [119.8, 47.0, 0.0], [0.5, 0.6, 1.6], 2),
    ("human.pedestrian.adult", [120.2, 47.0, 0.0], [0.5, 0.6, 1.6], 0),
)


def write(root: Path, **changed: object) -> Path:
    """Write one key frame: LiDAR and camera at the ego, which stands still."""
    still = {"translation": [100.0, 50.0, 0.0], "rotation": [1.0, 0.0, 0.0, 0.0], "timestamp": 0}
    shot = {"sample_token": "a", "ego_pose_token": "pose", "timestamp": 0, "is_key_frame": True}
    K = [[100.0, 0.0, 80.0], [0.0, 100.0, 45.0], [0.0, 0.0, 1.0]]
    kinds = sorted({category for category, *_ in ANNOTATIONS})
    tables = {
        "sample": [{"token": "a", "timestamp": 0, "scene_token": "scene"}],
        "sensor": [
            {"token": "LIDAR_TOP", "channel": "LIDAR_TOP", "modality": "lidar"},
            {"token": "CAM_FRONT", "channel": "CAM_FRONT", "modality": "camera"},
        ],
        "calibrated_sensor": [
            # x of the LiDAR is the ego's right, of the camera too; its z is ahead
            {"token": "l", "sensor_token": "LIDAR_TOP", "rotation": [HALF, 0, 0, -HALF]},
            {"token": "c", "sensor_token": "CAM_FRONT", "rotation": [0.5, -0.5, 0.5, -0.5]},
        ],
        "ego_pose": [{"token": "pose", **still}],
        "sample_data": [
            {"token": "sl", "calibrated_sensor_token": "l", "filename": "samples/a.bin", **shot},
            {"token": "sc", "calibrated_sensor_token": "c", "filename": FRONT, **shot},
        ],
        "category": [{"token": name, "name": name} for name in kinds],
        "instance": [
            {"token": f"i{row}", "category_token": category}
            for row, (category, *_) in enumerate(ANNOTATIONS)
        ],
        "sample_annotation": [
            {
                "token": f"b{row}",
                "sample_token": "a",
                "instance_token": f"i{row}",
                "translation": centre,
                "size": size,
                "rotation": [1.0, 0.0, 0.0, 0.0],
                "num_lidar_pts": count,
                "num_radar_pts": 0,
            }
            for row, (_, centre, size, count) in enumerate(ANNOTATIONS)
        ],
    }
    for row in tables["calibrated_sensor"]:
        row |= {
            "translation": [0.0, 0.0, 0.0],
            "camera_intrinsic": K if row["token"] == "c" else [],
        }
    for row, size_hw in zip(tables["sample_data"], ((0, 0), (90, 160)), strict=True):
        row |= {"height": size_hw[0], "width": size_hw[1]}
    tables["sample_annotation"][0] |= changed
    (root / "v1.0-mini").mkdir(parents=True)
    for name, rows in tables.items():
        (root / "v1.0-mini" / f"{name}.json").write_text(json.dumps(rows))
    (root / FRONT).parent.mkdir(parents=True)
    cv2.imwrite(str(root / FRONT), np.zeros((90, 160, 3), np.uint8))
    points = np.array([(*place, 0, 0) for place, *_ in POINTS], "<f4")
    (root / "samples/a.bin").write_bytes(points.tobytes())
    return root


def test_points_are_those_of_the_box_they_lie_in(make: SimpleNamespace, tmp_path: Path) -> None:
    truth = read_truth(f"nuscenes:{write(tmp_path)}", make.road)
    points = truth.find_points("a", len(POINTS))
    assert points is not None
    assert make.named(points, POINTS) == [tuple(expected) for _, *expected in POINTS]
    assert points.seen.tolist() == [what[:12] != "in the truck" for _, what, *_ in POINTS]
    assert truth.find_points("b", 3) is None and truth.find_picture("samples/other.png") is None
    with pytest.raises(PerceptionError, match=r"label\.count_mismatch: .* the run labelled 3"):
        truth.find_points("a", 3)


def test_a_box_looks_as_large_as_its_nearest_corners(make: SimpleNamespace, tmp_path: Path) -> None:
    truth = read_truth(f"nuscenes:{write(tmp_path)}", make.road)
    picture, boxes = truth.find_picture(FRONT), truth.find_cuboids("a")
    assert picture is not None and boxes is not None
    # The back of the car: 1 m to each side and 0.8 m up and down, 8 m ahead; 100 px focal length.
    np.testing.assert_allclose(picture.boxes_xyxy[0], [68, 35.5, 93, 55.5], atol=1e-3)
    assert picture.instance_ids.tolist() == [1, 2, 4, 5]  # not the truck behind
    assert picture.class_ids.tolist() == [CAR, -1, PERSON, PERSON]
    assert picture.ignored.tolist() == [False, True, False, True]  # a barrier; never met
    np.testing.assert_allclose(picture.ranges_m[0], 10)
    np.testing.assert_allclose(boxes.centres_m[0], [0, 10, 0], atol=1e-5)
    np.testing.assert_allclose(boxes.sizes_lwh_m[0], [4, 2, 1.6])
    np.testing.assert_allclose(boxes.yaws_rad[0], np.pi / 2, atol=1e-6)  # along y, ahead


def test_a_turned_box_and_a_van_are_judged_as_nuscenes_has_them(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    turned = write(tmp_path, rotation=[HALF, 0, 0, HALF])  # across the street
    truth = read_truth(f"nuscenes:{turned}", make.road)
    points = truth.find_points("a", len(POINTS))
    assert points is not None
    assert points.instance_ids[:4].tolist() == [1, 0, 1, 1]
    assert make.road.by_id(7).name == "van"
    assert truth.point_classes(np.array([7], np.int32)).tolist() == [CAR]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"rotation": [2.0, 0, 0, 0]}, r"rotation is \[2\.0, 0, 0, 0\], expected a unit quat"),
        ({"size": [1.0, 2.0]}, "size is"),
        ({"instance_token": "none"}, "instance_token is 'none', expected an instance"),
    ],
)
def test_a_table_that_is_wrong_is_told_with_its_row(
    make: SimpleNamespace, tmp_path: Path, changed: dict[str, object], code: str
) -> None:
    with pytest.raises(PerceptionError, match=rf"sample_annotation\.json: row 1: {code}"):
        read_truth(f"nuscenes:{write(tmp_path, **changed)}", make.road)


def test_a_category_that_nuscenes_has_not_is_refused(make: SimpleNamespace, tmp_path: Path) -> None:
    root = write(tmp_path)
    table = root / "v1.0-mini" / "category.json"
    table.write_text(table.read_text().replace('"name": "vehicle.car"', '"name": "vehicle.boat"'))
    with pytest.raises(PerceptionError, match=r"class\.unknown: .*vehicle\.boat"):
        read_truth(f"nuscenes:{root}", make.road)


def test_the_ceiling_is_what_boxes_give_the_best_labels(make: SimpleNamespace) -> None:
    # 20 points in a car's box, of which 15 are the car's: exact labels reach 15 / 20.
    true = make.true_points([CAR] * 20 + [0] * 5, [1] * 20 + [0] * 5)
    best = make.true_points([CAR] * 15 + [0] * 10, [7] * 15 + [0] * 10)
    ours = make.point_labels([CAR] * 10 + [0] * 15, [1] * 10 + [0] * 15)
    other = make.point_labels([CAR] * 16 + [0] * 9, [1] * 16 + [0] * 9)
    truth = make.truth_of((), {"0": true})
    picture = make.labelled([(0, 0, 9, 9)])
    plain = evaluate_labels([make.sample(picture, points=ours)], truth)
    rows = [name for name, _ in plain.table("points.all.objects").rows]
    assert rows and not any("ceiling" in name for name in rows)  # the truth is exact
    boxed = make.truth_of((), {"0": true}, best={"0": best})
    report = evaluate_labels([make.sample(picture, points=ours)], boxed)
    for kind in ("mean", "pooled"):
        assert report.figure("points.all.objects", f"{kind}, ceiling", "all").value == 15 / 20
        assert report.figure("points.all.objects", f"{kind}, highest IoU", "all").value == 10 / 20
    assert any("ceiling" in note for note in report.notes)
    paired = paired_table(report, evaluate_labels([make.sample(picture, points=other)], boxed))
    row = "points all, highest IoU"
    assert paired.figure(row, "first").value == 10 / 20
    assert paired.figure(row, "other").value == 16 / 20
    difference = paired.figure(row, "difference")
    assert difference.value == pytest.approx(6 / 20) and difference.n == 1
