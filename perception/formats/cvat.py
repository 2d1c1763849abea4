"""CVAT for images 1.1: one XML file with run-length masks, to edit in CVAT and to read again.

Source: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/ and cvat_sdk.masks.

- `rle` holds row-major run lengths inside the box `left top width height`, the first run zeros.
- Our id, score and status are attributes. CVAT drops attributes that its task does not know, so
  OUT/labels.json goes into the task's label editor ("Raw") first: then ids survive editing.
- What is for review is in the file, too, with `status` review; labels have `status` accepted. A
  person accepts by choosing that, rejects by deleting; what is left as it is stays for review.
- `name` is the path of the picture in the task; pictures are matched by it.
- XML 1.0 cannot hold control characters: a name with one is refused.
- Read with defusedxml: a file from outside may not declare anything of its own.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from xml.etree import ElementTree

import numpy as np
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

from perception import masks as rle
from perception.errors import RequestError
from perception.files import opened, replacing, write_bytes
from perception.formats import (
    LABEL,
    MAX_INDEX_BYTES,
    Objects,
    PictureObjects,
    Tally,
    fates,
    known_of,
    mask_of_polygons,
    objects_of,
    parse_number,
    pictures_of,
    relative_name,
)
from perception.ontology import Target
from perception.polygons import MAX_SIDE_PX
from perception.types import Bool, ExportSummary, Int32, PictureLabels, SampleLabels, Status

XML, LABELS = "annotations.xml", "labels.json"
ATTRIBUTES = ("instance_id", "score", "status", "reasons")
ACCEPTED, REVIEW = (status.name.lower() for status in (Status.ACCEPTED, Status.REVIEW))
CHOICES = {"status": (ACCEPTED, REVIEW)}  # the first is what a new shape gets
WITHOUT_AREA = ("polyline", "points", "skeleton", "cuboid", "ellipse", "tag")
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(
    samples: Iterable[SampleLabels], out: Path, target: Target, *, statuses: frozenset[Status]
) -> ExportSummary:
    """Write OUT/annotations.xml and OUT/labels.json; pictures stream.

    Args:
        samples: Labels; images are numbered from 0 in their order.
        out: The folder.
        target: Class names to write.
        statuses: Instances with these are labels. Others for review are written as ignored, and the
            rest is left out.

    Raises:
        RequestError: `export.name` for a name that XML cannot hold, `export.collision`,
            `path.outside_root`.
    """
    tally = Tally()
    names = [target.names[number] for number in sorted(target.names)]
    write_bytes(out / LABELS, json.dumps(_labels_json(names), indent=1).encode())
    with replacing(out / XML) as stream:
        stream.write(b'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
        stream.write(b"<version>1.1</version>\n" + _bytes(_meta(names)))
        for number, (_, picture, owner) in enumerate(pictures_of(samples, tally)):
            stream.write(_bytes(_image(picture, number, owner, target, statuses, tally)))
        stream.write(b"</annotations>\n")
    return tally.summary()


def _labels_json(names: list[str]) -> list[dict[str, Any]]:
    own = [
        {
            "name": name,
            "input_type": "select" if name in CHOICES else "text",
            "mutable": False,
            "values": list(CHOICES.get(name, ("",))),
        }
        for name in ATTRIBUTES
    ]
    return [{"name": name, "type": "any", "attributes": own} for name in names]


def _bytes(element: ElementTree.Element) -> bytes:
    return ElementTree.tostring(element, encoding="unicode").encode() + b"\n"


def _add(parent: ElementTree.Element, tag: str, text: str = "") -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag)
    element.text = text
    return element


def _meta(names: list[str]) -> ElementTree.Element:
    meta = ElementTree.Element("meta")
    labels = _add(_add(meta, "task"), "labels")
    for name in names:
        label = _add(labels, "label")
        _add(label, "name", _xml_text(name, "class"))
        _add(label, "type", "any")
        attributes = _add(label, "attributes")
        for own in ATTRIBUTES:
            attribute = _add(attributes, "attribute")
            for tag, text in (
                ("name", own),
                ("mutable", "False"),
                ("input_type", "select" if own in CHOICES else "text"),
                ("default_value", CHOICES.get(own, ("",))[0]),
                ("values", "\n".join(CHOICES.get(own, ("",)))),
            ):
                _add(attribute, tag, text)
    return meta


def _image(
    picture: PictureLabels,
    number: int,
    owner: str,
    target: Target,
    statuses: frozenset[Status],
    tally: Tally,
) -> ElementTree.Element:
    height, width = picture.size_hw
    image = ElementTree.Element(
        "image",
        {
            "id": str(number),
            "name": _xml_text(picture.file_name, owner),
            "width": str(width),
            "height": str(height),
        },
    )
    instances = picture.instances
    for row, fate in fates(instances, target, statuses):
        if fate not in (LABEL, REVIEW):
            tally.left_out[fate] += 1
            continue
        tally.labels += fate == LABEL
        tally.ignored += fate == REVIEW
        x0, y0, x1, y1 = (int(side) for side in instances.masks.boxes_xyxy[row])
        crop = rle.decode_crop(instances.masks, row)
        values = {
            "label": target.names[target.ids[int(instances.class_ids[row])]],
            "source": "manual" if instances.by_human[row] else "auto",
            "occluded": "0",
            "rle": ", ".join(map(str, _runs(crop))),
            "left": str(x0),
            "top": str(y0),
            "width": str(x1 - x0),
            "height": str(y1 - y0),
            "z_order": "0",
        }
        mask = ElementTree.SubElement(image, "mask", values)
        known = known_of(instances, row)
        known["reasons"] = " ".join(known["reasons"])
        known["status"] = ACCEPTED if fate == LABEL else REVIEW
        for name in ATTRIBUTES:
            text = "" if known[name] is None else str(known[name])
            _add(mask, "attribute", _xml_text(text, owner)).set("name", name)
    return image


def _xml_text(text: str, owner: str) -> str:
    bad = _NOT_XML.search(text)
    if bad:
        raise RequestError(
            "export.name",
            f"{owner}: {text!r} has the character {bad[0]!r}, which XML cannot hold; rename it",
        )
    return text


def _runs(crop: Bool) -> list[int]:
    flat = crop.ravel()
    bounds = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], bounds, [flat.size]])).tolist()
    return [0, *runs] if flat[0] else runs


def read(path: Path) -> Iterator[PictureObjects]:
    """Yield the pictures of a CVAT file from outside: `annotations.xml`, or the folder it is in.

    Masks, polygons and boxes become masks; shapes without an area are counted. Shapes that people
    added have instance id 0. What still has `status` review is ignored.

    Raises:
        RequestError: `xml.unsafe` for a file that declares types or entities; `cvat.invalid`;
            `rle.invalid`; `polygon.invalid`; `path.outside_root`; `cvat.video` for tracks.
        SampleError: `io.not_found`, `io.denied`.
    """
    file = path / XML if path.is_dir() else path
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
                if event == "end" and element.tag == "track":
                    raise RequestError(
                        "cvat.video",
                        f"{file}: holds tracks; export the task as `CVAT for images 1.1`",
                    )
                if event == "end" and element.tag == "image":
                    yield _picture(element, file)
                    root.clear()
        except DefusedXmlException as error:
            raise RequestError(
                "xml.unsafe", f"{file}: declares {error}; remove the declaration"
            ) from error
        except ParseError as error:
            raise RequestError("cvat.invalid", f"{file}: is no XML: {error}") from error


def _invalid(where: str, message: str) -> NoReturn:
    raise RequestError("cvat.invalid", f"{where}: {message}")


def _picture(image: ElementTree.Element, file: Path) -> PictureObjects:
    name = image.get("name", "")
    where = f"{file}: image {name!r}"
    relative_name(name, where)
    size_hw = (_whole(image, "height", where), _whole(image, "width", where))
    if not all(1 <= side <= MAX_SIDE_PX for side in size_hw) or np.prod(size_hw) > rle.MAX_PIXELS:
        _invalid(where, f"is {size_hw}, expected at most {rle.MAX_PIXELS} pixels")
    rows, skipped = [], Counter[str]()
    for number, shape in enumerate(image):
        at = f"{where}: shape {number} ({shape.tag})"
        if shape.tag in WITHOUT_AREA:
            skipped[shape.tag] += 1
            continue
        own = {child.get("name"): child.text or "" for child in shape.iter("attribute")}
        rows.append(
            (
                _instance_id(own.get("instance_id", ""), at),
                shape.get("label", ""),
                parse_number(own.get("score", "")),
                own.get("status", "").strip().lower() == REVIEW,
                _mask(shape, size_hw, at),
            )
        )
    objects: Objects = objects_of(rows, size_hw)
    return PictureObjects(name, size_hw, objects, tuple(sorted(skipped.items())))


def _whole(element: ElementTree.Element, key: str, where: str) -> int:
    text = element.get(key, "")
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        _invalid(where, f"{key} is {text[:40]!r}, expected a whole number")
    return int(text)


def _instance_id(text: str, where: str) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"\d{1,10}", text, re.ASCII) or int(text) > np.iinfo(np.int32).max:
        _invalid(where, f"instance_id is {text[:40]!r}, expected a whole number")
    return int(text)


def _mask(shape: ElementTree.Element, size_hw: tuple[int, int], where: str) -> tuple[Int32, bytes]:
    if shape.tag == "mask":
        return _run_length_mask(shape, size_hw, where)
    if shape.tag == "polygon":
        pairs = shape.get("points", "").split(";")
        flat = [parse_number(word) for pair in pairs for word in pair.split(",")]
    elif shape.tag == "box":
        left, top, right, bottom = (
            parse_number(shape.get(key, "")) for key in ("xtl", "ytl", "xbr", "ybr")
        )
        flat = [left, top, right, top, right, bottom, left, bottom]
    else:
        _invalid(where, "expected mask, polygon or box")
    mask = mask_of_polygons([flat], size_hw, where)
    return mask.boxes_xyxy[0], mask.counts[0]


def _run_length_mask(
    shape: ElementTree.Element, size_hw: tuple[int, int], where: str
) -> tuple[Int32, bytes]:
    left, top, width, height = (
        _whole(shape, key, where) for key in ("left", "top", "width", "height")
    )
    if left + width > size_hw[1] or top + height > size_hw[0]:
        raise RequestError(
            "rle.invalid",
            f"{where}: box {left, top, left + width, top + height} leaves the "
            f"{size_hw[1]} x {size_hw[0]} picture",
        )
    words = shape.get("rle", "").split(",")
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
