"""COCO instances as other tools give them back, read row by row: one bad row loses no other.

Sources: https://cocodataset.org/#format-data; the COCO exports of CVAT and datumaro (their
exporter), of Label Studio, Roboflow and FiftyOne.

- CVAT writes every brush mask as run-lengths with `iscrowd` 1, polygons with 0: there, `iscrowd`
  says how a mask is written, and "crowd" in other files only. What is for review in our exports is
  in CVAT's files; other tools may leave out crowds.
- CVAT keeps attributes, `instance_id` and `status` of ours among them, in `attributes`; so is the
  `rotation` of a rectangle, degrees clockwise about the centre. Its `bbox` is the one before.
- Roboflow renames pictures and keeps the old name in `extra.name`.
- A row without a mask has `segmentation` [] or none; it is a rectangle.
- Ids may be text, and those of annotations lead nowhere.
"""

import math
from pathlib import Path
from typing import Any

from perception.core import masks as rle
from perception.core.errors import RequestError, SampleError
from perception.core.shapes import (
    BOX,
    MASK,
    POLYGON,
    Bounds,
    EditedFile,
    EditedPicture,
    Ring,
    Shape,
    bounds_of,
    box_ring,
)
from perception.core.types import Int32, Status

REVIEW = Status.REVIEW.name.lower()


def read_edited(document: dict[str, Any], path: Path) -> EditedFile:
    """Understand a COCO file that people edited.

    Args:
        document: The file.
        path: For messages.

    Raises:
        RequestError: `coco.invalid` where `images`, `annotations` or `categories` is no list.
    """
    images, annotations, categories = (
        _rows(document, key, path) for key in ("images", "annotations", "categories")
    )
    name_of = {
        _key(row.get("id")): row["name"].strip() for row in categories if _is_text(row, "name")
    }
    image_of = _images(images)
    shapes: dict[str, list[Shape]] = {key: [] for key in image_of}
    elsewhere: list[Shape] = []
    crowds = _crowds_mean_something(annotations)
    for number, row in enumerate(annotations):
        shape = _shape(row, f"{path}: annotation {row.get('id', number)}", name_of, crowds=crowds)
        shapes.get(_key(row.get("image_id")), elsewhere).append(shape)
    pictures = tuple(
        EditedPicture(_names(row), _size(row), tuple(shapes[key])) for key, row in image_of.items()
    )
    of_cvat = not crowds and any(map(_is_crowd, annotations))
    return EditedFile(pictures, frozenset(name_of.values()), tuple(elsewhere), shows_review=of_cvat)


def _images(images: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return images by id; an id that two pictures share leads to neither."""
    found: dict[str, dict[str, Any]] = {}
    shared: set[str] = set()
    for row in images:
        key = _key(row.get("id"))
        if found.setdefault(key, row).get("file_name") != row.get("file_name"):
            shared.add(key)
    return {key: row for key, row in found.items() if key not in shared}


def _rows(document: dict[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    rows = document.get(key)
    if not isinstance(rows, list):
        raise RequestError("coco.invalid", f"{path}: {key} is {str(rows)[:40]!r}, expected a list")
    return [row if isinstance(row, dict) else {} for row in rows]


def _key(value: object) -> str:
    """Return an id as text: 3, 3.0 and "3" are one id."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def _is_text(row: dict[str, Any], key: str) -> bool:
    return isinstance(row.get(key), str) and bool(row[key])


def _names(image: dict[str, Any]) -> tuple[str, ...]:
    extra = image.get("extra")
    before = [extra["name"]] if isinstance(extra, dict) and _is_text(extra, "name") else []
    return (str(image.get("file_name", "")), *before)


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    height, width = (_number(image.get(key)) for key in ("height", "width"))
    whole = height.is_integer() and width.is_integer() and height > 0 and width > 0
    return (int(height), int(width)) if whole else None


def _number(value: object) -> float:
    """Return a number, NaN for what is none; text counts, as some tools write it."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def _crowds_mean_something(annotations: list[dict[str, Any]]) -> bool:
    """Tell whether `iscrowd` says more than that a mask is written as run-lengths."""
    runs = [isinstance(row.get("segmentation"), dict) for row in annotations]
    return [_is_crowd(row) for row in annotations] != runs


def _is_crowd(row: dict[str, Any]) -> bool:
    value = row.get("iscrowd")
    return value is True or _number(value) == 1


def _shape(row: dict[str, Any], where: str, name_of: dict[str, str], *, crowds: bool) -> Shape:
    """Understand one annotation; raise nothing."""
    inner = row.get("attributes")
    own = {**(inner if isinstance(inner, dict) else {}), **row}
    shape, kind, code, fault = own.get("segmentation"), MASK, "", ""
    rings, runs, runs_hw = tuple[Ring, ...](), None, None
    box = _bounds(own)
    try:
        if isinstance(shape, dict):
            runs, runs_hw = _runs(shape)
        elif shape:
            kind = POLYGON
            rings = _rings(shape)
        elif own.get("keypoints"):
            kind, code, fault = "keypoints", "coco.invalid", "has key points and no mask"
        else:
            kind = BOX
            rings = (_box(box, own),)
    except (SampleError, RequestError) as error:
        code, fault = error.code, error.message
    return Shape(
        where=where,
        kind=kind,
        label=name_of.get(_key(row.get("category_id")), ""),
        instance_id=_instance_id(own),
        status=str(own.get("status") or "").strip().lower(),
        crowd=crowds and _is_crowd(row),
        rings=rings,
        runs=runs,
        runs_hw=runs_hw,
        bounds=box or bounds_of(rings) or (runs and _corners(runs[0])),
        code=code,
        fault=fault,
    )


def _instance_id(own: dict[str, Any]) -> int:
    """Return our id, 0 for what is none of ours."""
    value = _number(own.get("instance_id"))
    return int(value) if value.is_integer() and 0 < value < 1 << 31 else 0


def _bounds(own: dict[str, Any]) -> Bounds | None:
    """Return the bounds of `bbox`; None where it has none."""
    values = own.get("bbox")
    if not isinstance(values, list) or len(values) != 4:
        return None
    x, y, width, height = (_number(value) for value in values)
    return bounds_of(((x, y, x + width, y + height),))


def _corners(box_xyxy: Int32) -> Bounds:
    x0, y0, x1, y1 = (float(side) for side in box_xyxy)
    return x0, y0, x1, y1


def _box(box: Bounds | None, own: dict[str, Any]) -> Ring:
    if not box or box[2] <= box[0] or box[3] <= box[1]:
        raise RequestError(
            "coco.invalid",
            f"has no mask, and bbox is {str(own.get('bbox'))[:60]}, expected [x, y, width, height] "
            "with an area",
        )
    turned = _number(own.get("rotation", 0))
    if not math.isfinite(turned):
        raise RequestError(
            "coco.invalid", f"rotation is {str(own['rotation'])[:40]!r}, expected degrees"
        )
    return box_ring(box, turned)


def _rings(shape: object) -> tuple[Ring, ...]:
    """Return the outlines of `segmentation`: a list of flat lists, or one flat list."""
    if not isinstance(shape, list):
        raise RequestError("polygon.invalid", f"segmentation is {str(shape)[:40]!r}")
    parts = shape if all(isinstance(part, list) for part in shape) else [shape]
    return tuple(tuple(_number(value) for value in part) for part in parts)


def _runs(shape: dict[str, Any]) -> tuple[tuple[Int32, bytes], tuple[int, int]]:
    mask = rle.from_coco(shape)
    return (mask.boxes_xyxy[0], mask.counts[0]), mask.size_hw
