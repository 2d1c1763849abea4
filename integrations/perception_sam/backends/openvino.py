"""SAM through OpenVINO on a CPU: the same modules, converted once and kept compiled."""

import gc
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from perception.core.config import ObserveConfig
from perception.core.errors import RequestError
from perception.core.progress import phase
from perception.core.types import Float32
from perception.models.backends import keep, kept_file, read_kept
from perception.models.import_guard import harden
from perception.models.lanes import Spares
from perception.models.weights import names_tensor, sha256_of
from perception_sam.architecture import TINY_TENSOR, load_sam
from perception_sam.backends import Int64
from perception_sam.views import SIDE_PX, filled_rows

CACHE_VERSION = 4  # of what `modules` computes: raise it when that changes
ANY_HW = (
    -1,
    -1,
)  # a decoder takes embeddings of any size, MobileSAM's encoder pictures of any size
_ENCODER_HINTS = {"fp32": "f32", "mixed": "bf16", "bf16": "bf16"}
_DECODER_HINTS = {"fp32": "f32", "mixed": "f32", "bf16": "bf16"}
# Networks that keep what they compute in, up to a gigabyte each: two encoders and two decoders.
# Others get theirs again when they are used, which takes a tenth of their time.
WARM = 4
TRACED_HW = (256, 384)  # that differ, and are no multiples of a window's side
WORTH_PADDING = 768  # rows of the square; of more the padding saves too little for a network
LOADED = 16  # networks in memory: images of many shapes would else fill it


class _Network:
    """A network, loaded when it is first used, and who uses it; each lane has a stream of it."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self.requests: Spares[Any] = Spares(self._request)
        self.users = 0
        self.is_warm = False
        self._compiled: Any = None
        self._load = load
        self._one_loads = threading.Lock()

    def cool(self) -> None:
        """Give back what it computes in; nobody may use it meanwhile."""
        if self._compiled is not None:
            self._compiled.release_memory()
        self.is_warm = False

    def _request(self) -> Any:
        with self._one_loads:
            if self._compiled is None:
                self._compiled = self._load()
        return self._compiled.create_infer_request()


def wake(openvino: Any) -> None:
    """Use OpenVINO's bindings once, before several threads may do it for the first time.

    They make their table of numpy types at first use. The thread that makes it lets go of Python's
    lock meanwhile; another that then asks for the table waits for it with that lock in hand, and
    both wait for ever: about one run in fifty with two lanes.
    """
    for kind in (np.float32, np.int64):
        openvino.Tensor(np.zeros(1, kind)).element_type.to_dtype()


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Keep Python's garbage collector from interrupting a conversion, which reads Python sources.

    A finalizer lets another lane run in the middle of `ast.parse`. Where that lane parses too, as
    ultralytics does, both fail: https://github.com/python/cpython/issues/106905. One sample of a
    run was lost to it.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@cache
def _core() -> Any:
    """Return OpenVINO's core, one for the life of the process.

    Where a processor has AMX, each core sets the stack on which its thread handles signals (see
    openvino#11894). Of several that are freed, the last may leave a stack that is gone: the next
    signal, Ctrl-C perhaps, is then a segmentation fault.
    """
    import openvino

    return openvino.Core()


class OpenVinoBackend:
    """Compiled networks; results do not depend on threads or chunks.

    MobileSAM's encoder is one network for pictures of all sizes; a ViT has one for each shape.
    """

    def __init__(self, path: Path, config: ObserveConfig) -> None:
        """Check the processor, and the checkpoint unless networks made of it are kept.

        Raises:
            RequestError: `precision.unavailable`, and those of `load_sam`.
        """
        harden()
        import openvino

        wake(openvino)
        self._openvino = openvino
        self._core = _core()
        can = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precision = config.precision
        if precision != "fp32" and "BF16" not in can:
            raise RequestError(
                "precision.unavailable",
                f"--precision {precision}: this processor has no bfloat16 arithmetic; use fp32",
            )
        self._options = {
            "INFERENCE_NUM_THREADS": max(config.threads, config.lanes, 1),
            "ENABLE_CPU_PINNING": False,  # pinned, two processes share the first core
            "NUM_STREAMS": max(config.lanes, 1),
        }
        self._precision = precision
        self._path = path
        self._sha256 = sha256_of(path)
        self._is_tiny = bool(names_tensor(path, TINY_TENSOR))
        self._networks: OrderedDict[str, _Network] = OrderedDict()  # the last used one last
        self._one_compiles = threading.Lock()  # it takes gigabytes
        self._one_chooses = threading.Lock()
        self._sam: Any = None
        kept = self._kept_file("encoder", ANY_HW, _ENCODER_HINTS[precision])
        if kept is None or not any(kept.parent.glob("*.blob")):
            self._load_sam()  # what is wrong with the checkpoint shows here, not in a sample

    def read_ahead(self, *, twice: bool) -> None:
        """See `Backend`: the networks that are kept, while other models are loaded."""
        kept = self._kept_file("encoder", ANY_HW, _ENCODER_HINTS[self._precision])
        if self._is_tiny and kept is not None and kept.is_file():
            names = ["encoder", "decoder1", *(["decoder1+logits"] if twice else [])]
            threading.Thread(target=self._read_all, args=(names,), daemon=True).start()

    def _read_all(self, names: list[str]) -> None:
        for name in names:
            network = self._take(name, ANY_HW)
            with suppress(Exception):  # whoever uses it meets the same, and says it
                network.requests.give_back(network.requests.take())
            with self._one_chooses:
                network.users -= 1

    def encode(self, pixels: Float32) -> Any:
        """See `Backend`."""
        shape_hw = pixels.shape[2:]
        if self._is_tiny and shape_hw == (SIDE_PX, SIDE_PX):
            rows = filled_rows(pixels)
            if rows <= WORTH_PADDING:
                picture = np.ascontiguousarray(pixels[:, :, :rows])
                return self._run("padded encoder", (rows, SIDE_PX), [picture])[0]
        return self._run("encoder", ANY_HW if self._is_tiny else shape_hw, [pixels])[0]

    def decode(
        self,
        embedding: Any,
        tokens_xy: Float32,
        kinds: Int64,
        masks_each: int,
        low_logits: Float32 | None,
    ) -> tuple[Float32, Float32]:
        """See `Backend`."""
        name = f"decoder{masks_each}{'' if low_logits is None else '+logits'}"
        inputs = [np.ascontiguousarray(embedding), tokens_xy, kinds]
        if low_logits is not None:
            inputs.append(low_logits[:, None])
        try:
            logits, ious = self._run(name, ANY_HW, inputs)
        except RuntimeError as error:
            if "alloc" not in str(
                error
            ):  # std::bad_alloc, "Failed to allocate": no type of its own
                raise
            raise MemoryError(str(error)) from error
        return logits, ious

    def _load_sam(self) -> Any:
        if self._sam is None:
            self._sam = load_sam(self._path, "cpu")
        return self._sam

    def _run(self, name: str, shape_hw: tuple[int, ...], inputs: list[Any]) -> list[Any]:
        """Run a network, from any thread."""
        network = self._take(name, shape_hw)
        try:
            request = network.requests.take()
            request.infer(inputs, share_inputs=True)
            # copies: the next call writes into the same memory
            answers = [tensor.data.copy() for tensor in request.output_tensors]
            network.requests.give_back(request)
            return answers
        finally:
            with self._one_chooses:
                network.users -= 1

    def _take(self, name: str, shape_hw: tuple[int, ...]) -> _Network:
        """Return a network that stays until its `users` are fewer; let others give memory back."""
        key = f"{name} {shape_hw[0]}x{shape_hw[1]}"
        with self._one_chooses:
            if key not in self._networks:
                height, width = shape_hw
                self._networks[key] = _Network(partial(self._load, name, (height, width)))
            network = self._networks[key]
            self._networks.move_to_end(key)
            network.users, network.is_warm = network.users + 1, True
            idle = [(k, n) for k, n in self._networks.items() if not n.users]
            for other, _ in idle[: max(len(self._networks) - LOADED, 0)]:
                del self._networks[other]
            for other, one in idle[: max(len(self._networks) - WARM, 0)]:
                if one.is_warm and other in self._networks:
                    one.cool()
            return network

    def _kept_file(self, name: str, shape_hw: tuple[int, int], hint: str) -> Path | None:
        described = {
            "network": [CACHE_VERSION, name, *shape_hw],
            "precision": hint,
            "openvino": self._openvino.__version__,
            "processor": self._core.get_property("CPU", "FULL_DEVICE_NAME"),
        }
        return kept_file(self._sha256, described)

    def _load(self, name: str, shape_hw: tuple[int, int]) -> Any:
        """Return a compiled network: the one that is kept, or a new one that then is."""
        hints = _DECODER_HINTS if name.startswith("decoder") else _ENCODER_HINTS
        options = self._options | {"INFERENCE_PRECISION_HINT": hints[self._precision]}
        kept = self._kept_file(name, shape_hw, hints[self._precision])
        found = read_kept(self._core, kept, options)
        if found is not None:
            return found
        with self._one_compiles:
            at = "" if shape_hw == ANY_HW else f" for {shape_hw[1]} x {shape_hw[0]}"
            phase(f"preparing SAM's {name}{at}, once")
            return self._compile(name, shape_hw, kept, options)

    def _compile(
        self, name: str, shape_hw: tuple[int, int], kept: Path | None, options: dict[str, Any]
    ) -> Any:
        compiled = self._core.compile_model(self._convert(name, shape_hw), "CPU", options)
        keep(compiled, kept)
        return compiled

    def _convert(self, name: str, shape_hw: tuple[int, int]) -> Any:
        import torch

        from perception_sam.modules import Decoder, Encoder
        from perception_sam.tiny_vit import PaddedEncoder

        height, width = shape_hw
        if not name.startswith("decoder"):
            sam = self._load_sam()
            module: Any = PaddedEncoder(sam, height) if name == "padded encoder" else Encoder(sam)
            traced_hw = TRACED_HW if shape_hw == ANY_HW else (height, width)
            example = [torch.zeros(1, 3, *traced_hw)]
            shapes = [[1, 3, height, width]]
        else:
            with_logits = name.endswith("+logits")
            masks_each = int(name.removeprefix("decoder").removesuffix("+logits"))
            module = Decoder(self._load_sam(), masks_each, with_logits=with_logits)
            example = [
                torch.zeros(1, 256, 8, 12),
                torch.zeros(3, 2, 2),
                torch.zeros(3, 2, dtype=torch.int64),
            ]
            shapes = [[1, 256, height, width], [-1, -1, 2], [-1, -1]]
            if with_logits:
                example.append(torch.zeros(3, 1, 32, 48))
                shapes.append([-1, 1, -1, -1])
        # tracing says that shapes become constants: they are
        with warnings.catch_warnings(), _nothing_collected(), torch.no_grad():
            warnings.simplefilter("ignore")
            # OpenVINO's own tracing checks itself with a second one and three more forward passes:
            # two thirds of the time of a conversion, for a graph that does not depend on it.
            trace: Any = torch.jit.trace  # it has no types
            traced = trace(module.eval(), tuple(example), strict=False, check_trace=False)
            return self._openvino.convert_model(traced, example_input=tuple(example), input=shapes)
