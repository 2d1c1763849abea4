"""SUSTechPOINTS: what is planned, where a point lands, files that are missing or broken."""

import json
from pathlib import Path

import numpy as np
import pytest

from perception.core.errors import RequestError, SampleError
from perception.core.geometry import project, transform
from perception.readers.sustech import find, load_scene

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "sustech"
INTRINSIC = [100, 0, 50, 0, 100, 40, 0, 0, 1]
# LiDAR x forward, y left, z up; cameras x right, y down, z forward; the front one 1 m above it.
FRONT = [0, -1, 0, 0, 0, 0, -1, 1, 1, 0, 0, 0, 0, 0, 0, 1]
LEFT = [1, 0, 0, 0, 0, 0, -1, 0, 0, 1, 0, 0, 0, 0, 0, 1]


def scene(
    root: Path,
    frames: tuple[str, ...] = ("0002", "0001"),
    folders: str = "camera lidar calib/camera",
) -> Path:
    pictures, sweeps, calib = (root / name for name in folders.split())
    for camera, extrinsic in (("left", LEFT), ("front", FRONT)):
        (pictures / camera).mkdir(parents=True)
        calib.mkdir(parents=True, exist_ok=True)
        values = {"extrinsic": extrinsic, "extrinsic_ok": "not read", "intrinsic": INTRINSIC}
        (calib / f"{camera}.json").write_text(json.dumps(values))
        for frame in frames:
            (pictures / camera / f"{frame}.jpg").touch()  # never opened by a reader
    sweeps.mkdir()
    for frame in frames:
        np.save(sweeps / f"{frame}.npy", np.array([[10, 1, 1.5], [0, 10, 0]], np.float32))
    return root


def test_frames_are_planned_in_order_with_all_their_cameras(tmp_path: Path) -> None:
    refs = find(scene(tmp_path))
    assert [ref.id for ref in refs] == ["0001", "0002"]
    assert [(one.camera, one.file_name) for one in refs[0].pictures] == [
        ("front", "camera/front/0001.jpg"),
        ("left", "camera/left/0001.jpg"),
    ]
    assert refs[0].sweep_file == "lidar/0001.npy"
    assert refs[0].calib_files == ("calib/camera/front.json", "calib/camera/left.json")


def test_scenes_in_one_folder_and_folders_of_older_scenes(tmp_path: Path) -> None:
    scene(tmp_path / "b", ("7",), "image pcd calib")
    scene(tmp_path / "a", ("7",), "image pcd calib/image")
    (tmp_path / "notes").mkdir()
    refs = find(tmp_path)
    assert [ref.id for ref in refs] == ["a/7", "b/7"]
    assert refs[1].pictures[0].file_name == "b/image/front/7.jpg"
    assert refs[1].sweep_file == "b/pcd/7.npy"
    assert [ref.calib_files[0] for ref in refs] == [
        "a/calib/image/front.json",
        "b/calib/front.json",
    ]


def test_a_point_lands_in_each_camera_where_worked_out_by_hand(tmp_path: Path) -> None:
    loaded = load_scene(find(scene(tmp_path))[0])
    front, left = loaded.cameras
    assert (front.name, left.name) == ("front", "left")
    points = loaded.points_lidar.astype(np.float64)
    uv, depths_m = project(front.K, transform(front.T_cam_from_lidar, points)[:1])
    # 1 m to the left at 10 m is 10 px left of the centre; half a metre above the camera, 5 px up.
    np.testing.assert_allclose(uv, [[40, 35]], atol=1e-5)
    np.testing.assert_allclose(depths_m, [10])
    uv, depths_m = project(left.K, transform(left.T_cam_from_lidar, points)[1:])
    np.testing.assert_allclose(uv, [[50, 40]], atol=1e-5)  # straight to the left
    np.testing.assert_allclose(depths_m, [10])


def test_a_camera_without_a_frame_or_a_calibration_is_left_out_there(tmp_path: Path) -> None:
    root = scene(tmp_path)
    (root / "camera" / "left" / "0001.jpg").unlink()
    (root / "calib" / "camera" / "front.json").unlink()
    first, second = find(root)
    assert [one.camera for one in first.pictures] == ["front"] and first.calib_files == ()
    assert load_scene(first).cameras == ()
    assert [one.camera for one in second.pictures] == ["front", "left"]
    assert [camera.name for camera in load_scene(second).cameras] == ["left"]


def test_pictures_without_sweeps_are_planned_and_a_frame_without_its_own_is_told(
    tmp_path: Path,
) -> None:
    root = scene(tmp_path / "a", ("1", "2"))
    (root / "lidar" / "1.npy").unlink()
    with pytest.raises(SampleError) as missing:
        load_scene(find(root)[0])
    assert missing.value.code == "io.not_found" and "1.pcd" in missing.value.message
    (root / "lidar" / "2.npy").unlink()
    (root / "lidar").rmdir()
    ref = find(root)[0]
    assert ref.sweep_file == "" and len(load_scene(ref).points_lidar) == 0


@pytest.mark.parametrize(
    "spoilt",
    [
        {},
        {"intrinsic": 1, "extrinsic": FRONT},
        {"intrinsic": INTRINSIC[:8], "extrinsic": FRONT},
        {"intrinsic": INTRINSIC, "extrinsic": [2 * value for value in FRONT]},
        {"intrinsic": INTRINSIC, "extrinsic": [*FRONT[:3], float("nan"), *FRONT[4:]]},
        {"intrinsic": [0] * 9, "extrinsic": FRONT},
        [],
    ],
)
def test_a_calibration_that_is_none_is_told_with_its_file(tmp_path: Path, spoilt: object) -> None:
    root = scene(tmp_path)
    (root / "calib" / "camera" / "left.json").write_text(json.dumps(spoilt))
    with pytest.raises(SampleError, match=r"left\.json: ") as caught:
        load_scene(find(root)[0])
    assert caught.value.code == "calib.invalid"


def test_another_layout_is_refused_with_what_it_looks_like(tmp_path: Path) -> None:
    (tmp_path / "training" / "image_2").mkdir(parents=True)
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RequestError) as refused:
            find(root)
        assert refused.value.code == "source.invalid"
    with pytest.raises(RequestError, match=r"give kitti:"):
        find(tmp_path)


def test_the_example_of_the_tool_is_read() -> None:
    if not DATA.is_dir():
        pytest.skip("no shared data")
    refs = find(DATA)
    assert [ref.id for ref in refs] == ["000965", "000970", "000975"]
    loaded = load_scene(refs[0])
    assert [camera.name for camera in loaded.cameras] == ["front", "left", "right"]
    assert len(loaded.points_lidar) == 66781
