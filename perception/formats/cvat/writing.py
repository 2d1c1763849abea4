"""Write CVAT for images 1.1; see the package for the format's traps."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from perception.core import masks as rle
from perception.core.errors import RequestError
from perception.core.ontology import Target
from perception.core.types import Bool, ExportSummary, PictureLabels, SampleLabels, Status
from perception.formats import LABEL, Tally, fates, known_of, pictures_of
from perception.io.files import replacing, write_bytes

XML, LABELS = "annotations.xml", "labels.json"
ATTRIBUTES = ("instance_id", "score", "status", "reasons")
ACCEPTED, REVIEW = (status.name.lower() for status in (Status.ACCEPTED, Status.REVIEW))
CHOICES = {"status": (ACCEPTED, REVIEW)}  # the first is what a new shape gets
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
