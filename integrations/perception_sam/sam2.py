"""SAM 2 and 2.1 for single images: an image fills the square, and decoding sees finer features.

Numerically the image predictor of https://github.com/facebookresearch/sam2
(`sam2_image_predictor.py`, `utils/transforms.py`) up to rounding of the resized image, with the
networks of ultralytics. What is for video only (memory, object pointers) is loaded and never used.
"""

from pathlib import Path
from typing import Any

from perception.core.config import ObserveConfig
from perception.core.types import Float32
from perception_sam.architecture import load_sam
from perception_sam.backends import Int64
from perception_sam.prompting import PromptedSam
from perception_sam.views import SIDE_PX, View

MAX_FED_BACK = 32.0  # upstream cuts the logits that it hands out


def stretched(size_hw: tuple[int, int]) -> View:
    """Return the whole image filling the square, as SAM 2 was trained: sides keep no proportion."""
    return View((0, 0, size_hw[1], size_hw[0]), (SIDE_PX, SIDE_PX), (SIDE_PX, SIDE_PX))


class Sam2Backend:
    """PyTorch, on any device; see `perception_sam.backends.Backend`."""

    def __init__(self, sam: Any, config: ObserveConfig) -> None:
        self._sam = sam
        self._threads = config.threads

    def encode(self, pixels: Float32) -> Any:
        """Return the embedding, (1, 256, 64, 64), and two finer feature maps."""
        import torch

        if self._threads:  # whoever else uses torch in this process may have set another number
            torch.set_num_threads(self._threads)
        with torch.inference_mode():
            seen = self._sam.forward_image(torch.from_numpy(pixels).to(self._sam.device))
            *finer, coarse = seen["backbone_fpn"]
            return coarse + self._sam.no_mem_embed.reshape(1, -1, 1, 1), finer

    def decode(
        self,
        embedding: Any,
        tokens_xy: Float32,
        kinds: Int64,
        masks_each: int,
        low_logits: Float32 | None,
    ) -> tuple[Float32, Float32]:
        """See `Backend`; the last token of each prompt stands for no point."""
        import torch

        def tensor(array: Any) -> Any:
            return torch.from_numpy(array).to(self._sam.device)

        coarse, finer = embedding
        # The prompt encoder adds the token without a point itself.
        points = tensor(tokens_xy[:, :-1]), tensor(kinds[:, :-1])
        fed = None
        if low_logits is not None:
            fed = tensor(low_logits[:, None]).clamp(-MAX_FED_BACK, MAX_FED_BACK)
        try:
            with torch.inference_mode():
                sparse, dense = self._sam.sam_prompt_encoder(
                    points=points if tokens_xy.shape[1] else None, boxes=None, masks=fed
                )
                logits, ious, _, _ = self._sam.sam_mask_decoder(
                    image_embeddings=coarse,
                    image_pe=self._sam.sam_prompt_encoder.get_dense_pe(),
                    sparse_prompt_embeddings=sparse,
                    dense_prompt_embeddings=dense,
                    multimask_output=masks_each == 3,
                    repeat_image=True,
                    high_res_features=finer,
                )
            return logits.cpu().numpy(), ious.cpu().numpy()
        except torch.OutOfMemoryError as error:  # of a GPU; a CPU's is killed by the system
            raise MemoryError(str(error)) from error

    def read_ahead(self, *, twice: bool) -> None:
        """Read nothing: all is in memory."""


def load_sam2(path: Path, config: ObserveConfig) -> PromptedSam:
    """Load a SAM 2 or 2.1 checkpoint.

    It runs in PyTorch and sees the whole image, whatever `mode` says, which is of SAM.

    Raises:
        RequestError: `extra.missing`, `weights.invalid`.
    """
    backend = Sam2Backend(load_sam(path, config.device), config)
    return PromptedSam(backend, config, stretched, pads_boxes=True)
