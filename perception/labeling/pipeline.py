"""How a sample is labelled: observe, then decide."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import numpy as np

from perception.core import boxes as boxes_
from perception.core.config import DecideConfig
from perception.core.geometry import refuse_other_size
from perception.core.ontology import ClassMap, Ontology
from perception.core.types import (
    Camera,
    Counts,
    Detections,
    Evidence,
    Instances,
    Masks,
    Picture,
    PictureLabels,
    Sample,
    SampleLabels,
    Scene,
    Segments,
    Status,
    unknown_signals,
)
from perception.labeling.lift import Findings, View, lift
from perception.labeling.quality.correct import Correction, corrected
from perception.labeling.quality.image_statistics import image_statistics
from perception.labeling.quality.judge import judge
from perception.labeling.quality.merge import (
    find_riders,
    flag_contested,
    flag_doubts,
    join_riders,
    precedence,
    reject_duplicates,
    settle_overlaps,
    yield_overlaps,
)
from perception.labeling.quality.shape import crowding, with_points, with_shapes
from perception.labeling.trust.features import features_of
from perception.labeling.trust.model import TrustModel, draw_line
from perception.models.protocols import Detector, Segmenter

AT_ONCE: AbstractContextManager[None] = nullcontext()  # nobody else waits for the models


@dataclass(frozen=True)
class Models:
    """The models of a run.

    Attributes:
        detector: Finds the boxes.
        segmenter: Turns them into masks.
        second: Is asked the same boxes, for a second opinion; None for none.
    """

    detector: Detector
    segmenter: Segmenter
    second: Segmenter | None = None


@dataclass(frozen=True)
class Rules:
    """Everything that decisions depend on besides the evidence.

    Attributes:
        config: Thresholds.
        ontology: The classes of the run.
        class_map: From the detector's (or box file's) names to the ontology.
        trust: Fitted probability that a label is right; None without a fit.
        corrections: What people decided, by sample and file name.
    """

    config: DecideConfig
    ontology: Ontology
    class_map: ClassMap
    trust: TrustModel | None = None
    corrections: Mapping[tuple[str, str], tuple[Correction, ...]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Answer:
    """What the models said of a picture."""

    found: Detections
    dropped: Counts
    segments: Segments
    second: Masks | None


@dataclass(frozen=True, eq=False)
class _Judged:
    """A picture before its points are asked: masks may overlap."""

    instances: Instances
    ignored: tuple[tuple[str, int], ...]


def label_sample(sample: Sample, models: Models, rules: Rules) -> SampleLabels:
    """See, then decide. Pure: no globals, no clock; images and sweep are already loaded."""
    return decide(sample.id, observe(sample.pictures, models), sample.scene, rules)


def observe(
    pictures: tuple[Picture, ...], models: Models, turn: AbstractContextManager[None] = AT_ONCE
) -> tuple[Evidence, ...]:
    """Run the models over the images of a sample; no threshold that a person might move.

    Args:
        pictures: Decoded.
        models: What they are shown to.
        turn: Held while they are at work. The rest needs no model.
    """
    with turn:
        answers = [_ask(picture, models) for picture in pictures]
    return tuple(
        Evidence(
            camera=picture.camera,
            file_name=picture.file_name,
            size_hw=picture.size_hw,
            detections=answer.found,
            segments=answer.segments,
            statistics=image_statistics(picture.image_rgb, answer.segments.masks, answer.second),
            dropped=answer.dropped,
            changes=picture.changes,
        )
        for picture, answer in zip(pictures, answers, strict=True)
    )


def _ask(picture: Picture, models: Models) -> _Answer:
    found, dropped = boxes_.usable(models.detector(picture), picture.size_hw)
    segments = models.segmenter(picture.image_rgb, found.boxes_xyxy)
    second = None
    if models.second is not None:
        second = models.second(picture.image_rgb, found.boxes_xyxy).masks
    return _Answer(found, dropped, segments, second)


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
        SampleError: `class.unknown` for a class that the class map does not know;
            `size.mismatch` for an image that its calibration is not for.
    """
    cameras = {camera.name: camera for camera in scene.cameras}
    located = [row for row, seen in enumerate(evidence) if seen.camera in cameras]
    for row in located:
        seen = evidence[row]
        refuse_other_size(cameras[seen.camera], seen.file_name, seen.size_hw)
    first_ids = np.cumsum([1, *(len(seen.detections) for seen in evidence)])
    judged = [
        _judge_picture(
            seen, int(first), rules, rules.corrections.get((sample_id, seen.file_name), ())
        )
        for seen, first in zip(evidence, first_ids, strict=False)
    ]
    views = [
        _view(cameras[evidence[row].camera], judged[row].instances, rules.ontology)
        for row in located
    ]
    lifted = lift(views, scene.points_lidar, rules.config.lift)
    found = dict(zip(located, lifted.findings, strict=True))
    pictures = tuple(
        _with_points(seen, judged[row], found.get(row, Findings()), lifted.same_as, rules)
        for row, seen in enumerate(evidence)
    )
    return SampleLabels(
        id=sample_id, pictures=pictures, points=lifted.labels, cuboids=lifted.cuboids
    )


def _view(camera: Camera, instances: Instances, ontology: Ontology) -> View:
    classes = [ontology.by_id(int(i)) for i in instances.class_ids]
    unknown, unbounded = (np.nan,) * 3, (np.inf,) * 3
    claims = _claims(instances)
    return View(
        camera=camera,
        masks=settle_overlaps(instances.masks, claims),
        whole=instances.masks,
        instance_ids=instances.instance_ids,
        class_ids=instances.class_ids,
        statuses=instances.statuses,
        boxes_xyxy=instances.boxes_xyxy,
        order=tuple(claims),
        usual_m=np.array([c.usual_m or unknown for c in classes], np.float64).reshape(-1, 3),
        most_m=np.array([c.most_m or unbounded for c in classes], np.float64).reshape(-1, 3),
    )


def _claims(instances: Instances) -> list[int]:
    """Return the rows that claim pixels, the best claim first.

    A mask of everything says nothing: it owns no pixel, and no point.
    """
    reasons = instances.reasons
    return [row for row in precedence(instances) if "mask.full_frame" not in reasons[row]]


def _with_points(
    seen: Evidence, judged: _Judged, found: Findings, same_as: dict[int, int], rules: Rules
) -> PictureLabels:
    """Return a picture's labels after the points changed statuses and masks."""
    doubted = flag_doubts(judged.instances, found.doubts)
    claims = _claims(judged.instances)
    wins = tuple(pair for pair in found.wins if not doubted.by_human[pair[1]])
    settled = settle_overlaps(yield_overlaps(doubted.masks, wins), claims)
    doubted = replace(doubted, signals=with_points(with_shapes(doubted, settled), found.measured))
    instances = flag_contested(doubted, settled, rules.config.resolve)
    ids = [same_as.get(int(i), int(i)) for i in instances.instance_ids]
    instances = replace(instances, instance_ids=np.array(ids, np.int32))
    return PictureLabels(
        camera=seen.camera,
        file_name=seen.file_name,
        size_hw=seen.size_hw,
        instances=_with_trust(instances, rules),
        ignored=judged.ignored,
        offset=found.offset,
    )


def _judge_picture(
    seen: Evidence, first_id: int, rules: Rules, corrections: tuple[Correction, ...]
) -> _Judged:
    names = [seen.detections.class_names[i] for i in seen.detections.class_ids]
    mapped = [rules.class_map(name) for name in names]
    rows = np.array([i for i, name in enumerate(mapped) if name is not None], np.int64)
    ignored = sorted(name for name, to in zip(names, mapped, strict=True) if to is None)
    detections, segments = seen.detections[rows], seen.segments[rows]
    statistics = seen.statistics[rows]
    verdicts = judge(detections, segments, rules.config.judge)
    class_ids = [rules.ontology.id_of(name) for name in mapped if name is not None]
    instances = Instances(
        instance_ids=(first_id + rows).astype(np.int32),
        prompt_ids=(first_id + rows).astype(np.int32),
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
        signals=replace(
            unknown_signals(len(rows)),
            wobbles=segments.wobbles,
            consensus_ious=segments.consensus_ious,
            second_ious=statistics.second_ious,
            brightness=statistics.brightness,
            contrasts=statistics.contrasts,
            crowding=crowding(detections.boxes_xyxy),
        ),
        trusts=np.full(len(rows), np.nan, np.float32),
        by_human=np.zeros(len(rows), bool),
    )
    instances = reject_duplicates(instances, rules.ontology, rules.config.resolve)
    instances = join_riders(instances, find_riders(instances, rules.ontology))
    instances = corrected(instances, corrections, rules.ontology)
    counts = tuple((name, ignored.count(name)) for name in dict.fromkeys(ignored))
    return _Judged(instances, counts)


def _with_trust(found: Instances, rules: Rules) -> Instances:
    """Return the instances with the probability that each is right, and the line drawn by it.

    The model was fitted on what is not rejected, so it is asked about nothing else. Where it has a
    line, it decides between accepted and review in place of the thresholds. What a person decided
    stays.
    """
    model = rules.trust
    if model is None:
        return found
    names = [rules.ontology.by_id(int(i)).name for i in found.class_ids]
    filled = np.array([bool(counts) for counts in found.masks.counts], bool)
    asked = (found.statuses != Status.REJECTED) & filled & ~found.by_human
    trusts = np.where(asked, model.probabilities(features_of(found), names), np.nan)
    trusts[found.by_human] = found.statuses[found.by_human] != Status.REJECTED
    statuses, reasons = draw_line(model, found, trusts, asked, names)
    return replace(found, trusts=trusts.astype(np.float32), statuses=statuses, reasons=reasons)
