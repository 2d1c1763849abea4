import numpy as np
import pytest

from perception.benchmarks import speed
from perception.core.config import LiftConfig
from perception.core.geometry import points_in_view
from perception.labeling.lift import lift


def test_the_sweep_has_as_many_points_as_it_says_and_its_boxes_are_found() -> None:
    points, boxes = speed._sweep()
    assert points.shape == (speed.BEAMS * speed.COLUMNS, 3) == (120_000, 3)
    lifted = lift([speed._view(boxes)], points, LiftConfig())
    assert len(np.unique(lifted.labels.instance_ids)) > 15


def test_the_devkits_way_projects_as_ours_does() -> None:
    points, _ = speed._sweep()
    uv = speed._as_devkit(points)[:2].T
    _, ours, depth_m = points_in_view(speed.CAMERA, points, speed.SIZE_HW)
    height, width = speed.SIZE_HW
    kept = (depth_m > 1) & (ours > 1).all(axis=1) & (ours < [width - 1, height - 1]).all(axis=1)
    np.testing.assert_allclose(uv, ours[kept], atol=1e-6)


@pytest.mark.slow
def test_the_loops_find_the_boxes_as_the_lift_does() -> None:
    points, boxes = speed._sweep()
    view = speed._view(boxes)
    ours = lift([view], points, LiftConfig()).labels.instance_ids
    for loop in (speed._loop, speed._cluster_loop):
        found = loop(points, view, LiftConfig())
        assert ((found > 0) & (found == ours)).sum() > 0.9 * (found > 0).sum(), loop.__name__


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_hardly_any_points_or_none_that_is_somewhere_label_nothing_wrong(count: int) -> None:
    points, boxes = speed._sweep()
    view = speed._view(boxes)
    few = lift([view], points[:count], LiftConfig())
    assert len(few.labels) == count and len(few.findings) == 1
    nowhere = lift([view], np.full((count, 3), np.nan, np.float32), LiftConfig())
    assert not nowhere.labels.states.any() and len(nowhere.cuboids) == 0
