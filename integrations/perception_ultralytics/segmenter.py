"""YOLO-seg weights as a Segmenter: their own masks, for the boxes of whoever asks."""

from pathlib import Path
from typing import Any

import numpy as np

from perception.core.boxes import paired_ious
from perception.core.config import ObserveConfig
from perception.core.errors import RequestError
from perception.core.types import Bool, Float32, Segments, UInt8
from perception.models.fakes import segments_of
from perception_ultralytics.loading import Network

SAME_BOX_IOU = 0.5  # an instance whose box overlaps a prompt this much is what the prompt means


class YoloSegmenter:
    """Answers a box with the mask of the instance whose box overlaps it most.

    The weights look for themselves, with the floor and the suppression of the settings: where the
    same weights are the detector, each prompt is the box of an instance of theirs, and gets its
    mask. They give no estimate of how good a mask is, so the scores are full.
    """

    def __init__(self, network: Network) -> None:
        self._network = network

    def __call__(self, image_rgb: UInt8, boxes_xyxy: Float32) -> Segments:
        """Return one mask per box; an empty one where no instance overlaps the box by half."""
        size_hw = (image_rgb.shape[0], image_rgb.shape[1])
        if len(boxes_xyxy) == 0:
            return segments_of([], size_hw)
        result = self._network(image_rgb)
        found = result.boxes.xyxy.cpu().numpy().astype(np.float32).reshape(-1, 4)
        return segments_of([_answer(result, found, box, size_hw) for box in boxes_xyxy], size_hw)


def _answer(result: Any, found_xyxy: Float32, box_xyxy: Float32, size_hw: tuple[int, int]) -> Bool:
    from perception_ultralytics.prototypes import draw_mask

    ious = paired_ious(found_xyxy, np.broadcast_to(box_xyxy, found_xyxy.shape))
    if ious.max(initial=0.0) < SAME_BOX_IOU:
        return np.zeros(size_hw, bool)
    return draw_mask(result, int(ious.argmax()))  # of equals the one with the higher score


def load_segmenter(path: Path, config: ObserveConfig) -> YoloSegmenter:
    """Load YOLO-seg weights, see `Network`.

    Raises:
        RequestError: `weights.invalid` for weights without masks.
    """
    network = Network(path, config)
    if network.task != "segment":
        raise RequestError(
            "weights.invalid", f"{path}: its task is {network.task}, it has boxes and no masks"
        )
    return YoloSegmenter(network)
