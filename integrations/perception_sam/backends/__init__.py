"""Backends for SAM's two networks: one interface, implemented in PyTorch and OpenVINO."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from perception.core.config import ObserveConfig
from perception.core.types import Float32
from perception.models.backends import segmenter_resolved
from perception_sam.architecture import load_sam
from perception_sam.capabilities import capabilities

Int64 = npt.NDArray[np.int64]


class Backend(Protocol):
    """Computes the two networks; embeddings keep the backend's own type."""

    def encode(self, pixels: Float32) -> Any:
        """Return the embedding of normalised pixels, (1, 3, h, w); h and w multiples of 64."""
        ...

    def decode(
        self,
        embedding: Any,
        tokens_xy: Float32,
        kinds: Int64,
        masks_each: int,
        low_logits: Float32 | None,
    ) -> tuple[Float32, Float32]:
        """Decode N prompts together.

        Args:
            embedding: From `encode`.
            tokens_xy: (N, T, 2) pixels of the input square of 1024.
            kinds: (N, T): 0 not on the object, 1 on it, 2 and 3 corners of its box, -1 none.
            masks_each: 1 or 3.
            low_logits: (N, h / 4, w / 4) earlier logits as part of the prompt, or None.

        Returns:
            (N, M, h / 4, w / 4) logits and (N, M) predicted IoU.

        Raises:
            MemoryError: for more prompts than the memory holds.
        """
        ...

    def read_ahead(self, *, twice: bool) -> None:
        """Begin to read what is not in memory yet, in a thread of its own.

        Args:
            twice: Whether masks will be decoded again.
        """
        ...


def decode_in_chunks(
    backend: Backend,
    embedding: Any,
    tokens_xy: Float32,
    kinds: Int64,
    chunk: int,
    masks_each: int = 1,
    low_logits: Float32 | None = None,
) -> Iterator[tuple[Float32, Float32]]:
    """Decode N prompts, at most `chunk` together, fewer where the memory does not hold them.

    Yields:
        What `Backend.decode` returns, chunk by chunk, in the order of the prompts.
    """
    start = 0
    while start < len(tokens_xy):
        rows = slice(start, start + chunk)
        low = None if low_logits is None else low_logits[rows]
        try:
            yield backend.decode(embedding, tokens_xy[rows], kinds[rows], masks_each, low)
        except MemoryError:
            if chunk == 1:
                raise
            chunk = -(-chunk // 2)
            continue
        start += chunk


class TorchBackend:
    """PyTorch, on any device."""

    def __init__(self, sam: Any, config: ObserveConfig) -> None:
        from perception_sam.modules import Decoder, Encoder

        self._threads = config.threads
        self._device = sam.pixel_mean.device
        self._encoder = Encoder(sam).eval()
        self._decoders = {
            (masks_each, with_logits): Decoder(sam, masks_each, with_logits=with_logits).eval()
            for masks_each in (1, 3)
            for with_logits in (False, True)
        }

    def encode(self, pixels: Float32) -> Any:
        """See `Backend`."""
        import torch

        if self._threads:  # whoever else uses torch in this process may have set another number
            torch.set_num_threads(self._threads)
        with torch.inference_mode():
            return self._encoder(torch.from_numpy(pixels).to(self._device))

    def decode(
        self,
        embedding: Any,
        tokens_xy: Float32,
        kinds: Int64,
        masks_each: int,
        low_logits: Float32 | None,
    ) -> tuple[Float32, Float32]:
        """See `Backend`."""
        import torch

        decoder = self._decoders[masks_each, low_logits is not None]
        inputs = [torch.from_numpy(tokens_xy), torch.from_numpy(kinds)]
        if low_logits is not None:
            inputs.append(torch.from_numpy(low_logits[:, None]))
        try:
            with torch.inference_mode():
                logits, ious = decoder(embedding, *(array.to(self._device) for array in inputs))
            return logits.cpu().numpy(), ious.cpu().numpy()
        except torch.OutOfMemoryError as error:  # of a GPU; a CPU's is killed by the system
            raise MemoryError(str(error)) from error

    def read_ahead(self, *, twice: bool) -> None:
        """Read nothing: all is in memory."""


def load_backend(path: Path, config: ObserveConfig) -> Backend:
    """Load a SAM checkpoint into the backend that the settings name.

    Raises:
        RequestError: `extra.missing`, `weights.invalid`, `precision.unavailable`,
            `config.invalid`.
    """
    config = segmenter_resolved(config, capabilities(path))
    if config.backend == "openvino":
        from perception_sam.backends.openvino import OpenVinoBackend

        return OpenVinoBackend(path, config)
    return TorchBackend(load_sam(path, config.device), config)
