"""COCO panoptic: a JSON file, and a PNG for each picture whose pixels name their segment.

Source: https://cocodataset.org/#format-data (panoptic); https://github.com/cocodataset/panopticapi.

- A pixel's segment is R + 256 G + 65536 B; 0 is void. Here the segment is our instance id, so ids
  survive; 16,777,215 is the end.
- Every segment of the PNG stands in `segments_info`, and the reverse: panopticapi stops otherwise.
- Segments cannot overlap. A contested pixel goes to the label, then to the higher score, then to
  the lower id.
- `iscrowd` 1 says "leave this region out", as in COCO's instances file.
- Classes here are things; what no label covers is void, since nothing is known of it.
"""

import colorsys
import json
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from perception.core import masks as rle
from perception.core.errors import RequestError, SampleError
from perception.core.ontology import Target
from perception.core.types import ExportSummary, PictureLabels, SampleLabels, Status, UInt8
from perception.formats import (
    LABEL,
    PLAIN,
    Outputs,
    PictureObjects,
    Stems,
    Tally,
    fates,
    known_of,
    objects_of,
    pictures_of,
    read_bytes,
    relative_name,
)
from perception.io.files import replacing, write_bytes
from perception.io.json_files import read_object
from perception.io.png import MAX_BYTES, RGB, decode_png, encode_png

MAX_ID = (1 << 24) - 1
JSON, FOLDER = "panoptic.json", "panoptic"


def write(
    samples: Iterable[SampleLabels],
    out: Path,
    target: Target,
    *,
    statuses: frozenset[Status],
    stems: Stems = PLAIN,
) -> ExportSummary:
    """Write OUT/panoptic.json and OUT/panoptic/<file name>.png for every picture.

    Args:
        samples: Labels; images are numbered from 1 in their order.
        out: The folder.
        target: Class ids and names to write.
        statuses: Instances with these are labels; the others are written with `iscrowd` 1.
        stems: Names of all pictures.

    Raises:
        RequestError: `id.overflow` for ids that three bytes cannot hold (nothing is written for
            that picture), `export.collision`, `path.outside_root`.
    """
    tally, outputs, images = Tally(), Outputs(out), list[str]()
    with replacing(out / JSON) as stream:
        stream.write(b'{"info": {"description": "driving-perception labels"}, "licenses": [],\n')
        stream.write(f'"categories": {json.dumps(_categories(target))},\n'.encode())
        stream.write(b'"annotations": [')
        for number, (sample, picture, owner) in enumerate(pictures_of(samples, tally), start=1):
            stem = stems(picture.file_name, owner)
            name = stem.with_name(f"{stem.name}.png")
            path = outputs.claim(PurePosixPath(FOLDER) / name, owner)
            numbers, segments = _paint(picture, target, statuses, tally)
            write_bytes(path, encode_png(_to_rgb(numbers)))
            annotation = {
                "image_id": number,
                "file_name": str(name),
                "segments_info": segments,
                "sample_id": sample.id,
                "camera": picture.camera,
            }
            stream.write((b",\n" if number > 1 else b"\n") + json.dumps(annotation).encode())
            image = {
                "id": number,
                "width": picture.size_hw[1],
                "height": picture.size_hw[0],
                "file_name": picture.file_name,
            }
            images.append(json.dumps(image))
        stream.write(b'],\n"images": [' + ",\n".join(images).encode() + b"]}\n")
    return tally.summary()


def _categories(target: Target) -> list[dict[str, Any]]:
    categories = []
    for number, (category_id, name) in enumerate(sorted(target.names.items())):
        rgb = colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.7, 1.0)  # hues lie far apart
        colour = [int(255 * channel) for channel in rgb]
        categories.append({"id": category_id, "name": name, "isthing": 1, "color": colour})
    return categories


def _paint(
    picture: PictureLabels, target: Target, statuses: frozenset[Status], tally: Tally
) -> tuple[npt.NDArray[np.int32], list[dict[str, Any]]]:
    instances, numbers = picture.instances, np.zeros(picture.size_hw, np.int32)
    kept = []
    for row, fate in fates(instances, target, statuses):
        if fate in {"mask.empty", "class.ignored"}:
            tally.left_out[fate] += 1
            continue
        if not 1 <= instances.instance_ids[row] <= MAX_ID:
            raise RequestError(
                "id.overflow",
                f"{picture.file_name}: instance id {instances.instance_ids[row]}, expected 1 to "
                f"{MAX_ID}: a pixel has three bytes; nothing was written for this picture",
            )
        kept.append((fate != LABEL, -float(np.nan_to_num(instances.scores[row])), row))
    for _, _, row in sorted(kept, reverse=True):  # the best claim is painted last
        x0, y0, x1, y1 = instances.masks.boxes_xyxy[row]
        numbers[y0:y1, x0:x1][rle.decode_crop(instances.masks, row)] = instances.instance_ids[row]
    segments = []
    for ignored, _, row in sorted(kept, key=lambda entry: entry[2]):
        x0, y0, x1, y1 = instances.masks.boxes_xyxy[row]
        visible = numbers[y0:y1, x0:x1] == instances.instance_ids[row]
        box, counts = rle.encode_one(visible, (int(x0), int(y0)))
        if not counts:
            tally.left_out["mask.covered"] += 1
            continue
        tally.labels += not ignored
        tally.ignored += ignored
        left, top, right, bottom = box.tolist()
        segments.append(
            {
                **known_of(instances, row),
                "id": int(instances.instance_ids[row]),
                "category_id": target.ids[int(instances.class_ids[row])],
                "area": int(visible.sum()),
                "bbox": [left, top, right - left, bottom - top],
                "iscrowd": int(ignored),
            }
        )
    return numbers, segments


def _to_rgb(numbers: npt.NDArray[np.int32]) -> UInt8:
    return np.stack([numbers & 255, numbers >> 8 & 255, numbers >> 16], axis=-1).astype(np.uint8)


def segment_numbers(path: Path) -> npt.NDArray[np.int32]:
    """Return the (H, W) segment ids of one panoptic PNG.

    Raises:
        SampleError: `io.not_found`, `label.invalid`.
    """
    rgb = decode_png(read_bytes(path, MAX_BYTES), path, colour=RGB).astype(np.int32)
    return np.asarray(rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2])


def read(out: Path) -> Iterator[PictureObjects]:
    """Yield the pictures of an export, in the order of its annotations.

    Raises:
        RequestError: `panoptic.invalid` for what is missing, of a wrong type, or in only one of
            JSON and PNG; `path.outside_root`.
        SampleError: as `segment_numbers`.
    """
    path = out / JSON
    document = read_object(path, "panoptic.invalid")
    try:
        names = {int(entry["id"]): str(entry["name"]) for entry in document["categories"]}
        images = {int(entry["id"]): entry for entry in document["images"]}
        annotations = [
            (images[int(entry["image_id"])], str(entry["file_name"]), entry["segments_info"])
            for entry in document["annotations"]
        ]
        for image, file_name, segments in annotations:
            relative_name(file_name, str(path))
            yield _picture(out / FOLDER / file_name, image, segments, names)
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(
            "panoptic.invalid", f"{path}: is no COCO panoptic file: {type(error).__name__} {error}"
        ) from error


def _picture(
    path: Path, image: dict[str, Any], segments: list[dict[str, Any]], names: dict[int, str]
) -> PictureObjects:
    numbers = segment_numbers(path)
    size_hw = (int(image["height"]), int(image["width"]))
    if numbers.shape != size_hw:
        raise SampleError(
            "size.mismatch", f"{path}: is {numbers.shape}, the JSON file states {size_hw}"
        )
    stated = {int(segment["id"]) for segment in segments}
    painted = set(np.unique(numbers).tolist()) - {0}
    if stated != painted:
        raise RequestError(
            "panoptic.invalid",
            f"{path}: segments {sorted(stated ^ painted)[:5]} stand in only one of the PNG and "
            "the JSON file, expected each in both",
        )
    rows = []
    for segment in segments:
        score = segment.get("score")
        rows.append(
            (
                int(segment.get("instance_id", 0)),
                names[int(segment["category_id"])],
                np.nan if score is None else float(score),
                bool(segment["iscrowd"]),
                rle.encode_one(np.asarray(numbers == int(segment["id"]))),
            )
        )
    return PictureObjects(str(image["file_name"]), size_hw, objects_of(rows, size_hw))
