"""From what was counted to tables of figures with intervals."""

from collections.abc import Callable, Collection
from functools import partial

import numpy as np

from perception.core.sizes import SIZES_PX, SMALL_PX
from perception.core.statistics import (
    Figure,
    Int64,
    interval,
    mean_known,
    of_sums,
    per_scene,
    share,
)
from perception.core.types import Bool, Float64
from perception.evaluation import ranking
from perception.evaluation.instances import Comparison
from perception.evaluation.panoptic import (
    contingency,
    mean_qualities,
    paint,
    qualities,
    segment_counts,
)
from perception.evaluation.points import COVERAGE, MATCHES, RINGS, RINGS_M, PointCounts
from perception.evaluation.report import Table
from perception.evaluation.rows import LabelRows, ObjectRows
from perception.evaluation.truth import Vocabulary
from perception.evaluation.yields import yields_at

ROWS_PX: dict[str, tuple[float, float]] = {  # by the pixels of the object's visible mask
    **SIZES_PX,
    "not small": (SMALL_PX, np.inf),
}
LABEL_COLUMNS = (
    "precision",
    "recall",
    "precision 75",
    "recall 75",
    "IoU of matches",
    "Dice of matches",
    "boundary IoU",
    "IoU of objects",
)
UNKNOWN_RANGE = "unknown range"
N_BOX_COLUMNS = 4  # precision and recall, the first ones: the others need masks
QUALITIES = ("PQ", "SQ", "RQ")
GROUPS = ("all points", "points on objects")


def precision_table(
    comparisons: list[Comparison],
    classes: Vocabulary,
    weights: Int64,
    kinds: Collection[str] = tuple(ranking.KINDS),
) -> Table:
    """Average precision of masks, boxes and boundaries; those not in `kinds` have no value."""
    rows = []
    for name, kind in ranking.KINDS.items():
        if name in kinds:
            figures = ranking.figures(comparisons, classes, kind, weights)
            rows.append((name, tuple(figures[column] for column in ranking.COLUMNS)))
        else:
            rows.append((name, (Figure(None),) * len(ranking.COLUMNS)))
    title = "COCO average precision of labels accepted or for review, by detector score; n: objects"
    return Table("ap", title, tuple(ranking.COLUMNS), tuple(rows))


def label_quality(
    labels: LabelRows, objects: ObjectRows, classes: Vocabulary, weights: Int64
) -> Table:
    """Precision, recall and overlap of accepted labels: all, by size, by class, by range.

    In rows of a range, a label stands where its points are, or its object if it has none; an object
    stands where the truth says. So a label and its object may stand in two rows.
    """
    rows = [
        (name, _label_figures(labels[ours], objects[true], weights))
        for name, ours, true in _slices(labels, objects, classes)
    ]
    title = (
        "accepted labels; matched from IoU 0.5 on, 75: from 0.75 on; the range of a label: that of "
        "its points, else of its object"
    )
    return Table("labels", title, LABEL_COLUMNS, tuple(rows))


def box_quality(
    labels: LabelRows, objects: ObjectRows, classes: Vocabulary, weights: Int64
) -> Table:
    """Precision and recall against a truth of boxes; columns that need masks have no value."""
    table = label_quality(labels, objects, classes, weights)
    nothing = (Figure(None),) * (len(LABEL_COLUMNS) - N_BOX_COLUMNS)
    rows = tuple((name, (*row[:N_BOX_COLUMNS], *nothing)) for name, row in table.rows)
    return Table(table.name, f"{table.title}; all of boxes", table.columns, rows)


def _slices(
    labels: LabelRows, objects: ObjectRows, classes: Vocabulary
) -> list[tuple[str, Bool, Bool]]:
    """Return (name, rows of the labels, rows of the objects)."""
    found = [("all", np.ones(len(labels), bool), np.ones(len(objects), bool))]
    for name, (low, high) in ROWS_PX.items():
        ours, true = ((rows >= low) & (rows < high) for rows in (labels.areas, objects.areas))
        found.append((name, ours, true))
    for class_id, name in classes.names.items():
        ours, true = labels.class_ids == class_id, objects.class_ids == class_id
        if ours.any() or true.any():
            found.append((name, ours, true))
    unknown = np.isnan(labels.ranges_m), np.isnan(objects.ranges_m)
    if not (unknown[0].all() and unknown[1].all()):
        for name, low, high in zip(RINGS[1:], RINGS_M[:-1], RINGS_M[1:], strict=True):
            ours, true = ((r >= low) & (r < high) for r in (labels.ranges_m, objects.ranges_m))
            found.append((name, ours, true))
        found.append((UNKNOWN_RANGE, *unknown))
    return found


def _label_figures(labels: LabelRows, objects: ObjectRows, weights: Int64) -> tuple[Figure, ...]:
    scenes = weights.shape[1]
    near = labels.ious > 0
    counted, counted_75 = ~labels.excused, ~labels.excused_75
    columns = {
        "objects": per_scene(objects.scenes, np.ones(len(objects)), scenes),
        "found": per_scene(objects.scenes, objects.found, scenes),
        "found_75": per_scene(objects.scenes, objects.found_75, scenes),
        "best": per_scene(objects.scenes, objects.best_ious, scenes),
        "labels": per_scene(labels.scenes, counted, scenes),
        "labels_75": per_scene(labels.scenes, counted_75, scenes),
        "near": per_scene(labels.scenes, near, scenes),
        "right": per_scene(labels.scenes, labels.right, scenes),
        "iou": per_scene(labels.scenes, labels.ious, scenes),
        "dice": per_scene(labels.scenes, 2 * labels.ious / (1 + labels.ious), scenes),
        "boundary": per_scene(labels.scenes, labels.boundary_ious, scenes),
    }
    n_objects, n_near = len(objects), int(near.sum())

    def rate(part: str, whole: str, n: int, other: str = "") -> Figure:
        names = (part, whole, *filter(None, [other]))
        counts = np.stack([columns[name] for name in names], axis=1)
        return of_sums(
            counts, weights, lambda s: share(s[:, 0], s[:, 1], s[:, 2] if other else None), n
        )

    return (
        rate("near", "labels", int(counted.sum()), "objects"),
        rate("found", "objects", n_objects),
        rate("right", "labels_75", int(counted_75.sum()), "objects"),
        rate("found_75", "objects", n_objects),
        rate("iou", "near", n_near, "objects"),
        rate("dice", "near", n_near, "objects"),
        rate("boundary", "near", n_near, "objects"),
        rate("best", "objects", n_objects),
    )


def panoptic_table(comparisons: list[Comparison], classes: Vocabulary, weights: Int64) -> Table:
    """Panoptic quality of accepted labels, the mean over the classes that occur, and each."""
    class_ids = tuple(classes.names)
    counts = np.zeros((weights.shape[1], len(class_ids), 4))
    for found in comparisons:
        counts[found.scene] += picture_counts(found, class_ids)
    title = "panoptic quality of things, accepted labels; n: segments of truth and labels"
    rows = _quality_rows(counts, classes, weights)
    return Table("panoptic", title, QUALITIES, rows)


def picture_counts(found: Comparison, class_ids: tuple[int, ...]) -> Float64:
    """Return (K, 4) of one image, see `segment_counts`."""
    accepted = found.labels[found.labels.accepted]
    true_map = paint(found.truth.masks, found.truth.ignored)
    our_map = paint(accepted.masks, np.zeros(len(accepted), bool))
    table = contingency(true_map, our_map, (len(found.truth) + 1, len(accepted) + 1))
    return segment_counts(
        table, found.truth.class_ids, found.truth.ignored, accepted.class_ids, class_ids
    )


def _part(of: Callable[[Float64], tuple[Float64, ...]], index: int, sums: Float64) -> Float64:
    return of(sums)[index]


def _quality_rows(
    counts: Float64, classes: Vocabulary, weights: Int64
) -> tuple[tuple[str, tuple[Figure, ...]], ...]:
    def figures(some: Float64, of: Callable[[Float64], tuple[Float64, ...]]) -> tuple[Figure, ...]:
        n = int(some[..., 1:].sum() + some[..., 1].sum())  # a match is two segments
        return tuple(
            of_sums(some, weights, partial(_part, of, i), n) for i in range(len(QUALITIES))
        )

    rows = [("mean", figures(counts, mean_qualities))]
    for row, name in enumerate(classes.names.values()):
        if counts[:, row].any():
            rows.append((name, figures(counts[:, row], qualities)))
    return tuple(rows)


def yield_table(labels: LabelRows, objects: ObjectRows, weights: Int64) -> Table:
    """Yield at 95, of all objects and by size; the threshold and the precision at it.

    Labels are ranked by trust where it was fitted, else by the detector's score.
    """
    counted = labels[~labels.excused_75]
    fitted = len(counted) > 0 and bool(np.isfinite(counted.trusts).all())
    ranks = counted.trusts if fitted else counted.scores
    groups: dict[str, tuple[float, float]] = {"all": (0, np.inf), **ROWS_PX}
    ours, true = (
        np.stack([(areas >= low) & (areas < high) for low, high in groups.values()], axis=1)
        for areas in (counted.areas, objects.areas)
    )
    scenes = weights.shape[1]
    totals = np.stack([per_scene(objects.scenes, column, scenes) for column in true.T], axis=1)
    once = np.ones((1, scenes), np.int64)
    point, drawn = (
        yields_at(ranks, counted.right, counted.scenes, ours, totals.astype(np.int64), w)
        for w in (once, weights)
    )
    taken = int(point.taken[0])
    rows = []
    for i, name in enumerate(groups):
        figure = interval(float(point.yields[0, i]), drawn.yields[:, i], int(true[:, i].sum()))
        extra = (Figure(None), Figure(None))
        if i == 0:
            extra = (
                interval(float(point.thresholds[0]), drawn.thresholds, taken),
                interval(float(point.precisions[0]), drawn.precisions, taken),
            )
        rows.append((name, (figure, *extra)))
    title = (
        "share of true objects with an accepted, right label where 95 % of labels are right, by "
        + ("trust" if fitted else "the detector's score")
    )
    return Table("yield", title, ("yield at 95", "threshold", "right"), tuple(rows))


def point_tables(
    view: str,
    counts: list[PointCounts],
    classes: Vocabulary,
    weights: Int64,
    *,
    benchmark_classes: int = 0,
    instances: bool = True,
) -> tuple[Table, ...]:
    """Return every table of points in one view, by range ring.

    Args:
        view: "seen" or "all".
        counts: Of every sweep.
        classes: What is judged.
        weights: (draws, sweeps) of the bootstrap.
        benchmark_classes: See `Truth`.
        instances: Whether the truth has any; without them no figure of objects has a meaning.
    """
    per_class = np.stack([one.classes for one in counts])
    panoptic = np.stack([one.panoptic for one in counts])
    objects = np.stack([one.objects for one in counts])
    coverage = np.stack([one.coverage for one in counts])
    ious = _iou_table(view, per_class, classes, weights, benchmark_classes)
    covered = _coverage_table(view, coverage, weights)
    if not instances:
        return ious, covered
    return (
        ious,
        _point_quality(view, panoptic, classes, weights),
        _object_table(view, objects, np.stack([one.ceiling for one in counts]), weights),
        covered,
    )


def class_ious(sums: Float64) -> Float64:
    """Return IoU from (..., 3) counts (in common, true, predicted); NaN for what is nowhere."""
    union = sums[..., 1] + sums[..., 2] - sums[..., 0]
    return share(sums[..., 0], union)


def mean_iou(sums: Float64) -> Float64:
    """Return the mean IoU from (..., K, 3) counts over the classes that the truth has."""
    return mean_known(np.where(sums[..., 1] > 0, class_ious(sums), np.nan))


def benchmark_iou(benchmark_classes: int, sums: Float64) -> Float64:
    """Return the mean IoU from (..., K, 3) counts over a benchmark's classes, others being 0."""
    return np.asarray(np.nan_to_num(class_ious(sums)).sum(axis=-1) / benchmark_classes)


def _iou_table(
    view: str, counts: Float64, classes: Vocabulary, weights: Int64, benchmark_classes: int
) -> Table:
    means = {"mIoU": mean_iou}
    if benchmark_classes:
        means[f"mIoU of {benchmark_classes}"] = partial(benchmark_iou, benchmark_classes)
    rows = [
        (
            name,
            tuple(
                of_sums(counts[:, ring], weights, mean, int(counts[:, ring, :, 1].sum()))
                for ring in range(len(RINGS))
            ),
        )
        for name, mean in means.items()
    ]
    for row, name in enumerate(classes.names.values()):
        if counts[:, 0, row].any():
            figures = (
                of_sums(
                    counts[:, ring, row], weights, class_ious, int(counts[:, ring, row, 1].sum())
                )
                for ring in range(len(RINGS))
            )
            rows.append((name, tuple(figures)))
    title = f"IoU of points, {view}; mIoU over the classes that the truth has there; n: true points"
    return Table(f"points.{view}.iou", title, RINGS, tuple(rows))


def _point_quality(view: str, counts: Float64, classes: Vocabulary, weights: Int64) -> Table:
    by_ring = [dict(_quality_rows(counts[:, ring], classes, weights)) for ring in range(len(RINGS))]
    rows = [
        (name, tuple(ring.get(name, (Figure(None),))[0] for ring in by_ring)) for name in by_ring[0]
    ]
    title = f"PQ of points, {view}; segments under 50 points are neither missed nor false"
    return Table(f"points.{view}.pq", title, RINGS, tuple(rows))


def _object_table(view: str, counts: Float64, ceiling: Float64, weights: Int64) -> Table:
    rows = []
    ways = {name: counts[:, :, way] for way, name in enumerate(MATCHES)}
    if ceiling.any():
        ways["ceiling"] = ceiling
    for name, of_way in ways.items():
        for kind, (part, whole) in {"mean": (1, 0), "pooled": (2, 3)}.items():
            figures = (
                of_sums(
                    of_way[:, ring][:, [part, whole]],
                    weights,
                    lambda s: share(s[:, 0], s[:, 1]),
                    int(of_way[:, ring, 0].sum()),
                )
                for ring in range(len(RINGS))
            )
            rows.append((f"{kind}, {name}", tuple(figures)))
    title = f"IoU of the points of an object of 10 points or more, {view}; n: objects"
    return Table(f"points.{view}.objects", title, RINGS, tuple(rows))


def _share_of(kind: int, sums: Float64) -> Float64:
    return share(sums[:, kind], sums.sum(axis=1))


def _coverage_table(view: str, counts: Float64, weights: Int64) -> Table:
    rows = []
    for group, group_name in enumerate(GROUPS):
        for kind, kind_name in enumerate(COVERAGE):
            figures = (
                of_sums(
                    counts[:, ring, group],
                    weights,
                    partial(_share_of, kind),
                    int(counts[:, ring, group].sum()),
                )
                for ring in range(len(RINGS))
            )
            rows.append((f"{group_name}: {kind_name}", tuple(figures)))
    title = f"what became of the points, {view}; n: points"
    return Table(f"points.{view}.coverage", title, RINGS, tuple(rows))
