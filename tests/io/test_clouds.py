"""Sweeps: right, cut, of another type."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.core.errors import SampleError
from perception.formats import colored_cloud
from perception.io import clouds
from perception.io.clouds import read_sweep
from perception.io.clouds.lzf import decompress

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def sweep(count: int = 200) -> npt.NDArray[np.float32]:
    """Points as a LiDAR sees them, millimetres; the last column is the reflectance."""
    rng = np.random.default_rng(3)
    points = rng.normal(0, [20, 20, 1, 0.3], (count, 4)).round(3)
    return points.astype(np.float32)


def fault_of(path: Path, columns: int = 4) -> SampleError:
    before = path.read_bytes()
    with pytest.raises(SampleError) as caught:
        read_sweep(path, columns)
    assert path.read_bytes() == before
    assert str(path) in caught.value.message
    return caught.value


def test_points_come_in_the_order_of_the_file_without_the_reflectance(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(np.array([[1, 2, 3, 0.5], [-4, 5.5, -6, 0]], "<f4").tobytes())
    points_lidar = read_sweep(path, 4).points_lidar
    np.testing.assert_array_equal(points_lidar, np.array([[1, 2, 3], [-4, 5.5, -6]], np.float32))
    assert points_lidar.dtype == np.float32 and points_lidar.flags.c_contiguous


def test_five_columns_are_read_as_five(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(np.arange(20, dtype="<f4").tobytes())
    np.testing.assert_array_equal(read_sweep(path, 5).points_lidar[:, 0], [0, 5, 10, 15])


@pytest.mark.parametrize("size", [0, 4, 17, 16 * 200 - 1])
def test_row_22_a_size_that_does_not_fit_is_named_with_what_was_expected(
    tmp_path: Path, size: int
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(sweep().tobytes()[:size])
    error = fault_of(path)
    assert error.code == "cloud.malformed"
    assert f"{size} bytes" in error.message and "16 bytes a point" in error.message


def test_row_22_too_many_points_are_refused_before_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(sweep(11).tobytes())
    monkeypatch.setattr(clouds, "MAX_POINTS", 10)
    assert fault_of(path).code == "cloud.malformed"


@pytest.mark.parametrize(
    "other",
    [
        sweep().astype("<f8"),
        np.random.default_rng(0).normal(0, 20, (200, 4)),
        (sweep() * 1000).astype("<i4"),
        (sweep() * 100).astype("<i4"),
        sweep().astype(">f4"),
        sweep() * 1e6,
    ],
    ids=["float32 as double", "double", "int32 mm", "int32 cm", "big-endian", "far too far"],
)
def test_row_22_values_of_another_type_are_no_points(
    tmp_path: Path, other: npt.NDArray[np.generic]
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(other.tobytes())
    error = fault_of(path)
    assert error.code == "cloud.malformed" and "float64 or integer" in error.message


def test_row_22_points_that_are_not_finite_stay_in_place(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    points = sweep(6)
    points[1, 0], points[4] = np.nan, np.inf
    path.write_bytes(points.tobytes())
    np.testing.assert_array_equal(read_sweep(path, 4).points_lidar, points[:, :3])
    path.write_bytes(np.full((3, 4), np.nan, "<f4").tobytes())
    assert np.isnan(read_sweep(path, 4).points_lidar).all()


def test_zeros_and_a_few_stray_values_are_still_a_sweep(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    points = sweep(100)
    points[:30] = 0
    points[30:60, 2] = 1e-30
    path.write_bytes(points.tobytes())
    assert read_sweep(path, 4).points_lidar.shape == (100, 3)


def test_row_07_a_missing_sweep_and_a_folder_are_not_found(tmp_path: Path) -> None:
    for path in (tmp_path / "none.bin", tmp_path):
        with pytest.raises(SampleError) as caught:
            read_sweep(path, 4)
        assert caught.value.code == "io.not_found"


def test_row_07_a_sweep_without_permission_is_denied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(sweep().tobytes())

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read whatever the mode says
    with pytest.raises(SampleError) as caught:
        read_sweep(path, 4)
    assert caught.value.code == "io.denied"


@given(
    st.lists(st.tuples(*[st.floats(-300, 300, width=32)] * 3), min_size=1, max_size=30),
    st.sampled_from([".ply", ".pcd"]),
)
def test_exported_clouds_are_sweeps_again(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[float, ...]], suffix: str
) -> None:
    points_lidar = np.array([*places, (1.0, 2.0, 3.0)], np.float32)
    count = len(points_lidar)
    cloud = colored_cloud.ColoredCloud(
        points_lidar=points_lidar,
        rgb=np.full((count, 3), 200, np.uint8),
        states=np.zeros(count, np.uint8),
        class_ids=np.full(count, -1, np.int32),
        instance_ids=np.full(count, 7, np.int32),
        trusts=np.zeros(count, np.uint8),
    )
    path = tmp_path_factory.getbasetemp() / f"cloud{suffix}"
    colored_cloud.write(cloud, path)
    points_lidar[(points_lidar == 0).all(axis=1)] = np.nan
    np.testing.assert_array_equal(read_sweep(path, 4).points_lidar, points_lidar)


@given(st.binary(max_size=400), st.integers(0, 60))
def test_lzf_gives_bytes_or_one_error(data: bytes, size_bytes: int) -> None:
    try:
        assert len(decompress(data, size_bytes)) <= size_bytes
    except ValueError as error:
        assert str(error) in {"points before its beginning", "ends early"}


@pytest.mark.skipif(not DATA.is_dir(), reason="the real driving data is not beside the repository")
def test_real_sweeps_are_read_whole() -> None:
    files = sorted((DATA / "kitti_object" / "training" / "velodyne").glob("*.bin"))
    assert files
    for path in files:
        assert len(read_sweep(path, 4).points_lidar) == path.stat().st_size // 16
