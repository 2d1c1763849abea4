"""Which of the points that a camera sees are on which object.

    seed     under the mask, the nearest strong depth mode; what goes on beside the mask, as a wall
             does, counts for less
    growth   along chains of near points, from all seeds at once: each point goes to the seed that
             it hangs together with most closely, if it lies near the object's box in the image
    feet     the lowest points, which are told from the ground only by what stands on them

Ground does not take part in seeds and growth: it would join everything.
"""

from dataclasses import dataclass

import numpy as np

from perception.core import masks as masks_
from perception.core.config import LiftConfig
from perception.core.types import Bool, Camera, Float32, Float64, Int32, Masks, Status, UInt8
from perception.labeling.lift.extent import one_thing
from perception.labeling.lift.links import NOBODY, link_places, nearest_seeds
from perception.labeling.lift.sight import Rows, Sight, Under, points_under

RING_SHARE = 0.5  # of a box's longer side: how far around a mask depth modes are searched
EDGE_PX = 2.0  # a box is not known better than this


@dataclass(frozen=True, eq=False)
class View:
    """What one camera contributes: N instances.

    Attributes:
        camera: Intrinsics and mounting.
        masks: (N) masks that do not overlap.
        whole: (N) masks as the segmenter gave them.
        instance_ids: (N,) int32, at least 1.
        class_ids: (N,) int32.
        statuses: (N,) uint8, `Status`.
        boxes_xyxy: (N, 4) float32 prompt boxes.
        order: The rows from the best claim to the worst.
        usual_m: (N, 3) length, width and height of most objects of the class, NaN where unknown.
        most_m: (N, 3) what no object of the class exceeds, infinite where unknown.
    """

    camera: Camera
    masks: Masks
    whole: Masks
    instance_ids: Int32
    class_ids: Int32
    statuses: UInt8
    boxes_xyxy: Float32
    order: tuple[int, ...]
    usual_m: Float64
    most_m: Float64


@dataclass(frozen=True, eq=False)
class Parts:
    """The M points of a sight, told apart.

    Attributes:
        owners: (M,) int32 row of the view's instance, `NOBODY` for none.
        unsure: (M,) bool: under a mask or at an object, and of no instance.
        insets_px: (M,) float32 distance to the edge of the owner's mask; 0 outside it.
        under: Of each instance that is not rejected, the points under its whole mask.
        wins: Pairs of rows: where both masks cover a point, it more often is the first one's.
    """

    owners: Int32
    unsure: Bool
    insets_px: Float32
    under: dict[int, Under]
    wins: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class _Pixels:
    """The M points of a sight by what covers their pixels, and what they may be.

    Attributes:
        shown_by: (M,) int32 the instance whose pixel it is, `NOBODY` for none.
        masked: (M,) bool, under any mask, whole ones included.
        heights_m: (M,) above the ground, NaN where that is not known.
        low: (M,) bool, the ground itself or what stands on it.
        free: (M,) bool, neither low nor hidden.
    """

    shown_by: Int32
    masked: Bool
    heights_m: Float64
    low: Bool
    free: Bool


def separate(
    view: View, sight: Sight, points_lidar: Float32, heights_m: Float64, config: LiftConfig
) -> Parts:
    """Give each point in an image to one of its instances, or to none.

    Args:
        view: The instances.
        sight: The M points.
        points_lidar: (M, 3) metres, those of the sight.
        heights_m: (M,) above the ground, NaN where that is not known.
        config: Settings.
    """
    good = [row for row in view.order if view.statuses[row] != Status.REJECTED]
    under = {row: points_under(view.whole, row, sight) for row in good}
    pixels = _pixels(view, sight, under, heights_m, config)
    owners = np.full(len(sight), NOBODY, np.int32)
    for row, points in under.items():
        unclaimed = owners == NOBODY
        owners[_seed(row, points, view, sight, points_lidar, pixels, unclaimed, config)] = row
    grown = np.full(len(sight), NOBODY, np.int32)
    if config.growth_share > 0:
        grown = _grown(view, sight, points_lidar, owners, ~pixels.low, config)
        inside = _in_own_box(view, sight, grown, config)
        owners = np.where((owners == NOBODY) & inside, grown, owners)
    if config.feet_m > 0:
        _give_feet(owners, sight, points_lidar, pixels, config)
    _assign_unclaimed(owners, view, sight, pixels, grown == NOBODY, config)
    insets_px = np.zeros(len(sight), np.float32)
    for row, points in under.items():
        own = owners[points.rows] == row
        insets_px[points.rows[own]] = points.insets_px[own]
    return Parts(
        owners=owners,
        unsure=(owners == NOBODY) & ~pixels.low & (pixels.masked | (grown != NOBODY)),
        insets_px=insets_px,
        under=under,
        wins=_wins(owners, under),
    )


def _pixels(
    view: View, sight: Sight, under: dict[int, Under], heights_m: Float64, config: LiftConfig
) -> _Pixels:
    image = np.full(view.masks.size_hw, NOBODY, np.int32)
    for row, (x0, y0, x1, y1) in enumerate(view.masks.boxes_xyxy):
        if view.masks.counts[row]:
            image[y0:y1, x0:x1][masks_.decode_crop(view.masks, row)] = row
    shown_by = image[sight.y, sight.x]
    masked = shown_by != NOBODY
    for points in under.values():
        masked[points.rows] = True
    low = heights_m < config.ground_m  # NaN stands
    return _Pixels(shown_by, masked, heights_m, low, ~low & ~sight.hidden)


def _give_feet(
    owners: Int32, sight: Sight, points_lidar: Float32, pixels: _Pixels, config: LiftConfig
) -> None:
    """Give low points to the object of their pixel if it stands right over them."""
    from scipy.spatial import cKDTree  # late, see `perception.labeling.lift`

    low = (pixels.heights_m >= 0) & pixels.low & ~sight.hidden & (owners == NOBODY)
    for row in np.unique(pixels.shown_by[low & (pixels.shown_by != NOBODY)]):
        over, feet = points_lidar[owners == row, :2], np.flatnonzero(low & (pixels.shown_by == row))
        if len(over):
            distance_m, _ = cKDTree(over).query(
                points_lidar[feet, :2], distance_upper_bound=config.feet_m
            )
            owners[feet[np.isfinite(distance_m)]] = row


def _assign_unclaimed(
    owners: Int32, view: View, sight: Sight, pixels: _Pixels, lonely: Bool, config: LiftConfig
) -> None:
    """Assign unclaimed points to rejected masks, so that they are not background."""
    left = pixels.free & (owners == NOBODY) & lonely
    for row in view.order:
        if view.statuses[row] == Status.REJECTED:
            points = np.flatnonzero(left & (pixels.shown_by == row))
            chosen = nearest_strong_mode(sight.depth_m[points], np.ones(len(points)), config)
            owners[points[chosen]] = row


def _wins(owners: Int32, under: dict[int, Under]) -> tuple[tuple[int, int], ...]:
    """Return pairs of rows whose masks share points of which more are the first one's."""
    rows = list(under)
    covers = np.zeros((len(rows), len(owners)), bool)
    for place, row in enumerate(rows):
        covers[place, under[row].rows] = True
    shared = np.zeros((len(rows), len(rows)), np.int64)
    for place, row in enumerate(rows):
        own = under[row].rows[owners[under[row].rows] == row]
        shared[place] = covers[:, own].sum(axis=1)
    pairs = np.argwhere(shared > shared.T)
    return tuple((rows[int(one)], rows[int(other)]) for one, other in pairs)


def _seed(
    row: int,
    under: Under,
    view: View,
    sight: Sight,
    points_lidar: Float32,
    pixels: _Pixels,
    unclaimed: Bool,
    config: LiftConfig,
) -> Rows:
    """Return the points that are surely on an object.

    The mode is searched among points under no better mask. What the object's whole mask covers at
    the depth of the mode is the object's as well, unless that makes it larger than anything of its
    class.
    """
    free = pixels.free[under.rows] & unclaimed[under.rows]
    own = free & (pixels.shown_by[under.rows] == row)
    if not own.any():
        own = free
    if not own.any():
        return np.zeros(0, np.intp)
    weights, depth_m = under.insets_px[own], sight.depth_m[under.rows[own]]
    modes = depth_modes(depth_m, config)
    if config.sizes:
        nearest_m = np.full(modes.max() + 1, np.inf)
        np.minimum.at(nearest_m, modes, depth_m)
        possible = (nearest_m <= _furthest_m(row, view))[modes]
        if not possible.any():
            return np.zeros(0, np.intp)
        weights = np.where(possible, weights, 0)
    if config.go_on:
        ring = _in_box(view.boxes_xyxy[row], sight, RING_SHARE)
        ring &= pixels.free & ~pixels.masked
        weights = weights * _own_shares(depth_m, modes, sight.depth_m[ring])[modes]
    chosen = depth_m[_nearest_strong(modes, weights, config)]
    depth_m = sight.depth_m[under.rows]
    at_depth = free & (depth_m >= chosen.min()) & (depth_m <= chosen.max())
    seed: Rows = under.rows[at_depth]
    if config.sizes:
        insets_px = under.insets_px[at_depth]
        seed = seed[one_thing(points_lidar[seed], insets_px, view.most_m[row], config)]
    return seed


def _furthest_m(row: int, view: View) -> float:
    """Return the depth beyond which an object of this class cannot fill its mask's height."""
    height_px = float(view.whole.boxes_xyxy[row, 3] - view.whole.boxes_xyxy[row, 1])
    return float(view.most_m[row, 2]) * float(view.camera.K[1, 1]) / max(height_px - EDGE_PX, 1.0)


def _own_shares(depth_m: Float64, modes: Rows, around_m: Float64) -> Float64:
    """Return, for each mode, the share of the points at its depth that is under the mask.

    Args:
        depth_m: (N,) depths under the mask.
        modes: (N,) their modes.
        around_m: Depths of the points around the mask.
    """
    count = np.bincount(modes)
    low, high = np.full(len(count), np.inf), np.full(len(count), -np.inf)
    np.minimum.at(low, modes, depth_m)
    np.maximum.at(high, modes, depth_m)
    around_m = np.sort(around_m)
    beside = np.searchsorted(around_m, high, "right") - np.searchsorted(around_m, low)
    return np.asarray(count / (count + beside), np.float64)


def depth_modes(depth_m: Float64, config: LiftConfig) -> Rows:
    """Return the (N,) number of each depth's mode, from the nearest on.

    Depths are split wherever two neighbours lie further apart than a gap that grows with depth.
    """
    modes = np.zeros(len(depth_m), np.intp)
    if len(depth_m):
        order = np.argsort(depth_m)
        ordered = depth_m[order]
        gap_m = np.maximum(config.min_gap_m, config.gap_share * ordered[:-1])
        modes[order] = np.concatenate([[0], np.cumsum(np.diff(ordered) > gap_m)])
    return modes


def nearest_strong_mode(depth_m: Float64, weights: Float64, config: LiftConfig) -> Bool:
    """Choose the points of the nearest strong depth mode.

    A mode is strong if it weighs at least `strong_share` of the heaviest. A spinning LiDAR spaces
    its beams evenly in angle, so counts compare like areas in the image; weighting each point by
    its distance to the mask's edge makes little of what leaks in there.

    Args:
        depth_m: (N,) depths under one mask; N may be 0.
        weights: (N,) positive.
        config: Gap and strength.

    Returns:
        (N,) True for points of the mode.
    """
    return _nearest_strong(depth_modes(depth_m, config), weights, config)


def _nearest_strong(modes: Rows, weights: Float64, config: LiftConfig) -> Bool:
    if len(modes) == 0:
        return np.zeros(0, bool)
    weight = np.bincount(modes, weights=weights)
    return np.asarray(modes == np.argmax(weight >= config.strong_share * weight.max()))


def _in_box(box_xyxy: Float32, sight: Sight, margin: float) -> Bool:
    """Return which points lie in a box that is moved out by a share of its longer side."""
    x0, y0, x1, y1 = (float(side) for side in box_xyxy)
    out = margin * max(x1 - x0, y1 - y0) + EDGE_PX
    u, v = sight.uv.T
    return np.asarray((u >= x0 - out) & (u < x1 + out) & (v >= y0 - out) & (v < y1 + out))


def _in_own_box(view: View, sight: Sight, owners: Int32, config: LiftConfig) -> Bool:
    """Return which points lie in or near the box of their owner."""
    boxes = (
        view.boxes_xyxy[np.maximum(owners, 0)]
        if len(view.boxes_xyxy)
        else np.zeros((len(sight), 4))
    )
    out = config.box_margin * np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    out = out[:, None] + EDGE_PX
    inside = (sight.uv >= boxes[:, :2] - out) & (sight.uv < boxes[:, 2:] + out)
    return np.asarray(inside.all(axis=1) & (owners != NOBODY))


def _grown(
    view: View,
    sight: Sight,
    points_lidar: Float32,
    owners: Int32,
    standing: Bool,
    config: LiftConfig,
) -> Int32:
    """Return the (M,) instances whose seeds the points hang together with most closely.

    Points are a graph; a link is as long as a LiDAR's resolution makes neighbours. An object grows
    along links by a share of the longer side that its box has at the point's range.
    """
    grown = np.full(len(owners), NOBODY, np.int32)
    near = owners != NOBODY
    if not near.any():
        return grown
    for box in view.boxes_xyxy[np.unique(owners[near])]:
        near |= _in_box(box, sight, RING_SHARE)
    rows = np.flatnonzero(near & standing)
    places, link_m = link_places(points_lidar[rows].astype(np.float64), config)
    side_px = (view.boxes_xyxy[:, 2:] - view.boxes_xyxy[:, :2]).max(axis=1)
    reach = config.growth_share * side_px / view.camera.K[0, 0] / config.link_rad  # in links
    found, links = nearest_seeds(places, owners[rows], float(reach.max()), config.link_rad)
    reached = found != NOBODY
    rows, found = rows[reached], found[reached]
    limit_m = config.growth_share * side_px[found] / view.camera.K[0, 0] * sight.depth_m[rows]
    close = links[reached] * link_m[reached] <= limit_m
    grown[rows[close]] = found[close]
    return grown
