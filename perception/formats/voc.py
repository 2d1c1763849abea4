"""Pascal VOC: an XML file for each picture. Only boxes are read.

Source: the development kit of VOC2012 (host.robots.ox.ac.uk/pascal/VOC/voc2012, devkit_doc.pdf);
detectron2/data/datasets/pascal_voc.py for what its numbers mean.

- `bndbox` counts pixels from 1 and includes the last one: [1, width] is the whole picture, which is
  [0, width) here: `from_one`. Converters often write corners from 0, which `counts_from_zero` tells
  by a box that begins at 0. labelImg writes corners, too, but 1 for 0: its boxes are then read a
  pixel larger to the left and to the top.
- Boxes that are turned (`robndbox`: cx cy w h angle, of labelImg2 and roLabelImg) and polygons
  (`polygon`: x1 y1 x2 y2 ..., of Roboflow) are read as their bounds.
- `part`, `pose`, `difficult`, `truncated` are of no matter.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from perception.core.box_rows import (
    Box,
    BoxRow,
    PictureBoxes,
    as_number,
    as_score,
    as_size_hw,
    bounds_of,
)
from perception.core.errors import SampleError
from perception.formats import MAX_TEXT_BYTES, read_bytes

_SIDES = ("xmin", "ymin", "xmax", "ymax")


def read(path: Path, file_name: str) -> PictureBoxes:
    """Return the boxes of a file as it writes them; a `fault` in place of an exception.

    Args:
        path: The XML file.
        file_name: What the picture is called; the file's own word is the other name.
    """
    try:
        root = fromstring(read_bytes(path, MAX_TEXT_BYTES), forbid_dtd=True)
    except DefusedXmlException as error:
        return PictureBoxes(file_name, fault=f"{path}: declares {error}; remove the declaration")
    except (ParseError, ValueError, LookupError, SampleError) as error:
        return PictureBoxes(file_name, fault=f"{path}: is no XML: {error}")
    if root.tag != "annotation":
        return PictureBoxes(
            file_name, fault=f"{path}: starts with <{root.tag}>, expected Pascal VOC's <annotation>"
        )
    rows, dropped = list[BoxRow](), Counter[str]()
    for thing in root.findall("object"):
        name, box = (thing.findtext("name") or "").strip(), _box(thing)
        if not name:
            dropped["row.category"] += 1
        elif box is None:
            dropped["row.bbox"] += 1
        else:
            rows.append(BoxRow(name, box, as_score(thing.findtext("confidence"))))
    return PictureBoxes(
        file_name,
        tuple(rows),
        as_size_hw(root.findtext("size/height"), root.findtext("size/width")),
        tuple(sorted(dropped.items())),
        (root.findtext("filename") or "").strip(),
    )


def counts_from_zero(pictures: Iterable[PictureBoxes]) -> bool:
    """Tell whether a box begins before pixel 1: then none is counted from 1."""
    return any(min(row.box_xyxy[:2]) < 1 for picture in pictures for row in picture.rows)


def from_one(picture: PictureBoxes) -> PictureBoxes:
    """Turn boxes that count pixels from 1 and include the last one into half-open ones."""
    rows = [
        row._replace(box_xyxy=(row.box_xyxy[0] - 1, row.box_xyxy[1] - 1, *row.box_xyxy[2:]))
        for row in picture.rows
    ]
    return replace(picture, rows=tuple(rows))


def _box(thing: ElementTree.Element) -> Box | None:
    upright, turned, polygon = (thing.find(tag) for tag in ("bndbox", "robndbox", "polygon"))
    if upright is not None and all(upright.find(side) is not None for side in _SIDES):
        x0, y0, x1, y1 = (as_number(upright.findtext(side)) for side in _SIDES)
        return (x0, y0, x1, y1)
    if turned is not None:
        cx, cy, width, height, angle = (
            as_number(turned.findtext(key)) for key in ("cx", "cy", "w", "h", "angle")
        )
        if not math.isfinite(angle):
            return None
        cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
        dx, dy = (width * cos + height * sin) / 2, (width * sin + height * cos) / 2
        return (cx - dx, cy - dy, cx + dx, cy + dy)
    if polygon is not None:
        words = {child.tag: as_number(child.text) for child in polygon}
        return bounds_of(
            [value for tag, value in words.items() if tag.startswith("x")],
            [value for tag, value in words.items() if tag.startswith("y")],
        )
    return None
