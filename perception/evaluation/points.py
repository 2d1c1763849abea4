"""Labelled points beside the truth of every point, by distance from the LiDAR.

What counts as predicted: points of accepted instances. Points that are background, unknown, or of
an instance that waits for review are not predicted, and lower the IoU where an object is. Void
points of the truth are left out. In the view "seen", so are the points that no camera sees, and
those of objects that are ignored on the images (too small to be labelled); the view "all" has them.

IoU per class and panoptic quality are those of SemanticKITTI (https://github.com/PRBonn/
semantic-kitti-api, auxiliary/eval_np.py): segments under 50 points are neither missed nor false.
There each range ring is evaluated as if the rest were not there, so an object on the border of two
rings is two segments. An object as such belongs to the ring of its median point.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from perception.core import boxes as boxes_
from perception.core.types import (
    Bool,
    Float32,
    Float64,
    Int32,
    PictureLabels,
    PointState,
    SampleLabels,
    Status,
)
from perception.evaluation.panoptic import contingency, segment_counts
from perception.evaluation.truth import NOT_JUDGED, VOID, TruePicture, TruePoints, Vocabulary

Int64 = npt.NDArray[np.int64]
RINGS_M = (0.0, 10.0, 20.0, 30.0, 50.0, np.inf)
RINGS = ("all", "0-10 m", "10-20 m", "20-30 m", "30-50 m", "50+ m")
MIN_SEGMENT_POINTS = 50
MIN_OBJECT_POINTS = 10
MATCHES = ("highest IoU", "prompt box")
PROMPT_IOU = 0.5  # a prompt box is that of the object whose box it overlaps this much
COVERAGE = ("accepted", "not accepted", "background", "unknown")


@dataclass(frozen=True, eq=False)
class PointCounts:
    """What one sample adds to the figures, in one view; row 0 of each is all rings together.

    Attributes:
        classes: (6, K, 3) points in common, in the truth, predicted.
        panoptic: (6, K, 4) see `segment_counts`.
        objects: (6, 2, 4) by the two ways of `MATCHES`: objects, sum of their IoU, points in common
            with their match, points of the union.
        ceiling: (6, 4) as `objects`, of the best labels, by highest IoU; zeros without them.
        object_ious: Id of each object to its IoU by the two ways.
        coverage: (6, 2, 4) points by `COVERAGE`: of all points, of points on objects.
    """

    classes: Float64
    panoptic: Float64
    objects: Float64
    ceiling: Float64
    object_ious: dict[int, tuple[float, float]]
    coverage: Float64


@dataclass(frozen=True, eq=False)
class _Segments:
    """Which segment each point belongs to; 0 for none."""

    rows: Int64  # (P,)
    class_ids: Int32  # (N,)
    instance_ids: Int32  # (N,)


def range_rings(points_lidar: Float32) -> Int64:
    """Return (P,) the ring of each point, from 1; 0 for points that are nowhere."""
    ranges_m = np.hypot(points_lidar[:, 0].astype(np.float64), points_lidar[:, 1])
    found = np.digitize(ranges_m, RINGS_M)
    return np.where(np.isfinite(ranges_m), found, 0).astype(np.int64)


def prompted(picture: PictureLabels, truth: TruePicture) -> dict[int, int]:
    """Return the id of each true object to the id of the label whose prompt was the object's box.

    One to one, so that the boxes overlap as much as possible. Where the true boxes were the
    prompts, this is who is who, whatever the mask or the status became.
    """
    known = np.flatnonzero((truth.instance_ids > 0) & ~truth.ignored)
    ious = boxes_.ious(truth.boxes_xyxy[known], picture.instances.boxes_xyxy)
    return {
        int(truth.instance_ids[known[row]]): int(picture.instances.instance_ids[column])
        for row, column in zip(*linear_sum_assignment(-ious), strict=True)
        if ious[row, column] >= PROMPT_IOU
    }


def count_points(
    labels: SampleLabels,
    truth: TruePoints,
    classes: Vocabulary,
    points_lidar: Float32,
    links: Mapping[int, frozenset[int]],
    *,
    only_seen: bool,
    ignored: frozenset[int] = frozenset(),
    best: TruePoints | None = None,
) -> PointCounts:
    """Count one sample.

    Args:
        labels: The labels; one row per point.
        truth: The truth of the same points.
        classes: What the truth can judge.
        points_lidar: (P, 3) the sweep, for the rings; (0, 3) if it is not at hand.
        links: From `prompted`: an object that several cameras show has several labels, unless they
            were found to be one; the best of them is its match.
        only_seen: Leave out what no camera sees, and the ignored objects.
        ignored: Ids of true objects that are ignored on the images.
        best: The best labels, where the truth is one of boxes.
    """
    rings = range_rings(points_lidar) if len(points_lidar) else np.zeros(len(truth), np.int64)
    counted = truth.class_ids != VOID
    if only_seen:
        counted = counted & truth.seen & ~np.isin(truth.instance_ids, list(ignored))
    true = _segments(np.where(truth.class_ids > 0, truth.class_ids, 0), truth.instance_ids)
    ours = _predicted(labels, classes, accepted_only=True)
    class_ids = tuple(classes.names)
    shape = (len(true.class_ids) + 1, len(ours.class_ids) + 1)
    per_class = np.zeros((len(RINGS), len(class_ids), 3))
    panoptic = np.zeros((len(RINGS), len(class_ids), 4))
    nothing_ignored = np.zeros(len(true.class_ids), bool)
    for ring in range(len(RINGS)):
        here = counted & ((rings == ring) | (ring == 0))
        table = contingency(true.rows[here], ours.rows[here], shape)
        per_class[ring] = _class_counts(table, true.class_ids, ours.class_ids, class_ids)
        panoptic[ring] = segment_counts(
            table, true.class_ids, nothing_ignored, ours.class_ids, class_ids, MIN_SEGMENT_POINTS
        )
    everything = _predicted(labels, classes, accepted_only=False)
    objects, object_ious = _object_counts(true, ours, everything, counted, rings, links)
    ceiling = np.zeros((len(RINGS), 4))
    if best is not None:
        perfect = _segments(np.where(best.class_ids > 0, best.class_ids, 0), best.instance_ids)
        ceiling = _object_counts(true, perfect, perfect, counted, rings, {})[0][:, 0]
    return PointCounts(
        classes=per_class,
        panoptic=panoptic,
        objects=objects,
        ceiling=ceiling,
        object_ious=object_ious,
        coverage=_coverage(labels, ours.rows > 0, true.rows > 0, counted, rings),
    )


def _segments(class_ids: Int32, instance_ids: Int32) -> _Segments:
    """Number the pairs of class and instance; class 0 is no segment."""
    codes = class_ids.astype(np.int64) << 32 | instance_ids.astype(np.int64)
    codes[class_ids == 0] = -1
    values, rows = np.unique(codes, return_inverse=True)
    missing = int(len(values) > 0 and values[0] == -1)
    values = values[missing:]
    return _Segments(
        rows=rows.astype(np.int64) + 1 - missing,
        class_ids=(values >> 32).astype(np.int32),
        instance_ids=(values & 0xFFFFFFFF).astype(np.int32),
    )


def _predicted(labels: SampleLabels, classes: Vocabulary, *, accepted_only: bool) -> _Segments:
    points = labels.points
    ids = [
        picture.instances.instance_ids[
            (picture.instances.statuses == Status.ACCEPTED) | (not accepted_only)
        ]
        for picture in labels.pictures
    ]
    chosen = (
        np.isin(points.instance_ids, np.concatenate(ids)) if ids else np.zeros(len(points), bool)
    )
    judged = classes(points.class_ids)
    labelled = (points.states == PointState.LABELLED) & chosen & (judged != NOT_JUDGED)
    return _segments(np.where(labelled, judged, 0).astype(np.int32), points.instance_ids)


def _class_counts(
    table: Int64, true_classes: Int32, predicted_classes: Int32, classes: tuple[int, ...]
) -> Float64:
    counts = np.zeros((len(classes), 3))
    for row, class_id in enumerate(classes):
        true = np.concatenate([[False], true_classes == class_id])
        ours = np.concatenate([[False], predicted_classes == class_id])
        counts[row] = table[np.ix_(true, ours)].sum(), table[true].sum(), table[:, ours].sum()
    return counts


def _object_counts(
    true: _Segments,
    accepted: _Segments,
    everything: _Segments,
    counted: Bool,
    rings: Int64,
    links: Mapping[int, frozenset[int]],
) -> tuple[Float64, dict[int, tuple[float, float]]]:
    """Return (6, 2, 4) and the IoUs, see `PointCounts`; without a match an object has IoU 0."""
    each: dict[int, tuple[float, float]] = {}
    counts = np.zeros((len(RINGS), len(MATCHES), 4))
    height = len(true.class_ids) + 1
    tables = [
        contingency(true.rows[counted], ours.rows[counted], (height, len(ours.class_ids) + 1))
        for ours in (accepted, everything)
    ]
    for row in range(len(true.class_ids)):
        size = int(tables[0][row + 1].sum())
        if true.instance_ids[row] == 0 or size < MIN_OBJECT_POINTS:
            continue
        ring = int(np.median(rings[counted & (true.rows == row + 1)]))
        own = links.get(int(true.instance_ids[row]), frozenset())
        linked = np.isin(everything.instance_ids, list(own))
        found_ious = []
        for way, allowed in enumerate((np.ones(len(accepted.class_ids), bool), linked)):
            common = tables[way][row + 1, 1:]
            union = size + tables[way][:, 1:].sum(axis=0) - common
            ious = np.where(allowed, common / np.maximum(union, 1), -1)
            best = int(ious.argmax()) if (ious > 0).any() else -1
            found = (ious[best], common[best], union[best]) if best >= 0 else (0, 0, size)
            for place in {0, ring}:
                counts[place, way] += (1, *found)
            found_ious.append(float(found[0]))
        each[int(true.instance_ids[row])] = (found_ious[0], found_ious[1])
    return counts, each


def _coverage(
    labels: SampleLabels, accepted: Bool, on_object: Bool, counted: Bool, rings: Int64
) -> Float64:
    states = labels.points.states
    kind = np.full(len(states), COVERAGE.index("not accepted"), np.int64)
    kind[accepted] = COVERAGE.index("accepted")
    kind[states == PointState.BACKGROUND] = COVERAGE.index("background")
    kind[states == PointState.UNKNOWN] = COVERAGE.index("unknown")
    counts = np.zeros((len(RINGS), 2, len(COVERAGE)))
    for ring in range(len(RINGS)):
        here = counted & ((rings == ring) | (ring == 0))
        for row, chosen in enumerate((here, here & on_object)):
            counts[ring, row] = np.bincount(kind[chosen], minlength=len(COVERAGE))
    return counts
