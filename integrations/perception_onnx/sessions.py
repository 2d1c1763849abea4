"""An ONNX file made ready to run, by ONNX Runtime or by OpenVINO: the same call for both."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from perception.core.config import ObserveConfig
from perception.core.errors import RequestError
from perception.core.progress import phase
from perception.core.types import Float32
from perception.models.backends import keep, kept_file, read_kept
from perception.models.import_guard import harden
from perception.models.lanes import Spares
from perception.models.weights import onnx_parts, sha256_of
from perception_onnx.unsigned import quick_model

Shape = tuple[int | None, ...]  # None: free
Batch = npt.NDArray[Any]  # pixels in the type that the network asks for

# What ONNX Runtime and OpenVINO call the types of numbers. Others than these are not fed or read.
DTYPES: dict[str, npt.DTypeLike] = {
    "tensor(float)": np.float32,
    "f32": np.float32,
    "tensor(float16)": np.float16,
    "f16": np.float16,
    "tensor(double)": np.float64,
    "f64": np.float64,
    "tensor(uint8)": np.uint8,
    "u8": np.uint8,
}
# Operators of TensorRT's plugins, which no other runtime has.
_TENSORRT = ("_TRT", "TRT_", "BatchedNMSDynamic", "TRTBatchedNMS")
_SHOWN = 160  # characters of what a library says


@dataclass(frozen=True)
class Port:
    """An input or an output of a network.

    Attributes:
        name: In the file.
        shape: As the file states it.
        kind: Type of its numbers, as the runtime calls it.
    """

    name: str
    shape: Shape
    kind: str

    def __str__(self) -> str:
        """Return it for a message: "output0 (1, 84, 2100)"."""
        return f"{self.name} ({', '.join('?' if n is None else str(n) for n in self.shape)})"


class Session(Protocol):
    """A network that runs."""

    @property
    def inputs(self) -> tuple[Port, ...]:
        """What it asks for."""
        ...

    @property
    def outputs(self) -> tuple[Port, ...]:
        """What it answers."""
        ...

    def __call__(self, batch: Batch, wanted: Sequence[int]) -> tuple[Float32, ...]:
        """Return some outputs, by their places, for pixels in its first input."""
        ...


class OnnxRuntimeSession:
    """Runs a file with ONNX Runtime: on CUDA where `device` says so and the package has it."""

    def __init__(self, path: Path, config: ObserveConfig) -> None:
        """Load a file; raise whatever ONNX Runtime raises."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = max(config.threads // max(config.lanes, 1), 1)
        options.log_severity_level = 4  # fatal: what fails is raised, and told in our words
        providers: list[Any] = ["CPUExecutionProvider"]
        cuda, _, number = config.device.partition(":")
        if cuda == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": number or "0"}))
        self._session: Any = onnxruntime.InferenceSession(
            quick_model(path), options, providers=providers
        )
        self.inputs = tuple(_runtime_port(one) for one in self._session.get_inputs())
        self.outputs = tuple(_runtime_port(one) for one in self._session.get_outputs())

    def __call__(self, batch: Batch, wanted: Sequence[int]) -> tuple[Float32, ...]:
        """See `Session`."""
        asked = self.inputs[0]
        fed = {asked.name: batch.astype(DTYPES[asked.kind], copy=False)}
        found = self._session.run([self.outputs[i].name for i in wanted], fed)
        return tuple(np.asarray(one, np.float32) for one in found)


class OpenVinoSession:
    """Runs a file with OpenVINO on the CPU, in single precision unless the file is quantised."""

    def __init__(self, path: Path, config: ObserveConfig) -> None:
        """Load a file; raise whatever OpenVINO raises."""
        settings = {
            "INFERENCE_NUM_THREADS": max(config.threads, config.lanes, 1),
            "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the processor supports it
            "NUM_STREAMS": max(config.lanes, 1),
            "ENABLE_CPU_PINNING": False,  # two workers would share the first core
        }
        import openvino

        core = _core()
        described = {
            "network": path.suffix,
            "openvino": openvino.__version__,
            "processor": core.get_property("CPU", "FULL_DEVICE_NAME"),
        }
        kept = kept_file(sha256_of(path), described)
        model = read_kept(core, kept, settings)
        if model is None:
            phase(f"preparing {path.name}, once")
            model = core.compile_model(path, "CPU", settings)
            keep(model, kept)
        self._requests: Spares[Any] = Spares(model.create_infer_request)
        self.inputs = tuple(_openvino_port(one) for one in model.inputs)
        self.outputs = tuple(_openvino_port(one) for one in model.outputs)

    def __call__(self, batch: Batch, wanted: Sequence[int]) -> tuple[Float32, ...]:
        """See `Session`."""
        request = self._requests.take()
        try:
            request.infer([np.ascontiguousarray(batch, DTYPES[self.inputs[0].kind])])
            # copies: the next call writes into the same memory
            return tuple(np.array(request.output_tensors[i].data, np.float32) for i in wanted)
        finally:
            self._requests.give_back(request)


def _runtime_port(node: Any) -> Port:
    return Port(node.name, tuple(n if isinstance(n, int) else None for n in node.shape), node.type)


def _openvino_port(node: Any) -> Port:
    shape = node.get_partial_shape()
    rank = shape.rank.get_length() if shape.rank.is_static else 0
    sizes = [shape[i] for i in range(rank)]
    return Port(
        name=min(node.get_names(), default=""),
        shape=tuple(n.get_length() if n.is_static else None for n in sizes),
        kind=node.get_element_type().get_type_name(),
    )


SESSIONS: dict[str, type[OnnxRuntimeSession] | type[OpenVinoSession]] = {
    "onnxruntime": OnnxRuntimeSession,
    "openvino": OpenVinoSession,
}


def open_session(path: Path, config: ObserveConfig) -> Session:
    """Load an ONNX file whose hash the caller has checked.

    Args:
        path: An existing file.
        config: `detect_backend` (resolved), `threads` (resolved, at least 1), `device`.

    Raises:
        RequestError: `extra.missing`, `weights.invalid`.
    """
    harden()
    try:
        return SESSIONS[config.detect_backend](path, config)
    except ModuleNotFoundError as error:
        raise RequestError(
            "extra.missing",
            f"--detect-backend {config.detect_backend} needs {error.name}: "
            "pip install 'driving-perception[onnx]' for onnxruntime, [openvino] for openvino",
        ) from error
    except Exception as error:  # of either library, in its own types: the file is at fault
        plugins = [
            name for name in sorted(onnx_parts(path).operators) if any(w in name for w in _TENSORRT)
        ]
        if plugins:
            raise RequestError(
                "weights.invalid",
                f"{path}: uses {', '.join(plugins)}, which only TensorRT computes; export it "
                "without TensorRT's suppression",
            ) from error
        raise RequestError(
            "weights.invalid", f"{path}: {config.detect_backend} cannot load it: {cause(error)}"
        ) from error


def cause(error: Exception) -> str:
    """Return what a library says, in one short line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # OpenVINO begins with where in its sources it was, and ends with the reason
    told = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    line = (told or lines or [type(error).__name__])[0]
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]} ..."


@cache
def _core() -> Any:
    """Return OpenVINO's core, one for the life of the process.

    Where a processor has AMX, each core sets the stack on which its thread handles signals (see
    openvino#11894). Of several that are freed, the last may leave a stack that is gone: the next
    signal, Ctrl-C perhaps, is then a segmentation fault.
    """
    import openvino

    return openvino.Core()
