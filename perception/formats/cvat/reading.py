"""Read CVAT for images 1.1; see the package for the format's traps."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree

import numpy as np
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

from perception.core import masks as rle
from perception.core.errors import RequestError
from perception.core.polygons import MAX_SIDE_PX
from perception.core.shapes import (
    BOX,
    ELLIPSE,
    MASK,
    POLYGON,
    Bounds,
    EditedFile,
    EditedPicture,
    Ring,
    Shape,
    bounds_of,
    box_ring,
    ellipse_ring,
    fill,
)
from perception.core.types import Int32
from perception.formats import (
    MAX_INDEX_BYTES,
    PictureObjects,
    objects_of,
    parse_number,
    relative_name,
)
from perception.formats.cvat.writing import REVIEW, XML
from perception.io.files import opened

_WITH_AREA = (MASK, POLYGON, BOX, ELLIPSE)


def read(path: Path) -> Iterator[PictureObjects]:
    """Yield the pictures of a CVAT file from outside: `annotations.xml`, or the folder it is in.

    Masks, polygons, boxes and ellipses become masks; shapes without an area are counted. Shapes
    that people added have instance id 0. What still has `status` review is ignored.

    Raises:
        RequestError: `xml.unsafe` for a file that declares types or entities; `cvat.invalid`;
            `rle.invalid`; `polygon.invalid`; `path.outside_root`; `cvat.video` for tracks.
        SampleError: `io.not_found`, `io.denied`.
    """
    file = _file_of(path)
    for element in _elements(file, ("image", "track")):
        if element.tag == "track":
            raise _video(file)
        name = element.get("name", "")
        where = f"{file}: image {name!r}"
        relative_name(name, where)
        size_hw = (_whole(element, "height", where), _whole(element, "width", where))
        fault = _size_fault(size_hw)
        if fault:
            _invalid(where, fault)
        rows, skipped = [], Counter[str]()
        for number, child in enumerate(element):
            shape = _shape(child, f"{where}: shape {number} ({child.tag})")
            if shape.kind not in _WITH_AREA:
                skipped[shape.kind] += 1
                continue
            score = parse_number(_attributes(child).get("score", ""))
            ignored = shape.status == REVIEW
            rows.append((shape.instance_id, shape.label, score, ignored, fill(shape, size_hw)))
        objects = objects_of(rows, size_hw)
        yield PictureObjects(name, size_hw, objects, tuple(sorted(skipped.items())))


def read_edited(path: Path) -> EditedFile:
    """Read a CVAT file that people edited: `annotations.xml`, or the folder it is in.

    A shape that cannot be used loses no other: it is among the shapes, and says why. Masks and our
    attributes come from our exports to CVAT or COCO, which have what is for review in them.

    Raises:
        RequestError: `xml.unsafe`; `cvat.invalid` for what is no CVAT file; `cvat.video` for a file
            that names no pictures.
        SampleError: `io.not_found`, `io.denied`.
    """
    file = _file_of(path)
    pictures, tracks, names, ours = list[EditedPicture](), list[Shape](), set[str](), False
    for element in _elements(file, ("label", "image", "track")):
        if element.tag == "label":
            names.add((element.findtext("name") or "").strip())
        elif element.tag == "track":
            where = f"{file}: track {element.get('id', '')}"
            fault = "is a track, which names no picture"
            label = element.get("label", "")
            tracks.append(Shape(where, "track", label, code="cvat.video", fault=fault))
        else:
            found = _picture(element, file)
            pictures.append(found)
            ours |= any(
                shape.kind == MASK or shape.instance_id or shape.status for shape in found.shapes
            )
    if tracks and not pictures:
        raise _video(file)
    names |= {shape.label for picture in pictures for shape in picture.shapes}
    return EditedFile(tuple(pictures), frozenset(names), tuple(tracks), shows_review=ours)


def _file_of(path: Path) -> Path:
    return path / XML if path.is_dir() else path


def _video(file: Path) -> RequestError:
    return RequestError(
        "cvat.video", f"{file}: holds tracks; export the task as `CVAT for images 1.1`"
    )


def _elements(file: Path, tags: tuple[str, ...]) -> Iterator[ElementTree.Element]:
    """Yield the elements with some tags as they end; memory holds one picture."""
    with opened(file) as stream:
        size = file.stat().st_size
        if size > MAX_INDEX_BYTES:
            _invalid(str(file), f"{size} bytes, expected at most {MAX_INDEX_BYTES}")
        try:
            root = None
            for event, element in iterparse(stream, events=("start", "end"), forbid_dtd=True):
                if root is None:
                    root = element
                    if element.tag != "annotations":
                        _invalid(str(file), f"starts with <{element.tag}>, expected <annotations>")
                if event == "end" and element.tag in tags:
                    yield element
                    if element.tag in ("image", "track"):
                        root.clear()
        except DefusedXmlException as error:
            raise RequestError(
                "xml.unsafe", f"{file}: declares {error}; remove the declaration"
            ) from error
        except ParseError as error:
            raise RequestError("cvat.invalid", f"{file}: is no XML: {error}") from error


def _invalid(where: str, message: str) -> NoReturn:
    raise RequestError("cvat.invalid", f"{where}: {message}")


def _whole(element: ElementTree.Element, key: str, where: str) -> int:
    text = element.get(key, "")
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        _invalid(where, f"{key} is {text[:40]!r}, expected a whole number")
    return int(text)


def _size_fault(size_hw: tuple[int, int]) -> str:
    if all(1 <= side <= MAX_SIDE_PX for side in size_hw) and np.prod(size_hw) <= rle.MAX_PIXELS:
        return ""
    return f"is {size_hw}, expected at most {rle.MAX_PIXELS} pixels"


def _picture(image: ElementTree.Element, file: Path) -> EditedPicture:
    name = image.get("name", "")
    where = f"{file}: image {name!r}"
    size_hw: tuple[int, int] | None
    try:
        size_hw = (_whole(image, "height", where), _whole(image, "width", where))
    except RequestError:  # some tools leave it out: the run knows the size
        size_hw = None
    shapes = (
        _shape(child, f"{where}: shape {number} ({child.tag})")
        for number, child in enumerate(image)
    )
    return EditedPicture((name,), size_hw, tuple(shapes))


def _attributes(element: ElementTree.Element) -> dict[str | None, str]:
    return {child.get("name"): child.text or "" for child in element.iter("attribute")}


def _shape(element: ElementTree.Element, where: str) -> Shape:
    """Understand one shape; raise nothing."""
    own = _attributes(element)
    kind = str(element.tag)
    instance_id, rings, code, fault = 0, tuple[Ring, ...](), "", ""
    runs: tuple[Int32, bytes] | None = None
    try:
        instance_id = _instance_id(own.get("instance_id", ""), where)
        if element.get("outside") == "1":
            kind = "outside"
        if kind == MASK:
            runs = _runs(element, where)
        elif kind in _WITH_AREA:
            rings = (_ring(element, where),)
        else:
            code, fault = "cvat.invalid", "has no area that could be a mask"
    except RequestError as error:
        code, fault = error.code, error.message.removeprefix(f"{where}: ")
    return Shape(
        where=where,
        kind=kind,
        label=element.get("label", ""),
        instance_id=instance_id,
        status=own.get("status", "").strip().lower(),
        rings=rings,
        runs=runs,
        bounds=_bounds(element),
        code=code,
        fault=fault,
    )


def _instance_id(text: str, where: str) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"\d{1,10}", text, re.ASCII) or int(text) > np.iinfo(np.int32).max:
        _invalid(where, f"instance_id is {text[:40]!r}, expected a whole number")
    return int(text)


def _numbers(element: ElementTree.Element, *keys: str) -> tuple[float, ...]:
    """Return numbers of an element, NaN for what is none."""
    return tuple(parse_number(element.get(key, "")) for key in keys)


def _ring(element: ElementTree.Element, where: str) -> Ring:
    if element.tag == POLYGON:
        return _points(element)
    turned = parse_number(element.get("rotation", "0"))
    if not np.isfinite(turned):
        _invalid(where, f"rotation is {element.get('rotation')!r}, expected degrees")
    if element.tag == BOX:
        x0, y0, x1, y1 = _numbers(element, "xtl", "ytl", "xbr", "ybr")
        return box_ring((x0, y0, x1, y1), turned)
    cx, cy, rx, ry = _numbers(element, "cx", "cy", "rx", "ry")
    if not (rx > 0 and ry > 0):
        _invalid(where, f"rx and ry are {rx:g} and {ry:g}, expected an ellipse with an area")
    return ellipse_ring((cx, cy), (rx, ry), turned)


def _points(element: ElementTree.Element) -> Ring:
    pairs = element.get("points", "").split(";")
    return tuple(parse_number(word) for pair in pairs for word in pair.split(","))


def _bounds(element: ElementTree.Element) -> Bounds | None:
    """Return where a shape lies, usable or not; None where it does not say."""
    if element.tag == MASK:
        left, top, width, height = _numbers(element, "left", "top", "width", "height")
        return bounds_of(((left, top, left + width, top + height),))
    if element.tag == BOX:
        return bounds_of((_numbers(element, "xtl", "ytl", "xbr", "ybr"),))
    if element.tag == ELLIPSE:
        cx, cy, rx, ry = _numbers(element, "cx", "cy", "rx", "ry")
        return bounds_of(((cx - rx, cy - ry, cx + rx, cy + ry),))
    if element.tag == "cuboid":
        x, y = (
            _numbers(element, *(key for key in element.attrib if re.fullmatch(pattern, key)))
            for pattern in (r"x[bt][lr][12]", r"y[bt][lr][12]")
        )
        return bounds_of((tuple(value for pair in zip(x, y, strict=False) for value in pair),))
    return bounds_of(tuple(_points(part) for part in element.iter() if part.get("points")))


def _runs(element: ElementTree.Element, where: str) -> tuple[Int32, bytes]:
    left, top, width, height = (
        _whole(element, key, where) for key in ("left", "top", "width", "height")
    )
    if max(left + width, top + height) > MAX_SIDE_PX or width * height > rle.MAX_PIXELS:
        raise RequestError("rle.invalid", f"{where}: {width} x {height} pixels are no mask")
    words = element.get("rle", "").split(",")
    if not all(re.fullmatch(r"\s*\d{1,9}\s*", word, re.ASCII) for word in words):
        raise RequestError("rle.invalid", f"{where}: rle is no list of whole numbers")
    runs = np.array([int(word) for word in words], np.int64)
    if runs.sum() != width * height:
        raise RequestError(
            "rle.invalid",
            f"{where}: runs sum to {runs.sum()}, expected {width} x {height} = {width * height}",
        )
    bitmap = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return rle.encode_one(bitmap, (left, top))
