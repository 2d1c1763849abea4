"""An image scaled into a network's input, its shape kept and the rest filled: and boxes back."""

from dataclasses import dataclass

import cv2
import numpy as np

from perception.core.types import Float32, UInt8

FILL = 114  # grey of the filling, in YOLO and YOLOX alike
STRIDE_PX = 32  # of the coarsest grid: inputs of free size are multiples of it


@dataclass(frozen=True)
class Letterbox:
    """Where an image lies in a network's input.

    Attributes:
        input_hw: Height and width of the input.
        image_hw: Height and width of the image.
        scaled_hw: Height and width that the image has in the input.
        corner_yx: Where its first row and column stand in the input.
    """

    input_hw: tuple[int, int]
    image_hw: tuple[int, int]
    scaled_hw: tuple[int, int]
    corner_yx: tuple[int, int]

    def fill(self, image: UInt8) -> UInt8:
        """Return the input's pixels, (h, w, 3), for an image (H, W, 3)."""
        canvas = np.full((*self.input_hw, image.shape[2]), FILL, np.uint8)
        (height, width), (top, left) = self.scaled_hw, self.corner_yx
        scaled = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        canvas[top : top + height, left : left + width] = scaled
        return canvas

    def to_image(self, boxes_xyxy: Float32) -> Float32:
        """Return (N, 4) boxes of the input in pixels of the image."""
        top, left = self.corner_yx
        y_px, x_px = (image / inside for image, inside in zip(*self._sides(), strict=True))
        shifted = boxes_xyxy - np.array([left, top, left, top])
        return np.asarray(shifted * np.array([x_px, y_px, x_px, y_px]), np.float32)

    def _sides(self) -> tuple[tuple[int, int], tuple[int, int]]:
        return self.image_hw, self.scaled_hw


def letterbox(
    image_hw: tuple[int, int], input_hw: tuple[int, int], *, free: bool, centred: bool
) -> Letterbox:
    """Place an image as large as it can be in a network's input.

    Args:
        image_hw: Height and width of the image.
        input_hw: Height and width of the input.
        free: The input may be smaller: it then ends with the stride behind the image.
        centred: In the middle, as YOLO has it; else at the top left, as YOLOX has it.
    """
    scale = min(input_hw[0] / image_hw[0], input_hw[1] / image_hw[1])
    height, width = (max(1, round(side * scale)) for side in image_hw)
    if free:
        input_hw = (-(-height // STRIDE_PX) * STRIDE_PX, -(-width // STRIDE_PX) * STRIDE_PX)
    spare_yx = (input_hw[0] - height, input_hw[1] - width)
    corner_yx = (spare_yx[0] // 2, spare_yx[1] // 2) if centred else (0, 0)
    return Letterbox(input_hw, image_hw, (height, width), corner_yx)
