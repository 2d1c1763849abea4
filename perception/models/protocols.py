"""The models: Protocols with one verb each. The pipeline calls the first two.

An implementation needs no base class. `perception.models.fakes` has some without weights.
"""

from collections.abc import Sequence
from typing import Protocol

from perception.core.types import Answers, Detections, Float32, Picture, Prompt, Segments, UInt8


class Detector(Protocol):
    """Finds boxes in an image."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of all classes that it can answer with."""
        ...

    def __call__(self, picture: Picture) -> Detections:
        """Return the boxes of one image; none is an answer too."""
        ...


class SizedDetector(Detector, Protocol):
    """A detector that scales each image to an input of its own size."""

    @property
    def input_hw(self) -> tuple[int, int]:
        """Height and width of the input; where they are free, the largest that it is given."""
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


class Promptable(Protocol):
    """A segmenter that takes any prompt, for one image at a time."""

    def embed(self, image_rgb: UInt8) -> "Embedded":
        """Look at an (H, W, 3) uint8 image once, so that many prompts can be answered."""
        ...


class Embedded(Protocol):
    """An image that has been looked at."""

    def __call__(
        self, prompts: Sequence[Prompt], masks_each: int, low_logits: Float32 | None = None
    ) -> Answers:
        """Answer prompts, in their order.

        Args:
            prompts: N prompts; N may be 0.
            masks_each: 1, or 3 where a prompt may mean a whole, a part or a part of that.
            low_logits: (N, 256, 256) of earlier answers, to refine them; None for none.

        Raises:
            RequestError: `prompt.invalid`.
        """
        ...
