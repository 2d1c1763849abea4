"""Tiles: they cover the image, small objects are found, none twice, none in halves."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.core.config import ObserveConfig
from perception.core.types import Detections, Picture, UInt8
from perception.models.fakes import BrightDetector
from perception.models.tiles import CUT_PX, OVERLAP, TiledDetector, cut, lay_tiles


class Shortsighted:
    """Finds bright blobs that are 8 pixels or more in its input."""

    class_names = ("car",)

    def __init__(self, side_px: int) -> None:
        self.input_hw = (side_px, side_px)
        self.looks: list[tuple[int, int]] = []

    def __call__(self, picture: Picture) -> Detections:
        self.looks.append(picture.size_hw)
        found = BrightDetector()(picture)
        scale = min(self.input_hw[0] / picture.size_hw[0], self.input_hw[1] / picture.size_hw[1])
        sides = (found.boxes_xyxy[:, 2:] - found.boxes_xyxy[:, :2]).min(axis=1)
        return found[sides * min(scale, 1) >= 8]


def street(height: int, width: int, *boxes: tuple[int, int, int, int]) -> UInt8:
    image = np.zeros((height, width, 3), np.uint8)
    for x0, y0, x1, y1 in boxes:
        image[y0:y1, x0:x1] = 255
    return image


def look(detector: Shortsighted, image: UInt8) -> list[list[float]]:
    found = TiledDetector(detector, ObserveConfig())(Picture("", "street.png", image))
    return sorted(found.boxes_xyxy.tolist())


def test_tiles_worked_by_hand() -> None:
    # Width 200, tiles of 100: 100 to spare, steps of at most 75: two steps of 50. Height 80: one.
    expected = [[0, 0, 100, 80], [50, 0, 150, 80], [100, 0, 200, 80]]
    assert lay_tiles((80, 200), (100, 100)).tolist() == expected


@pytest.mark.parametrize("size_hw", [(100, 100), (50, 20), (125, 125), (1, 1), (40, 124)])
def test_an_image_that_fits_well_enough_has_no_tiles(size_hw: tuple[int, int]) -> None:
    assert lay_tiles(size_hw, (100, 100)).shape == (0, 4)
    assert len(lay_tiles((126, 20), (100, 100))) == 2


@given(
    size_hw=st.tuples(st.integers(1, 900), st.integers(1, 900)),
    input_hw=st.tuples(st.integers(32, 200), st.integers(32, 200)),
)
def test_an_object_of_a_quarter_of_a_tile_is_whole_in_one(
    size_hw: tuple[int, int], input_hw: tuple[int, int]
) -> None:
    tiles = lay_tiles(size_hw, input_hw)
    if len(tiles) == 0:
        return
    heights, widths = zip(size_hw, input_hw, strict=True)
    for first, last, (length, side) in ((1, 3, heights), (0, 2, widths)):
        starts = np.unique(tiles[:, first])
        assert starts[0] == 0 and tiles[:, last].max() == length
        assert (tiles[:, last] - tiles[:, first] == min(side, length)).all()
        assert (np.diff(starts) <= side * (1 - OVERLAP) + 1).all()  # starts are whole pixels


def test_small_objects_are_found_once_and_large_ones_in_the_whole_image() -> None:
    small, on_an_edge, large = (10, 10, 20, 20), (95, 40, 107, 52), (120, 100, 390, 190)
    image = street(200, 400, small, on_an_edge, large)
    assert len(look(Shortsighted(400), image)) == 3
    detector = Shortsighted(100)  # sees the whole image at a quarter
    assert look(detector, image) == [list(map(float, box)) for box in (small, on_an_edge, large)]
    assert detector.looks[0] == (200, 400) and set(detector.looks[1:]) == {(100, 100)}
    plain = detector(Picture("", "street.png", image))
    assert plain.boxes_xyxy.tolist() == [list(map(float, large))]


def test_an_object_at_the_border_of_the_image_is_not_cut() -> None:
    box = (390, 0, 400, 12)
    assert look(Shortsighted(100), street(200, 400, box)) == [list(map(float, box))]


def test_an_empty_street_has_no_boxes() -> None:
    assert look(Shortsighted(100), street(200, 400)) == []


@pytest.mark.parametrize(
    ("box", "is_cut"),
    [
        ((120, 20, 180, 60), False),
        ((100, 20, 180, 60), True),  # inner edge at the left
        ((103.9, 20, 180, 60), True),
        ((100 + CUT_PX, 20, 180, 60), False),
        ((120, 20, 200, 60), True),  # inner edge at the right
        ((120, 0, 180, 60), False),  # the top is the border of the image
        ((120, 20, 180, 100), True),  # inner edge below
        ((100, 0, 180, 60), True),  # border above, cut at the left
    ],
)
def test_which_boxes_an_inner_edge_cuts(box: tuple[float, ...], is_cut: bool) -> None:
    tile = np.array([100, 0, 200, 100], np.int32)
    assert cut(np.array([box], np.float32), tile, (300, 400)).tolist() == [is_cut]
    assert cut(np.zeros((0, 4), np.float32), tile, (300, 400)).shape == (0,)


def test_what_is_seen_as_two_classes_stays_both() -> None:
    class Unsure(Shortsighted):
        class_names = ("car", "truck")  # type: ignore[assignment]

        def __call__(self, picture: Picture) -> Detections:
            found = super().__call__(picture)
            truck = picture.image_rgb[0, 0, 0] == 1  # in the tile at the image's corner
            return replace(found, class_ids=found.class_ids + truck, class_names=self.class_names)

    image = street(80, 200, (60, 30, 80, 50))
    image[0, 0] = 1
    found = TiledDetector(Unsure(100), ObserveConfig())(Picture("", "", image))
    assert sorted(found.class_ids.tolist()) == [0, 1]
