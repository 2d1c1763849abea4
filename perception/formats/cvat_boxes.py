"""CVAT for images 1.1, for boxes only. `cvat.py` writes these files and reads corrections strictly.

Source: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/

- `<box>`, turned or not, `<polygon>`, `<mask>`, `<ellipse>` and `<cuboid>` are read as their
  bounds; others are counted as `shape.NAME`. `rotation` is in degrees, clockwise, about the centre.
- Shapes with `status` review, as our own export writes it, are no prompts; they are counted.
- Names are paths in the task; they need not lie inside anything.
- A shape that cannot be used is left out and counted; the others stay.
"""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

from perception.core.box_rows import (
    Box,
    BoxFile,
    BoxRow,
    PictureBoxes,
    as_number,
    as_score,
    as_size_hw,
    bounds_of,
    parse_number,
)
from perception.core.errors import RequestError
from perception.formats import MAX_INDEX_BYTES
from perception.io.files import opened

_WITHOUT_AREA = frozenset({"polyline", "points", "skeleton", "tag"})
_CUBOID = tuple(f"{side}{end}" for side in ("tl", "bl", "tr", "br") for end in "12")


def read(path: Path) -> BoxFile:
    """Return the boxes of a file.

    Raises:
        RequestError: `xml.unsafe` for a file that declares types or entities; `cvat.video` for
            tracks; `cvat.invalid` for no XML, and for a file that is too large.
        SampleError: `io.not_found`, `io.denied`.
    """
    return BoxFile(tuple(_pictures(path)))


def _pictures(path: Path) -> Iterator[PictureBoxes]:
    with opened(path) as stream:
        size = path.stat().st_size
        if size > MAX_INDEX_BYTES:
            raise RequestError(
                "cvat.invalid", f"{path}: {size} bytes, expected at most {MAX_INDEX_BYTES}"
            )
        root = None
        try:
            for event, element in iterparse(stream, events=("start", "end"), forbid_dtd=True):
                root = element if root is None else root
                if event == "end" and element.tag == "track":
                    raise RequestError(
                        "cvat.video",
                        f"{path}: holds tracks; export the task as `CVAT for images 1.1`",
                    )
                if event == "end" and element.tag == "image":
                    yield _picture(element, path)
                    root.clear()
        except DefusedXmlException as error:
            raise RequestError(
                "xml.unsafe", f"{path}: declares {error}; remove the declaration"
            ) from error
        except (ParseError, ValueError, LookupError) as error:
            raise RequestError("cvat.invalid", f"{path}: is no XML: {error}") from error


def _picture(image: ElementTree.Element, path: Path) -> PictureBoxes:
    rows, dropped = list[BoxRow](), Counter[str]()
    for shape in image:
        own = {child.get("name"): child.text or "" for child in shape.iter("attribute")}
        if shape.tag in _WITHOUT_AREA:
            dropped[f"shape.{shape.tag}"] += 1
            continue
        label, box = shape.get("label", "").strip(), _box(shape)
        if own.get("status", "").strip().lower() == "review":
            dropped["row.review"] += 1
        elif not label:
            dropped["row.category"] += 1
        elif box is None:
            dropped["row.bbox"] += 1
        else:
            rows.append(BoxRow(label, box, as_score(own.get("score"))))
    name = image.get("name", "")
    size_hw = as_size_hw(image.get("height"), image.get("width"))
    return PictureBoxes(
        name,
        tuple(rows),
        size_hw,
        tuple(sorted(dropped.items())),
        fault="" if name else f"{path}: image {image.get('id')} has no name",
    )


def _box(shape: ElementTree.Element) -> Box | None:
    """Return the bounds of a shape; None for a kind that is not known, or one without points."""

    def number(key: str) -> float:
        return as_number(shape.get(key))

    if shape.tag == "box":
        x0, y0, x1, y1 = (number(key) for key in ("xtl", "ytl", "xbr", "ybr"))
        return _turned(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), _degrees(shape))
    if shape.tag == "mask":
        left, top, width, height = (number(key) for key in ("left", "top", "width", "height"))
        return (left, top, left + width, top + height)
    if shape.tag == "ellipse":
        cx, cy, rx, ry = (number(key) for key in ("cx", "cy", "rx", "ry"))
        turn = math.radians(_degrees(shape))
        dx = math.hypot(rx * math.cos(turn), ry * math.sin(turn))
        dy = math.hypot(rx * math.sin(turn), ry * math.cos(turn))
        return (cx - dx, cy - dy, cx + dx, cy + dy)
    if shape.tag == "cuboid":
        return bounds_of([number(f"x{at}") for at in _CUBOID], [number(f"y{at}") for at in _CUBOID])
    if shape.tag == "polygon":
        pairs = [pair.split(",") for pair in shape.get("points", "").split(";")]
        x = [parse_number(pair[0]) for pair in pairs]
        y = [parse_number(pair[-1]) for pair in pairs]
        return bounds_of(x, y) if len(pairs) >= 3 else None
    return None


def _degrees(shape: ElementTree.Element) -> float:
    degrees = as_number(shape.get("rotation", "0"))
    return degrees if math.isfinite(degrees) else 0.0


def _turned(corners: tuple[tuple[float, float], ...], degrees: float) -> Box | None:
    """Return the bounds of corners that are turned about their centre."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    cx, cy = (sum(corner[axis] for corner in corners) / len(corners) for axis in (0, 1))
    away = [(x - cx, y - cy) for x, y in corners] if degrees else []
    x = [cx + dx * cos - dy * sin for dx, dy in away] or [corner[0] for corner in corners]
    y = [cy + dx * sin + dy * cos for dx, dy in away] or [corner[1] for corner in corners]
    return bounds_of(x, y)
