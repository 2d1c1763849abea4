"""COCO files read as from outside: every field is checked before pycocotools sees it."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import numpy.typing as npt

from perception.core import masks as rle
from perception.core.errors import RequestError, SampleError
from perception.core.polygons import MAX_SIDE_PX
from perception.core.types import (
    Bool,
    Detections,
    Float32,
    Int32,
    Masks,
    RowAligned,
)
from perception.formats import (
    Objects,
    mask_of_polygons,
    relative_name,
)
from perception.io.json_files import json_of, read_json


@dataclass(frozen=True, eq=False, repr=False)
class CocoAnnotations(RowAligned):
    """N annotations of one image.

    Attributes:
        annotation_ids: (N,) int64, unique in the file.
        instance_ids: (N,) int32, the key `instance_id` that `write` adds; 0 where it is missing.
        iscrowd: (N,) bool, regions that an evaluation leaves out.
        detections: (N) boxes; scores are 1 where the file has none, class names stand in the order
            of their ids. Boxes are as in the file: `boxes.usable` drops the bad ones.
        masks: (N) masks; empty where an annotation has only a box.
    """

    annotation_ids: npt.NDArray[np.int64]
    instance_ids: Int32
    iscrowd: Bool
    detections: Detections
    masks: Masks


@dataclass(frozen=True, eq=False)
class CocoPicture:
    """One image of a COCO file and what is annotated in it.

    Attributes:
        image_id: Id of the image in the file.
        file_name: POSIX path as in the file.
        size_hw: Height and width of the image.
        annotations: (N) rows; there may be none.
    """

    image_id: int
    file_name: str
    size_hw: tuple[int, int]
    annotations: CocoAnnotations

    @property
    def objects(self) -> Objects:
        """The annotations as other formats have them too."""
        rows = self.annotations
        names = rows.detections.class_names
        return Objects(
            instance_ids=rows.instance_ids,
            class_names=tuple(names[i] for i in rows.detections.class_ids),
            scores=rows.detections.scores,
            ignored=rows.iscrowd,
            masks=rows.masks,
        )


def read(path: Path) -> tuple[CocoPicture, ...]:
    """Read an instances file from outside, pictures in the order of its `images`.

    Raises:
        RequestError: `io.not_found`; `coco.too_large`; `coco.invalid` for wrong types, ids that
            come twice and ids that lead nowhere; `rle.invalid`; `polygon.invalid`;
            `path.outside_root`.
    """
    document = _load(path)
    categories = _by_id(document, "categories", path)
    images = _by_id(document, "images", path)
    annotations = _by_id(document, "annotations", path)
    _check_links(annotations, "image_id", images, "images", path)
    _check_links(annotations, "category_id", categories, "categories", path)
    names = [
        _text(categories[key], "name", f"{path}: category {key}") for key in sorted(categories)
    ]
    index = {key: number for number, key in enumerate(sorted(categories))}
    of_image: dict[int, list[dict[str, Any]]] = {key: [] for key in images}
    for annotation in annotations.values():
        of_image[annotation["image_id"]].append(annotation)
    return tuple(
        _picture(image, of_image[key], tuple(names), index, path) for key, image in images.items()
    )


def read_written(path: Path) -> Iterator[CocoPicture]:
    """Read what `write` wrote, image by image: memory holds one, however large the file.

    Raises:
        RequestError: `coco.invalid` for a file of anybody else, or one that was changed; else as
            `read`.
    """
    with path.open("rb") as rows, path.open("rb") as names_of_files:
        rows.readline()
        line = rows.readline()
        if not line.startswith(b'"categories": [') or not line.endswith(b"],\n"):
            _invalid(str(path), "line 2", line[:40], "the categories, as `write` has them")
        categories = _by_id(
            {"categories": json_of(line[14:-2], str(path), "coco.invalid")}, "categories", path
        )
        names = tuple(
            _text(categories[key], "name", f"{path}: category {key}") for key in sorted(categories)
        )
        index = {key: number for number, key in enumerate(sorted(categories))}
        annotations = _rows_of(rows, "annotations", b"],\n", path)
        coming, last_id = next(annotations, None), 0
        while not (line := names_of_files.readline()).startswith(b'"images": [') and line:
            pass
        names_of_files.seek(-len(line), os.SEEK_CUR)
        for image in _rows_of(names_of_files, "images", b"]}\n", path):
            mine = []
            while coming is not None and coming.get("image_id") == image.get("id"):
                where = f"{path}: annotation after {last_id}"
                last_id = _whole(coming, "id", where, last_id + 1, (1 << 63) - 1)
                if coming.get("category_id") not in index:
                    _invalid(where, "category_id", coming.get("category_id"), "a known category")
                mine.append(coming)
                coming = next(annotations, None)
            yield _picture(image, mine, names, index, path)
        if coming is not None:
            _invalid(f"{path}: an annotation", "image_id", coming.get("image_id"), "in order")


def _rows_of(stream: BinaryIO, key: str, end: bytes, path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a list that has one on each line."""
    head = f'"{key}": ['.encode()
    line = stream.readline()
    if line == head + end:
        return
    if line != head + b"\n":
        _invalid(str(path), key, line[:40], "a list with a line for each row, as `write` has it")
    while True:
        line = stream.readline()
        more = line.endswith(b"},\n")
        if not more and not line.endswith(b"}" + end):
            _invalid(str(path), key, line[-40:], f"a row that ends in a comma or in {end!r}")
        yield json_of(line[: -2 if more else -len(end)], str(path), "coco.invalid")
        if not more:
            return


def _invalid(where: str, key: str, value: object, expected: str) -> NoReturn:
    shown = repr(value)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    raise RequestError("coco.invalid", f"{where}: {key} is {shown}, expected {expected}")


def _load(path: Path, kind: type = dict) -> Any:
    document = read_json(path, "coco.invalid", too_large="coco.too_large")
    if not isinstance(document, kind):
        hint = "an object with images, annotations and categories (a results list has none of them)"
        _invalid(str(path), "the top level", document, hint if kind is dict else "a list")
    return document


def _whole(
    row: dict[str, Any], key: str, where: str, low: int, high: int, default: int | None = None
) -> int:
    value = row.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        _invalid(where, key, value, f"a whole number from {low} to {high}")
    return value


def _text(row: dict[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value:
        _invalid(where, key, value, "text")
    return value


def _number(value: object, key: str, where: str) -> float:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    except OverflowError:
        pass
    _invalid(where, key, value, "a number")


def _by_id(document: dict[str, Any], key: str, path: Path) -> dict[int, dict[str, Any]]:
    rows = document.get(key)
    if not isinstance(rows, list):
        _invalid(str(path), key, rows, "a list")
    found: dict[int, dict[str, Any]] = {}
    twice: list[int] = []
    for number, row in enumerate(rows):
        where = f"{path}: {key}[{number}]"
        if not isinstance(row, dict):
            _invalid(where, "the row", row, "an object")
        row_id = _whole(row, "id", where, 0, (1 << 63) - 1)
        if row_id in found:
            twice.append(row_id)
        found[row_id] = row
    if twice:
        _invalid(str(path), f"{key}[].id", twice[0], f"each id once; {_first(twice)} come twice")
    return found


def _first(ids: list[int]) -> str:
    return f"{len(ids)} ({', '.join(str(value) for value in ids[:5])})"


def _check_links(
    annotations: dict[int, dict[str, Any]], key: str, known: dict[int, Any], table: str, path: Path
) -> None:
    lost = []
    for annotation_id, row in annotations.items():
        value = _whole(row, key, f"{path}: annotation {annotation_id}", 0, (1 << 63) - 1)
        if value not in known:
            lost.append(annotation_id)
    if lost:
        value = annotations[lost[0]][key]
        expected = f"an id of `{table}`; wrong in annotations: {_first(lost)}"
        _invalid(f"{path}: annotation {lost[0]}", key, value, expected)


def _picture(
    image: dict[str, Any],
    rows: list[dict[str, Any]],
    names: tuple[str, ...],
    index: dict[int, int],
    path: Path,
) -> CocoPicture:
    where = f"{path}: image {image['id']}"
    file_name = _text(image, "file_name", where)
    relative_name(file_name, where)
    size_hw = (
        _whole(image, "height", where, 1, MAX_SIDE_PX),
        _whole(image, "width", where, 1, MAX_SIDE_PX),
    )
    if size_hw[0] * size_hw[1] > rle.MAX_PIXELS:
        _invalid(where, "height and width", size_hw, f"at most {rle.MAX_PIXELS} pixels")
    places = [f"{path}: annotation {row['id']}" for row in rows]
    placed = list(zip(rows, places, strict=True))
    masks = rle.join(tuple(_mask(row, size_hw, at) for row, at in placed), size_hw)
    boxes = [_box(row, masks.boxes_xyxy[number], at) for number, (row, at) in enumerate(placed)]
    class_ids = [index[row["category_id"]] for row in rows]
    return CocoPicture(
        image_id=image["id"],
        file_name=file_name,
        size_hw=size_hw,
        annotations=CocoAnnotations(
            annotation_ids=np.array([row["id"] for row in rows], np.int64),
            instance_ids=np.array(
                [_whole(row, "instance_id", at, 0, (1 << 31) - 1, 0) for row, at in placed],
                np.int32,
            ),
            iscrowd=np.array([_whole(row, "iscrowd", at, 0, 1, 0) for row, at in placed], bool),
            detections=Detections(
                boxes_xyxy=_float32(boxes).reshape(-1, 4),
                scores=_float32([_score(row, at) for row, at in placed]),
                class_ids=np.array(class_ids, np.int32),
                class_names=names,
            ),
            masks=masks,
        ),
    )


def _float32(values: list[Any]) -> Float32:
    with np.errstate(over="ignore"):
        return np.array(values, np.float64).astype(np.float32)


def _score(row: dict[str, Any], where: str) -> float:
    score = row.get("score", 1.0)
    return math.nan if score is None else _number(score, "score", where)  # null: `write` had a NaN


def _box(row: dict[str, Any], bounds_xyxy: Int32, where: str) -> list[float]:
    if "bbox" not in row:
        return [float(side) for side in bounds_xyxy]
    values = row["bbox"]
    if not isinstance(values, list) or len(values) != 4:
        _invalid(where, "bbox", values, "[x, y, width, height]")
    x, y, width, height = (_number(value, "bbox", where) for value in values)
    return [x, y, x + width, y + height]


def _mask(row: dict[str, Any], size_hw: tuple[int, int], where: str) -> tuple[Int32, bytes]:
    shape = row.get("segmentation")
    if shape is None or shape == []:
        return np.zeros(4, np.int32), b""
    if isinstance(shape, list):
        mask = mask_of_polygons(shape, size_hw, f"{where}: segmentation")
        return mask.boxes_xyxy[0], mask.counts[0]
    if not isinstance(shape, dict):
        _invalid(where, "segmentation", shape, "run-lengths or a list of polygons")
    if shape.get("size") != list(size_hw):
        raise RequestError(
            "rle.invalid",
            f"{where}: segmentation.size is {shape.get('size')!r}, expected the image's "
            f"[height, width] = {list(size_hw)}",
        )
    return _runs(shape, where)


def _runs(shape: dict[str, Any], where: str) -> tuple[Int32, bytes]:
    try:
        mask = rle.from_coco(shape)
    except SampleError as error:
        raise RequestError(error.code, f"{where}: segmentation: {error.message}") from error
    return mask.boxes_xyxy[0], mask.counts[0]


def read_results(path: Path) -> dict[int, list[tuple[int, float, Masks]]]:
    """Read a results file: image id to category id, score and mask of each row.

    Raises:
        RequestError: `coco.invalid`, `rle.invalid`, `io.not_found`.
    """
    rows = _load(path, list)
    found: dict[int, list[tuple[int, float, Masks]]] = {}
    for number, row in enumerate(rows):
        where = f"{path}: [{number}]"
        if not isinstance(row, dict) or not isinstance(row.get("segmentation"), dict):
            _invalid(where, "the row", row, "an object with run-lengths in `segmentation`")
        image_id = _whole(row, "image_id", where, 0, (1 << 63) - 1)
        category_id = _whole(row, "category_id", where, 0, (1 << 63) - 1)
        try:
            mask = rle.from_coco(row["segmentation"])
        except SampleError as error:
            raise RequestError(error.code, f"{where}: segmentation: {error.message}") from error
        found.setdefault(image_id, []).append((category_id, _score(row, where), mask))
    return found
