"""LabelMe and X-AnyLabeling: a JSON file for each picture. Of others' files only boxes are read.

Source: github.com/wkentaro/labelme (label_file.py, shape.py, examples/instance_segmentation/
labelme2coco.py); github.com/CVHub520/X-AnyLabeling (docs/en/user_guide.md).

- Coordinates are pixels, (0, 0) the corner of the picture. A rectangle has two corners in any
  order, with X-AnyLabeling also four; a circle its centre and a point on it. What has an area is
  read as its bounds; points and lines are counted as `shape.NAME`.
- A shape of type `mask` has the first and the last pixel as corners.
- Shapes of one label and one `group_id` are parts of one object, as labelme2coco has it.
- `imageData` may hold the picture itself, and is not looked at.

What is written lies beside the picture, a link, so that the tools open the folder OUT/images; the
card of an export, JSON too, is not among it:

- A label is one polygon, which both tools let people edit; its `group_id` is our id. A mask of one
  part comes back whole; holes and parts lose the pixels of the bridges that join them.
- What is no label is left out and counted: a shape is a label to whoever trains on it.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from perception.core import masks as rle
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
from perception.core.ontology import Target
from perception.core.polygons import fill_ring, polygon_fault, ring_around
from perception.core.types import ExportSummary, Int32, PictureLabels, SampleLabels, Status
from perception.formats import (
    LABEL,
    PLAIN,
    Objects,
    Outputs,
    Stems,
    Tally,
    fates,
    link_to,
    number_or_none,
    objects_of,
    pictures_of,
)
from perception.io.files import write_bytes
from perception.io.json_files import read_json, read_object
from perception.io.pictures import Pictures
from perception.io.png import encode_png

FOLDER = PurePosixPath("images")
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


def write(
    samples: Iterable[SampleLabels],
    out: Path,
    target: Target,
    *,
    statuses: frozenset[Status],
    pictures: Pictures,
    stems: Stems = PLAIN,
) -> ExportSummary:
    """Write OUT/images/<name>.json for every picture, and beside it a link to the picture.

    Where tools might see another picture than was labelled, a PNG of that is in the link's place.

    Args:
        samples: Labels.
        out: The folder.
        target: Class names to write.
        statuses: Instances with these are labels.
        pictures: Where they are.
        stems: Names of all pictures.

    Raises:
        RequestError: `io.not_found` for a missing picture, `export.collision`,
            `path.outside_root`; see `Pictures.pixels`.
    """
    tally, outputs = Tally(), Outputs(out)
    for _, picture, owner in pictures_of(samples, tally):
        stem = FOLDER / stems(picture.file_name, owner)
        as_labelled = pictures.file_is_as_labelled(picture, owner)
        ending = PurePosixPath(picture.file_name).suffix if as_labelled else ".png"
        image = stem.with_name(stem.name + ending)
        place = outputs.claim(image, owner)
        if as_labelled:
            link_to(place, pictures.place(picture, owner), owner)
        else:
            write_bytes(place, encode_png(pictures.pixels(picture, owner)))
        document: dict[str, Any] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": _shapes(picture, target, statuses, tally),
            "imagePath": image.name,
            "imageData": None,
            "imageHeight": picture.size_hw[0],
            "imageWidth": picture.size_hw[1],
        }
        text = json.dumps(document, indent=1)
        write_bytes(outputs.claim(stem.with_name(f"{stem.name}.json"), owner), text.encode())
    return tally.summary()


def _shapes(
    picture: PictureLabels, target: Target, statuses: frozenset[Status], tally: Tally
) -> list[dict[str, Any]]:
    instances, shapes = picture.instances, list[dict[str, Any]]()
    for row, fate in fates(instances, target, statuses):
        if fate != LABEL:
            tally.left_out[fate] += 1
            continue
        corner = instances.masks.boxes_xyxy[row, :2]
        ring = ring_around(rle.decode_crop(instances.masks, row)) + corner
        shapes.append(
            {
                "label": target.names[target.ids[int(instances.class_ids[row])]],
                "score": number_or_none(instances.scores[row]),
                "points": ring.round(3).tolist(),
                "group_id": int(instances.instance_ids[row]),
                "description": "",
                "shape_type": "polygon",
                "flags": {},
            }
        )
    tally.labels += len(shapes)
    return shapes


def read_written(out: Path, file_name: str, stems: Stems = PLAIN) -> Objects:
    """Read a picture's labels as `write` writes them, polygons filled as the tools do.

    Raises:
        RequestError: `labelme.invalid`, `path.outside_root`.
        SampleError: `io.not_found`, `io.denied`, `label.invalid`.
    """
    stem = FOLDER / stems(file_name, str(out))
    path = out / stem.with_name(f"{stem.name}.json")
    document = read_object(path, "labelme.invalid")
    try:
        size_hw = int(document["imageHeight"]), int(document["imageWidth"])
        return objects_of((_row(shape, size_hw) for shape in document["shapes"]), size_hw)
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(
            "labelme.invalid", f"{path}: {error!r}; expected shapes as `perception export` writes"
        ) from error


def _row(
    shape: dict[str, Any], size_hw: tuple[int, int]
) -> tuple[int, str, float, bool, tuple[Int32, bytes]]:
    """Return a row of `Objects`."""
    ring = np.array(shape["points"], np.float64).reshape(-1, 2)
    if fault := polygon_fault(ring.ravel().tolist(), size_hw):
        raise ValueError(f"a polygon {fault}")
    score = np.nan if shape["score"] is None else float(shape["score"])
    mask = rle.encode_one(*fill_ring(ring, size_hw))
    return int(shape["group_id"]), str(shape["label"]), score, False, mask
