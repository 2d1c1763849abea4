"""`perception bench lift`: the parts of the lift, and its speed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from perception.benchmarks.lift import ablation, measure, speed
from perception.benchmarks.lift.ablation import (
    DEPTH_MODE,
    EVERYTHING,
    WITHOUT,
    Scores,
    ablate,
    gain,
)
from perception.commands.label import label
from perception.commands.request import LabelRequest
from perception.core.config import LiftConfig
from perception.core.errors import RequestError
from perception.labeling.lift import lift


def test_every_part_can_be_switched_off_and_the_depth_mode_is_all_of_them_off() -> None:
    fields = LiftConfig().model_dump()
    off: dict[str, float | bool] = {}
    for way, changes in WITHOUT.items():
        assert set(changes) <= set(fields), way
        assert all(fields[name] != value for name, value in changes.items()), way
        if way not in (EVERYTHING, DEPTH_MODE):
            off |= changes
    assert WITHOUT[DEPTH_MODE] == off
    assert WITHOUT[EVERYTHING] == {}


def test_figures_follow_from_the_counts() -> None:
    # In common, in the truth, found, behind.
    scores = Scores(np.array([[8.0, 10, 10, 1], [0, 20, 5, 5]]))
    figures = scores.figures()
    assert figures == pytest.approx(
        {
            "IoU": 8 / (30 + 15 - 8),
            "mean IoU": (8 / 12 + 0) / 2,
            "precision": 8 / 15,
            "recall": 8 / 30,
            "behind": 6 / 15,
        }
    )
    empty = Scores(np.zeros((0, 4)))
    assert set(empty.figures().values()) == {0.0}


def test_a_gain_is_paired_over_objects() -> None:
    worse = Scores(np.array([[5.0, 10, 5, 0]] * 30))
    better = Scores(np.array([[6.0, 10, 6, 0]] * 30))
    found = gain(better, worse)
    assert found.value == pytest.approx(0.1)
    assert found.low == pytest.approx(0.1) and found.high == pytest.approx(0.1)


@pytest.mark.slow
def test_a_run_is_lifted_again_from_its_evidence(
    tmp_path: Path, kitti: Callable[[Path, int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The car of each frame has one point.
    monkeypatch.setattr(ablation, "MIN_OBJECT_POINTS", 1)
    root = kitti(tmp_path / "data", 2)
    request = LabelRequest(f"kitti:{root}", tmp_path / "run", "boxes", boxes="label_2")
    run = label(request).folder
    seen: list[tuple[int, int]] = []
    scores = ablate(run, (EVERYTHING, DEPTH_MODE), lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    for found in scores.values():
        assert found.counts.tolist() == [[1, 1, 1, 0]] * 2
    assert "gain" in ablation.lines(scores)[1]
    kept = {row.what: row.figure for row in ablation.rows(scores, "run")}
    assert kept["run, everything: IoU"].value == 1.0
    assert kept["run, everything: gain over depth mode"].value == 0.0


@pytest.mark.slow
def test_a_run_without_known_objects_is_refused(
    tmp_path: Path, kitti: Callable[[Path, int], Path]
) -> None:
    root = kitti(tmp_path / "data", 1)  # fewer than ten points
    request = LabelRequest(f"kitti:{root}", tmp_path / "run", "boxes", boxes="label_2")
    with pytest.raises(RequestError, match="no sample has points"):
        ablate(label(request).folder, (EVERYTHING,), lambda done, total: None)


def test_the_sweep_has_as_many_points_as_it_says_and_its_boxes_are_found() -> None:
    points, boxes = speed._sweep()
    assert points.shape == (speed.BEAMS * speed.COLUMNS, 3) == (120_000, 3)
    lifted = lift([speed._view(boxes)], points, LiftConfig())
    assert len(np.unique(lifted.labels.instance_ids)) > 15


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


def test_speeds_are_figures_with_their_units(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = {"projection and look-up, million points/s": 79.0, "loop, depth modes, ms": 25.0}
    monkeypatch.setattr(speed, "measure", lambda: fast)
    found = measure((), lambda done, total: None)
    assert found.value == {"runs": {}, "speed": fast}
    assert [(row.what, row.figure.value, row.unit) for row in found.rows] == [
        ("projection and look-up", 79.0, "million points/s"),
        ("loop, depth modes", 25.0, "ms"),
    ]
