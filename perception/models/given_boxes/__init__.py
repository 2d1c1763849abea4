"""Boxes that a person already has, in place of a detector: KITTI and YOLO txt, JSON and XML.

One file per kind of source; here is what chooses between them. Each is a detector that says in
`notices`, one sentence each, how it was understood: `resolve` shows them before any work.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from perception.core.errors import RequestError
from perception.core.types import SampleRef
from perception.models.given_boxes.classes import class_map_for, fit
from perception.models.given_boxes.documents import SUFFIXES, open_document, open_folder
from perception.models.given_boxes.kitti_folder import LABEL_2, KittiBoxes
from perception.models.given_boxes.kitti_tracking import LABEL_02, TrackingBoxes
from perception.models.given_boxes.matched import MatchedBoxes
from perception.models.given_boxes.txt_folder import open_txt_folder
from perception.models.given_boxes.yolo_folder import YoloBoxes
from perception.readers.layout import Layout

__all__ = [
    "OWN_FOLDERS",
    "GivenBoxes",
    "KittiBoxes",
    "MatchedBoxes",
    "TrackingBoxes",
    "YoloBoxes",
    "check_boxes",
    "class_map_for",
    "digest",
    "fit",
    "open_boxes",
]

GivenBoxes = KittiBoxes | TrackingBoxes | YoloBoxes | MatchedBoxes
OWN_FOLDERS = (LABEL_2, LABEL_02)  # the dataset's own labels, beside its pictures


def open_boxes(text: str, layout: Layout, root: Path, file_names: Sequence[str] = ()) -> GivenBoxes:
    """Open what `--boxes` names.

    Args:
        text: "label_2", of KITTI tracking "label_02"; a COCO, LabelMe, Pascal VOC or CVAT file; or
            a folder of KITTI or YOLO txt, LabelMe or Pascal VOC files.
        layout: What is true of the source.
        root: Of the source.
        file_names: Of the planned pictures, relative to the root.

    Raises:
        RequestError: `boxes.invalid`, `io.not_found`.
    """
    path = Path(text)
    if text in OWN_FOLDERS:
        if layout.own_boxes == LABEL_2:
            return KittiBoxes(root, None, file_names=file_names)
        if layout.own_boxes == LABEL_02:
            return TrackingBoxes(root, file_names)
        raise RequestError(
            "boxes.invalid",
            f"--boxes {text} goes with kitti:ROOT or kitti-tracking:ROOT; the source is of layout "
            f"{layout.name}",
        )
    if path.is_dir():
        opened = open_folder(path.resolve(), file_names)
        if opened is not None:
            return opened
        return open_txt_folder(path.resolve(), root, file_names, by_frame=layout.frame_numbers)
    if path.suffix.lower() in SUFFIXES:
        if not path.is_file():
            raise RequestError("io.not_found", f"--boxes {path}: no such file")
        return open_document(path.resolve(), file_names)
    raise RequestError(
        "boxes.invalid",
        f"--boxes {text}: expected label_2, a .json (COCO, LabelMe) or .xml (CVAT, Pascal VOC) "
        "file, or a folder of KITTI or YOLO .txt, LabelMe .json or Pascal VOC .xml files",
    )


def check_boxes(boxes: GivenBoxes, refs: tuple[SampleRef, ...]) -> tuple[str, ...]:
    """Refuse a box file or folder that has none of the planned images.

    Returns:
        Notices: how many images have no file, which for YOLO means no object.

    Raises:
        RequestError: `boxes.invalid`.
    """
    if isinstance(boxes, MatchedBoxes):
        boxes.check()
        return ()
    places = [boxes.label_file(picture.file_name) for ref in refs for picture in ref.pictures]
    missing = sum(not path.is_file() for path in places)
    if missing and missing == len(places):
        raise RequestError(
            "boxes.invalid", f"no image has a box file; the first was looked for at {places[0]}"
        )
    if missing and isinstance(boxes, YoloBoxes):
        return (f"boxes: {missing} of {len(places)} pictures have no file, which means no object",)
    return ()


def digest(text: str, root: Path, names_files: Sequence[Path] = ()) -> str:
    """Return the sha256 of all that `--boxes` names: relative paths and bytes.

    Args:
        text: What `--boxes` says.
        root: Of the source.
        names_files: Beside the folder: what its class numbers mean.
    """
    path = Path(text)
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    total = hashlib.sha256()
    if text in OWN_FOLDERS:
        places = (f"{above}{name}/*.txt" for above in ("", "*/") for name in OWN_FOLDERS)
        base, found = root, [file for place in places for file in root.glob(place)]
    else:
        base, found = path, list(path.rglob("*.txt"))
    for file in names_files:
        total.update(file.read_bytes() + b"\0")
    for file in sorted(found):
        total.update(os.fsencode(file.relative_to(base)) + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()
