"""LabelMe and X-AnyLabeling: a JSON file for each picture. Only boxes are read.

Source: github.com/wkentaro/labelme (label_file.py, shape.py, examples/instance_segmentation/
labelme2coco.py); github.com/CVHub520/X-AnyLabeling (docs/en/user_guide.md).

- Coordinates are pixels, (0, 0) the corner of the picture. A rectangle has two corners in any
  order, with X-AnyLabeling also four; a circle its centre and a point on it. What has an area is
  read as its bounds; points and lines are counted as `shape.NAME`.
- A shape of type `mask` has the first and the last pixel as corners.
- Shapes of one label and one `group_id` are parts of one object, as labelme2coco has it.
- `imageData` may hold the picture itself, and is not looked at.
"""

import math
from collections import Counter
from pathlib import Path
from typing import Any

from perception.core.box_rows import (
    Box,
    BoxRow,
    PictureBoxes,
    as_number,
    as_score,
    as_size_hw,
    bounds_of,
)
from perception.core.errors import RequestError
from perception.io.json_files import read_json

_WITHOUT_AREA = frozenset({"point", "points", "line", "linestrip", "lines", "polyline"})
_NAN = (math.nan,) * 4


def is_labelme(document: object) -> bool:
    """Tell a file of these tools from other JSON."""
    return isinstance(document, dict) and isinstance(document.get("shapes"), list)


def read(path: Path, file_name: str) -> PictureBoxes:
    """Return the boxes of a file; a `fault` in place of an exception.

    Args:
        path: The JSON file.
        file_name: What the picture is called; the file's own word is the other name.
    """
    try:
        document = read_json(path, "boxes.invalid", nan=True)
    except RequestError as error:
        return PictureBoxes(file_name, fault=error.message)
    if not is_labelme(document):
        return PictureBoxes(
            file_name, fault=f"{path}: has no list `shapes`, as LabelMe and X-AnyLabeling write it"
        )
    dropped = Counter[str]()
    objects: dict[tuple[str, str], list[tuple[Box, float]]] = {}
    for number, shape in enumerate(document["shapes"]):
        label = shape.get("label") if isinstance(shape, dict) else None
        if not isinstance(label, str) or not label.strip():
            dropped["row.category"] += 1
            continue
        kind = str(shape.get("shape_type") or "polygon")
        if kind in _WITHOUT_AREA:
            dropped[f"shape.{kind}"] += 1
            continue
        box = _box(kind, shape.get("points"))
        if box is None:
            dropped["row.bbox"] += 1
            continue
        group = shape.get("group_id")
        part = f"shape {number}" if group is None else f"group {group!r}"
        objects.setdefault((label.strip(), part), []).append((box, as_score(shape.get("score"))))
    named = document.get("imagePath")
    return PictureBoxes(
        file_name,
        tuple(_joined(label, parts) for (label, _), parts in objects.items()),
        as_size_hw(document.get("imageHeight"), document.get("imageWidth")),
        tuple(sorted(dropped.items())),
        named if isinstance(named, str) else "",
    )


def _joined(label: str, parts: list[tuple[Box, float]]) -> BoxRow:
    boxes = [box for box, _ in parts]
    x = [side for box in boxes for side in box[0::2]]
    y = [side for box in boxes for side in box[1::2]]
    return BoxRow(label, bounds_of(x, y) or boxes[0], min(score for _, score in parts))


def _box(kind: str, points: Any) -> Box | None:
    """Return the bounds of a shape; None for one that has none."""
    if not isinstance(points, list):
        return None
    pairs = [point for point in points if isinstance(point, list) and len(point) == 2]
    x = [as_number(point[0]) for point in pairs]
    y = [as_number(point[1]) for point in pairs]
    two = kind in {"rectangle", "circle", "mask"}
    if len(pairs) != len(points) or len(pairs) < (2 if two else 3):
        return None
    if kind == "circle":
        radius = math.dist((x[0], y[0]), (x[1], y[1]))
        return (x[0] - radius, y[0] - radius, x[0] + radius, y[0] + radius)
    x0, y0, x1, y1 = bounds_of(x, y) or _NAN
    past = 1 if kind == "mask" else 0
    return (x0, y0, x1 + past, y1 + past)
