"""Boxes that a person already has, in place of a detector: KITTI label_2, COCO JSON, YOLO txt."""

import hashlib
import os
from collections import Counter
from pathlib import Path, PurePosixPath

from perception.errors import RequestError, SampleError
from perception.formats import coco, kitti_label, yolo
from perception.ontology import ClassMap, Ontology, load_class_map
from perception.types import Detections, Picture, SampleRef

LABEL_2 = "label_2"  # `--boxes label_2`: the folder beside each image's


class KittiBoxes:
    """Boxes from KITTI label files, one per image.

    Args:
        root: The dataset's root.
        folder: Where the files are; None: in label_2 beside each image's folder.
        parallel: True if `folder` is a tree parallel to the images, as images of one stem may lie
            in two folders; False if it is flat, as KITTI's own are.
    """

    class_names = kitti_label.TYPES

    def __init__(self, root: Path, folder: Path | None, *, parallel: bool = False) -> None:
        """Keep the places."""
        self._root = root
        self._folder = folder
        self._parallel = parallel

    def __call__(self, picture: Picture) -> Detections:
        """Return the boxes of one image; a missing file means unlabelled, not empty."""
        path = self.label_file(picture.file_name)
        if not path.is_file():
            raise SampleError("io.not_found", f"{path}: no such file, expected the image's boxes")
        return kitti_label.detections(kitti_label.read(path))

    def label_file(self, file_name: str) -> Path:
        """Return where the boxes of an image should be."""
        image = PurePosixPath(file_name)
        folder = self._folder or self._root / image.parent.parent / LABEL_2
        return folder / (image.with_suffix(".txt") if self._parallel else f"{image.stem}.txt")


class YoloBoxes:
    """Boxes from YOLO txt files in a tree parallel to the images; no file means no object."""

    def __init__(self, folder: Path, class_names: tuple[str, ...]) -> None:
        """Keep the place and the names of data.yaml."""
        self._folder = folder
        self.class_names = class_names

    def __call__(self, picture: Picture) -> Detections:
        """Return the boxes of one image."""
        path = self.label_file(picture.file_name)
        return yolo.read_boxes(path, picture.size_hw, self.class_names)

    def label_file(self, file_name: str) -> Path:
        """Return where the boxes of an image are, or would be.

        Beside the image's own path, with `images` left out, or with `labels` in its place, as
        ultralytics has it.
        """
        relative = PurePosixPath(file_name).with_suffix(".txt")
        parts = list(relative.parts)
        places = [relative]
        if "images" in parts[:-1]:
            last = len(parts) - 2 - parts[-2::-1].index("images")
            before, after = parts[:last], parts[last + 1 :]
            places += [PurePosixPath(*before, *after), PurePosixPath(*before, "labels", *after)]
        found = [place for place in places if (self._folder / place).is_file()]
        return self._folder / (found or places)[0]


class CocoBoxes:
    """Boxes from a COCO JSON file, matched by `file_name` relative to the source folder.

    Args:
        path: The file.
        by_frame: Match by the frame number alone, as KITTI's people name images: "000114.png".
    """

    def __init__(self, path: Path, *, by_frame: bool = False) -> None:
        """Read the file once."""
        self._path = path
        self._by_frame = by_frame
        pictures = coco.read(path)
        counts = Counter(self._key(entry.file_name) for entry in pictures)
        repeated = [name for name, count in counts.items() if count > 1]
        if repeated:
            raise RequestError(
                "boxes.invalid",
                f"{path}: {len(repeated)} file_name stand in more than one image: {repeated[:5]}; "
                "expected each once",
            )
        self._pictures = {self._key(entry.file_name): entry for entry in pictures}
        first = next(iter(pictures), None)
        self.class_names: tuple[str, ...] = (
            first.annotations.detections.class_names if first else ()
        )

    def __call__(self, picture: Picture) -> Detections:
        """Return the boxes of one image."""
        entry = self._pictures.get(self._key(picture.file_name))
        if entry is None:
            raise SampleError(
                "boxes.missing",
                f"{self._path}: no image has file_name {picture.file_name!r}; file names are "
                "relative to the source folder",
            )
        if entry.size_hw != picture.size_hw:
            raise SampleError(
                "size.mismatch",
                f"{picture.file_name}: the image is {picture.size_hw[1]} x {picture.size_hw[0]}, "
                f"{self._path} says {entry.size_hw[1]} x {entry.size_hw[0]}",
            )
        return entry.annotations.detections[~entry.annotations.iscrowd]  # crowds are regions

    def _key(self, file_name: str) -> str:
        return PurePosixPath(file_name).stem if self._by_frame else file_name


GivenBoxes = KittiBoxes | YoloBoxes | CocoBoxes


def open_boxes(text: str, layout: str, root: Path) -> GivenBoxes:
    """Open what `--boxes` names.

    Args:
        text: "label_2", a COCO JSON file, or a folder of KITTI or YOLO txt files.
        layout: Of the source.
        root: Of the source.

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
        data_yaml = _data_yaml(path)
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


def _data_yaml(folder: Path) -> Path | None:
    """Return the data.yaml of a YOLO folder; None for a KITTI folder, whose rows begin with names.

    Raises:
        RequestError: `boxes.invalid` for YOLO rows without a data.yaml, and without a txt file.
    """
    places = [place / "data.yaml" for place in (folder, *list(folder.resolve().parents)[:2])]
    data_yaml = next((place for place in places if place.is_file()), None)
    paths = sorted(folder.rglob("*.txt"))
    if not paths:
        raise RequestError("boxes.invalid", f"{folder}: holds no .txt file")
    for path in paths:
        words = path.read_text(encoding="utf-8", errors="replace").split()
        if words and not words[0][:1].isdigit():
            return None
        if words and data_yaml is None:
            raise RequestError(
                "boxes.invalid",
                f"{path}: looks like YOLO boxes, but no data.yaml with `names` lies in "
                f"{folder} or the two folders above it",
            )
        if words:
            break
    return data_yaml


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
        data_yaml = _data_yaml(path)
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
