"""MobileSAM's image encoder: what ultralytics' `TinyViT` computes, in less time and for any part.

Source of the arithmetic: https://arxiv.org/abs/2207.10666 and
https://github.com/ChaoningZhang/MobileSAM, `modeling/tiny_vit_sam.py`. Windows that stand over the
edge see zeros there, before a normalisation that makes them its bias: what such a cell is to others
is a constant, so it moves out of the attention into other biases, and zeros can be put in after all
linear layers, which then see no cell twice and none that is not there.

SAM pads a picture to a square: for a KITTI image 69 % of it are zeros below. A cell of a layer that
no pixel of the picture reaches has the same value for every picture. Convolutions and windows reach
little beyond a picture in the early layers, which take half of the time. `PaddedEncoder` computes
such cells once, from a square of zeros, and puts those that a layer needs below its own.

Both agree with the original to rounding. Cells are rows of (1, h x w, C), row by row.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from perception_sam.views import SIDE_PX

TRUNK_PX = 8  # of input per cell after the trunk: two strided convolutions and the first stage


def _trunk(net: Any, pixels: Tensor) -> Tensor:
    """Return the cells of the convolutions that come first, (1, h / 8 x w / 8, 128)."""
    cells: Tensor = net.layers[0](net.patch_embed(pixels))
    return cells


def _layers(net: Any) -> list[Any]:
    """Return what follows the trunk: blocks of attention, and mergings between the stages."""
    stages = [[*stage.blocks, stage.downsample] for stage in net.layers[1:]]
    return [layer for stage in stages for layer in stage if layer is not None]


def _stride_of(layer: Any) -> int:
    """Return 2 for a merging that halves height and width."""
    return int(layer.conv2.c.stride[0]) if hasattr(layer, "conv2") else 1


def _apply(layer: Any, cells: Tensor, width: int) -> Tensor:
    """Apply a block or a merging to rows of `width` cells."""
    if hasattr(layer, "attn"):
        cells = cells + _look_around(layer.attn, cells, width, layer.window_size)
        cells = _flat(layer.local_conv(_image(cells, width)))
        done: Tensor = cells + layer.mlp(cells)
        return done
    x = layer.act(layer.conv1(_image(cells, width)))
    merged: Tensor = _flat(layer.conv3(layer.act(layer.conv2(x))))
    return merged


def _neck(net: Any, cells: Tensor, width: int) -> Tensor:
    """Return the embedding, (1, 256, h, w)."""
    embedding: Tensor = net.neck(_image(cells, width))
    return embedding


def encode(net: Any, pixels: Tensor) -> Tensor:
    """Return the embedding (1, 256, h / 16, w / 16) of pixels (1, 3, h, w).

    Height and width stay what the pixels have when this is traced: one network takes all sizes.
    """
    cells, width = _trunk(net, pixels), pixels.shape[3] // TRUNK_PX
    for layer in _layers(net):
        cells = _apply(layer, cells, width)
        width //= _stride_of(layer)
    return _neck(net, cells, width)


def _look_around(attention: Any, cells: Tensor, width: int, side: int) -> Tensor:
    """Return what cells see in their windows of side x side cells.

    With n a cell's normalised channels, a weight W and the bias b of normalisation and projection
    together, a cell over the edge is b. As a key it adds the same to all scores of a query, which
    no softmax sees; as a value it adds b to every answer, since weights sum to 1.
    """
    heads, each, channels = attention.num_heads, attention.key_dim, int(cells.shape[2])
    norm, rows = attention.norm, cells.shape[1] // width
    weight = (attention.qkv.weight * norm.weight).unflatten(0, (heads, 3, each)).transpose(0, 1)
    bias = attention.qkv.bias + attention.qkv.weight @ norm.bias
    bias = bias.unflatten(0, (heads, 3, each)).transpose(0, 1).flatten(1)
    scale = weight.new_tensor([attention.scale, 1, 1]).reshape(3, 1, 1)
    weight, query_bias = weight.flatten(1, 2) * scale, bias[0] * attention.scale
    down, across = (rows + side - 1) // side, (width + side - 1) // side
    below, right = down * side - rows, across * side - width
    x = functional.layer_norm(cells, (channels,), eps=norm.eps)
    x = functional.linear(
        x, weight.flatten(0, 1), torch.cat([query_bias, query_bias.new_zeros(2 * channels)])
    )
    x = functional.pad(x.reshape(1, rows, width, -1), (0, 0, 0, right, 0, below))
    x = x.reshape(down, side, across, side, 3, heads, each).permute(4, 0, 2, 5, 1, 3, 6)
    queries, keys, values = x.reshape(3, down * across, heads, side * side, each)
    seen = (queries @ keys.transpose(2, 3) + attention.ab).softmax(-1) @ values
    seen = seen.reshape(down, across, heads, side, side, each).permute(0, 3, 1, 4, 2, 5)
    seen = seen.reshape(1, down * side, across * side, channels)[:, :rows, :width]
    return functional.linear(
        seen.reshape(1, rows * width, channels),
        attention.proj.weight,
        attention.proj.bias + attention.proj.weight @ bias[2],
    )


def _image(cells: Tensor, width: int) -> Tensor:
    """Return (1, C, h, w)."""
    return cells.transpose(1, 2).reshape(1, cells.shape[2], -1, width)


def _flat(image: Tensor) -> Tensor:
    return image.flatten(2).transpose(1, 2)


class PaddedEncoder(nn.Module):
    """The upper rows of a square, (1, 3, rows, 1024), to the embedding of it, (1, 256, 64, 64)."""

    below: Tensor

    def __init__(self, sam: Any, rows_px: int) -> None:
        """Compute what no picture of some height changes.

        Args:
            sam: A `SAMModel` with a TinyViT.
            rows_px: Of the picture; below are zeros.
        """
        super().__init__()
        self.net = net = sam.image_encoder
        strides = [2, 2, *(1 for _ in net.layers[0].blocks), 2]
        width, rows = SIDE_PX // TRUNK_PX, rows_px
        for stride in strides:
            rows = _reached(rows, stride)
        needed = self._trunk_rows = min(rows, width)
        for stride in reversed(strides):
            needed = _needed(needed, stride)
        self._rows_px = min(needed, SIDE_PX)
        self._kept = list[int]()
        rows = self._trunk_rows
        with torch.no_grad():
            empty = _trunk(net, torch.zeros(1, 3, SIDE_PX, SIDE_PX))
            for number, layer in enumerate(_layers(net)):
                stride, window = _stride_of(layer), getattr(layer, "window_size", 0)
                kept = -(-rows // window) * window + 1 if window else _reached(rows, stride)
                kept = min(kept, width // stride)
                needed = -(-(kept + 1) // window) * window if window else _needed(kept, stride)
                below = empty[:, rows * width : needed * width].clone()
                self.register_buffer(f"below{number}", below, persistent=False)
                self._kept.append(kept)
                empty, rows, width = _apply(layer, empty, width), kept, width // stride
            self.register_buffer("below", empty[:, rows * width :].clone(), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode a picture that is as high as was said."""
        width = SIDE_PX // TRUNK_PX
        x = functional.pad(pixels, (0, 0, 0, self._rows_px - pixels.shape[2]))
        x = _trunk(self.net, x)[:, : self._trunk_rows * width]
        for number, (layer, kept) in enumerate(zip(_layers(self.net), self._kept, strict=True)):
            x = _apply(layer, _joined(x, getattr(self, f"below{number}")), width)
            width //= _stride_of(layer)
            x = x[:, : kept * width]
        return _neck(self.net, _joined(x, self.below), width)


def _joined(cells: Tensor, below: Tensor) -> Tensor:
    return torch.cat([cells, below], dim=1) if below.shape[1] else cells


def _reached(rows: int, stride: int) -> int:
    """Return how many rows a convolution lets the first `rows` of its input change.

    It has three rows and pads one; with a stride of 2 the last row of an even number sees none.
    """
    return rows // 2 + 1 if stride == 2 else rows + 1


def _needed(rows: int, stride: int) -> int:
    """Return how many rows of input decide the first `rows` of a convolution."""
    return 2 * rows if stride == 2 else rows + 1
