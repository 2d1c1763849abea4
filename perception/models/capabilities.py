"""What a model can do, stated by the adapter that knows it; the core asks, and guesses nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from perception.core.choices import Precision

NO_CHOICE: Mapping[str, tuple[Precision, ...]] = MappingProxyType({})


@dataclass(frozen=True)
class Capabilities:
    """What an adapter can do with a model.

    Attributes:
        backends: What can compute it, each with the precisions that it computes in, the preferred
            one first; none where there is no choice.
        lanes: Backends in which several samples side by side give the bytes of one after another.
        prompts: What a segmenter answers to: "box", "point".
        scales_down: Whether a detector scales pictures to an input of its own: tiles show it more.
        coco_names: Whether a detector that names no classes may be taken for one of COCO's 80.
    """

    backends: Mapping[str, tuple[Precision, ...]] = field(default_factory=lambda: NO_CHOICE)
    lanes: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ("box",)
    scales_down: bool = False
    coco_names: bool = False
