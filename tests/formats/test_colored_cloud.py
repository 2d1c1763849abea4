"""Bugs caught: colours in another order, rows that move, files that Open3D does not read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perception.core.errors import SampleError
from perception.formats import colored_cloud
from perception.formats.colored_cloud import ColoredCloud

COLUMNS = ("points_lidar", "rgb", "states", "class_ids", "instance_ids", "trusts")


def cloud(count: int) -> ColoredCloud:
    rng = np.random.default_rng(count)
    return ColoredCloud(
        points_lidar=rng.normal(0, 20, (count, 3)).astype(np.float32),
        rgb=rng.integers(0, 256, (count, 3)).astype(np.uint8),
        states=rng.integers(0, 3, count).astype(np.uint8),
        class_ids=rng.integers(0, 2**31 - 1, count).astype(np.int32),
        instance_ids=rng.integers(0, 2**31 - 1, count).astype(np.int32),
        trusts=rng.integers(0, 256, count).astype(np.uint8),
    )


@pytest.mark.parametrize("ending", [".ply", ".pcd"])
@pytest.mark.parametrize("count", [0, 1, 57])
def test_what_is_written_comes_back(tmp_path: Path, ending: str, count: int) -> None:
    given, path = cloud(count), tmp_path / f"a{ending}"
    if count:
        places = np.vstack([given.points_lidar[:-1], [[np.nan, np.inf, 0]]]).astype(np.float32)
        given = replace(given, points_lidar=places)
    colored_cloud.write(given, path)
    found = colored_cloud.read(path)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(found, name), getattr(given, name), name)


@pytest.mark.parametrize("ending", [".ply", ".pcd"])
def test_open3d_reads_places_and_colours(tmp_path: Path, ending: str) -> None:
    open3d = pytest.importorskip("open3d")
    given, path = cloud(57), tmp_path / f"a{ending}"
    colored_cloud.write(given, path)
    found = open3d.io.read_point_cloud(str(path))
    np.testing.assert_array_equal(np.asarray(found.points, np.float32), given.points_lidar)
    np.testing.assert_array_equal(np.round(255 * np.asarray(found.colors)), given.rgb)


@pytest.mark.parametrize("ending", [".ply", ".pcd"])
def test_a_file_that_ends_early_or_is_another_is_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    colored_cloud.write(cloud(5), path)
    whole = path.read_bytes()
    for data in (whole[:-1], whole[:20], b"", whole.replace(b"5\n", b"6\n")):
        path.write_bytes(data)
        with pytest.raises(SampleError, match=r"label\.invalid"):
            colored_cloud.read(path)
