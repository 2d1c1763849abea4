"""Labels and truth made by hand, and small random worlds in which every rule has work to do."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from perception.core import masks as masks_
from perception.core.ontology import load_ontology
from perception.core.types import (
    Bool,
    Instances,
    Masks,
    PictureLabels,
    PointLabels,
    PointState,
    SampleLabels,
    Status,
    unknown_signals,
)
from perception.evaluation import TruePicture, TruePoints, Truth
from perception.evaluation.truth import vocabulary_of

SIZE_HW = (60, 80)
PERSON, CAR, VAN, TRUCK = 1, 6, 7, 8
Box = tuple[int, int, int, int]
ROAD = load_ontology()


def bitmap(box: Box, size_hw: tuple[int, int] = SIZE_HW) -> Bool:
    x0, y0, x1, y1 = box
    pixels = np.zeros(size_hw, bool)
    pixels[y0:y1, x0:x1] = True
    return pixels


def encode(shapes: Sequence[Box | Bool], size_hw: tuple[int, int] = SIZE_HW) -> Masks:
    bitmaps = [bitmap(s, size_hw) if isinstance(s, tuple) else s for s in shapes]
    return masks_.join(tuple(masks_.encode_one(b) for b in bitmaps), size_hw)


def named(points: TruePoints, places: Sequence[tuple[object, str, int, int]]) -> list[object]:
    """Return what each point is meant to be, beside the class and the object it was given."""
    pairs = zip(places, points.class_ids, points.instance_ids, strict=True)
    return [(what, int(class_id), int(number)) for (_, what, *_), class_id, number in pairs]


def labelled(
    shapes: Sequence[Box | Bool] = (),
    classes: Sequence[int] | None = None,
    scores: Sequence[float] | None = None,
    statuses: Sequence[Status] | None = None,
    *,
    name: str = "0.png",
    size_hw: tuple[int, int] = SIZE_HW,
    prompts: Sequence[Box] | None = None,
    first_id: int = 1,
) -> PictureLabels:
    n = len(shapes)
    masks = encode(shapes, size_hw)
    nothing = np.zeros(n, np.float32)
    boxes = masks.boxes_xyxy if prompts is None else np.array(prompts).reshape(-1, 4)
    instances = Instances(
        instance_ids=np.arange(first_id, first_id + n, dtype=np.int32),
        prompt_ids=np.arange(first_id, first_id + n, dtype=np.int32),
        class_ids=np.array([CAR] * n if classes is None else classes, np.int32),
        statuses=np.array([Status.ACCEPTED] * n if statuses is None else statuses, np.uint8),
        reasons=((),) * n,
        scores=np.array([0.9] * n if scores is None else scores, np.float32),
        predicted_ious=nothing,
        stabilities=nothing,
        box_ious=nothing,
        outside_shares=nothing,
        boxes_xyxy=boxes.astype(np.float32),
        masks=masks,
        signals=unknown_signals(n),
        trusts=np.full(n, np.nan, np.float32),
        by_human=np.zeros(n, bool),
    )
    return PictureLabels("image_2", name, size_hw, instances, ())


def true_picture(
    shapes: Sequence[Box | Bool] = (),
    classes: Sequence[int] | None = None,
    ignored: Sequence[bool] | None = None,
    *,
    name: str = "0.png",
    size_hw: tuple[int, int] = SIZE_HW,
    ids: Sequence[int] | None = None,
    ranges_m: Sequence[float] | None = None,
) -> TruePicture:
    n = len(shapes)
    masks = encode(shapes, size_hw)
    return TruePicture(
        file_name=name,
        size_hw=size_hw,
        masks=masks,
        boxes_xyxy=masks.boxes_xyxy.astype(np.float32),
        class_ids=np.array([CAR] * n if classes is None else classes, np.int32),
        ignored=np.array([False] * n if ignored is None else ignored, bool),
        instance_ids=np.array([0] * n if ids is None else ids, np.int32),
        ranges_m=np.array([np.nan] * n if ranges_m is None else ranges_m, np.float32),
    )


def truth_of(
    pictures: Sequence[TruePicture] = (),
    points: Mapping[str, TruePoints] | None = None,
    best: Mapping[str, TruePoints] | None = None,
) -> Truth:
    by_name = {picture.file_name: picture for picture in pictures}
    return Truth(
        name="by hand",
        picture_classes=vocabulary_of(ROAD),
        point_classes=vocabulary_of(ROAD),
        find_picture=by_name.get,
        find_points=lambda sample_id, count: (points or {}).get(sample_id),
        find_best=lambda sample_id, count: (best or {}).get(sample_id),
    )


def point_labels(
    class_ids: Sequence[int], instance_ids: Sequence[int], unknown: Sequence[int] = ()
) -> PointLabels:
    """Class 0 is background; rows named in `unknown` are unknown."""
    classes = np.array(class_ids, np.int32)
    states = np.where(classes > 0, PointState.LABELLED, PointState.BACKGROUND).astype(np.uint8)
    states[list(unknown)] = PointState.UNKNOWN
    labelled_ = states == PointState.LABELLED
    return PointLabels(
        states=states,
        class_ids=np.where(labelled_, classes, -1).astype(np.int32),
        instance_ids=np.where(labelled_, instance_ids, 0).astype(np.int32),
        trusts=np.where(labelled_, 255, 0).astype(np.uint8),
    )


def true_points(
    class_ids: Sequence[int], instance_ids: Sequence[int], seen: Sequence[bool] | None = None
) -> TruePoints:
    return TruePoints(
        class_ids=np.array(class_ids, np.int32),
        instance_ids=np.array(instance_ids, np.int32),
        seen=np.array([True] * len(class_ids) if seen is None else seen, bool),
        has_seen=seen is not None,
    )


def sample(
    *pictures: PictureLabels, id: str = "0", points: PointLabels | None = None
) -> SampleLabels:
    return SampleLabels(id, pictures, point_labels([], []) if points is None else points)


def as_labels(picture: TruePicture, score: float = 0.9) -> PictureLabels:
    """Return labels that say what the truth says."""
    rows = picture[~picture.ignored]
    return labelled(
        [masks_.decode_one(rows.masks, row) for row in range(len(rows))],
        rows.class_ids.tolist(),
        [score] * len(rows),
        name=picture.file_name,
        size_hw=picture.size_hw,
    )


def random_world(
    seed: int, scenes: int = 6, *, size_hw: tuple[int, int] = (150, 200), crowds: bool = True
) -> tuple[list[SampleLabels], list[TruePicture]]:
    """Boxes with bites out of them, moved, reclassed, doubled and lost; scores come in ties."""
    rng = np.random.default_rng(seed)
    samples, truths = [], []
    for scene in range(scenes):
        shapes, classes, ours, our_classes = [], [], [], []
        for _ in range(int(rng.integers(0, 9))):
            side = rng.integers(4, 120, 2)
            low = rng.integers(0, np.array(size_hw)[::-1] - 10)
            box = (*low, *np.minimum(low + side, np.array(size_hw)[::-1]))
            shape = bitmap(tuple(int(v) for v in box), size_hw)
            shape &= rng.random(size_hw) > 0.05
            shapes.append(shape)
            classes.append(int(rng.choice([PERSON, CAR, VAN])))
            for _ in range(int(rng.choice([0, 1, 1, 1, 2]))):
                moved = np.roll(shape, tuple(int(v) for v in rng.integers(-4, 5, 2)), (0, 1))
                ours.append(moved)
                our_classes.append(classes[-1] if rng.random() < 0.8 else TRUCK)
        ignored = [bool(crowds and rng.random() < 0.2) for _ in shapes]
        name = f"{scene}.png"
        truths.append(true_picture(shapes, classes, ignored, name=name, size_hw=size_hw))
        scores = (rng.integers(5, 20, len(ours)) / 20).tolist()
        statuses = rng.choice([Status.ACCEPTED, Status.ACCEPTED, Status.REVIEW], len(ours)).tolist()
        samples.append(
            sample(
                labelled(ours, our_classes, scores, statuses, name=name, size_hw=size_hw),
                id=str(scene),
            )
        )
    return samples, truths


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    return SimpleNamespace(
        bitmap=bitmap,
        encode=encode,
        labelled=labelled,
        named=named,
        true_picture=true_picture,
        truth_of=truth_of,
        point_labels=point_labels,
        true_points=true_points,
        sample=sample,
        as_labels=as_labels,
        random_world=random_world,
        road=ROAD,
        size_hw=SIZE_HW,
        person=PERSON,
        car=CAR,
        van=VAN,
        truck=TRUCK,
    )
