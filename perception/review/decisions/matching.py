"""Which of our labels an object of an edited file is, and whether it is as it was.

Tools that keep run-lengths give back the same pixels. Outlines are drawn by a tool and filled by
us, which moves the edge: of the masks of SAM, 96 % of those that went through OpenCV's contours
differ from themselves by at most one pixel at the edge, and by two where contours are thinned (as
datumaro does). So outlines are the same within one pixel, or as exactly as the file's other
outlines come back.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from perception.core import masks as masks_
from perception.core.shapes import BOX, MASK, Shape
from perception.core.types import Bool, Float64, Int32, Masks, Status

SAME_IOU = 0.5  # an edited mask without our id is the label that it overlaps this much
SAME_CLASS = 1e-3  # added to that IoU: of labels with the same pixels, the one of the row's class
FAR_PX = 3  # differs by more than any tool: edited
FEW = 5  # outlines that a tool moved tell more than a person who moved one

Mask = tuple[Int32, bytes]  # bounds and run-lengths, see `Masks`


@dataclass(frozen=True, eq=False)
class Row:
    """A shape of an edited file that has a mask.

    Attributes:
        shape: As in the file.
        mask: What it fills.
        class_name: Of the run; "" for a class that the run does not know.
    """

    shape: Shape
    mask: Mask
    class_name: str

    @cached_property
    def is_rectangle(self) -> bool:
        """Whether an outline encloses a rectangle: tools without masks write boxes so."""
        (x0, y0, x1, y1), counts = self.mask
        if self.shape.kind == MASK:
            return False
        full = masks_.encode_one(np.ones((y1 - y0, x1 - x0), bool))[1]
        return self.shape.kind == BOX or counts == full

    @cached_property
    def form(self) -> str:
        """What its edge depends on: run-lengths are exact, outlines are not."""
        return MASK if self.shape.kind == MASK else BOX if self.is_rectangle else "outline"


@dataclass(frozen=True, eq=False)
class Version:
    """A label of the run in one of its label sets.

    Attributes:
        instance: Its `prompt_ids`.
        instance_id: Its id in exports.
        class_name: Of the run.
        status: Accepted, for review or rejected.
        mask: Bounds and run-lengths.
        label_set: Where it is like this; "" for one that a person left so.
        now: Whether the run has it like this now.
    """

    instance: int
    instance_id: int
    class_name: str
    status: Status
    mask: Mask
    label_set: str
    now: bool


@dataclass(frozen=True, eq=False)
class Match:
    """The label that a row is.

    Attributes:
        instance: Its `prompt_ids`.
        off_px: For each of its versions that is near, by how many pixels the row's edge is off.
    """

    instance: int
    off_px: tuple[tuple[Version, int], ...]

    def same(self, tolerance_px: int) -> tuple[Version, ...]:
        """Return the versions that the row is, the one that the run has now first."""
        found = [version for version, off in self.off_px if off <= tolerance_px]
        return tuple(sorted(found, key=lambda version: not version.now))


def match(rows: list[Row], versions: list[Version], size_hw: tuple[int, int]) -> dict[int, Match]:
    """Find the label that each row is: one of the same mask, else of its id, else by mask IoU.

    Args:
        rows: Of one picture.
        versions: Of its labels; those with an empty mask are found by their id alone.
        size_hw: Of the picture.

    Returns:
        Place in `rows` to what it is; a label is at most one row.
    """
    labels = sorted({version.instance for version in versions})
    column = {instance: place for place, instance in enumerate(labels)}
    near: dict[tuple[int, int], list[tuple[Version, int]]] = {}
    alike, by_id, iou, named = (np.zeros((len(rows), len(labels))) for _ in range(4))
    open_ = [version for version in versions if version.now and version.status != Status.REJECTED]
    iou[:, [column[version.instance] for version in open_]] = _ious(rows, open_, size_hw)
    for i, row in enumerate(rows):
        for version in versions:
            place = i, column[version.instance]
            named[place] = max(named[place], row.class_name == version.class_name)
            by_id[place] = 0 < row.shape.instance_id == version.instance_id
            off = _off_px(row, version.mask)
            if off < FAR_PX:
                alike[place] = 1
                near.setdefault(place, []).append((version, off))
    claim = np.where(iou >= SAME_IOU, iou, iou * (alike + by_id > 0)) + 4 * alike + 2 * by_id
    claim += SAME_CLASS * named * (claim > 0)
    pairs = zip(*linear_sum_assignment(-claim), strict=True)
    return {
        int(i): Match(labels[j], tuple(near.get((int(i), int(j)), ())))
        for i, j in pairs
        if claim[i, j]
    }


def is_copy(row: Row, versions: list[Version], tolerance_px: int) -> bool:
    """Tell whether a row that is no label has the mask of one: it is in the file twice."""
    there = [version for version in versions if version.now or not version.label_set]
    return any(_off_px(row, version.mask) <= tolerance_px for version in there)


def tolerance_px(form: str, off_px: Counter[int]) -> int:
    """Return how far an edge may be off in a file and still be the same.

    Args:
        form: `Row.form`.
        off_px: How many rows of this form are off by how much from the label that they are.
    """
    exact, near, far = (off_px[pixels] for pixels in range(FAR_PX))
    if far >= FEW and far > exact + near:
        return 2
    if near + far >= FEW and near + far > exact:
        return 1
    return 0 if form == MASK or exact > near + far else 1


def _ious(rows: list[Row], versions: list[Version], size_hw: tuple[int, int]) -> Float64:
    both = [row.mask for row in rows] + [version.mask for version in versions]
    return masks_.ious(masks_.join(tuple(both), size_hw))[: len(rows), len(rows) :]


def _off_px(row: Row, ours: Mask) -> int:
    """Return by how many pixels a row's edge is off ours, at most `FAR_PX`.

    A polygon has no holes and a rectangle only bounds: neither counts as a difference.
    """
    (theirs, counts), (bounds, our_counts) = row.mask, ours
    apart = int(np.abs(theirs - bounds).max())
    if apart >= FAR_PX or not our_counts:
        return FAR_PX
    if counts == our_counts and apart == 0:
        return 0
    if row.is_rectangle:
        return apart
    low = np.minimum(theirs[:2], bounds[:2]) - FAR_PX
    size = np.maximum(theirs[2:], bounds[2:]) + FAR_PX - low
    one, other = (_drawn(mask, low, size) for mask in (row.mask, ours))
    wanted = [other] if row.form == MASK else [other, _without_holes(other)]
    return min(_edge_off(one, mask) for mask in wanted)


def _drawn(mask: Mask, low: Int32, size_wh: Int32) -> Bool:
    bounds, counts = mask
    crop = masks_.decode_crop(Masks(bounds[None], (counts,), (int(bounds[3]), int(bounds[2]))), 0)
    canvas = np.zeros((int(size_wh[1]), int(size_wh[0])), bool)
    x, y = (int(value) for value in bounds[:2] - low)
    canvas[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    return canvas


def _without_holes(bitmap: Bool) -> Bool:
    contours, _ = cv2.findContours(
        bitmap.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    canvas = bitmap.astype(np.uint8)
    cv2.drawContours(canvas, contours, -1, 1, cv2.FILLED)
    return canvas.astype(bool)


def _edge_off(one: Bool, other: Bool) -> int:
    """Return the least number of pixels within which `one` has the edge of `other`."""
    if (one == other).all():
        return 0
    kernel, image = np.ones((3, 3), np.uint8), other.astype(np.uint8)
    for pixels in range(1, FAR_PX):
        wide = cv2.dilate(image, kernel, iterations=pixels).astype(bool)
        slim = cv2.erode(image, kernel, iterations=pixels).astype(bool)
        if not (one & ~wide).any() and not (slim & ~one).any():
            return pixels
    return FAR_PX
