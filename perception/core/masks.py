"""Run-length masks: encode, decode, measure. Nothing unchecked reaches pycocotools' C code.

pycocotools 2.0.11 reads past its buffer on a truncated run-length string and does not check that
runs fit the image in `area`, `iou` and `merge` (found under AddressSanitizer), so every string from
outside passes `check_counts` first. Format: COCO's compressed run-lengths
(https://github.com/cocodataset/cocoapi, `rleToString`): column-major, the first run counts zeros,
five bits a character plus a continuation bit, from the fourth run on stored as the difference to
the run two places before.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from perception.core.errors import SampleError
from perception.core.types import Bool, Float32, Float64, Int32, Masks

MAX_PIXELS = 1 << 28  # as many as an image may ever have here; guards allocations
_MAX_CHARS_PER_RUN = 7  # 35 bits: more than any run of MAX_PIXELS needs


@lru_cache(maxsize=512)  # a picture's masks: each is asked for a dozen times while it is decided
def check_counts(counts: bytes, height: int, width: int) -> npt.NDArray[np.int64]:
    """Decode a compressed run-length string after checking it.

    Args:
        counts: The string.
        height: Rows of the bitmap that the runs fill.
        width: Columns of it.

    Returns:
        (R,) runs, read-only; the first counts zeros; summing to height * width.

    Raises:
        SampleError: `rle.invalid`, naming what is wrong.
    """
    if height <= 0 or width <= 0 or height * width > MAX_PIXELS:
        raise SampleError(
            "rle.invalid", f"size {height} x {width}, expected 1 to {MAX_PIXELS} pixels"
        )
    chars = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    if len(chars) == 0:
        raise SampleError("rle.invalid", "the run-length string is empty")
    if chars.min() < 0 or chars.max() > 63:
        raise SampleError("rle.invalid", "the run-length string has characters outside 48..111")
    if chars[-1] & 0x20:
        raise SampleError("rle.invalid", "the run-length string is cut off inside a number")
    ends = np.flatnonzero((chars & 0x20) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts).max() >= _MAX_CHARS_PER_RUN:
        raise SampleError("rle.invalid", "a run is longer than any image allows")
    place = np.arange(len(chars)) - np.repeat(starts, ends - starts + 1)
    stored = np.add.reduceat((chars & 0x1F) << (5 * place), starts)
    negative = (chars[ends] & 0x10) != 0
    stored = np.where(negative, stored - (np.int64(1) << (5 * (ends - starts + 1))), stored)
    runs = stored.copy()
    runs[1::2] = np.cumsum(stored[1::2])
    runs[2::2] = np.cumsum(stored[2::2])
    if runs.min() < 0:
        raise SampleError("rle.invalid", f"run {int(runs.argmin())} is negative")
    if int(runs.sum()) != height * width:
        raise SampleError(
            "rle.invalid",
            f"runs sum to {int(runs.sum())}, expected {height} x {width} = {height * width}",
        )
    runs.flags.writeable = False
    return runs


def _encode_crop(crop: Bool) -> bytes:
    counts: bytes = coco_mask.encode(np.asfortranarray(crop, np.uint8))["counts"]
    return counts


def _fill(runs: npt.NDArray[np.int64], height: int, width: int) -> Bool:
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return values.reshape(width, height).T


def encode(bitmaps: Bool) -> Masks:
    """Encode (N, H, W) booleans."""
    return join(
        tuple(encode_one(bitmap) for bitmap in bitmaps), (bitmaps.shape[1], bitmaps.shape[2])
    )


def encode_one(bitmap: Bool, offset_xy: tuple[int, int] = (0, 0)) -> tuple[Int32, bytes]:
    """Encode one (H, W) boolean bitmap that starts at `offset_xy` of its image.

    Returns:
        (4,) int32 tight half-open box in image pixels and the counts of the crop; zeros and b"" if
        the bitmap is empty.
    """
    rows = np.flatnonzero(bitmap.any(axis=1))
    if len(rows) == 0:
        return np.zeros(4, np.int32), b""
    columns = np.flatnonzero(bitmap.any(axis=0))
    y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    box = np.array([x0, y0, x1, y1]) + np.tile(offset_xy, 2)
    return box.astype(np.int32), _encode_crop(bitmap[y0:y1, x0:x1])


def join(rows: tuple[tuple[Int32, bytes], ...], size_hw: tuple[int, int]) -> Masks:
    """Put encoded rows together."""
    boxes = np.array([box for box, _ in rows], np.int32).reshape(-1, 4)
    return Masks(boxes_xyxy=boxes, counts=tuple(counts for _, counts in rows), size_hw=size_hw)


def checked(masks: Masks) -> Masks:
    """Return masks from outside after checking every row; raise `rle.invalid` if one is wrong."""
    height, width = masks.size_hw
    for row, (box, counts) in enumerate(zip(masks.boxes_xyxy, masks.counts, strict=True)):
        x0, y0, x1, y1 = (int(side) for side in box)
        if not counts and not box.any():
            continue
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise SampleError(
                "rle.invalid",
                f"mask {row}: box {x0, y0, x1, y1} does not lie in the {width} x {height} image",
            )
        crop = _fill(check_counts(counts, y1 - y0, x1 - x0), y1 - y0, x1 - x0)
        if not all(crop[side].any() for side in (0, -1, np.s_[:, 0], np.s_[:, -1])):
            raise SampleError("rle.invalid", f"mask {row}: its box is larger than the mask")
    return masks


def decode_crop(masks: Masks, row: int) -> Bool:
    """Return the bitmap of one mask inside its box, (h, w); (0, 0) for an empty mask."""
    x0, y0, x1, y1 = (int(side) for side in masks.boxes_xyxy[row])
    if not masks.counts[row]:
        return np.zeros((0, 0), bool)
    return _fill(check_counts(masks.counts[row], y1 - y0, x1 - x0), y1 - y0, x1 - x0)


def decode_one(masks: Masks, row: int) -> Bool:
    """Return the (H, W) bitmap of one mask."""
    bitmap = np.zeros(masks.size_hw, bool)
    x0, y0, x1, y1 = masks.boxes_xyxy[row]
    bitmap[y0:y1, x0:x1] = decode_crop(masks, row)
    return bitmap


def decode(masks: Masks) -> Bool:
    """Return (N, H, W) bitmaps; for tests and small N, since N * H * W bytes are allocated."""
    bitmaps = np.zeros((len(masks), *masks.size_hw), bool)
    for row in range(len(masks)):
        bitmaps[row] = decode_one(masks, row)
    return bitmaps


def areas(masks: Masks) -> npt.NDArray[np.int64]:
    """Return (N,) pixel counts."""
    return np.array([_area(masks, row) for row in range(len(masks))], np.int64)


def _area(masks: Masks, row: int) -> int:
    x0, y0, x1, y1 = (int(side) for side in masks.boxes_xyxy[row])
    counts = masks.counts[row]
    return int(check_counts(counts, y1 - y0, x1 - x0)[1::2].sum()) if counts else 0


def overlaps(masks: Masks) -> npt.NDArray[np.int64]:
    """Return (N, N) intersections in pixels; the diagonal holds the areas."""
    crops = [decode_crop(masks, row) for row in range(len(masks))]
    boxes = masks.boxes_xyxy
    result = np.zeros((len(masks), len(masks)), np.int64)
    for i in range(len(masks)):
        result[i, i] = crops[i].sum()
        low = np.maximum(boxes[i, :2], boxes[i + 1 :, :2])
        high = np.minimum(boxes[i, 2:], boxes[i + 1 :, 2:])
        for j in np.flatnonzero((high > low).all(axis=1)) + i + 1:
            (x0, y0), (x1, y1) = low[j - i - 1], high[j - i - 1]
            ours = crops[i][
                y0 - boxes[i, 1] : y1 - boxes[i, 1], x0 - boxes[i, 0] : x1 - boxes[i, 0]
            ]
            other = crops[j][
                y0 - boxes[j, 1] : y1 - boxes[j, 1], x0 - boxes[j, 0] : x1 - boxes[j, 0]
            ]
            result[i, j] = result[j, i] = np.count_nonzero(ours & other)
    return result


def ious(masks: Masks) -> Float64:
    """Return (N, N) mask IoU; 0 where the union is empty."""
    overlap = overlaps(masks)
    area = np.diag(overlap)
    union = area[:, None] + area[None, :] - overlap
    return np.asarray(np.divide(overlap, union, out=np.zeros(overlap.shape), where=union > 0))


def paired_ious(first: Masks, second: Masks) -> Float32:
    """Return (N,) IoU of each mask with the one in the same row; 0 where the union is empty."""
    ious = np.zeros(len(first), np.float32)
    for row in range(len(first)):
        a, b = first.boxes_xyxy[row], second.boxes_xyxy[row]
        low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
        if (high <= low).any():
            continue
        (x0, y0), (x1, y1) = low, high
        ours, theirs = decode_crop(first, row), decode_crop(second, row)
        shared = np.count_nonzero(
            ours[y0 - a[1] : y1 - a[1], x0 - a[0] : x1 - a[0]]
            & theirs[y0 - b[1] : y1 - b[1], x0 - b[0] : x1 - b[0]]
        )
        ious[row] = shared / (ours.sum() + theirs.sum() - shared)
    return ious


def to_coco(masks: Masks, row: int) -> dict[str, Any]:
    """Return one mask as COCO's compressed run-lengths of the whole image.

    `counts` is text, ready for JSON. An empty mask is one run of zeros.
    """
    height, width = masks.size_hw
    runs = _runs_of_image(masks, row).tolist()
    rle = coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}


def _runs_of_image(masks: Masks, row: int) -> npt.NDArray[np.int64]:
    """Return the runs of the whole image from those of the crop, without drawing either."""
    height, width = masks.size_hw
    x0, y0, x1, y1 = (int(side) for side in masks.boxes_xyxy[row])
    if not masks.counts[row]:
        return np.array([height * width], np.int64)
    high = y1 - y0
    edges = np.cumsum(check_counts(masks.counts[row], high, x1 - x0))
    starts, ends = edges[0 : len(edges) - 1 : 2], edges[1::2]  # of the ones, in the crop
    columns = (ends - 1) // high - starts // high + 1  # that each run touches
    column = np.repeat(starts // high, columns) + _places(columns)
    low = np.maximum(np.repeat(starts, columns), column * high)
    top = np.minimum(np.repeat(ends, columns), (column + 1) * high)
    shift = (x0 + column) * height + y0 - column * high  # from the crop's order to the image's
    low, top = low + shift, top + shift
    apart = np.concatenate([[True], low[1:] > top[:-1]])  # full columns join
    firsts, lasts = low[apart], top[np.concatenate([apart[1:], [True]])]
    bounds = np.concatenate([[0], np.column_stack([firsts, lasts]).ravel(), [height * width]])
    runs = np.diff(bounds)
    return runs if runs[-1] else runs[:-1]  # a mask that reaches the end ends with its ones


def _places(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return 0, 1, ... counts[0] - 1, 0, 1, ... counts[1] - 1, and so on."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def from_coco(rle: dict[str, Any]) -> Masks:
    """Return a COCO run-length dict from outside as one mask.

    `counts` may be text, bytes, or a list of runs (uncompressed).

    Raises:
        SampleError: `rle.invalid`.
    """
    size, counts = rle.get("size"), rle.get("counts")
    if (
        not isinstance(size, list | tuple)
        or len(size) != 2
        or not all(isinstance(side, int) and not isinstance(side, bool) for side in size)
    ):
        raise SampleError("rle.invalid", f"size is {size!r}, expected [height, width]")
    height, width = size
    if isinstance(counts, list):
        runs = _check_runs(counts, height, width)
    elif isinstance(counts, str | bytes):
        try:
            raw = counts.encode("ascii") if isinstance(counts, str) else counts
        except UnicodeEncodeError as error:
            raise SampleError("rle.invalid", "counts has characters that are not ASCII") from error
        runs = check_counts(raw, height, width)
    else:
        raise SampleError(
            "rle.invalid", f"counts is {type(counts).__name__}, expected text, bytes or a list"
        )
    return join((encode_one(_fill(runs, height, width)),), (height, width))


def _check_runs(counts: list[Any], height: int, width: int) -> npt.NDArray[np.int64]:
    if height <= 0 or width <= 0 or height * width > MAX_PIXELS:
        raise SampleError(
            "rle.invalid", f"size {height} x {width}, expected 1 to {MAX_PIXELS} pixels"
        )
    whole = all(isinstance(run, int) and not isinstance(run, bool) for run in counts)
    if not counts or not whole or min(counts) < 0 or sum(counts) != height * width:
        raise SampleError(
            "rle.invalid",
            f"{len(counts)} uncompressed runs, expected whole numbers >= 0 that sum to "
            f"{height} x {width} = {height * width}",
        )
    return np.array(counts, np.int64)
