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
    Camera,
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
    views: list[View] = []
    cameras = {camera.name: camera for camera in scene.cameras}
    first_id = 1
    for seen in evidence:
        whole, ignored = _judge_picture(seen, first_id, rules)
        # A mask of everything says nothing: it owns no pixel, and no point.
        claims = [row for row in precedence(whole) if "mask.full_frame" not in whole.reasons[row]]
        settled = settle_overlaps(whole.masks, claims)
        instances = flag_contested(whole, settled, rules.config.resolve)
        pictures.append(
            PictureLabels(seen.camera, seen.file_name, seen.size_hw, instances, ignored)
        )
        if seen.camera in cameras:
            views.append(_view(cameras[seen.camera], whole, instances, claims))
        first_id += len(seen.detections)
    lifted = lift(views, scene.points_lidar, rules.config.lift)
    return SampleLabels(id=sample_id, pictures=tuple(pictures), points=lifted.labels)


def _view(camera: Camera, whole: Instances, instances: Instances, claims: list[int]) -> View:
    return View(
        camera=camera,
        masks=instances.masks,
        whole=whole.masks,
        instance_ids=instances.instance_ids,
        class_ids=instances.class_ids,
        statuses=instances.statuses,
        boxes_xyxy=instances.boxes_xyxy,
        order=tuple(claims),
    )


def _judge_picture(
    seen: Evidence, first_id: int, rules: Rules
) -> tuple[Instances, tuple[tuple[str, int], ...]]:
    """Return the instances of a picture, whose masks may overlap, and what was ignored."""
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
    return instances, tuple((name, ignored.count(name)) for name in dict.fromkeys(ignored))
