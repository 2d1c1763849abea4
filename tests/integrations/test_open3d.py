"""Bugs caught: misses that look like hits, faces from behind, a silent missing library."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("open3d")

from perception.core.errors import RequestError
from perception.synthetic.rays import Caster
from perception_open3d.caster import load_caster

VERTICES = np.array([[5, -1, -1], [5, 1, -1], [5, 0, 1], [8, -9, -9], [8, 9, -9], [8, 0, 9]], "f4")
TRIANGLES = np.array([[0, 1, 2], [3, 4, 5]], np.int32)


@pytest.fixture(scope="module")
def caster() -> Caster:
    try:
        return load_caster()
    except RequestError as error:
        pytest.skip(error.message)


def test_rays_meet_the_nearest_triangle_from_either_side(caster: Caster) -> None:
    surface = caster(VERTICES, TRIANGLES)
    rays = np.array(
        [
            [0, 0, 0, 1, 0, 0],  # the near triangle, 5 m
            [0, 0, 0, 2, 0, 0],  # 2.5 lengths of the direction
            [0, 2, 0, 1, 0, 0],  # beside it: the far one
            [6, 0, 0, -1, 0, 0],  # from behind
            [0, 0, 0, -1, 0, 0],  # away
        ],
        np.float32,
    )
    distance, triangle = surface.cast(rays)
    np.testing.assert_allclose(distance, [5, 2.5, 8, 1, np.inf])
    assert triangle.tolist() == [0, 0, 1, 0, -1]
    assert triangle.dtype == np.int32
    assert surface.blocked(rays).tolist() == [True, True, True, True, False]


@pytest.mark.parametrize("triangles", [TRIANGLES, TRIANGLES[:0]], ids=["some", "none"])
def test_no_rays_and_no_triangles_are_answered(caster: Caster, triangles: np.ndarray) -> None:
    surface = caster(VERTICES, triangles)
    distance, triangle = surface.cast(np.zeros((0, 6), np.float32))
    assert len(distance) == len(triangle) == 0
    if len(triangles) == 0:
        ray = np.array([[0, 0, 0, 1, 0, 0]], np.float32)
        assert np.isinf(surface.cast(ray)[0]).all() and not surface.blocked(ray).any()


def test_without_the_library_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(RequestError, match=r"extra\.missing: .*libusb-1\.0-0"):
        load_caster()


def test_importing_the_adapter_and_the_core_loads_nothing_heavy(
    python_path: Callable[..., str],
) -> None:
    code = (
        "import sys, perception_open3d.caster, perception.synthetic.command\n"
        "print(sorted({'open3d', 'torch', 'ray'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
