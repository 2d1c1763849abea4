"""Masks out of low-resolution logits: as the reference, whatever part is computed."""

import zlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("PIL")

from perception.core import masks as masks_
from perception.core.types import Float32
from perception_sam.crops import crop_logits, finish, upsample
from perception_sam.views import View, filled, pixels_of, scaled_hw, square

SIZES = [(375, 1242), (1080, 810), (7, 5), (1024, 1024), (1, 1), (60, 2000)]


def smooth_noise(seed: int, shape: tuple[int, int] = (256, 256)) -> Float32:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32) * 3


def whole(low: Float32, view: View) -> Float32:
    return upsample(low, view, range(view.window_hw[0]), range(view.window_hw[1]))


@pytest.mark.slow
@pytest.mark.parametrize("size_hw", SIZES)
def test_upsampling_and_stability_are_those_of_the_segment_anything_package(
    size_hw: tuple[int, int],
) -> None:
    segment_anything = pytest.importorskip("segment_anything")
    from segment_anything.utils.amg import calculate_stability_score

    low, view = smooth_noise(1), square(size_hw)
    postprocess = segment_anything.modeling.Sam.postprocess_masks
    holder = type("Sam", (), {"image_encoder": type("Encoder", (), {"img_size": 1024})})
    expected = postprocess(holder, torch.from_numpy(low)[None, None], scaled_hw(size_hw), size_hw)
    tolerance = 1e-4 * np.abs(low).max()  # torch places pixels in float32
    np.testing.assert_allclose(whole(low, view), expected[0, 0].numpy(), atol=tolerance)
    stability = calculate_stability_score(expected[:, 0], 0.0, 1.0)[0].item()
    assert finish(low, view).stability == pytest.approx(stability, abs=1e-4)


@settings(max_examples=60)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    origin=st.integers(0, 50),
    spots=st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), max_size=4),
    of_square=st.booleans(),
)
def test_a_mask_is_the_one_that_upsampling_everything_gives(
    height: int, width: int, origin: int, spots: list[tuple[int, int]], of_square: bool
) -> None:
    view = (square if of_square else filled)((height, width))
    low = np.full([side // 4 for side in view.input_hw], -6, np.float32)
    for row, column in spots:
        low[row % low.shape[0], column % low.shape[1]] = 5.5
    x0, y0, x1, y1 = (origin + side for side in view.window_xyxy)
    moved = View((x0, y0, x1, y1), view.filled_hw, view.input_hw)
    everything = whole(low, view)
    found = finish(low, moved)
    box, counts = masks_.encode_one(everything > 0, (origin, origin))
    assert found.box_xyxy.tolist() == box.tolist()
    assert found.counts == counts
    looser = np.count_nonzero(everything > -1)
    surer = np.count_nonzero(everything > 1)
    assert found.stability == (surer / looser if looser else 0.0)


def test_the_stability_of_an_empty_mask_is_zero_and_not_nan() -> None:
    found = finish(np.full((256, 256), -5, np.float32), square((375, 1242)))
    assert found.stability == 0.0
    assert (found.box_xyxy.tolist(), found.counts) == ([0, 0, 0, 0], b"")


def test_logits_are_cut_to_the_masks_cells_plus_four_inside_the_image() -> None:
    view = square((375, 1242))
    logits = np.full((256, 256), -8, np.float32)
    logits[10:12, 100:103] = 3.5
    logits[200:, :] = 9  # the padding below a 375 x 1242 image: not part of it
    cells, data = crop_logits(logits, view)
    assert cells.tolist() == [96, 6, 107, 16]
    crop = np.frombuffer(zlib.decompress(data), "<f2").reshape(10, 11)
    np.testing.assert_array_equal(crop, logits[6:16, 96:107])
    cells, data = crop_logits(np.full((256, 256), -8, np.float32), view)
    assert (cells.tolist(), data) == ([0, 0, 0, 0], b"")


@pytest.mark.parametrize("size_hw", SIZES)
def test_the_input_is_that_of_the_segment_anything_package(size_hw: tuple[int, int]) -> None:
    transforms = pytest.importorskip("segment_anything.utils.transforms")
    image = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), np.uint8)
    resized = transforms.ResizeLongestSide(1024).apply_image(image).astype(np.float32)
    expected = (resized - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]
    height, width = resized.shape[:2]
    for view in (square(size_hw), filled(size_hw)):
        pixels = pixels_of(image, view)
        assert pixels.shape == (1, 3, *view.input_hw)
        np.testing.assert_allclose(
            pixels[0, :, :height, :width], expected.transpose(2, 0, 1), atol=1e-5
        )
        assert not pixels[0, :, height:].any()
        assert not pixels[0, :, :, width:].any()
    assert filled(size_hw).input_hw == tuple(-(-side // 64) * 64 for side in (height, width))


def test_a_point_of_a_window_lands_where_its_pixels_are_in_the_input() -> None:
    # a window of 200 x 100 pixels at (300, 50), shown twice as large
    view = View((300, 50, 500, 150), (200, 400), (256, 448))
    corners = np.array([[300.0, 50.0], [500.0, 150.0], [400.0, 75.0]])
    np.testing.assert_array_equal(view.to_input(corners), [[0, 0], [400, 200], [200, 50]])
    assert view.cells_per_px_xy == (0.5, 0.5)
