"""What was decided: labels for pixels and points."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Self

import numpy as np

from perception.core.types.rows import Bool, Float32, Int32, RowAligned, UInt8
from perception.core.types.seen import Masks
from perception.core.types.signals import Signal, Signals, unknown_signals


class Status(IntEnum):
    """What became of an instance; the order is the order of precedence for pixels."""

    ACCEPTED = 0
    REVIEW = 1
    REJECTED = 2


class PointState(IntEnum):
    """What is known of a LiDAR point."""

    UNKNOWN = 0
    BACKGROUND = 1
    LABELLED = 2


@dataclass(frozen=True, eq=False, repr=False)
class Instances(RowAligned):
    """N labelled objects of one image.

    Attributes:
        instance_ids: (N,) int32, 1-based, unique within the sample: 1 + the row of the prompt box,
            counted over the sample's images, so that an id outlives every threshold. An object
            that several cameras show has one id.
        prompt_ids: (N,) int32, likewise, but never shared: what people's decisions are kept under.
        class_ids: (N,) int32 ids of the run's ontology.
        statuses: (N,) uint8, `Status`.
        reasons: N tuples of reason codes; empty for an accepted instance, but for "class.kept".
        scores: (N,) float32 detector score.
        predicted_ious: (N,) float32, see `Segments`.
        stabilities: (N,) float32, see `Segments`.
        box_ious: (N,) float32, IoU of the mask's bounds and the prompt box.
        outside_shares: (N,) float32, share of the mask outside the prompt box.
        boxes_xyxy: (N, 4) float32 prompt box, clipped to the image.
        masks: (N) masks after overlaps are settled: every pixel has one owner.
        signals: (N) what else speaks for or against each.
        trusts: (N,) float32, fitted probability that class and mask are right; NaN without a fit.
        by_human: (N,) bool, a person decided this label.
    """

    instance_ids: Int32
    prompt_ids: Int32
    class_ids: Int32
    statuses: UInt8
    reasons: tuple[tuple[str, ...], ...]
    scores: Float32
    predicted_ious: Float32
    stabilities: Float32
    box_ious: Float32
    outside_shares: Float32
    boxes_xyxy: Float32
    masks: Masks
    signals: Signals
    trusts: Float32
    by_human: Bool

    @classmethod
    def blank(cls, n: int, size_hw: tuple[int, int]) -> Self:
        """Return N rejected objects without pixels, of which nothing was measured.

        What a model or a box says is 1, as good as can be; `replace` sets what is known.
        """
        ones, zeros = np.ones(n, np.float32), np.zeros(n, np.float32)
        return cls(
            instance_ids=np.zeros(n, np.int32),
            prompt_ids=np.zeros(n, np.int32),
            class_ids=np.zeros(n, np.int32),
            statuses=np.full(n, Status.REJECTED, np.uint8),
            reasons=((),) * n,
            scores=ones,
            predicted_ious=ones,
            stabilities=ones,
            box_ious=ones,
            outside_shares=zeros,
            boxes_xyxy=np.zeros((n, 4), np.float32),
            masks=Masks(np.zeros((n, 4), np.int32), (b"",) * n, size_hw),
            signals=unknown_signals(n),
            trusts=np.full(n, np.nan, np.float32),
            by_human=np.zeros(n, bool),
        )


def values_of(instances: Instances, signal: Signal) -> Float32:
    """Return (N,) values of a signal."""
    owner = instances if signal.field in type(instances).__dataclass_fields__ else instances.signals
    values: Float32 = getattr(owner, signal.field)
    return values


@dataclass(frozen=True)
class BoxOffset:
    """How far the prompt boxes of a picture lie from the objects that the LiDAR shows.

    Attributes:
        right_px: To the right; 0 if not judged.
        down_px: Downwards; 0 if not judged.
        objects: How many boxes agree on it; 0 if not judged.
        alarm: The calibration, or the time of one sensor, is off.
    """

    right_px: float = 0.0
    down_px: float = 0.0
    objects: int = 0
    alarm: bool = False


@dataclass(frozen=True, eq=False)
class PictureLabels:
    """The decided labels of one image.

    Attributes:
        camera: Name of the camera.
        file_name: As in `Picture`.
        size_hw: Height and width of the image.
        instances: Every prompted object of a mapped class, whatever its status.
        ignored: Objects of ignored classes, counted by source class name.
        offset: Of its boxes from the points.
    """

    camera: str
    file_name: str
    size_hw: tuple[int, int]
    instances: Instances
    ignored: tuple[tuple[str, int], ...]
    offset: BoxOffset = field(default_factory=BoxOffset)


@dataclass(frozen=True, eq=False, repr=False)
class PointLabels(RowAligned):
    """One label per LiDAR point, in the order of the file.

    Attributes:
        states: (P,) uint8, `PointState`.
        class_ids: (P,) int32 ids of the run's ontology; -1 unless labelled.
        instance_ids: (P,) int32; 0 unless labelled.
        trusts: (P,) uint8, 255ths of full trust, see `lift.vote`: an order, no probability; 0
            unless labelled.
    """

    states: UInt8
    class_ids: Int32
    instance_ids: Int32
    trusts: UInt8


@dataclass(frozen=True, eq=False, repr=False)
class Cuboids(RowAligned):
    """3D boxes of N objects, in the LiDAR's frame.

    Attributes:
        instance_ids: (N,) int32, those of the objects' points.
        centres_m: (N, 3) float32, the middle of the box.
        sizes_lwh_m: (N, 3) float32, length, width, height.
        yaws_rad: (N,) float32 in [-pi / 2, pi / 2): of the length, from x towards y. Front and back
            are not told apart.
        confidences: (N,) float32 in [0, 1): how much of its sides was measured, on how many points.
    """

    instance_ids: Int32
    centres_m: Float32
    sizes_lwh_m: Float32
    yaws_rad: Float32
    confidences: Float32


def no_cuboids() -> Cuboids:
    """Return no boxes."""
    none, places = np.zeros(0, np.float32), np.zeros((0, 3), np.float32)
    return Cuboids(np.zeros(0, np.int32), places, places, none, none)


@dataclass(frozen=True, eq=False)
class SampleLabels:
    """The decided labels of one sample.

    Attributes:
        id: As in `Sample`.
        pictures: One entry per image.
        points: One row per LiDAR point; none where there is no sweep.
        cuboids: Of the objects whose points tell enough, whatever their status.
    """

    id: str
    pictures: tuple[PictureLabels, ...]
    points: PointLabels
    cuboids: Cuboids = field(default_factory=no_cuboids)


@dataclass(frozen=True)
class ExportSummary:
    """What an export wrote, and what it could not.

    Attributes:
        samples: Samples written.
        labels: Objects (for point formats: labelled points) written as labels.
        ignored: Objects (points) written as regions that a trainer or an evaluation leaves out.
        left_out: (("review", 3), ("class.ignored", 1), ...): objects that the format cannot hold.
    """

    samples: int
    labels: int
    ignored: int
    left_out: tuple[tuple[str, int], ...]
