"""Capabilities of ultralytics' detectors."""

from pathlib import Path

from perception.models.capabilities import Capabilities

YOLO = Capabilities(scales_down=True, coco_names=True)


def capabilities(path: Path) -> Capabilities:
    """State it for any file."""
    return YOLO
