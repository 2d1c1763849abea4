"""SAM's encoder and decoder as two modules that run on any part of the input square.

The networks are ultralytics' (`models/sam/modules`), the arithmetic is that of `segment-anything`
(https://github.com/facebookresearch/segment-anything): `modeling/image_encoder.py`,
`prompt_encoder.py`, `mask_decoder.py`. SAM pads every image to a square of 1024; what is padded can
be left out when all positional encodings are those of the square, cut to what is kept. They are cut
here and never interpolated: `SAMModel.set_imgsz` would do that.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from perception_sam import tiny_vit
from perception_sam.two_way import draw, transform

PATCH_PX = 16  # of input per cell of the embedding
SIDE_CELLS = 64  # of the whole square


class Encoder(nn.Module):
    """Normalised pixels (1, 3, h, w) to an embedding (1, 256, h / 16, w / 16)."""

    def __init__(self, sam: Any) -> None:
        super().__init__()
        self.net = sam.image_encoder

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode the upper left part of the square; h and w are multiples of 64."""
        height, width = int(pixels.shape[2]), int(pixels.shape[3])
        if hasattr(self.net, "patches_resolution"):  # TinyViT: no absolute positions
            return tiny_vit.encode(self.net, pixels)
        rows, columns = height // PATCH_PX, width // PATCH_PX
        x = self.net.patch_embed(pixels)
        if self.net.pos_embed is not None:
            x = x + self.net.pos_embed[:, :rows, :columns]
        with _cut_relative_positions(self.net.blocks, rows, columns):
            for block in self.net.blocks:
                x = block(x)
        embedding: Tensor = self.net.neck(x.permute(0, 3, 1, 2))
        return embedding


@contextmanager
def _cut_relative_positions(blocks: Any, rows: int, columns: int) -> Iterator[None]:
    """Give global attention the middle of its tables: offsets of a smaller grid, not stretched."""
    kept = []
    for block in blocks:
        attention = block.attn
        if block.window_size == 0 and getattr(attention, "use_rel_pos", False):
            for name, size in (("rel_pos_h", rows), ("rel_pos_w", columns)):
                table = getattr(attention, name)
                middle = (table.shape[0] - 1) // 2
                kept.append((attention, name, table))
                cut = nn.Parameter(table[middle - size + 1 : middle + size], requires_grad=False)
                setattr(attention, name, cut)
    try:
        yield
    finally:
        for attention, name, table in kept:
            setattr(attention, name, table)


class Decoder(nn.Module):
    """Prompts to mask logits, for an embedding of h x w cells.

    Tokens of a prompt are points with a kind: 0 not on the object, 1 on it, 2 and 3 the corners of
    its box, -1 none (what SAM adds to points without a box).
    """

    kinds: Tensor
    grid: Tensor
    no_logits: Tensor

    def __init__(self, sam: Any, masks_each: int, *, with_logits: bool) -> None:
        """Share the networks of a `SAMModel`.

        Args:
            sam: The model.
            masks_each: 1, or 3: the outputs for prompts that may mean several things.
            with_logits: Whether `forward` takes low-resolution logits as part of the prompt.
        """
        super().__init__()
        prompts, decoder = sam.prompt_encoder, sam.mask_decoder
        self.positions = prompts.pe_layer
        self.input_hw = (SIDE_CELLS * PATCH_PX, SIDE_CELLS * PATCH_PX)
        kinds = [prompts.not_a_point_embed, *prompts.point_embeddings]
        self.register_buffer("kinds", torch.cat([kind.weight for kind in kinds]), False)
        grid = prompts.pe_layer((SIDE_CELLS, SIDE_CELLS)).unsqueeze(0)
        self.register_buffer("grid", grid, False)
        self.register_buffer("no_logits", prompts.no_mask_embed.weight.reshape(1, -1, 1, 1), False)
        self.shrink = prompts.mask_downscaling
        self.net = decoder
        self.with_logits = with_logits
        self.chosen = (0,) if masks_each == 1 else (1, 2, 3)

    def forward(
        self, embedding: Tensor, tokens_xy: Tensor, kinds: Tensor, low_logits: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Decode N prompts of T tokens.

        Args:
            embedding: (1, 256, h, w).
            tokens_xy: (N, T, 2) pixels of the input square.
            kinds: (N, T) int64.
            low_logits: (N, 1, 4 h, 4 w) of an earlier answer, if `with_logits`.

        Returns:
            (N, M, 4 h, 4 w) logits and (N, M) predicted IoU.
        """
        place = self.positions.forward_with_coords(tokens_xy + 0.5, self.input_hw)
        sparse = place * (kinds >= 0).unsqueeze(-1).to(place.dtype) + self.kinds[kinds + 1]
        count, rows, columns = tokens_xy.shape[0], embedding.shape[2], embedding.shape[3]
        if self.with_logits:  # flat: OpenVINO would fuse the sum into the convolution, and fail
            cells = embedding.flatten(2) + self.shrink(low_logits).flatten(2)
        else:  # one image for all prompts: what is made of its cells alone is made once
            cells = (embedding + self.no_logits).flatten(2)
        own = torch.cat([self.net.iou_token.weight, self.net.mask_tokens.weight])
        tokens = torch.cat([own.unsqueeze(0).expand(count, -1, -1), sparse], dim=1)
        places = self.grid[:, :, :rows, :columns].flatten(2).transpose(1, 2)
        answers, cells = transform(self.net.transformer, cells.transpose(1, 2), places, tokens)
        ious = self.net.iou_prediction_head(answers[:, 0])
        nets = self.net.output_hypernetworks_mlps
        brushes = torch.stack([nets[i](answers[:, 1 + i]) for i in self.chosen], dim=1)
        logits = draw(self.net.output_upscaling, cells, brushes, rows, columns)
        return logits, ious[:, self.chosen[0] : self.chosen[-1] + 1]
