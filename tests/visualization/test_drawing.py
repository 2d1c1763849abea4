"""What is drawn, and where. The view from above: 10 px per metre, the car at (300, 600)."""

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from perception.core import masks as masks_
from perception.core.errors import PerceptionError
from perception.core.types import (
    Bool,
    Cuboids,
    Float32,
    Instances,
    PictureLabels,
    PointLabels,
    PointState,
    Status,
    UInt8,
    unknown_signals,
)
from perception.visualization.drawing import (
    FILL,
    POINT_RGB,
    STATUS_RGB,
    birds_eye,
    class_rgb,
    overlay,
    to_jpeg,
    to_png,
)

SIZE_HW = (120, 200)
NAMES = {1: "person", 6: "car"}
BOX = (60.0, 50.0, 100.0, 90.0)
CAR, PERSON = 6, 1


def disc(x: int = 80, y: int = 70, radius: int = 14) -> Bool:
    rows, columns = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    return np.asarray(np.hypot(columns - x, rows - y) <= radius)


def image(size_hw: tuple[int, int] = SIZE_HW) -> UInt8:
    pixels = np.random.default_rng(0).integers(60, 120, (*size_hw, 3)).astype(np.uint8)
    pixels.setflags(write=False)
    return pixels


def labels(
    statuses: Sequence[Status],
    *,
    bitmaps: Sequence[Bool] | None = None,
    boxes: Sequence[tuple[float, float, float, float]] | None = None,
    reasons: Sequence[tuple[str, ...]] | None = None,
    class_ids: Sequence[int] | None = None,
    size_hw: tuple[int, int] = SIZE_HW,
) -> PictureLabels:
    n = len(statuses)
    shapes = [disc()] * n if bitmaps is None else bitmaps
    instances = Instances(
        instance_ids=np.arange(1, n + 1, dtype=np.int32),
        prompt_ids=np.arange(1, n + 1, dtype=np.int32),
        class_ids=np.array(class_ids or [CAR] * n, np.int32),
        statuses=np.array(statuses, np.uint8),
        reasons=tuple(reasons or ((),) * n),
        scores=np.full(n, 0.9, np.float32),
        predicted_ious=np.ones(n, np.float32),
        stabilities=np.ones(n, np.float32),
        box_ious=np.ones(n, np.float32),
        outside_shares=np.zeros(n, np.float32),
        boxes_xyxy=np.array(boxes or [BOX] * n, np.float32).reshape(n, 4),
        masks=masks_.join(tuple(masks_.encode_one(shape) for shape in shapes), size_hw),
        signals=unknown_signals(n),
        trusts=np.full(n, np.nan, np.float32),
        by_human=np.zeros(n, bool),
    )
    return PictureLabels("front", "a.png", size_hw, instances, ())


def changed(statuses: Sequence[Status], **kwargs: object) -> Bool:
    drawn = overlay(image(), labels(statuses, **kwargs), NAMES)  # type: ignore[arg-type]
    return np.asarray((drawn != image()).any(axis=2))


def near_box_lines() -> Bool:
    """Return the pixels within 2 px of the box's sides."""
    x0, y0, x1, y1 = (int(side) for side in BOX)
    band = np.zeros(SIZE_HW, bool)
    band[y0 - 2 : y1 + 3, x0 - 2 : x1 + 3] = True
    band[y0 + 3 : y1 - 2, x0 + 3 : x1 - 2] = False
    return band


def text_above_box() -> Bool:
    area = np.zeros(SIZE_HW, bool)
    area[50 - 20 : 50, 60 - 2 :] = True
    return area


def is_about(pixel: UInt8, colour: tuple[int, int, int]) -> bool:
    """Tell whether a pixel has a colour, but for the softening of lines."""
    return bool(np.abs(pixel.astype(int) - colour).max() <= 30)


def inner(bitmap: Bool) -> Bool:
    return cv2.erode(bitmap.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


@pytest.mark.parametrize("status", list(Status))
def test_only_masks_boxes_and_text_are_drawn_on(status: Status) -> None:
    touched = changed([status], reasons=[("iou.low",)])
    assert not (touched & ~disc() & ~near_box_lines() & ~text_above_box()).any()
    assert touched[52:88, 60].any() and touched[90, 62:98].any()  # its left and its lower side


def test_an_accepted_mask_is_filled_through_which_the_image_is_seen() -> None:
    drawn = overlay(image(), labels([Status.ACCEPTED]), NAMES)
    inside = inner(disc())
    shade = 0.7 + 0.3 * 0.618034
    expected = (1 - FILL) * image()[inside] + FILL * shade * np.array(class_rgb(CAR))
    np.testing.assert_allclose(drawn[inside], expected, atol=0.6)


def test_a_mask_for_review_has_a_yellow_edge_and_no_fill() -> None:
    drawn = overlay(image(), labels([Status.REVIEW]), NAMES)
    edge = disc() & ~inner(disc())
    assert (drawn[edge] == STATUS_RGB[Status.REVIEW]).all()
    np.testing.assert_array_equal(drawn[inner(disc())], image()[inner(disc())])
    assert is_about(drawn[70, 60], STATUS_RGB[Status.REVIEW])  # its box too


def test_reason_codes_are_not_drawn() -> None:
    with_reason = changed([Status.REVIEW], reasons=[("stability.low",)])
    np.testing.assert_array_equal(with_reason, changed([Status.REVIEW]))


def test_a_score_of_boxes_that_people_gave_is_not_drawn() -> None:
    given, found = (
        replace(one, instances=replace(one.instances, scores=np.array([score], np.float32)))
        for one, score in ((labels([Status.ACCEPTED]), 1.0), (labels([Status.ACCEPTED]), 0.99))
    )
    sizes = [int((overlay(image(), one, NAMES) != image()).sum()) for one in (given, found)]
    assert sizes[0] < sizes[1]


def test_statuses_differ_by_the_pattern_of_the_box_too() -> None:
    none = np.zeros(SIZE_HW, bool)
    drawn = [
        int(changed([status], bitmaps=[none])[52:88, 60].sum())
        for status in (Status.ACCEPTED, Status.REVIEW, Status.REJECTED)
    ]
    assert drawn[0] == 36 > drawn[1] > drawn[2] > 0


def test_the_legend_stands_where_there_is_room_and_something_to_tell() -> None:
    wide = (400, 1000)
    corner = np.s_[380:, :100]

    def touched(status: Status) -> bool:
        none = labels([status], bitmaps=[np.zeros(wide, bool)], size_hw=wide)
        return bool((overlay(image(wide), none, NAMES)[corner] != image(wide)[corner]).any())

    assert touched(Status.REVIEW) and touched(Status.REJECTED)
    assert not touched(Status.ACCEPTED)
    assert not changed([Status.REJECTED])[110:, :50].any(), "no room in a small picture"


def test_a_rejected_mask_has_a_red_box_without_fill_edge_or_text() -> None:
    drawn = overlay(image(), labels([Status.REJECTED], reasons=[("score.low",)]), NAMES)
    np.testing.assert_array_equal(drawn[disc()], image()[disc()])
    assert any(is_about(pixel, STATUS_RGB[Status.REJECTED]) for pixel in drawn[52:88, 60])
    assert not (changed([Status.REJECTED]) & ~near_box_lines()).any()


def test_an_accepted_box_lies_over_a_rejected_one_whatever_their_order() -> None:
    for statuses in ([Status.REJECTED, Status.ACCEPTED], [Status.ACCEPTED, Status.REJECTED]):
        drawn = overlay(image(), labels(statuses), NAMES)
        assert is_about(drawn[70, 60], STATUS_RGB[Status.ACCEPTED])


def test_classes_differ_in_colour() -> None:
    colours = {class_rgb(class_id) for class_id in range(1, 14)}
    assert len(colours) == 13
    other = overlay(image(), labels([Status.ACCEPTED], class_ids=[PERSON]), NAMES)
    assert (other != overlay(image(), labels([Status.ACCEPTED]), NAMES)).any()


def test_an_image_without_labels_stays_as_it_is_and_is_a_copy() -> None:
    pixels = image().copy()
    drawn = overlay(pixels, labels([]), NAMES)
    np.testing.assert_array_equal(drawn, pixels)
    assert not np.shares_memory(drawn, pixels)


@pytest.mark.parametrize("status", list(Status))
def test_drawing_does_not_change_the_image(status: Status) -> None:
    pixels = image().copy()
    overlay(pixels, labels([status]), NAMES)
    np.testing.assert_array_equal(pixels, image())


@pytest.mark.parametrize("status", list(Status))
def test_an_empty_mask_is_drawn_as_its_box_alone(status: Status) -> None:
    touched = changed([status], bitmaps=[np.zeros(SIZE_HW, bool)])
    assert touched[52:88, 60].any()
    assert not touched[disc()].any()


@pytest.mark.parametrize("status", list(Status))
def test_an_image_of_one_pixel_can_be_drawn_on(status: Status) -> None:
    tiny = labels([status], bitmaps=[np.ones((1, 1), bool)], boxes=[(0, 0, 1, 1)], size_hw=(1, 1))
    drawn = overlay(image((1, 1)), tiny, NAMES)
    assert drawn.shape == (1, 1, 3)
    assert drawn.dtype == np.uint8


@pytest.mark.parametrize("box", [(0, 0, 200, 120), (190, 0, 200, 40), (0, 80, 10, 120)])
def test_the_text_of_a_box_at_the_border_stays_in_the_image(
    box: tuple[float, float, float, float],
) -> None:
    none = np.zeros(SIZE_HW, bool)
    plain = changed([Status.REJECTED], bitmaps=[none], boxes=[box])
    written = changed([Status.REVIEW], bitmaps=[none], boxes=[box])
    free = (60.0, 50.0, 70.0, 90.0)
    whole = changed([Status.REVIEW], bitmaps=[none], boxes=[free])
    whole &= ~changed([Status.REJECTED], bitmaps=[none], boxes=[free])
    assert (written & ~plain).sum() > 0.8 * whole.sum()  # lines of the box hide some of it


def test_a_mask_at_the_border_has_an_edge_there_too() -> None:
    full = np.ones(SIZE_HW, bool)
    drawn = overlay(image(), labels([Status.REVIEW], bitmaps=[full]), NAMES)
    assert (drawn[-1] == STATUS_RGB[Status.REVIEW]).all()
    assert (drawn[:, 0] == STATUS_RGB[Status.REVIEW]).all()


def sweep(*rows: tuple[float, float, float]) -> Float32:
    points = np.array(rows, np.float32).reshape(-1, 3)
    points.setflags(write=False)
    return points


def point_labels(*states: PointState, class_id: int = CAR) -> PointLabels:
    column = np.array(states, np.uint8)
    labelled = column == PointState.LABELLED
    return PointLabels(
        states=column,
        class_ids=np.where(labelled, class_id, -1).astype(np.int32),
        instance_ids=labelled.astype(np.int32),
        trusts=np.where(labelled, 255, 0).astype(np.uint8),
    )


def lit(canvas: UInt8, colour: tuple[int, int, int]) -> list[tuple[int, int]]:
    """Return the (u, v) of all pixels of a colour, outside the legend."""
    found = np.argwhere((canvas == colour).all(axis=2))
    return [(int(u), int(v)) for v, u in found if v > 60 or u > 100]


@pytest.mark.parametrize(
    ("point", "uv"),
    [
        ((10, 0, 0), (300, 500)),  # 10 m ahead: 100 px up from the lower border
        ((10, 5, 0), (250, 500)),  # 5 m to the left: 50 px to the left
        ((10, -5, 0), (350, 500)),
        ((0.05, 0, 0), (300, 599)),
        ((60, 29.95, 0), (0, 0)),
        ((20, 0, -3), (300, 400)),  # the height does not matter
    ],
)
def test_a_point_lies_where_it_should(
    point: tuple[float, float, float], uv: tuple[int, int]
) -> None:
    canvas = birds_eye(sweep(point), point_labels(PointState.LABELLED), NAMES)
    assert canvas.shape == (600, 600, 3)
    u, v = uv
    assert canvas[v, u].tolist() == list(class_rgb(CAR))
    if uv != (0, 0):  # where the legend could hide it
        assert lit(canvas, class_rgb(CAR)) == [uv]


def test_with_cameras_all_round_the_car_stands_in_the_middle() -> None:
    points = sweep((10, 0, 0), (-10, 5, 0))
    labels = point_labels(PointState.LABELLED, PointState.LABELLED)
    canvas = birds_eye(points, labels, NAMES, all_round=True)
    assert sorted(lit(canvas, class_rgb(CAR))) == [(250, 400), (300, 200)]


def test_the_states_of_points_differ_in_colour() -> None:
    points = sweep((10, 2, 0), (10, 1, 0), (10, -1, 0))
    states = (PointState.UNKNOWN, PointState.BACKGROUND, PointState.LABELLED)
    canvas = birds_eye(points, point_labels(*states), NAMES)
    assert lit(canvas, POINT_RGB[PointState.UNKNOWN]) == [(280, 500)]
    assert lit(canvas, POINT_RGB[PointState.BACKGROUND]) == [(290, 500)]
    assert lit(canvas, class_rgb(CAR)) == [(310, 500)]


def test_each_point_keeps_its_own_colour_when_others_are_left_out() -> None:
    points = sweep((10, math.nan, 0), (-5, 0, 0), (10, 2, 0), (90, 0, 0), (10, -2, 0))
    unknown, background, labelled = PointState
    canvas = birds_eye(
        points, point_labels(labelled, unknown, background, background, labelled), NAMES
    )
    assert lit(canvas, POINT_RGB[background]) == [(280, 500)]
    assert lit(canvas, class_rgb(CAR)) == [(320, 500)]


def test_labelled_points_are_drawn_over_background_and_background_over_unknown() -> None:
    here = (10, 2, 0)
    unknown, background, labelled = PointState
    for states in [(labelled, background, unknown), (unknown, background, labelled)]:
        canvas = birds_eye(sweep(here, here, here), point_labels(*states), NAMES)
        assert canvas[500, 280].tolist() == list(class_rgb(CAR))
    canvas = birds_eye(sweep(here, here), point_labels(background, unknown), NAMES)
    assert canvas[500, 280].tolist() == list(POINT_RGB[background])


def test_the_first_class_of_an_ontology_may_have_id_zero() -> None:
    canvas = birds_eye(
        sweep((10, 2, 0)), point_labels(PointState.LABELLED, class_id=0), {0: "road"}
    )
    assert canvas[500, 280].tolist() == list(class_rgb(0))


def test_an_empty_sweep_shows_the_rings_alone() -> None:
    canvas = birds_eye(sweep(), point_labels(), NAMES)
    assert canvas.shape == (600, 600, 3)
    assert canvas[500, 300].max() > 12  # the ring of 10 m
    assert canvas[450, 300].tolist() == [12, 12, 12]
    assert canvas.max() <= 40


def test_points_that_are_far_behind_or_no_numbers_are_left_out() -> None:
    points = sweep(
        (math.nan, 0, 0),
        (10, math.nan, 0),
        (10, 0, math.inf),
        (-1, 0, 0),
        (0, 0, 0),
        (61, 0, 0),
        (10, 31, 0),
        (10, -31, 0),
        (3e38, 3e38, 0),
        (-3e38, -3e38, 0),
    )
    states = point_labels(*[PointState.LABELLED] * len(points))
    empty = birds_eye(sweep(), point_labels(), NAMES)
    canvas = birds_eye(points, states, NAMES)
    np.testing.assert_array_equal(canvas[60:], empty[60:])
    np.testing.assert_array_equal(canvas[:, 100:], empty[:, 100:])


def test_the_legend_names_the_classes_that_are_there() -> None:
    none = birds_eye(sweep((10, 2, 0)), point_labels(PointState.BACKGROUND), NAMES)
    one = birds_eye(sweep((10, 2, 0)), point_labels(PointState.LABELLED), NAMES)
    corner = np.s_[:30, :100]
    assert (one[corner] != none[corner]).any()
    assert any(is_about(pixel, class_rgb(CAR)) for pixel in one[corner].reshape(-1, 3))


def test_drawing_does_not_change_the_points() -> None:
    points = np.array([[10, 2, 0], [math.nan, 0, 0]], np.float32)
    before = points.copy()
    birds_eye(points, point_labels(PointState.LABELLED, PointState.UNKNOWN), NAMES)
    np.testing.assert_array_equal(points, before)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 7), SIZE_HW])
def test_files_decode_to_the_same_size_and_a_png_to_the_same_pixels(
    size_hw: tuple[int, int],
) -> None:
    pixels = image(size_hw)
    png = cv2.imdecode(np.frombuffer(to_png(pixels), np.uint8), cv2.IMREAD_COLOR)
    assert to_png(pixels)[:4] == b"\x89PNG"
    assert png is not None
    np.testing.assert_array_equal(png[..., ::-1], pixels)
    jpeg = cv2.imdecode(np.frombuffer(to_jpeg(pixels), np.uint8), cv2.IMREAD_COLOR)
    assert to_jpeg(pixels)[:2] == b"\xff\xd8"
    assert jpeg is not None
    assert jpeg.shape == pixels.shape


def test_red_stays_red_in_a_file() -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    decoded = cv2.imdecode(np.frombuffer(to_jpeg(red), np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    blue_green_red = decoded.reshape(-1, 3).mean(axis=0)
    assert blue_green_red[2] > 240 and blue_green_red[:2].max() < 15


def test_an_image_too_wide_for_a_jpeg_is_told() -> None:
    with pytest.raises(PerceptionError) as caught:
        to_jpeg(np.zeros((1, 70000, 3), np.uint8))
    assert caught.value.code == "image.unsupported"


@pytest.mark.parametrize(("side_px", "has_words"), [(21, False), (22, True)])
def test_a_box_lower_than_two_lines_has_no_words(side_px: int, has_words: bool) -> None:
    none = np.zeros(SIZE_HW, bool)
    touched = changed([Status.REVIEW], bitmaps=[none], boxes=[(60.0, 50.0, 70.0, 50.0 + side_px)])
    assert touched[:48].any() == has_words


def test_a_3d_box_is_drawn_from_above_where_it_is() -> None:
    # 20 m ahead, 5 m to the left, 4 m long and 2 m wide, along the car: 300 - 50 and 600 - 200 px.
    box = Cuboids(
        instance_ids=np.array([1], np.int32),
        centres_m=np.array([[20, 5, -1]], np.float32),
        sizes_lwh_m=np.array([[4, 2, 1.5]], np.float32),
        yaws_rad=np.zeros(1, np.float32),
        confidences=np.ones(1, np.float32),
    )
    states = point_labels(PointState.LABELLED)
    plain = birds_eye(sweep((20, 5, 0)), states, NAMES)
    drawn = (birds_eye(sweep((20, 5, 0)), states, NAMES, cuboids=box) != plain).any(axis=2)
    rows, columns = np.nonzero(drawn)
    found = [rows.min(), rows.max(), columns.min(), columns.max()]
    # A quarter of its length beyond either end goes the line that shows where it heads.
    np.testing.assert_allclose(found, [370, 430, 240, 260], atol=1)  # lines are softened
    assert drawn[371:399, 250].all(), "a line along it, as far as the point that has its colour"
    assert not drawn[390:410, 245:249].any(), "an outline"
    turned = replace(box, yaws_rad=np.array([math.pi / 2], np.float32))
    rows, columns = np.nonzero(
        (birds_eye(sweep((20, 5, 0)), states, NAMES, cuboids=turned) != plain).any(axis=2)
    )
    assert np.ptp(rows) == pytest.approx(20, abs=2) and np.ptp(columns) == pytest.approx(60, abs=2)
    # Of nuScenes y points ahead and x to the right: the same place is (-5, 20), along y.
    other = replace(turned, centres_m=np.array([[-5, 20, -1]], np.float32))
    again = birds_eye(sweep((20, 5, 0)), states, NAMES, cuboids=other, ahead=1)
    np.testing.assert_array_equal((again != plain).any(axis=2), drawn)
    far = replace(box, centres_m=np.array([[3e30, 0, 0]], np.float32))
    np.testing.assert_array_equal(birds_eye(sweep((20, 5, 0)), states, NAMES, cuboids=far), plain)
