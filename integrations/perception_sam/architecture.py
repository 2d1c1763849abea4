"""Which SAM a checkpoint holds, told by its keys, and the module that fits it.

`ultralytics.models.sam.build.build_sam(path)` goes by the file name and downloads what is missing,
so the builders are called without a checkpoint and the state dict is loaded here, strictly.
"""

from pathlib import Path
from typing import Any

from perception.bootstrap import harden, refuse_compromised
from perception.errors import RequestError

_VIT_KEY = "image_encoder.patch_embed.proj.weight"
_TINY_KEY = "image_encoder.patch_embed.seq.0.c.weight"
_VIT_BUILDERS = {768: "build_sam_vit_b", 1024: "build_sam_vit_l", 1280: "build_sam_vit_h"}


def builder_name(shapes: dict[str, tuple[int, ...]], where: str) -> str:
    """Return the name of ultralytics' builder for a state dict's shapes.

    Args:
        shapes: Key to shape.
        where: The file, for the message.

    Raises:
        RequestError: `weights.invalid` for a checkpoint of another architecture.
    """
    if _TINY_KEY in shapes:
        return "build_mobile_sam"
    if _VIT_KEY in shapes:
        width = shapes[_VIT_KEY][0]
        if width in _VIT_BUILDERS:
            return _VIT_BUILDERS[width]
        raise RequestError(
            "weights.invalid",
            f"{where}: {_VIT_KEY} has {width} channels, expected one of {sorted(_VIT_BUILDERS)}",
        )
    found = ", ".join(sorted(shapes)[:3]) or "no tensors"
    raise RequestError(
        "weights.invalid",
        f"{where}: is no SAM checkpoint: expected the key {_VIT_KEY} (ViT-B/L/H) or {_TINY_KEY} "
        f"(MobileSAM), found {found}",
    )


def load_sam(path: Path, device: str) -> Any:
    """Build the module that a checkpoint fits and load it strictly.

    Returns:
        An ultralytics `SAMModel` in evaluation mode on `device`.

    Raises:
        RequestError: `extra.missing`, `weights.invalid`.
    """
    harden()
    try:
        import torch
        import ultralytics
        from ultralytics.models.sam import build
    except ModuleNotFoundError as error:
        raise RequestError(
            "extra.missing",
            f"SAM checkpoints need {error.name}: pip install 'driving-perception[ultralytics]'",
        ) from error
    refuse_compromised(ultralytics.__version__)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling errors of many kinds: the file is at fault
        raise RequestError(
            "weights.invalid",
            f"{path}: cannot be read as a state dict without running code from it "
            f"(torch.load, weights_only=True): {error}",
        ) from error
    if isinstance(state, dict) and isinstance(state.get("model"), dict):
        state = state["model"]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise RequestError("weights.invalid", f"{path}: is not a state dict of tensors")
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    sam = getattr(build, builder_name(shapes, str(path)))()
    try:
        sam.load_state_dict(state, strict=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1:3]
        raise RequestError(
            "weights.invalid", f"{path}: does not fit its architecture: {' '.join(first).strip()}"
        ) from error
    return sam.eval().requires_grad_(False).to(device)
