"""SAM as a Segmenter, numerically the `segment-anything` package's predictor.

Source: https://github.com/facebookresearch/segment-anything, `predictor.py`, `utils/transforms.py`,
`modeling/sam.py` (preprocess, postprocess_masks) and `utils/amg.py` (stability score).
"""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from perception import masks as masks_
from perception.config import ObserveConfig
from perception.types import Float32, Int32, LogitCrops, Masks, Segments, UInt8
from perception_sam.architecture import load_sam

SIDE_PX = 1024  # SAM's square input
GRID = 256  # its mask logits
STABILITY_OFFSET = 1.0
CROP_MARGIN_CELLS = 4  # stored logits reach this far beyond the mask: room to move a threshold


class SamSegmenter:
    """One encode per image, boxes decoded in chunks."""

    def __init__(self, sam: Any, config: ObserveConfig) -> None:
        """Keep a loaded `SAMModel`."""
        self._sam = sam
        self._config = config

    def __call__(self, image_rgb: UInt8, boxes_xyxy: Float32) -> Segments:
        """Return one mask per box; without boxes the image is not encoded."""
        height, width = image_rgb.shape[:2]
        scale = SIDE_PX / max(height, width)
        parts = []
        if len(boxes_xyxy):
            embedding = self.encode(image_rgb)
            step = self._config.prompt_chunk
            for start in range(0, len(boxes_xyxy), step):
                logits, ious = self.decode(
                    embedding, boxes_xyxy[start : start + step], (height, width)
                )
                parts.append(self._finish(logits, ious, (height, width)))
        rows = [row for part in parts for row in part]
        return Segments(
            masks=Masks(
                boxes_xyxy=np.array([row[0] for row in rows], np.int32).reshape(-1, 4),
                counts=tuple(row[1] for row in rows),
                size_hw=(height, width),
            ),
            predicted_ious=np.array([row[2] for row in rows], np.float32),
            stabilities=np.array([row[3] for row in rows], np.float32),
            logits=LogitCrops(
                cells_xyxy=np.array([row[4] for row in rows], np.int32).reshape(-1, 4),
                data=tuple(row[5] for row in rows),
                grid_hw=(GRID, GRID),
                cells_per_px=scale * GRID / SIDE_PX,
            ),
        )

    def encode(self, image_rgb: UInt8) -> Any:
        """Return the (1, 256, 64, 64) embedding of one image.

        Resized by PIL (bilinear, antialiased) as segment-anything does: `cv2.resize` moves the
        logits by about 1. Normalised, then padded with zeros to the square.
        """
        import torch

        height, width = resized_hw(image_rgb.shape[0], image_rgb.shape[1])
        resized = np.asarray(
            Image.fromarray(np.ascontiguousarray(image_rgb)).resize(
                (width, height), Image.Resampling.BILINEAR
            )
        )
        pixels = torch.from_numpy(resized.copy()).to(self._sam.pixel_mean.device)
        normal = (pixels.permute(2, 0, 1).float() - self._sam.pixel_mean) / self._sam.pixel_std
        padded = torch.nn.functional.pad(normal, (0, SIDE_PX - width, 0, SIDE_PX - height))
        torch.set_num_threads(self._config.threads)
        with torch.inference_mode():
            return self._sam.image_encoder(padded[None])

    def decode(
        self, embedding: Any, boxes_xyxy: Float32, size_hw: tuple[int, int]
    ) -> tuple[Any, Any]:
        """Decode one chunk of boxes.

        Args:
            embedding: From `encode`.
            boxes_xyxy: (N, 4) pixels of the image; not changed.
            size_hw: Height and width of the image.

        Returns:
            (N, 1, 256, 256) logits and (N, 1) predicted IoU, tensors.
        """
        import torch

        height, width = resized_hw(*size_hw)
        factor = np.array([width / size_hw[1], height / size_hw[0]] * 2)
        scaled = torch.from_numpy((boxes_xyxy * factor).astype(np.float32)).to(embedding.device)
        with torch.inference_mode():
            sparse, dense = self._sam.prompt_encoder(points=None, boxes=scaled, masks=None)
            logits, ious = self._sam.mask_decoder(
                image_embeddings=embedding,
                image_pe=self._sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=False,  # best-of-three loses 0.02 mean IoU with box prompts
            )
        return logits, ious

    def _finish(
        self, logits: Any, ious: Any, size_hw: tuple[int, int]
    ) -> list[tuple[Int32, bytes, float, float, Int32, bytes]]:
        full = upsample(logits, size_hw)[:, 0].cpu().numpy()
        low = logits[:, 0].cpu().numpy()
        rows = []
        for i in range(len(low)):
            box, counts = masks_.encode_one(full[i] > 0)
            cells, data = crop_logits(low[i], size_hw)
            rows.append((box, counts, float(ious[i, 0]), stability(full[i]), cells, data))
        return rows


def resized_hw(height: int, width: int) -> tuple[int, int]:
    """Return the size after the longest side became 1024, rounded as segment-anything rounds."""
    scale = SIDE_PX / max(height, width)
    return int(height * scale + 0.5), int(width * scale + 0.5)


def upsample(logits: Any, size_hw: tuple[int, int]) -> Any:
    """Bring (N, 1, 256, 256) logits to (N, 1, H, W): to the square, cut, to the image."""
    from torch.nn.functional import interpolate

    height, width = resized_hw(*size_hw)
    square = interpolate(logits, (SIDE_PX, SIDE_PX), mode="bilinear", align_corners=False)
    return interpolate(square[..., :height, :width], size_hw, mode="bilinear", align_corners=False)


def stability(logits: Float32) -> float:
    """Return the IoU of the masks at +1 and -1; 0 where the looser one is empty (upstream: nan)."""
    union = np.count_nonzero(logits > -STABILITY_OFFSET)
    return float(np.count_nonzero(logits > STABILITY_OFFSET) / union) if union else 0.0


def crop_logits(logits: Float32, size_hw: tuple[int, int]) -> tuple[Int32, bytes]:
    """Cut (256, 256) logits to the mask's cells plus a margin, inside the image, and compress them.

    Returns:
        (4,) int32 cells xyxy, and zlib of float16 row-major; zeros and b"" without a positive cell.
    """
    height, width = (-(-side * GRID // SIDE_PX) for side in resized_hw(*size_hw))
    positive = logits[:height, :width] > 0
    rows, columns = np.flatnonzero(positive.any(axis=1)), np.flatnonzero(positive.any(axis=0))
    if len(rows) == 0:
        return np.zeros(4, np.int32), b""
    x0, y0 = max(columns[0] - CROP_MARGIN_CELLS, 0), max(rows[0] - CROP_MARGIN_CELLS, 0)
    x1 = min(columns[-1] + 1 + CROP_MARGIN_CELLS, width)
    y1 = min(rows[-1] + 1 + CROP_MARGIN_CELLS, height)
    # zlib level 6 is part of the stored bytes; float16 keeps 3 digits of logits of -30..30.
    data = zlib.compress(logits[y0:y1, x0:x1].astype("<f2").tobytes(), 6)
    return np.array([x0, y0, x1, y1], np.int32), data


def load_segmenter(path: Path, config: ObserveConfig) -> SamSegmenter:
    """Load a SAM checkpoint (MobileSAM, ViT-B/L/H)."""
    return SamSegmenter(load_sam(path, config.device), config)
