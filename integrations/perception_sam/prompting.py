"""Any prompt for SAM: boxes, points, earlier logits and mixtures of them, many objects together.

Numerically the `segment-anything` package's predictor, on its whole square:
https://github.com/facebookresearch/segment-anything, `predictor.py` (`predict_torch`) and
`modeling/prompt_encoder.py`.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from perception.core.config import ObserveConfig
from perception.core.errors import RequestError
from perception.core.types import Answers, Float32, Prompt, Segments, UInt8
from perception_sam.backends import Backend, Int64, decode_in_chunks
from perception_sam.crops import Finished, finish
from perception_sam.segmenter import BOX_KINDS, joined
from perception_sam.views import CELL_PX, SIDE_PX, View, pixels_of, square
from perception_sam.wobble import jitter, steadiness

NO_POINT = -1  # kind of a token that stands for none
GRID = SIDE_PX // CELL_PX  # sides of the mask logits


class PromptedSam:
    """A SAM for any prompt, and for boxes alone as a Segmenter."""

    def __init__(
        self,
        backend: Backend,
        config: ObserveConfig,
        view_of: Callable[[tuple[int, int]], View] = square,
        *,
        pads_boxes: bool = False,
    ) -> None:
        """Keep an backend.

        Args:
            backend: What computes.
            config: `prompt_chunk` bounds the memory.
            view_of: Size of an image to how it lies in the square.
            pads_boxes: Whether the model expects a token without a point beside a box, too.
        """
        self._backend = backend
        self._config = config
        self._view_of = view_of
        self._pads_boxes = pads_boxes

    def embed(self, image_rgb: UInt8) -> "EmbeddedImage":
        """Encode an image once."""
        view = self._view_of((image_rgb.shape[0], image_rgb.shape[1]))
        embedding = self._backend.encode(pixels_of(image_rgb, view))
        return EmbeddedImage(self._backend, embedding, view, self._config, self._pads_boxes)

    def __call__(self, image_rgb: UInt8, boxes_xyxy: Float32) -> Segments:
        """Return one mask per box; without boxes nothing is encoded."""
        if not len(boxes_xyxy):
            return joined([], (image_rgb.shape[0], image_rgb.shape[1]))
        image = self.embed(image_rgb)
        found = image([_boxed(box) for box in boxes_xyxy], 1)
        if not self._config.wobble:
            return found.segments
        steady = image.steadiness(boxes_xyxy, found.low_logits[:, 0], self._config.wobble)
        return replace(found.segments, wobbles=steady[0], consensus_ious=steady[1])


def _boxed(box_xyxy: Float32) -> Prompt:
    return Prompt(tuple(float(side) for side in box_xyxy))


class EmbeddedImage:
    """An encoded image that answers prompts; see `perception.models.protocols.Embedded`."""

    def __init__(
        self, backend: Backend, embedding: Any, view: View, config: ObserveConfig, pads_boxes: bool
    ) -> None:
        self._backend = backend
        self._embedding = embedding
        self._view = view
        self._chunk = config.prompt_chunk
        self._pads_boxes = pads_boxes

    def __call__(
        self, prompts: Sequence[Prompt], masks_each: int, low_logits: Float32 | None = None
    ) -> Answers:
        """Answer prompts in their order.

        A token that stands for no point is attended to like any other: filling up short prompts
        would change their masks, so those with as many tokens are decoded together.
        """
        size_hw = self._view.window_hw
        check(prompts, masks_each, low_logits, size_hw)
        tokens = [self._tokens(prompt) for prompt in prompts]
        alike = defaultdict(list)
        for row, (_, kinds) in enumerate(tokens):
            alike[len(kinds)].append(row)
        low = np.zeros((len(prompts), masks_each, GRID, GRID), np.float32)
        found: dict[int, list[tuple[Finished, float, View]]] = {}
        for rows in alike.values():
            parts = decode_in_chunks(
                self._backend,
                self._embedding,
                np.stack([tokens[row][0] for row in rows]),
                np.stack([tokens[row][1] for row in rows]),
                self._chunk,
                masks_each,
                None if low_logits is None else low_logits[rows],
            )
            left = iter(rows)
            for logits, ious in parts:
                for answers, scores, row in zip(logits, ious, left, strict=False):
                    low[row] = answers
                    found[row] = [
                        (finish(answer, self._view), float(score), self._view)
                        for answer, score in zip(answers, scores, strict=True)
                    ]
        everything = [mask for row in range(len(prompts)) for mask in found[row]]
        return Answers(segments=joined(everything, size_hw), low_logits=low)

    def steadiness(self, boxes_xyxy: Float32, own: Float32, count: int) -> Float32:
        """Decode jittered boxes of N masks whose logits are `own`; see `wobble.steadiness`.

        Returns:
            (2, N) float32.
        """
        steady = np.full((2, len(boxes_xyxy)), np.nan, np.float32)
        for start in range(0, len(boxes_xyxy), self._chunk):
            rows = slice(start, start + self._chunk)
            moved = jitter(boxes_xyxy[rows], count, self._view.window_hw).reshape(-1, 4)
            tokens, kinds = zip(*(self._tokens(_boxed(box)) for box in moved), strict=True)
            parts = decode_in_chunks(
                self._backend, self._embedding, np.stack(tokens), np.stack(kinds), self._chunk
            )
            low = np.concatenate([logits[:, 0] for logits, _ in parts])
            steady[:, rows] = steadiness(own[rows], low, self._view.filled_hw)
        return steady

    def _tokens(self, prompt: Prompt) -> tuple[Float32, Int64]:
        """Return (T, 2) pixels of the square and (T,) kinds."""
        points = np.array([point[:2] for point in prompt.points], np.float64).reshape(-1, 2)
        corners = np.array(prompt.box_xyxy, np.float64).reshape(-1, 2)
        kinds = [kind for _, _, kind in prompt.points] + list(BOX_KINDS[: len(corners)])
        xy = self._view.to_input(np.concatenate([points, corners]))
        if kinds and (self._pads_boxes or not len(corners)):
            kinds.append(NO_POINT)
            xy = np.concatenate([xy, np.zeros((1, 2), np.float32)])
        return xy, np.array(kinds, np.int64)


def check(
    prompts: Sequence[Prompt],
    masks_each: int,
    low_logits: Float32 | None,
    size_hw: tuple[int, int],
) -> None:
    """Refuse prompts that would be answered with a mask of something else.

    Raises:
        RequestError: `prompt.invalid`, with the number of the prompt, from 1.
    """
    if masks_each not in (1, 3):
        raise RequestError("prompt.invalid", f"{masks_each} masks for each prompt, expected 1 or 3")
    shape = (len(prompts), GRID, GRID)
    if low_logits is not None and (low_logits.shape != shape or not np.isfinite(low_logits).all()):
        raise RequestError(
            "prompt.invalid",
            f"low_logits has shape {low_logits.shape}, expected finite numbers of shape {shape}: "
            "choose one mask of each earlier answer",
        )
    for number, prompt in enumerate(prompts, 1):
        fault = _fault(prompt, size_hw)
        if not fault and low_logits is None and not prompt.box_xyxy:
            fault = _silence(prompt)
        if fault:
            raise RequestError("prompt.invalid", f"prompt {number} {fault}")


def _fault(prompt: Prompt, size_hw: tuple[int, int]) -> str:
    height, width = size_hw
    image = f"the {width} x {height} image"
    if prompt.box_xyxy:
        named = f"has the box {tuple(prompt.box_xyxy)}"
        if len(prompt.box_xyxy) != 4 or not np.isfinite(prompt.box_xyxy).all():
            return f"{named}, expected four finite numbers x0, y0, x1, y1"
        x0, y0, x1, y1 = prompt.box_xyxy
        if x0 >= x1 or y0 >= y1:
            return f"{named}, expected x0 < x1 and y0 < y1"
        if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
            return f"{named}, which is not inside {image}: cut it to 0, 0, {width}, {height}"
    for x, y, kind in prompt.points:
        if not np.isfinite([x, y]).all() or not (0 <= x < width and 0 <= y < height):
            return f"has the point {x}, {y}, which is not inside {image}"
        if kind not in (0, 1):
            return (
                f"has the point {x}, {y} with the label {kind}, expected 1 (on the object) or 0 "
                "(not on it)"
            )
    return ""


def _silence(prompt: Prompt) -> str:
    """Say why a prompt that has only points names no object; SAM would answer with some mask."""
    if not prompt.points:
        return "has neither a box nor a point"
    if not any(kind for _, _, kind in prompt.points):
        return "says what the object is not: add a box, or a point with the label 1"
    return ""
