"""The filters of segment everything, by hand; `test_prompting.py` has the package's answers."""

from collections.abc import Sequence

import numpy as np

from perception.core import masks as masks_
from perception.core.config import EverythingConfig
from perception.core.types import Answers, Bool, Float32, Prompt, UInt8
from perception.models.everything import everything, grid_points
from perception.models.fakes import segments_of

SIZE_HW = (40, 60)
IMAGE = np.zeros((*SIZE_HW, 3), np.uint8)


class Shapes:
    """Answers each point with the same shapes, whose scores are given."""

    def __init__(self, bitmaps: Sequence[Bool], scores: Sequence[float], stable: float = 1) -> None:
        self._bitmaps, self._scores, self._stable = bitmaps, scores, stable
        self.points: list[tuple[float, float, int]] = []

    def embed(self, image_rgb: UInt8) -> "Shapes":
        return self

    def __call__(
        self, prompts: Sequence[Prompt], masks_each: int, low_logits: Float32 | None = None
    ) -> Answers:
        assert masks_each == 3
        self.points += [point for prompt in prompts for point in prompt.points]
        plain = segments_of([*self._bitmaps] * len(prompts), SIZE_HW)
        object.__setattr__(plain, "predicted_ious", np.tile(np.float32(self._scores), len(prompts)))
        object.__setattr__(plain, "stabilities", np.full(len(plain), self._stable, np.float32))
        return Answers(plain, np.zeros((len(prompts), 3, 256, 256), np.float32))


def box(x0: int, y0: int, x1: int, y1: int) -> Bool:
    bitmap = np.zeros(SIZE_HW, bool)
    bitmap[y0:y1, x0:x1] = True
    return bitmap


THREE = (box(0, 0, 20, 20), box(0, 0, 20, 19), box(30, 10, 50, 30))


def test_points_stand_in_the_middle_of_equal_fields() -> None:
    points = grid_points(2, (40, 60))
    np.testing.assert_allclose(points, [[15, 10], [45, 10], [15, 30], [45, 30]])


def test_of_masks_with_nearly_the_same_bounds_the_surest_stays() -> None:
    model = Shapes(THREE, [0.9, 0.95, 0.91])
    found = everything(model, IMAGE, EverythingConfig(points_per_side=2))
    assert model.points == [(15, 10, 1), (45, 10, 1), (15, 30, 1), (45, 30, 1)]
    np.testing.assert_array_equal(masks_.decode(found.masks), [THREE[1], THREE[2]])
    np.testing.assert_allclose(found.predicted_ious, [0.95, 0.91])


def test_unsure_and_unstable_masks_go_and_nan_is_neither_sure_nor_stable() -> None:
    config = EverythingConfig(points_per_side=1)
    assert len(everything(Shapes(THREE, [0.88, 0.5, np.nan]), IMAGE, config)) == 0
    for stable in (0.9, np.nan):
        assert len(everything(Shapes(THREE, [0.9, 0.9, 0.9], stable), IMAGE, config)) == 0


def test_scores_below_zero_can_be_asked_for() -> None:
    config = EverythingConfig(points_per_side=1, min_predicted_iou=-2)
    assert len(everything(Shapes(THREE, [-1, -0.5, 0.2]), IMAGE, config)) == 2


def test_small_holes_are_filled_small_islands_go_and_a_mask_never_goes_altogether() -> None:
    holed, dot = THREE[0].copy(), box(58, 38, 60, 40)
    holed[5:8, 5:8] = False  # 9 pixels
    model = Shapes([holed | dot, dot, THREE[2]], [0.9, 0.9, 0.9])
    found = everything(model, IMAGE, EverythingConfig(points_per_side=1, min_region_px=10))
    # Those that needed no cleaning come first.
    np.testing.assert_array_equal(masks_.decode(found.masks), [dot, THREE[2], THREE[0]])
