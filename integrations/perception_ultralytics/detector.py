"""YOLO weights (.pt, .onnx) as a Detector, through ultralytics' predictor."""

from pathlib import Path

import numpy as np

from perception.core.config import ObserveConfig
from perception.core.types import Detections, Picture
from perception_ultralytics.loading import Network


class YoloDetector:
    """Boxes from YOLO weights; those that segment too give the boxes that their masks belong to."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.class_names = network.class_names
        self.input_hw = (network.image_px, network.image_px)

    def __call__(self, picture: Picture) -> Detections:
        """Return the boxes at or above the floor, best first."""
        boxes = self._network(picture.image_rgb).boxes
        return Detections(
            boxes_xyxy=boxes.xyxy.cpu().numpy().astype(np.float32).reshape(-1, 4),
            scores=boxes.conf.cpu().numpy().astype(np.float32),
            class_ids=boxes.cls.cpu().numpy().astype(np.int32),
            class_names=self.class_names,
        )


def load_detector(path: Path, config: ObserveConfig) -> YoloDetector:
    """Load YOLO weights, see `Network`."""
    return YoloDetector(Network(path, config))
