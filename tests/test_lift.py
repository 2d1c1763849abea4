"""Worked by hand. LiDAR: x forward, y left, z up. Camera: x right, y down, z forward.

The LiDAR sits 1 m above the camera, so a point is level with the camera at z = -1. The image is 100
wide and 80 high, the focal length 100 px, the centre (50, 40): at 10 m, one metre is 10 px.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perception import masks as masks_
from perception.config import LiftConfig
from perception.formats import kitti_label
from perception.geometry import points_in_view, rigid, transform
from perception.lift import View, lift, nearest_strong_mode
from perception.readers import read_calibration
from perception.readers.kitti_object import label_file
from perception.sources import find, load_sample, parse_source
from perception.types import (
    Bool,
    Camera,
    Float32,
    Float64,
    PointLabels,
    PointState,
    Status,
)

SIZE_HW = (80, 100)
K = np.array([[100, 0, 50], [0, 100, 40], [0, 0, 1.0]])
R_CAM_FROM_LIDAR = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0.0]])
FRONT = Camera("front", K, rigid(R_CAM_FROM_LIDAR, np.array([0, -1, 0.0])))
CONFIG = LiftConfig()
CAR, PERSON = 6, 1
UNKNOWN, BACKGROUND, LABELLED = PointState.UNKNOWN, PointState.BACKGROUND, PointState.LABELLED


def block(x0: int, y0: int, x1: int, y1: int) -> Bool:
    bitmap = np.zeros(SIZE_HW, bool)
    bitmap[y0:y1, x0:x1] = True
    return bitmap


CAR_MASK = block(40, 30, 60, 50)  # at 10 m: 1 m to each side, up and down


def view(
    *bitmaps: Bool,
    ids: tuple[int, ...] = (),
    classes: tuple[int, ...] = (),
    status: Status = Status.ACCEPTED,
) -> View:
    n = len(bitmaps)
    return View(
        camera=FRONT,
        masks=masks_.join(tuple(masks_.encode_one(bitmap) for bitmap in bitmaps), SIZE_HW),
        instance_ids=np.array(ids or range(1, n + 1), np.int32),
        class_ids=np.array(classes or [CAR] * n, np.int32),
        statuses=np.full(n, status, np.uint8),
    )


def cloud(*rows: tuple[float, float, float]) -> Float32:
    points = np.array(rows, np.float32).reshape(-1, 3)
    points.setflags(write=False)  # as out of Ray's object store
    return points


def told(labels: PointLabels) -> list[tuple[int, int, int]]:
    columns = (labels.states.tolist(), labels.class_ids.tolist(), labels.instance_ids.tolist())
    return list(zip(*columns, strict=True))


ON_CAR = (10, 0.5, -1.5)  # (45, 45)
NOTHING = (UNKNOWN, -1, 0)
GROUND = (BACKGROUND, -1, 0)


def test_a_point_on_the_car_is_labelled_with_its_class_and_instance() -> None:
    labels = lift([view(CAR_MASK, ids=(7,))], cloud(ON_CAR), CONFIG)
    assert told(labels) == [(LABELLED, CAR, 7)]


def test_a_wall_seen_through_the_windows_of_a_car_is_unknown_not_background() -> None:
    # The LiDAR looks over the roof or through the glass; the wall is under the mask, at (50, 40).
    points = cloud(ON_CAR, (10, -0.5, -1.5), (10, 0, -1.2), (40, 0, -1))
    car = (LABELLED, CAR, 1)
    assert told(lift([view(CAR_MASK)], points, CONFIG)) == [car, car, car, NOTHING]


def test_a_point_beside_all_masks_is_background() -> None:
    # 8 m to the left at 40 m is 20 px left of the centre, at (30, 40).
    assert told(lift([view(CAR_MASK)], cloud((40, 8, -1)), CONFIG)) == [GROUND]


def test_the_wall_beside_the_car_is_background_and_the_one_under_it_is_not() -> None:
    points = cloud((40, 8, -1), ON_CAR, (40, 0, -1), ON_CAR, ON_CAR, (40, -8, -1))
    car = (LABELLED, CAR, 1)
    assert told(lift([view(CAR_MASK)], points, CONFIG)) == [GROUND, car, NOTHING, car, car, GROUND]


def test_a_mask_begins_half_a_pixel_before_its_first_pixel_centre() -> None:
    # u = 39.6 is in pixel 40, u = 39.4 in pixel 39; the last pixel is 59.
    points = cloud((10, 1.04, -1), (10, 1.06, -1), (10, -0.94, -1), (10, -0.96, -1))
    states = lift([view(CAR_MASK)], points, CONFIG).states
    assert states.tolist() == [LABELLED, BACKGROUND, LABELLED, BACKGROUND]


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(-10, 0, -1), (-10, 0.5, -1.5)],
        [(0, 0, 0), (0, 0, -1), (1e-20, 0.1, 0)],
        [(10, 50, -1), (10, 0, 50), (1, -1, -1)],
        [(math.nan, 0, 0), (10, math.inf, 0), (-math.inf, 0, math.nan)],
    ],
    ids=["none", "behind", "z about 0", "outside the image", "not finite"],
)
def test_what_no_camera_sees_is_unknown(points: list[tuple[float, float, float]]) -> None:
    labels = lift([view(np.ones(SIZE_HW, bool))], cloud(*points), CONFIG)
    assert told(labels) == [NOTHING] * len(points)


def test_labels_come_in_the_order_of_the_points_whatever_is_culled_between() -> None:
    left, right = block(20, 30, 40, 50), block(60, 30, 80, 50)
    points = cloud(
        (math.nan, 0, 0),
        (10, -2, -1),  # (70, 40)
        (-10, 0, -1),
        (10, 2, -1),  # (30, 40)
        (10, 0, -1),  # (50, 40)
        (10, -2, -1),
    )
    found = lift([view(left, right, ids=(4, 9), classes=(CAR, PERSON))], points, CONFIG)
    right_one, left_one = (LABELLED, PERSON, 9), (LABELLED, CAR, 4)
    assert told(found) == [NOTHING, right_one, NOTHING, left_one, GROUND, right_one]


def test_a_leak_at_the_edge_of_a_mask_weighs_less_than_its_middle() -> None:
    # A strip one pixel wide leaks down over the road: three points at 5 m, each 1 px from the edge.
    mask = CAR_MASK | block(50, 50, 51, 75)
    leak = [(5, 0, -2), (5, 0, -2.2), (5, 0, -2.4)]  # (50, 60), (50, 64), (50, 68)
    labels = lift([view(mask)], cloud(*leak, (10, 0, -1)), CONFIG)
    assert labels.states.tolist() == [UNKNOWN, UNKNOWN, UNKNOWN, LABELLED]


def test_an_empty_mask_labels_nothing() -> None:
    labels = lift([view(np.zeros(SIZE_HW, bool), CAR_MASK, ids=(3, 4))], cloud(ON_CAR), CONFIG)
    assert told(labels) == [(LABELLED, CAR, 4)]


def test_without_masks_all_that_is_seen_is_background() -> None:
    assert told(lift([view()], cloud(ON_CAR, (-10, 0, 0)), CONFIG)) == [GROUND, NOTHING]


def test_without_cameras_nothing_is_known() -> None:
    assert told(lift([], cloud(ON_CAR, (40, 8, -1)), CONFIG)) == [NOTHING, NOTHING]


def test_the_columns_have_the_types_that_a_run_stores() -> None:
    for points in (cloud(), cloud(ON_CAR)):
        labels = lift([view(CAR_MASK)], points, CONFIG)
        assert len(labels) == len(points)
        assert labels.states.dtype == np.uint8
        assert labels.class_ids.dtype == labels.instance_ids.dtype == np.int32


def test_the_first_camera_that_labels_a_point_is_believed() -> None:
    first = view(CAR_MASK, ids=(1,), classes=(CAR,))
    second = view(CAR_MASK, ids=(2,), classes=(PERSON,))
    assert told(lift([first, second], cloud(ON_CAR), CONFIG)) == [(LABELLED, CAR, 1)]
    assert told(lift([second, first], cloud(ON_CAR), CONFIG)) == [(LABELLED, PERSON, 2)]


def test_background_in_one_camera_takes_no_label_away() -> None:
    elsewhere = view(block(0, 0, 5, 5), ids=(2,))
    car = (LABELLED, CAR, 1)
    assert told(lift([view(CAR_MASK), elsewhere], cloud(ON_CAR), CONFIG)) == [car]
    assert told(lift([elsewhere, view(CAR_MASK)], cloud(ON_CAR), CONFIG)) == [car]


def test_a_mask_whose_object_is_taken_gets_nothing_and_not_the_wall_behind_it() -> None:
    points = cloud(ON_CAR, ON_CAR, ON_CAR, (40, 0, -1))
    first, second = view(CAR_MASK, ids=(1,)), view(CAR_MASK, ids=(2,), classes=(PERSON,))
    car = (LABELLED, CAR, 1)
    assert told(lift([first, second], points, CONFIG)) == [car, car, car, NOTHING]


def test_an_accepted_mask_of_a_later_camera_beats_a_rejected_one() -> None:
    rejected = view(CAR_MASK, ids=(1,), classes=(PERSON,), status=Status.REJECTED)
    accepted = view(CAR_MASK, ids=(2,))
    for views in ([rejected, accepted], [accepted, rejected]):
        assert told(lift(views, cloud(ON_CAR), CONFIG)) == [(LABELLED, CAR, 2)]


def test_a_wall_under_a_mask_of_one_camera_is_unknown_whatever_the_order_of_the_cameras() -> None:
    elsewhere = view(block(0, 0, 5, 5), ids=(2,))
    points = cloud(ON_CAR, ON_CAR, (40, 0, -1))
    for views in ([view(CAR_MASK), elsewhere], [elsewhere, view(CAR_MASK)]):
        assert told(lift(views, points, CONFIG))[2] == NOTHING


def test_a_camera_that_looks_elsewhere_leaves_the_rest_to_the_others() -> None:
    half_turn = np.diag([-1.0, 1, -1])
    rear = Camera("rear", K, rigid(half_turn @ R_CAM_FROM_LIDAR, np.array([0, -1, 0.0])))
    behind = replace(view(CAR_MASK, ids=(2,), classes=(PERSON,)), camera=rear)
    labels = lift([view(CAR_MASK), behind], cloud(ON_CAR, (-10, -0.5, -1.5), (0, 9, 0)), CONFIG)
    assert told(labels) == [(LABELLED, CAR, 1), (LABELLED, PERSON, 2), NOTHING]


def test_lifting_changes_nothing_it_was_given() -> None:
    points = np.array([ON_CAR, (40, 0, -1), (math.nan, 0, 0)], np.float32)
    before, given = points.copy(), view(CAR_MASK)
    lift([given], points, CONFIG)
    np.testing.assert_array_equal(points, before)
    np.testing.assert_array_equal(masks_.decode(given.masks), [CAR_MASK])


def mode(
    depth_m: list[float], weights: list[float] | None = None, config: LiftConfig = CONFIG
) -> list[int]:
    """Return which depths are of the mode."""
    weight = np.array(weights if weights is not None else [1.0] * len(depth_m))
    return np.flatnonzero(nearest_strong_mode(np.array(depth_m), weight, config)).tolist()


@pytest.mark.parametrize(
    ("depth_m", "expected"),
    [
        ([], []),
        ([12.0], [0]),
        ([12.0, 12.0, 12.0], [0, 1, 2]),
        ([12.0, 30.0, 12.1, 30.2], [0, 2]),  # as many far as near: the near ones
        ([5.0, 5.1, 10, 10, 10, 10, 10], [2, 3, 4, 5, 6]),  # 2 of 5: a weak fragment in front
        ([5.0, 5.1, 10, 10, 10, 10], [0, 1]),  # 2 of 4: strong
        ([10, 10, 10, 10, 10, 5.0, 5.1], [0, 1, 2, 3, 4]),
        ([2.0, 10, 10, 40, 40, 40], [1, 2]),  # the second of three: strong, not the heaviest
        ([10, 10.5, 11, 11.5, 12], [0, 1, 2, 3, 4]),  # a long truck: no gap, one mode
        ([30.0, 10, 30.1, 10.1, 30.2, 10.2], [1, 3, 5]),
    ],
)
def test_the_nearest_strong_mode(depth_m: list[float], expected: list[int]) -> None:
    assert mode(depth_m) == expected


@pytest.mark.parametrize(
    ("depth_m", "modes"),
    [
        ([10, 10.59], 1),  # at 10 m 0.6 m is the least gap
        ([10, 10.61], 2),
        ([30, 30.59], 1),  # 2 % of 30 m is 0.6 m
        ([100, 101.9], 1),  # 2 % of 100 m
        ([100, 102.1], 2),
    ],
)
def test_a_gap_grows_with_depth(depth_m: list[float], modes: int) -> None:
    assert len(mode(depth_m)) == (2 if modes == 1 else 1)


def test_the_gap_is_measured_from_the_nearer_point() -> None:
    # 2 % of 50 m is 1 m, of 51.01 m 1.02 m: 1.01 m is a gap.
    assert mode([50, 51.01]) == [0]


def test_weights_not_counts_make_a_mode_strong() -> None:
    near_then_far = [5.0, 5.0, 5.0, 20.0]
    assert mode(near_then_far) == [0, 1, 2]
    assert mode(near_then_far, [1, 1, 1, 6.1]) == [3]
    assert mode(near_then_far, [1, 1, 1, 6]) == [0, 1, 2]


def test_weights_follow_their_points_when_they_are_sorted() -> None:
    assert mode([20.0, 5.0, 5.1], [9, 1, 1]) == [0]
    assert mode([20.0, 5.0, 5.1], [1, 1, 9]) == [1, 2]


def test_the_settings_decide_what_is_a_gap_and_what_is_strong() -> None:
    assert mode([10, 10.9]) == [0]
    assert mode([10, 10.9], config=LiftConfig(min_gap_m=1)) == [0, 1]
    assert mode([100, 103], config=LiftConfig(gap_share=0.04)) == [0, 1]
    assert mode([5, 10, 10, 10]) == [1, 2, 3]
    assert mode([5, 10, 10, 10], config=LiftConfig(strong_share=0.3)) == [0]


def test_choosing_a_mode_works_on_read_only_arrays() -> None:
    depth_m, weights = np.array([5.0, 9.0]), np.array([1.0, 1.0])
    depth_m.setflags(write=False)
    weights.setflags(write=False)
    assert nearest_strong_mode(depth_m, weights, CONFIG).tolist() == [True, False]


# Real data: KITTI's own boxes in 3D and in the image tell whether points land where they should.

KITTI = Path(__file__).parents[1].parent / "shared" / "data" / "kitti_object"
FRAMES = [path.stem for path in sorted((KITTI / "training" / "label_2").glob("*.txt"))]
VEHICLES = {"Car", "Van", "Truck", "Tram"}


def in_box(points_rect: Float64, hwl_m: Float64, bottom_m: Float64, rotation_y: float) -> Bool:
    """Tell which points lie in a KITTI 3D box: the devkit's rotation about y, undone."""
    height, width, length = hwl_m
    x, y, z = (points_rect - bottom_m).T
    along = np.cos(rotation_y) * x - np.sin(rotation_y) * z
    across = np.sin(rotation_y) * x + np.cos(rotation_y) * z
    inside: Bool = (np.abs(along) <= length / 2) & (np.abs(across) <= width / 2)
    inside &= (y <= 0) & (y >= -height)  # y is down, the place is on the ground
    return inside


def test_the_box_in_space_is_turned_and_stands_as_kitti_means_it() -> None:
    # Length 4 along x at rotation 0; a quarter turn about y (down) brings its nose to -z.
    hwl, bottom = np.array([1.5, 2.0, 4.0]), np.array([0.0, 1.5, 10.0])
    points = np.array([[1.9, 1, 10], [0, 1, 11.9], [1.9, 1.6, 10], [1.9, -0.1, 10]])
    assert in_box(points, hwl, bottom, 0.0).tolist() == [True, False, False, False]
    assert in_box(points, hwl, bottom, math.pi / 2).tolist() == [False, True, False, False]
    ahead = np.array([[0.9, 1, 10.9], [0.9, 1, 9.1]])  # turned by 45 degrees it lies along x = -z
    assert in_box(ahead, hwl, bottom, math.pi / 4).tolist() == [False, True]


def vehicle_shares(frame: str) -> list[tuple[str, float]]:
    """Return, of each whole vehicle, the share of its points that fall into its 2D box."""
    ref = next(ref for ref in find(parse_source(f"kitti:{KITTI}")) if ref.id == frame)
    sample = load_sample(ref)
    camera, (height, width) = sample.scene.cameras[0], sample.pictures[0].size_hw
    P = read_calibration(KITTI / ref.calib_files[0])["P2"].reshape(3, 4)
    shift_m = np.linalg.solve(P[:, :3], P[:, 3]).astype(np.float64)
    T_rect_from_cam = rigid(np.eye(3), -shift_m)
    T_rect_from_lidar = T_rect_from_cam @ camera.T_cam_from_lidar
    rows, uv, _ = points_in_view(camera, sample.scene.points_lidar, (height, width))
    points = transform(T_rect_from_lidar, sample.scene.points_lidar[rows].astype(np.float64))
    objects = kitti_label.read(KITTI / label_file(ref))
    shares = []
    for i, kind in enumerate(objects.types):
        x0, y0, x1, y1 = objects.boxes_xyxy[i]
        cut = x0 < 1 or y0 < 1 or x1 > width - 2 or y1 > height - 2
        if kind not in VEHICLES or cut:
            continue
        on = in_box(
            points,
            objects.dimensions_hwl_m[i],
            objects.locations_cam_m[i],
            float(objects.rotations_y_rad[i]),
        )
        if on.sum() < 10:
            continue
        low, high = np.array([x0, y0]) - 2, np.array([x1, y1]) + 2
        hit = ((uv[on] >= low) & (uv[on] <= high)).all(axis=1)
        shares.append((f"{frame} {kind} {i}", float(hit.mean())))
    return shares


@pytest.mark.skipif(not FRAMES, reason=f"no KITTI frames with labels under {KITTI}")
def test_the_points_of_kitti_vehicles_fall_into_their_boxes_in_the_image() -> None:
    shares = [entry for frame in FRAMES for entry in vehicle_shares(frame)]
    assert len(shares) >= 10
    assert [entry for entry in shares if entry[1] < 0.95] == []
