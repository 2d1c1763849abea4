"""`perception bench points`: what is compared with what."""

from collections.abc import Callable
from pathlib import Path

import pytest

from perception.benchmarks import points
from perception.core.errors import RequestError
from perception.models.fakes import BoxFiller


def no_progress(done: int, total: int, name: str = "") -> None:
    """Say nothing."""


@pytest.mark.slow
def test_points_of_label_2_boxes_are_compared_with_those_in_their_3d_boxes(
    tmp_path: Path, kitti: Callable[[Path, int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = kitti(tmp_path / "data", 2)
    with pytest.raises(RequestError, match=r"truth\.empty.*10 points"):
        points.compare(root, BoxFiller(), no_progress)
    monkeypatch.setattr(points, "MIN_OBJECT_POINTS", 1)  # the car of each frame has one
    found = points.compare(root, BoxFiller(), no_progress)
    assert [(one.kind, one.size, one.overlap, one.union) for one in found] == [("Car", 1, 1, 1)] * 2
