"""Data sets whose layout is nearly one of ours."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.core.errors import RequestError, SampleError
from perception.readers import sources

CALIB = (
    "P0: 70 0 80 0 0 70 60 0 0 0 1 0\nP2: 80 0 80 0 0 80 60 0 0 0 1 0\n"
    "R_rect 1 0 0 0 1 0 0 0 1\nTr_velo_cam 0 -1 0 0 0 0 -1 0 1 0 0 0\n"
)
NOWHERE = [0, 0, 0]
POINTS = np.array([[10, 0, 0, 0.5], [5, 1, -1, 0.5]], "<f4")
Draw = Callable[[Path], Path]


def found(text: str) -> list[str]:
    return [ref.id for ref in sources.find(sources.parse_source(text))]


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def tracking(tmp_path: Path, draw_street: Draw) -> Path:
    """KITTI tracking: two sequences, of two frames and one."""
    base = tmp_path / "kt" / "training"
    for sequence, frames in (("0000", 2), ("0001", 1)):
        for frame in range(frames):
            draw_street(base / "image_02" / sequence / f"{frame:06}.png")
            sweep = base / "velodyne" / sequence / f"{frame:06}.bin"
            sweep.parent.mkdir(parents=True, exist_ok=True)
            sweep.write_bytes(POINTS.tobytes())
        for folder, text in (("calib", CALIB), ("label_02", "")):
            (base / folder).mkdir(exist_ok=True)
            (base / folder / f"{sequence}.txt").write_text(text)
    return base


def test_kitti_tracking_is_read(
    tracking: Path, boxes_xywh: dict[str, Any], label_here: Callable[..., Any]
) -> None:
    # wuhanstudio/carla-tracking-dataset: rows of all frames in one file, frame and track id first.
    rows = "0 -1 DontCare -1 -1 -10 1 1 9 9 -1 -1 -1 -1000 -1000 -1000 -10\n"
    for name, box in boxes_xywh.items():
        x, y, width, height = box
        kind = {"train": "Tram", "car": "Car"}[name]
        rows += f"1 7 {kind} 0 0 0 {x} {y} {x + width} {y + height} 2 2 2 0 1 6 0\n"
    (tracking / "label_02" / "0000.txt").write_text(rows)
    answer = label_here(f"kitti-tracking:{tracking.parent}", boxes="label_02")
    place = "training/image_02"
    assert answer.labels == {
        f"{place}/0000/000000.png": [],
        f"{place}/0000/000001.png": sorted(boxes_xywh.items()),
        f"{place}/0001/000000.png": [],
    }
    assert answer.counts["samples"]["quarantined"] == 0
    ref = sources.find(sources.parse_source(f"kitti-tracking:{tracking}"))[1]
    assert (ref.id, ref.sweep_file) == ("0000/000001", "velodyne/0000/000001.bin")
    scene = sources.load_scene(ref)
    assert scene.cameras[0].K[0, 0] == 80
    np.testing.assert_array_equal(scene.points_lidar, POINTS[:, :3])


def test_a_sequence_without_its_label_file_is_quarantined(
    tracking: Path, label_here: Callable[..., Any]
) -> None:
    (tracking / "label_02" / "0001.txt").unlink()
    answer = label_here(f"kitti-tracking:{tracking.parent}", boxes="label_02")
    assert answer.counts["quarantined_by"] == {"io.not_found": 1}
    (tracking / "label_02" / "0000.txt").write_text("Car 0 0 0 1 1 9 9 2 2 2 0 1 6 0\n")
    answer = label_here(f"kitti-tracking:{tracking.parent}", boxes="label_02", overwrite=True)
    assert answer.counts["quarantined_by"] == {"io.not_found": 1, "label.invalid": 2}


KITTI_360 = "k360/data_2d_raw/2013_05_28_drive_0000_sync/image_00/data_rect/0000000000.png"


@pytest.mark.parametrize(
    ("files", "source", "words"),
    [
        pytest.param(
            ["kt/training/image_02/0000/000000.png"],
            "kitti:kt",
            ["KITTI tracking", "kitti-tracking:"],
            id="hailanyi/VirConv#68",
        ),
        pytest.param(
            ["k/training/image_2/0.png"], "kitti-tracking:k", ["give kitti:"], id="object"
        ),
        pytest.param(["k/image_02/data/0.png"], "kitti:k", ["give kitti-raw:"], id="a raw drive"),
        pytest.param(
            ["k/2011_09_26/2011_09_26_drive_0001_sync/image_02/data/0.png"],
            "kitti-raw:k",
            ["give one, as kitti-raw:", "drive_0001_sync"],
            id="dates of raw drives",
        ),
        pytest.param(
            ["k/sequences/00/image_2/0.png"], "kitti:k", ["give semantic-kitti:"], id="odometry"
        ),
        pytest.param(
            ["data/object/training/image_2/0.png"], "kitti:data", ["object"], id="a folder above"
        ),
        pytest.param([KITTI_360], "kitti-raw:k360", ["KITTI-360", "images:"], id="KITTI-360"),
        pytest.param(
            [KITTI_360],
            "kitti-raw:k360/data_2d_raw/2013_05_28_drive_0000_sync",
            ["KITTI-360", "image_00/data_rect"],
            id="kitti360Scripts#16",
        ),
        pytest.param(
            ["nu/v1.0-mini/v1.0-mini/sample.json"],
            "nuscenes:nu",
            ["give nuscenes:", "v1.0-mini/v1.0-mini"],
            id="an archive unpacked into its own name",
        ),
        pytest.param(
            ["nu/v1.02-train/sample.json"],
            "nuscenes:nu",
            ["Lyft Level 5", "images:"],
            id="lyft/nuscenes-devkit#50",
        ),
        pytest.param(
            ["nu/train_data/sample.json"], "nuscenes:nu", ["Lyft Level 5"], id="Lyft of Kaggle"
        ),
        pytest.param(
            ["nu/v1.0-mini/sample.json", "nu/v1.0-mini/sensor.json"],
            "nuscenes:nu",
            ["has no calibrated_sensor.json, sample_data.json, ego_pose.json"],
            id="half of the tables",
        ),
        pytest.param(["nothing/a.png"], "kitti:nothing", ["expected a folder image_2"], id="none"),
    ],
)
def test_other_layouts_are_told_by_name_with_what_to_give(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: list[str],
    source: str,
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    touch(*map(Path, files))
    with pytest.raises(RequestError) as caught:
        found(source)
    for word in words:
        assert word in caught.value.message


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".JPG", ".JPEG", ".PNG", ".bmp"])
@pytest.mark.parametrize(
    ("layout", "folder", "sample"),
    [
        ("kitti", "training/image_2", "000076"),
        ("kitti-raw", "image_02/data", "000076"),
        ("kitti-tracking", "training/image_02/0000", "0000/000076"),
        ("semantic-kitti", "sequences/00/image_2", "00/000076"),
    ],
)
def test_pictures_of_any_kind_are_frames(
    tmp_path: Path, layout: str, folder: str, sample: str, suffix: str
) -> None:
    touch(tmp_path / folder / f"000076{suffix}")
    assert found(f"{layout}:{tmp_path}") == [sample]


@pytest.mark.parametrize("suffix", ["pcd", "PCD", "npy", "ply", "txt", "bin"])
@pytest.mark.parametrize(
    ("layout", "picture", "sweep"),
    [
        ("kitti", "image_2/000076.png", "velodyne/000076"),
        ("kitti", "image_2/000076.png", "velodyne_reduced/000076"),
        ("kitti-raw", "image_02/data/000076.png", "velodyne_points/data/000076"),
        ("kitti-tracking", "image_02/0000/000076.png", "velodyne/0000/000076"),
        ("semantic-kitti", "sequences/00/image_2/000076.png", "sequences/00/velodyne/000076"),
    ],
)
def test_sweeps_of_any_kind_are_found(
    tmp_path: Path, layout: str, picture: str, sweep: str, suffix: str
) -> None:
    touch(tmp_path / picture, tmp_path / f"{sweep}.{suffix}")
    (ref,) = sources.find(sources.parse_source(f"{layout}:{tmp_path}"))
    assert ref.sweep_file == f"{sweep}.{suffix}"


@pytest.mark.parametrize(
    ("layout", "picture", "sweep"),
    [
        ("kitti", "image_2/0.png", "velodyne/0.bin"),
        ("kitti-raw", "image_02/data/0.png", "velodyne_points/data/0.bin"),
        ("kitti-tracking", "image_02/0000/0.png", "velodyne/0000/0.bin"),
        ("semantic-kitti", "sequences/00/image_2/0.png", "sequences/00/velodyne/0.bin"),
    ],
)
def test_an_odd_sweep_is_told_without_a_calibration_too(
    tmp_path: Path, layout: str, picture: str, sweep: str
) -> None:
    touch(tmp_path / picture, tmp_path / sweep)
    rows = np.random.default_rng(0).uniform(-0.8, 0.8, (2000, 4))  # metres: nothing is so near
    (tmp_path / sweep).write_bytes(rows.astype("<f4").tobytes())
    (ref,) = sources.find(sources.parse_source(f"{layout}:{tmp_path}"))
    assert f"{sweep}: its points lie within 1." in " ".join(sources.load_scene(ref).remarks)


def test_the_first_kind_of_sweep_wins(tmp_path: Path) -> None:
    base = tmp_path / "velodyne"
    touch(tmp_path / "image_2" / "0.png", base / "0.pcd", base / "0.npy", base / "0.bin")
    (ref,) = sources.find(sources.parse_source(f"kitti:{tmp_path}"))
    assert ref.sweep_file == "velodyne/0.bin"


@pytest.mark.parametrize(
    ("sweeps", "words"),
    [
        (["000076.las", "000077.las"], ["2 .las", ".bin, .npy, .pcd"]),
        (["76.bin"], ["no image has a sweep of its name", "76.bin"]),
    ],
)
def test_a_folder_of_sweeps_for_no_frame_is_refused_before_any_work(
    tmp_path: Path, sweeps: list[str], words: list[str]
) -> None:
    touch(tmp_path / "image_2" / "000076.png", *(tmp_path / "velodyne" / name for name in sweeps))
    with pytest.raises(RequestError) as caught:
        found(f"kitti:{tmp_path}")
    for word in words:
        assert word in caught.value.message


def test_columns_are_for_sources_with_sweeps(
    tmp_path: Path, draw_street: Draw, label_here: Callable[..., Any]
) -> None:
    draw_street(tmp_path / "images" / "a.png")
    with pytest.raises(RequestError, match="--columns 5: the source has no sweeps"):
        label_here(tmp_path / "images", boxes=str(tmp_path), overrides={"observe": {"columns": 5}})


def test_nuimages_are_pictures(tmp_path: Path, draw_street: Draw) -> None:
    # nutonomy/nuscenes-devkit#816: samples without scenes, cameras without a sweep.
    tables: dict[str, list[dict[str, Any]]] = {
        "sensor": [{"token": "s", "channel": "CAM_FRONT", "modality": "camera"}],
        "calibrated_sensor": [
            {
                "token": "c",
                "sensor_token": "s",
                "translation": [0, 0, 0],
                "rotation": [1, 0, 0, 0],
                "camera_intrinsic": [[80, 0, 80], [0, 80, 60], [0, 0, 1]],
                "camera_distortion": [0.1, 0, 0, 0, 0, 0],
            }
        ],
        "sample": [
            {"token": f"t{n}", "timestamp": 10**15, "log_token": "l", "key_camera_token": f"d{n}"}
            for n in range(2)
        ],
        "sample_data": [
            {
                "token": f"d{n}",
                "sample_token": f"t{n}",
                "ego_pose_token": f"e{n}",
                "calibrated_sensor_token": "c",
                "timestamp": 10**15,
                "is_key_frame": True,
                "height": 120,
                "width": 160,
                "filename": f"samples/CAM_FRONT/{n}.png",
            }
            for n in range(2)
        ],
        "ego_pose": [
            {
                "token": f"e{n}",
                "timestamp": 10**15,
                "rotation": [1, 0, 0, 0],
                "translation": [0] * 3,
            }
            for n in range(2)
        ],
    }
    (tmp_path / "v1.0-mini").mkdir()
    for name, rows in tables.items():
        (tmp_path / "v1.0-mini" / f"{name}.json").write_text(json.dumps(rows))
    for number in range(2):
        draw_street(tmp_path / "samples" / "CAM_FRONT" / f"{number}.png")
    refs = sources.find(sources.parse_source(f"nuscenes:{tmp_path}"))
    assert [ref.id for ref in refs] == ["t0", "t1"]
    for ref in refs:
        sample = sources.load_sample(ref)
        assert sample.pictures[0].size_hw == (120, 160)
        assert len(sample.scene.points_lidar) == 0 and sample.scene.remarks == ()


def test_a_plan_that_somebody_changed_is_no_traceback(tmp_path: Path) -> None:
    touch(tmp_path / "image_2" / "0.png")
    (ref,) = sources.find(sources.parse_source(f"kitti:{tmp_path}"))
    for text in ("", "[1", "[" * 10_000, '{"version": 7}', "null"):
        changed = type(ref)(ref.id, "nuscenes", ref.root, ref.pictures, calibration=text)
        with pytest.raises(SampleError, match=r"calib\.invalid"):
            sources.load_scene(changed)
