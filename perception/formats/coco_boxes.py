"""COCO files as people have them, for boxes only: instances files and results lists.

Source: https://cocodataset.org/#format-data and #format-results; `coco.py` reads truth strictly.

- What matters: `images[].id` and `file_name`, `annotations[].image_id`, `category_id` and `bbox`,
  `categories[].id` and `name`. Everything else may be wrong or missing.
- Ids may be numbers, numbers as text, or text; `"7"`, `7` and `7.0` are one id.
- A row that cannot be used is left out and counted; the others stay.
- `bbox` is xywh. Without it the bounds of `segmentation` are taken.
- Results lists name neither pictures nor classes. `image_id` is then the picture's name without its
  suffix, or the number that this is (ultralytics `val save_json=True`); a class is called by its
  number, unless the row has `category_name` (SAHI).
- Roboflow keeps the picture's own name in `extra.name`.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from perception.core import masks as rle
from perception.core.box_rows import (
    DROPPED,
    Box,
    BoxFile,
    BoxRow,
    PictureBoxes,
    as_number,
    as_score,
    as_size_hw,
    bounds_of,
)
from perception.core.errors import RequestError, SampleError

_MAX_DIGITS = sys.int_info.str_digits_check_threshold  # Python may refuse a number of more
_Id = int | str
_Row = dict[str, Any]


def read(document: _Row, path: Path) -> BoxFile:
    """Return the boxes of an instances file.

    Args:
        document: The file, parsed.
        path: Of the file, for messages.

    Raises:
        RequestError: `coco.invalid` for a file without one of the three lists, or with one category
            id for two names; `boxes.invalid` if no row has a box, or if all boxes look like corners
            or like shares of the picture.
    """
    images, annotations, categories = (
        _rows(document, key, path) for key in ("images", "annotations", "categories")
    )
    names = _class_names(categories, annotations, path)
    of_image: dict[_Id, list[_Row]] = {}
    for image in images:
        key = _id(image.get("id"))
        if key is not None and _name(image):
            of_image[key] = []
    if images and not any(map(_name, images)):
        raise RequestError(
            "coco.invalid", f"{path}: no entry of images has a file_name; {_shown(images[0])}"
        )
    lost = Counter({"row.bbox": len(document["annotations"]) - len(annotations)})
    for annotation in annotations:
        key = _id(annotation.get("image_id"))
        if key is None or key not in of_image:
            lost["row.image"] += 1
        else:
            of_image[key].append(annotation)

    def class_of(row: _Row) -> str | None:
        return names.get(_id(row.get("category_id")))

    pictures = tuple(_pictures(images, of_image, class_of, path))
    lost = +lost  # without zeros
    _check_rows(pictures, len(document["annotations"]), lost, path)
    _check_units(pictures, path)
    return BoxFile(
        pictures,
        tuple(sorted(lost.items())),
        _twice(annotations, path),
        class_names=tuple(dict.fromkeys(names.values())),
    )


def read_results(rows: list[Any], path: Path) -> BoxFile:
    """Return the boxes of a results list.

    Args:
        rows: The file, parsed.
        path: Of the file, for messages.

    Raises:
        RequestError: `boxes.invalid` for a list of anything else, or if no row has a box.
    """
    known = [row for row in rows if isinstance(row, dict) and "image_id" in row]
    if rows and not known:
        raise RequestError(
            "boxes.invalid",
            f"{path}: holds a list, and an entry has {_shown(rows[0])}; a COCO results list has "
            "image_id, category_id, bbox and score in each; of another tool's list, export COCO",
        )
    lost = Counter({"row.image": len(rows) - len(known)})
    of_image: dict[str, list[_Row]] = defaultdict(list)
    for row in known:
        named, key = row.get("file_name"), _id(row["image_id"])
        if named and isinstance(named, str):
            of_image[named].append(row)
        elif key is not None:
            of_image[str(key)].append(row)
        else:
            lost["row.image"] += 1
    lost = +lost  # without zeros
    pictures = tuple(_picture(name, mine, _own_class) for name, mine in of_image.items())
    _check_rows(pictures, len(rows), lost, path)
    notice = (
        f"{path.name} is a COCO results list: image_id is taken for a picture's name without its "
        "suffix, or for the number that this name is"
    )
    return BoxFile(pictures, tuple(sorted(lost.items())), (notice,), by_stem=True)


def _rows(document: _Row, key: str, path: Path) -> list[_Row]:
    rows = document.get(key)
    if not isinstance(rows, list):
        raise RequestError(
            "coco.invalid",
            f"{path}: {key} is {_shown(rows)}, expected a list; a COCO file has images, "
            "annotations and categories",
        )
    return [row for row in rows if isinstance(row, dict)]


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return f"the keys {', '.join(map(str, list(value)[:8]))}"
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _id(value: object) -> _Id | None:
    """Return an id as it is compared; None for what is none."""
    if isinstance(value, str):
        text = value.strip()
        digits = text.removeprefix("-")
        is_number = digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS
        return int(text) if is_number else text or None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else None


def _class_names(
    categories: list[_Row], annotations: list[_Row], path: Path
) -> dict[_Id | None, str]:
    """Return the names of categories by id.

    Raises:
        RequestError: `coco.invalid` if an id that annotations use has two names.
    """
    names: dict[_Id | None, str] = {}
    twice: dict[_Id, tuple[str, str]] = {}
    for category in categories:
        key, name = _id(category.get("id")), category.get("name")
        if key is None or not isinstance(name, str) or not name.strip():
            continue
        if names.setdefault(key, name) != name:
            twice[key] = (names[key], name)
    used = {_id(row.get("category_id")) for row in annotations} if twice else set()
    for key, (first, second) in twice.items():
        if key in used:
            raise RequestError(
                "coco.invalid",
                f"{path}: categories: id {key} is {first!r} and {second!r}, and annotations use "
                "it; give each name an id of its own",
            )
    return names


def _pictures(
    images: list[_Row],
    of_image: dict[_Id, list[_Row]],
    class_of: Callable[[_Row], str | None],
    path: Path,
) -> Iterator[PictureBoxes]:
    names_of: dict[_Id | None, set[str]] = defaultdict(set)
    for image in images:
        names_of[_id(image.get("id"))].add(_name(image))
    seen = set[tuple[_Id | None, str]]()
    for image in images:
        key, name = _id(image.get("id")), _name(image)
        if not name or (key, name) in seen:
            continue
        seen.add((key, name))
        extra = image.get("extra")
        other = extra.get("name") if isinstance(extra, dict) else ""
        fault = ""
        if key is None:
            fault = f"{path}: image {name!r} has no id, so that no annotation leads to it"
        elif len(names_of[key]) > 1:
            same = ", ".join(map(repr, sorted(names_of[key])[:5]))
            fault = f"{path}: image id {key} stands for {same}: give each image an id of its own"
        mine = [] if fault or key is None else of_image[key]
        yield replace(
            _picture(name, mine, class_of),
            size_hw=as_size_hw(image.get("height"), image.get("width")),
            other_name=other if isinstance(other, str) else "",
            fault=fault,
        )


def _name(image: _Row) -> str:
    """Return the name of an image, "" for none; a table turns the name 71 into a number."""
    name = image.get("file_name")
    is_number = isinstance(name, int) and not isinstance(name, bool)
    return str(name) if is_number or isinstance(name, str) else ""


def _picture(name: str, rows: list[_Row], class_of: Callable[[_Row], str | None]) -> PictureBoxes:
    found, dropped = list[BoxRow](), Counter[str]()
    for row in rows:
        crowd = row.get("iscrowd", 0)
        if crowd is True or abs(as_number(crowd)) > 0:
            dropped["row.crowd"] += 1
            continue
        class_name, box = class_of(row), _box(row)
        if class_name is None:
            dropped["row.category"] += 1
        elif box is None:
            dropped["row.bbox"] += 1
        else:
            found.append(BoxRow(class_name, box, as_score(row.get("score"))))
    return PictureBoxes(name, tuple(found), dropped=tuple(sorted(dropped.items())))


def _own_class(row: _Row) -> str | None:
    name, key = row.get("category_name"), _id(row.get("category_id"))
    if name and isinstance(name, str):
        return name
    return None if key is None else str(key)


def _box(row: _Row) -> Box | None:
    values = row.get("bbox")
    if values is None or values == []:
        return _bounds(row.get("segmentation"))
    if not isinstance(values, list) or len(values) != 4:
        return None
    x, y, width, height = map(as_number, values)
    return (x, y, x + width, y + height)


def _bounds(shape: object) -> Box | None:
    """Return the bounds of run-lengths or of polygons."""
    if isinstance(shape, dict):
        try:
            mask = rle.from_coco(shape)
        except SampleError:
            return None
        x0, y0, x1, y1 = (float(side) for side in mask.boxes_xyxy[0])
        return (x0, y0, x1, y1) if mask.counts[0] else None
    if not isinstance(shape, list):
        return None
    parts = [part for part in shape if isinstance(part, list)] or [shape]
    x = [as_number(value) for part in parts for value in part[0::2]]
    y = [as_number(value) for part in parts for value in part[1::2]]
    return bounds_of(x, y)


def _check_rows(
    pictures: tuple[PictureBoxes, ...], total: int, lost: Counter[str], path: Path
) -> None:
    """Refuse a file whose rows are all of no use: it is another kind of file."""
    dropped = Counter(lost)
    for picture in pictures:
        if picture.rows or picture.fault:
            return
        dropped.update(dict(picture.dropped))
    if total and dropped["row.crowd"] < total:
        said = ", ".join(f"{count} {DROPPED[reason]}" for reason, count in sorted(dropped.items()))
        raise RequestError(
            "boxes.invalid",
            f"{path}: none of its {total} rows has a picture, a class and a box: {said}; expected "
            "a COCO file of objects, not a panoptic one",
        )


def _check_units(pictures: tuple[PictureBoxes, ...], path: Path) -> None:
    """Refuse boxes that are written as corners, or as shares of the picture, in place of pixels."""
    rows = [(one.box_xyxy, one_of.size_hw or (0, 0)) for one_of in pictures for one in one_of.rows]
    boxes = np.array([box for box, _ in rows], np.float64).reshape(-1, 4)
    heights, widths = np.array([size for _, size in rows], np.float64).reshape(-1, 2).T
    finite = np.isfinite(boxes).all(axis=1)
    if finite.any() and (boxes[finite] <= 1).all() and (boxes[finite] > 0).any():
        raise RequestError(
            "boxes.invalid",
            f"{path}: all bbox lie between 0 and 1, as shares of a picture; COCO counts pixels",
        )
    sized = finite & (widths > 0)
    (x0, y0, x1, y1), width, height = boxes[sized].T, widths[sized] + 1, heights[sized] + 1
    leaves = (x1 > width) | (y1 > height)
    right, bottom = x1 - x0, y1 - y0  # what stands in the third and fourth place
    corners = (right > x0) & (bottom > y0) & (right <= width) & (bottom <= height)
    if leaves.any() and corners.all() and 4 * int(leaves.sum()) >= len(leaves):
        raise RequestError(
            "boxes.invalid",
            f"{path}: bbox looks like [x0, y0, x1, y1]: as [x, y, width, height], which COCO has, "
            f"{int(leaves.sum())} of {len(leaves)} boxes leave their pictures",
        )


def _twice(annotations: list[_Row], path: Path) -> tuple[str, ...]:
    counts = Counter(_id(row.get("id")) for row in annotations)
    twice = [key for key, count in counts.items() if count > 1 and key is not None]
    if not twice:
        return ()
    return (
        f"{path.name}: annotation ids stand more than once ({len(twice)}, such as {twice[0]}); "
        "boxes need none, and all are read",
    )
