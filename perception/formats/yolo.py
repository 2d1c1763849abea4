"""YOLO label files: one text row per object, coordinates as shares of the image's width and height.

Source: https://docs.ultralytics.com/datasets/segment; ultralytics/data/{utils,converter}.py (8.4).

- A row is `class x1 y1 x2 y2 ...` (one ring, 3 points or more) or `class xc yc w h`.
  Classes count from 0. No score, no holes, no second ring, no ignore region. Rows as other people
  have them, with scores, track ids and key points, are read by `yolo_rows`.
- Labels are found by path: the last `/images/` becomes `/labels/`, the extension `.txt`. A folder
  called `images` inside a dataset is therefore exported as `images_`.
- More than 6 words in any row make ultralytics read every row of that file as a polygon; one
  coordinate above 1.01 makes it drop the picture. `download:` in a data.yaml is executed: never
  written here, refused in an export, and not looked at where only names are read.
- A picture without objects has an empty file; without a file it would be "missing".
- Whatever has no row is background to the trainer. So what may be an object and is no label is
  painted over, in the grey that ultralytics pads pictures with, in a PNG that takes the picture's
  place. So do pictures that a tool may open otherwise than they were labelled: with an Orientation,
  16 bit, or in a format that ultralytics does not read. All others are copied byte for byte.
- Two pictures of one stem would share a label file: see `Stems`.

From mask to ring and back: ultralytics rounds vertices down to pixels and fills with cv2.fillPoly,
which paints the outline too. So a vertex may stand anywhere in its pixel of the outline; `write`
puts it next to the edge that borders on the outside, which keeps the bounds of the object as well
(cv2's contours run through pixel centres and lose half a pixel on each side). Holes and further
parts are joined to the ring by a bridge, there and back, between the closest points, as
ultralytics' merge_multi_segment does; even-odd filling leaves holes open. The bridge itself is
painted: a part smaller than its bridge is left out.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml

from perception.core import masks as rle
from perception.core.config import load_yaml
from perception.core.errors import RequestError, SampleError
from perception.core.ontology import Target
from perception.core.polygons import fill_ring, ring_around
from perception.core.types import (
    Bool,
    ExportSummary,
    Int32,
    Masks,
    PictureLabels,
    RowAligned,
    SampleLabels,
    Status,
)
from perception.formats import (
    LABEL,
    Outputs,
    Stems,
    Tally,
    copy_to,
    fates,
    parse_number,
    read_lines,
)
from perception.io.files import write_bytes
from perception.io.pictures import Pictures
from perception.io.png import encode_png

HIDDEN_RGB = (114, 114, 114)
REVIEW = Status.REVIEW.name.lower()
_MAY_BE_OBJECTS = (REVIEW, Status.REJECTED.name.lower(), Status.ACCEPTED.name.lower())
TOLERANCE = 0.01  # how far outside [0, 1] ultralytics takes a coordinate


@dataclass(frozen=True, eq=False, repr=False)
class YoloObjects(RowAligned):
    """N polygons of one picture.

    Attributes:
        class_ids: (N,) int32, from 0.
        masks: (N) masks.
    """

    class_ids: Int32
    masks: Masks


def write(
    samples: Iterable[SampleLabels],
    out: Path,
    target: Target,
    *,
    statuses: frozenset[Status],
    pictures: Pictures,
    stems: Stems | None = None,
) -> ExportSummary:
    """Write OUT/labels/*.txt, OUT/data.yaml, and OUT/images/*.

    A picture is a copy of its file, byte for byte; where pixels change, since what is no label is
    painted over or an Orientation turns it, a PNG.

    Args:
        samples: Labels.
        out: The folder.
        target: Its classes are numbered from 0 in the order of their ids.
        statuses: Instances with these are labels; the others are painted over.
        pictures: Where they are.
        stems: Names of all pictures, see `stems_of`; by default each its own.

    Raises:
        RequestError: `io.not_found` for a missing picture, `export.collision`,
            `path.outside_root`; see `Pictures.pixels`.
    """
    if out.resolve() == pictures.root.resolve():
        raise RequestError(
            "export.collision", f"{out}: is the dataset itself; export into a folder of its own"
        )
    tally, outputs, name_of = Tally(), Outputs(out), stems or stems_of(())
    category_ids = sorted(set(target.ids.values()))
    index = {class_id: category_ids.index(value) for class_id, value in target.ids.items()}
    for folder in ("images", "labels"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for sample in samples:
        tally.samples += 1
        for picture in sample.pictures:
            owner = f"sample {sample.id!r}, {picture.file_name!r}"
            image, label = _names(name_of(picture.file_name, owner))
            known = fates(picture.instances, target, statuses)
            hidden = _hidden(picture, known)
            if hidden.any() or not pictures.file_is_as_labelled(picture, owner):
                pixels = pictures.pixels(picture, owner)
                painted = np.where(hidden[..., None], np.array(HIDDEN_RGB, np.uint8), pixels)
                name = image.with_name(f"{image.name}.png")
                write_bytes(outputs.claim(name, owner), encode_png(painted))
            else:
                ending = PurePosixPath(picture.file_name).suffix
                copy = outputs.claim(image.with_name(image.name + ending), owner)
                copy_to(copy, pictures.place(picture, owner), owner)
            rows = [row for row, fate in known if fate == LABEL]
            write_bytes(outputs.claim(label, owner), _text(picture, rows, index))
            tally.labels += len(rows)
            for _, fate in known:
                tally.ignored += fate in _MAY_BE_OBJECTS
                tally.left_out[fate] += fate not in {LABEL, *_MAY_BE_OBJECTS}
    names = {number: target.names[value] for number, value in enumerate(category_ids)}
    _write_yaml(out, names)
    return tally.summary()


def _hidden(picture: PictureLabels, known: tuple[tuple[int, str], ...]) -> Bool:
    """Return (H, W), what the trainer must not see: masks that are no label.

    Of a label for review the whole box: its mask may be a part of the object. No pixel of a label.
    """
    hidden, labelled = (np.zeros(picture.size_hw, bool) for _ in range(2))
    height, width = picture.size_hw
    for row, fate in known:
        if fate not in {LABEL, *_MAY_BE_OBJECTS}:
            continue
        x0, y0, x1, y1 = picture.instances.masks.boxes_xyxy[row]
        onto = labelled if fate == LABEL else hidden
        onto[y0:y1, x0:x1] |= rle.decode_crop(picture.instances.masks, row)
        if fate == REVIEW:
            box = np.clip(picture.instances.boxes_xyxy[row], 0, (width, height, width, height))
            (x0, y0), (x1, y1) = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
            hidden[y0:y1, x0:x1] = True
    return hidden & ~labelled


def stems_of(file_names: Iterable[str]) -> Stems:
    """Return the names of pictures in an export."""
    return Stems(file_names, _spelled)


def _spelled(file_name: str) -> str:
    *folders, last = PurePosixPath(file_name).parts
    return str(PurePosixPath(*("images_" if part == "images" else part for part in folders), last))


def _names(stem: PurePosixPath) -> tuple[PurePosixPath, PurePosixPath]:
    """Return where the picture, ending left out, and its labels stand in an export."""
    label = PurePosixPath("labels") / stem.with_name(f"{stem.name}.txt")
    return PurePosixPath("images") / stem, label


def _write_yaml(out: Path, names: dict[int, str]) -> None:
    # Absolute: ultralytics resolves "." against its working directory, not against this file.
    values = {"path": str(out.resolve()), "train": "images", "val": "images", "names": names}
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    write_bytes(out / "data.yaml", text.encode())


def _text(picture: PictureLabels, rows: list[int], index: dict[int, int]) -> bytes:
    height, width = picture.size_hw
    lines = []
    for row in rows:
        corner = picture.instances.masks.boxes_xyxy[row, :2]
        ring = ring_around(rle.decode_crop(picture.instances.masks, row)) + corner
        values = (ring / (width, height)).ravel()
        words = " ".join(f"{value:.6f}" for value in values)
        lines.append(f"{index[int(picture.instances.class_ids[row])]} {words}\n")
    return "".join(lines).encode()


def read(
    out: Path, sizes_hw: Mapping[str, tuple[int, int]], stems: Stems | None = None
) -> dict[str, YoloObjects]:
    """Read an export back, filling rings the way ultralytics does.

    Args:
        out: The folder that `write` filled.
        sizes_hw: File name, as in `PictureLabels`, to height and width.
        stems: Names of all pictures that were written; by default those in `sizes_hw`.

    Raises:
        RequestError: as `read_names`.
        SampleError: `io.not_found` for a missing label file; `label.invalid`, naming the line.
    """
    classes = len(read_names(out / "data.yaml"))
    name = stems_of(sizes_hw) if stems is None else stems
    return {
        file_name: _read_file(out / _names(name(file_name, str(out)))[1], size_hw, classes)
        for file_name, size_hw in sizes_hw.items()
    }


def _read_file(path: Path, size_hw: tuple[int, int], classes: int) -> YoloObjects:
    class_ids, rows = list[int](), list[tuple[Int32, bytes]]()
    for where, class_id, values in read_rows(path, classes):
        if len(values) == 4:
            raise SampleError(
                "label.invalid", f"{where}: a box, expected a polygon; read boxes as boxes"
            )
        class_ids.append(class_id)
        ring = np.array(values).reshape(-1, 2) * size_hw[::-1]
        rows.append(rle.encode_one(*fill_ring(ring, size_hw)))
    return YoloObjects(np.array(class_ids, np.int32), rle.join(tuple(rows), size_hw))


def read_rows(path: Path, classes: int) -> Iterator[tuple[str, int, list[float]]]:
    """Yield where a row stands, its class and its numbers: 4 of a box, or 6, 8, ... of a polygon.

    Nothing else may stand in a file that is trained on or read as masks. What people have besides
    is read by `yolo_rows`, as boxes.

    Raises:
        SampleError: `label.invalid`, naming the file, the line and the word.
    """
    for number, words in read_lines(path):
        where = f"{path}:{number}"
        if len(words) != 5 and (len(words) < 7 or len(words) % 2 == 0):
            raise SampleError(
                "label.invalid",
                f"{where}: {len(words)} words, expected 5 (class and box), or a class and the x y "
                "of at least 3 points",
            )
        values = [parse_number(word) for word in words]
        for word, value in zip(words, values, strict=True):
            if not np.isfinite(value):
                raise SampleError("label.invalid", f"{where}: {word!r}, expected a finite number")
        if not values[0].is_integer() or not 0 <= values[0] < classes:
            raise SampleError(
                "label.invalid",
                f"{where}: class {words[0]!r}, expected 0 to {classes - 1}: there are "
                f"{classes} names",
            )
        for word, value in zip(words[1:], values[1:], strict=True):
            if not -TOLERANCE <= value <= 1 + TOLERANCE:
                raise SampleError(
                    "label.invalid",
                    f"{where}: {word}, expected 0 to 1: a share of the image's width or height",
                )
        yield where, int(values[0]), values[1:]


def read_names(data_yaml: Path) -> tuple[str, ...]:
    """Read the class names of a data.yaml that belongs to an export.

    Raises:
        RequestError: `config.unsafe` for a `download` key, which ultralytics would execute;
            `config.invalid`; `io.not_found`.
    """
    values = load_yaml(data_yaml)
    if not isinstance(values, dict):
        raise RequestError(
            "config.invalid", f"{data_yaml}: expected keys and values, one is `names`"
        )
    if "download" in values:
        raise RequestError(
            "config.unsafe",
            f"{data_yaml}: has the key `download`, which ultralytics would execute; "
            "remove the line",
        )
    return names_of(values, data_yaml)


def names_of(values: dict[Any, Any], path: Path) -> tuple[str, ...]:
    """Return the class names of a YAML's values: a list, `{0: name, ...}` or `{"0": name, ...}`.

    Raises:
        RequestError: `config.invalid`.
    """
    names: Any = values.get("names")
    if isinstance(names, dict):
        by_number = {str(number): name for number, name in names.items()}
        numbers = [str(number) for number in range(len(by_number))]
        if len(by_number) == len(names) and set(by_number) == set(numbers):
            names = [by_number[number] for number in numbers]
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise RequestError(
            "config.invalid",
            f"{path}: names is {str(names)[:80]}, expected a list of texts or {{0: text}}, no "
            "gaps; put quotes around names that YAML takes for something else (no, 1)",
        )
    return tuple(names)
