from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from perception.benchmarks.lift import speed
from perception.commands.label import label
from perception.commands.request import LabelRequest
from perception.core import masks
from perception.core.config import LiftConfig
from perception.core.errors import RequestError
from perception.core.geometry import rigid
from perception.core.types import BoxOffset, Float32, Instances, PictureLabels
from perception.labeling.lift import View, alignment, lift
from perception.runs import offsets
from perception.runs.shards import Tallies, add_tallies


@pytest.fixture(scope="module")
def street() -> tuple[View, Float32]:
    """Twenty boxes on a flat street, and masks that fit them."""
    points, boxes = speed._sweep()
    return speed._view(boxes), points


def offset(view: View, points: Float32, **settings: float) -> BoxOffset:
    return lift([view], points, LiftConfig(**settings)).findings[0].offset  # type: ignore[arg-type]


def turned(view: View, right_deg: float, down_deg: float) -> View:
    """Turn the camera away from where it is said to be, so that boxes lie right of and below."""
    turn = Rotation.from_euler("YX", np.deg2rad([-right_deg, down_deg])).as_matrix()
    T = rigid(turn, np.zeros(3)) @ view.camera.T_cam_from_lidar
    return replace(view, camera=replace(view.camera, T_cam_from_lidar=T))


def test_a_good_calibration_is_silent(street: tuple[View, Float32]) -> None:
    found = offset(*street)
    assert found.objects >= 5 and not found.alarm
    assert abs(found.right_px) < 1.5 and abs(found.down_px) < 3


@pytest.mark.parametrize("way", [(1, 0), (-1, 0), (0, 1), (0, -1), (0.3, 0), (0, -0.3)])
def test_a_turned_camera_is_measured_with_its_direction(
    street: tuple[View, Float32], way: tuple[float, float]
) -> None:
    view, points = street
    straight, found = offset(view, points), offset(turned(view, *way), points)
    px_per_deg = speed.K[0, 0] * np.deg2rad(1)  # 12.6 px
    assert found.right_px - straight.right_px == pytest.approx(px_per_deg * way[0], abs=2.5)
    assert found.down_px - straight.down_px == pytest.approx(px_per_deg * way[1], abs=2.5)
    assert found.alarm == (1 in np.abs(way))
    assert not offset(turned(view, *way), points, alarm_deg=1.5).alarm


def test_masks_that_leave_out_heads_say_nothing_of_the_calibration(
    street: tuple[View, Float32],
) -> None:
    view, points = street
    rows = []
    for row, (_, top, _, bottom) in enumerate(view.whole.boxes_xyxy):
        bitmap = masks.decode_one(view.whole, row)
        bitmap[: top + (bottom - top) // 4] = False
        rows.append(masks.encode_one(bitmap))
    headless = masks.join(tuple(rows), view.whole.size_hw)
    assert offset(replace(view, masks=headless, whole=headless), points) == offset(view, points)


@pytest.mark.parametrize(("apart_px", "alarm"), [(2.0, True), (12.0, False)])
def test_two_boxes_whose_edges_do_not_agree_raise_no_alarm(apart_px: float, alarm: bool) -> None:
    left, top, right, bottom = -6 - apart_px, 5 + apart_px, -6 + apart_px, 5 - apart_px
    edges_px = np.array([[left, top, right, bottom]] * 2)  # 7.8 px of 6.3 that half a degree is
    K = np.diag([720.0, 720.0, 1.0])
    found = alignment._agreed(np.array([0, 1]), edges_px, 6.0, K, LiftConfig())
    assert (found.right_px, found.down_px, found.objects) == (-6, 5, 2)
    assert found.alarm == alarm


def test_few_boxes_or_no_points_are_not_judged(street: tuple[View, Float32]) -> None:
    view, points = street
    few = np.full(len(view.statuses), 2, np.uint8)
    few[:4] = 0
    assert offset(replace(view, statuses=few), points) == BoxOffset()
    assert offset(view, points[:0]) == BoxOffset()
    assert offset(view, np.full_like(points, np.nan)) == BoxOffset()
    assert offset(view, points, ground_m=0) == BoxOffset()  # all is one cluster


def test_what_is_taller_than_anything_of_a_class_is_not_the_object_of_its_box(
    street: tuple[View, Float32],
) -> None:
    view, points = street
    low = replace(view, most_m=np.full_like(view.most_m, 0.5))  # nothing there is as low
    assert offset(low, points) == BoxOffset()


def tally(camera: str, found: BoxOffset) -> Tallies:
    instances = cast(Instances, None)  # not looked at
    return offsets.tally(PictureLabels(camera, "a.png", (10, 10), instances, (), found))


def test_a_run_states_the_mean_offset_of_each_camera() -> None:
    total: Tallies = {}
    for found in (BoxOffset(12.5, -3.0, 6, True), BoxOffset(), BoxOffset(11.5, -1.0, 5, True)):
        add_tallies(total, tally("left", found))
    good = BoxOffset(-0.42, 1.0, 5)
    add_tallies(total, tally("right", good))
    left, right = offsets.camera_offsets(total)
    assert (left.pictures, left.alarms, left.is_off) == (2, 2, True)
    assert (left.right_px, left.down_px) == pytest.approx((12.0, -2.0))
    assert left.text() == (
        "left: boxes lie 12.0 px right and 2.0 px up of their points (2 pictures, 2 alarms): "
        "check calibration and time stamps"
    )
    assert not right.is_off and right.text().startswith("right: boxes lie 0.4 px left and 1.0 px d")
    assert offsets.camera_offsets({}) == ()


@pytest.mark.slow
def test_strict_calibration_stops_a_run_and_a_plain_one_warns(
    tmp_path: Path, kitti: Callable[[Path, int], Path], in_worker: Callable[[str], None]
) -> None:
    in_worker(
        "import perception.labeling.lift\n"
        "from perception.core.types import BoxOffset\n"
        "perception.labeling.lift.box_offset = lambda *given: BoxOffset(12.5, -3.0, 6, True)\n"
    )
    root = kitti(tmp_path / "data", 2)
    request = LabelRequest(f"kitti:{root}", tmp_path / "run", "boxes", boxes="label_2")
    with pytest.raises(RequestError, match=r"calibration\.off: .* 12\.5 px right and 3\.0 px up"):
        label(replace(request, strict_calibration=True))
    run = label(request)
    assert [seen.is_off for seen in offsets.camera_offsets(run.counts)] == [True]
    assert next(run.labels()).pictures[0].offset == BoxOffset(12.5, -3.0, 6, True)
