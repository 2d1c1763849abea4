"""Labels beside truth, image by image: who overlaps whom, who is matched, what does not count.

Three rules that all figures share:

- A label is matched to the free true object of its class that it overlaps most, labels in the order
  of falling scores, ties in the order of the rows, from a least IoU on. One label, one object.
- A label that is not matched, and lies with more than half of its pixels in ignored regions of its
  class or of any class, does not count (Kirillov et al., "Panoptic Segmentation", CVPR 2019, 4.2).
- Labels of classes that the truth does not know do not count.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
import numpy.typing as npt

from perception.core import boxes as boxes_
from perception.core import masks as masks_
from perception.core.errors import RequestError
from perception.core.types import (
    Bool,
    Float32,
    Float64,
    Int32,
    Masks,
    PictureLabels,
    PointLabels,
    RowAligned,
    Status,
)
from perception.evaluation.truth import ANY_CLASS, NOT_JUDGED, TruePicture, Vocabulary

Int64 = npt.NDArray[np.int64]
DILATION_RATIO = 0.02  # width of the boundary, as a share of the image's diagonal (Cheng et al.)
IGNORED_SHARE = 0.5
NO_RANGES: Mapping[int, float] = MappingProxyType({})


@dataclass(frozen=True, eq=False, repr=False)
class Labels(RowAligned):
    """N labels of one image that are judged: not rejected, not empty, of a class that is known.

    Attributes:
        instance_ids: (N,) int32, as in the labels.
        masks: (N) masks.
        boxes_xyxy: (N, 4) float32 prompt boxes.
        class_ids: (N,) int32, as they are judged.
        scores: (N,) float32 detector scores.
        trusts: (N,) float32, fitted chance of being right; NaN where nothing was fitted.
        accepted: (N,) bool; the others are for review.
        ranges_m: (N,) float32, see `label_ranges`; NaN where a label has no points.
    """

    instance_ids: Int32
    masks: Masks
    boxes_xyxy: Float32
    class_ids: Int32
    scores: Float32
    trusts: Float32
    accepted: Bool
    ranges_m: Float32


@dataclass(frozen=True, eq=False)
class Comparison:
    """The labels and the truth of one image.

    Attributes:
        scene: Number of the sample.
        truth: (M) objects and ignored regions.
        labels: (N) labels.
        label_areas: (N,) pixels.
        true_areas: (M,) pixels.
        overlaps: (N, M) pixels in common.
        ious: (N, M) float64 mask IoU.
        boundary_ious: (N, M) float64, see `boundaries`.
        not_judged: Labels left out, for their class.
    """

    scene: int
    truth: TruePicture
    labels: Labels
    label_areas: Int64
    true_areas: Int64
    overlaps: Int64
    ious: Float64
    boundary_ious: Float64
    not_judged: int


def compare(
    scene: int,
    labels: PictureLabels,
    truth: TruePicture,
    classes: Vocabulary,
    ranges_m: Mapping[int, float] = NO_RANGES,
    *,
    has_masks: bool = True,
) -> Comparison:
    """Put the labels of an image beside its truth.

    Args:
        scene: Number of the sample.
        labels: Of the image.
        truth: Of the image.
        classes: What the truth can judge.
        ranges_m: From the id of an instance to its range, see `label_ranges`.
        has_masks: False for a truth of boxes: then areas, overlaps and IoU are those of the boxes
            around the labels' masks, and boundaries have none.

    Raises:
        RequestError: `size.mismatch`.
    """
    if labels.size_hw != truth.size_hw:
        swapped = labels.size_hw == truth.size_hw[::-1]
        raise RequestError(
            "size.mismatch",
            f"{labels.file_name}: the run's image is {labels.size_hw[1]} x {labels.size_hw[0]}, "
            f"the truth's {truth.size_hw[1]} x {truth.size_hw[0]}"
            + (": one of the two did not apply the image's EXIF Orientation" if swapped else ""),
        )
    judged, not_judged = judged_labels(labels, classes, ranges_m)
    if not has_masks:
        return _compare_boxes(scene, judged, truth, not_judged)
    label_areas, true_areas = masks_.areas(judged.masks), masks_.areas(truth.masks)
    overlaps = cross_overlaps(judged.masks, truth.masks)
    edges, true_edges = boundaries(judged.masks), boundaries(truth.masks)
    return Comparison(
        scene=scene,
        truth=truth,
        labels=judged,
        label_areas=label_areas,
        true_areas=true_areas,
        overlaps=overlaps,
        ious=ratio_of(overlaps, label_areas, true_areas),
        boundary_ious=ratio_of(
            cross_overlaps(edges, true_edges), masks_.areas(edges), masks_.areas(true_edges)
        ),
        not_judged=not_judged,
    )


def _compare_boxes(scene: int, labels: Labels, truth: TruePicture, not_judged: int) -> Comparison:
    ours = labels.masks.boxes_xyxy.astype(np.float32)

    def whole_pixels(areas: Float64) -> Int64:
        return np.rint(areas).astype(np.int64)

    return Comparison(
        scene=scene,
        truth=truth,
        labels=labels,
        label_areas=whole_pixels(boxes_.areas(ours)),
        true_areas=whole_pixels(boxes_.areas(truth.boxes_xyxy)),
        overlaps=whole_pixels(boxes_.overlaps(ours, truth.boxes_xyxy)),
        ious=boxes_.ious(ours, truth.boxes_xyxy),
        boundary_ious=np.zeros((len(ours), len(truth))),
        not_judged=not_judged,
    )


def label_ranges(points: PointLabels, points_lidar: Float32) -> dict[int, float]:
    """Return the id of each instance to the median distance of its points on the ground, metres.

    Args:
        points: The labels of P points.
        points_lidar: (P, 3) the sweep.
    """
    ranges_m = np.hypot(points_lidar[:, 0].astype(np.float64), points_lidar[:, 1])
    known = (points.instance_ids > 0) & np.isfinite(ranges_m)
    ids = np.unique(points.instance_ids[known])
    return {int(i): float(np.median(ranges_m[known & (points.instance_ids == i)])) for i in ids}


def judged_labels(
    picture: PictureLabels, classes: Vocabulary, ranges_m: Mapping[int, float]
) -> tuple[Labels, int]:
    """Return the labels that are judged, and how many are left out for their class."""
    rows = picture.instances
    class_ids = classes(rows.class_ids)
    filled = np.array([bool(counts) for counts in rows.masks.counts], bool)
    usable = filled & (rows.statuses != Status.REJECTED)
    kept = usable & (class_ids != NOT_JUDGED)
    labels = Labels(
        instance_ids=rows.instance_ids[kept],
        masks=rows.masks[kept],
        boxes_xyxy=rows.boxes_xyxy[kept],
        class_ids=class_ids[kept],
        scores=rows.scores[kept],
        trusts=rows.trusts[kept],
        accepted=rows.statuses[kept] == Status.ACCEPTED,
        ranges_m=np.array(
            [ranges_m.get(int(i), np.nan) for i in rows.instance_ids[kept]], np.float32
        ),
    )
    return labels, int((usable & ~kept).sum())


def cross_overlaps(first: Masks, second: Masks) -> Int64:
    """Return (N, M) pixels that each mask of one shares with each mask of the other."""
    result = np.zeros((len(first), len(second)), np.int64)
    crops = [masks_.decode_crop(second, row) for row in range(len(second))]
    for i in range(len(first)):
        box = first.boxes_xyxy[i]
        low = np.maximum(box[:2], second.boxes_xyxy[:, :2])
        high = np.minimum(box[2:], second.boxes_xyxy[:, 2:])
        touching = np.flatnonzero((high > low).all(axis=1))
        crop = masks_.decode_crop(first, i) if len(touching) else np.zeros((0, 0), bool)
        for j in touching:
            (x0, y0), (x1, y1), other = low[j], high[j], second.boxes_xyxy[j]
            ours = crop[y0 - box[1] : y1 - box[1], x0 - box[0] : x1 - box[0]]
            theirs = crops[j][y0 - other[1] : y1 - other[1], x0 - other[0] : x1 - other[0]]
            result[i, j] = np.count_nonzero(ours & theirs)
    return result


def ratio_of(overlaps: Int64, first_areas: Int64, second_areas: Int64) -> Float64:
    """Return (N, M) IoU; 0 where the union is empty."""
    union = first_areas[:, None] + second_areas[None, :] - overlaps
    return np.asarray(np.divide(overlaps, union, out=np.zeros(overlaps.shape), where=union > 0))


def boundaries(masks: Masks, dilation_ratio: float = DILATION_RATIO) -> Masks:
    """Return the inner boundary of each mask: its pixels within a distance of its contour.

    The distance is a share of the image's diagonal, at least one pixel; the border of the image is
    contour as well. Source: Cheng et al., "Boundary IoU", CVPR 2021, and its reference code
    (boundary_iou/utils/boundary_utils.py, `mask_to_boundary`).
    """
    distance_px = max(1, round(dilation_ratio * float(np.hypot(*masks.size_hw))))
    kernel = np.ones((3, 3), np.uint8)
    rows = []
    for row in range(len(masks)):
        crop = masks_.decode_crop(masks, row)
        if crop.size == 0:
            rows.append((np.zeros(4, np.int32), b""))
            continue
        padded = np.pad(crop, 1).astype(np.uint8)  # what is outside the crop is no mask
        inner = cv2.erode(padded, kernel, iterations=distance_px)[1:-1, 1:-1]
        x0, y0 = (int(side) for side in masks.boxes_xyxy[row, :2])
        rows.append(masks_.encode_one(crop & (inner == 0), (x0, y0)))
    return masks_.join(tuple(rows), masks.size_hw)


def ignored_shares(found: Comparison) -> Float64:
    """Return (N,): how much of each label lies in ignored regions of its class or of any class."""
    same = found.labels.class_ids[:, None] == found.truth.class_ids[None, :]
    counts = found.truth.ignored[None, :] & (same | (found.truth.class_ids == ANY_CLASS)[None, :])
    inside = np.where(counts, found.overlaps, 0).sum(axis=1)  # regions do not overlap
    return np.asarray(inside / np.maximum(found.label_areas, 1))


def match(found: Comparison, rows: Bool, min_iou: float) -> npt.NDArray[np.intp]:
    """Return (N,) the row of the true object of each label; -1 for none.

    Args:
        found: Labels and truth.
        rows: (N,) the labels that take part.
        min_iou: The least mask IoU of a match.
    """
    matched = np.full(len(found.labels), -1, np.intp)
    allowed = (
        (found.labels.class_ids[:, None] == found.truth.class_ids[None, :])
        & ~found.truth.ignored[None, :]
        & (found.ious >= min_iou)
    )
    for row in np.argsort(-found.labels.scores, kind="stable"):
        if rows[row] and allowed[row].any():
            matched[row] = np.where(allowed[row], found.ious[row], -1).argmax()
            allowed[:, matched[row]] = False
    return matched
