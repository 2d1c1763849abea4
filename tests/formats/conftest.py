"""Builders of labels for the tests of the formats."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from perception.core import masks as rle
from perception.core.ontology import Target
from perception.core.types import (
    Instances,
    PictureLabels,
    PointLabels,
    PointState,
    SampleLabels,
    Status,
    unknown_signals,
)

Build = Callable[..., PictureLabels]


def build_picture(
    bitmaps: Sequence[np.ndarray] = (),
    class_ids: Sequence[int] = (),
    statuses: Sequence[Status] = (),
    *,
    file_name: str = "a.png",
    size_hw: tuple[int, int] = (20, 30),
    first_id: int = 1,
) -> PictureLabels:
    n = len(bitmaps)
    masks = rle.join(tuple(rle.encode_one(np.asarray(bitmap, bool)) for bitmap in bitmaps), size_hw)
    instances = Instances(
        instance_ids=np.arange(first_id, first_id + n, dtype=np.int32),
        prompt_ids=np.arange(first_id, first_id + n, dtype=np.int32),
        class_ids=np.array(class_ids or [6] * n, np.int32),
        statuses=np.array(statuses or [Status.ACCEPTED] * n, np.uint8),
        reasons=((),) * n,
        scores=np.linspace(0.9, 0.5, n).astype(np.float32),
        predicted_ious=np.full(n, 0.8, np.float32),
        stabilities=np.full(n, 0.9, np.float32),
        box_ious=np.full(n, 0.7, np.float32),
        outside_shares=np.zeros(n, np.float32),
        boxes_xyxy=masks.boxes_xyxy.astype(np.float32),
        masks=masks,
        signals=unknown_signals(n),
        trusts=np.full(n, np.nan, np.float32),
        by_human=np.zeros(n, bool),
    )
    return PictureLabels("front", file_name, size_hw, instances, ())


def build_sample(
    *pictures: PictureLabels,
    id: str = "s1",
    point_instances: Sequence[int] = (),
    point_classes: Sequence[int] = (),
    states: Sequence[int] = (),
) -> SampleLabels:
    ids = np.array(point_instances, np.int32)
    labelled = np.where(ids > 0, PointState.LABELLED, PointState.BACKGROUND)
    points = PointLabels(
        states=np.array(states, np.uint8) if len(states) else labelled.astype(np.uint8),
        class_ids=np.array(point_classes, np.int32),
        instance_ids=ids,
        trusts=np.where(labelled, 7 * np.arange(len(ids)) % 256, 0).astype(np.uint8),
    )
    return SampleLabels(id, pictures, points)


@pytest.fixture(scope="session")
def picture() -> Build:
    return build_picture


@pytest.fixture(scope="session")
def sample() -> Callable[..., SampleLabels]:
    return build_sample


@pytest.fixture(scope="session")
def target() -> Target:
    """Person 24 and car 26, like Cityscapes; vans are cars; class 13 is missing."""
    return Target(ids={1: 24, 6: 26, 7: 26}, names={24: "person", 26: "car"})


@pytest.fixture(scope="session")
def block() -> Callable[..., np.ndarray]:
    def build(
        x0: int, y0: int, x1: int, y1: int, size_hw: tuple[int, int] = (20, 30)
    ) -> np.ndarray:
        bitmap = np.zeros(size_hw, bool)
        bitmap[y0:y1, x0:x1] = True
        return bitmap

    return build
