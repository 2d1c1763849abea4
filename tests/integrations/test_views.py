"""What SAM is shown of an image in each mode."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("PIL")

from perception_sam.views import CONTEXT_PX, SIDE_PX, filled, tiles

STREET_HW = (1024, 2048)


def boxes(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_no_box_no_view() -> None:
    assert tiles(STREET_HW, boxes()) == []


def test_a_small_object_is_shown_in_a_cut_of_native_resolution_round_it() -> None:
    ((view, rows),) = tiles(STREET_HW, boxes((1000, 500, 1100, 560)))
    # 100 and 60 pixels with 128 on each side: 356 and 316, the next multiple of 512 is 512
    assert view.window_xyxy == (768, 274, 1280, 786)  # its tile ends at 1280
    assert view.filled_hw == view.input_hw == (512, 512)
    assert rows.tolist() == [0]
    assert view.twice


def test_a_smaller_object_is_shown_twice_its_size() -> None:
    ((view, rows),) = tiles(STREET_HW, boxes((1000, 500, 1040, 520)))
    # 40 and 20 pixels with 64 on each side: 168 and 148, the next multiple of 256 is 256
    assert view.window_xyxy == (892, 382, 1148, 638)
    assert view.filled_hw == view.input_hw == (512, 512)
    assert view.scale_xy == (2, 2)
    assert rows.tolist() == [0]
    assert view.twice


def test_at_an_image_s_corner_the_cut_ends_there() -> None:
    ((view, _),) = tiles(STREET_HW, boxes((0, 0, 100, 50)))
    assert view.window_xyxy == (0, 0, 512, 512)


def test_a_large_object_is_shown_with_the_whole_image() -> None:
    (whole, few), (tile, many) = tiles(
        STREET_HW, boxes((0, 0, 700, 600), (10, 10, 40, 110), (80, 10, 99, 110))
    )
    assert whole == replace(filled(STREET_HW), twice=True)
    assert (few.tolist(), many.tolist()) == ([0], [1, 2])
    assert tile.scale_xy == (1, 1)


@pytest.mark.parametrize(
    ("size_hw", "zooms"),
    [((600, 639), []), ((600, 640), [2]), ((720, 1279), [2]), ((720, 1280), [2, 1])],
)
def test_tiles_are_laid_where_they_show_a_quarter_more_than_the_whole_image(
    size_hw: tuple[int, int], zooms: list[int]
) -> None:
    rows = boxes((10, 10, 40, 40), (300, 10, 400, 110), (0, 0, 600, 590))
    whole, *laid = tiles(size_hw, rows)
    assert whole[0] == replace(filled(size_hw), twice=True)
    assert [view.scale_xy for view, _ in laid] == [(zoom, zoom) for zoom in zooms]
    assert [len(mine) for _, mine in (whole, *laid)] == [3 - len(zooms), *[1] * len(zooms)]


def test_images_that_are_shown_larger_than_they_are_have_no_tiles() -> None:
    ((view, rows),) = tiles((480, 600), boxes((10, 10, 40, 40), (300, 10, 600, 340)))
    assert view == replace(filled((480, 600)), twice=True)
    assert rows.tolist() == [0, 1]


def test_300_boxes_on_4k_need_no_more_to_see_than_its_area_does() -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform((0, 0), (3740, 2060), (300, 2))
    views = tiles((2160, 3840), np.hstack([corner, corner + rng.uniform(8, 100, (300, 2))]))
    seen = {1: 0, 2: 0}
    for view, _ in views:
        seen[int(view.scale_xy[0])] += view.input_hw[0] * view.input_hw[1]
    assert seen[1] <= 24 * SIDE_PX**2  # 5 x 3 tiles cover it; a greedy choice needs half again
    assert seen[2] <= 90 * SIDE_PX**2  # 10 x 6


def test_boxes_of_one_tile_are_shown_apart_where_that_is_less_to_see() -> None:
    near = boxes((1000, 500, 1100, 560), (1150, 500, 1250, 560))
    far = boxes((1000, 200, 1100, 260), (1500, 700, 1600, 760))  # in a tile of 1024 x 1024
    assert [(view.input_hw, rows.tolist()) for view, rows in tiles(STREET_HW, near)] == [
        ((512, 512), [0, 1])
    ]
    assert [(view.input_hw, rows.tolist()) for view, rows in tiles(STREET_HW, far)] == [
        ((512, 512), [0]),
        ((512, 512), [1]),
    ]


@settings(max_examples=50)
@given(
    height=st.integers(200, 2600),
    width=st.integers(1600, 4000),
    shares=st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=20),
)
def test_each_box_lies_in_one_view_with_its_surroundings(
    height: int, width: int, shares: list[tuple[float, ...]]
) -> None:
    rows = []
    for x, y, w, h in shares:
        x0, y0 = x * (width - 1), y * (height - 1)
        rows.append((x0, y0, x0 + 1 + w * (width - 1 - x0), y0 + 1 + h * (height - 1 - y0)))
    boxes_xyxy = boxes(*rows)
    seen: list[int] = []
    for view, mine in tiles((height, width), boxes_xyxy):
        seen += mine.tolist()
        x0, y0, x1, y1 = view.window_xyxy
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        assert max(view.input_hw) <= SIDE_PX and not any(side % 64 for side in view.input_hw)
        context_px = CONTEXT_PX / view.scale_xy[0] - 1
        for box in boxes_xyxy[mine]:
            assert x0 == 0 or box[0] - x0 >= context_px
            assert y0 == 0 or box[1] - y0 >= context_px
            assert x1 == width or x1 - box[2] >= context_px
            assert y1 == height or y1 - box[3] >= context_px
    assert sorted(seen) == list(range(len(rows)))
