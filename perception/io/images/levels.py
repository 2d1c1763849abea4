"""16 bit to 8: the high byte, or stretched where that would be dark.

Thermal cameras and raw sensors store 10 to 14 bits in 16: their high bytes differ by a few levels,
and the picture is black. So the rule, for each picture alone: sort its values, all channels
together, and leave out a thousandth at either end, where dead pixels are. Where what is between
spans less than a quarter of the range, as 14 bits do, it is stretched over 0 to 255. Every other
picture keeps the high byte. Source of the rule: ours; tools such as ultralytics' take the least and
the largest value, which one dead pixel moves.
"""

import numpy as np
import numpy.typing as npt

from perception.core.types import UInt8

NARROW = 1 << 14  # values; less than this is stretched
LEFT_OUT = 0.001  # share of the values at either end that does not count
_VALUES = 1 << 16


def to_8_bit(pixels: npt.NDArray[np.uint16]) -> tuple[UInt8, bool]:
    """Return 8-bit pixels, and whether they were stretched."""
    low, high = _ends(pixels)
    if low == high or high - low >= NARROW:
        return (pixels >> 8).astype(np.uint8), False
    table = (np.arange(_VALUES, dtype=np.float64) - low) * (255 / (high - low))
    return np.clip(np.rint(table), 0, 255).astype(np.uint8)[pixels], True


def _ends(pixels: npt.NDArray[np.uint16]) -> tuple[int, int]:
    """Return the values between which all but `LEFT_OUT` at either end lie."""
    counts = np.cumsum(np.bincount(pixels.ravel(), minlength=_VALUES))
    total = int(counts[-1])
    low = int(np.searchsorted(counts, LEFT_OUT * total, side="right"))
    high = int(np.searchsorted(counts, (1 - LEFT_OUT) * total, side="left"))
    if low == high:  # one value almost everywhere: what differs is all there is to see
        low, high = (int(edge) for edge in np.flatnonzero(np.diff(counts, prepend=0))[[0, -1]])
    return low, high
