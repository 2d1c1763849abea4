"""Models without weights, deterministic: for tests, demonstrations and baselines."""

import time
from pathlib import Path

import cv2
import numpy as np

from perception.core import masks as masks_
from perception.core.config import ObserveConfig
from perception.core.types import Bool, Detections, Float32, LogitCrops, Picture, Segments, UInt8

BRIGHT = 200  # grey levels: what the fake detector takes for an object


class BrightDetector:
    """Detects bright blobs, all of one class, scored by their brightness."""

    class_names = ("car",)

    def __call__(self, picture: Picture) -> Detections:
        """Return the boxes of the blobs, from left to right."""
        grey = cv2.cvtColor(picture.image_rgb, cv2.COLOR_RGB2GRAY)
        count, _, stats, _ = cv2.connectedComponentsWithStats((grey >= BRIGHT).astype(np.uint8))
        left, top, width, height = (stats[1:, i] for i in range(4))
        boxes = np.stack([left, top, left + width, top + height], axis=1).astype(np.float32)
        scores = np.array(
            [grey[int(y0) : int(y1), int(x0) : int(x1)].max() / 255 for x0, y0, x1, y1 in boxes],
            np.float32,
        )
        order = np.lexsort((boxes[:, 1], boxes[:, 0]))
        return Detections(
            boxes_xyxy=boxes[order],
            scores=scores[order],
            class_ids=np.zeros(count - 1, np.int32),
            class_names=self.class_names,
        )


class BoxFiller:
    """Segments by filling each box: what boxes alone are worth as masks."""

    def __call__(self, image_rgb: UInt8, boxes_xyxy: Float32) -> Segments:
        """Return the pixels of each box, rounded to whole pixels."""
        size_hw = (image_rgb.shape[0], image_rgb.shape[1])
        return segments_of([_filled(size_hw, box) for box in boxes_xyxy], size_hw)


class FourCars:
    """Finds four cars side by side in any picture, at no cost."""

    class_names = ("car",)

    def __call__(self, picture: Picture) -> Detections:
        """Return four boxes, each a twentieth of the picture wide and a sixth high."""
        height, width = picture.size_hw
        left = width * np.array([0.1, 0.3, 0.5, 0.7])
        top = np.full(4, height / 3)
        boxes = np.stack([left, top, left + width / 20, top + height / 6], axis=1)
        return Detections(
            boxes_xyxy=boxes.astype(np.float32),
            scores=np.ones(4, np.float32),
            class_ids=np.zeros(4, np.int32),
            class_names=self.class_names,
        )


class Sleeper(BoxFiller):
    """Fills boxes, and takes as long as SAM's encoder and decoder keep a large GPU busy.

    For measuring who feeds the models and schedules them: it mostly sleeps.
    """

    encoder_s, decoder_s = 0.040, 0.010

    def __call__(self, image_rgb: UInt8, boxes_xyxy: Float32) -> Segments:
        """Return the pixels of each box, later."""
        ready_s = time.perf_counter() + self.encoder_s + self.decoder_s
        segments = super().__call__(image_rgb, boxes_xyxy)
        time.sleep(max(0.0, ready_s - time.perf_counter()))
        return segments


class GrabCut:
    """Segments with OpenCV's GrabCut, seeded by each box.

    Source: Rother, Kolmogorov, Blake: GrabCut, SIGGRAPH 2004. For where no SAM weights are at hand.
    """

    def __call__(self, image_rgb: UInt8, boxes_xyxy: Float32) -> Segments:
        """Return one mask per box; the box itself where GrabCut finds nothing in it."""
        size_hw = (image_rgb.shape[0], image_rgb.shape[1])
        return segments_of([_grabcut(image_rgb, box) for box in boxes_xyxy], size_hw)


def segments_of(bitmaps: list[Bool], size_hw: tuple[int, int]) -> Segments:
    """Wrap (H, W) bitmaps as an answer with full scores and no logits."""
    n = len(bitmaps)
    return Segments(
        masks=masks_.join(tuple(masks_.encode_one(bitmap) for bitmap in bitmaps), size_hw),
        predicted_ious=np.ones(n, np.float32),
        stabilities=np.ones(n, np.float32),
        logits=LogitCrops(
            cells_xyxy=np.zeros((n, 4), np.int32),
            data=(b"",) * n,
            origins_xy=np.zeros((n, 2), np.float32),
            cells_per_px_xy=np.ones((n, 2)),
        ),
        wobbles=np.full(n, np.nan, np.float32),
        consensus_ious=np.full(n, np.nan, np.float32),
    )


def _filled(size_hw: tuple[int, int], box_xyxy: Float32) -> Bool:
    x0, y0, x1, y1 = np.round(box_xyxy).astype(int)
    x0, y0 = min(x0, size_hw[1] - 1), min(y0, size_hw[0] - 1)  # 99.6 of 100 rounds out of the image
    bitmap = np.zeros(size_hw, bool)
    bitmap[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = True
    return bitmap


def _grabcut(image_rgb: UInt8, box_xyxy: Float32) -> Bool:
    height, width = image_rgb.shape[:2]
    filled = _filled((height, width), box_xyxy)
    margin = 0.5 * (box_xyxy[2:] - box_xyxy[:2])  # background to learn from
    x0, y0 = np.maximum(box_xyxy[:2] - margin, 0).astype(int)
    x1, y1 = np.minimum(box_xyxy[2:] + margin, [width, height]).astype(int)
    window = np.ascontiguousarray(image_rgb[y0:y1, x0:x1, ::-1])
    inside = filled[y0:y1, x0:x1]
    state = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    if inside.all() or not inside.any():
        return filled
    cv2.setRNGSeed(0)  # its k-means starts at random
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(window, state, (0, 0, 1, 1), *models, 3, cv2.GC_INIT_WITH_MASK)
    found = np.isin(state, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if not found.any():
        return filled
    bitmap = np.zeros((height, width), bool)
    bitmap[y0:y1, x0:x1] = found
    return bitmap


def load_bright_detector(path: Path, config: ObserveConfig) -> BrightDetector:
    """Ignore the weights: there are none."""
    return BrightDetector()


def load_four_cars(path: Path, config: ObserveConfig) -> FourCars:
    """Ignore the weights: there are none."""
    return FourCars()


def load_box_filler(path: Path, config: ObserveConfig) -> BoxFiller:
    """Ignore the weights: there are none."""
    return BoxFiller()


def load_sleeper(path: Path, config: ObserveConfig) -> Sleeper:
    """Ignore the weights: there are none."""
    return Sleeper()


def load_grabcut(path: Path, config: ObserveConfig) -> GrabCut:
    """Ignore the weights: there are none."""
    return GrabCut()
