"""Files of labels that people edited in another tool: what they hold, before it is understood.

A shape that cannot be used says why, and where it lies: it may be one of our labels, so it must
never look as if that label were not there.
"""

import math
from dataclasses import dataclass
from typing import Any

from pycocotools import mask as coco_mask

from perception.core import masks as rle
from perception.core.errors import RequestError
from perception.core.polygons import polygon_fault
from perception.core.types import Int32, Masks

MASK, POLYGON, BOX, ELLIPSE = "mask", "polygon", "box", "ellipse"
ELLIPSE_CORNERS = 90  # of the polygon in an ellipse: it leaves out 0.1 % of the area

Ring = tuple[float, ...]  # x y x y ..., pixels
Bounds = tuple[float, float, float, float]  # x0 y0 x1 y1, pixels


@dataclass(frozen=True, eq=False)
class Shape:
    """One object of a picture, as a tool wrote it.

    Attributes:
        where: Place in the file, for messages.
        kind: `MASK`, `POLYGON`, `BOX` or `ELLIPSE`; the tool's word for one without an area.
        label: Name of its class in the file.
        instance_id: The id that our exports give, 0 where the file has none.
        status: The status that our exports give, as the file has it now.
        crowd: Whether the file calls it a crowd region.
        rings: Outlines; together they are the mask. A box and an ellipse have one.
        runs: Bounds and run-lengths of a mask, as in `Masks`; None where the file has none.
        runs_hw: Height and width of the picture that run-lengths state.
        bounds: Where it lies, as far as the file says; None for anywhere.
        code: Of the error, for a shape that cannot be used.
        fault: Why it cannot be used; "" where nothing is wrong so far.
    """

    where: str
    kind: str
    label: str = ""
    instance_id: int = 0
    status: str = ""
    crowd: bool = False
    rings: tuple[Ring, ...] = ()
    runs: tuple[Int32, bytes] | None = None
    runs_hw: tuple[int, int] | None = None
    bounds: Bounds | None = None
    code: str = ""
    fault: str = ""


@dataclass(frozen=True, eq=False)
class EditedPicture:
    """One picture of an edited file.

    Attributes:
        names: Of the picture, the file's own first; the others are names it had before.
        size_hw: Height and width; None where the file does not say.
        shapes: What is drawn there.
    """

    names: tuple[str, ...]
    size_hw: tuple[int, int] | None
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, eq=False)
class EditedFile:
    """A file that was edited in another tool.

    Attributes:
        pictures: That the file names; what is not among them was not looked at.
        class_names: That the file knows, whether a shape has them or not.
        elsewhere: Shapes of no picture, or of one that the file does not name.
        shows_review: Whether labels for review are in it wherever the run has some.
    """

    pictures: tuple[EditedPicture, ...]
    class_names: frozenset[str]
    elsewhere: tuple[Shape, ...] = ()
    shows_review: bool = False


def box_ring(bounds: Bounds, clockwise_deg: float = 0.0) -> Ring:
    """Return the corners of a box that is turned about its centre, as CVAT turns them."""
    x0, y0, x1, y1 = bounds
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    corners = ((x0 - cx, y0 - cy), (x1 - cx, y0 - cy), (x1 - cx, y1 - cy), (x0 - cx, y1 - cy))
    return _turned((cx, cy), corners, clockwise_deg)


def ellipse_ring(
    centre: tuple[float, float], radii: tuple[float, float], clockwise_deg: float = 0.0
) -> Ring:
    """Return a polygon in an ellipse that is turned about its centre."""
    angles = [math.tau * step / ELLIPSE_CORNERS for step in range(ELLIPSE_CORNERS)]
    corners = tuple((radii[0] * math.cos(a), radii[1] * math.sin(a)) for a in angles)
    return _turned(centre, corners, clockwise_deg)


def _turned(
    centre: tuple[float, float], offsets: tuple[tuple[float, float], ...], clockwise_deg: float
) -> Ring:
    """Return centre + offsets, turned clockwise as one sees it: y points down."""
    cos, sin = math.cos(math.radians(clockwise_deg)), math.sin(math.radians(clockwise_deg))
    if clockwise_deg % 360 == 0:
        cos, sin = 1.0, 0.0
    return tuple(
        value
        for dx, dy in offsets
        for value in (centre[0] + dx * cos - dy * sin, centre[1] + dx * sin + dy * cos)
    )


def bounds_of(rings: tuple[Ring, ...]) -> Bounds | None:
    """Return what encloses some rings, None where a number is none."""
    x = [value for ring in rings for value in ring[0::2]]
    y = [value for ring in rings for value in ring[1::2]]
    if not x or not y or not all(map(math.isfinite, (*x, *y))):
        return None
    return min(x), min(y), max(x), max(y)


def fill(shape: Shape, size_hw: tuple[int, int]) -> tuple[Int32, bytes]:
    """Return the mask of a shape in its picture, as `masks.encode_one` does.

    Args:
        shape: With an area.
        size_hw: Of the picture.

    Raises:
        RequestError: the shape's own fault; `rle.invalid` for run-lengths of another picture;
            `polygon.invalid` for outlines that fill nothing.
    """
    if shape.fault:
        raise RequestError(shape.code, f"{shape.where}: {shape.fault}")
    if shape.runs:
        box, counts = shape.runs
        if shape.runs_hw and shape.runs_hw != size_hw:
            raise RequestError(
                "rle.invalid",
                f"{shape.where}: is a mask of a picture of (height, width) {shape.runs_hw}, "
                f"expected {size_hw}",
            )
        if (box[:2] < 0).any() or box[2] > size_hw[1] or box[3] > size_hw[0]:
            raise RequestError(
                "rle.invalid",
                f"{shape.where}: box {tuple(box.tolist())} leaves the {size_hw[1]} x {size_hw[0]} "
                "picture",
            )
        if not counts:
            raise RequestError("rle.invalid", f"{shape.where}: the mask has no pixel")
        return box, counts
    rings = [list(ring) for ring in shape.rings]
    sound = [ring for ring in rings if not polygon_fault(ring, size_hw)]  # specks have no area
    mask = mask_of_polygons(sound or rings, size_hw, shape.where)
    if not mask.counts[0]:
        raise RequestError("polygon.invalid", f"{shape.where}: covers no pixel of the picture")
    return mask.boxes_xyxy[0], mask.counts[0]


def mask_of_polygons(parts: list[Any], size_hw: tuple[int, int], where: str) -> Masks:
    """Return one mask, the union of flat polygons x y x y ... from outside, as COCO fills them.

    Raises:
        RequestError: `polygon.invalid`; the C library never sees such a polygon.
    """
    for number, part in enumerate(parts):
        fault = polygon_fault(part, size_hw)
        if fault:
            raise RequestError("polygon.invalid", f"{where}[{number}] {fault}")
    checked = [[float(value) for value in part] for part in parts]
    return rle.from_coco(coco_mask.merge(coco_mask.frPyObjects(checked, *size_hw)))
