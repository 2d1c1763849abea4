"""Models without weights must behave like models: same answers each time, nothing changed."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.core import masks as masks_
from perception.core.config import ObserveConfig
from perception.core.types import Bool, Float32, Picture, Segments, UInt8
from perception.models.fakes import (
    BoxFiller,
    BrightDetector,
    GrabCut,
    load_box_filler,
    load_bright_detector,
    load_grabcut,
    segments_of,
)
from perception.models.protocols import Segmenter

SIZE_HW = (60, 80)
SEGMENTERS = [BoxFiller(), GrabCut()]


def boxes(*rows: tuple[float, float, float, float]) -> Float32:
    array = np.array(rows, np.float32).reshape(-1, 4)
    array.setflags(write=False)  # as out of Ray's object store
    return array


def noise(size_hw: tuple[int, int] = SIZE_HW) -> UInt8:
    image = np.random.default_rng(0).integers(0, 256, (*size_hw, 3)).astype(np.uint8)
    image.setflags(write=False)
    return image


def disc(radius: float = 15.0) -> Bool:
    y, x = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    return np.asarray(np.hypot(x - 40, y - 30) <= radius)


def picture(*blocks: tuple[int, int, int, int, int]) -> Picture:
    image = np.full((*SIZE_HW, 3), 20, np.uint8)
    for x0, y0, x1, y1, level in blocks:
        image[y0:y1, x0:x1] = level
    return Picture("front", "a.png", image)


def same(first: Segments, second: Segments) -> bool:
    return first.masks.counts == second.masks.counts and bool(
        (first.masks.boxes_xyxy == second.masks.boxes_xyxy).all()
    )


def test_bright_blobs_are_found_from_left_to_right_with_half_open_boxes() -> None:
    found = BrightDetector()(picture((50, 5, 60, 25, 204), (10, 30, 20, 40, 255)))
    np.testing.assert_array_equal(found.boxes_xyxy, [[10, 30, 20, 40], [50, 5, 60, 25]])
    np.testing.assert_allclose(found.scores, [1, 0.8])
    assert found.class_ids.tolist() == [0, 0]
    assert found.class_names == ("car",)
    assert found.boxes_xyxy.dtype == found.scores.dtype == np.float32


def test_blobs_below_each_other_come_from_top_to_bottom() -> None:
    found = BrightDetector()(picture((10, 40, 20, 50, 255), (10, 5, 20, 15, 255)))
    assert found.boxes_xyxy[:, 1].tolist() == [5, 40]


def test_only_what_is_bright_is_found() -> None:
    found = BrightDetector()(picture((10, 5, 20, 15, 199), (30, 5, 40, 15, 200)))
    np.testing.assert_array_equal(found.boxes_xyxy, [[30, 5, 40, 15]])


def test_a_blob_at_the_border_ends_there() -> None:
    found = BrightDetector()(picture((70, 50, 80, 60, 255)))
    np.testing.assert_array_equal(found.boxes_xyxy, [[70, 50, 80, 60]])


def test_a_dark_image_has_no_boxes() -> None:
    found = BrightDetector()(picture())
    assert found.boxes_xyxy.shape == (0, 4)
    assert (len(found), found.class_names) == (0, ("car",))


def test_the_whole_image_may_be_one_blob() -> None:
    found = BrightDetector()(picture((0, 0, 80, 60, 255)))
    np.testing.assert_array_equal(found.boxes_xyxy, [[0, 0, 80, 60]])


@pytest.mark.parametrize(
    ("box", "pixels"),
    [
        ((10, 20, 30, 40), (10, 20, 30, 40)),
        ((10.4, 20.4, 29.6, 39.6), (10, 20, 30, 40)),
        ((0, 0, 80, 60), (0, 0, 80, 60)),
        ((10.2, 20.2, 10.4, 20.4), (10, 20, 11, 21)),  # less than a pixel is still one
        ((10.6, 20.6, 10.9, 20.9), (11, 21, 12, 22)),
        ((79, 59, 80, 60), (79, 59, 80, 60)),
        ((79.6, 59.6, 79.9, 59.9), (79, 59, 80, 60)),  # rounds to 80: not out of the image
        ((79.6, 10, 80, 20), (79, 10, 80, 20)),
    ],
)
def test_a_filled_box_covers_its_whole_pixels_and_at_least_one(
    box: tuple[float, float, float, float], pixels: tuple[int, int, int, int]
) -> None:
    found = BoxFiller()(noise(), boxes(box))
    np.testing.assert_array_equal(found.masks.boxes_xyxy, [pixels])
    x0, y0, x1, y1 = pixels
    assert masks_.areas(found.masks).tolist() == [(x1 - x0) * (y1 - y0)]


def test_each_box_gets_its_own_mask_in_the_order_of_the_boxes() -> None:
    rows = boxes((40, 5, 60, 25), (10, 30, 20, 40))
    np.testing.assert_array_equal(BoxFiller()(noise(), rows).masks.boxes_xyxy, rows)


def test_grabcut_finds_a_bright_disc_in_a_dark_image() -> None:
    image = np.random.default_rng(1).integers(20, 40, (*SIZE_HW, 3)).astype(np.uint8)
    image[disc()] = np.random.default_rng(2).integers(200, 240, (disc().sum(), 3))
    box = boxes((23, 13, 57, 47))  # loose: 2 px on each side
    found = masks_.decode_one(GrabCut()(image, box).masks, 0)
    iou = (found & disc()).sum() / (found | disc()).sum()
    assert iou > 0.9
    filled = masks_.decode_one(BoxFiller()(image, box).masks, 0)
    assert (filled & disc()).sum() / (filled | disc()).sum() < 0.7  # the box alone would not do


def test_grabcut_stays_inside_its_box() -> None:
    image = np.full((*SIZE_HW, 3), 20, np.uint8)
    image[disc()] = 230
    found = masks_.decode_one(GrabCut()(image, boxes((25, 15, 40, 45))).masks, 0)
    assert found.any()
    assert not found[:, 40:].any()


def test_grabcut_falls_back_on_the_box_where_there_is_nothing_to_learn_from() -> None:
    whole = boxes((0, 0, 80, 60))  # no background around it
    assert same(GrabCut()(noise(), whole), BoxFiller()(noise(), whole))
    image, box = np.full((*SIZE_HW, 3), 90, np.uint8), boxes((20, 20, 40, 40))
    assert masks_.areas(GrabCut()(image, box).masks)[0] > 0


@pytest.mark.parametrize("segmenter", SEGMENTERS)
def test_the_same_question_gets_the_same_answer(segmenter: Segmenter) -> None:
    asked = boxes((10, 10, 40, 40), (50, 20, 79.5, 59.5))
    first = segmenter(noise(), asked)
    np.random.default_rng().random()
    segmenter(noise((30, 30)), boxes((3, 3, 20, 20)))  # what was asked between does not matter
    assert same(first, segmenter(noise(), asked))
    alone = segmenter(noise(), asked[1:])
    assert alone.masks.counts[0] == first.masks.counts[1]


def test_grabcut_does_not_depend_on_what_random_numbers_opencv_is_at() -> None:
    random = np.random.default_rng(3)
    tiles = np.kron(random.integers(0, 256, (12, 16, 3)), np.ones((5, 5, 1)))
    image = np.clip(tiles + random.integers(-20, 20, tiles.shape), 0, 255).astype(np.uint8)
    answers = set()
    for seed in range(1, 6):  # this image has two answers, depending on the seed
        cv2.setRNGSeed(seed)
        answers.add(GrabCut()(image, boxes((20, 15, 60, 45))).masks.counts)
    assert len(answers) == 1


@pytest.mark.parametrize("segmenter", SEGMENTERS)
def test_the_callers_image_and_boxes_are_unchanged(segmenter: Segmenter) -> None:
    image, asked = noise().copy(), boxes((10.3, 10.3, 40, 40), (0, 0, 80, 60)).copy()
    image_before, boxes_before = image.copy(), asked.copy()
    segmenter(image, asked)
    np.testing.assert_array_equal(image, image_before)
    np.testing.assert_array_equal(asked, boxes_before)


@pytest.mark.parametrize("segmenter", SEGMENTERS)
def test_no_boxes_get_no_masks(segmenter: Segmenter) -> None:
    found = segmenter(noise(), boxes())
    assert len(found) == len(found.masks) == len(found.logits) == 0
    assert found.masks.size_hw == SIZE_HW
    assert found.predicted_ious.dtype == found.stabilities.dtype == np.float32


@pytest.mark.parametrize("segmenter", SEGMENTERS)
@settings(max_examples=60)
@given(
    size_hw=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    shares=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_every_box_inside_the_image_gets_a_mask_inside_the_image(
    segmenter: Segmenter, size_hw: tuple[int, int], shares: tuple[float, ...]
) -> None:
    height, width = size_hw
    x0, x1 = sorted((shares[0] * width, shares[1] * width))
    y0, y1 = sorted((shares[2] * height, shares[3] * height))
    found = segmenter(noise(size_hw), boxes((x0, y0, x1, y1)))
    assert masks_.areas(masks_.checked(found.masks)).tolist()[0] >= 1


def test_fakes_are_sure_of_themselves_and_keep_no_logits() -> None:
    found = segments_of([disc(), np.zeros(SIZE_HW, bool)], SIZE_HW)
    assert found.predicted_ious.tolist() == found.stabilities.tolist() == [1, 1]
    assert found.logits.data == (b"", b"")
    assert found.masks.counts[1] == b""
    np.testing.assert_array_equal(masks_.decode_one(found.masks, 0), disc())


def test_the_loaders_need_no_file() -> None:
    nowhere, config = Path("nowhere"), ObserveConfig()
    assert isinstance(load_bright_detector(nowhere, config), BrightDetector)
    assert isinstance(load_box_filler(nowhere, config), BoxFiller)
    assert isinstance(load_grabcut(nowhere, config), GrabCut)
