"""The KITTI raw layout: where calibration is looked for, and that both kinds agree."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.core.errors import RequestError, SampleError
from perception.core.geometry import transform
from perception.readers import sources
from perception.readers.kitti_raw import find, load_scene

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "kitti_raw_seq"

CAM = """calib_time: 09-Jan-2012 13:57:47
S_rect_02: 1.2e+01 8.0e+00
R_rect_00: 0 -1 0 1 0 0 0 0 1
R_rect_02: 1 0 0 0 1 0 0 0 1
P_rect_02: 100 0 50 20 0 100 40 -10 0 0 1 0.5
"""
VELO = """calib_time: 15-Mar-2012 11:37:16
R: 0 -1 0 0 0 -1 1 0 0
T: 0 1 0
delta_f: 0 0
"""
OBJECT = """P2: 200 0 50 20 0 200 40 -10 0 0 1 0.5
R0_rect: 0 -1 0 1 0 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0 0 0 -1 1 1 0 0 0
"""


def drive(root: Path, frames: tuple[int, ...] = (7,)) -> Path:
    images, sweeps = root / "image_02" / "data", root / "velodyne_points" / "data"
    images.mkdir(parents=True)
    sweeps.mkdir(parents=True)
    for frame in frames:
        assert cv2.imwrite(str(images / f"{frame:010d}.png"), np.zeros((8, 12, 3), np.uint8))
        (sweeps / f"{frame:010d}.bin").write_bytes(np.ones((5, 4), "<f4").tobytes())
    return root


def calibrated(folder: Path, cam: str = CAM, velo: str = VELO) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "calib_cam_to_cam.txt").write_text(cam)
    (folder / "calib_velo_to_cam.txt").write_text(velo)
    return folder


def test_frames_of_a_drive_are_planned_in_order(tmp_path: Path) -> None:
    refs = find(drive(tmp_path, (12, 7)))
    assert [ref.id for ref in refs] == ["0000000007", "0000000012"]
    assert refs[0].layout == "kitti-raw"
    assert refs[0].pictures[0].camera == "image_02"
    assert refs[0].pictures[0].file_name == "image_02/data/0000000007.png"
    assert refs[0].sweep_file == "velodyne_points/data/0000000007.bin"
    assert refs[0].calib_files == ()
    scene = load_scene(refs[0])
    assert scene.cameras == () and scene.points_lidar.shape == (5, 3)


@pytest.mark.parametrize("where", [".", "..", "raw_calib_2011_09_26"])
def test_the_drives_own_files_are_found_and_win_over_calib_txt(tmp_path: Path, where: str) -> None:
    root = drive(tmp_path / "date" / "drive")
    calibrated(root / where)
    (root / "calib.txt").write_text(OBJECT)
    (ref,) = find(root)
    prefix = "" if where == "." else f"{where}/"
    assert ref.calib_files == (f"{prefix}calib_cam_to_cam.txt", f"{prefix}calib_velo_to_cam.txt")
    (camera,) = load_scene(ref).cameras
    assert camera.name == "image_02" and camera.K[0, 0] == 100
    assert camera.size_hw == (8, 12)


def test_calib_txt_is_read_where_the_drive_has_no_files_of_its_own(tmp_path: Path) -> None:
    root = drive(tmp_path / "date" / "drive")
    (root / "calib.txt").write_text(OBJECT)
    (ref,) = find(root)
    assert ref.calib_files == ("calib.txt",)
    (camera,) = load_scene(ref).cameras
    assert camera.K[0, 0] == 200 and camera.size_hw == (0, 0)


def test_points_come_through_the_rectification_of_camera_0(tmp_path: Path) -> None:
    root = drive(tmp_path / "date" / "drive")
    calibrated(root)
    (camera,) = load_scene(find(root)[0]).cameras
    # Lidar (10, -2, 1) is (2, 0, 10) in camera 0; R_rect_00, a quarter turn: (0, 2, 10).
    offset_m = [(20 - 50 * 0.5) / 100, (-10 - 40 * 0.5) / 100, 0.5]  # K^-1 p
    points_cam = transform(camera.T_cam_from_lidar, np.array([[10.0, -2.0, 1.0]]))
    np.testing.assert_allclose(points_cam, [np.add([0, 2, 10], offset_m)], atol=1e-12)


def test_row_10_an_image_of_another_size_than_the_calibration_is_named_with_both(
    tmp_path: Path,
) -> None:
    root = drive(tmp_path / "date" / "drive")
    calibrated(root, cam=CAM.replace("1.2e+01", "1.4e+01"))
    (remark,) = sources.remarks(find(root))
    assert "size.mismatch" in remark and "12 x 8" in remark and "14 x 8" in remark


@pytest.mark.parametrize(
    ("cam", "velo", "words"),
    [
        (CAM.replace("P_rect_02", "P_rect_03"), VELO, ["P_rect_02", "calib_cam_to_cam"]),
        (CAM.replace("R_rect_00", "R_00"), VELO, ["R_rect_00"]),
        (CAM.replace("S_rect_02", "S_02"), VELO, ["S_rect_02"]),
        (CAM, OBJECT, ["R", "calib_velo_to_cam"]),
        (CAM, VELO.replace("T: 0 1 0", "T: 0 1"), ["T has 2 numbers"]),
        (CAM, VELO.replace("R: 0 -1", "R: 1 -1"), ["R", "orthonormal"]),
        (CAM.replace("P_rect_02: 100", "P_rect_02: -1"), VELO, ["P_rect_02", "focal"]),
    ],
)
def test_row_24_faults_of_the_drives_own_calibration_name_the_key(
    tmp_path: Path, cam: str, velo: str, words: list[str]
) -> None:
    root = drive(tmp_path / "date" / "drive")
    calibrated(root, cam, velo)
    with pytest.raises(SampleError) as caught:
        load_scene(find(root)[0])
    assert caught.value.code == "calib.invalid"
    for word in words:
        assert word in caught.value.message


def test_row_07_half_a_pair_of_calibration_files_is_missed_by_name(tmp_path: Path) -> None:
    root = drive(tmp_path / "date" / "drive")
    (calibrated(root) / "calib_velo_to_cam.txt").unlink()
    with pytest.raises(SampleError, match=r"io\.not_found: .*calib_velo_to_cam\.txt"):
        load_scene(find(root)[0])


def test_row_07_a_frame_whose_sweep_was_dropped_fails_when_loaded(tmp_path: Path) -> None:
    root = drive(tmp_path)
    (root / "velodyne_points" / "data" / "0000000007.bin").unlink()
    with pytest.raises(SampleError, match=r"io\.not_found: .*0000000007\.bin"):
        load_scene(find(root)[0])


def test_a_folder_that_is_no_drive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"source\.invalid"):
        find(tmp_path)


@pytest.mark.skipif(not DATA.is_dir(), reason="the real driving data is not beside the repository")
def test_the_two_calibrations_of_a_real_drive_agree() -> None:
    ref = find(DATA)[0]
    assert ref.calib_files[0] == "raw_calib_2011_09_26/calib_cam_to_cam.txt"
    (own,) = load_scene(ref).cameras
    (object_style,) = load_scene(replace(ref, calib_files=("calib.txt",))).cameras
    np.testing.assert_allclose(own.K, object_style.K, atol=1e-4)
    np.testing.assert_allclose(own.T_cam_from_lidar, object_style.T_cam_from_lidar, atol=1e-4)
    assert own.size_hw == (375, 1242)
