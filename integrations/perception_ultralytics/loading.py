"""How YOLO weights are loaded and called: what detector, segmenter and trainer share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from perception.core.config import ObserveConfig
from perception.core.errors import RequestError
from perception.core.types import UInt8
from perception.models.import_guard import harden, refuse_compromised
from perception.models.weights import onnx_metadata

SHOWN = 160  # characters of what ultralytics says
MAX_DETECTIONS = 300  # ultralytics' default
TASKS = ("detect", "segment")


def import_yolo(purpose: str) -> Any:
    """Return ultralytics' class `YOLO`, imported with its way to the network closed.

    Args:
        purpose: What needs it, for the message: "training".

    Raises:
        RequestError: `extra.missing`, `security.*`.
    """
    harden()
    try:
        import ultralytics
        from ultralytics.models import YOLO
    except ModuleNotFoundError as error:
        raise RequestError(
            "extra.missing",
            f"{purpose} needs {error.name}: pip install 'driving-perception[ultralytics]'",
        ) from error
    refuse_compromised(ultralytics.__version__)
    return YOLO


class Network:
    """YOLO weights that answer with boxes and, where they segment, with what makes their masks.

    Attributes:
        class_names: In the order of their numbers.
        task: "detect" or "segment".
        image_px: Longest side of the images that the network sees.
    """

    def __init__(self, path: Path, config: ObserveConfig) -> None:
        """Load weights whose hash or trust the caller has checked.

        Args:
            path: An existing .pt or .onnx file.
            config: `device`, `threads` (resolved, at least 1), `min_score`, `nms_iou`.

        Raises:
            RequestError: `extra.missing`, `security.*`, `weights.invalid`.
        """
        yolo = import_yolo("YOLO weights")
        # ultralytics guesses the task of an ONNX file by its name; a .pt file says it itself
        onnx = path.suffix == ".onnx"
        self.task = onnx_metadata(path).get("task", "detect") if onnx else "detect"
        self._config = config
        self.image_px = 0  # as in the first call: what ultralytics takes by itself
        try:
            self._model = yolo(str(path.absolute()), task=self.task)
            self.task = str(self._model.task)
            # One call loads the weights (ultralytics loads ONNX files late) and tells the names.
            names = self(np.zeros((64, 64, 3), np.uint8)).names
            self.image_px = _image_px(self._model)
        except Exception as error:  # whatever the many loaders raise: the weights are at fault
            lines = str(error).splitlines() or [type(error).__name__]
            raise RequestError(  # what follows the first line is advice that does not fit here
                "weights.invalid",
                f"{path}: ultralytics cannot load it as YOLO weights: {lines[0][:SHOWN]}",
            ) from error
        if self.task not in TASKS:
            raise RequestError(
                "weights.invalid", f"{path}: its task is {self.task}, expected {' or '.join(TASKS)}"
            )
        if sorted(names) != list(range(len(names))):
            raise RequestError(
                "weights.invalid", f"{path}: class ids are not 0..N-1: {sorted(names)[:5]}"
            )
        self.class_names = tuple(str(names[i]) for i in range(len(names)))

    def __call__(self, image_rgb: UInt8) -> Any:
        """Return ultralytics' result: its boxes stand at or above the floor, best first.

        Ultralytics takes arrays as BGR; it gets a copy, since its preparation may write into it.
        """
        with own_threads(self._config.threads):
            return next(
                iter(
                    self._model.predict(
                        np.ascontiguousarray(image_rgb[..., ::-1]),
                        predictor=_predictor(self.task),
                        **({"imgsz": self.image_px} if self.image_px else {}),
                        conf=self._config.min_score,
                        iou=self._config.nms_iou,
                        max_det=MAX_DETECTIONS,
                        device=self._config.device,
                        verbose=False,
                        save=False,
                    )
                )
            )


def _image_px(model: Any) -> int:
    """Return the size that the weights were made for.

    Files with free sizes say it in their metadata, which ultralytics reads but does not follow; for
    files with a fixed size it overrules whatever is asked.
    """
    backend = model.predictor.model
    sizes = getattr(backend, "imgsz", None) if getattr(backend, "dynamic", False) else None
    return int(max(sizes or model.predictor.imgsz))


def _predictor(task: str) -> Any:
    """Return the class that predicts; None for ultralytics' own."""
    if task != "segment":
        return None
    from perception_ultralytics.prototypes import prototype_predictor

    return prototype_predictor()


@contextmanager
def own_threads(threads: int) -> Iterator[None]:
    """Set torch's threads afterwards: `select_device` changes them, and SAM's last bits with them.

    Args:
        threads: What the settings say.
    """
    import torch

    try:
        yield
    finally:
        torch.set_num_threads(threads)
