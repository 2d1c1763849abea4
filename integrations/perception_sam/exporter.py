"""SAM as ONNX files: an encoder, and decoders for any number of prompts of any length."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from perception.core.errors import RequestError
from perception.io import scratch
from perception.io.files import write_bytes
from perception_sam.architecture import is_sam2, load_sam
from perception_sam.modules import Decoder, Encoder
from perception_sam.views import SIDE_PX

OPSET = 17
MAX_DIFFERENCE = 1e-4  # of the largest value
CHECKED = ((1, 2), (5, 2), (7, 4))  # prompts and tokens each
MASKS_EACH = {"decoder.onnx": 1, "decoder3.onnx": 3}
INPUTS = ["embedding", "tokens_xy", "kinds"]  # as of `modules.Decoder`


@dataclass(frozen=True)
class ExportedFile:
    """One file and how it compares.

    Attributes:
        name: Of the file.
        size_bytes: Of the file.
        difference: The largest between ONNX Runtime and PyTorch, as a share of the largest value.
        torch_s: Seconds that PyTorch takes.
        onnx_s: Seconds that ONNX Runtime takes for the same.
    """

    name: str
    size_bytes: int
    difference: float
    torch_s: float
    onnx_s: float


def export(path: Path, out: Path) -> list[ExportedFile]:
    """Write encoder.onnx, decoder.onnx (one mask each) and decoder3.onnx (three).

    They are checked against PyTorch before any appears.

    Raises:
        RequestError: `extra.missing`, `weights.invalid`, `export.mismatch`.
    """
    if is_sam2(path):
        raise RequestError(
            "weights.invalid", f"{path}: is SAM 2; the export takes SAM and MobileSAM"
        )
    sam = load_sam(path, "cpu")
    with scratch.folder("export") as made, torch.inference_mode():
        encoder = Encoder(sam).eval()
        pixels = np.random.default_rng(0).normal(size=(1, 3, SIDE_PX, SIDE_PX)).astype(np.float32)
        _write(encoder, (torch.zeros(pixels.shape),), made / "encoder.onnx", ["pixels"], {})
        found = [_compare(made / "encoder.onnx", encoder, [{"pixels": pixels}])]
        embedding = encoder(torch.from_numpy(pixels)).numpy()
        for name, masks_each in MASKS_EACH.items():
            decoder = Decoder(sam, masks_each, with_logits=False).eval()
            example = (torch.zeros(embedding.shape), *map(torch.from_numpy, _prompts(3, 2)))
            free = {"tokens_xy": {0: "prompts", 1: "tokens"}, "kinds": {0: "prompts", 1: "tokens"}}
            _write(decoder, example, made / name, INPUTS, free)
            asked = [
                dict(zip(INPUTS, (embedding, *_prompts(*size)), strict=True)) for size in CHECKED
            ]
            found.append(_compare(made / name, decoder, asked))
        for file in found:
            write_bytes(out / file.name, (made / file.name).read_bytes())
    return found


def _prompts(count: int, tokens: int) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    """Return boxes, or points followed by a token without one."""
    rng = np.random.default_rng(count)
    kinds = np.array([[2, 3]] if tokens == 2 else [[1, 0] + [1] * (tokens - 3) + [-1]])
    places = rng.uniform(0, SIDE_PX, (count, tokens, 2)).astype(np.float32)
    return places, np.repeat(kinds, count, axis=0)


def _write(
    module: nn.Module, example: tuple[Tensor, ...], path: Path, inputs: list[str], free: Any
) -> None:
    outputs = ["embedding"] if len(inputs) == 1 else ["logits", "predicted_ious"]
    axes = free | {name: {0: "prompts"} for name in outputs} if free else {}
    with warnings.catch_warnings():  # tracing says that shapes become constants: they are
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            example,
            str(path),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,  # tracing keeps the one free axis of prompts
        )


def _compare(path: Path, module: nn.Module, asked: list[dict[str, Any]]) -> ExportedFile:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    difference = 0.0
    for inputs in asked:
        expected = module(*map(torch.from_numpy, inputs.values()))
        expected = expected if isinstance(expected, tuple) else (expected,)
        for ours, theirs in zip(session.run(None, inputs), expected, strict=True):
            gap = float(np.abs(ours - theirs.numpy()).max() / np.abs(theirs.numpy()).max())
            difference = max(difference, gap)
    if not difference <= MAX_DIFFERENCE:  # NaN too
        raise RequestError(
            "export.mismatch",
            f"{path.name}: ONNX Runtime differs from PyTorch by {difference:.1e} of the largest "
            f"value, expected at most {MAX_DIFFERENCE:g}; nothing was written",
        )
    last = asked[-1]
    return ExportedFile(
        path.name,
        path.stat().st_size,
        difference,
        _seconds(lambda: module(*map(torch.from_numpy, last.values()))),
        _seconds(lambda: session.run(None, last)),
    )


def _seconds(run: Callable[[], object]) -> float:
    """Return the median of three."""
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return sorted(taken)[1]
