"""Average precision as COCO defines it, for masks, boxes and boundaries; with bootstrap draws.

The figures themselves come from faster-coco-eval. It knows no scenes, so the draws come from a
table of matches of our own, made by COCO's rules (pycocotools/cocoeval.py: `evaluateImg`,
`accumulate`); the tests hold the two equal, and both equal to pycocotools. Sizes that COCO does not
have come from that table too. Boundary AP takes the
lesser of mask IoU and boundary IoU (Cheng et al., CVPR 2021, section 5.2).

What is ranked: all labels that are not rejected, those for review too, by detector score. Areas are
those of the masks (of the boxes, for labels ranked as boxes: COCO's own rule).
"""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from perception.core import boxes as boxes_
from perception.core import masks as masks_
from perception.core.errors import RequestError
from perception.core.sizes import LARGE_PX, SMALL_PX
from perception.core.statistics import Figure, Int64, interval, mean_known
from perception.core.types import Bool, Float32, Float64
from perception.evaluation.instances import Comparison, Labels
from perception.evaluation.truth import ANY_CLASS, Vocabulary

Kind = Literal["segm", "bbox", "boundary", "prompt"]
KINDS: dict[str, Kind] = {
    "mask": "segm",
    "box": "bbox",  # bounds of the mask
    "boundary": "boundary",
    "prompt": "prompt",  # what the detector said
}
THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MAX_LABELS = 100  # of one class in one image, the best by score
SEEN = 24**2  # what a detector of whole images can be asked to find
AREAS = {
    "all": (0, 1e10),
    "small": (0, SMALL_PX),
    "medium": (SMALL_PX, LARGE_PX),
    "large": (LARGE_PX, 1e10),
    "24 px": (SEEN, 1e10),
}
# column: the thresholds that it averages, and the sizes of objects
COLUMNS: dict[str, tuple[slice, str]] = {
    "AP": (slice(None), "all"),
    "AP50": (slice(0, 1), "all"),
    "AP75": (slice(5, 6), "all"),
    "AP small": (slice(None), "small"),
    "AP medium": (slice(None), "medium"),
    "AP large": (slice(None), "large"),
    "AP50 from 24x24 px": (slice(0, 1), "24 px"),
}
_MAX_CELLS = 1 << 21  # draws x labels at a time


@dataclass(frozen=True, eq=False)
class Ranking:
    """The labels of one class and one size of object, by falling score.

    Attributes:
        scenes: (D,) int64 number of the sample.
        hits: (T, D) bool, the label is right at that threshold.
        ignored: (T, D) bool, the label does not count.
        objects: (S,) int64 true objects of every scene.
    """

    scenes: Int64
    hits: Bool
    ignored: Bool
    objects: Int64


def figures(
    comparisons: list[Comparison], classes: Vocabulary, kind: Kind, weights: Int64
) -> dict[str, Figure]:
    """Return every column of the AP table for one kind of overlap."""
    points = coco_figures(comparisons, classes, kind)
    ours = [column for column in COLUMNS if column not in points]
    once = np.ones((1, weights.shape[1]), np.int64)  # every scene once: no draw, the figure itself
    for column, (value, _) in draws(comparisons, classes, kind, once, ours).items():
        points[column] = float(value[0])
    drawn = draws(comparisons, classes, kind, weights)
    return {column: interval(points[column], *drawn[column]) for column in COLUMNS}


def draws(
    comparisons: list[Comparison],
    classes: Vocabulary,
    kind: Kind,
    weights: Int64,
    columns: Iterable[str] = tuple(COLUMNS),
) -> dict[str, tuple[Float64, int]]:
    """Return columns of the AP table on every draw, (R,), each with the objects it rests on.

    A draw without any object has NaN.
    """
    drawn: dict[str, tuple[list[Float64], int]] = {}  # by size of object, all thresholds
    found = {}
    for column in columns:
        thresholds, area = COLUMNS[column]
        if area not in drawn:
            scenes = weights.shape[1]
            rankings = [rank(comparisons, c, kind, area, scenes) for c in classes.names]
            objects = sum(int(one.objects.sum()) for one in rankings)
            drawn[area] = [drawn_precisions(one, weights) for one in rankings], objects
        by_class, objects = drawn[area]
        averages = [values[:, thresholds].mean(axis=1) for values in by_class]
        table = np.stack(averages, axis=1) if averages else np.zeros((len(weights), 0))
        found[column] = mean_known(table), objects
    return found


def overlaps_of(found: Comparison, kind: Kind) -> tuple[Float64, Float64]:
    """Return (N, M) IoU by COCO's rules, and (N,) the areas that decide a label's size.

    With ignored regions, IoU is the share of the label inside, since a crowd may hold many.
    """
    if kind in ("bbox", "prompt"):
        ours = _boxes(found.labels, kind)
        areas = boxes_.areas(ours)
        inside = boxes_.overlaps(ours, found.truth.boxes_xyxy)
        plain = boxes_.ious(ours, found.truth.boxes_xyxy)
    else:
        areas = found.label_areas.astype(np.float64)
        inside = found.overlaps.astype(np.float64)
        plain = found.ious
        if kind == "boundary":
            plain = np.minimum(plain, found.boundary_ious)
    crowd = inside / np.maximum(areas, 1e-12)[:, None]
    return np.where(found.truth.ignored[None, :], crowd, plain), areas


def _boxes(labels: Labels, kind: Kind) -> Float32:
    return labels.boxes_xyxy if kind == "prompt" else labels.masks.boxes_xyxy.astype(np.float32)


def rank(
    comparisons: list[Comparison], class_id: int, kind: Kind, area: str, scenes: int
) -> Ranking:
    """Match the labels of one class in every image, and put them in the order of their scores."""
    low, high = AREAS[area]
    parts: list[tuple[Float32, Int64, Bool, Bool]] = []
    objects = np.zeros(scenes, np.int64)
    for found in comparisons:
        rows = np.flatnonzero(found.labels.class_ids == class_id)
        rows = rows[np.argsort(-found.labels.scores[rows], kind="stable")][:MAX_LABELS]
        truth = found.truth
        columns = np.flatnonzero(
            (truth.class_ids == class_id) | (truth.ignored & (truth.class_ids == ANY_CLASS))
        )
        crowd, sizes = truth.ignored[columns], found.true_areas[columns]
        ignored = crowd | (sizes < low) | (sizes > high)
        objects[found.scene] += int((~ignored).sum())
        if len(rows) == 0:
            continue
        ious, areas = overlaps_of(found, kind)
        hits, excused = coco_matches(ious[np.ix_(rows, columns)], ignored, crowd)
        outside = (areas[rows] < low) | (areas[rows] > high)
        excused |= ~hits & outside[None, :]
        scene = np.full(len(rows), found.scene, np.int64)
        parts.append((found.labels.scores[rows], scene, hits & ~excused, excused))
    if not parts:
        nothing = np.zeros((len(THRESHOLDS), 0), bool)
        return Ranking(np.zeros(0, np.int64), nothing, nothing, objects)
    order = np.argsort(-np.concatenate([part[0] for part in parts]), kind="stable")
    return Ranking(
        scenes=np.concatenate([part[1] for part in parts])[order],
        hits=np.concatenate([part[2] for part in parts], axis=1)[:, order],
        ignored=np.concatenate([part[3] for part in parts], axis=1)[:, order],
        objects=objects,
    )


def coco_matches(ious: Float64, ignored: Bool, crowd: Bool) -> tuple[Bool, Bool]:
    """Match labels to objects as `COCOeval.evaluateImg` does.

    Args:
        ious: (D, G), labels by falling score.
        ignored: (G,) objects that do not count: crowds, and those of another size.
        crowd: (G,) regions that any number of labels may match.

    Returns:
        (T, D) whether a label is matched, and whether to an ignored object.
    """
    steps = np.minimum(THRESHOLDS, 1 - 1e-10)[:, None]
    free = np.ones((len(THRESHOLDS), len(ignored)), bool)
    matched = np.zeros((len(THRESHOLDS), len(ious)), bool)
    excused = matched.copy()
    if len(ignored) == 0:
        return matched, excused
    every = np.arange(len(THRESHOLDS))
    for label, row in enumerate(ious):
        usable = (row[None, :] >= steps) & (free | crowd[None, :])
        for group in (~ignored, ignored):  # an object that counts comes first
            scores = np.where(usable & group[None, :], row[None, :], -1.0)
            best = len(row) - 1 - scores[:, ::-1].argmax(axis=1)  # of equals, COCO takes the last
            new = (scores[every, best] >= 0) & ~matched[:, label]
            free[every[new], best[new]] = False
            matched[:, label] |= new
            excused[:, label] |= new & ignored[best]
    return matched, excused


def drawn_precisions(ranking: Ranking, weights: Int64) -> Float64:
    """Return (R, T) average precision of every draw; NaN where a draw has no object.

    An image that is drawn twice counts twice. Precision at a recall is the best precision at that
    recall or a higher one, averaged over 101 recalls.
    """
    result = np.empty((len(weights), len(THRESHOLDS)))
    step = max(1, _MAX_CELLS // max(1, len(ranking.scenes)))
    for start in range(0, len(weights), step):
        part = weights[start : start + step]
        objects = (part @ ranking.objects).astype(np.float64)
        drawn = part[:, ranking.scenes]
        for t in range(len(THRESHOLDS)):
            if t == 0 or (ranking.ignored[t] != ranking.ignored[t - 1]).any():
                counted = np.cumsum(drawn * ~ranking.ignored[t], axis=1)
            at = ranking.hits[t]  # precision peaks, and recall moves, at hits only
            hits = np.cumsum(drawn[:, at], axis=1)
            result[start : start + step, t] = _average(hits, counted[:, at], objects)
    return result


def _average(hits: Int64, counted: Int64, objects: Float64) -> Float64:
    with_objects = np.maximum(objects, 1)[:, None]
    precision = hits / (counted + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = np.searchsorted(RECALLS, hits / with_objects, side="right")
    new = np.diff(reached, axis=1, prepend=0)
    averages = (new * envelope).sum(axis=1) / len(RECALLS)
    return np.asarray(np.where(objects > 0, averages, np.nan))


def coco_figures(
    comparisons: list[Comparison], classes: Vocabulary, kind: Kind
) -> dict[str, float]:
    """Return every column of the AP table by faster-coco-eval; NaN where there is no object.

    Raises:
        RequestError: `dependency.missing`.
    """
    try:  # by name: it has no types, and nobody else needs it
        coco = importlib.import_module("faster_coco_eval")
    except ModuleNotFoundError as error:
        raise RequestError(
            "dependency.missing", "average precision needs `pip install faster-coco-eval`"
        ) from error
    truth, results = coco_documents(comparisons, classes, kind)
    true_set = coco.COCO(truth)
    overlap = "bbox" if kind == "prompt" else kind
    judge = coco.COCOeval_faster(true_set, true_set.loadRes(results), iouType=overlap)
    judge.boundary_cpu_count = judge.rle_iou_max_workers = 1
    judge.run()
    names = ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large")
    values = (float(value) for value in judge.stats[:6])
    return {n: np.nan if v < 0 else v for n, v in zip(names, values, strict=True)}


def coco_documents(
    comparisons: list[Comparison], classes: Vocabulary, kind: Kind
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return COCO's ground truth and results, as JSON has them.

    Results for masks carry no box, or COCO would take the area of the box for the mask's; a void
    region is a crowd of every class.
    """
    images, annotations = list[dict[str, Any]](), list[dict[str, Any]]()
    results = list[dict[str, Any]]()
    for image_id, found in enumerate(comparisons, start=1):
        truth, labels = found.truth, found.labels
        height, width = truth.size_hw
        images.append(
            {"id": image_id, "height": height, "width": width, "file_name": truth.file_name}
        )
        for row, class_id in enumerate(truth.class_ids.tolist()):
            shape = {
                "image_id": image_id,
                "iscrowd": int(truth.ignored[row]),
                "area": int(found.true_areas[row]),
                "bbox": _xywh(truth.boxes_xyxy[row]),
                "segmentation": masks_.to_coco(truth.masks, row),
            }
            for category_id in classes.names if class_id == ANY_CLASS else (class_id,):
                number = len(annotations) + 1
                annotations.append({"id": number, "category_id": category_id, **shape})
        for row in range(len(labels)):
            shape = {"segmentation": masks_.to_coco(labels.masks, row)}
            if kind in ("bbox", "prompt"):
                shape = {"bbox": _xywh(_boxes(labels, kind)[row])}
            results.append(
                {
                    "image_id": image_id,
                    "category_id": int(labels.class_ids[row]),
                    "score": float(labels.scores[row]),
                    **shape,
                }
            )
    categories = [{"id": key, "name": name} for key, name in classes.names.items()]
    return {"images": images, "annotations": annotations, "categories": categories}, results


def _xywh(box_xyxy: Float32) -> list[float]:
    x0, y0, x1, y1 = (float(side) for side in box_xyxy)
    return [x0, y0, x1 - x0, y1 - y0]
