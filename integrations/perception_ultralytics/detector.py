"""YOLO weights (.pt, .onnx) as a Detector, through ultralytics' predictor."""

from pathlib import Path
from typing import Any

import numpy as np

from perception.bootstrap import harden, refuse_compromised
from perception.config import ObserveConfig
from perception.errors import RequestError
from perception.types import Detections, Picture

MAX_DETECTIONS = 300  # ultralytics' default


class YoloDetector:
    """Boxes from YOLO weights."""

    def __init__(
        self, model: Any, class_names: tuple[str, ...], image_px: int, config: ObserveConfig
    ) -> None:
        """Keep a loaded ultralytics model that looks at images of `image_px` on the long side."""
        self._model = model
        self._image_px = image_px
        self._config = config
        self.class_names = class_names

    def __call__(self, picture: Picture) -> Detections:
        """Return the boxes at or above the floor, best first.

        Ultralytics takes arrays as BGR; it gets a copy, since its preparation may write into it.
        """
        import torch

        result = self._model.predict(
            np.ascontiguousarray(picture.image_rgb[..., ::-1]),
            imgsz=self._image_px,
            conf=self._config.min_score,
            iou=self._config.nms_iou,
            max_det=MAX_DETECTIONS,
            device=self._config.device,
            verbose=False,
            save=False,
        )[0]
        # `select_device` in predict() changes torch's threads, and with them the last bits of SAM.
        torch.set_num_threads(self._config.threads)
        boxes = result.boxes
        return Detections(
            boxes_xyxy=boxes.xyxy.cpu().numpy().astype(np.float32).reshape(-1, 4),
            scores=boxes.conf.cpu().numpy().astype(np.float32),
            class_ids=boxes.cls.cpu().numpy().astype(np.int32),
            class_names=self.class_names,
        )


def load_detector(path: Path, config: ObserveConfig) -> YoloDetector:
    """Load YOLO weights whose hash or trust the caller has checked.

    Args:
        path: An existing .pt or .onnx file.
        config: `device`, `threads` (resolved, at least 1), `min_score`, `nms_iou`.

    Raises:
        RequestError: `extra.missing`, `security.*`, `weights.invalid`.
    """
    harden()
    try:
        import torch
        import ultralytics
        from ultralytics.models import YOLO
    except ModuleNotFoundError as error:
        raise RequestError(
            "extra.missing",
            f"YOLO weights need {error.name}: pip install 'driving-perception[ultralytics]'",
        ) from error
    refuse_compromised(ultralytics.__version__)
    try:
        model = YOLO(str(path.resolve(strict=True)), task="detect")
        # One call loads the weights (ultralytics loads ONNX files late) and tells the names.
        blank = np.zeros((64, 64, 3), np.uint8)
        first: Any = next(
            iter(model.predict(blank, device=config.device, verbose=False, save=False))
        )
        names = first.names
        image_px = _image_px(model)
    except Exception as error:  # whatever the many loaders raise: the weights are at fault
        raise RequestError(
            "weights.invalid", f"{path}: ultralytics cannot load it as a YOLO detector: {error}"
        ) from error
    torch.set_num_threads(config.threads)
    if sorted(names) != list(range(len(names))):
        raise RequestError(
            "weights.invalid", f"{path}: class ids are not 0..N-1: {sorted(names)[:5]}"
        )
    return YoloDetector(model, tuple(str(names[i]) for i in range(len(names))), image_px, config)


def _image_px(model: Any) -> int:
    """Return the size that the weights were made for.

    Files with free sizes say it in their metadata, which ultralytics reads but does not follow; for
    files with a fixed size it overrules whatever is asked.
    """
    backend = model.predictor.model
    sizes = getattr(backend, "imgsz", None) if getattr(backend, "dynamic", False) else None
    return int(max(sizes or model.predictor.imgsz))
