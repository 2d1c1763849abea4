"""SAM as a Segmenter: views of an image are encoded, the boxes in each are decoded in chunks.

In mode `exact` numerically the predictor of https://github.com/facebookresearch/segment-anything
(`predictor.py`). Mode `fast` leaves out what the image does not fill of the square; mode `detail`
shows objects in tiles of native resolution, small ones in tiles of twice that, and the masks of the
first decoding are prompts of a second.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from perception.core.boxes import paired_ious
from perception.core.config import ObserveConfig
from perception.core.types import Float32, LogitCrops, Masks, Segments, UInt8
from perception_sam.backends import Backend, decode_in_chunks
from perception_sam.crops import Finished, finish
from perception_sam.views import (
    CELL_PX,
    PATCH_PX,
    Rows,
    View,
    filled,
    pixels_of,
    square,
    tiles,
)
from perception_sam.wobble import jitter, part_around, steadiness

BOX_KINDS = (2, 3)  # of a box's two corners, see `Backend.decode`
WORSE_FIT = 0.1  # of the IoU with the box: by more a second decoding has left its object


class SamSegmenter:
    """One encode per view, boxes decoded in chunks."""

    def __init__(self, backend: Backend, config: ObserveConfig) -> None:
        self._backend = backend
        self._config = config

    def __call__(self, image_rgb: UInt8, boxes_xyxy: Float32) -> Segments:
        """Return one mask per box; without boxes nothing is encoded."""
        size_hw = image_rgb.shape[0], image_rgb.shape[1]
        answers: dict[int, tuple[Finished, float, View]] = {}
        steady = np.full((2, len(boxes_xyxy)), np.nan, np.float32)
        for view, rows in self._views(size_hw, boxes_xyxy):
            embedding = self._backend.encode(pixels_of(image_rgb, view))
            place = 0
            for first, ious, last in self._decode(embedding, view, boxes_xyxy[rows]):
                for one, iou, low in zip(first[:, 0], ious[:, 0], last[:, 0], strict=True):
                    row = int(rows[place])
                    mask = finish(one, view)
                    if view.twice:
                        mask = _better(mask, finish(low, view), boxes_xyxy[row])
                    answers[row] = mask, float(iou), view
                    if self._config.wobble:
                        box = boxes_xyxy[row]
                        steady[:, row] = self._steadiness(embedding, view, size_hw, box, one)
                    place += 1
        found = joined([answers[row] for row in range(len(boxes_xyxy))], size_hw)
        return replace(found, wobbles=steady[0], consensus_ious=steady[1])

    def _decode(
        self, embedding: Any, view: View, boxes_xyxy: Float32
    ) -> Iterator[tuple[Float32, Float32, Float32]]:
        """Decode the boxes of a view in chunks, again where the view says so.

        Yields:
            (n, 1, h, w) first logits and (n, 1) predicted IoU of them: they tell right masks from
            wrong ones better than those of the second decoding (docs/decisions/0054). (n, 1, h, w)
            logits of the masks.
        """
        corners = view.to_input(boxes_xyxy.astype(np.float64).reshape(-1, 2, 2))
        kinds = np.array([BOX_KINDS] * len(boxes_xyxy))
        chunk, start = self._config.prompt_chunk, 0
        for first, ious in decode_in_chunks(self._backend, embedding, corners, kinds, chunk):
            last, part = first, slice(start, start + len(first))
            if view.twice:
                again = decode_in_chunks(
                    self._backend, embedding, corners[part], kinds[part], chunk, 1, first[:, 0]
                )
                last = np.concatenate([logits for logits, _ in again])
            yield first, ious, last
            start = part.stop

    def _steadiness(
        self, embedding: Any, view: View, size_hw: tuple[int, int], box_xyxy: Float32, own: Float32
    ) -> Float32:
        """Return (2,): see `wobble.steadiness`; `own` are the first (h, w) logits of the box.

        Decoded once in any view.
        """
        grid_h, grid_w = own.shape[0] * CELL_PX // PATCH_PX, own.shape[1] * CELL_PX // PATCH_PX
        x0, y0, x1, y1 = part_around(box_xyxy, view, (grid_h, grid_w))
        moved = jitter(box_xyxy[None], self._config.wobble, size_hw)
        start_xy = np.array([x0, y0], np.float32) * PATCH_PX
        corners = view.to_input(moved.astype(np.float64).reshape(-1, 2, 2)) - start_xy
        kinds = np.array([BOX_KINDS] * len(corners))
        part = embedding[:, :, y0:y1, x0:x1]
        parts = decode_in_chunks(self._backend, part, corners, kinds, self._config.prompt_chunk)
        others = np.concatenate([logits[:, 0] for logits, _ in parts])
        cells = PATCH_PX // CELL_PX
        mine = own[None, cells * y0 : cells * y1, cells * x0 : cells * x1]
        filled_hw = (view.filled_hw[0] - y0 * PATCH_PX, view.filled_hw[1] - x0 * PATCH_PX)
        return np.concatenate(steadiness(mine, others, filled_hw))

    def _views(self, size_hw: tuple[int, int], boxes_xyxy: Float32) -> list[tuple[View, Rows]]:
        if not len(boxes_xyxy):
            return []
        everyone = np.arange(len(boxes_xyxy))
        if self._config.mode == "exact":
            return [(square(size_hw), everyone)]
        if self._config.mode == "fast":
            return [(filled(size_hw), everyone)]
        return tiles(size_hw, boxes_xyxy)


def _better(first: Finished, second: Finished, box_xyxy: Float32) -> Finished:
    """Return the second mask with the scores of the first, or the first where the second left it.

    SAM may take a neighbour into its own mask, or lose itself in a part: then the bounds fit the
    prompt less than before.
    """
    bounds = np.array([first.box_xyxy, second.box_xyxy], np.float32)
    fits = paired_ious(bounds, np.stack([box_xyxy, box_xyxy]))
    if fits[1] < fits[0] - WORSE_FIT:
        return first
    return replace(second, stability=first.stability)


def joined(answers: list[tuple[Finished, float, View]], size_hw: tuple[int, int]) -> Segments:
    """Put masks, their predicted IoU and what they were seen in together."""
    masks = [finished for finished, _, _ in answers]
    nothing = np.full(len(masks), np.nan, np.float32)
    return Segments(
        masks=Masks(
            boxes_xyxy=np.array([mask.box_xyxy for mask in masks], np.int32).reshape(-1, 4),
            counts=tuple(mask.counts for mask in masks),
            size_hw=size_hw,
        ),
        predicted_ious=np.array([iou for _, iou, _ in answers], np.float32),
        stabilities=np.array([mask.stability for mask in masks], np.float32),
        logits=LogitCrops(
            cells_xyxy=np.array([mask.cells_xyxy for mask in masks], np.int32).reshape(-1, 4),
            data=tuple(mask.logits for mask in masks),
            origins_xy=np.array([v.window_xyxy[:2] for _, _, v in answers], np.float32).reshape(
                -1, 2
            ),
            cells_per_px_xy=np.array([v.cells_per_px_xy for _, _, v in answers]).reshape(-1, 2),
        ),
        wobbles=nothing,
        consensus_ious=nothing,
    )
