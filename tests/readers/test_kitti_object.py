"""The KITTI object layout: plan, projection, and calibration that is not what it should be."""

from pathlib import Path

import numpy as np
import pytest

from perception.core.errors import RequestError, SampleError
from perception.core.geometry import project, transform
from perception.core.types import Float64
from perception.readers.kitti_calib import read_calibration
from perception.readers.kitti_object import find, label_file, load_scene

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "kitti_object"

# Focal length 100 px, centre (50, 40), and a baseline: P2 is not [K | 0].
P2 = "P2: 100 0 50 20 0 100 40 -10 0 0 1 0.5"
R0 = "R0_rect: 1 0 0 0 1 0 0 0 1"
# lidar x forward, y left, z up -> camera x right, y down, z forward; the camera 1 m above the lidar
VELO = "Tr_velo_to_cam: 0 -1 0 0 0 0 -1 1 1 0 0 0"
ODOMETRY = "P2: 100 0 50 20 0 100 40 -10 0 0 1 0.5\nTr: 0 -1 0 0 0 0 -1 1 1 0 0 0\n"


def dataset(root: Path, frames: tuple[str, ...] = ("000000",), prefix: str = "training") -> Path:
    base = root / prefix
    for folder in ("image_2", "calib", "velodyne", "label_2"):
        (base / folder).mkdir(parents=True)
    for frame in frames:
        (base / "image_2" / f"{frame}.png").touch()  # never opened by a reader
        (base / "calib" / f"{frame}.txt").write_text("\n".join([P2, R0, VELO, "", ""]))
        points = np.array([[10, 0, 1, 0.3], [np.nan, 1, 1, 0]], "<f4")
        (base / "velodyne" / f"{frame}.bin").write_bytes(points.tobytes())
    return root


def projected_by_devkit(path: Path, points_lidar: Float64) -> Float64:
    """P2 R0_rect Tr_velo_to_cam X, as the devkit's readme has it."""
    values = read_calibration(path)
    rect_4x4, velo_4x4 = np.eye(4), np.eye(4)
    rect_4x4[:3, :3] = values.numbers("R0_rect").reshape(3, 3)
    velo_4x4[:3] = values.numbers("Tr_velo_to_cam").reshape(3, 4)
    homogeneous = np.column_stack([points_lidar, np.ones(len(points_lidar))])
    uvw = homogeneous @ (values.numbers("P2").reshape(3, 4) @ rect_4x4 @ velo_4x4).T
    return np.asarray(uvw, np.float64)


@pytest.mark.parametrize("prefix", ["training", "."])
def test_frames_are_planned_in_order_with_paths_relative_to_the_given_root(
    tmp_path: Path, prefix: str
) -> None:
    root = dataset(tmp_path, ("000114", "000007"), prefix)
    refs = find(root)
    assert [ref.id for ref in refs] == ["000007", "000114"]
    start = "" if prefix == "." else "training/"
    assert refs[1].layout == "kitti" and refs[1].root == str(root.resolve())
    assert [(p.camera, p.file_name) for p in refs[1].pictures] == [
        ("image_2", f"{start}image_2/000114.png")
    ]
    assert refs[1].sweep_file == f"{start}velodyne/000114.bin"
    assert refs[1].calib_files == (f"{start}calib/000114.txt",)
    assert label_file(refs[1]) == f"{start}label_2/000114.txt"


def test_the_reduced_sweep_is_taken_where_the_full_one_is_missing(tmp_path: Path) -> None:
    base = dataset(tmp_path, ("000000", "000001", "000002")) / "training"
    (base / "velodyne_reduced").mkdir()
    for frame in ("000000", "000001"):
        (base / "velodyne_reduced" / f"{frame}.bin").touch()
    for frame in ("000001", "000002"):
        (base / "velodyne" / f"{frame}.bin").unlink()
    assert [ref.sweep_file for ref in find(tmp_path)] == [
        "training/velodyne/000000.bin",
        "training/velodyne_reduced/000001.bin",
        "training/velodyne/000002.bin",
    ]


def test_row_07_a_frame_without_its_sweep_or_calibration_fails_when_loaded(tmp_path: Path) -> None:
    base = dataset(tmp_path, ("000000", "000001")) / "training"
    (base / "velodyne" / "000000.bin").unlink()
    (base / "calib" / "000001.txt").unlink()
    for ref, name in zip(find(tmp_path), ("000000.bin", "000001.txt"), strict=True):
        with pytest.raises(SampleError, match=name) as caught:
            load_scene(ref)
        assert caught.value.code == "io.not_found"


def test_without_the_folders_there_is_no_sweep_and_no_camera(tmp_path: Path) -> None:
    (tmp_path / "image_2").mkdir()
    (tmp_path / "image_2" / "000000.jpg").touch()
    (ref,) = find(tmp_path)
    assert (ref.sweep_file, ref.calib_files) == ("", ())
    scene = load_scene(ref)
    assert scene.cameras == () and scene.points_lidar.shape == (0, 3)


def test_folders_that_are_no_dataset_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"source\.invalid"):
        find(tmp_path)
    (tmp_path / "image_2").mkdir()
    with pytest.raises(RequestError, match=r"source\.empty"):
        find(tmp_path)
    (tmp_path / "image_2" / "000000.jpg").touch()
    (tmp_path / "image_2" / "000000.png").touch()
    with pytest.raises(RequestError, match=r"source\.duplicate"):
        find(tmp_path)


def test_a_point_ahead_lands_where_the_full_projection_puts_it(tmp_path: Path) -> None:
    scene = load_scene(find(dataset(tmp_path))[0])
    (camera,) = scene.cameras
    assert camera.name == "image_2"
    # Lidar (10, 0, 1) is (0, 0, 10) in the rectified frame: u = (50*10 + 20) / 10.5.
    uv, depth_m = project(
        camera.K, transform(camera.T_cam_from_lidar, np.array([[10.0, 0.0, 1.0]]))
    )
    np.testing.assert_allclose(uv, [[520 / 10.5, 390 / 10.5]], rtol=1e-12)
    np.testing.assert_allclose(depth_m, [10.5])
    assert np.isnan(scene.points_lidar[1, 0]) and len(scene.points_lidar) == 2


def test_the_rectifying_rotation_is_applied_after_the_mounting(tmp_path: Path) -> None:
    root = dataset(tmp_path)
    # A quarter turn about z: the x of the reference camera becomes the y of the rectified frame.
    (root / "training/calib/000000.txt").write_text(
        "\n".join([P2, "R0_rect: 0 -1 0 1 0 0 0 0 1", VELO])
    )
    (camera,) = load_scene(find(root)[0]).cameras
    points_lidar = np.array([[10.0, -2.0, 1.0], [8.0, 1.0, 0.0]])  # first: (2, 0, 10) in cam 0
    points_cam = transform(camera.T_cam_from_lidar, points_lidar)
    offset_m = [(20 - 50 * 0.5) / 100, (-10 - 40 * 0.5) / 100, 0.5]  # K^-1 p
    np.testing.assert_allclose(points_cam[0], np.add([0, 2, 10], offset_m), atol=1e-12)
    uvw = projected_by_devkit(root / "training/calib/000000.txt", points_lidar)
    np.testing.assert_allclose(points_cam @ camera.K.T, uvw, atol=1e-9)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([R0, VELO], ["P2", "object benchmark"]),
        ([P2, VELO], ["R0_rect", "object benchmark"]),
        ([ODOMETRY, R0], ["Tr_velo_to_cam", "odometry"]),
        (["P_rect_02: 1 2 3", "S_rect_02: 1 2"], ["P2", "calib_cam_to_cam.txt"]),
        (["R: 1 0 0 0 1 0 0 0 1", "T: 0 0 0"], ["P2", "calib_velo_to_cam.txt"]),
        ([P2, "R_rect 1 0 0", "Tr_velo_cam 1 0 0"], ["R_rect has 3 numbers"]),
        ([P2.replace("P2", "P0"), R0, VELO], ["no P2", "image_2", "but P0", "name it P2"]),
        ([P2, "R_rect_02: 1 0 0 0 1 0 0 0 1", VELO], ["R0_rect", "R_rect_02", "camera 2"]),
        ([P2, R0, "Tr_velo_to_cam: 0 0 1 0 -1 0 0 0 0 -1 0 0"], ["inverse", "Tr_cam_to_velo"]),
        ([P2.replace("20", "2_0"), R0, VELO], ["P2", "not all numbers"]),
        ([P2.replace("20", "\u0662"), R0, VELO], ["P2", "not all numbers"]),
        ([P2, "R0_rect: 1 0 0 5 0 1 0 0 0 0 1 0", VELO], ["R0_rect has 12 numbers"]),
        ([P2, "R0_rect: 1 0 0 0 1 0 0 0", VELO], ["R0_rect has 8 numbers", "3x3"]),
        (["P2: 100 0 50 0 100 40 0 0 1", R0, VELO], ["P2 has 9 numbers", "3x4"]),
        ([P2, R0, "Tr_velo_to_cam: 0 -1 0 0 0 -1 1 0 0"], ["Tr_velo_to_cam has 9", "3x4"]),
        ([P2.replace("100", "abc"), R0, VELO], ["P2", "abc"]),
        ([P2.replace("20", "nan"), R0, VELO], ["P2", "not finite"]),
        ([P2, "R0_rect: 2 0 0 0 1 0 0 0 1", VELO], ["R0_rect", "orthonormal"]),
        ([P2, R0, VELO.replace("1 1 0 0 0", "1 9 0 0 0")], ["Tr_velo_to_cam", "orthonormal"]),
        (
            [P2, "R0_rect: 1e200 1e200 0 1e200 -1e200 0 0 0 1e200", VELO],
            ["R0_rect", "orthonormal"],
        ),
        ([P2, R0, VELO.replace("1 1 0 0 0", "1 -1 0 0 0")], ["Tr_velo_to_cam", "reflection"]),
        ([P2.replace("P2: 100", "P2: 0"), R0, VELO], ["P2", "focal"]),
        ([P2.replace("100 40", "-100 40"), R0, VELO], ["P2", "focal"]),
        ([P2.replace("0 0 1 0.5", "0 0 0 1"), R0, VELO], ["P2", "no projection"]),
        ([P2, P2, R0, VELO], ["P2", "twice"]),
        (["\x00\x01\x02"], ["P2", "found the keys \\x00"]),
    ],
)
def test_row_24_calibration_faults_name_the_key_and_what_was_expected(
    tmp_path: Path, lines: list[str], words: list[str]
) -> None:
    root = dataset(tmp_path)
    path = root / "training" / "calib" / "000000.txt"
    path.write_text("\n".join(lines))
    with pytest.raises(SampleError) as caught:
        load_scene(find(root)[0])
    assert caught.value.code == "calib.invalid"
    for word in [str(path), *words]:
        assert word in caught.value.message


ALSO_P2 = "P2: 100 0 50 20 0 100 40 -10 0 0 1 0.5 0 0 0 1"


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([P2, "R_rect 1 0 0 0 1 0 0 0 1", VELO.replace(":", "")], id="VirConv#68"),
        pytest.param(
            [P2, R0.replace("R0_rect:", "R_rect"), VELO.replace("to_cam:", "cam")], id="tracking"
        ),
        pytest.param([P2, R0.replace("R0_rect", "R_rect_00"), VELO], id="R_rect_00"),
        pytest.param(
            [ALSO_P2, "R0_rect: 1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1", f"{VELO} 0 0 0 1"], id="4x4"
        ),
        pytest.param([P2, "R0_rect: 1 0 0 0 0 1 0 0 0 0 1 0", VELO], id="3x4 rectification"),
        pytest.param(["\ufeff" + P2, "# own rig", "", R0, VELO], id="BOM and comment"),
        pytest.param([f"{line}\r" for line in (P2, R0, VELO)], id="CRLF"),
        pytest.param([P2.replace(": ", ":\t"), R0.replace(":", " :"), VELO], id="blanks"),
        pytest.param([P2, R0, VELO, "Tr_imu_to_velo: none", "Tr_imu_to_velo:"], id="unread rows"),
    ],
)
def test_calibration_as_people_write_it_gives_the_same_camera(
    tmp_path: Path, lines: list[str]
) -> None:
    root = dataset(tmp_path)
    (expected,) = load_scene(find(root)[0]).cameras
    (root / "training" / "calib" / "000000.txt").write_text("\n".join(lines), newline="")
    scene = load_scene(find(root)[0])
    (camera,) = scene.cameras
    np.testing.assert_array_equal(camera.K, expected.K)
    np.testing.assert_array_equal(camera.T_cam_from_lidar, expected.T_cam_from_lidar)
    assert not any("Tr_" in remark for remark in scene.remarks)


def test_a_transform_the_other_way_round_is_inverted_and_told(tmp_path: Path) -> None:
    root = dataset(tmp_path)
    (expected,) = load_scene(find(root)[0]).cameras
    backward = "Tr_cam_to_velo: 0 0 1 0 -1 0 0 0 0 -1 0 1"  # the LiDAR 1 m above camera 0
    (root / "training" / "calib" / "000000.txt").write_text("\n".join([P2, R0, backward]))
    scene = load_scene(find(root)[0])
    np.testing.assert_allclose(
        scene.cameras[0].T_cam_from_lidar, expected.T_cam_from_lidar, atol=1e-12
    )
    assert any("Tr_cam_to_velo" in remark and "inverted" in remark for remark in scene.remarks)


def test_row_24_calibration_that_is_no_text_is_invalid(tmp_path: Path) -> None:
    root = dataset(tmp_path)
    path = root / "training" / "calib" / "000000.txt"
    for content in (b"\xff\xfe\x00", b"P2: 1\n" * 200_000):
        path.write_bytes(content)
        with pytest.raises(SampleError, match=r"calib\.invalid"):
            load_scene(find(root)[0])


@pytest.mark.skipif(not DATA.is_dir(), reason="the real driving data is not beside the repository")
def test_real_frames_project_as_the_devkit_does() -> None:
    refs = find(DATA)
    assert [ref.id for ref in refs][:4] == ["000000", "000001", "000002", "000003"]
    assert refs[3].sweep_file == "training/velodyne_reduced/000003.bin"
    for ref in refs:
        scene = load_scene(ref)
        (camera,) = scene.cameras
        points_lidar = scene.points_lidar.astype(np.float64)
        uvw = transform(camera.T_cam_from_lidar, points_lidar) @ camera.K.T
        expected = projected_by_devkit(DATA / ref.calib_files[0], points_lidar)
        np.testing.assert_allclose(uvw, expected, atol=1e-7)
