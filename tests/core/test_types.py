import pickle
from typing import Any

import numpy as np
import pytest

from perception.core.errors import PerceptionError, RequestError, SampleError, ShapeError
from perception.core.types import (
    EMPTY_SCENE,
    Camera,
    Detections,
    Evidence,
    ImageStatistics,
    Instances,
    Lens,
    LogitCrops,
    Masks,
    Picture,
    PictureLabels,
    SampleLabels,
    Scene,
    Segments,
    Status,
)
from perception.runs.labels import NO_POINTS


def some_detections(n: int) -> Detections:
    corners = np.arange(4 * n, dtype=np.float32).reshape(n, 4)
    return Detections(
        boxes_xyxy=corners,
        scores=np.linspace(0, 1, n, dtype=np.float32),
        class_ids=np.arange(n, dtype=np.int32),
        class_names=("car", "person"),
    )


def some_segments(n: int) -> Segments:
    return Segments(
        masks=Masks(boxes_xyxy=np.zeros((n, 4), np.int32), counts=(b"",) * n, size_hw=(375, 1242)),
        predicted_ious=np.arange(n, dtype=np.float32),
        stabilities=np.ones(n, np.float32),
        logits=LogitCrops(
            cells_xyxy=np.zeros((n, 4), np.int32),
            data=tuple(bytes([row]) for row in range(n)),
            origins_xy=np.zeros((n, 2), np.float32),
            cells_per_px_xy=np.full((n, 2), 256 / 1242),
        ),
        wobbles=np.full(n, np.nan, np.float32),
        consensus_ious=np.full(n, np.nan, np.float32),
    )


def some_looks(n: int) -> ImageStatistics:
    return ImageStatistics(*(np.full(n, np.nan, np.float32) for _ in range(3)))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (np.array([True, False, True]), [0, 2]),
        (np.array([2, 0]), [2, 0]),
        (np.array([1, 1]), [1, 1]),
        (np.array([-1]), [2]),
        (slice(1, None), [1, 2]),
        (slice(0, 0), []),
        (np.zeros(3, bool), []),
        (np.zeros(0, np.int64), []),
    ],
)
def test_choosing_rows_takes_them_from_every_column_in_the_order_asked_for(
    rows: Any, expected: list[int]
) -> None:
    chosen = some_detections(3)[rows]
    assert isinstance(chosen, Detections)
    assert len(chosen) == len(expected)
    np.testing.assert_array_equal(chosen.class_ids, expected)
    np.testing.assert_array_equal(chosen.boxes_xyxy[:, 0], [4 * row for row in expected])
    assert chosen.boxes_xyxy.shape == (len(expected), 4)
    assert chosen.class_names == ("car", "person")  # shared by all rows: never sliced


def test_choosing_rows_reaches_containers_and_tuples_inside_a_container() -> None:
    chosen = some_segments(3)[np.array([2, 0])]
    assert chosen.logits.data == (b"\x02", b"\x00")
    assert chosen.logits.cells_per_px_xy.shape == (len(chosen), 2)
    assert len(chosen.masks) == 2
    assert chosen.masks.size_hw == (375, 1242)
    np.testing.assert_array_equal(chosen.predicted_ious, [2, 0])


def test_a_selection_made_for_another_container_is_refused() -> None:
    with pytest.raises(IndexError):
        some_detections(3)[np.array([True, False])]
    with pytest.raises(IndexError):
        some_detections(0)[np.array([0])]


@pytest.mark.parametrize("n", [0, 1, 3])
def test_columns_that_disagree_are_refused_with_every_count(n: int) -> None:
    good = some_detections(n)
    with pytest.raises(ShapeError, match=f"Detections .*'scores': {n + 1}") as caught:
        Detections(
            boxes_xyxy=good.boxes_xyxy,
            scores=np.zeros(n + 1, np.float32),
            class_ids=good.class_ids,
            class_names=good.class_names,
        )
    assert caught.value.code == "shape.invalid"


def test_arrays_are_read_only_and_the_callers_array_stays_writable() -> None:
    boxes = np.zeros((2, 4), np.float32)
    detections = Detections(
        boxes_xyxy=boxes,
        scores=np.zeros(2, np.float32),
        class_ids=np.zeros(2, np.int32),
        class_names=(),
    )
    with pytest.raises(ValueError, match="read-only"):
        detections.boxes_xyxy[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        detections[np.array([0])].boxes_xyxy[0, 0] = 1
    boxes[0, 0] = 5  # what the caller does with its own array is its own affair


def test_fields_cannot_be_replaced_in_place() -> None:
    with pytest.raises(AttributeError):
        some_detections(1).scores = np.zeros(1, np.float32)  # type: ignore[misc]


def test_a_picture_knows_its_size_as_height_then_width_and_protects_its_pixels() -> None:
    picture = Picture("image_2", "image_2/000000.png", np.zeros((375, 1242, 3), np.uint8))
    assert picture.size_hw == (375, 1242)
    with pytest.raises(ValueError, match="read-only"):
        picture.image_rgb[0, 0] = 255


def test_a_camera_with_a_3x4_projection_in_place_of_intrinsics_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"Camera front: K \(3, 4\)"):
        Camera("front", np.zeros((3, 4)), np.eye(4))
    with pytest.raises(ShapeError, match=r"T_cam_from_lidar \(3, 4\)"):
        Camera("front", np.eye(3), np.zeros((3, 4)))


@pytest.mark.parametrize(
    ("lens", "count"), [(Lens.PINHOLE, 5), (Lens.RADTAN, 0), (Lens.RADTAN, 6), (Lens.FISHEYE, 5)]
)
def test_a_lens_with_the_wrong_number_of_coefficients_is_refused(lens: Lens, count: int) -> None:
    with pytest.raises(ShapeError, match=rf"distortion \({count},\).* coefficients of a {lens}"):
        Camera("front", np.eye(3), np.eye(4), lens, np.zeros(count))


def test_two_cameras_of_one_name_are_refused() -> None:
    cameras = (Camera("front", np.eye(3), np.eye(4)), Camera("front", np.eye(3), np.eye(4)))
    with pytest.raises(ShapeError, match="two cameras of one name"):
        Scene(cameras=cameras, points_lidar=np.zeros((0, 3), np.float32))


@pytest.mark.parametrize("shape", [(0,), (5,), (5, 4), (1, 5, 3)])
def test_points_with_reflectance_still_attached_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"expected \(P, 3\)"):
        Scene(cameras=(), points_lidar=np.zeros(shape, np.float32))


def test_the_empty_scene_has_no_cameras_and_no_points() -> None:
    assert EMPTY_SCENE.cameras == ()
    assert EMPTY_SCENE.points_lidar.shape == (0, 3)


@pytest.mark.parametrize(("boxes", "answers"), [(1, 0), (0, 1), (3, 2)])
def test_evidence_with_a_box_that_has_no_answer_is_refused(boxes: int, answers: int) -> None:
    with pytest.raises(ShapeError, match=f"a.png: {boxes} boxes, {answers} answers"):
        Evidence(
            "",
            "a.png",
            (375, 1242),
            some_detections(boxes),
            some_segments(answers),
            some_looks(answers),
            (),
        )


def test_evidence_without_objects_is_evidence_too() -> None:
    nothing = Evidence(
        "", "a.png", (375, 1242), some_detections(0), some_segments(0), some_looks(0), ()
    )
    assert len(nothing.detections) == len(nothing.segments) == 0


@pytest.mark.parametrize(
    "error",
    [
        PerceptionError("a.b", "what"),
        RequestError("config.invalid", "x.yaml: observe: extra"),
        SampleError("rle.invalid", "run 3 is negative"),
        ShapeError("fields disagree"),
    ],
)
def test_an_error_keeps_its_code_and_message_across_a_process_border(
    error: PerceptionError,
) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (copy.code, copy.message, str(copy)) == (error.code, error.message, str(error))


def test_containers_cross_a_process_border_whole() -> None:
    copy = pickle.loads(pickle.dumps(some_segments(2)))
    assert copy.logits.data == (b"\x00", b"\x01")
    np.testing.assert_array_equal(copy.predicted_ious, [0, 1])


@pytest.mark.parametrize("n", [0, 1, 3])
def test_blank_instances_claim_nothing(n: int) -> None:
    rows = Instances.blank(n, (4, 6))
    assert len(rows) == n and rows.masks.size_hw == (4, 6)
    assert (rows.statuses == Status.REJECTED).all() and not rows.by_human.any()
    assert rows.reasons == ((),) * n and rows.masks.counts == (b"",) * n
    assert np.isnan(rows.trusts).all() and np.isnan(rows.signals.brightness).all()


def test_one_row_is_asked_for_by_its_number_and_containers_say_how_many_they_hold() -> None:
    three = Instances.blank(3, (4, 6))
    assert len(three[0]) == len(three[-1]) == len(three.masks[1]) == 1
    with pytest.raises(IndexError):
        three[3]
    assert (repr(three), repr(three[0])) == ("Instances(3 rows)", "Instances(1 row)")
    picture = Picture("front", "a.png", np.zeros((40, 60, 3), np.uint8))
    labels = SampleLabels("a", (PictureLabels("front", "a.png", (4, 6), three, ()),), NO_POINTS)
    assert "array" not in repr(picture) + repr(labels) and len(repr(labels)) < 400
