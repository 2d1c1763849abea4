"""Bugs caught: a class in the wrong place of a benchmark's map, void that counts, other means."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from perception.core.errors import PerceptionError
from perception.core.ontology import load_class_map, target_of
from perception.core.types import SampleLabels, Status
from perception.evaluation import evaluate, evaluate_labels, read_truth
from perception.evaluation.notes import NO_INSTANCES
from perception.evaluation.semantic_kitti import semantic_kitti_truth
from perception.evaluation.truth import BACKGROUND, VOID
from perception.formats import nuscenes as lidarseg_format
from perception.formats import semantic_kitti as label_format

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
PERSON, BICYCLIST, MOTORCYCLIST, BICYCLE, MOTORCYCLE = 1, 2, 3, 4, 5
CAR, VAN, TRUCK, BUS, TRAIN, OTHER, LIGHT, SIGN = 6, 7, 8, 9, 10, 11, 12, 13
# semantic-kitti-api, config/semantic-kitti.yaml: learning_map
LEARNING_MAP = {
    **{0: 0, 1: 0, 10: 1, 11: 2, 13: 5, 15: 3, 16: 5, 18: 4, 20: 5, 30: 6, 31: 7, 32: 8},
    **{40: 9, 44: 10, 48: 11, 49: 12, 50: 13, 51: 14, 52: 0, 60: 9, 70: 15, 71: 16, 72: 17},
    **{80: 18, 81: 19, 99: 0, 252: 1, 253: 7, 254: 6, 255: 8, 256: 5, 257: 5, 258: 4, 259: 5},
}
UInt32 = npt.NDArray[np.uint32]


def write_labels(root: Path, *frames: UInt32, sequence: str = "08", first: int = 0) -> Path:
    folder = root / "sequences" / sequence / "labels"
    folder.mkdir(parents=True, exist_ok=True)
    for number, values in enumerate(frames, start=first):
        (folder / f"{number:06d}.label").write_bytes(values.astype("<u4").tobytes())
    return root


def values_at(kinds: list[int], instances: list[int]) -> UInt32:
    return (np.array(kinds) | np.array(instances) << 16).astype(np.uint32)


def test_every_id_of_semantic_kitti_is_what_its_learning_map_says(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    kinds = list(LEARNING_MAP)
    write_labels(tmp_path, values_at([*kinds, 777], [0] * (len(kinds) + 1)))
    truth = read_truth(f"semantic-kitti:{tmp_path}", make.road)
    points = truth.find_points("08/000000", len(kinds) + 1)
    assert points is not None and not points.has_seen
    judged_as = {
        1: CAR, 2: BICYCLE, 3: MOTORCYCLE, 4: TRUCK, 5: BUS, 6: PERSON, 7: BICYCLIST,
        8: MOTORCYCLIST, 19: SIGN,
    }  # fmt: skip
    expected = [
        VOID if learned == 0 else judged_as.get(learned, BACKGROUND)
        for learned in (*LEARNING_MAP.values(), 0)
    ]
    assert points.class_ids.tolist() == expected
    assert truth.point_classes.names == {
        **{PERSON: "person", BICYCLIST: "bicyclist", MOTORCYCLIST: "motorcyclist"},
        **{BICYCLE: "bicycle", MOTORCYCLE: "motorcycle", CAR: "car", TRUCK: "truck"},
        **{BUS: "other-vehicle", SIGN: "traffic-sign"},
    }
    ours = np.array([VAN, BUS, TRAIN, OTHER, LIGHT, SIGN], np.int32)
    assert truth.point_classes(ours).tolist() == [CAR, BUS, BUS, BUS, -2, SIGN]


def test_instances_of_two_classes_may_share_a_number(make: SimpleNamespace, tmp_path: Path) -> None:
    write_labels(tmp_path, values_at([10, 252, 30, 40, 10, 0], [3, 3, 3, 3, 0, 3]))
    points = read_truth(f"semantic-kitti:{tmp_path}", make.road).find_points("08/000000", 6)
    assert points is not None
    car, moving, person, *others = points.instance_ids.tolist()
    assert car == moving != person and car > 0 and person > 0
    assert others == [0, 0, 0]  # a road and what is void have none


def test_a_scene_is_ten_seconds_of_a_sequence(make: SimpleNamespace, tmp_path: Path) -> None:
    truth = read_truth(f"semantic-kitti:{write_labels(tmp_path, values_at([0], [0]))}", make.road)
    names = ["08/000000", "08/000099", "08/000100", "09/000000"]
    assert [truth.scene_of(name) for name in names] == ["08/0", "08/0", "08/1", "09/0"]


def test_what_is_no_truth_of_points_is_refused(make: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(PerceptionError, match=r"truth\.invalid: .*holds no sequences"):
        read_truth(f"semantic-kitti:{tmp_path}", make.road)
    write_labels(tmp_path, values_at([10], [1]))
    truth = read_truth(f"semantic-kitti:{tmp_path}", make.road)
    assert truth.find_points("08/000001", 1) is None
    with pytest.raises(PerceptionError, match=r"label\.count_mismatch: .*1 labels, expected 2"):
        truth.find_points("08/000000", 2)


def shifted(
    make: SimpleNamespace, name: str, classes: npt.NDArray[np.integer], ids: npt.NDArray[np.integer]
) -> SampleLabels:
    """Return labels: an eleventh of the points have the label of one some way before them."""
    ours, numbers = classes.copy(), ids.copy()
    moved = np.arange(len(ours)) % 11 == 0
    ours[moved], numbers[moved] = np.roll(ours, 500)[moved], np.roll(numbers, 500)[moved]
    n = int(numbers.max(initial=0))
    statuses = [Status.REVIEW if i % 5 == 4 else Status.ACCEPTED for i in range(n)]
    picture = make.labelled([(0, 0, 2, 2)] * n, statuses=statuses)
    return make.sample(picture, id=name, points=make.point_labels(ours, numbers))  # type: ignore[no-any-return]


def test_figures_are_those_of_semantic_kitti_api_on_real_sweeps(
    make: SimpleNamespace,
    tmp_path: Path,
    oracle: Callable[[str], ModuleType],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The files that an export of the same labels writes go through the official evaluator."""
    judge = oracle("auxiliary.eval_np")
    real = DATA / "semantickitti" / "sequences" / "00"
    if not real.is_dir():
        pytest.skip("needs ../shared/data/semantickitti")
    ours_of = {10: CAR, 30: PERSON, 32: MOTORCYCLIST, 81: SIGN, 70: LIGHT, 71: OTHER}
    samples = list[SampleLabels]()
    for number in range(7):
        values = np.fromfile(real / "labels" / f"{number:06d}.label", "<u4") & 0xFFFF
        points = np.fromfile(real / "velodyne" / f"{number:06d}.bin", "<f4").reshape(-1, 4)
        # It has no instances: cells of 8 m stand in, from 1.
        cells = np.floor(points[:, :2] / 8).astype(np.int64) + 50
        instances = np.unique(cells[:, 0] * 200 + cells[:, 1], return_inverse=True)[1] + 1
        write_labels(tmp_path, values | (instances << 16).astype(np.uint32), first=number)
        classes = np.zeros(len(values), np.int64)
        for kind, class_id in ours_of.items():
            classes[values == kind] = class_id
        classes[(classes == CAR) & (instances % 3 == 0)] = VAN
        samples.append(shifted(make, f"08/{number:06d}", classes, instances))
    report = evaluate_labels(samples, semantic_kitti_truth(tmp_path, make.road))
    target = target_of(make.road, load_class_map("road-to-semantic-kitti"))
    exported = tmp_path / "exported"
    label_format.write(samples, exported, target, statuses=frozenset({Status.ACCEPTED}))

    api = judge.PanopticEval(20, ignore=[0], min_points=50)
    table = np.zeros(1 << 16, np.int64)
    table[list(LEARNING_MAP)] = list(LEARNING_MAP.values())
    for sample in samples:
        true = np.fromfile(tmp_path / f"sequences/08/labels/{sample.id[3:]}.label", "<u4")
        ours = np.fromfile(exported / f"{sample.id}.label", "<u4")
        api.addBatch(table[ours & 0xFFFF], ours >> 16, table[true & 0xFFFF], true >> 16)
    capsys.readouterr()  # it prints
    pq = api.getPQ()[3]
    mean, ious = api.getSemIoU()
    names = {1: "car", 5: "other-vehicle", 6: "person", 8: "motorcyclist", 19: "traffic-sign"}
    for number, name in names.items():
        found = report.figure("points.all.iou", name, "all").value
        assert found == pytest.approx(ious[number], abs=1e-6), name
        found = report.figure("points.all.pq", name, "all").value
        assert (found or 0.0) == pytest.approx(pq[number], abs=1e-6), name
    assert 0.3 < ious[1] < 0.95 and 0.2 < pq[1] < 0.95  # neither trivial
    official = report.figure("points.all.iou", "mIoU of 19", "all").value
    assert official == pytest.approx(mean, abs=1e-6)
    assert all(one.name.startswith("points.all") for one in report.tables)  # none of images
    sys.modules.pop("auxiliary", None)


def test_real_labels_without_instances_have_no_figures_of_objects(make: SimpleNamespace) -> None:
    root = DATA / "semantickitti"
    if not root.is_dir():
        pytest.skip("needs ../shared/data/semantickitti")
    truth = read_truth(f"semantic-kitti:{root}", make.road)
    values = np.fromfile(root / "sequences/00/labels/000000.label", "<u4") & 0xFFFF
    cars = np.where(values == 10, CAR, 0)
    labels = make.sample(
        make.labelled([(0, 0, 2, 2)]), id="00/000000", points=make.point_labels(cars, cars // CAR)
    )
    report = evaluate_labels([labels], truth)
    assert [one.name for one in report.tables] == ["points.all.iou", "points.all.coverage"]
    assert report.figure("points.all.iou", "car", "all").value == 1.0
    assert NO_INSTANCES in report.notes


CATEGORIES = (  # nuScenes-lidarseg, docs/instructions_lidarseg.md: in the order of their index
    "noise animal human.pedestrian.adult human.pedestrian.child "
    "human.pedestrian.construction_worker human.pedestrian.personal_mobility "
    "human.pedestrian.police_officer human.pedestrian.stroller human.pedestrian.wheelchair "
    "movable_object.barrier movable_object.debris movable_object.pushable_pullable "
    "movable_object.trafficcone static_object.bicycle_rack vehicle.bicycle vehicle.bus.bendy "
    "vehicle.bus.rigid vehicle.car vehicle.construction vehicle.emergency.ambulance "
    "vehicle.emergency.police vehicle.motorcycle vehicle.trailer vehicle.truck "
    "flat.driveable_surface flat.other flat.sidewalk flat.terrain static.manmade static.other "
    "static.vegetation vehicle.ego"
).split()


def lidarseg_root(root: Path, kinds: npt.NDArray[np.integer]) -> Path:
    """Write one key frame of a LiDAR alone, with the labels of its points, and a camera."""
    shot = {"sample_token": "a", "ego_pose_token": "p", "timestamp": 0, "is_key_frame": True}
    still = {"translation": [0.0] * 3, "rotation": [1.0, 0, 0, 0]}
    K = [[100.0, 0.0, 80.0], [0.0, 100.0, 45.0], [0.0, 0.0, 1.0]]
    mounts: tuple[dict[str, Any], ...] = (
        {"token": "l", "sensor_token": "LIDAR_TOP", "camera_intrinsic": []} | still,
        {"token": "c", "sensor_token": "CAM_FRONT", "camera_intrinsic": K}
        | still
        | {"rotation": [0.5, -0.5, 0.5, -0.5]},  # z ahead along the LiDAR's x
    )
    files = {"l": ("sweep", "samples/a.bin", 0, 0), "c": ("image", "samples/a.png", 90, 160)}
    tables = {
        "sample": [{"token": "a", "timestamp": 0, "scene_token": "scene-1"}],
        "sensor": [
            {"token": "LIDAR_TOP", "channel": "LIDAR_TOP", "modality": "lidar"},
            {"token": "CAM_FRONT", "channel": "CAM_FRONT", "modality": "camera"},
        ],
        "calibrated_sensor": list(mounts),
        "ego_pose": [{"token": "p", "timestamp": 0, **still}],
        "sample_data": [
            {
                "token": token,
                "calibrated_sensor_token": mount,
                "filename": name,
                "height": height,
                "width": width,
                **shot,
            }
            for mount, (token, name, height, width) in files.items()
        ],
        "category": [
            {"token": name, "name": name, "index": number} for number, name in enumerate(CATEGORIES)
        ],
    }
    (root / "v1.0-mini").mkdir(parents=True)
    for name, rows in tables.items():
        (root / "v1.0-mini" / f"{name}.json").write_text(json.dumps(rows))
    (root / "samples").mkdir()
    cv2.imwrite(str(root / "samples/a.png"), np.zeros((90, 160, 3), np.uint8))
    ahead = np.where(np.arange(len(kinds)) % 2 == 0, 10.0, -10.0)  # every second behind
    aside, above = np.random.default_rng(1).uniform(-1, 1, (2, len(kinds)))
    sweep = np.stack([ahead, aside, above, np.zeros(len(kinds)), np.arange(len(kinds)) % 32], 1)
    (root / "samples/a.bin").write_bytes(sweep.astype("<f4").tobytes())
    path = root / "lidarseg/v1.0-mini/sweep_lidarseg.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(kinds.astype(np.uint8).tobytes())
    return root


def test_figures_are_those_of_the_nuscenes_devkit(
    make: SimpleNamespace, tmp_path: Path, oracle: Callable[[str], ModuleType]
) -> None:
    """The devkit's own class mapper and confusion matrix judge what an export writes."""
    devkit = oracle("nuscenes.eval.lidarseg.utils")
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, len(CATEGORIES), 4000)
    root = lidarseg_root(tmp_path, kinds)
    truth = read_truth(f"nuscenes-lidarseg:{root}", make.road)
    ours_of = {
        2: PERSON, 4: PERSON, 14: BICYCLIST, 15: BUS, 16: BUS, 17: VAN, 21: MOTORCYCLE,
        22: OTHER, 23: TRUCK, 12: CAR, 28: SIGN, 1: TRUCK,
    }  # fmt: skip
    classes = np.array([ours_of.get(kind, 0) for kind in kinds])
    labels = shifted(make, "a", classes, np.ones(len(kinds), np.int64))
    report = evaluate_labels([labels], truth)
    assert [one.name for one in report.tables] == [
        f"points.{view}.{what}" for view in ("seen", "all") for what in ("iou", "coverage")
    ]
    index = {name: number for number, name in enumerate(CATEGORIES)}
    mapper = devkit.LidarsegClassMapper(SimpleNamespace(lidarseg_name2idx_mapping=index))
    target = target_of(make.road, load_class_map("road-to-nuscenes"))
    lidarseg_format.write_lidarseg(
        [labels], tmp_path / "out", target, statuses=frozenset({Status.ACCEPTED}),
        version="v1.0-mini", token_of=lambda _: "sweep",
    )  # fmt: skip
    written = tmp_path / "out/lidarseg/v1.0-mini/sweep_lidarseg.bin"
    predicted = mapper.convert_label(np.fromfile(written, np.uint8))
    # It refuses points without a class: they are called vegetation, which is no thing.
    vegetation = mapper.coarse_name_2_coarse_idx_mapping["vegetation"]
    predicted = np.where(predicted == 0, vegetation, predicted)
    for view, chosen in (("all", kinds >= 0), ("seen", np.arange(len(kinds)) % 2 == 0)):
        matrix = devkit.ConfusionMatrix(17, ignore_idx=0)
        matrix.update(mapper.convert_label(kinds)[chosen], predicted[chosen])
        with np.errstate(invalid="ignore"):
            ious = matrix.get_per_class_iou()
        for name in ("pedestrian", "bicycle", "bus", "car", "motorcycle", "trailer", "truck"):
            expected = ious[mapper.coarse_name_2_coarse_idx_mapping[name]]
            found = report.figure(f"points.{view}.iou", name, "all").value
            assert found == pytest.approx(expected, abs=1e-6), name
            assert 0.2 < expected < 0.99, name


def test_signs_are_no_manmade_things_and_labels_of_them_do_not_count(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    root = lidarseg_root(tmp_path, np.array([17, 28, 1, 18, 24]))
    truth = read_truth(f"nuscenes-lidarseg:{root}", make.road)
    points = truth.find_points("a", 5)
    assert points is not None
    assert points.class_ids.tolist() == [CAR, BACKGROUND, VOID, BACKGROUND, BACKGROUND]
    assert points.seen.tolist() == [True, False, True, False, True] and points.has_seen
    assert SIGN not in truth.point_classes.judged_as
    assert truth.scene_of("a") == "scene-1"
    path = root / "lidarseg/v1.0-mini/sweep_lidarseg.bin"
    path.write_bytes(bytes([17, 28, 1, 18, 200]))
    with pytest.raises(PerceptionError, match=r"label\.invalid: .*class 200"):
        truth.find_points("a", 5)
    path.unlink()
    assert truth.find_points("a", 5) is None
    path.parent.rmdir()
    with pytest.raises(PerceptionError, match=r"truth\.invalid: .*no folder lidarseg"):
        read_truth(f"nuscenes-lidarseg:{root}", make.road)


@pytest.mark.slow
def test_a_run_is_judged_by_the_points_of_its_own_root(
    tmp_path: Path, command: Callable[..., Any], draw: Callable[..., Path]
) -> None:
    # A car ahead fills the box; of the three points on it one is a road, one is not seen.
    root, run = tmp_path / "data", tmp_path / "run"
    base = root / "sequences" / "00"
    draw(base / "image_2" / "000000.png", (20, 14, 44, 34, 255))
    (base / "calib.txt").write_text(
        "P2: 50 0 32 0 0 50 24 0 0 0 1 0\nTr: 0 -1 0 0 0 0 -1 0 1 0 0 0\n"
    )
    (base / "velodyne").mkdir()
    places = [[6, 0, 0, 0], [6, 0.1, 0, 0], [6, -0.1, 0, 0], [-6, 0, 0, 0], [9, 8, 0, 0]]
    (base / "velodyne" / "000000.bin").write_bytes(np.array(places, "<f4").tobytes())
    write_labels(root, values_at([10, 252, 40, 10, 0], [1, 1, 0, 1, 0]), sequence="00")
    boxes = {
        "images": [{"id": 1, "file_name": "sequences/00/image_2/000000.png", "width": 64,
                    "height": 48}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [20, 14, 24, 20]}],
        "categories": [{"id": 1, "name": "car"}],
    }  # fmt: skip
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    process = command(
        *("label", f"semantic-kitti:{root}", "--boxes", tmp_path / "boxes.json"),
        *("--segmenter", "boxes", "--out", run),
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    report = evaluate(run, "semantic-kitti")
    assert dict(report.counts)["sweeps with truth"] == 1
    assert report.figure("points.seen.iou", "car", "all").value == pytest.approx(2 / 3)
    assert report.figure("points.all.iou", "car", "all").value == pytest.approx(2 / 4)
    with pytest.raises(PerceptionError, match=r"source is no nuscenes:ROOT"):
        evaluate(run, "nuscenes-lidarseg")
    elsewhere = write_labels(tmp_path / "other", values_at([10], [1]), sequence="05")
    with pytest.raises(PerceptionError, match=r"knows none of the run's 1 samples: 00/000000"):
        evaluate(run, f"semantic-kitti:{elsewhere}")
