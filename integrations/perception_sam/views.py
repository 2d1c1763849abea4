"""What SAM is shown of an image: a window, scaled, in a part of its input square.

Source of the scaling and the colours: https://github.com/facebookresearch/segment-anything,
`utils/transforms.py` (`ResizeLongestSide`) and `modeling/sam.py` (`preprocess`).
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from perception.core.types import Bool, Float32, Float64, UInt8

Rows = np.ndarray[tuple[int], np.dtype[np.intp]]
Int64 = npt.NDArray[np.int64]

SIDE_PX = 1024  # of SAM's input square
STEP_PX = 64  # of inputs that are smaller: every shape is a network to compile
PLACE_STEP_PX = 256  # of the input: between places where tiles may lie
CUT_STEP_PX = 512  # of the sides of tiles: every shape is a network that is kept in memory
WORTH = 1.25  # tiles that show not even a quarter more than the whole image are not laid
# How tiles magnify, and up to which longest side objects lie in them. Half a tile: longer objects
# need their surroundings. What is small is shown twice its size, as one cell of SAM's embedding is
# 16 pixels: 96 px are six of them at native resolution, and an object needs several.
ZOOMS = ((2, 96), (1, SIDE_PX // 2))
CONTEXT_PX = 128  # of the input, round the objects of a tile; tiles lie so that each can have it
CELL_PX = 4  # of the input per cell of the mask logits
PATCH_PX = 16  # of the input per cell of the embedding
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
        twice: Whether the first answers are fed back and decoded again.
    """

    window_xyxy: tuple[int, int, int, int]
    filled_hw: tuple[int, int]
    input_hw: tuple[int, int]
    twice: bool = False

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


def tiles(size_hw: tuple[int, int], boxes_xyxy: Float32) -> list[tuple[View, Rows]]:
    """Lay tiles of native resolution, and of twice that, where the boxes are.

    Each box lies in one view: in the tile that holds it with the widest margin. Tiles are the
    fewest that a greedy choice among overlapping places needs, so their area is bounded by the
    image and not by the boxes, and they are cut to what their boxes and some surroundings need.

    Args:
        size_hw: Of the image.
        boxes_xyxy: (N, 4) pixels.

    Returns:
        Views with the rows of their boxes, ascending. The whole image is one of them where boxes
        are large, and the only one where tiles would not show more.
    """
    sides = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).max(axis=1, initial=0)
    views: list[tuple[View, Rows]] = []
    left = np.ones(len(boxes_xyxy), bool)
    for zoom, largest_px in ZOOMS:
        if max(size_hw) >= WORTH * SIDE_PX / zoom:
            rows = np.flatnonzero(left & (sides <= largest_px))
            views += _laid(size_hw, boxes_xyxy, rows, zoom)
            left[rows] = False
    whole = replace(filled(size_hw), twice=True)
    return [(whole, np.flatnonzero(left)), *views] if left.any() else views


def _laid(
    size_hw: tuple[int, int], boxes_xyxy: Float32, rows: Rows, zoom: int
) -> list[tuple[View, Rows]]:
    """Lay tiles of one magnification for some of the boxes."""
    if not len(rows):
        return []
    windows = _places(size_hw, zoom)
    margins_px = _margins_px(windows, boxes_xyxy[rows], size_hw)
    chosen = _fewest(margins_px >= CONTEXT_PX / zoom)
    owner = margins_px[chosen].argmax(axis=0)
    views = []
    for place, window in enumerate(windows[chosen]):
        mine = rows[owner == place]
        if len(mine):
            views += _parted(window, boxes_xyxy, mine, zoom)
    return views


def _parted(window: Int64, boxes_xyxy: Float32, rows: Rows, zoom: int) -> list[tuple[View, Rows]]:
    """Cut a window to its boxes, or to two groups of them, and so on, where that is less to see."""
    best = [(_cut(window, boxes_xyxy[rows], zoom), rows)]
    for axis in (0, 1):
        centres = boxes_xyxy[rows, axis] + boxes_xyxy[rows, 2 + axis]
        order = rows[np.argsort(centres, kind="stable")]
        for count in range(1, len(rows)):
            groups = np.sort(order[:count]), np.sort(order[count:])
            parts = [(_cut(window, boxes_xyxy[group], zoom), group) for group in groups]
            if _area_px(parts) < _area_px(best):
                best = parts
    if len(best) == 1:
        return best
    return [view for _, group in best for view in _parted(window, boxes_xyxy, group, zoom)]


def _area_px(views: list[tuple[View, Rows]]) -> int:
    return sum(view.input_hw[0] * view.input_hw[1] for view, _ in views)


def _places(size_hw: tuple[int, int], zoom: int) -> Int64:
    """Return the (W, 4) windows that tiles may be, row by row."""
    height, width = size_hw
    tile_px, step_px = SIDE_PX // zoom, PLACE_STEP_PX // zoom
    tops, lefts = (
        np.unique(np.append(np.arange(0, max(side - tile_px, 0), step_px), side - tile_px))
        for side in (max(height, tile_px), max(width, tile_px))
    )
    x0, y0 = (places.ravel() for places in np.meshgrid(lefts, tops))
    x1, y1 = np.minimum(x0 + tile_px, width), np.minimum(y0 + tile_px, height)
    return np.stack([x0, y0, x1, y1], axis=1).astype(np.int64)


def _margins_px(windows: Int64, boxes_xyxy: Float32, size_hw: tuple[int, int]) -> Float64:
    """Return (W, N) least distance of a box to the sides of a window; an image's edge is no side.

    What a window does not hold has a negative margin, what no side bounds SIDE_PX.
    """
    before = boxes_xyxy[None, :, :2] - windows[:, None, :2]
    behind = windows[:, None, 2:] - boxes_xyxy[None, :, 2:]
    before = np.where(windows[:, None, :2] > 0, before, SIDE_PX)
    end_xy = np.array([size_hw[1], size_hw[0]])
    behind = np.where(windows[:, None, 2:] < end_xy, behind, SIDE_PX)
    nearest = np.concatenate([before, behind], axis=2).min(axis=2)
    return np.asarray(np.minimum(nearest, SIDE_PX), np.float64)


def _fewest(holds: Bool) -> Int64:
    """Choose rows of (W, N) so that every column is held: the row with most of the rest, again."""
    chosen: list[int] = []
    open_ = np.ones(holds.shape[1], bool)
    while open_.any():
        chosen.append(int((holds & open_).sum(axis=1).argmax()))
        open_ &= ~holds[chosen[-1]]
    return np.array(sorted(chosen), np.int64)


def _cut(window: Int64, boxes_xyxy: Float32, zoom: int) -> View:
    """Return the part of a window that its boxes need, its sides multiples of a step."""
    context_px, step_px = CONTEXT_PX // zoom, CUT_STEP_PX // zoom
    bounds = []
    for axis in (0, 1):
        low, high = int(window[axis]), int(window[2 + axis])
        first = max(int(boxes_xyxy[:, axis].min()) - context_px, low)
        last = min(int(np.ceil(boxes_xyxy[:, 2 + axis].max())) + context_px, high)
        side = min(-(-(last - first) // step_px) * step_px, high - low)
        start = min(max((first + last - side) // 2, low), high - side)
        bounds.append((start, start + side))
    (x0, x1), (y0, y1) = bounds
    shape_hw = (zoom * (y1 - y0), zoom * (x1 - x0))
    input_hw = _stepped(shape_hw[0]), _stepped(shape_hw[1])
    return View((x0, y0, x1, y1), shape_hw, input_hw, twice=True)


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


def filled_rows(pixels: Float32) -> int:
    """Return the rows of (1, 3, h, w) without the zeros below, a multiple of 64 and at least 64."""
    rows = int(pixels.shape[2])
    while rows > STEP_PX and not np.any(pixels[:, :, rows - STEP_PX : rows]):
        rows -= STEP_PX
    return rows
