"""Light, shape, crowding and second opinions, worked by hand."""

import numpy as np
import pytest

from perception.core import masks as masks_
from perception.core.types import Bool, Masks
from perception.labeling.quality.image_statistics import image_statistics
from perception.labeling.quality.shape import crowding, shapes_of

SIZE_HW = (20, 30)


def block(
    *boxes: tuple[int, int, int, int], without: tuple[int, int, int, int] | None = None
) -> Bool:
    bitmap = np.zeros(SIZE_HW, bool)
    for x0, y0, x1, y1 in boxes:
        bitmap[y0:y1, x0:x1] = True
    if without is not None:
        x0, y0, x1, y1 = without
        bitmap[y0:y1, x0:x1] = False
    return bitmap


def encoded(*bitmaps: Bool) -> Masks:
    return masks_.join(tuple(masks_.encode_one(bitmap) for bitmap in bitmaps), SIZE_HW)


def test_a_white_object_on_black_has_full_brightness_and_full_contrast() -> None:
    image = np.zeros((*SIZE_HW, 3), np.uint8)
    image[5:15, 5:15] = 255
    seen = image_statistics(image, encoded(block((5, 5, 15, 15))), None)
    np.testing.assert_allclose([seen.brightness[0], seen.contrasts[0]], 1, atol=1e-6)
    assert np.isnan(seen.second_ious).all()


def test_colours_of_equal_grey_still_contrast() -> None:
    # red 78 and green 40 are both grey 23.4 of 255: a contrast in grey alone would be 0
    image = np.full((*SIZE_HW, 3), (0, 40, 0), np.uint8)
    image[5:15, 5:15] = (78, 0, 0)
    seen = image_statistics(image, encoded(block((5, 5, 15, 15))), None)
    assert seen.contrasts[0] == pytest.approx(np.hypot(78, 40) / (np.sqrt(3) * 255), abs=1e-6)
    assert seen.brightness[0] == pytest.approx(0.299 * 78 / 255, abs=1e-6)


@pytest.mark.parametrize("box", [(0, 0, 4, 4), (26, 16, 30, 20), (0, 16, 4, 20), (26, 0, 30, 4)])
def test_the_ring_ends_at_the_border_of_the_image(box: tuple[int, int, int, int]) -> None:
    image = np.full((*SIZE_HW, 3), 51, np.uint8)
    image[block(box)] = 102
    seen = image_statistics(image, encoded(block(box)), None)
    np.testing.assert_allclose([seen.brightness[0], seen.contrasts[0]], [0.4, 0.2], atol=1e-6)


def test_a_mask_of_the_whole_image_has_no_surroundings_and_an_empty_one_no_light() -> None:
    image = np.full((*SIZE_HW, 3), 51, np.uint8)
    seen = image_statistics(image, encoded(block((0, 0, 30, 20)), block()), None)
    assert seen.brightness[0] == pytest.approx(0.2)
    assert np.isnan(seen.contrasts).all() and np.isnan(seen.brightness[1])
    assert len(image_statistics(image, encoded(), None)) == 0


def test_a_second_opinion_is_the_iou_of_the_two_answers_to_one_box() -> None:
    image = np.zeros((*SIZE_HW, 3), np.uint8)
    ours = encoded(block((0, 0, 10, 10)), block((0, 0, 4, 4)), block((0, 0, 4, 4)), block())
    theirs = encoded(block((5, 0, 15, 10)), block((9, 9, 12, 12)), block(), block())
    # 50 shared of 150; apart; nothing said; neither says anything, which is no agreement
    np.testing.assert_allclose(
        image_statistics(image, ours, theirs).second_ious, [1 / 3, 0, 0, 0], atol=1e-6
    )


def test_paired_ious_are_the_diagonal_of_all_ious() -> None:
    rng = np.random.default_rng(0)
    bitmaps = [rng.random(SIZE_HW) < 0.3 for _ in range(8)]
    pairs = masks_.ious(encoded(*bitmaps))
    found = masks_.paired_ious(encoded(*bitmaps[:4]), encoded(*bitmaps[4:]))
    np.testing.assert_allclose(found, pairs[np.arange(4), np.arange(4, 8)], rtol=1e-6)


def test_holes_fragments_and_sides_are_counted_in_pixels() -> None:
    ring = block((5, 5, 15, 15), without=(8, 8, 12, 12))  # 84 pixels around 16
    pieces = block((0, 0, 6, 5), (20, 0, 22, 5))  # 30 and 10, at the top; the first at the left
    bay = block((0, 0, 30, 20), without=(0, 5, 10, 10))  # open to the left: no hole
    holes, fragments, sides = shapes_of(encoded(ring, pieces, bay, block()))
    np.testing.assert_allclose(holes, [0.16, 0, 0, np.nan], atol=1e-6)
    np.testing.assert_allclose(fragments, [0, 0.25, 0, np.nan], atol=1e-6)
    np.testing.assert_allclose(sides, [0, 2, 4, np.nan])


def test_pieces_that_touch_at_a_corner_are_one_and_enclose_no_hole_at_one() -> None:
    diagonal = block((5, 5, 8, 8), (8, 8, 11, 11))
    holes, fragments, _ = shapes_of(encoded(diagonal))
    assert holes[0] == fragments[0] == 0


def test_crowding_is_the_closest_other_box() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [50, 50, 60, 60]], np.float32)
    np.testing.assert_allclose(crowding(boxes), [1 / 3, 1 / 3, 0], atol=1e-6)
    assert len(crowding(boxes[:0])) == 0
