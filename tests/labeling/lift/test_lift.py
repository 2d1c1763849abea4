"""Worked by hand. LiDAR: x forward, y left, z up. Camera: x right, y down, z forward.

The LiDAR sits 1 m above the camera, so a point is level with the camera at z = -1. The image is 100
wide and 80 high, the focal length 100 px, the centre (50, 40): at 10 m, one metre is 10 px.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perception.core import masks as masks_
from perception.core.config import LiftConfig
from perception.core.geometry import points_in_view, rigid, transform
from perception.core.types import Bool, Camera, Float32, Float64, PointLabels, PointState, Status
from perception.formats import kitti_label
from perception.labeling.lift import View, doubted, nearest_strong_mode
from perception.labeling.lift import lift as lift_all
from perception.labeling.lift.links import NOBODY
from perception.labeling.lift.separate import Parts, separate
from perception.labeling.lift.sight import Sight, points_in_sight
from perception.labeling.lift.vote import trust, vote
from perception.readers.kitti_calib import read_calibration
from perception.readers.kitti_object import label_file
from perception.readers.sources import find, load_sample, parse_source

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
    masks = masks_.join(tuple(masks_.encode_one(bitmap) for bitmap in bitmaps), SIZE_HW)
    return View(
        camera=FRONT,
        masks=masks,
        whole=masks,
        instance_ids=np.array(ids or range(1, n + 1), np.int32),
        class_ids=np.array(classes or [CAR] * n, np.int32),
        statuses=np.full(n, status, np.uint8),
        boxes_xyxy=masks.boxes_xyxy.astype(np.float32),
        order=tuple(range(n)),
        usual_m=np.full((n, 3), np.nan),
        most_m=np.full((n, 3), np.inf),
    )


def lift(views: list[View], points_lidar: Float32, config: LiftConfig) -> PointLabels:
    return lift_all(views, points_lidar, config).labels


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
    states = lift([view(CAR_MASK)], points, LiftConfig(growth_share=0)).states
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
def test_row_23_what_no_camera_sees_is_unknown(points: list[tuple[float, float, float]]) -> None:
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


def grid(
    x_m: float, y: tuple[float, float], z: tuple[float, float], step_m: float = 0.1
) -> Float32:
    """Return points of an upright face, `x_m` ahead."""
    ys, zs = np.meshgrid(np.arange(*y, step_m), np.arange(*z, step_m))
    return np.column_stack([np.full(ys.size, x_m), ys.ravel(), zs.ravel()]).astype(np.float32)


def street(gap: tuple[float, float, float, float] | None = None) -> Float32:
    """Return a flat road 2 m below the LiDAR, without the points in (x0, x1, y0, y1)."""
    x, y = np.meshgrid(np.arange(3, 40, 0.2), np.arange(-8, 8, 0.2))
    points = np.column_stack([x.ravel(), y.ravel(), np.full(x.size, -2.0)]).astype(np.float32)
    if gap:
        x0, x1, y0, y1 = gap
        points = points[
            ~((x.ravel() > x0) & (x.ravel() < x1) & (y.ravel() > y0) & (y.ravel() < y1))
        ]
    return points


def test_what_a_mask_leaves_out_of_an_object_is_the_objects() -> None:
    # The car's back: 2 m wide at 10 m, u 40 to 60. The mask ends at u = 50; its box does not. It
    # grows by a quarter of 2 m.
    back = grid(10, (-0.95, 1), (-1.95, -0.2))
    half = replace(view(block(40, 30, 50, 50)), boxes_xyxy=np.array([[40, 30, 60, 50]], np.float32))
    states = lift([half], back, CONFIG).states
    assert (states[back[:, 1] > -0.42] == LABELLED).all()
    assert (states[back[:, 1] < -0.6] != LABELLED).all()
    assert (lift([half], back, LiftConfig(growth_share=0.6)).states == LABELLED).all()
    alone = lift([half], back, LiftConfig(growth_share=0)).states
    assert (alone[(back[:, 1] > 0.1) & (back[:, 2] > -1.93)] == LABELLED).all()
    assert (alone[back[:, 1] < -0.1] != LABELLED).all()


def test_an_object_grows_no_further_than_its_box() -> None:
    # A hedge from u = 40 to 80: the box ends at 60, and a tenth of its side and 2 px beyond.
    hedge = grid(10, (-2.95, 1), (-1.95, -0.2))
    labels = lift([view(CAR_MASK)], hedge, CONFIG)
    u = 50 - 10 * hedge[:, 1]
    assert (labels.states[u < 59] == LABELLED).all()
    assert (labels.states[u > 64.6] != LABELLED).all()
    # what hangs together with the object and is not near its box may be either
    long = replace(view(block(40, 30, 64, 50)), boxes_xyxy=np.array([[40, 30, 60, 50]], np.float32))
    assert UNKNOWN in lift([long], hedge, CONFIG).states[(u > 64.6) & (u < 66)]
    assert (labels.states[u > 75] == BACKGROUND).all()


def test_a_tall_object_grows_past_its_box_by_a_share_of_its_height() -> None:
    # At 10 m, 10 px wide and 40 px high: a tenth of its height and 2 px are 6 px past u = 55.
    hedge = grid(10, (-2.95, 0.5), (-4.95, -1.05))
    labels = lift([view(block(45, 40, 55, 80))], hedge, LiftConfig(ground_m=0))
    u = 50 - 10 * hedge[:, 1]
    assert (labels.states[u < 60.6] == LABELLED).all()
    assert (labels.states[u > 61.4] != LABELLED).all()


def test_two_people_side_by_side_grow_towards_each_other_and_stop_where_they_meet() -> None:
    # Each mask has a strip in the middle of its person; the people touch at y = 0.
    people = grid(10, (-0.95, 1.0), (-1.95, -0.2))
    left, right = block(43, 30, 47, 50), block(53, 30, 57, 50)
    boxes = np.array([[40, 30, 50, 50], [50, 30, 60, 50]], np.float32)
    both = replace(view(left, right, classes=(PERSON, PERSON)), boxes_xyxy=boxes)
    found = lift([both], people, CONFIG).instance_ids
    assert (found[people[:, 1] > 0.11] == 1).all()
    assert (found[people[:, 1] < -0.11] == 2).all()


def test_the_road_under_a_car_is_background_and_its_wheels_are_the_cars() -> None:
    # The mask leaks 2 px down onto the road; the tyre's lowest points are 0.05 m above it.
    car = grid(10, (-0.95, 1), (-1.95, -0.2))
    mask = block(40, 30, 60, 53)
    ground = street(gap=(10.1, 14, -1, 1))
    labels = lift([view(mask)], np.concatenate([car, ground]), CONFIG)
    assert (labels.states[: len(car)] == LABELLED).all()
    near = (ground[:, 0] > 6) & (ground[:, 0] < 9.5) & (np.abs(ground[:, 1]) < 2)
    assert (labels.states[len(car) :][near] == BACKGROUND).all()
    barefoot = lift([view(mask)], np.concatenate([car, ground]), LiftConfig(feet_m=0))
    low = car[:, 2] < -1.9
    assert (barefoot.states[: len(car)][low] == BACKGROUND).all()
    everything = lift([view(mask)], np.concatenate([car, ground]), LiftConfig(ground_m=0))
    assert LABELLED in everything.states[len(car) :]


def test_what_stands_at_the_ground_line_is_no_ground_and_what_is_lower_is() -> None:
    # One point 0.1 m over the ground, one a millimetre lower, one over ground that is not known.
    points = cloud((10, 0.5, -1.2), (10, 0, -1.2), (10, -0.5, -1.2))
    sight = points_in_sight(FRONT, points, SIZE_HW, occlusion=False)
    config = LiftConfig(growth_share=0, feet_m=0)
    for line_m in (0.1, 0.25):
        heights_m = np.array([line_m, line_m - 0.001, math.nan])
        parts = separate(
            view(CAR_MASK), sight, points, heights_m, config.model_copy(update={"ground_m": line_m})
        )
        assert parts.owners.tolist() == [0, NOBODY, 0]
        assert parts.unsure.tolist() == [False, False, False]


@pytest.mark.parametrize("low", [False, True], ids=["on the object", "at its feet"])
def test_a_hidden_point_under_a_mask_is_not_the_objects(low: bool) -> None:
    # Level with the object's other points, and behind something that only the camera has before it.
    points = cloud((10, 0.5, -1.2), (10, 0.45, -1.2))
    sight = points_in_sight(FRONT, points, SIZE_HW, occlusion=False)
    heights_m = np.array([1.0, 0.05 if low else 1.0])
    config = LiftConfig(growth_share=0)
    for hidden, owner in ((False, 0), (True, NOBODY)):
        veiled = replace(sight, hidden=np.array([False, hidden]))
        parts = separate(view(CAR_MASK), veiled, points, heights_m, config)
        assert parts.owners.tolist() == [0, owner]


def test_a_point_behind_a_face_is_hidden_and_takes_nothing_from_its_pixel() -> None:
    # Two faces at 10 and 30 m in the same pixels; the mask is that of the far one.
    near = grid(10, (-0.95, 1), (-1.95, 0), 0.05)
    far = grid(30, (-2.0, 2.1), (-3.0, 0.5), 0.15)
    points = np.concatenate([near, far])
    labels = lift([view(CAR_MASK)], points, CONFIG)
    assert (labels.states[: len(near)] == LABELLED).all()
    nothing = lift([view()], points, CONFIG).states
    behind = (np.abs(far[:, 1]) < 2) & (far[:, 2] > -3) & (far[:, 2] < -1)
    assert (nothing[len(near) :][behind] == UNKNOWN).mean() > 0.9  # no camera sees them
    through = lift([view()], points, LiftConfig(occlusion=False)).states
    assert (through[len(near) :][behind] == BACKGROUND).all()


def test_a_wall_that_goes_on_beside_the_mask_is_not_the_object() -> None:
    # A person at 12 m, and a fence at 10 m that the mask has as many points of.
    wall = grid(10, (-4, 4), (-1.9, -0.3), 0.2)
    person = grid(12, (-0.3, 0.3), (-2.0, -0.3), 0.15)
    mask = block(46, 33, 54, 50)
    labels = lift([view(mask)], np.concatenate([wall, person]), LiftConfig(occlusion=False))
    assert (labels.instance_ids[: len(wall)] == 0).all()
    assert (labels.instance_ids[len(wall) :] == 1).any()
    blind = lift(
        [view(mask)], np.concatenate([wall, person]), LiftConfig(occlusion=False, go_on=False)
    )
    assert (blind.instance_ids[: len(wall)] == 1).any()


@pytest.mark.parametrize("unseen", ["road", "hidden", ""])
def test_road_and_hidden_points_beside_a_mask_are_no_wall_that_goes_on(unseen: str) -> None:
    # Under the mask, as many points at 10 m as of a wall at 40 m; a row at 10 m below the mask.
    car = cloud((10, 0.3, -1), (10, 0, -1), (10, -0.3, -1))
    wall = cloud((40, 1.2, -1), (40, 0, -1), (40, -1.2, -1))
    row = grid(10, (-1.5, 1.5), (-2.15, -2.1))  # (35 to 65, 51.5)
    points = np.concatenate([car, wall, row])
    below = np.arange(len(points)) >= 6
    sight = points_in_sight(FRONT, points, SIZE_HW, occlusion=False)
    sight = replace(sight, hidden=below & (unseen == "hidden"))
    heights_m = np.where(below & (unseen == "road"), 0.0, 1.0)
    config = LiftConfig(growth_share=0, feet_m=0)
    owners = separate(view(CAR_MASK), sight, points, heights_m, config).owners
    nearer, farther = (0, NOBODY) if unseen else (NOBODY, 0)
    assert owners[:6].tolist() == [nearer] * 3 + [farther] * 3


def test_two_cameras_that_see_one_object_give_it_one_id() -> None:
    car = grid(10, (-0.95, 1), (-1.95, -0.2))
    first, second = view(CAR_MASK, ids=(1,)), view(CAR_MASK, ids=(5,))
    lifted = lift_all([first, second], car, CONFIG)
    assert lifted.same_as == {5: 1}
    assert np.unique(lifted.labels.instance_ids).tolist() == [1]


def said(owners: list[int], insets_px: list[float]) -> tuple[Sight, Parts]:
    """Return what a camera that sees every point says of them."""
    n, zeros = len(owners), np.zeros(len(owners), np.intp)
    sight = Sight(
        rows=np.arange(n),
        uv=np.zeros((n, 2)),
        x=zeros,
        y=zeros,
        depth_m=np.ones(n),
        hidden=np.zeros(n, bool),
        clear=np.ones(n, np.float32),
    )
    parts = Parts(
        owners=np.array(owners, np.int32),
        unsure=np.zeros(n, bool),
        insets_px=np.array(insets_px, np.float32),
        under={},
        wins=(),
    )
    return sight, parts


def test_the_more_certain_camera_has_a_contested_point() -> None:
    one, other = view(CAR_MASK, ids=(1,)), view(CAR_MASK, ids=(2,), classes=(PERSON,))
    first = said([0, 0, 0, 0, -1, -1, -1], [9, 9, 9, 0.5, 0, 0, 0])
    second = said([-1, -1, -1, 0, 0, 0, 0], [0, 0, 0, 4, 9, 9, 9])
    for order in ((0, 1), (1, 0)):
        views = [(one, other)[i] for i in order]
        sights, parts = zip(*[(first, second)[i] for i in order], strict=True)
        labels, same_as = vote(views, sights, parts, 7)
        assert same_as == {}
        assert labels.instance_ids.tolist() == [1, 1, 1, 2, 2, 2, 2]
        assert labels.class_ids.tolist() == [CAR] * 3 + [PERSON] * 4


def test_an_object_is_one_over_a_seam_and_has_the_class_that_most_trust_speaks_for() -> None:
    one, other = view(CAR_MASK, ids=(1,)), view(CAR_MASK, ids=(2,), classes=(PERSON,))
    first, second = said([0, 0, 0, 0, -1], [9] * 5), said([-1, -1, 0, 0, 0], [0.5] * 5)
    labels, same_as = vote([one, other], [first[0], second[0]], [first[1], second[1]], 5)
    assert same_as == {2: 1}
    assert labels.instance_ids.tolist() == [1] * 5
    assert labels.class_ids.tolist() == [CAR] * 5


def test_a_mask_over_two_cars_is_that_of_the_car_that_it_shares_more_points_with() -> None:
    # One camera's mask runs over two cars; all points of both are under it.
    one, other = view(CAR_MASK, ids=(1,)), view(CAR_MASK, CAR_MASK, ids=(2, 3))
    first, second = said([0] * 6, [9] * 6), said([0, 0, 1, 1, 1, 1], [9] * 6)
    _, same_as = vote([one, other], [first[0], second[0]], [first[1], second[1]], 6)
    assert same_as == {3: 1}


def test_a_mask_that_the_points_doubt_has_no_point_that_another_accepted_one_claims() -> None:
    one, other = view(CAR_MASK, ids=(1,)), view(CAR_MASK, ids=(2,))
    first = said([0, 0, 0, 0, -1, -1, -1], [9] * 7)
    second = said([-1, -1, -1, 0, 0, 0, 0], [0.5] * 7)
    for reasons, winner in (((), 1), (("points.size",), 2)):
        views = [doubted(one, (reasons,)), doubted(other, ((),))]
        labels, _ = vote(views, [first[0], second[0]], [first[1], second[1]], 7)
        assert labels.instance_ids.tolist() == [1, 1, 1, winner, 2, 2, 2]


def test_trust_is_less_at_an_edge_with_a_larger_gap_in_time_and_behind_something() -> None:
    # The middle of a mask, on time and in front: 1. At its edge a sixth. 0.05 s at 10 m/s are the
    # half metre that halves it. What is almost hidden has half of it.
    insets_px = np.array([9, 5, 2, 0, 5, 5], np.float32)
    clear = np.array([1, 1, 1, 1, 0.5, 0], np.float32)
    expected = np.array([1, 1, 1 / 2, 1 / 6, 3 / 4, 1 / 2])
    np.testing.assert_allclose(trust(insets_px, clear, 0.0), expected)
    np.testing.assert_allclose(trust(insets_px, clear, -0.05), expected / 2)
    np.testing.assert_allclose(trust(insets_px, clear, 0.15), expected / 4)


def test_points_keep_the_trust_of_their_owner_and_cameras_that_agree_add_theirs() -> None:
    late = replace(FRONT, time_gap_s=0.05)
    one, other = view(CAR_MASK, ids=(1,)), replace(view(CAR_MASK, ids=(2,)), camera=late)
    first, second = said([0, 0, 0, -1, -1], [9, 2, 0, 9, 9]), said([-1, 0, 0, 0, -1], [2] * 5)
    alone, _ = vote([one], [first[0]], [first[1]], 5)
    assert alone.trusts.tolist() == [255, 128, 42, 0, 0]  # 1, 1/2, 1/6
    both, same_as = vote([one, other], [first[0], second[0]], [first[1], second[1]], 5)
    assert same_as == {2: 1}
    assert both.trusts.tolist() == [255, 191, 106, 64, 0]  # and a quarter from the late one


def test_a_point_nearly_hidden_is_trusted_less_than_the_face_before_it() -> None:
    # A face 10 m ahead; a point behind it is hidden from 10 x 1.05 + 0.5 = 11 m on.
    face = grid(10, (-3, 3), (-3, 0.5))
    for depth_m, clear in ((10.0, 1.0), (10.25, 0.75), (10.75, 0.25), (11.25, 0.0)):
        points = np.vstack([face, [[depth_m, 0, -1]]]).astype(np.float32)
        sight = points_in_sight(FRONT, points, SIZE_HW, occlusion=True)
        assert sight.clear[-1] == pytest.approx(clear)
        assert bool(sight.hidden[-1]) == (clear == 0)
        assert points_in_sight(FRONT, points, SIZE_HW, occlusion=False).clear[-1] == 1


def test_two_cameras_of_one_name_are_two_views() -> None:
    car = (LABELLED, CAR, 1)
    assert told(lift([view(CAR_MASK), view(CAR_MASK)], cloud(ON_CAR), CONFIG)) == [car]


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

KITTI = Path(__file__).parents[3].parent / "shared" / "data" / "kitti_object"
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
    P = read_calibration(KITTI / ref.calib_files[0]).numbers("P2").reshape(3, 4)
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
