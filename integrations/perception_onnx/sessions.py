"""An ONNX file made ready to run, by ONNX Runtime or by OpenVINO: the same call for both."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from perception.bootstrap import harden
from perception.config import ObserveConfig
from perception.errors import RequestError
from perception.lanes import Spares
from perception.types import Float32
from perception_onnx.unsigned import quick_model

Shape = tuple[int | None, ...]  # None: free


class Session(Protocol):
    """A network that runs."""

    @property
    def input_shape(self) -> Shape:
        """Batch, channels, height and width that the file wants."""
        ...

    def __call__(self, batch: Float32) -> Float32:
        """Return the first output for (B, C, H, W) pixels."""
        ...


class OnnxRuntimeSession:
    """Runs a file with ONNX Runtime: on CUDA where `device` says so and the package has it."""

    def __init__(self, path: Path, config: ObserveConfig) -> None:
        """Load a file; raise whatever ONNX Runtime raises."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = max(config.threads // max(config.lanes, 1), 1)
        options.log_severity_level = 3  # errors
        providers: list[Any] = ["CPUExecutionProvider"]
        cuda, _, number = config.device.partition(":")
        if cuda == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": number or "0"}))
        self._session: Any = onnxruntime.InferenceSession(
            quick_model(path), options, providers=providers
        )
        asked = self._session.get_inputs()[0]
        self._name = asked.name
        self._dtype = _dtype(asked.type)
        self.input_shape: Shape = tuple(n if isinstance(n, int) else None for n in asked.shape)

    def __call__(self, batch: Float32) -> Float32:
        """Return the first output for (B, C, H, W) pixels."""
        found = self._session.run(None, {self._name: batch.astype(self._dtype, copy=False)})
        return np.asarray(found[0], np.float32)


class OpenVinoSession:
    """Runs a file with OpenVINO on the CPU, in single precision unless the file is quantised."""

    def __init__(self, path: Path, config: ObserveConfig) -> None:
        """Load a file; raise whatever OpenVINO raises."""
        import openvino

        settings = {
            "INFERENCE_NUM_THREADS": max(config.threads, config.lanes, 1),
            "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the processor has it
            "NUM_STREAMS": max(config.lanes, 1),
            "ENABLE_CPU_PINNING": False,  # two workers would share the first core
        }
        model: Any = openvino.Core().compile_model(path, "CPU", settings)
        self._requests: Spares[Any] = Spares(model.create_infer_request)
        asked = model.inputs[0]
        self._dtype = _dtype(asked.get_element_type().get_type_name())
        self.input_shape: Shape = tuple(
            n.get_length() if n.is_static else None for n in asked.get_partial_shape()
        )

    def __call__(self, batch: Float32) -> Float32:
        """Return the first output for (B, C, H, W) pixels."""
        request = self._requests.take()
        try:
            request.infer([np.ascontiguousarray(batch, self._dtype)])
            # a copy: the next call writes into the same memory
            return np.array(request.output_tensors[0].data, np.float32)
        finally:
            self._requests.give_back(request)


def _dtype(name: str) -> npt.DTypeLike:
    """Return the type of numbers for what ONNX Runtime or OpenVINO calls it."""
    return np.float16 if name in {"tensor(float16)", "f16"} else np.float32


SESSIONS: dict[str, type[OnnxRuntimeSession] | type[OpenVinoSession]] = {
    "onnxruntime": OnnxRuntimeSession,
    "openvino": OpenVinoSession,
}


def open_session(path: Path, config: ObserveConfig) -> Session:
    """Load an ONNX file whose hash the caller has checked.

    Args:
        path: An existing file.
        config: `detect_engine` (resolved), `threads` (resolved, at least 1), `device`.

    Raises:
        RequestError: `extra.missing`, `weights.invalid`.
    """
    harden()
    try:
        session = SESSIONS[config.detect_engine](path, config)
    except ModuleNotFoundError as error:
        raise RequestError(
            "extra.missing",
            f"--detect-engine {config.detect_engine} needs {error.name}: "
            "pip install 'driving-perception[onnx]' for onnxruntime, [openvino] for openvino",
        ) from error
    except Exception as error:  # of either library, in its own types: the file is at fault
        raise RequestError(
            "weights.invalid", f"{path}: {config.detect_engine} cannot load it: {error}"
        ) from error
    batch, channels, height, width = (*session.input_shape, None, None, None, None)[:4]
    if len(session.input_shape) != 4 or channels not in {3, None} or (batch or 1) < 1:
        raise RequestError(
            "weights.invalid",
            f"{path}: its input has the shape {session.input_shape}, expected pixels "
            "(batch, 3, height, width)",
        )
    if (height is None) != (width is None):
        raise RequestError(
            "weights.invalid", f"{path}: one side of its input is free, expected both or none"
        )
    return session
