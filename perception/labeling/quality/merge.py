"""Which instances are one object: riders put together, duplicates found."""

from dataclasses import dataclass, replace

import numpy as np

from perception.core import boxes as boxes_
from perception.core import masks as masks_
from perception.core.config import ResolveConfig
from perception.core.ontology import Ontology
from perception.core.types import Bool, Float32, Float64, Instances, Int32, Masks, Status
from perception.labeling.quality.judge import outside_shares

# Where a rider's feet are, as a share of the two-wheeler's height from its top: 1 is the ground.
FEET_HIGHEST = 0.2
FEET_SURE = 0.95  # lower ones may stand on the ground beside it: to be reviewed
FEET_LOWEST = 1.1
INSIDE_SHARE = 0.9  # of a mask's pixels in others: it is inside them


@dataclass(frozen=True)
class Join:
    """Row `under` becomes part of row `over`, which takes class `class_id`.

    `sure` is False where the person may as well stand beside the two-wheeler.
    """

    over: int
    under: int
    class_id: int
    sure: bool


def find_riders(instances: Instances, ontology: Ontology) -> tuple[Join, ...]:
    """Pair people with the two-wheelers they sit on, each at most once, the closest fit first.

    A person sits on it if the person's centre is within its width, the person's top is above its
    top, and the person's feet are on it rather than on the ground beside it.
    """
    found: list[tuple[float, Join]] = []
    names = [ontology.by_id(int(i)).name for i in instances.class_ids]
    usable = instances.statuses != Status.REJECTED
    for rule in ontology.compose:
        becomes = ontology.id_of(rule.becomes)
        for over in (i for i, name in enumerate(names) if name == rule.over and usable[i]):
            for under in (i for i, name in enumerate(names) if name == rule.under and usable[i]):
                person, wheeler = instances.boxes_xyxy[over], instances.boxes_xyxy[under]
                offset, feet = _seat(person, wheeler)
                if offset <= 0.5 and person[1] < wheeler[1] and FEET_HIGHEST <= feet <= FEET_LOWEST:
                    found.append((offset, Join(over, under, becomes, sure=feet <= FEET_SURE)))
    joins: list[Join] = []
    taken: set[int] = set()
    for _, join in sorted(found, key=lambda pair: (pair[0], pair[1].over, pair[1].under)):
        if join.over not in taken and join.under not in taken:
            taken |= {join.over, join.under}
            joins.append(join)
    return tuple(joins)


def _seat(person: Float32, wheeler: Float32) -> tuple[float, float]:
    """Return how far from the middle a person is, in widths, and how far down, in heights."""
    width, height = (float(side) for side in wheeler[2:] - wheeler[:2])
    centre = float(person[0] + person[2]) / 2
    offset = abs(centre - float(wheeler[0] + wheeler[2]) / 2) / width
    return offset, float(person[3] - wheeler[1]) / height


def join_riders(instances: Instances, joins: tuple[Join, ...]) -> Instances:
    """Join the masks and boxes of each pair; the two-wheeler's row stays, empty and rejected."""
    if not joins:
        return instances
    rows = [
        (box, counts)
        for box, counts in zip(instances.masks.boxes_xyxy, instances.masks.counts, strict=True)
    ]
    class_ids, statuses = instances.class_ids.copy(), instances.statuses.copy()
    boxes, reasons = instances.boxes_xyxy.copy(), list(instances.reasons)
    for join in joins:
        whole = masks_.decode_one(instances.masks, join.over) | masks_.decode_one(
            instances.masks, join.under
        )
        rows[join.over] = masks_.encode_one(whole)
        rows[join.under] = (np.zeros(4, np.int32), b"")
        boxes[join.over, :2] = np.minimum(boxes[join.over, :2], boxes[join.under, :2])
        boxes[join.over, 2:] = np.maximum(boxes[join.over, 2:], boxes[join.under, 2:])
        class_ids[join.over] = join.class_id
        statuses[join.over] = max(statuses[join.over], statuses[join.under])
        reasons[join.over] = tuple(dict.fromkeys(reasons[join.over] + reasons[join.under]))
        if not join.sure:
            statuses[join.over] = Status.REVIEW
            reasons[join.over] += ("rider.unsure",)
        statuses[join.under] = Status.REJECTED
        reasons[join.under] = (f"part_of.{instances.instance_ids[join.over]}",)
    masks = masks_.join(tuple(rows), instances.masks.size_hw)
    riders = np.isin(np.arange(len(instances)), [join.over for join in joins])
    bounds = masks.boxes_xyxy.astype(np.float32)
    box_ious = np.where(riders, boxes_.paired_ious(bounds, boxes), instances.box_ious)
    outside = np.where(riders, outside_shares(masks, boxes), instances.outside_shares)
    return replace(
        instances,
        class_ids=class_ids,
        statuses=statuses,
        reasons=tuple(reasons),
        box_ious=box_ious.astype(np.float32),
        outside_shares=outside.astype(np.float32),
        boxes_xyxy=boxes,
        masks=masks,
    )


def reject_duplicates(instances: Instances, ontology: Ontology, config: ResolveConfig) -> Instances:
    """Reject every instance that a better one already covers.

    Two masks with a high IoU are one object, whatever their classes. A mask inside another of the
    same family is a part of it if its box is inside too and its score is lower: of two boxes that a
    person gave, neither is a part.
    """
    order = precedence(instances)
    overlap = masks_.overlaps(instances.masks)
    area = np.diag(overlap)
    families = [ontology.by_id(int(i)).parent for i in instances.class_ids]
    statuses, reasons = instances.statuses.copy(), list(instances.reasons)
    kept: list[int] = []
    for row in order:
        if statuses[row] == Status.REJECTED or area[row] == 0:
            continue
        for better in kept:
            shared = overlap[row, better]
            same = shared >= config.duplicate_iou * (area[row] + area[better] - shared)
            part = (
                families[row] == families[better]
                and instances.scores[row] < instances.scores[better]
                and shared >= config.duplicate_containment * area[row]
                and _contained(instances.boxes_xyxy[row], instances.boxes_xyxy[better])
                >= config.duplicate_containment
            )
            if same or part:
                statuses[row] = Status.REJECTED
                reasons[row] = (*reasons[row], f"duplicate_of.{instances.instance_ids[better]}")
                break
        else:
            kept.append(int(row))
    return replace(instances, statuses=statuses, reasons=tuple(reasons))


def precedence(instances: Instances) -> list[int]:
    """Return the rows from the best claim to the worst.

    By status, what a person accepted before all else, then detector score; where these are equal
    (boxes that a person gave all score 1), the box that reaches lower first: on a street that
    object stands nearer to the camera, and hides the others. Then the smaller mask, then the lower
    id. Among what people accepted the smaller mask is first, whatever the scores: a mask inside
    another would be gone else. So is what the rules accepted inside a mask of theirs.
    """
    people = instances.by_human | _inside_people(instances)
    keys = (
        instances.instance_ids,
        *nearness_keys(instances.boxes_xyxy, instances.masks),
        -instances.scores.astype(np.float64),
        np.where(people, masks_.areas(instances.masks), 0),
        ~people,
        instances.statuses,
    )
    return [int(row) for row in np.lexsort(keys)]


def _inside_people(instances: Instances) -> Bool:
    """Return (N,) which accepted rows lie inside masks that people accepted."""
    accepted = instances.statuses == Status.ACCEPTED
    inside = np.zeros(len(instances), bool)
    kept = np.flatnonzero(accepted & instances.by_human)
    if not len(kept):
        return inside
    theirs = np.zeros(instances.masks.size_hw, bool)
    for row in kept.tolist():
        x0, y0, x1, y1 = (int(side) for side in instances.masks.boxes_xyxy[row])
        theirs[y0:y1, x0:x1] |= masks_.decode_crop(instances.masks, row)
    for row in np.flatnonzero(accepted & ~instances.by_human).tolist():
        x0, y0, x1, y1 = (int(side) for side in instances.masks.boxes_xyxy[row])
        own = masks_.decode_crop(instances.masks, row)
        covered = np.count_nonzero(own & theirs[y0:y1, x0:x1])
        inside[row] = own.any() and covered >= INSIDE_SHARE * np.count_nonzero(own)
    return inside


def nearness_keys(boxes_xyxy: Float32, masks: Masks) -> tuple[Float64, Float64]:
    """Return keys for `np.lexsort` that put first what seems nearer: mask area, then lower edge."""
    return masks_.areas(masks).astype(np.float64), -boxes_xyxy[:, 3].astype(np.float64)


def flag_contested(instances: Instances, settled: Masks, config: ResolveConfig) -> Instances:
    """Send instances to review that lost a large share of their pixels to better claims.

    Args:
        instances: N instances with the masks that the segmenter gave.
        settled: (N) masks after `settle_overlaps`.
        config: The share.

    Returns:
        The instances with the settled masks.
    """
    before, after = masks_.areas(instances.masks), masks_.areas(settled)
    open_ = (instances.statuses != Status.REJECTED) & ~instances.by_human
    lost = (before - after > config.review_lost_share * before) & open_
    return replace(
        instances,
        statuses=np.where(lost, Status.REVIEW, instances.statuses).astype(np.uint8),
        reasons=tuple(
            (*reasons, "mask.contested") if row_lost else reasons
            for reasons, row_lost in zip(instances.reasons, lost, strict=True)
        ),
        masks=settled,
    )


def flag_doubts(instances: Instances, doubts: tuple[tuple[str, ...], ...]) -> Instances:
    """Send instances to review that the points contradict.

    Args:
        instances: N instances; what a person decided stays.
        doubts: N tuples of reason codes; none at all where there are no points.
    """
    if not any(doubts):
        return instances
    doubted = np.array([bool(codes) for codes in doubts], bool) & ~instances.by_human
    rows = zip(instances.reasons, doubts, doubted, strict=True)
    return replace(
        instances,
        statuses=np.where(
            doubted, np.maximum(instances.statuses, Status.REVIEW), instances.statuses
        ).astype(np.uint8),
        reasons=tuple((*had, *codes) if flagged else had for had, codes, flagged in rows),
    )


def yield_overlaps(masks: Masks, wins: tuple[tuple[int, int], ...]) -> Masks:
    """Take from each losing mask the pixels that it shares with the winner of its pair.

    Args:
        masks: N masks that may overlap.
        wins: Pairs of rows, the winner first.
    """
    rows = list(zip(masks.boxes_xyxy, masks.counts, strict=True))
    bitmaps = {loser: masks_.decode_crop(masks, loser).copy() for _, loser in wins}
    for winner, loser in wins:
        low = np.maximum(masks.boxes_xyxy[winner, :2], masks.boxes_xyxy[loser, :2])
        high = np.minimum(masks.boxes_xyxy[winner, 2:], masks.boxes_xyxy[loser, 2:])
        if (high > low).all():
            window = _window(low, high, masks.boxes_xyxy[winner])
            taken = masks_.decode_crop(masks, winner)[window]
            bitmaps[loser][_window(low, high, masks.boxes_xyxy[loser])] &= ~taken
    for row, bitmap in bitmaps.items():
        if bitmap.size:
            x0, y0 = (int(side) for side in masks.boxes_xyxy[row, :2])
            rows[row] = masks_.encode_one(bitmap, (x0, y0))
    return masks_.join(tuple(rows), masks.size_hw)


def _window(low: Int32, high: Int32, box: Int32) -> tuple[slice, slice]:
    """Return the rows and columns of [low, high) in the crop of a box."""
    (x0, y0), (x1, y1) = low - box[:2], high - box[:2]
    return slice(y0, y1), slice(x0, x1)


def settle_overlaps(masks: Masks, order: list[int]) -> Masks:
    """Give each pixel to the first row of `order` whose mask covers it."""
    taken = np.zeros(masks.size_hw, bool)
    rows: list[tuple[Int32, bytes]] = [(np.zeros(4, np.int32), b"")] * len(masks)
    for row in order:
        x0, y0, x1, y1 = (int(side) for side in masks.boxes_xyxy[row])
        window = taken[y0:y1, x0:x1]
        own = masks_.decode_crop(masks, row) & ~window if masks.counts[row] else window
        if own.any():
            rows[row] = masks_.encode_one(own, (x0, y0))
            window |= own
    return masks_.join(tuple(rows), masks.size_hw)


def _contained(inner: Float32, outer: Float32) -> float:
    low, high = np.maximum(inner[:2], outer[:2]), np.minimum(inner[2:], outer[2:])
    area = boxes_.areas(inner[None])[0]
    return float(np.prod(np.maximum(high - low, 0)) / area) if area else 0.0
