"""Which SAM a checkpoint holds, told by its keys, and the module that fits it.

`ultralytics.models.sam.build.build_sam(path)` goes by the file name and downloads what is missing,
so the builders are called without a checkpoint and the state dict is loaded here, strictly.
"""

import re
import zipfile
from pathlib import Path
from typing import Any

from perception.core.errors import RequestError
from perception.models import weights
from perception.models.import_guard import harden, refuse_compromised
from perception.models.weights import SAFETENSORS, beside_tensors, names_tensor

_VIT_KEY = "image_encoder.patch_embed.proj.weight"
TINY_TENSOR = "image_encoder.patch_embed.seq.0.c.weight"
_VIT_BUILDERS = {768: "build_sam_vit_b", 1024: "build_sam_vit_l", 1280: "build_sam_vit_h"}
HIERA_KEY = "image_encoder.trunk.patch_embed.proj.weight"  # in SAM 2 and 2.1 only
_HIERA_BLOCK = re.compile(r"image_encoder\.trunk\.blocks\.(\d+)\.norm1\.weight")
# Channels and blocks: the tiny and the small one differ in their blocks only.
_HIERA_BUILDERS = {
    (96, 12): "build_sam2_t",
    (96, 16): "build_sam2_s",
    (112, 24): "build_sam2_b",
    (144, 48): "build_sam2_l",
}
_SAM21_KEY = "no_obj_embed_spatial"
_WRAPPINGS = ("model", "state_dict", "model_state_dict", "model_state", "module", "net")
_MAX_WRAPPED = 3  # dictionaries around a state dict


def builder_name(shapes: dict[str, tuple[int, ...]], where: str) -> str:
    """Return the name of ultralytics' builder for a state dict's shapes.

    Args:
        shapes: Key to shape.
        where: The file, for the message.

    Raises:
        RequestError: `weights.invalid` for a checkpoint of another architecture.
    """
    _refuse_relatives(shapes, where)
    if TINY_TENSOR in shapes:
        return "build_mobile_sam"
    if _VIT_KEY in shapes:
        width = shapes[_VIT_KEY][0]
        if width in _VIT_BUILDERS:
            return _VIT_BUILDERS[width]
        raise RequestError(
            "weights.invalid",
            f"{where}: {_VIT_KEY} has {width} channels, expected one of {sorted(_VIT_BUILDERS)}",
        )
    if HIERA_KEY in shapes:
        blocks = sum(bool(_HIERA_BLOCK.fullmatch(key)) for key in shapes)
        size = shapes[HIERA_KEY][0], blocks
        if size in _HIERA_BUILDERS:
            return _HIERA_BUILDERS[size]
        raise RequestError(
            "weights.invalid",
            f"{where}: SAM 2 with {size[0]} channels and {size[1]} blocks, expected one of "
            f"{sorted(_HIERA_BUILDERS)}",
        )
    found = ", ".join(sorted(shapes)[:3]) or "no tensors"
    raise RequestError(
        "weights.invalid",
        f"{where}: is no SAM checkpoint: expected the key {_VIT_KEY} (ViT-B/L/H), {TINY_TENSOR} "
        f"(MobileSAM) or {HIERA_KEY} (SAM 2), found {found}",
    )


def _refuse_relatives(shapes: dict[str, tuple[int, ...]], where: str) -> None:
    """Refuse checkpoints that are known and not read, by name.

    Raises:
        RequestError: `weights.invalid`.
    """
    parts = {key.partition(".")[0] for key in shapes}
    if any(key.startswith(("mask_decoder.hf_", "mask_decoder.compress_vit")) for key in shapes):
        fault = "is SAM-HQ, whose mask decoder has parts of its own; it is not read"
    elif "vision_encoder" in parts:
        fault = "has the names that Hugging Face's transformers give SAM; expected the original's"
    elif "image_encoder" not in parts and parts & {"mask_decoder", "prompt_encoder"}:
        fault = "holds a prompt encoder or mask decoder without an image encoder"
    else:
        return
    raise RequestError("weights.invalid", f"{where}: {fault}")


def is_sam2(path: Path) -> bool:
    """Tell SAM 2 and 2.1 from SAM and MobileSAM; what is none of them is for `load_sam` to say.

    Raises:
        RequestError: `extra.missing`, `weights.invalid` for what is no state dict.
    """
    named = names_tensor(path, HIERA_KEY)
    return HIERA_KEY in read_state(path) if named is None else named


def load_sam(path: Path, device: str) -> Any:
    """Build the module that a checkpoint fits and load it strictly.

    Returns:
        An ultralytics `SAMModel` or `SAM2Model` in evaluation mode on `device`.

    Raises:
        RequestError: `extra.missing`, `weights.invalid`.
    """
    state = read_state(path)
    from ultralytics.models.sam import build

    shapes = {key: tuple(value.shape) for key, value in state.items()}
    sam = getattr(build, builder_name(shapes, str(path)))()
    if _SAM21_KEY in shapes:
        _add_parts_of_sam21(sam)
    try:
        sam.load_state_dict(state, strict=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1:3]
        raise RequestError(
            "weights.invalid", f"{path}: does not fit its architecture: {' '.join(first).strip()}"
        ) from error
    return sam.eval().requires_grad_(False).to(device)


def read_state(path: Path) -> Any:
    """Return the tensors of a checkpoint by name; they stay in the file until they are used."""
    harden()
    try:
        import torch
        import ultralytics
    except ModuleNotFoundError as error:
        raise RequestError(
            "extra.missing",
            f"SAM checkpoints need {error.name}: pip install 'driving-perception[ultralytics]'",
        ) from error
    refuse_compromised(ultralytics.__version__)
    if path.suffix == SAFETENSORS:
        return unwrapped(_read_safetensors(path), str(path))
    with weights.opened(path) as file:
        is_zip = zipfile.is_zipfile(file)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:  # of many kinds, with advice to run the file's code: not repeated
        others = ", ".join(beside_tensors(path)[:3])
        what = f"holds more than tensors ({others})" if others else "cannot be read"
        raise RequestError(
            "weights.invalid",
            f"{path}: {what}; expected tensors by name alone, as torch.save(model.state_dict()) "
            "writes them: nothing else is read, since it would be code",
        ) from error
    state = unwrapped(state, str(path))
    if not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise RequestError("weights.invalid", f"{path}: is not a state dict of tensors")
    return state


def unwrapped(state: Any, where: str) -> dict[str, Any]:
    """Return the tensors of SAM out of what training loops put around them.

    These are dictionaries ({"state_dict": ...}) and prefixes ("module.", "sam."). Tensors without
    the prefix of SAM's, such as a loss's, are left out.

    Args:
        state: What a file holds.
        where: The file, for the message.

    Raises:
        RequestError: `weights.invalid` for what is no dictionary, and for several SAMs.
    """
    for _ in range(_MAX_WRAPPED):
        inner = [state[key] for key in _WRAPPINGS if key in state] if _is_dict(state) else []
        if not inner or not _is_dict(inner[0]):
            break
        state = inner[0]
    if not _is_dict(state):
        raise RequestError("weights.invalid", f"{where}: is not a state dict of tensors")
    prefixes = {
        key.removesuffix(anchor)
        for key in state
        for anchor in (_VIT_KEY, TINY_TENSOR, HIERA_KEY)
        if key == anchor or key.endswith(f".{anchor}")
    }
    if len(prefixes) > 1:
        listed = ", ".join(sorted(prefix or "none" for prefix in prefixes))
        raise RequestError(
            "weights.invalid", f"{where}: holds several SAMs, with the prefixes {listed}"
        )
    prefix = prefixes.pop() if prefixes else ""
    return {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def _read_safetensors(path: Path) -> Any:
    try:
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise RequestError(
            "extra.missing",
            f"{path} needs {error.name}: pip install 'driving-perception[ultralytics]'",
        ) from error
    try:
        return load_file(path)
    except Exception as error:  # of a type of its own: the file is at fault
        raise RequestError(
            "weights.invalid", f"{path}: cannot be read as safetensors, it is damaged"
        ) from error


def _add_parts_of_sam21(sam: Any) -> None:
    """Give a SAM 2 the tensors that 2.1 has besides; all are for video.

    Ultralytics' builders do it for files whose name holds "sam2.1".
    """
    from torch import nn, zeros

    sam.no_obj_embed_spatial = nn.Parameter(zeros(1, sam.mem_dim))
    sam.obj_ptr_tpos_proj = nn.Linear(sam.hidden_dim, sam.mem_dim)
