"""The story of a sample: see, then decide."""

from dataclasses import dataclass

import numpy as np

from perception import boxes as boxes_
from perception.config import DecideConfig
from perception.lift import View, lift
from perception.ontology import ClassMap, Ontology
from perception.ports import Detector, Segmenter
from perception.quality.judge import judge
from perception.quality.merge import (
    find_riders,
    flag_contested,
    join_riders,
    precedence,
    reject_duplicates,
    settle_overlaps,
)
from perception.types import (
    Evidence,
    Instances,
    Picture,
    PictureLabels,
    Sample,
    SampleLabels,
    Scene,
)


@dataclass(frozen=True)
class Models:
    """The two models of a run."""

    detector: Detector
    segmenter: Segmenter


@dataclass(frozen=True)
class Rules:
    """Everything that decisions depend on besides the evidence.

    Attributes:
        config: Thresholds.
        ontology: The classes of the run.
        class_map: From the detector's (or box file's) names to the ontology.
    """

    config: DecideConfig
    ontology: Ontology
    class_map: ClassMap


def label_sample(sample: Sample, models: Models, rules: Rules) -> SampleLabels:
    """See, then decide. Pure: no globals, no clock; images and sweep are already loaded."""
    return decide(sample.id, observe(sample, models), sample.scene, rules)


def observe(sample: Sample, models: Models) -> tuple[Evidence, ...]:
    """Run the models over the images of a sample; no threshold that a person might move."""
    return tuple(_look(picture, models) for picture in sample.pictures)


def _look(picture: Picture, models: Models) -> Evidence:
    found, dropped = boxes_.usable(models.detector(picture), picture.size_hw)
    return Evidence(
        camera=picture.camera,
        file_name=picture.file_name,
        size_hw=picture.size_hw,
        detections=found,
        segments=models.segmenter(picture.image_rgb, found.boxes_xyxy),
        dropped=dropped,
    )


def decide(
    sample_id: str, evidence: tuple[Evidence, ...], scene: Scene, rules: Rules
) -> SampleLabels:
    """Turn evidence into labels for pixels and points. Runs no model.

    Args:
        sample_id: As in `Sample`.
        evidence: One entry per image.
        scene: Cameras and sweep.
        rules: Thresholds and class maps.

    Raises:
        SampleError: `class.unknown` for a class that the class map does not know.
    """
    pictures: list[PictureLabels] = []
    first_id = 1
    for seen in evidence:
        pictures.append(_decide_picture(seen, first_id, rules))
        first_id += len(seen.detections)
    cameras = {camera.name: camera for camera in scene.cameras}
    views = [
        View(
            camera=cameras[labels.camera],
            masks=labels.instances.masks,
            instance_ids=labels.instances.instance_ids,
            class_ids=labels.instances.class_ids,
            statuses=labels.instances.statuses,
        )
        for labels in pictures
        if labels.camera in cameras
    ]
    points = lift(views, scene.points_lidar, rules.config.lift)
    return SampleLabels(id=sample_id, pictures=tuple(pictures), points=points)


def _decide_picture(seen: Evidence, first_id: int, rules: Rules) -> PictureLabels:
    names = [seen.detections.class_names[i] for i in seen.detections.class_ids]
    mapped = [rules.class_map(name) for name in names]
    rows = np.array([i for i, name in enumerate(mapped) if name is not None], np.int64)
    ignored = sorted(name for name, to in zip(names, mapped, strict=True) if to is None)
    detections, segments = seen.detections[rows], seen.segments[rows]
    verdicts = judge(detections, segments, rules.config.judge)
    class_ids = [rules.ontology.id_of(name) for name in mapped if name is not None]
    instances = Instances(
        instance_ids=(first_id + rows).astype(np.int32),
        class_ids=np.array(class_ids, np.int32),
        statuses=verdicts.statuses,
        reasons=verdicts.reasons,
        scores=detections.scores,
        predicted_ious=segments.predicted_ious,
        stabilities=segments.stabilities,
        box_ious=verdicts.box_ious,
        outside_shares=verdicts.outside_shares,
        boxes_xyxy=detections.boxes_xyxy,
        masks=segments.masks,
    )
    instances = reject_duplicates(instances, rules.ontology, rules.config.resolve)
    instances = join_riders(instances, find_riders(instances, rules.ontology))
    # A mask of everything says nothing: it owns no pixel, and no point.
    claims = [i for i in precedence(instances) if "mask.full_frame" not in instances.reasons[i]]
    settled = settle_overlaps(instances.masks, claims)
    return PictureLabels(
        camera=seen.camera,
        file_name=seen.file_name,
        size_hw=seen.size_hw,
        instances=flag_contested(instances, settled, rules.config.resolve),
        ignored=tuple((name, ignored.count(name)) for name in dict.fromkeys(ignored)),
    )
