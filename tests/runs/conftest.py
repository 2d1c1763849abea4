"""Evidence and labels to store, and how to compare what comes back."""

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest

from perception.core import masks as masks_
from perception.core.config import Config, ModelSpec
from perception.core.ontology import load_class_map, load_ontology
from perception.core.types import (
    Cuboids,
    Detections,
    Evidence,
    ImageStatistics,
    Instances,
    LogitCrops,
    PictureLabels,
    PointLabels,
    SampleLabels,
    Segments,
    no_cuboids,
    unknown_signals,
)
from perception.runs.folder import RunSpec

NAMES = ("bus", "car")
CUBOIDS = Cuboids(
    instance_ids=np.array([1, 70_000], np.int32),
    centres_m=np.array([[12.5, -3.25, 0.8], [-7.1, 4, 0]], np.float32),
    sizes_lwh_m=np.array([[4.2, 1.8, 1.5], [0.7, 0.6, 1.75]], np.float32),
    yaws_rad=np.array([-1.5, 0.3], np.float32),
    confidences=np.array([0.9, 0], np.float32),
)


def build_evidence(
    bitmaps: Sequence[np.ndarray], camera: str = "front", size_hw: tuple[int, int] = (6, 9)
) -> Evidence:
    n = len(bitmaps)
    masks = masks_.join(tuple(masks_.encode_one(bitmap) for bitmap in bitmaps), size_hw)
    steps = np.arange(n)
    class_ids = (steps % 2).astype(np.int32)
    used = tuple(sorted({NAMES[i] for i in class_ids}))
    return Evidence(
        camera=camera,
        file_name=f"{camera}/a b.png",
        size_hw=size_hw,
        detections=Detections(
            boxes_xyxy=np.stack([steps, steps, steps + 0.1, steps + 2], axis=1).astype(np.float32),
            scores=(1 / (steps + 3)).astype(np.float32),  # not exact in any base
            class_ids=np.array([used.index(NAMES[i]) for i in class_ids], np.int32),
            class_names=used,
            mended=(("row.clipped", 3),) if n else (),
        ),
        segments=Segments(
            masks=masks,
            predicted_ious=np.where(steps == 1, np.nan, 1.01).astype(np.float32),
            stabilities=(steps / 7).astype(np.float32),
            logits=LogitCrops(
                cells_xyxy=np.stack([steps, steps, steps + 1, steps + 1], axis=1).astype(np.int32),
                data=tuple(bytes([i, 0, 255]) if i else b"" for i in range(n)),
                origins_xy=np.stack([10 * steps, steps + 0.5], axis=1).astype(np.float32),
                cells_per_px_xy=np.stack([steps + 256 / 1242, steps + 77 / 375], axis=1),
            ),
            wobbles=np.where(steps == 1, np.nan, steps / 11).astype(np.float32),
            consensus_ious=(steps / 13).astype(np.float32),
        ),
        statistics=ImageStatistics(
            brightness=(steps / 17).astype(np.float32),
            contrasts=(steps / 19).astype(np.float32),
            second_ious=np.full(n, np.nan, np.float32),
        ),
        dropped=(("box.inverted", 1), ("box.nan", 2)) if n else (),
    )


def build_labels(
    sample_id: str, pictures: Sequence[Sequence[np.ndarray]], points: int = 0
) -> SampleLabels:
    built, first_id = [], 1
    for number, bitmaps in enumerate(pictures):
        seen = build_evidence(bitmaps, f"camera{number}")
        n = len(seen.detections)
        steps = np.arange(n)
        instances = Instances(
            instance_ids=(first_id + steps).astype(np.int32),
            prompt_ids=(first_id + 2 * steps).astype(np.int32),
            class_ids=np.where(steps % 2, 9, 6).astype(np.int32),
            statuses=(steps % 3).astype(np.uint8),
            reasons=tuple(("iou.low", "duplicate_of.1")[: i % 3] for i in range(n)),
            scores=seen.detections.scores,
            predicted_ious=seen.segments.predicted_ious,
            stabilities=seen.segments.stabilities,
            box_ious=(steps / 3).astype(np.float32),
            outside_shares=(steps / 9).astype(np.float32),
            boxes_xyxy=seen.detections.boxes_xyxy,
            masks=seen.segments.masks,
            signals=replace(unknown_signals(n), crowding=(steps / 23).astype(np.float32)),
            trusts=np.where(steps == 1, np.nan, 0.7).astype(np.float32),
            by_human=steps % 2 == 0,
        )
        ignored = (("boat", 2),) if n else ()
        built.append(PictureLabels(seen.camera, seen.file_name, seen.size_hw, instances, ignored))
        first_id += n
    states = (np.arange(points) % 3).astype(np.uint8)
    return SampleLabels(
        id=sample_id,
        pictures=tuple(built),
        points=PointLabels(
            states=states,
            class_ids=np.where(states == 2, 6, -1).astype(np.int32),
            instance_ids=np.where(states == 2, 70_000, 0).astype(np.int32),
            trusts=np.where(states == 2, 200, 0).astype(np.uint8),
        ),
        cuboids=CUBOIDS if points else no_cuboids(),
    )


def compare(found: Any, expected: Any, where: str = "it") -> None:
    """Compare containers field by field, arrays with their types."""
    if isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype and found.shape == expected.shape, where
        np.testing.assert_array_equal(found, expected, err_msg=where)
    elif is_dataclass(expected):
        assert type(found) is type(expected), where
        for field in fields(expected):
            pair = getattr(found, field.name), getattr(expected, field.name)
            compare(*pair, where=f"{where}.{field.name}")
    elif isinstance(expected, tuple | list):
        assert len(found) == len(expected), where
        for i, pair in enumerate(zip(found, expected, strict=True)):
            compare(*pair, where=f"{where}[{i}]")
    else:
        assert found == expected, where


def build_spec(**changes: Any) -> RunSpec:
    values: dict[str, Any] = {
        "libraries": {"numpy": "2.0"},
        "source": "images",
        "source_licence": "unknown",
        "plan_sha256": "0" * 64,
        "detector": ModelSpec(kind="bright"),
        "segmenter": ModelSpec(kind="boxes"),
        "config": Config(),
        "ontology": load_ontology(),
        "class_map": load_class_map("coco80-to-road"),
    }
    return RunSpec(**(values | changes))


@pytest.fixture(scope="session")
def evidence_of() -> Callable[..., Evidence]:
    return build_evidence


@pytest.fixture(scope="session")
def labels_of() -> Callable[..., SampleLabels]:
    return build_labels


@pytest.fixture(scope="session")
def same() -> Callable[..., None]:
    return compare


@pytest.fixture(scope="session")
def spec_of() -> Callable[..., RunSpec]:
    return build_spec
