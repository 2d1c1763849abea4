"""Any SAM checkpoint as a Segmenter, or for any prompt: which SAM it is stands in its keys."""

from pathlib import Path

from perception.core.config import ObserveConfig
from perception.models.protocols import Promptable, Segmenter
from perception_sam.architecture import is_sam2
from perception_sam.backends import load_backend
from perception_sam.prompting import PromptedSam
from perception_sam.sam2 import load_sam2
from perception_sam.segmenter import SamSegmenter


def load_segmenter(path: Path, config: ObserveConfig) -> Segmenter:
    """Load a checkpoint of MobileSAM, SAM, SAM 2 or 2.1 into the backend that the settings name.

    Raises:
        RequestError: `extra.missing`, `weights.invalid`, `precision.unavailable`.
    """
    if is_sam2(path):
        return load_sam2(path, config)
    backend = load_backend(path, config)
    backend.read_ahead(twice=config.mode == "detail")
    return SamSegmenter(backend, config)


def load_promptable(path: Path, config: ObserveConfig) -> Promptable:
    """Load a checkpoint for any prompt; raises as `load_segmenter`."""
    if is_sam2(path):
        return load_sam2(path, config)
    return PromptedSam(load_backend(path, config), config)
