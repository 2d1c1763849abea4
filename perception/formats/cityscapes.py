"""Cityscapes: instanceIds PNG and polygons JSON, in the folders that cityscapesscripts look into.

Source: https://github.com/mcordts/cityscapesScripts (README, helpers/labels.py, json2instanceImg).

- OUT/gtFine/train/CITY/CITY_SEQUENCE_FRAME_gtFine_{instanceIds.png,polygons.json}, and links
  OUT/leftImg8bit/train/CITY/..._leftImg8bit.png, whatever kind of picture is behind; PNGs where a
  tool might open that otherwise than it was labelled (`Pictures.file_is_as_labelled`). A picture
  that is called so already keeps its name; others are numbered, in the city `perception`, since
  the tools split names at underscores. OUT/index.json says which picture is which.
- instanceIds is 16 bit: id * 1000 + n for classes with instances (ids 24 to 33), n from 0 in the
  order of the polygons; the plain id for the others and for groups. Regular ids, not trainIds.
- A group is a region of a class whose instances nobody told apart: evaluations leave it out. So
  instances that are no labels become groups; classes without instances have no such region.
- Polygons are painted in their order, one ring per object. Where a mask has several parts, the ring
  runs through bridges; such masks stand first, so that what parts them is painted over the bridges.
  The PNG loses nothing.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np

from perception.core import masks as rle
from perception.core.errors import RequestError, SampleError
from perception.core.ontology import Target
from perception.core.polygons import fill_ring, polygon_fault, ring_around
from perception.core.types import ExportSummary, PictureLabels, SampleLabels, Status
from perception.formats import (
    LABEL,
    Outputs,
    PictureObjects,
    Tally,
    fates,
    known_of,
    link_to,
    objects_of,
    pictures_of,
    read_bytes,
)
from perception.io.files import write_bytes
from perception.io.json_files import read_object
from perception.io.pictures import Pictures
from perception.io.png import MAX_BYTES, decode_png, encode_png

PER_CLASS = 1000
LAST_ID = 33  # of helpers/labels.py
WITH_INSTANCES = range(24, LAST_ID + 1)
CITY, SPLIT, GROUP = "perception", "train", "group"
INDEX = "index.json"
_OWN_NAME = re.compile(r"([A-Za-z][A-Za-z0-9-]*)_(\d{6})_(\d{6})(?:_leftImg8bit)?")


def write(
    samples: Iterable[SampleLabels],
    out: Path,
    target: Target,
    *,
    statuses: frozenset[Status],
    pictures: Pictures,
) -> ExportSummary:
    """Write the files of every picture.

    Args:
        samples: Labels.
        out: The folder.
        target: Class ids of Cityscapes; see `datasets/ontologies/road-to-cityscapes.yaml`.
        statuses: Instances with these are labels; others of a class with instances are groups.
        pictures: Where they are.

    Raises:
        RequestError: `id.overflow` for more than 1000 instances of a class in a picture (nothing
            is written for it), `config.invalid` for ids that Cityscapes does not have,
            `export.collision`, `path.outside_root`, `io.not_found`.
    """
    strange = sorted(value for value in target.names if not 1 <= value <= LAST_ID)
    if strange:
        raise RequestError(
            "config.invalid",
            f"class ids {strange[:5]}, expected ids of Cityscapes, 1 to {LAST_ID}; use the class "
            "map road-to-cityscapes, or one of your own with `ids`",
        )
    tally, outputs, index = Tally(), Outputs(out), dict[str, str]()
    for number, (_, picture, owner) in enumerate(pictures_of(samples, tally)):
        stem = _stem(picture.file_name, number, index)
        index[stem] = picture.file_name
        paths = [outputs.claim(name, owner) for name in _names(stem)]
        values, polygons = _paint(picture, target, statuses, tally)
        write_bytes(paths[0], encode_png(values))
        write_bytes(paths[1], json.dumps(polygons).encode())
        if pictures.file_is_as_labelled(picture, owner):
            link_to(paths[2], pictures.place(picture, owner), owner)
        else:
            write_bytes(paths[2], encode_png(pictures.pixels(picture, owner)))
    write_bytes(out / INDEX, json.dumps({"pictures": index}, indent=1).encode())
    return tally.summary()


def _stem(file_name: str, number: int, taken: dict[str, str]) -> str:
    own = _OWN_NAME.fullmatch(PurePosixPath(file_name).stem)
    stem = "_".join(own.groups()) if own else ""
    return stem if own and stem not in taken else f"{CITY}_000000_{number:06d}"


def _names(stem: str) -> tuple[PurePosixPath, PurePosixPath, PurePosixPath]:
    city = stem.split("_")[0]
    truth = PurePosixPath("gtFine", SPLIT, city)
    picture = PurePosixPath("leftImg8bit", SPLIT, city, f"{stem}_leftImg8bit.png")
    return truth / f"{stem}_gtFine_instanceIds.png", truth / f"{stem}_gtFine_polygons.json", picture


def _paint(
    picture: PictureLabels, target: Target, statuses: frozenset[Status], tally: Tally
) -> tuple[np.ndarray[Any, np.dtype[np.uint16]], dict[str, Any]]:
    instances, values = picture.instances, np.zeros(picture.size_hw, np.uint16)
    counts: Counter[int] = Counter()
    objects = []
    for row, ignored in _order(picture, target, statuses, tally):
        class_id = target.ids[int(instances.class_ids[row])]
        value = class_id
        if class_id in WITH_INSTANCES and not ignored:
            value = class_id * PER_CLASS + counts[class_id]
            counts[class_id] += 1
            if counts[class_id] > PER_CLASS:
                raise RequestError(
                    "id.overflow",
                    f"{picture.file_name}: more than {PER_CLASS} instances of class id {class_id}; "
                    "nothing was written for this picture",
                )
        x0, y0, x1, y1 = instances.masks.boxes_xyxy[row]
        crop = rle.decode_crop(instances.masks, row)
        values[y0:y1, x0:x1][crop] = value
        ring = np.floor(ring_around(crop) + np.array([x0, y0])).astype(np.int64)
        tally.labels += not ignored
        tally.ignored += ignored
        objects.append(
            {
                **known_of(instances, row),
                "label": target.names[class_id] + (GROUP if ignored else ""),
                "polygon": ring.tolist(),
                "instance_value": value if value >= PER_CLASS else 0,
            }
        )
    height, width = picture.size_hw
    return values, {"imgHeight": height, "imgWidth": width, "objects": objects}


def _order(
    picture: PictureLabels, target: Target, statuses: frozenset[Status], tally: Tally
) -> list[tuple[int, bool]]:
    """Return rows to paint, and whether they are groups: groups, then torn masks, then whole."""
    found = []
    for row, fate in fates(picture.instances, target, statuses):
        class_id = target.ids.get(int(picture.instances.class_ids[row]), 0)
        ignored = fate != LABEL
        if fate in {"mask.empty", "class.ignored"} or (ignored and class_id not in WITH_INSTANCES):
            tally.left_out[fate] += 1
            continue
        crop = rle.decode_crop(picture.instances.masks, row).astype(np.uint8)
        pieces = cv2.connectedComponents(crop)[0]
        found.append((not ignored, -pieces, row))
    return [(row, not label) for label, _, row in sorted(found)]


def read(out: Path) -> Iterator[PictureObjects]:
    """Yield the pictures of an export; masks come from the PNG where it tells instances apart.

    A polygon that others cover whole has an empty mask.

    Raises:
        RequestError: `cityscapes.invalid`; `polygon.invalid`; `io.not_found` for a JSON file.
        SampleError: `io.not_found`, `label.invalid`, `size.mismatch`.
    """
    index = read_object(out / INDEX, "cityscapes.invalid").get("pictures")
    if not isinstance(index, dict) or not all(
        _OWN_NAME.fullmatch(stem) and isinstance(name, str) for stem, name in index.items()
    ):
        raise RequestError(
            "cityscapes.invalid", f"{out / INDEX}: `pictures` is no table of Cityscapes' names"
        )
    for stem, file_name in index.items():
        yield _picture(out, stem, file_name, polygons_only=False)


def read_polygons(out: Path) -> Iterator[PictureObjects]:
    """Yield the pictures as the polygons alone give them, painted in their order.

    Raises:
        RequestError: as `read`.
        SampleError: as `read`.
    """
    index = read_object(out / INDEX, "cityscapes.invalid")["pictures"]
    for stem, file_name in index.items():
        yield _picture(out, stem, file_name, polygons_only=True)


def _picture(out: Path, stem: str, file_name: str, *, polygons_only: bool) -> PictureObjects:
    png, path = (out / name for name in _names(stem)[:2])
    values = decode_png(read_bytes(png, MAX_BYTES), png, depth=16)
    document = read_object(path, "cityscapes.invalid")
    try:
        size_hw = (int(document["imgHeight"]), int(document["imgWidth"]))
        if values.shape != size_hw:
            raise SampleError("size.mismatch", f"{png}: is {values.shape}, {path}: {size_hw}")
        rings = [_ring(entry["polygon"], size_hw, path) for entry in document["objects"]]
        owner = np.full(size_hw, -1, np.int32)
        for number, ring in enumerate(rings):
            bitmap, (x, y) = fill_ring(ring, size_hw)
            owner[y : y + bitmap.shape[0], x : x + bitmap.shape[1]][bitmap] = number
        rows = []
        for number, entry in enumerate(document["objects"]):
            name, score = str(entry["label"]), entry.get("score")
            ignored = name.endswith(GROUP) and name != "polegroup"
            value = 0 if polygons_only else int(entry.get("instance_value", 0))
            bitmap = np.asarray(values == value if value else owner == number)
            rows.append(
                (
                    int(entry.get("instance_id", 0)),
                    name.removesuffix(GROUP) if ignored else name,
                    np.nan if score is None else float(score),
                    ignored,
                    rle.encode_one(bitmap),
                )
            )
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(
            "cityscapes.invalid", f"{path}: is no polygons file: {type(error).__name__} {error}"
        ) from error
    return PictureObjects(file_name, size_hw, objects_of(rows, size_hw))


def _ring(polygon: Any, size_hw: tuple[int, int], path: Path) -> np.ndarray[Any, Any]:
    flat = [value for point in polygon for value in point]
    # A slim object of a pixel's width has no area between its corners; its outline is painted.
    fault = polygon_fault(flat, size_hw)
    if fault and "no area" not in fault:
        raise RequestError("polygon.invalid", f"{path}: polygon {fault}")
    return np.array(flat, np.float64).reshape(-1, 2)
