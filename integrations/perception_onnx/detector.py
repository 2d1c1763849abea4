"""YOLO and YOLOX ONNX files as a Detector."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np

from perception import boxes
from perception.config import ObserveConfig
from perception.errors import RequestError
from perception.types import Detections, Float32, Picture, UInt8
from perception.weights import onnx_metadata
from perception_onnx.coco import COCO_NAMES
from perception_onnx.heads import Candidates, tell
from perception_onnx.letterbox import Letterbox, letterbox
from perception_onnx.sessions import open_session

MAX_DETECTIONS = 300  # of one look, the best ones; as ultralytics has it
DEFAULT_PX = 640  # of a file with free sizes that does not say what it was made for
TASKS = ("detect", "segment")


class OnnxDetector:
    """Boxes from an ONNX file, those of a class suppressed where they overlap.

    Attributes:
        class_names: In the order of their numbers.
        input_hw: Height and width of the input; of a file with free sizes the largest it is given.
    """

    def __init__(self, path: Path, config: ObserveConfig) -> None:
        """Load weights whose hash the caller has checked, and run them once to see what they are.

        Args:
            path: An existing .onnx file.
            config: `detect_engine` and `threads` (resolved), `device`, `min_score`, `nms_iou`.

        Raises:
            RequestError: `extra.missing`, `weights.invalid`.
        """
        said = onnx_metadata(path)
        self._config = config
        self._session = open_session(path, config)
        try:
            names = _names(said.get("names", "{}"))
            image_px = max(ast.literal_eval(said.get("imgsz", f"[{DEFAULT_PX}]")))
        except (ValueError, SyntaxError, TypeError) as error:
            raise RequestError("weights.invalid", f"{path}: its metadata: {error}") from error
        if said.get("task", "detect") not in TASKS:
            raise RequestError(
                "weights.invalid",
                f"{path}: its task is {said['task']}, expected {' or '.join(TASKS)}",
            )
        _, _, height, width = self._session.input_shape
        self._free = height is None
        self.input_hw = (height or image_px, width or image_px)
        # 96 x 160 where any size will do: no count of its cells is a likely count of classes
        probe_hw = (96, 160) if self._free else self.input_hw
        try:
            probe = self._session(np.zeros((1, 3, *probe_hw), np.float32))[0]
        except Exception as error:  # of either library, in its own types: the file is at fault
            raise RequestError("weights.invalid", f"{path}: cannot be run: {error}") from error
        ends = said.get("end2end", "False") == "True"
        self._head = tell(probe, probe_hw, len(names), ends, str(path))
        if not names and self._head.classes != len(COCO_NAMES):
            raise RequestError(
                "weights.invalid",
                f"{path}: knows {self._head.classes} classes and does not name them; expected "
                f"`names` in its metadata, or the {len(COCO_NAMES)} of COCO",
            )
        self.class_names = names or COCO_NAMES

    def __call__(self, picture: Picture) -> Detections:
        """Return the boxes at or above the floor, best first."""
        return self.look(picture.image_rgb)

    def look(self, image_rgb: UInt8) -> Detections:
        """Return the boxes of (H, W, 3) pixels, at or above the floor, best first."""
        size_hw = (image_rgb.shape[0], image_rgb.shape[1])
        box = letterbox(size_hw, self.input_hw, free=self._free, centred=self._head.centred)
        found = self._session(self._pixels(box.fill(image_rgb))[None])[0]
        return self._chosen(self._head.read(found, box.input_hw), box)

    def _pixels(self, canvas_rgb: UInt8) -> Float32:
        """Return (3, h, w) numbers as the network wants them."""
        if self._head.raw_bgr:
            return canvas_rgb[..., ::-1].transpose(2, 0, 1).astype(np.float32)
        return np.asarray(canvas_rgb.transpose(2, 0, 1) / np.float32(255), np.float32)

    def _chosen(self, candidates: Candidates, box: Letterbox) -> Detections:
        corners, scores, class_ids = candidates
        seen = scores >= self._config.min_score
        found = Detections(
            boxes_xyxy=box.to_image(corners[seen]),
            scores=scores[seen],
            class_ids=class_ids[seen],
            class_names=self.class_names,
        )
        kept = boxes.suppress(found, self._config.nms_iou)[:MAX_DETECTIONS]
        # Not before: two objects that leave the image would overlap more than they do.
        return replace(kept, boxes_xyxy=boxes.clip(kept.boxes_xyxy, box.image_hw))


def _names(text: str) -> tuple[str, ...]:
    """Read the names that exporters leave: "{0: 'person', 1: 'bicycle'}"."""
    said = ast.literal_eval(text)
    if sorted(said) != list(range(len(said))):
        raise ValueError(f"class ids are not 0..N-1: {sorted(said)[:5]}")
    return tuple(str(said[number]) for number in range(len(said)))


def load_detector(path: Path, config: ObserveConfig) -> OnnxDetector:
    """Load an ONNX file, see `OnnxDetector`."""
    return OnnxDetector(path, config)
