"""Where captions stand: no plate covers another, none leaves the picture, letters can be read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.visualization import captions
from perception.visualization.captions import Chip

NAMES = ("car", "person 0.91", "traffic-light 0.30", "motorcyclist 0.88", "train")
SHOWN_PX = 1000  # wide: as pages show a picture
sizes = st.tuples(st.integers(8, 1500), st.integers(8, 2500))


@st.composite
def crowds(draw: st.DrawFn) -> tuple[list[str], np.ndarray, tuple[int, int]]:
    size_hw = draw(sizes)
    count = draw(st.integers(0, 25))
    corner = st.tuples(st.floats(0, size_hw[1] - 1), st.floats(0, size_hw[0] - 1))
    sides = st.tuples(st.floats(1, size_hw[1]), st.floats(1, size_hw[0]))
    boxes = []
    for _ in range(count):
        (x, y), (width, height) = draw(corner), draw(sides)
        boxes.append((x, y, min(x + width, size_hw[1]), min(y + height, size_hw[0])))
    texts = draw(st.lists(st.sampled_from(NAMES), min_size=count, max_size=count))
    return texts, np.array(boxes, np.float32).reshape(-1, 4), size_hw


def meet(one: Chip, other: Chip) -> bool:
    a, b = np.array(one.box_xyxy), np.array(other.box_xyxy)
    return bool((np.maximum(a[:2], b[:2]) < np.minimum(a[2:], b[2:])).all())


@given(crowds())
def test_no_plate_covers_another_or_leaves_the_picture(
    crowd: tuple[list[str], np.ndarray, tuple[int, int]],
) -> None:
    texts, boxes, size_hw = crowd
    legend = (Chip("legend", 0, size_hw[0] - 8, min(60, size_hw[1]), 8, 11),)
    chips = captions.place(texts, boxes, size_hw, legend)
    assert len(chips) == len(texts)
    found = [chip for chip in chips if chip is not None]
    for number, chip in enumerate(found):
        x0, y0, x1, y1 = chip.box_xyxy
        assert 0 <= x0 < x1 <= size_hw[1] and 0 <= y0 < y1 <= size_hw[0]
        assert not any(meet(chip, other) for other in [*found[:number], *legend])


@pytest.mark.parametrize("size_hw", [(375, 1242), (1024, 2048), (2160, 3840), (480, 640)])
def test_letters_have_nine_pixels_at_the_size_that_pages_show(size_hw: tuple[int, int]) -> None:
    shown = min(1.0, SHOWN_PX / size_hw[1])
    assert captions.letter_px(size_hw) * shown >= 9


def test_a_lone_caption_stands_on_its_box_and_at_the_border_below_or_inside() -> None:
    size = captions.chip_size("car", captions.letter_px((400, 600)))
    for box, corner in (
        ((100, 100, 200, 200), (100, 100 - size[1])),  # above, flush left
        ((100, 0, 200, 200), (100, 200)),  # no room above: below
        ((0, 0, 600, 400), (0, 0)),  # no room outside: inside
        ((590, 100, 600, 200), (600 - size[0], 100 - size[1])),  # moved in from the right
    ):
        (chip,) = captions.place(["car"], np.array([box], np.float32), (400, 600))
        assert chip is not None and (chip.x0, chip.y0) == corner
        assert (chip.width, chip.height) == size


def test_of_two_captions_for_one_corner_the_first_has_it_and_neither_is_lost() -> None:
    boxes = np.array([[100, 100, 200, 200], [100, 100, 200, 200]], np.float32)
    first, second = captions.place(["car", "car"], boxes, (400, 600))
    assert first is not None and second is not None and not meet(first, second)
    assert first.box_xyxy[::3] == (100, 100)


def test_a_text_that_finds_no_place_is_left_out() -> None:
    assert captions.place(["motorcyclist"], np.array([[0, 0, 8, 8]], np.float32), (8, 8)) == (None,)
