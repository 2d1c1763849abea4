"""SAM's mask decoder over tokens: what `TwoWayTransformer` and `MaskDecoder` compute, in less time.

Source of the arithmetic: https://github.com/facebookresearch/segment-anything,
`modeling/transformer.py` and `mask_decoder.py`. A prompt has about seven tokens and an image up to
4096 cells, so nothing is projected for every cell that can be projected for every token:
x W k = x (W k), and the weights of an attention sum to 1, which moves a bias out of it. Sums are
taken in another order and agree to rounding. Cells stay rows of a matrix up to the logits: no large
array is transposed.

N prompts, T tokens each, C cells, H heads, D channels.
"""

import math
from typing import Any

from torch import Tensor
from torch.nn import functional


def transform(net: Any, cells: Tensor, places: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Attend from tokens to cells and back.

    Args:
        net: Ultralytics' `TwoWayTransformer`.
        cells: (N, C, D), or (1, C, D) where all prompts share an image.
        places: (1, C, D) positional encoding of the cells.
        tokens: (N, T, D), their own positional encoding too.

    Returns:
        (N, T, D) tokens and (N, C, D) cells.
    """
    asking = tokens
    for number, layer in enumerate(net.layers):
        if number == 0:
            asking = layer.norm1(layer.self_attn(asking, asking, asking))
        else:
            placed = asking + tokens
            asking = layer.norm1(asking + layer.self_attn(placed, placed, asking))
        seen = _ask_cells(layer.cross_attn_token_to_image, asking + tokens, cells + places, cells)
        asking = layer.norm2(asking + seen)
        asking = layer.norm3(asking + layer.mlp(asking))
        told = _ask_tokens(layer.cross_attn_image_to_token, cells + places, asking + tokens, asking)
        cells = layer.norm4(cells + told)
    seen = _ask_cells(net.final_attn_token_to_image, asking + tokens, cells + places, cells)
    return net.norm_final_attn(asking + seen), cells


def _ask_cells(attention: Any, tokens: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return (N, T, D) of what tokens see in cells; a bias of the keys would change no weight."""
    heads = attention.num_heads
    queries = _apart(attention.q_proj(tokens), 2, heads).transpose(1, 2)  # (N, H, T, w)
    queries = (queries @ _apart(attention.k_proj.weight, 0, heads)).flatten(1, 2)  # (N, HT, D)
    scores = queries @ keys.transpose(1, 2) / _root_of_width(attention)
    seen = _apart(scores.softmax(-1) @ values, 1, heads)  # (N, H, T, D)
    seen = seen @ _apart(attention.v_proj.weight, 0, heads).transpose(1, 2)
    answer: Tensor = attention.out_proj(seen.transpose(1, 2).flatten(2) + attention.v_proj.bias)
    return answer


def _ask_tokens(attention: Any, cells: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return (N, C, D) of what cells see in tokens."""
    heads = attention.num_heads
    keys = _apart(attention.k_proj(keys), 2, heads).transpose(1, 2) / _root_of_width(attention)
    values = _apart(attention.v_proj(values), 2, heads).transpose(1, 2)  # (N, H, T, w)
    bias = keys @ attention.q_proj.bias.reshape(heads, -1, 1)  # (N, H, T, 1)
    keys = keys @ _apart(attention.q_proj.weight, 0, heads)  # (N, H, T, D)
    scores = cells @ keys.flatten(1, 2).transpose(1, 2) + bias.flatten(1).unsqueeze(1)
    weights = _apart(scores, 2, heads).softmax(-1).flatten(2)  # (N, C, HT)
    values = values @ _apart(attention.out_proj.weight.T, 0, heads)
    # The weights of each head sum to 1. OpenVINO takes no bias at the end in bf16.
    told: Tensor = weights @ (values + attention.out_proj.bias / heads).flatten(1, 2)
    return told


def _apart(flat: Any, axis: int, count: int) -> Tensor:
    """Split an axis of length count x rest into two."""
    split: Tensor = flat.unflatten(axis, (count, -1))
    return split


def _root_of_width(attention: Any) -> float:
    return math.sqrt(attention.internal_dim // attention.num_heads)


def draw(upscaling: Any, cells: Tensor, brushes: Tensor, rows: int, columns: int) -> Tensor:
    """Draw masks: cells become 4 x 4 finer ones, each is weighed by a brush per mask.

    Args:
        upscaling: `MaskDecoder.output_upscaling`.
        cells: (N, C, D), row by row.
        brushes: (N, M, D / 8).
        rows: Of the cells.
        columns: Of the cells.

    Returns:
        (N, M, 4 rows, 4 columns) logits.
    """
    first, norm, _, second, _ = upscaling
    finer = functional.layer_norm(
        _split(first, cells), (first.out_channels,), norm.weight, norm.bias, norm.eps
    )
    finest = functional.gelu(_split(second, functional.gelu(finer)))  # (N, 16 C, D / 8)
    logits = (finest @ brushes.transpose(1, 2)).reshape(
        -1, rows, columns, 2, 2, 2, 2, brushes.shape[1]
    )
    return logits.permute(0, 7, 1, 3, 5, 2, 4, 6).reshape(
        -1, brushes.shape[1], 4 * rows, 4 * columns
    )


def _split(convolution: Any, cells: Tensor) -> Tensor:
    """Apply a transposed convolution of 2 x 2, stride 2, to rows: (N, C, a) to (N, 4 C, b)."""
    weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)
    finer = functional.linear(cells, weight, convolution.bias.repeat(4))
    return _apart(finer, 2, 4).flatten(1, 2)
