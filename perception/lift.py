"""Lift masks onto a LiDAR sweep: which points belong to which object.

A point under a mask need not be on the object: the LiDAR sits elsewhere, sees over roofs and
through windows, and masks leak at their edges. Of the points under a mask, those of the nearest
strong depth mode are the object; the others are unknown, not background.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from perception import masks as masks_
from perception.config import LiftConfig
from perception.geometry import points_in_view
from perception.types import (
    Bool,
    Camera,
    Float32,
    Float64,
    Int32,
    Masks,
    PointLabels,
    PointState,
    UInt8,
)


@dataclass(frozen=True, eq=False)
class View:
    """What one camera contributes.

    Attributes:
        camera: Intrinsics and mounting.
        masks: (N) masks that do not overlap.
        instance_ids: (N,) int32, at least 1.
        class_ids: (N,) int32.
        statuses: (N,) uint8, `Status`: what decides between two cameras.
    """

    camera: Camera
    masks: Masks
    instance_ids: Int32
    class_ids: Int32
    statuses: UInt8


def lift(views: Sequence[View], points_lidar: Float32, config: LiftConfig) -> PointLabels:
    """Label points by the masks of one or more cameras.

    Where two cameras claim a point, the mask of the better status has it, then the earlier view.
    A point under a mask that it is not on is unknown, whatever another camera sees behind it.

    Args:
        views: Cameras with their masks.
        points_lidar: (P, 3) metres; points that are not finite stay unknown.
        config: Depth mode settings.

    Returns:
        (P) labels, in the order of the points.
    """
    states = np.full(len(points_lidar), PointState.UNKNOWN, np.uint8)
    class_ids = np.full(len(points_lidar), -1, np.int32)
    instance_ids = np.zeros(len(points_lidar), np.int32)
    projected = [points_in_view(v.camera, points_lidar, v.masks.size_hw) for v in views]
    for rows, _, _ in projected:
        states[rows] = PointState.BACKGROUND
    claims = [
        (int(s), number, i) for number, v in enumerate(views) for i, s in enumerate(v.statuses)
    ]
    for _, number, i in sorted(claims):
        view, (rows, uv, depth_m) = views[number], projected[number]
        under, inset_px = _points_under(view.masks, i, uv)
        # The mode is that of all points: where a better mask has it, this one gets nothing.
        chosen = nearest_strong_mode(depth_m[under], inset_px, config)
        free = states[rows[under]] != PointState.LABELLED
        on = under[chosen & free]
        states[rows[under[free]]] = PointState.UNKNOWN
        states[rows[on]] = PointState.LABELLED
        class_ids[rows[on]] = view.class_ids[i]
        instance_ids[rows[on]] = view.instance_ids[i]
    return PointLabels(states=states, class_ids=class_ids, instance_ids=instance_ids)


def _points_under(masks: Masks, row: int, uv: Float64) -> tuple[npt.NDArray[np.intp], Float64]:
    """Return the points whose pixel lies in a mask, and each one's distance to the mask's edge."""
    x0, y0, x1, y1 = masks.boxes_xyxy[row]
    x, y = np.floor(uv + 0.5).astype(np.int64).T  # pixel centres at integers
    near = np.flatnonzero((x >= x0) & (x < x1) & (y >= y0) & (y < y1))
    crop = np.pad(masks_.decode_crop(masks, row), 1).astype(np.uint8)
    inset_px = cv2.distanceTransform(crop, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    inset = inset_px[y[near] - y0 + 1, x[near] - x0 + 1].astype(np.float64)
    return near[inset > 0], inset[inset > 0]


def nearest_strong_mode(depth_m: Float64, weights: Float64, config: LiftConfig) -> Bool:
    """Choose the points of the nearest strong depth mode.

    Depths are split wherever two neighbours lie further apart than a gap that grows with depth. A
    mode is strong if it weighs at least `strong_share` of the heaviest. A spinning LiDAR spaces its
    beams evenly in angle, so counts compare like areas in the image; weighting each point by its
    distance to the mask's edge makes little of what leaks in there.

    Args:
        depth_m: (N,) depths under one mask; N may be 0.
        weights: (N,) positive.
        config: Gap and strength.

    Returns:
        (N,) True for points of the mode.
    """
    chosen = np.zeros(len(depth_m), bool)
    if len(depth_m) == 0:
        return chosen
    order = np.argsort(depth_m, kind="stable")
    ordered = depth_m[order]
    gap_m = np.maximum(config.min_gap_m, config.gap_share * ordered[:-1])
    mode = np.concatenate([[0], np.cumsum(np.diff(ordered) > gap_m)])
    weight = np.bincount(mode, weights=weights[order])
    nearest = int(np.argmax(weight >= config.strong_share * weight.max()))
    chosen[order[mode == nearest]] = True
    return chosen
