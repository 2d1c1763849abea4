"""Judge each instance by what the models said of it: accepted, review or rejected, with reasons."""

from dataclasses import dataclass

import numpy as np

from perception.core import boxes as boxes_
from perception.core import masks as masks_
from perception.core.config import JudgeConfig
from perception.core.types import Bool, Detections, Float32, Masks, Segments, Status, UInt8

FULL_FRAME_SHARE = 0.9  # a mask over this much of the image is the image, not an object ...
FULL_FRAME_BOX_SHARE = 0.8  # ... unless its box is as large


@dataclass(frozen=True, eq=False)
class Verdicts:
    """The judgement of N instances.

    Attributes:
        statuses: (N,) uint8, `Status`.
        reasons: N tuples of codes, empty for accepted ones.
        box_ious: (N,) float32, IoU of the mask's bounds and the prompt box.
        outside_shares: (N,) float32, share of the mask's pixels outside the prompt box.
    """

    statuses: UInt8
    reasons: tuple[tuple[str, ...], ...]
    box_ious: Float32
    outside_shares: Float32


def judge(detections: Detections, segments: Segments, config: JudgeConfig) -> Verdicts:
    """Judge N instances; every comparison that fails is a reason, the worst one is the status."""
    masks = segments.masks
    box_ious = boxes_.paired_ious(masks.boxes_xyxy.astype(np.float32), detections.boxes_xyxy)
    outside = outside_shares(masks, detections.boxes_xyxy)
    empty = np.array([not counts for counts in masks.counts], bool)
    image_px = masks.size_hw[0] * masks.size_hw[1]
    full_frame = (masks_.areas(masks) > FULL_FRAME_SHARE * image_px) & (
        boxes_.areas(detections.boxes_xyxy) < FULL_FRAME_BOX_SHARE * image_px
    )
    tests: list[tuple[Status, str, Bool]] = [
        (Status.REJECTED, "score.low", detections.scores < config.min_score),
        (Status.REJECTED, "mask.empty", empty),
        (Status.REJECTED, "mask.full_frame", full_frame),
        (Status.REJECTED, "mask.off_box", ~empty & (box_ious < config.reject_box_iou)),
        (Status.REJECTED, "mask.outside_box", outside > config.reject_outside_share),
        (Status.REVIEW, "mask.off_box", ~empty & (box_ious < config.review_box_iou)),
        (Status.REVIEW, "mask.outside_box", outside > config.review_outside_share),
        (Status.REVIEW, "iou.low", ~(segments.predicted_ious >= config.review_predicted_iou)),
        (Status.REVIEW, "stability.low", ~(segments.stabilities >= config.review_stability)),
    ]
    statuses = np.zeros(len(detections), np.uint8)
    for status, _, rows in tests:
        statuses = np.maximum(statuses, np.where(rows, status.value, 0)).astype(np.uint8)
    reasons = tuple(
        tuple(dict.fromkeys(code for _, code, rows in tests if rows[i]))
        for i in range(len(detections))
    )
    return Verdicts(statuses, reasons, box_ious.astype(np.float32), outside)


def outside_shares(masks: Masks, boxes_xyxy: Float32) -> Float32:
    """Return (N,) shares of each mask's pixels whose centre lies outside its box; 0 if empty."""
    shares = np.zeros(len(masks), np.float32)
    for row, box in enumerate(boxes_xyxy):
        crop = masks_.decode_crop(masks, row)
        if not crop.any():
            continue
        x0, y0 = masks.boxes_xyxy[row, :2]
        columns = np.arange(crop.shape[1]) + x0 + 0.5
        rows = np.arange(crop.shape[0]) + y0 + 0.5
        inside = ((rows >= box[1]) & (rows < box[3]))[:, None] & (
            (columns >= box[0]) & (columns < box[2])
        )
        shares[row] = np.count_nonzero(crop & ~inside) / np.count_nonzero(crop)
    return shares
