"""Frozen, row-aligned containers: what flows between the stages.

Nothing here changes after construction: arrays are read-only views, because arrays that come out of
Ray's object store are read-only too, and code that writes into its input works on a laptop only.
Conventions (axes, pixel centres, box corners) stand once, in docs/concepts/conventions.md.
"""

from perception.core.types.labels import (
    BoxOffset,
    Cuboids,
    ExportSummary,
    Instances,
    PictureLabels,
    PointLabels,
    PointState,
    SampleLabels,
    Status,
    no_cuboids,
    values_of,
)
from perception.core.types.rows import Bool, Counts, Float32, Float64, Int32, RowAligned, UInt8
from perception.core.types.scene import (
    EMPTY_SCENE,
    LENS_COEFFICIENTS,
    Camera,
    Lens,
    Picture,
    PictureRef,
    Sample,
    SampleRef,
    Scene,
)
from perception.core.types.seen import (
    Answers,
    Detections,
    Evidence,
    ImageStatistics,
    LogitCrops,
    Masks,
    Prompt,
    Segments,
)
from perception.core.types.signals import SIGNALS, Scale, Signal, Signals, unknown_signals

__all__ = [
    "EMPTY_SCENE",
    "LENS_COEFFICIENTS",
    "SIGNALS",
    "Answers",
    "Bool",
    "BoxOffset",
    "Camera",
    "Counts",
    "Cuboids",
    "Detections",
    "Evidence",
    "ExportSummary",
    "Float32",
    "Float64",
    "ImageStatistics",
    "Instances",
    "Int32",
    "Lens",
    "LogitCrops",
    "Masks",
    "Picture",
    "PictureLabels",
    "PictureRef",
    "PointLabels",
    "PointState",
    "Prompt",
    "RowAligned",
    "Sample",
    "SampleLabels",
    "SampleRef",
    "Scale",
    "Scene",
    "Segments",
    "Signal",
    "Signals",
    "Status",
    "UInt8",
    "no_cuboids",
    "unknown_signals",
    "values_of",
]
