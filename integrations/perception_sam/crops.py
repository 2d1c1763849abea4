"""From low-resolution logits to a mask, its scores and what is stored of the logits.

Source: https://github.com/facebookresearch/segment-anything, `modeling/sam.py`
(`postprocess_masks`: to the square, cut, to the image) and `utils/amg.py` (stability score). Only
the part of an image where a mask can be is computed; every pixel is what it would be in the whole.
"""

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perception.core import masks as masks_
from perception.core.types import Float32, Int32
from perception_sam.views import CELL_PX, View

STABILITY_OFFSET = 1.0
CROP_MARGIN_CELLS = 4  # stored logits reach this far beyond the mask: room to move a threshold
_Taps = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Float32]


@dataclass(frozen=True)
class Finished:
    """One mask at image size.

    Attributes:
        box_xyxy: (4,) int32 bounds in the image; zeros for an empty mask.
        counts: Run-lengths of the box; b"" for an empty mask.
        stability: IoU of the masks at +1 and -1; 0 where the looser one is empty (upstream: nan).
        cells_xyxy: (4,) int32 bounds of the stored logits; zeros without a positive cell.
        logits: zlib of them, float16, row-major; b"" without a positive cell.
    """

    box_xyxy: Int32
    counts: bytes
    stability: float
    cells_xyxy: Int32
    logits: bytes


def finish(low: Float32, view: View) -> Finished:
    """Turn the (h / 4, w / 4) logits of a view into a mask of the image."""
    rows, columns = _reach(low, view, -STABILITY_OFFSET)
    full = upsample(low, view, rows, columns)
    corner = view.window_xyxy[0] + columns.start, view.window_xyxy[1] + rows.start
    box, counts = masks_.encode_one(full > 0, corner)
    looser = np.count_nonzero(full > -STABILITY_OFFSET)
    steady = np.count_nonzero(full > STABILITY_OFFSET) / looser if looser else 0.0
    return Finished(box, counts, steady, *crop_logits(low, view))


def _positive_cells(low: Float32, view: View, above: float) -> tuple[int, int, int, int] | None:
    """Return the bounds (x0, y0, x1, y1) of the cells above a logit, of those that are filled."""
    height, width = (-(-side // CELL_PX) for side in view.filled_hw)
    positive = low[:height, :width] > above
    rows, columns = np.flatnonzero(positive.any(axis=1)), np.flatnonzero(positive.any(axis=0))
    if len(rows) == 0:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _reach(low: Float32, view: View, above: float) -> tuple[range, range]:
    """Return the rows and columns of the window that can be above a logit.

    Linear interpolation reaches 1.25 cells from the centre of a cell: less than one beyond it.
    """
    bounds = _positive_cells(low, view, above)
    if bounds is None:
        return range(0), range(0)
    x0, y0, x1, y1 = bounds
    reached = []
    for low_cell, high_cell, per_px, size in (
        (y0, y1, view.cells_per_px_xy[1], view.window_hw[0]),
        (x0, x1, view.cells_per_px_xy[0], view.window_hw[1]),
    ):
        first = int(np.floor((low_cell - 1) / per_px))
        last = int(np.ceil((high_cell + 1) / per_px))
        reached.append(range(max(first, 0), min(last, size)))
    return reached[0], reached[1]


def upsample(low: Float32, view: View, rows: range, columns: range) -> Float32:
    """Return some rows and columns of a view's window from its low-resolution logits.

    Linear twice, as upstream: from cells to the input, and from what is filled of it to the window.
    No pixel depends on which others are asked for: all arithmetic is element by element.

    Args:
        low: (h / 4, w / 4) logits.
        view: Where they belong.
        rows: Of the window.
        columns: Of the window.

    Returns:
        (len(rows), len(columns)) logits.
    """
    if not len(rows) or not len(columns):
        return np.zeros((len(rows), len(columns)), np.float32)
    (to_rows, from_cells_y), (to_columns, from_cells_x) = (
        _two_steps(asked, window, filled, cells)
        for asked, window, filled, cells in (
            (rows, view.window_hw[0], view.filled_hw[0], low.shape[0]),
            (columns, view.window_hw[1], view.filled_hw[1], low.shape[1]),
        )
    )
    first, last = from_cells_y[0].min(), from_cells_y[1].max() + 1
    wide = _mix(_mix(low[first:last].T, from_cells_x), to_columns).T
    cells_y = from_cells_y[0] - first, from_cells_y[1] - first, from_cells_y[2]
    return _mix(_mix(np.ascontiguousarray(wide), cells_y), to_rows)


def _two_steps(asked: range, window_px: int, filled_px: int, cells: int) -> tuple[_Taps, _Taps]:
    """Return what mixes pixels of the input to those asked for, and cells to these of the input."""
    low, high, share = _taps(np.asarray(asked), filled_px / window_px, filled_px)
    needed = np.arange(low.min(), high.max() + 1)
    return (low - needed[0], high - needed[0], share), _taps(needed, 1 / CELL_PX, cells)


def _taps(places: npt.NDArray[np.intp], step: float, count: int) -> _Taps:
    """Return each place's two neighbours among `count`, `step` per place, and the second's share.

    Centres of pixels are at halves, as in torch's `interpolate` with align_corners=False.
    """
    at = np.maximum((places + 0.5) * step - 0.5, 0)
    low = np.minimum(np.floor(at).astype(np.intp), count - 1)
    return low, np.minimum(low + 1, count - 1), (at - low).astype(np.float32)


def _mix(values: Float32, taps: _Taps) -> Float32:
    """Mix rows of (R, C) values by the taps."""
    low, high, share = taps
    return np.asarray(values[low] * (1 - share)[:, None] + values[high] * share[:, None])


def crop_logits(low: Float32, view: View) -> tuple[Int32, bytes]:
    """Cut logits to the mask's cells plus a margin, inside the image, and compress them.

    Returns:
        (4,) int32 cells xyxy, and zlib of float16 row-major; zeros and b"" without a positive cell.
    """
    bounds = _positive_cells(low, view, 0)
    if bounds is None:
        return np.zeros(4, np.int32), b""
    height, width = (-(-side // CELL_PX) for side in view.filled_hw)
    x0, y0 = (max(cell - CROP_MARGIN_CELLS, 0) for cell in bounds[:2])
    x1, y1 = min(bounds[2] + CROP_MARGIN_CELLS, width), min(bounds[3] + CROP_MARGIN_CELLS, height)
    # zlib level 6 is part of the stored bytes; float16 keeps 3 digits of logits of -30..30.
    data = zlib.compress(low[y0:y1, x0:x1].astype("<f2").tobytes(), 6)
    return np.array([x0, y0, x1, y1], np.int32), data
