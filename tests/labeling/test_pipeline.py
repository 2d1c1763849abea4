"""The whole story without weights: bright blocks on dark pictures are cars."""

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest

from perception.core import masks as masks_
from perception.core.config import DecideConfig, JudgeConfig
from perception.core.errors import SampleError, ShapeError
from perception.core.geometry import rigid
from perception.core.ontology import ClassMap, load_class_map, load_ontology
from perception.core.types import (
    EMPTY_SCENE,
    Bool,
    Camera,
    Detections,
    Evidence,
    Float32,
    Picture,
    PointState,
    Sample,
    SampleLabels,
    Scene,
    Segments,
    Status,
    UInt8,
)
from perception.labeling.pipeline import Models, Rules, decide, label_sample, observe
from perception.models.fakes import BoxFiller, BrightDetector, segments_of
from perception.models.protocols import Detector, Segmenter

SIZE_HW = (80, 100)
ROAD = load_ontology()
COCO = load_class_map("coco80-to-road")
RULES = Rules(DecideConfig(), ROAD, COCO)
FAKES = Models(BrightDetector(), BoxFiller())
Row = tuple[str, tuple[float, float, float, float], float]


def drawn(*blocks: tuple[int, int, int, int], camera: str = "front", level: int = 255) -> Picture:
    image = np.full((*SIZE_HW, 3), 30, np.uint8)
    for x0, y0, x1, y1 in blocks:
        image[y0:y1, x0:x1] = level
    return Picture(camera, f"{camera}/a.png", image)


def sample_of(*pictures: Picture, scene: Scene = EMPTY_SCENE) -> Sample:
    return Sample("s", pictures, scene)


class Given:
    """A detector that answers with the same rows for every picture."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.class_names = tuple(dict.fromkeys(name for name, _, _ in rows))
        self.raw = np.array([box for _, box, _ in rows], np.float32).reshape(-1, 4)
        self._answer = Detections(
            boxes_xyxy=self.raw,
            scores=np.array([score for _, _, score in rows], np.float32),
            class_ids=np.array([self.class_names.index(name) for name, _, _ in rows], np.int32),
            class_names=self.class_names,
        )

    def __call__(self, picture: Picture) -> Detections:
        return self._answer


def with_rows(rows: Sequence[Row], segmenter: Segmenter | None = None) -> Models:
    return Models(Given(rows), segmenter or BoxFiller())


def rules(min_score: float = 0.25, class_map: ClassMap = COCO) -> Rules:
    return Rules(DecideConfig(judge=JudgeConfig(min_score=min_score)), ROAD, class_map)


def masks_at(labels: SampleLabels, picture: int) -> Bool:
    return masks_.decode(labels.pictures[picture].instances.masks)


def test_bright_blocks_become_accepted_cars_with_their_pixels() -> None:
    picture = drawn((10, 20, 30, 40), (50, 20, 70, 40))
    labels = label_sample(sample_of(picture), FAKES, RULES)
    assert labels.id == "s"
    (found,) = labels.pictures
    assert (found.camera, found.file_name, found.size_hw) == ("front", "front/a.png", SIZE_HW)
    instances = found.instances
    assert instances.instance_ids.tolist() == [1, 2]
    assert instances.class_ids.tolist() == [ROAD.id_of("car")] * 2
    assert instances.statuses.tolist() == [Status.ACCEPTED] * 2
    assert instances.reasons == ((), ())
    np.testing.assert_array_equal(instances.boxes_xyxy, [[10, 20, 30, 40], [50, 20, 70, 40]])
    bright = picture.image_rgb[..., 0] == 255
    np.testing.assert_array_equal(masks_at(labels, 0).any(axis=0), bright)
    assert len(labels.points) == 0


def test_a_label_says_what_the_pixels_the_other_boxes_and_a_second_model_say_of_it() -> None:
    blocks = ((10, 20, 30, 40), (30, 20, 50, 40), (70, 20, 90, 40))
    boxes = [(10, 20, 30, 40), (20, 20, 40, 40), (70, 20, 90, 40)]
    rows: list[Row] = [("car", box, 0.9) for box in boxes]
    models = Models(Given(rows), BoxFiller(), Spoilt(drawn(blocks[0]).image_rgb[..., 0] == 255))
    (found,) = label_sample(sample_of(drawn(*blocks)), models, RULES).pictures
    signals = found.instances.signals
    # 10 of 30 columns are in both; the other car is alone.
    np.testing.assert_allclose(signals.crowding, [1 / 3, 1 / 3, 0], rtol=1e-6)
    np.testing.assert_allclose(signals.second_ious, [1, 1 / 3, 0], rtol=1e-6)
    np.testing.assert_allclose(signals.brightness, [1, 1, 1], rtol=1e-6)
    assert signals.contrasts[2] == pytest.approx((255 - 30) / 255)


def test_to_label_is_to_decide_over_what_was_observed() -> None:
    sample = sample_of(drawn((10, 20, 30, 40)), drawn((5, 5, 25, 25), camera="rear"))
    at_once = label_sample(sample, FAKES, RULES)
    later = decide(sample.id, observe(sample.pictures, FAKES), sample.scene, RULES)
    assert at_once.id == later.id
    for one, other in zip(at_once.pictures, later.pictures, strict=True):
        for name in ("instance_ids", "class_ids", "statuses", "scores", "boxes_xyxy"):
            np.testing.assert_array_equal(
                getattr(one.instances, name), getattr(other.instances, name)
            )
        assert one.instances.masks.counts == other.instances.masks.counts
        assert one.instances.reasons == other.instances.reasons


def test_boxes_that_cannot_prompt_are_dropped_and_counted_and_the_others_are_kept() -> None:
    rows: list[Row] = [
        ("car", (10, 10, 30, 30), 0.9),
        ("car", (math.nan, 10, 30, 30), 0.9),
        ("car", (30, 10, 10, 30), 0.9),
        ("car", (500, 10, 600, 30), 0.9),
        ("car", (10, 10, 10.5, 30), 0.9),
        ("bus", (-20, 40, 30, 200), 0.8),
    ]
    (seen,) = observe(sample_of(drawn()).pictures, with_rows(rows))
    assert seen.dropped == (
        ("box.inverted", 1),
        ("box.nan", 1),
        ("box.outside_image", 1),
        ("box.too_small", 1),
    )
    np.testing.assert_array_equal(seen.detections.boxes_xyxy, [[10, 10, 30, 30], [0, 40, 30, 80]])
    np.testing.assert_allclose(seen.detections.scores, [0.9, 0.8])
    assert len(seen.segments) == 2
    labels = decide("s", (seen,), EMPTY_SCENE, RULES)
    assert [ROAD.by_id(int(i)).name for i in labels.pictures[0].instances.class_ids] == [
        "car",
        "bus",
    ]


def test_the_boxes_and_the_image_of_the_caller_are_unchanged() -> None:
    models = with_rows([("car", (-20, -20, 30, 30), 0.9), ("car", (math.nan, 1, 2, 3), 0.9)])
    raw = cast(Given, models.detector).raw
    boxes, image = raw.copy(), np.full((*SIZE_HW, 3), 30, np.uint8)
    picture = Picture("front", "a.png", image)
    label_sample(sample_of(picture), models, RULES)
    np.testing.assert_array_equal(raw, boxes)
    assert (image == 30).all()


def test_an_image_without_objects_has_empty_evidence_and_empty_labels() -> None:
    (seen,) = observe(sample_of(drawn()).pictures, FAKES)
    assert (len(seen.detections), len(seen.segments), seen.dropped) == (0, 0, ())
    (found,) = decide("s", (seen,), EMPTY_SCENE, RULES).pictures
    assert len(found.instances) == 0
    assert found.ignored == ()
    assert found.size_hw == found.instances.masks.size_hw == SIZE_HW


def test_a_sample_without_pictures_has_labels_for_none() -> None:
    points = np.array([[10, 0, 0], [math.nan, 0, 0]], np.float32)
    labels = label_sample(sample_of(scene=Scene((), points)), FAKES, RULES)
    assert labels.pictures == ()
    assert labels.points.states.tolist() == [PointState.UNKNOWN] * 2


def test_ids_count_the_prompt_boxes_over_all_pictures_of_the_sample() -> None:
    left = drawn((10, 10, 20, 20), (40, 10, 50, 20), camera="left")
    none = drawn(camera="middle")
    right = drawn((10, 10, 20, 20), (40, 10, 50, 20), (70, 10, 80, 20), camera="right")
    labels = label_sample(sample_of(left, none, right), FAKES, RULES)
    ids = [picture.instances.instance_ids.tolist() for picture in labels.pictures]
    assert ids == [[1, 2], [], [3, 4, 5]]


def test_an_id_outlives_every_threshold_and_every_ignored_neighbour() -> None:
    rows: list[Row] = [
        ("dog", (0, 0, 10, 10), 0.9),
        ("car", (10, 10, 30, 30), 0.3),
        ("bench", (0, 60, 10, 70), 0.9),
        ("car", (50, 10, 70, 30), 0.9),
    ]
    sample = sample_of(drawn(), drawn(camera="rear"))
    evidence = observe(sample.pictures, with_rows(rows))
    for min_score in (0.2, 0.5, 0.95):
        labels = decide("s", evidence, EMPTY_SCENE, rules(min_score))
        ids = [picture.instances.instance_ids.tolist() for picture in labels.pictures]
        assert ids == [[2, 4], [6, 8]]


def test_a_higher_threshold_rejects_but_keeps_the_row() -> None:
    evidence = observe(sample_of(drawn()).pictures, with_rows([("car", (10, 10, 30, 30), 0.3)]))
    found = decide("s", evidence, EMPTY_SCENE, rules(0.5)).pictures[0].instances
    assert found.statuses.tolist() == [Status.REJECTED]
    assert found.reasons == (("score.low",),)


def test_objects_of_ignored_classes_are_counted_by_name_not_labelled() -> None:
    rows: list[Row] = [
        ("dog", (0, 0, 10, 10), 0.9),
        ("car", (10, 10, 30, 30), 0.9),
        ("bench", (0, 60, 10, 70), 0.9),
        ("dog", (50, 10, 70, 30), 0.9),
    ]
    (found,) = label_sample(sample_of(drawn()), with_rows(rows), RULES).pictures
    assert found.ignored == (("bench", 1), ("dog", 2))
    np.testing.assert_array_equal(found.instances.boxes_xyxy, [[10, 10, 30, 30]])


def test_an_image_of_ignored_classes_only_has_no_instances() -> None:
    (found,) = label_sample(
        sample_of(drawn()), with_rows([("dog", (0, 0, 10, 10), 0.9)]), RULES
    ).pictures
    assert (len(found.instances), found.ignored) == (0, (("dog", 1),))


def test_a_class_that_is_neither_mapped_nor_ignored_is_an_error_that_names_it() -> None:
    evidence = observe(sample_of(drawn()).pictures, with_rows([("unicorn", (0, 0, 10, 10), 0.9)]))
    with pytest.raises(SampleError, match="'unicorn'") as caught:
        decide("s", evidence, EMPTY_SCENE, RULES)
    assert caught.value.code == "class.unknown"


def test_a_class_that_is_only_in_the_list_of_names_is_no_error() -> None:
    rows: list[Row] = [("car", (10, 10, 30, 30), 0.9), ("unicorn", (math.nan, 0, 0, 0), 0.9)]
    (found,) = label_sample(sample_of(drawn()), with_rows(rows), RULES).pictures
    assert len(found.instances) == 1


def test_names_of_the_source_are_mapped_to_the_classes_of_the_run() -> None:
    rows: list[Row] = [("Tram", (10, 10, 30, 30), 1), ("Pedestrian", (60, 10, 70, 30), 1)]
    mapped = rules(class_map=load_class_map("kitti-to-road"))
    (found,) = label_sample(sample_of(drawn()), with_rows(rows), mapped).pictures
    names = [ROAD.by_id(int(i)).name for i in found.instances.class_ids]
    assert names == ["train", "person"]


def test_every_pixel_has_one_owner_the_better_one() -> None:
    rows: list[Row] = [
        ("car", (10, 10, 40, 40), 0.5),
        ("person", (20, 20, 60, 60), 0.9),
        ("bus", (0, 30, 100, 80), 0.7),
    ]
    labels = label_sample(sample_of(drawn()), with_rows(rows), RULES)
    bitmaps = masks_at(labels, 0)
    assert bitmaps.sum(axis=0).max() == 1
    assert bitmaps[1].sum() == 40 * 40  # the person
    assert bitmaps[2].sum() == 100 * 50 - 40 * 30
    assert bitmaps[0].sum() == 30 * 30 - 20 * 20 - 10 * 10  # without the person, and the bus's rest


def test_what_is_rejected_takes_no_pixel_from_what_is_accepted() -> None:
    rows: list[Row] = [("car", (10, 10, 40, 40), 0.9), ("person", (20, 20, 60, 60), 0.1)]
    bitmaps = masks_at(label_sample(sample_of(drawn()), with_rows(rows), RULES), 0)
    assert bitmaps[0].sum() == 30 * 30


def test_a_person_on_a_bicycle_is_one_bicyclist_in_the_labels() -> None:
    rows: list[Row] = [("bicycle", (20, 30, 50, 50), 0.9), ("person", (28, 10, 42, 44), 0.8)]
    labels = label_sample(sample_of(drawn()), with_rows(rows), RULES)
    instances = labels.pictures[0].instances
    assert ROAD.by_id(int(instances.class_ids[1])).name == "bicyclist"
    assert instances.statuses.tolist() == [Status.REJECTED, Status.ACCEPTED]
    assert instances.reasons == (("part_of.2",), ())
    assert masks_at(labels, 0).sum(axis=(1, 2)).tolist() == [0, 30 * 20 + 14 * 20]


def test_what_lost_most_of_its_pixels_to_better_ones_is_for_review() -> None:
    rows: list[Row] = [("person", (20, 20, 60, 60), 0.9), ("car", (20, 20, 60, 75), 0.5)]
    labels = label_sample(sample_of(drawn()), with_rows(rows), RULES)
    instances = labels.pictures[0].instances
    assert instances.statuses.tolist() == [Status.ACCEPTED, Status.REVIEW]
    assert instances.reasons == ((), ("mask.contested",))
    assert masks_at(labels, 0).sum(axis=(1, 2)).tolist() == [40 * 40, 40 * 15]


def test_a_duplicate_is_rejected_before_pixels_are_shared_out() -> None:
    rows: list[Row] = [("truck", (10, 10, 40, 40), 0.6), ("car", (10, 10, 40, 41), 0.9)]
    labels = label_sample(sample_of(drawn()), with_rows(rows), RULES)
    instances = labels.pictures[0].instances
    assert instances.statuses.tolist() == [Status.REJECTED, Status.ACCEPTED]
    assert instances.reasons == (("duplicate_of.2",), ())
    assert masks_at(labels, 0)[1].sum() == 30 * 31


class Spoilt:
    """A segmenter that answers with one bitmap, whatever the box."""

    def __init__(self, bitmap: Bool) -> None:
        self._bitmap = bitmap

    def __call__(self, image_rgb: UInt8, boxes_xyxy: Float32) -> Segments:
        return segments_of([self._bitmap] * len(boxes_xyxy), SIZE_HW)


@pytest.mark.parametrize("bitmap", [np.zeros(SIZE_HW, bool), np.ones(SIZE_HW, bool)])
def test_an_empty_or_full_frame_mask_is_not_a_good_label(bitmap: Bool) -> None:
    models = with_rows([("car", (10, 10, 30, 30), 0.9)], Spoilt(bitmap))
    (found,) = label_sample(sample_of(drawn()), models, RULES).pictures
    assert found.instances.statuses.tolist() == [Status.REJECTED]


def test_a_mask_of_everything_owns_no_pixel_and_no_point() -> None:
    models = with_rows([("car", (10, 10, 30, 30), 0.9)], Spoilt(np.ones(SIZE_HW, bool)))
    sample = sample_of(drawn(camera="front"), scene=Scene((FRONT,), POINTS))
    labels = label_sample(sample, models, RULES)
    assert masks_at(labels, 0).sum() == 0
    assert labels.points.states[0] == PointState.BACKGROUND


def test_duplicates_are_found_before_riders_are_joined() -> None:
    # One machine detected twice: were the person joined to the worse box first, the better box
    # would then make a duplicate of the rider.
    rows: list[Row] = [
        ("bicycle", (20, 30, 50, 50), 0.9),
        ("motorcycle", (20, 30, 50, 49), 0.4),
        ("person", (28, 10, 42, 44), 0.3),
    ]
    instances = label_sample(sample_of(drawn()), with_rows(rows), RULES).pictures[0].instances
    assert instances.reasons == (("part_of.3",), ("duplicate_of.1",), ())
    assert ROAD.by_id(int(instances.class_ids[2])).name == "bicyclist"


def test_a_segmenter_that_answers_to_fewer_boxes_is_caught() -> None:
    class Short:
        def __call__(self, image_rgb: UInt8, boxes_xyxy: Float32) -> Segments:
            return segments_of([], SIZE_HW)

    models = with_rows([("car", (10, 10, 30, 30), 0.9)], Short())
    with pytest.raises(ShapeError, match="1 boxes, 0 answers"):
        observe(sample_of(drawn()).pictures, models)


K = np.array([[100, 0, 50], [0, 100, 40], [0, 0, 1.0]])
R_CAM_FROM_LIDAR = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0.0]])
R_REAR_FROM_FRONT = np.diag([-1.0, 1, -1])
FRONT = Camera("front", K, rigid(R_CAM_FROM_LIDAR, np.zeros(3)))
REAR = Camera("rear", K, rigid(R_REAR_FROM_FRONT @ R_CAM_FROM_LIDAR, np.zeros(3)))
# 10 m ahead lands at (50, 40) in front, 10 m behind at (50, 40) in the rear.
POINTS = np.array([[10, 0, 0], [-10, 0, 0], [10, 4, 0], [0, 10, 0], [np.nan, 0, 0]], np.float32)


def test_points_take_the_instance_of_the_camera_that_sees_them() -> None:
    front = drawn((40, 30, 60, 50), camera="front")
    rear = drawn((0, 0, 9, 9), (40, 30, 60, 50), camera="rear")
    # The cameras are matched by name: their order in the scene is another than the pictures'.
    sample = sample_of(front, rear, scene=Scene((REAR, FRONT), POINTS))
    points = label_sample(sample, FAKES, RULES).points
    labelled, background = PointState.LABELLED, PointState.BACKGROUND
    assert points.states.tolist() == [labelled, labelled, background, 0, 0]
    assert points.instance_ids.tolist() == [1, 3, 0, 0, 0]
    car = ROAD.id_of("car")
    assert points.class_ids.tolist() == [car, car, -1, -1, -1]


def test_two_cameras_that_see_one_object_give_it_one_instance() -> None:
    beside = Camera("beside", FRONT.K, FRONT.T_cam_from_lidar)
    both = sample_of(
        drawn((40, 30, 60, 50), camera="front"),
        drawn((0, 0, 9, 9), (40, 30, 60, 50), camera="beside"),
        scene=Scene((FRONT, beside), POINTS),
    )
    labels = label_sample(both, FAKES, RULES)
    assert [p.instances.instance_ids.tolist() for p in labels.pictures] == [[1], [2, 1]]
    assert set(labels.points.instance_ids.tolist()) == {0, 1}


def test_points_against_a_mask_send_it_to_review() -> None:
    # A person 2 m tall at 10 m; the points under the mask are all at 40 m.
    x, y = np.meshgrid([40.0], np.linspace(-0.5, 0.5, 9))
    far = np.column_stack([x.ravel(), y.ravel(), np.full(x.size, -1.0)]).astype(np.float32)
    models = with_rows([("person", (40.0, 30.0, 60.0, 50.0), 0.9)])
    sample = sample_of(drawn(camera="front"), scene=Scene((FRONT,), far))
    labels = label_sample(sample, models, RULES)
    assert labels.pictures[0].instances.reasons == (("points.behind",),)
    assert labels.pictures[0].instances.statuses.tolist() == [Status.REVIEW]


def test_a_class_without_known_sizes_may_be_of_any_size() -> None:
    # A gantry of signals 8 m tall at 40 m. The road ontology gives traffic lights no sizes.
    y, z = np.meshgrid([-2.0, 0.0, 2.0], np.linspace(-3, 3, 9))
    far = np.column_stack([np.full(y.size, 40.0), y.ravel(), z.ravel()]).astype(np.float32)
    models = with_rows([("traffic light", (40.0, 30.0, 60.0, 50.0), 0.9)])
    labels = label_sample(sample_of(drawn(), scene=Scene((FRONT,), far)), models, RULES)
    assert labels.pictures[0].instances.reasons == ((),)
    assert labels.points.states.tolist() == [PointState.LABELLED] * len(far)


def test_a_picture_without_calibration_gets_labels_and_labels_no_points() -> None:
    sample = sample_of(drawn((40, 30, 60, 50)), scene=Scene((), POINTS))
    labels = label_sample(sample, FAKES, RULES)
    assert len(labels.pictures[0].instances) == 1
    assert labels.points.states.tolist() == [PointState.UNKNOWN] * 5


def test_a_camera_without_a_picture_says_nothing_of_the_points() -> None:
    sample = sample_of(drawn((40, 30, 60, 50)), scene=Scene((FRONT, REAR), POINTS))
    states = label_sample(sample, FAKES, RULES).points.states
    assert states.tolist() == [PointState.LABELLED, 0, PointState.BACKGROUND, 0, 0]


def test_a_picture_whose_camera_is_not_calibrated_labels_no_points() -> None:
    sample = sample_of(drawn((40, 30, 60, 50)), scene=Scene((REAR,), POINTS))
    labels = label_sample(sample, FAKES, RULES)
    assert len(labels.pictures[0].instances) == 1
    assert labels.points.states.tolist() == [PointState.UNKNOWN] * 5


def test_points_behind_every_camera_are_all_unknown() -> None:
    points = np.array([[-5, 0, 0], [0, 0, 0], [10, 90, 0]], np.float32)
    sample = sample_of(drawn((40, 30, 60, 50)), scene=Scene((FRONT,), points))
    labels = label_sample(sample, FAKES, RULES).points
    assert labels.states.tolist() == [0, 0, 0]
    assert labels.instance_ids.tolist() == [0, 0, 0]


def test_no_evidence_decides_to_no_pictures() -> None:
    evidence: tuple[Evidence, ...] = ()
    labels = decide("s", evidence, EMPTY_SCENE, RULES)
    assert (labels.pictures, len(labels.points)) == ((), 0)


def test_the_fakes_are_models() -> None:
    detector: Detector = BrightDetector()
    segmenter: Segmenter = BoxFiller()
    assert isinstance(Models(detector, segmenter), Models)
