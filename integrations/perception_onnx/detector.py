"""Detectors in ONNX files: YOLO of all kinds, YOLOX and others, see `heads`."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np

from perception.core import boxes
from perception.core.config import ObserveConfig
from perception.core.errors import RequestError, SampleError
from perception.core.types import Detections, Float32, Picture, UInt8
from perception.models.class_names import parse_names, usual_files
from perception.models.weights import onnx_metadata
from perception_onnx.coco import COCO_NAMES
from perception_onnx.heads import Candidates, Head
from perception_onnx.letterbox import Letterbox, letterbox
from perception_onnx.pixels import Input, probe_picture, read_input
from perception_onnx.sessions import Session, cause, open_session
from perception_onnx.telling import SHARE_MOST, Said, tell

MAX_DETECTIONS = 300  # of one inference, the best ones; ultralytics' default
DEFAULT_PX = 640  # of a file with free sizes whose metadata name none
# Where any size will do: no count of its cells is a likely count of classes, even with stride 64.
PROBE_HW = (128, 192)
TASKS = ("detect", "segment")


class OnnxDetector:
    """Boxes from an ONNX file, those of a class suppressed where they overlap.

    Attributes:
        class_names: In the order of their numbers.
        input_hw: Height and width of the input; of a file with free sizes the largest it is given.
        layout: Of its outputs, see `heads`.
    """

    def __init__(
        self, path: Path, config: ObserveConfig, class_names: tuple[str, ...] = ()
    ) -> None:
        """Load weights whose hash the caller has checked, and run them once to see what they are.

        Args:
            path: An existing .onnx file.
            config: `detect_backend` and `threads` (resolved), `device`, `min_score`, `nms_iou`.
            class_names: Stand for those of the file; () for the file's own, else COCO's.

        Raises:
            RequestError: `extra.missing`, `weights.invalid`.
        """
        said = onnx_metadata(path)
        refuse_other_tasks(said, path)
        image_px, own_names = _size_and_names(said, path)
        names = class_names or own_names
        self._config = config
        self._session = open_session(path, config)
        self._input = read_input(self._session, str(path))
        self.input_hw = self._input.size_hw or (image_px, image_px)
        told = Said(len(names), _chooses(said), said.get("task") == "segment", usual_files(path))
        self._free, self._head = _probed(self._session, self._input, self.input_hw, told, path)
        self.class_names = names or COCO_NAMES
        self.layout = self._head.layout

    def __call__(self, picture: Picture) -> Detections:
        """Return the boxes at or above the floor, best first."""
        return self.look(picture.image_rgb)

    def look(self, image_rgb: UInt8) -> Detections:
        """Return the boxes of (H, W, 3) pixels, at or above the floor, best first.

        Raises:
            SampleError: `detector.answer` for numbers that are none of the layout that was told.
        """
        size_hw = (image_rgb.shape[0], image_rgb.shape[1])
        box = letterbox(size_hw, self.input_hw, free=self._free, centred=self._head.centred)
        pixels = self._input.pack(box.fill(image_rgb), self._head.raw_bgr)
        found = self._session(pixels, self._head.outputs)
        try:
            return self._chosen(self._head.read(found, box.input_hw), box)
        except ValueError as error:
            raise SampleError(
                "detector.answer", f"the detector was taken for {self.layout}, but {error}"
            ) from error

    def _chosen(self, candidates: Candidates, box: Letterbox) -> Detections:
        corners, scores, class_ids = candidates
        seen = scores >= self._config.min_score
        _check(corners[seen], class_ids[seen], len(self.class_names))
        found = Detections(
            boxes_xyxy=box.to_image(corners[seen]),
            scores=scores[seen],
            class_ids=class_ids[seen],
            class_names=self.class_names,
        )
        kept = boxes.suppress(found, self._config.nms_iou)[:MAX_DETECTIONS]
        # Not before: two objects that leave the image would overlap more than they do.
        return replace(kept, boxes_xyxy=boxes.clip(kept.boxes_xyxy, box.image_hw))


def _check(corners: Float32, class_ids: np.ndarray, classes: int) -> None:
    """Make sure of what the probe cannot show where it found nothing."""
    if not len(corners):
        return
    if not 0 <= int(class_ids.min()) <= int(class_ids.max()) < classes:
        raise ValueError(f"it found class {int(class_ids.max())} of {classes}")
    if float(np.abs(corners).max()) <= SHARE_MOST:
        raise ValueError("its boxes are shares of the input, not pixels")


def refuse_other_tasks(said: dict[str, str], path: Path) -> None:
    """Refuse a file whose metadata say that it does something else, or that it is a DETR.

    Raises:
        RequestError: `weights.invalid`.
    """
    task = said.get("task", "detect")
    if task not in TASKS:
        raise RequestError(
            "weights.invalid", f"{path}: its task is {task}, expected {' or '.join(TASKS)}"
        )
    stated = f"{said.get('description', '')} {said.get('head', '')}".upper().replace("-", "")
    if "RTDETR" in stated:
        raise RequestError("weights.invalid", f"{path}: is RT-DETR; DETR exports are not read yet")


def _size_and_names(said: dict[str, str], path: Path) -> tuple[int, tuple[str, ...]]:
    """Return the longest side that a file was made for, and its class names, () without."""
    try:
        image_px = np.max(ast.literal_eval(said.get("imgsz", str(DEFAULT_PX))))
        return int(image_px), parse_names(said.get("names", ""))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise RequestError("weights.invalid", f"{path}: its metadata: {error}") from error


def _chooses(said: dict[str, str]) -> bool:
    """Tell whether the metadata, ultralytics', say that the file suppresses by itself."""
    return said.get("end2end") == "True" or "'nms': True" in said.get("args", "")


def _probed(
    session: Session, wants: Input, input_hw: tuple[int, int], said: Said, path: Path
) -> tuple[bool, Head]:
    """Run a network once, and tell what it is.

    Returns:
        Whether it takes pictures of any size, and how it is read.
    """
    # Some files state free sizes and take only the one that they were made with; OpenVINO then
    # answers others with whatever lay in its memory.
    sizes = [input_hw] if wants.size_hw else [PROBE_HW, input_hw]
    for size_hw in sizes[:-1]:
        try:
            return True, _told_at(session, wants, size_hw, said, path)
        except RequestError:
            continue
    return False, _told_at(session, wants, sizes[-1], said, path)


def _told_at(
    session: Session, wants: Input, size_hw: tuple[int, int], said: Said, path: Path
) -> Head:
    pixels = wants.pack(probe_picture(size_hw), raw_bgr=False)
    try:
        answers = session(pixels, range(len(session.outputs)))
    except Exception as error:  # of either library, in its own types: the file is at fault
        listed = ", ".join(map(str, (*session.inputs, *session.outputs)))
        raise RequestError(
            "weights.invalid",
            f"{path}: cannot be run on {size_hw[1]} x {size_hw[0]} pixels ({listed}): "
            f"{cause(error)}",
        ) from error
    return tell(session.outputs, answers, size_hw, said, str(path))


def load_detector(
    path: Path, config: ObserveConfig, class_names: tuple[str, ...] = ()
) -> OnnxDetector:
    """Load an ONNX file, see `OnnxDetector`."""
    return OnnxDetector(path, config, class_names)
