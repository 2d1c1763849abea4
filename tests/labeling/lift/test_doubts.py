"""The points say what is wrong: worked by hand, in the world of `test_lift`.

At 10 m one metre is 10 px; the mask of a person is 6 px wide and 17 px high, 1.7 m.
"""

from dataclasses import replace

import numpy as np

from perception.core import masks as masks_
from perception.core.config import LiftConfig
from perception.core.geometry import rigid
from perception.core.types import Bool, Camera, Float32
from perception.labeling.lift import View, lift

SIZE_HW = (80, 100)
FRONT = Camera(
    "front",
    np.array([[100, 0, 50], [0, 100, 40], [0, 0, 1.0]]),
    rigid(np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0.0]]), np.array([0, -1, 0.0])),
)
PERSON_M, MOST_M = (0.8, 0.6, 1.7), (1.6, 1.6, 2.5)


def block(x0: int, y0: int, x1: int, y1: int) -> Bool:
    bitmap = np.zeros(SIZE_HW, bool)
    bitmap[y0:y1, x0:x1] = True
    return bitmap


def people(*bitmaps: Bool) -> View:
    n = len(bitmaps)
    masks = masks_.join(tuple(masks_.encode_one(bitmap) for bitmap in bitmaps), SIZE_HW)
    return View(
        camera=FRONT,
        masks=masks,
        whole=masks,
        instance_ids=np.arange(1, n + 1, dtype=np.int32),
        class_ids=np.ones(n, np.int32),
        statuses=np.zeros(n, np.uint8),
        boxes_xyxy=masks.boxes_xyxy.astype(np.float32),
        order=tuple(range(n)),
        usual_m=np.tile(PERSON_M, (n, 1)),
        most_m=np.tile(MOST_M, (n, 1)),
    )


def face(x_m: float, y: tuple[float, float], z: tuple[float, float], step_m: float) -> Float32:
    ys, zs = np.meshgrid(np.arange(*y, step_m), np.arange(*z, step_m))
    return np.column_stack([np.full(ys.size, x_m), ys.ravel(), zs.ravel()]).astype(np.float32)


PERSON = block(47, 33, 53, 50)


def test_a_person_on_whom_the_points_lie_is_not_doubted() -> None:
    lifted = lift([people(PERSON)], face(10, (-0.25, 0.3), (-1.9, -0.3), 0.1), LiftConfig())
    assert lifted.findings[0].doubts == ((),)


def test_a_person_whose_points_are_all_at_forty_metres_would_be_seven_metres_tall() -> None:
    wall = face(40, (-1.2, 1.2), (-4, 1.5), 0.2)
    lifted = lift([people(PERSON)], wall, LiftConfig())
    assert lifted.findings[0].doubts == (("points.behind",),)
    assert (lifted.labels.instance_ids == 0).all()
    careless = lift([people(PERSON)], wall, LiftConfig(sizes=False))
    assert (careless.labels.instance_ids == 1).any()
    assert careless.findings[0].doubts == ((),)


def test_what_can_be_a_person_is_taken_before_what_cannot() -> None:
    # Most of the mask shows a wall at 40 m, the rest someone at 10 m.
    points = np.concatenate(
        [face(40, (-1.2, 1.2), (-4, 1.5), 0.1), face(10, (-0.25, 0.3), (-1.9, -1.2), 0.2)]
    )
    lifted = lift([people(PERSON)], points, LiftConfig(occlusion=False))
    assert (lifted.labels.instance_ids[points[:, 0] > 20] == 0).all()
    assert (lifted.labels.instance_ids[points[:, 0] < 20] == 1).all()


def test_a_mask_most_of_which_shows_something_else_goes_to_review() -> None:
    # Three points of a rail at 5 m right over the middle weigh less than a third of the hedge
    # behind, but are half of its heaviest mode: two hedges, at 15 and 20 m, share the rest.
    rail = face(5, (-0.06, 0.07), (-1.2, -1.1), 0.03)
    hedges = [face(12, (-0.3, 0.35), (-2.0, -1.3), 0.12), face(14, (-0.3, 0.4), (-1.2, -0.2), 0.14)]
    config = LiftConfig(occlusion=False, growth_share=0, go_on=False, strong_share=0.05)
    lifted = lift([people(PERSON)], np.concatenate([rail, *hedges]), config)
    assert lifted.findings[0].doubts == (("points.depth_span",),)


def test_a_person_three_metres_wide_is_doubted() -> None:
    wide = block(35, 33, 65, 50)
    lifted = lift([people(wide)], face(10, (-1.5, 1.5), (-1.9, -0.3), 0.1), LiftConfig())
    assert lifted.findings[0].doubts == (("points.size",),)


def test_few_points_and_none_say_nothing() -> None:
    for points in (face(40, (0, 0.2), (-1.2, -1.0), 0.1)[:3], np.zeros((0, 3), np.float32)):
        lifted = lift([people(PERSON)], points, LiftConfig())
        assert lifted.findings[0].doubts == ((),)


def test_where_two_masks_overlap_the_points_say_whose_it_is() -> None:
    # The first mask leaks over the second person, whose points are 3 m nearer.
    left, right = block(44, 33, 53, 50), block(50, 33, 56, 50)
    first = face(10, (0.0, 0.55), (-1.9, -0.3), 0.1)
    second = face(7, (-0.4, 0.0), (-1.7, -0.5), 0.07)
    both = people(left, right)
    lifted = lift([both], np.concatenate([first, second]), LiftConfig())
    assert lifted.findings[0].wins == ((1, 0),)
    assert (lifted.labels.instance_ids == [*[1] * len(first), *[2] * len(second)]).all()
    reverse = replace(both, order=(1, 0))
    assert lift([reverse], np.concatenate([first, second]), LiftConfig()).findings[0].wins == (
        (1, 0),
    )
