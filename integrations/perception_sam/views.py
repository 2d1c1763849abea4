"""What SAM is shown of an image: a window, scaled, in a part of its input square.

Source of the scaling and the colours: https://github.com/facebookresearch/segment-anything,
`utils/transforms.py` (`ResizeLongestSide`) and `modeling/sam.py` (`preprocess`).
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from perception.types import Float32, Float64, UInt8

SIDE_PX = 1024  # of SAM's input square
STEP_PX = 64  # of inputs that are smaller: every shape is a network to compile
CELL_PX = 4  # of the input per cell of the mask logits
MEAN_RGB, STD_RGB = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
# What each of the 256 values of a channel becomes.
_NORMAL = (np.arange(256, dtype=np.float32) - np.array(MEAN_RGB, np.float32)[:, None]) / np.array(
    STD_RGB, np.float32
)[:, None]


@dataclass(frozen=True)
class View:
    """A window of an image as the encoder sees it.

    Attributes:
        window_xyxy: Pixels of the image, half-open.
        filled_hw: Size of the window after scaling: what it fills of the input.
        input_hw: Size of the input, multiples of 64; what is not filled, right and below, is zero.
    """

    window_xyxy: tuple[int, int, int, int]
    filled_hw: tuple[int, int]
    input_hw: tuple[int, int]

    @property
    def window_hw(self) -> tuple[int, int]:
        """Height and width of the window in pixels."""
        x0, y0, x1, y1 = self.window_xyxy
        return y1 - y0, x1 - x0

    @property
    def scale_xy(self) -> tuple[float, float]:
        """Pixels of the input per pixel of the image."""
        (height, width), (filled_h, filled_w) = self.window_hw, self.filled_hw
        return filled_w / width, filled_h / height

    @property
    def cells_per_px_xy(self) -> tuple[float, float]:
        """Cells of the mask logits per pixel of the image."""
        return self.scale_xy[0] / CELL_PX, self.scale_xy[1] / CELL_PX

    def to_input(self, points_xy: Float64) -> Float32:
        """Move (..., 2) points from the image to the input."""
        return ((points_xy - self.window_xyxy[:2]) * self.scale_xy).astype(np.float32)


def scaled_hw(size_hw: tuple[int, int]) -> tuple[int, int]:
    """Return the size after the longest side became 1024, rounded as segment-anything rounds."""
    scale = SIDE_PX / max(size_hw)
    return int(size_hw[0] * scale + 0.5), int(size_hw[1] * scale + 0.5)


def square(size_hw: tuple[int, int]) -> View:
    """Return the whole image as segment-anything shows it, in the whole square."""
    window = (0, 0, size_hw[1], size_hw[0])
    return View(window, scaled_hw(size_hw), (SIDE_PX, SIDE_PX))


def filled(size_hw: tuple[int, int]) -> View:
    """Return the whole image in the part of the square that it fills."""
    scaled = scaled_hw(size_hw)
    return View((0, 0, size_hw[1], size_hw[0]), scaled, (_stepped(scaled[0]), _stepped(scaled[1])))


def _stepped(side_px: int) -> int:
    return max(-(-side_px // STEP_PX), 1) * STEP_PX


def pixels_of(image_rgb: UInt8, view: View) -> Float32:
    """Return the normalised input, (1, 3, h, w).

    Scaled by PIL (bilinear, antialiased) as segment-anything does: `cv2.resize` moves the logits by
    about 1.
    """
    x0, y0, x1, y1 = view.window_xyxy
    height, width = view.filled_hw
    window = np.ascontiguousarray(image_rgb[y0:y1, x0:x1])
    if view.window_hw != view.filled_hw:
        picture = Image.fromarray(window).resize((width, height), Image.Resampling.BILINEAR)
        window = np.asarray(picture)
    pixels = np.zeros((1, 3, *view.input_hw), np.float32)
    for channel in range(3):
        pixels[0, channel, :height, :width] = _NORMAL[channel][window[..., channel]]
    return pixels
