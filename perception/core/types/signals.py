"""Signals: numbers that speak for or against a label. One table for trust, pages and documents."""

from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np

from perception.core.types.rows import Float32, RowAligned


@dataclass(frozen=True, eq=False, repr=False)
class Signals(RowAligned):
    """What speaks for or against N instances, besides the scores; NaN where it is not known.

    All (N,) float32. A new signal is a field here, a row in `SIGNALS`, and what fills it in
    `labeling/quality` or `labeling/lift`.

    Attributes:
        wobbles: See `Segments`.
        consensus_ious: See `Segments`.
        second_ious: See `ImageStatistics`.
        brightness: See `ImageStatistics`.
        contrasts: See `ImageStatistics`.
        hole_shares: Share of the filled mask that is holes.
        fragment_shares: Share of the mask outside its largest piece.
        border_sides: Sides of the image that the mask touches, 0 to 4.
        lost_shares: Share of the mask that better claims own.
        crowding: Highest IoU of the prompt box with another one of the image.
        points_behind: 1 where all LiDAR points under the mask lie behind its object, else 0.
        point_reaches: How far its points reach, as a share of the most that its class does.
        depth_shares: Share of what the LiDAR sees through the mask that lies at its depth.
    """

    wobbles: Float32
    consensus_ious: Float32
    second_ious: Float32
    brightness: Float32
    contrasts: Float32
    hole_shares: Float32
    fragment_shares: Float32
    border_sides: Float32
    lost_shares: Float32
    crowding: Float32
    points_behind: Float32
    point_reaches: Float32
    depth_shares: Float32


def unknown_signals(n: int) -> Signals:
    """Return the signals of N instances of which nothing is known."""
    nothing = np.full(n, np.nan, np.float32)
    return Signals(**{field.name: nothing for field in fields(Signals)})


class Scale(StrEnum):
    """How a trust model reads a signal."""

    LOG_ODDS = "log odds"  # of shares near 1: 0.98 and 0.99 are as far apart as 0.5 and 0.67
    ROOT = "square root"  # of shares near 0
    PLAIN = "plain"


@dataclass(frozen=True)
class Signal:
    """What a signal is to others.

    Attributes:
        name: In trust files, of one label.
        field: Of `Instances`, or else of `Signals`.
        words: For people who look at a label; "" for what is not shown.
        scale: How a trust model reads it.
        better: 1 where more of it speaks for a label, -1 where it speaks against; 0 where that is
            not known without checked labels.
    """

    name: str
    field: str
    words: str = ""
    scale: Scale = Scale.PLAIN
    better: int = 0


LOG_ODDS, ROOT = Scale.LOG_ODDS, Scale.ROOT
# The order is that of the terms of a trust fit.
SIGNALS = (
    Signal("score", "scores", "detector score", LOG_ODDS, 1),
    Signal("predicted_iou", "predicted_ious", "segmenter's own guess of IoU", LOG_ODDS, 1),
    Signal("stability", "stabilities", "stability of the mask", LOG_ODDS, 1),
    Signal("box_iou", "box_ious", "IoU of mask bounds and prompt box", LOG_ODDS, 1),
    Signal("wobble", "wobbles", "IoU with the masks of jittered boxes", LOG_ODDS, 1),
    Signal("consensus_iou", "consensus_ious", "", LOG_ODDS, 1),
    Signal("second_iou", "second_ious", "IoU with a second segmenter's mask", LOG_ODDS, 1),
    Signal("outside_share", "outside_shares", "share of the mask outside the box", ROOT, -1),
    Signal("hole_share", "hole_shares", "share of holes", ROOT),
    Signal("fragment_share", "fragment_shares", "share outside the largest piece", ROOT, -1),
    Signal("border_sides", "border_sides"),
    Signal("lost_share", "lost_shares", "share that better labels own", ROOT, -1),
    Signal("crowding", "crowding", better=-1),
    Signal("brightness", "brightness"),
    Signal("contrast", "contrasts", "contrast to what is around", ROOT),
    Signal("points_behind", "points_behind", better=-1),
    Signal("point_reach", "point_reaches", "", ROOT),
    Signal("depth_share", "depth_shares", "share of the points under it at its depth", LOG_ODDS, 1),
)
