"""Boxes in JSON and XML: what kind of file it is, is told by what it holds.

COCO, COCO results lists and CVAT are one file about many pictures; Pascal VOC, LabelMe and
X-AnyLabeling have a file for each picture, in a folder.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

from perception.core.box_rows import BoxFile, PictureBoxes
from perception.core.errors import RequestError
from perception.core.names import match_names, stem_of
from perception.formats import coco_boxes, cvat_boxes, labelme, voc
from perception.io.files import opened
from perception.io.json_files import read_json
from perception.models.given_boxes.matched import MatchedBoxes

SUFFIXES = (".json", ".xml")
_READERS = {".json": labelme.read, ".xml": voc.read}
_OTHER_TOOLS = {  # keys that their JSON has together
    ("_via_img_metadata",): "VGG Image Annotator",
    ("filename", "regions"): "VGG Image Annotator",
    ("data", "annotations"): "Label Studio",
    ("data", "completions"): "Label Studio",
    ("image", "annotations"): "CreateML",
    ("name", "labels"): "BDD100K",
    ("frames",): "BDD100K",
    ("openlabel",): "OpenLABEL",
    ("data_row", "projects"): "Labelbox",
    ("items", "categories"): "Datumaro",
}


def open_document(path: Path, planned: Sequence[str]) -> MatchedBoxes:
    """Open a JSON or XML file with boxes.

    Args:
        path: The file.
        planned: Names of the pictures to be labelled.

    Raises:
        RequestError: `boxes.invalid` for a file of another kind; as the readers of its kind.
    """
    suffix = path.suffix.lower()
    if suffix == ".xml":
        tag = _root_tag(path)
        if tag == "annotation":
            return _open_files(path, [path], planned)
        if tag == "annotations":
            return MatchedBoxes(path, cvat_boxes.read(path), planned, [path])
        raise RequestError(
            "boxes.invalid",
            f"{path}: starts with <{tag}>, expected Pascal VOC's <annotation> or CVAT's "
            "<annotations>",
        )
    document = _load(path)
    if labelme.is_labelme(document):
        return _open_files(path, [path], planned)
    return MatchedBoxes(path, _coco(document, path), planned, [path])


def open_folder(folder: Path, planned: Sequence[str]) -> MatchedBoxes | None:
    """Open a folder of JSON or XML files; None if its .txt files are what it is about.

    Args:
        folder: Searched to its depth.
        planned: Names of the pictures to be labelled: files with their names decide what kind of
            folder it is.

    Raises:
        RequestError: `boxes.invalid` for a folder with two kinds of files for the same pictures; as
            `open_document`.
    """
    files: dict[str, list[Path]] = {".txt": [], **{suffix: [] for suffix in SUFFIXES}}
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            files.get(Path(name).suffix.lower(), []).append(Path(place, name))
    stems = {stem_of(name) for name in planned}
    hits = {kind: [one for one in found if stem_of(one.name) in stems]
            for kind, found in files.items()}  # fmt: skip
    named = [kind for kind, found in hits.items() if found and _holds_boxes(found[0])]
    if len(named) > 1:
        raise RequestError(
            "boxes.invalid",
            f"{folder}: holds {' and '.join(named)} files named as pictures; give a folder with "
            "one kind of them",
        )
    kind = named[0] if named else max(files, key=lambda one: len(files[one]))
    if kind == ".txt":
        return None
    if len(files[kind]) == 1 and not named:  # a COCO or CVAT export, unpacked
        return open_document(files[kind][0], planned)
    return _open_files(folder, files[kind], planned)


def _holds_boxes(path: Path) -> bool:
    """Tell a file with boxes from others of its suffix, as what cameras and other tools leave."""
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return True
    try:
        return (
            labelme.is_labelme(_load(path))
            if suffix == ".json"
            else _root_tag(path) == "annotation"
        )
    except RequestError:
        return True  # broken: said when it is read


def _open_files(base: Path, files: Sequence[Path], planned: Sequence[str]) -> MatchedBoxes:
    """Open files that each are about one picture.

    A file's name leads. What it says itself is asked only where no file is named as a picture is.
    """
    folder = base if base.is_dir() else base.parent
    name_of = {file: file.relative_to(folder).with_suffix("").as_posix() for file in files}
    matched = match_names(planned, list(name_of.values()), by_stem=True).theirs_of.values()
    asked = set(matched) or set(name_of.values())
    used = [file for file in files if name_of[file] in asked]
    pictures = [_READERS[file.suffix.lower()](file, name_of[file]) for file in used]
    notices: tuple[str, ...] = ()
    if files and files[0].suffix.lower() == ".xml":
        pictures, notices = _half_open(pictures, base.name)
    others = [PictureBoxes(name) for file, name in name_of.items() if name not in asked]
    content = BoxFile((*pictures, *others), notices=notices, by_stem=True)
    return MatchedBoxes(base, content, planned, used)


def _half_open(
    pictures: list[PictureBoxes], name: str
) -> tuple[list[PictureBoxes], tuple[str, ...]]:
    """Turn boxes of Pascal VOC into half-open ones, and say what their numbers were taken for."""
    if voc.counts_from_zero(pictures):
        return pictures, (
            f"{name}: Pascal VOC, and a box begins at 0: its numbers are taken for corners",
        )
    return [voc.from_one(one) for one in pictures], (
        f"{name}: Pascal VOC: pixels are counted from 1, the last one is inside, as VOC has it",
    )


def _root_tag(path: Path) -> str:
    try:
        with opened(path) as stream:
            for _, element in iterparse(stream, events=("start",), forbid_dtd=True):
                found: ElementTree.Element = element
                return found.tag
    except DefusedXmlException as error:
        raise RequestError(
            "xml.unsafe", f"{path}: declares {error}; remove the declaration"
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        raise RequestError("boxes.invalid", f"{path}: is no XML: {error}") from error
    raise RequestError("boxes.invalid", f"{path}: is empty")


def _load(path: Path) -> Any:
    return read_json(path, "coco.invalid", too_large="coco.too_large", nan=True)


def _coco(document: Any, path: Path) -> BoxFile:
    if not isinstance(document, list | dict):
        raise RequestError(
            "boxes.invalid", f"{path}: holds {type(document).__name__}, expected COCO's lists"
        )
    if isinstance(document, dict) and "images" in document:
        return coco_boxes.read(document, path)
    values = document if isinstance(document, list) else [*document.values()]
    for entry in (document, *values[:1]):
        keys = entry if isinstance(entry, dict) else {}
        for expected, tool in _OTHER_TOOLS.items():
            if all(key in keys for key in expected):
                raise RequestError(
                    "boxes.invalid",
                    f"{path}: looks like {tool}'s own JSON, which is not read; export COCO, Pascal "
                    "VOC or YOLO from there",
                )
    if isinstance(document, list):
        return coco_boxes.read_results(document, path)
    return coco_boxes.read(document, path)
