"""Capabilities of detectors in ONNX files."""

from pathlib import Path

from perception.models.capabilities import Capabilities

ONNX = Capabilities(
    backends={"openvino": ("fp32",), "onnxruntime": ("fp32",)}, scales_down=True, coco_names=True
)


def capabilities(path: Path) -> Capabilities:
    """State it for any file."""
    return ONNX
