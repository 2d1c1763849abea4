"""Boxes that a person already has, in place of a detector: KITTI label_2, COCO JSON, YOLO txt.

One file per kind of source; here is what chooses between them. Each is a detector that says in
`notices`, one sentence each, how it was understood: `resolve` shows them before any work.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from perception.errors import RequestError
from perception.formats import yolo
from perception.ontology import ClassMap, Ontology, load_class_map
from perception.prompts.coco_file import CocoBoxes
from perception.prompts.kitti_folder import LABEL_2, KittiBoxes
from perception.prompts.yolo_folder import YoloBoxes, find_data_yaml
from perception.types import SampleRef

__all__ = [
    "LABEL_2",
    "CocoBoxes",
    "GivenBoxes",
    "KittiBoxes",
    "YoloBoxes",
    "check_boxes",
    "class_map_for",
    "digest",
    "open_boxes",
]

GivenBoxes = KittiBoxes | YoloBoxes | CocoBoxes


def open_boxes(text: str, layout: str, root: Path, file_names: Sequence[str] = ()) -> GivenBoxes:
    """Open what `--boxes` names.

    Args:
        text: "label_2", a COCO JSON file, or a folder of KITTI or YOLO txt files.
        layout: Of the source.
        root: Of the source.
        file_names: Of the planned pictures, relative to the root.

    Raises:
        RequestError: `boxes.invalid`, `io.not_found`.
    """
    path = Path(text)
    if text == LABEL_2:
        if layout != "kitti":
            raise RequestError(
                "boxes.invalid", f"--boxes label_2 goes with kitti:ROOT, the source is {layout}"
            )
        return KittiBoxes(root, None)
    if path.is_dir():
        data_yaml = find_data_yaml(path)
        if data_yaml is None:
            return KittiBoxes(root, path.resolve(), parallel=not _by_frame(layout))
        return YoloBoxes(path.resolve(), yolo.read_names(data_yaml))
    if path.suffix == ".json":
        if not path.is_file():
            raise RequestError("io.not_found", f"--boxes {path}: no such file")
        return CocoBoxes(path.resolve(), by_frame=_by_frame(layout))
    raise RequestError(
        "boxes.invalid",
        f"--boxes {text}: expected label_2, a COCO .json, or a folder of KITTI or YOLO .txt files",
    )


def _by_frame(layout: str) -> bool:
    """Tell whether a layout's images have frame numbers of their own, all in one folder."""
    return layout in {"kitti", "kitti-raw"}


def check_boxes(boxes: GivenBoxes, refs: tuple[SampleRef, ...]) -> None:
    """Refuse a box folder that holds a file for none of the planned images.

    For YOLO a missing file means no object: only this tells a wrong folder from an empty street.

    Raises:
        RequestError: `boxes.invalid`.
    """
    if isinstance(boxes, CocoBoxes):
        return
    places = (boxes.label_file(picture.file_name) for ref in refs for picture in ref.pictures)
    tried = next(places, None)
    if tried is not None and not tried.is_file() and not any(path.is_file() for path in places):
        raise RequestError(
            "boxes.invalid", f"no image has a box file; the first was looked for at {tried}"
        )


def digest(text: str, root: Path) -> str:
    """Return the sha256 of all that `--boxes` names: relative paths and bytes."""
    path = Path(text)
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    total = hashlib.sha256()
    if text == LABEL_2:
        base, found = root, [*root.glob("label_2/*.txt"), *root.glob("*/label_2/*.txt")]
    else:
        base, found = path, list(path.rglob("*.txt"))
        data_yaml = find_data_yaml(path)
        if data_yaml is not None:  # its names say what the class numbers mean
            total.update(data_yaml.read_bytes() + b"\0")
    for file in sorted(found):
        total.update(os.fsencode(file.relative_to(base)) + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()


def class_map_for(names: tuple[str, ...], ontology: Ontology) -> ClassMap:
    """Choose a shipped class map that knows all the names of a box file.

    Raises:
        RequestError: `class.unknown` if none does.
    """
    own = {entry.name for entry in ontology.classes}
    if set(names) <= own:
        return ClassMap(
            source=ontology.name, target=ontology.name, map={name: name for name in own}
        )
    for shipped in ("kitti-to-road", "coco80-to-road"):
        candidate = load_class_map(shipped)
        if set(names) <= {*candidate.map, *candidate.ignore}:
            return candidate
    raise RequestError(
        "class.unknown",
        f"no shipped class map knows all of {', '.join(map(repr, names[:8]))}; "
        "write one and pass it with --class-map",
    )
