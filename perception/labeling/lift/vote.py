"""Several cameras, one sweep: which instances are one object, and who has a point.

Two instances of different cameras are one object if most of the points that both cameras see on
the smaller one are on both; of several candidates, the one that shares most. A point that two
objects claim goes to the better status, which what the points doubt has lost, then to the larger
sum of trust. A camera's trust in a label of a point is a product of three:

    edge   a mask's middle is surer than its edge, and its edge than what lies beside it
    time   what moves is elsewhere by its speed times the gap between image and sweep; speeds are
           not known, so everything is taken to be as fast as a car in town
    sight  on the nearest surface of its pixel a point is surer than where it is almost hidden

The sum of its owner's claims, 1 at most, is kept with each point.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perception.core.types import (
    Bool,
    Float32,
    Float64,
    Int32,
    PointLabels,
    PointState,
    RowAligned,
    Status,
    UInt8,
)
from perception.labeling.lift.links import NOBODY
from perception.labeling.lift.separate import Parts, View
from perception.labeling.lift.sight import Rows, Sight

SAME_SHARE = 0.5  # of the points of the smaller instance that both cameras see
SURE_PX = 5.0  # inside a mask by this much a point is fully trusted
SPEED_MPS = 10.0  # of what moves, in a street
OFF_M = 0.5  # what may be this far from where it was is trusted half
LEAST_SIGHT = 0.5  # trust of what is almost hidden, or hidden and still an object's
FULL = 255  # full trust, as it is stored


def vote(
    views: Sequence[View], sights: Sequence[Sight], parts: Sequence[Parts], count: int
) -> tuple[PointLabels, dict[int, int]]:
    """Give each of `count` points the label with the most trust over all cameras.

    Returns:
        The labels. The ids of instances that are another's object, to the id of that one: the
        member of the best status, then of the most points, then of the earliest camera.
    """
    seen, unsure = np.zeros(count, bool), np.zeros(count, bool)
    claimed = np.full((len(views), count), NOBODY, np.int32)
    for number, (sight, part) in enumerate(zip(sights, parts, strict=True)):
        seen[sight.rows[~sight.hidden]] = True
        unsure[sight.rows[part.unsure]] = True
        claimed[number, sight.rows] = part.owners
    same = _same(views, sights, claimed) if len(views) > 1 else {}
    ids, class_ids = np.zeros(count, np.int32), np.full(count, -1, np.int32)
    kept = np.zeros(count, np.uint8)
    if views:
        rows = zip(views, sights, parts, strict=True)
        points, owners, kinds, sums = _elect(_Claims.joined([_claims(*row, same) for row in rows]))
        ids[points], class_ids[points] = owners, kinds
        kept[points] = np.round(FULL * np.minimum(sums, 1))
    states = np.where(seen & ~unsure, PointState.BACKGROUND, PointState.UNKNOWN).astype(np.uint8)
    states[ids > 0] = PointState.LABELLED
    labels = PointLabels(states=states, class_ids=class_ids, instance_ids=ids, trusts=kept)
    return labels, same


def trust(insets_px: Float32, clear: Float32, time_gap_s: float) -> Float64:
    """Return how far a camera's label of each of N points is trusted, above 0 and up to 1.

    Args:
        insets_px: (N,) distance to the edge of the mask, 0 outside it.
        clear: (N,) see `Sight`.
        time_gap_s: See `Camera`.
    """
    edge = (1 + np.minimum(insets_px.astype(np.float64), SURE_PX)) / (1 + SURE_PX)
    on_time = 1 / (1 + abs(time_gap_s) * SPEED_MPS / OFF_M)
    return np.asarray(edge * on_time * (LEAST_SIGHT + (1 - LEAST_SIGHT) * clear), np.float64)


def _same(views: Sequence[View], sights: Sequence[Sight], claimed: Int32) -> dict[int, int]:
    """Return the id of each instance that is another's object to the id of that one."""
    visible = np.zeros(claimed.shape, bool)
    for number, sight in enumerate(sights):
        visible[number, sight.rows[~sight.hidden]] = True
    pairs: list[tuple[float, tuple[int, int], tuple[int, int]]] = []
    for a in range(len(views)):
        for b in range(a + 1, len(views)):
            likely = _likely(claimed[a], claimed[b], visible[a] & visible[b])
            pairs += [(iou, (a, i), (b, j)) for iou, i, j in likely]
    group = {member: {member} for _, *ends in pairs for member in ends}
    for _, one, other in sorted(pairs, key=lambda pair: (-pair[0], pair[1:])):
        good = all(views[n].statuses[row] != Status.REJECTED for n, row in (one, other))
        apart = not {n for n, _ in group[one]} & {n for n, _ in group[other]}
        if good and apart:  # a camera sees an object once
            whole = group[one] | group[other]
            for member in whole:
                group[member] = whole
    result: dict[int, int] = {}
    for members in {frozenset(whole) for whole in group.values() if len(whole) > 1}:
        ranked = sorted(
            members,
            key=lambda m: (views[m[0]].statuses[m[1]], -(claimed[m[0]] == m[1]).sum(), m),
        )
        first, *others = (int(views[n].instance_ids[row]) for n, row in ranked)
        result |= dict.fromkeys(others, first)
    return result


def _likely(ours: Int32, theirs: Int32, both: Bool) -> list[tuple[float, int, int]]:
    """Return (IoU, row, row) of the instances of two cameras that are likely one object.

    The IoU tells two cars under one mask apart, of both of which all points may be shared.
    """
    ours, theirs = ours[both], theirs[both]
    if len(ours) == 0 or ours.max() == NOBODY or theirs.max() == NOBODY:
        return []
    shape = (int(ours.max()) + 2, int(theirs.max()) + 2)
    codes = (ours + 1).astype(np.int64) * shape[1] + theirs + 1
    table = np.bincount(codes, minlength=shape[0] * shape[1]).reshape(shape)
    sizes = np.minimum(table.sum(axis=1)[1:, None], table.sum(axis=0)[None, 1:])
    common = table[1:, 1:]
    shares = common / np.maximum(sizes, 1)
    unions = table.sum(axis=1)[1:, None] + table.sum(axis=0)[None, 1:] - common
    ious = common / np.maximum(unions, 1)
    return [(float(ious[i, j]), int(i), int(j)) for i, j in np.argwhere(shares > SAME_SHARE)]


@dataclass(frozen=True, eq=False, repr=False)
class _Claims(RowAligned):
    """The votes of all cameras: one row for each point and camera that labels it."""

    points: Rows
    ids: Int32  # of the object
    class_ids: Int32
    statuses: UInt8
    trusts: Float64


def _claims(view: View, sight: Sight, part: Parts, same: dict[int, int]) -> _Claims:
    own = np.flatnonzero(part.owners != NOBODY)
    owners = part.owners[own]
    ids = np.array([same.get(int(i), int(i)) for i in view.instance_ids], np.int32)
    return _Claims(
        points=sight.rows[own],
        ids=ids[owners],
        class_ids=view.class_ids[owners],
        statuses=view.statuses[owners],
        trusts=trust(part.insets_px[own], sight.clear[own], view.camera.time_gap_s),
    )


def _elect(claims: _Claims) -> tuple[Rows, Int32, Int32, Float64]:
    """Return the points that have an owner; id, class and sum of trust of the owners."""
    codes = claims.points.astype(np.int64) << 32 | claims.ids
    pairs, first, number = np.unique(codes, return_index=True, return_inverse=True)
    trusts = np.bincount(number, claims.trusts)
    statuses = np.full(len(pairs), 255, np.uint8)
    np.minimum.at(statuses, number, claims.statuses)
    points = pairs >> 32
    best_first = np.lexsort((first, -trusts, statuses, points))
    won = best_first[np.diff(points[best_first], prepend=-1) > 0]
    ids = (pairs[won] & 0xFFFFFFFF).astype(np.int32)
    class_of = _classes(claims)
    class_ids = np.array([class_of[int(i)] for i in ids], np.int32)
    return points[won], ids, class_ids, trusts[won]


def _classes(claims: _Claims) -> dict[int, int]:
    """Return the class of each object: where cameras differ, the larger trust decides."""
    result: dict[int, int] = {}
    for number in np.unique(claims.ids):
        own = claims[claims.ids == number]
        kinds, first, kind = np.unique(own.class_ids, return_index=True, return_inverse=True)
        trusts = np.bincount(kind, own.trusts)
        result[int(number)] = int(kinds[np.lexsort((first, -trusts))[0]])
    return result
