"""KITTI odometry and SemanticKITTI: plan, projection with `Tr`, and times."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from perception.commands.exports import export
from perception.commands.label import label
from perception.commands.request import LabelRequest
from perception.core.errors import RequestError, SampleError
from perception.core.geometry import points_in_view, project, transform
from perception.core.types import SampleRef
from perception.formats import semantic_kitti
from perception.readers import sources

# Focal length 100 px, centre (50, 40), the second camera's baseline in the last column.
CALIB = (
    "P0: 100 0 50 0 0 100 40 0 0 0 1 0\nP1: 100 0 50 -53 0 100 40 0 0 0 1 0\n"
    "P2: 100 0 50 20 0 100 40 -10 0 0 1 0.5\nP3: 100 0 50 -40 0 100 40 0 0 0 1 0\n"
    "Tr: 0 -1 0 0 0 0 -1 1 1 0 0 0\n"  # the camera 1 m above the LiDAR
)
POINTS = np.array([[10, 0, 1, 0.3], [20, 1, 0, 0], [-5, 0, 0, 0], [np.nan, 0, 0, 0]], "<f4")


def dataset(root: Path, *sequences: str, frames: int = 2, prefix: str = "dataset") -> Path:
    for sequence in sequences:
        base = root / prefix / "sequences" / sequence
        for folder in ("image_2", "velodyne", "labels"):
            (base / folder).mkdir(parents=True)
        (base / "calib.txt").write_text(CALIB)
        (base / "times.txt").write_text("".join(f"{0.1 * i:e}\n" for i in range(frames)))
        (base / "poses.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n" * frames)
        for frame in range(frames):
            (base / "image_2" / f"{frame:06d}.png").touch()  # never opened by a reader
            (base / "velodyne" / f"{frame:06d}.bin").write_bytes(POINTS.tobytes())
    return root


def planned(root: Path) -> tuple[SampleRef, ...]:
    return sources.find(sources.parse_source(f"semantic-kitti:{root}"))


@pytest.mark.parametrize("prefix", ["dataset", "."])
def test_frames_of_all_sequences_are_planned_by_sequence_and_number(
    tmp_path: Path, prefix: str
) -> None:
    refs = planned(dataset(tmp_path, "08", "00", prefix=prefix))
    assert [ref.id for ref in refs] == ["00/000000", "00/000001", "08/000000", "08/000001"]
    start = "" if prefix == "." else "dataset/"
    assert refs[3].pictures[0].file_name == f"{start}sequences/08/image_2/000001.png"
    assert refs[3].sweep_file == f"{start}sequences/08/velodyne/000001.bin"
    assert refs[3].calib_files == (
        f"{start}sequences/08/calib.txt",
        f"{start}sequences/08/times.txt",
    )


def test_points_land_where_p2_times_tr_has_them(tmp_path: Path) -> None:
    scene = sources.load_scene(planned(dataset(tmp_path, "00"))[0])
    (camera,) = scene.cameras
    np.testing.assert_array_equal(scene.points_lidar, POINTS[:, :3])
    # (10, 0, 1) is (0, 0, 10) for camera 0: (100*0 + 50*10 + 20, 40*10 - 10) / (10 + 0.5)
    uv, _ = project(camera.K, transform(camera.T_cam_from_lidar, POINTS[:1, :3].astype(float)))
    np.testing.assert_allclose(uv, [[520 / 10.5, 390 / 10.5]])
    rows, _, depth_m = points_in_view(camera, scene.points_lidar, (80, 100))
    assert rows.tolist() == [0, 1]
    np.testing.assert_allclose(depth_m, [10.5, 20.5])


def test_what_is_missing_is_left_out_of_the_plan_or_told(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="expected a folder sequences"):
        planned(tmp_path)
    root = dataset(tmp_path, "00", "01", "02")
    base = root / "dataset" / "sequences"
    for path in (base / "00" / "image_2").iterdir():
        path.unlink()
    with pytest.raises(RequestError, match=r"image_2 holds no picture"):
        planned(root)
    (base / "00" / "image_2").rmdir()  # as in SemanticKITTI's own archive
    (base / "01" / "times.txt").unlink()
    (base / "01" / "calib.txt").unlink()
    (base / "02" / "velodyne" / "000001.bin").unlink()
    refs = planned(root)
    assert [ref.id for ref in refs] == ["01/000000", "01/000001", "02/000000", "02/000001"]
    assert (refs[0].calib_files, sources.load_scene(refs[0]).cameras) == ((), ())
    with pytest.raises(SampleError, match=r"000001\.bin") as caught:
        sources.load_scene(refs[3])
    assert caught.value.code == "io.not_found"
    for folder in ("01", "02"):
        (base / folder / "image_2").rename(base / folder / "images")
    with pytest.raises(RequestError, match="no sequence has a folder image_2"):
        planned(root)


@pytest.mark.parametrize(
    ("calib", "match"),
    [
        (CALIB.replace("Tr:", "Tr_velo_to_cam:"), r"has no Tr, expected an odometry file"),
        (CALIB.replace("P2:", "P9:"), r"has no P2"),
        (CALIB.replace("P2: 100", "P2: 0"), "focal lengths 0, 100 px"),
        (CALIB.replace("Tr: 0 -1 0 0", "Tr: 0 -2 0 0"), "rotation of Tr is not orthonormal"),
        (CALIB.replace("Tr: 0 -1 0 0 0 0 -1 1 1 0 0 0", "Tr: 0 -1 0 0 0 0 -1 1 1"), "9 numbers"),
        (CALIB.replace("Tr: 0", "Tr: nan"), "not finite"),
    ],
)
def test_row_24_a_calibration_of_another_kind_is_quarantined(
    tmp_path: Path, calib: str, match: str
) -> None:
    ref = planned(dataset(tmp_path, "00"))[0]
    (tmp_path / "dataset/sequences/00/calib.txt").write_text(calib)
    with pytest.raises(SampleError, match=match) as caught:
        sources.load_scene(ref)
    assert caught.value.code == "calib.invalid"


@pytest.mark.parametrize(
    ("times", "code", "match"),
    [
        ("0.0\n0.0\n", "sync.gap", r"000001 is \+0\.000000 s from the frame before"),
        ("0.5\n0.2\n", "sync.gap", r"-0\.300000 s"),
        ("nan\n0.2\n", "sync.gap", "nan s"),
        ("0.0\n", "sync.gap", "1 times, none for frame 000001"),
        ("0.0\nsoon\n", "calib.invalid", "line 2"),
    ],
)
def test_row_26_a_frame_without_a_time_of_its_own_is_quarantined(
    tmp_path: Path, times: str, code: str, match: str
) -> None:
    refs = planned(dataset(tmp_path, "00"))
    (tmp_path / "dataset/sequences/00/times.txt").write_text(times)
    with pytest.raises(SampleError, match=match) as caught:
        sources.load_scene(refs[1])
    assert caught.value.code == code


@pytest.mark.slow
def test_labels_are_exported_where_semantic_kitti_api_looks(
    tmp_path: Path, draw: Callable[..., Path]
) -> None:
    root = dataset(tmp_path / "root", "08")
    for path in root.rglob("*.png"):
        draw(path, (32, 30, 68, 48, 255), size_hw=(80, 100))  # 1.9 m tall at 10.5 m
    label(LabelRequest(f"semantic-kitti:{root}", tmp_path / "run", "boxes", "bright"))
    (done,) = export(tmp_path / "run", "semantic-kitti", tmp_path / "out")
    assert done.read_back.labels == done.written.labels > 0
    folder = tmp_path / "out/sequences/08/predictions"
    assert sorted(path.name for path in folder.iterdir()) == ["000000.label", "000001.label"]
    assert semantic_kitti.read(folder / "000001.label", 4)[0].tolist()[0] == 10  # a car
