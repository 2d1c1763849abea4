"""Where captions stand in a picture: they cover no other caption, and objects only if they must."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from perception.core.types import Float32, UInt8

FONT = cv2.FONT_HERSHEY_SIMPLEX
SHARE = 0.011  # height of a capital letter, as a share of the longest side of the picture
LEAST_PX = 11  # and at least; shown 1,000 px wide, letters of any picture have 9 px or more
LINES = 2  # of text: lower boxes get no caption
STEPS = 6  # chip heights that a chip may move away from the corner of its box


@dataclass(frozen=True)
class Chip:
    """A text on a plate.

    Attributes:
        text: What it says.
        x0: Left side of the plate, pixels.
        y0: Its upper side.
        width: Of the plate.
        height: Of the plate.
        letters_px: Height of a capital letter.
    """

    text: str
    x0: int
    y0: int
    width: int
    height: int
    letters_px: int

    @property
    def box_xyxy(self) -> tuple[int, int, int, int]:
        """The plate, half-open."""
        return self.x0, self.y0, self.x0 + self.width, self.y0 + self.height


def letter_px(size_hw: tuple[int, int]) -> int:
    """Return the height of a capital letter for a picture of a size."""
    return max(LEAST_PX, round(SHARE * max(size_hw)))


def chip_size(text: str, letters_px: int) -> tuple[int, int]:
    """Return width and height of a text's plate."""
    scale = cv2.getFontScaleFromHeight(FONT, letters_px, 1)
    (width, height), below = cv2.getTextSize(text, FONT, scale, 1)
    margin = _margin(letters_px)
    return width + 2 * margin, height + below // 2 + 2 * margin


def place(
    texts: Sequence[str], boxes_xyxy: Float32, size_hw: tuple[int, int], taken: Sequence[Chip] = ()
) -> tuple[Chip | None, ...]:
    """Give texts a place beside the boxes that they belong to.

    A chip stands at a corner of its box, outside it if there is room, else inside; where other
    chips are it moves away, step by step. Of the free places the one is taken that covers least of
    the other boxes. A text that finds no place is left out, so give important ones first.

    Args:
        texts: N texts.
        boxes_xyxy: (N, 4) boxes in pixels.
        size_hw: Of the picture.
        taken: Chips that stand already.

    Returns:
        N chips; None for a text that found no place.
    """
    letters_px, placed = letter_px(size_hw), list(taken)
    chips: list[Chip | None] = []
    for row, text in enumerate(texts):
        size = chip_size(text, letters_px)
        found: tuple[float, Chip] | None = None
        for order, (x0, y0) in enumerate(_corners(boxes_xyxy[row], size, size_hw)):
            chip = Chip(text, x0, y0, *size, letters_px)
            if not _is_inside(chip, size_hw) or any(_meet(chip, other) for other in placed):
                continue
            others = np.delete(boxes_xyxy, row, axis=0)
            cost = _covered(chip, others) + 0.02 * order * size[0] * size[1]
            if found is None or cost < found[0]:
                found = cost, chip
        chips.append(None if found is None else found[1])
        placed += [] if found is None else [found[1]]
    return tuple(chips)


def draw(canvas: UInt8, chip: Chip, text_rgb: Sequence[int], plate_rgb: Sequence[int]) -> None:
    """Draw a chip onto a picture, in place."""
    x0, y0, x1, y1 = chip.box_xyxy
    window = canvas[max(y0, 0) : y1, max(x0, 0) : x1]
    window[...] = (0.25 * window + 0.75 * np.array(plate_rgb, np.float32)).round().astype(np.uint8)
    scale = cv2.getFontScaleFromHeight(FONT, chip.letters_px, 1)
    (_, height), _ = cv2.getTextSize(chip.text, FONT, scale, 1)
    margin = _margin(chip.letters_px)
    thickness = 1 if chip.letters_px < 2 * LEAST_PX else 2
    at = x0 + margin, y0 + margin + height
    cv2.putText(canvas, chip.text, at, FONT, scale, tuple(text_rgb), thickness, cv2.LINE_AA)


def _margin(letters_px: int) -> int:
    return max(2, letters_px // 4)


def _corners(
    box_xyxy: Float32, size: tuple[int, int], size_hw: tuple[int, int]
) -> list[tuple[int, int]]:
    """Return upper left corners for a chip, the preferred first."""
    x0, y0, x1, y1 = (int(side) for side in np.round(box_xyxy))
    width, height = size
    left, right = min(x0, size_hw[1] - width), max(x1 - width, 0)
    corners = []
    for step in range(STEPS):
        away = step * height
        for x in dict.fromkeys((max(left, 0), right)):
            corners += [(x, y0 - height - away), (x, y1 + away)]
        for y in (y0 + away, y1 - height - away):
            corners += [(x1, y), (x0 - width, y), (max(left, 0), y)]
    return corners


def _is_inside(chip: Chip, size_hw: tuple[int, int]) -> bool:
    x0, y0, x1, y1 = chip.box_xyxy
    return x0 >= 0 and y0 >= 0 and x1 <= size_hw[1] and y1 <= size_hw[0]


def _meet(one: Chip, other: Chip) -> bool:
    a, b = one.box_xyxy, other.box_xyxy
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _covered(chip: Chip, boxes_xyxy: Float32) -> float:
    """Return how many pixels of boxes a chip covers, boxes counted one by one."""
    x0, y0, x1, y1 = chip.box_xyxy
    across = np.minimum(boxes_xyxy[:, 2], x1) - np.maximum(boxes_xyxy[:, 0], x0)
    down = np.minimum(boxes_xyxy[:, 3], y1) - np.maximum(boxes_xyxy[:, 1], y0)
    return float((np.maximum(across, 0) * np.maximum(down, 0)).sum())
