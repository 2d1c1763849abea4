"""One row per accepted label and one per true object: what rates and yields are counted from."""

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from perception.core.statistics import Int64
from perception.core.types import Bool, Float32, Float64, Int32, RowAligned
from perception.evaluation.instances import IGNORED_SHARE, Comparison, ignored_shares, match
from perception.evaluation.yields import CORRECT_IOU

FOUND_IOU = 0.5
Rows = TypeVar("Rows", bound=RowAligned)


@dataclass(frozen=True, eq=False, repr=False)
class LabelRows(RowAligned):
    """The accepted labels of all images.

    Attributes:
        scenes: (L,) number of the sample.
        class_ids: (L,) as judged.
        scores: (L,) detector scores.
        trusts: (L,) fitted chance of being right; NaN where nothing was fitted.
        areas: (L,) pixels: of the matched object's mask, of its own where there is none.
        ranges_m: (L,) of its labelled points; without any, of the matched object; NaN if neither.
        ious: (L,) mask IoU with the object that it is matched to from 0.5 on; 0 for none.
        boundary_ious: (L,) boundary IoU with it.
        right: (L,) bool, matched with 0.75 or more.
        excused: (L,) bool, not matched from 0.5 on, and in ignored regions.
        excused_75: (L,) bool, not right, and in ignored regions.
    """

    scenes: Int64
    class_ids: Int32
    scores: Float32
    trusts: Float32
    areas: Int64
    ranges_m: Float32
    ious: Float64
    boundary_ious: Float64
    right: Bool
    excused: Bool
    excused_75: Bool


@dataclass(frozen=True, eq=False, repr=False)
class ObjectRows(RowAligned):
    """The true objects of all images, without ignored regions.

    Attributes:
        scenes: (G,) number of the sample.
        class_ids: (G,) class ids.
        areas: (G,) pixels of the mask.
        ranges_m: (G,) NaN where it is not known.
        found: (G,) bool, an accepted label of its class is matched to it with IoU 0.5 or more.
        found_75: (G,) bool, with 0.75 or more.
        best_ious: (G,) highest mask IoU with any accepted label of its class; 0 without one.
    """

    scenes: Int64
    class_ids: Int32
    areas: Int64
    ranges_m: Float32
    found: Bool
    found_75: Bool
    best_ious: Float64


def label_rows(found: Comparison) -> LabelRows:
    """Judge the accepted labels of one image."""
    rows = found.labels.accepted
    loose, strict = match(found, rows, FOUND_IOU), match(found, rows, CORRECT_IOU)
    to = np.where(strict >= 0, strict, loose)
    each = np.arange(len(to))
    inside = ignored_shares(found) > IGNORED_SHARE
    areas, ranges_m = found.label_areas.copy(), found.labels.ranges_m.copy()
    ious, boundary_ious = np.zeros(len(to)), np.zeros(len(to))
    hit = to >= 0
    areas[hit] = found.true_areas[to[hit]]
    pointless = hit & np.isnan(ranges_m)
    ranges_m[pointless] = found.truth.ranges_m[to[pointless]]
    near = loose >= 0
    ious[near] = found.ious[each[near], loose[near]]
    boundary_ious[near] = found.boundary_ious[each[near], loose[near]]
    return LabelRows(
        scenes=np.full(len(to), found.scene, np.int64),
        class_ids=found.labels.class_ids,
        scores=found.labels.scores,
        trusts=found.labels.trusts,
        areas=areas,
        ranges_m=ranges_m,
        ious=ious,
        boundary_ious=boundary_ious,
        right=strict >= 0,
        excused=(loose < 0) & inside,
        excused_75=(strict < 0) & inside,
    )[rows]


def object_rows(found: Comparison) -> ObjectRows:
    """Judge the true objects of one image."""
    accepted = found.labels.accepted
    every = np.arange(len(found.truth))
    same = found.labels.class_ids[:, None] == found.truth.class_ids[None, :]
    ious = np.where(same & accepted[:, None], found.ious, 0)
    return ObjectRows(
        scenes=np.full(len(every), found.scene, np.int64),
        class_ids=found.truth.class_ids,
        areas=found.true_areas,
        ranges_m=found.truth.ranges_m,
        found=np.isin(every, match(found, accepted, FOUND_IOU)),
        found_75=np.isin(every, match(found, accepted, CORRECT_IOU)),
        best_ious=np.asarray(ious.max(axis=0, initial=0.0)),
    )[~found.truth.ignored]


def label_table(comparisons: list[Comparison]) -> LabelRows:
    """Return the accepted labels of all images."""
    return _stack([_NO_LABELS, *(label_rows(found) for found in comparisons)])


def object_table(comparisons: list[Comparison]) -> ObjectRows:
    """Return the true objects of all images."""
    return _stack([_NO_OBJECTS, *(object_rows(found) for found in comparisons)])


def _stack(parts: list[Rows]) -> Rows:
    columns = [field.name for field in fields(parts[0])]
    return type(parts[0])(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in columns}
    )


_NONE, _NO_FLAGS = np.zeros(0, np.int64), np.zeros(0, bool)
_NO_LABELS = LabelRows(
    scenes=_NONE,
    class_ids=np.zeros(0, np.int32),
    scores=np.zeros(0, np.float32),
    trusts=np.zeros(0, np.float32),
    areas=_NONE,
    ranges_m=np.zeros(0, np.float32),
    ious=np.zeros(0),
    boundary_ious=np.zeros(0),
    right=_NO_FLAGS,
    excused=_NO_FLAGS,
    excused_75=_NO_FLAGS,
)
_NO_OBJECTS = ObjectRows(
    scenes=_NONE,
    class_ids=np.zeros(0, np.int32),
    areas=_NONE,
    ranges_m=np.zeros(0, np.float32),
    found=_NO_FLAGS,
    found_75=_NO_FLAGS,
    best_ious=np.zeros(0),
)
