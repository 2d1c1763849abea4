"""Read a drive's truth back as labels, so that it can be exported like those of a run."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from perception.formats import coco
from perception.ontology import Ontology
from perception.types import (
    Instances,
    PictureLabels,
    PointLabels,
    SampleLabels,
    Status,
)

DRIVE_LICENCE = "CC0-1.0"  # of what `perception synthesize` writes


def is_drive(path: Path) -> bool:
    """Tell whether a folder is a synthetic drive."""
    return (path / "truth.json").is_file() and (path / "card.json").is_file()


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
    no_points = PointLabels(nothing.astype(np.uint8), nothing, nothing)
    for picture in coco.read(drive / "truth.json"):
        rows = picture.annotations
        found = rows.detections
        count = len(found)
        ones, zeros = np.ones(count, np.float32), np.zeros(count, np.float32)
        instances = Instances(
            instance_ids=rows.instance_ids,
            class_ids=np.array(
                [ontology.id_of(found.class_names[i]) for i in found.class_ids], np.int32
            ),
            statuses=np.where(rows.iscrowd, Status.REVIEW, Status.ACCEPTED).astype(np.uint8),
            reasons=tuple(("object.tiny",) if tiny else () for tiny in rows.iscrowd),
            scores=ones,
            predicted_ious=ones,
            stabilities=ones,
            box_ious=ones,
            outside_shares=zeros,
            boxes_xyxy=found.boxes_xyxy,
            masks=rows.masks,
        )
        labels = PictureLabels("", picture.file_name, picture.size_hw, instances, ())
        yield SampleLabels(PurePosixPath(picture.file_name).stem, (labels,), no_points)
