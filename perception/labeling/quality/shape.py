"""What the shape of a mask says of it: holes, fragments, a side of the image that cuts it."""

from dataclasses import replace

import cv2
import numpy as np

from perception.core import boxes as boxes_
from perception.core import masks as masks_
from perception.core.types import Float32, Float64, Instances, Masks, Signals


def with_shapes(instances: Instances, settled: Masks) -> Signals:
    """Return the signals of N instances measured on the shapes of their final masks.

    Args:
        instances: N instances with the masks that the segmenter gave.
        settled: (N) masks after `settle_overlaps`.
    """
    before, after = masks_.areas(instances.masks), masks_.areas(settled)
    lost = np.where(before > 0, 1 - after / np.maximum(before, 1), np.nan)
    holes, fragments, sides = shapes_of(settled)
    return replace(
        instances.signals,
        lost_shares=lost.astype(np.float32),
        hole_shares=holes,
        fragment_shares=fragments,
        border_sides=sides,
    )


def with_points(signals: Signals, measured: Float64) -> Signals:
    """Return the signals with those measured on the points.

    Args:
        signals: Of N instances.
        measured: (N, 3) as from `lift.doubts.measure`; (0, 3) where no LiDAR looked.
    """
    if not len(measured):
        return signals
    behind, reaches, depths = measured.T.astype(np.float32)
    return replace(signals, points_behind=behind, point_reaches=reaches, depth_shares=depths)


def shapes_of(masks: Masks) -> tuple[Float32, Float32, Float32]:
    """Measure N masks: shares of holes, shares outside the largest piece, sides touched.

    All NaN for an empty mask; see `Signals`.
    """
    found = np.full((len(masks), 3), np.nan, np.float32)
    height, width = masks.size_hw
    for row, box in enumerate(masks.boxes_xyxy):
        if not masks.counts[row]:
            continue
        crop = masks_.decode_crop(masks, row).astype(np.uint8)
        # Pieces touch at corners (8), so what lies between them touches at sides (4).
        _, _, stats, _ = cv2.connectedComponentsWithStats(crop, connectivity=8)
        pieces = stats[1:, cv2.CC_STAT_AREA]
        count, outside, gaps, _ = cv2.connectedComponentsWithStats(
            np.pad(1 - crop, 1, constant_values=1), connectivity=4
        )
        inner = np.arange(1, count) != outside[0, 0]
        holes = gaps[1:, cv2.CC_STAT_AREA][inner].sum()
        area = pieces.sum()
        sides = (box[0] == 0, box[1] == 0, box[2] == width, box[3] == height)
        found[row] = holes / (area + holes), 1 - pieces.max() / area, sum(map(bool, sides))
    return found[:, 0], found[:, 1], found[:, 2]


def crowding(boxes_xyxy: Float32) -> Float32:
    """Return (N,) the highest IoU of each box with another one; 0 for a box alone."""
    ious = boxes_.ious(boxes_xyxy, boxes_xyxy).copy()
    np.fill_diagonal(ious, 0)
    return np.asarray(ious.max(axis=1, initial=0.0), np.float32)
