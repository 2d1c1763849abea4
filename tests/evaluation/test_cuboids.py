import numpy as np
import pytest

from perception.core.types import Cuboids, no_cuboids
from perception.evaluation.cuboids import bev_iou, count_cuboids, cuboid_table
from perception.evaluation.truth import TruePoints, Vocabulary

CARS = Vocabulary({6: "car"}, {6: 6})


def box(
    x: float, y: float, length: float, width: float, yaw: float = 0.0, number: int = 1
) -> Cuboids:
    return Cuboids(
        instance_ids=np.array([number], np.int32),
        centres_m=np.array([[x, y, 0]], np.float32),
        sizes_lwh_m=np.array([[length, width, 1.5]], np.float32),
        yaws_rad=np.array([yaw], np.float32),
        confidences=np.ones(1, np.float32),
    )


@pytest.mark.parametrize(
    ("other", "iou"),
    [
        (box(10, 5, 4, 2), 1),
        (box(10, 5, 4, 2, np.pi), 1),  # front and back look alike
        (box(12, 5, 4, 2), 1 / 3),  # half of it: 4 of 12 square metres
        (box(10, 5, 2, 4, np.pi / 2), 1),  # the same rectangle
        (box(10, 5, 4, 2, np.pi / 2), 1 / 3),  # across: a square of 2 m in common
        (box(20, 5, 4, 2), 0),
        (box(10, 5, 0, 0), 0),
    ],
)
def test_boxes_overlap_from_above(other: Cuboids, iou: float) -> None:
    assert bev_iou(box(10, 5, 4, 2), 0, other, 0) == pytest.approx(iou, abs=1e-5)


def test_objects_with_points_and_a_prompt_are_judged() -> None:
    # Object 1 has ten points and a box that half fits, 2 no box, 3 nine points, 4 no prompt.
    ids = np.repeat([1, 2, 3, 4, 0], [10, 10, 9, 10, 5]).astype(np.int32)
    everywhere = np.ones(len(ids), bool)
    points = TruePoints(np.where(ids > 0, 6, 0).astype(np.int32), ids, everywhere, has_seen=True)
    true = [box(10, 5, 4, 2, number=number) for number in (1, 2, 3, 4)]
    joined = Cuboids(
        *(
            np.concatenate([getattr(one, name) for one in true])
            for name in ("instance_ids", "centres_m", "sizes_lwh_m", "yaws_rad", "confidences")
        )
    )
    links = {1: frozenset({7}), 2: frozenset({8}), 3: frozenset({9})}
    found = count_cuboids(box(12, 5, 4, 2, number=7), joined, points, links)
    assert found.class_ids.tolist() == [6, 6]
    assert found.ious.tolist() == pytest.approx([1 / 3, 0])
    table = cuboid_table([(0, found)], CARS, np.zeros((0, 1), np.int64))
    assert table is not None and [name for name, _ in table.rows] == ["all", "car"]
    assert [figure.value for figure in table.rows[0][1]] == pytest.approx([1 / 6, 0, 0])
    nothing = count_cuboids(no_cuboids(), no_cuboids(), points, links)
    assert cuboid_table([(0, nothing)], CARS, np.zeros((0, 1), np.int64)) is None
