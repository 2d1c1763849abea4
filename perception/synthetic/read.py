"""A drive's truth as labels: made of objects, and read back from the drive."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from pydantic import BaseModel, TypeAdapter

from perception.core.ontology import Ontology
from perception.core.types import (
    Bool,
    Float32,
    Instances,
    Int32,
    Masks,
    PictureLabels,
    PointLabels,
    SampleLabels,
    Status,
)
from perception.formats import MAX_INDEX_BYTES, coco, read_bytes
from perception.io import schemas

DRIVE_FILES = ("truth.json", "card.json")  # what tells it from other datasets of its layout
DRIVE_LICENCE = "CC0-1.0"  # of what `perception synthesize` writes
NUSCENES_VERSION, SWEEP = "v1.0-synthetic", "LIDAR_TOP"


def is_drive(path: Path) -> bool:
    """Tell whether a folder is a synthetic drive."""
    return all((path / name).is_file() for name in DRIVE_FILES)


class _Card(BaseModel):
    """What is read of a drive's card; most of it is for people."""

    scenes: tuple[str, ...] = ()


_CARDS = TypeAdapter(_Card)


def read_scenes(drive: Path) -> tuple[str, ...]:
    """Return the first frame of each scene, as the card of a drive names them.

    Raises:
        RequestError: `truth.invalid`.
    """
    card = drive / "card.json"
    data = read_bytes(card, MAX_INDEX_BYTES)
    return schemas.parse(
        _CARDS, data, str(card), "truth.invalid", "synthesize the drive again"
    ).scenes


def in_nuscenes_layout(drive: Path) -> bool:
    """Tell whether a synthetic drive is laid out as nuScenes, not as KITTI."""
    return (drive / NUSCENES_VERSION).is_dir()


def sweep_token(sample_id: str) -> str:
    """Return the token of a sample's sweep in `sample_data`."""
    return f"{sample_id}-{SWEEP}"


def seen_file(token: str) -> str:
    """Return where the flags of the points that cameras see stand, relative to the drive."""
    return f"seen/{NUSCENES_VERSION}/{token}_seen.bin"


def true_instances(
    ids: Int32, class_ids: Int32, boxes_xyxy: Float32, masks: Masks, labelled: Bool
) -> Instances:
    """Return N objects of which everything is known; those not `labelled` have status review."""
    return replace(
        Instances.blank(len(ids), masks.size_hw),
        instance_ids=ids,
        prompt_ids=ids,
        class_ids=class_ids,
        statuses=np.where(labelled, Status.ACCEPTED, Status.REVIEW).astype(np.uint8),
        reasons=tuple(() if known else ("object.tiny",) for known in labelled),
        boxes_xyxy=boxes_xyxy,
        masks=masks,
    )


def read_truth_labels(drive: Path, ontology: Ontology) -> Iterator[SampleLabels]:
    """Yield the visible masks of every frame; what shows too little has status review.

    Points are not read: they lie in SemanticKITTI's form in the drive itself.

    Args:
        drive: Folder of the drive.
        ontology: Whose class names the drive uses.

    Raises:
        RequestError: see `coco.read`.
    """
    nothing = np.zeros(0, np.int32)
    no_points = PointLabels(nothing.astype(np.uint8), nothing, nothing, nothing.astype(np.uint8))
    for picture in coco.read(drive / "truth.json"):
        rows = picture.annotations
        found = rows.detections
        names = [found.class_names[i] for i in found.class_ids]
        class_ids = np.array([ontology.id_of(name) for name in names], np.int32)
        instances = true_instances(
            rows.instance_ids, class_ids, found.boxes_xyxy, rows.masks, ~rows.iscrowd
        )
        labels = PictureLabels("", picture.file_name, picture.size_hw, instances, ())
        yield SampleLabels(PurePosixPath(picture.file_name).stem, (labels,), no_points)
