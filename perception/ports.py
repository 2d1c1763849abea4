"""The two models that the pipeline calls: Protocols with one verb each.

An implementation needs no base class. `perception.fakes` has implementations without weights.
"""

from typing import Protocol

from perception.types import Detections, Float32, Picture, Segments, UInt8


class Detector(Protocol):
    """Finds boxes in an image."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of all classes that it can answer with."""
        ...

    def __call__(self, picture: Picture) -> Detections:
        """Return the boxes of one image; none is an answer too."""
        ...


class Segmenter(Protocol):
    """Turns boxes into masks."""

    def __call__(self, image_rgb: UInt8, boxes_xyxy: Float32) -> Segments:
        """Return one mask per box, in the order of the boxes.

        Args:
            image_rgb: (H, W, 3) uint8; not changed.
            boxes_xyxy: (N, 4) float32 inside the image; not changed. N may be 0.
        """
        ...
