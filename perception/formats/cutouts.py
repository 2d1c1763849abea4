"""Cut-outs: a transparent PNG of each labelled object, and an index of what they are.

- OUT/cutouts/<class id>/<number>.png: RGBA, as large as the mask's box; alpha is 255 on the mask,
  0 beside it, where the colours are black. Names are numbers: no name from outside is a path.
- What is no label is not cut out. Its absence teaches nothing: a cut-out shows an object, no scene.
- OUT/index.json: for each, its picture, its place there, class, and what we know of it.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from perception.core import masks as rle
from perception.core.errors import RequestError, SampleError
from perception.core.ontology import Target
from perception.core.types import Bool, ExportSummary, SampleLabels, Status, UInt8
from perception.formats import (
    LABEL,
    Outputs,
    PictureObjects,
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
from perception.io.pictures import Pictures
from perception.io.png import MAX_BYTES, RGBA, decode_png, encode_png

INDEX, FOLDER = "index.json", "cutouts"


def write(
    samples: Iterable[SampleLabels],
    out: Path,
    target: Target,
    *,
    statuses: frozenset[Status],
    pictures: Pictures,
) -> ExportSummary:
    """Write a PNG for every label, and OUT/index.json.

    Args:
        samples: Labels.
        out: The folder.
        target: Class ids and names to write.
        statuses: Instances with these are cut out; the others are left out.
        pictures: Where they are.

    Raises:
        RequestError: `export.collision`, `path.outside_root`, `io.not_found` for a missing picture,
            `size.mismatch` for one that is not the one that was labelled.
    """
    tally, outputs = Tally(), Outputs(out)
    first = True
    with replacing(out / INDEX) as stream:
        stream.write(b'{"pictures": [')
        for sample, picture, owner in pictures_of(samples, tally):
            image, rows = np.zeros((0, 0, 3), np.uint8), list[dict[str, Any]]()
            for row, fate in fates(picture.instances, target, statuses):
                if fate != LABEL:
                    tally.left_out[fate] += 1
                    continue
                if not rows:
                    image = pictures.pixels(picture, owner)
                x0, y0, x1, y1 = (int(side) for side in picture.instances.masks.boxes_xyxy[row])
                class_id = target.ids[int(picture.instances.class_ids[row])]
                name = PurePosixPath(FOLDER, str(class_id), f"{tally.labels:06d}.png")
                crop = rle.decode_crop(picture.instances.masks, row)
                pixels = _cut(image[y0:y1, x0:x1], crop)
                write_bytes(outputs.claim(name, owner), encode_png(pixels))
                tally.labels += 1
                entry = {"file": str(name), "class": target.names[class_id]}
                rows.append(
                    {**known_of(picture.instances, row), **entry, "mask_xyxy": [x0, y0, x1, y1]}
                )
            listed = {
                "file_name": picture.file_name,
                "sample_id": sample.id,
                "size_hw": list(picture.size_hw),
                "cutouts": rows,
            }
            stream.write((b"\n" if first else b",\n") + json.dumps(listed).encode())
            first = False
        stream.write(b"]}\n")
    return tally.summary()


def _cut(pixels: UInt8, crop: Bool) -> UInt8:
    alpha = np.where(crop, 255, 0).astype(np.uint8)[..., None]
    return np.concatenate([np.where(alpha > 0, pixels, 0), alpha], axis=2).astype(np.uint8)


def read(out: Path) -> Iterator[PictureObjects]:
    """Yield the pictures of an export; masks are where a cut-out is not transparent.

    Raises:
        RequestError: `cutouts.invalid`, `path.outside_root`.
        SampleError: `io.not_found`, `label.invalid`, `size.mismatch`.
    """
    path = out / INDEX
    try:
        for entry in read_object(path, "cutouts.invalid")["pictures"]:
            height, width = (int(side) for side in entry["size_hw"])
            rows = []
            for cutout in entry["cutouts"]:
                name = relative_name(str(cutout["file"]), str(path))
                pixels = decode_png(read_bytes(out / name, MAX_BYTES), out / name, colour=RGBA)
                x0, y0, x1, y1 = (int(side) for side in cutout["mask_xyxy"])
                if pixels.shape[:2] != (y1 - y0, x1 - x0):
                    raise SampleError(
                        "size.mismatch",
                        f"{out / name}: is {pixels.shape[:2]}, {path} states {(y1 - y0, x1 - x0)}",
                    )
                score = cutout["score"]
                rows.append(
                    (
                        int(cutout["instance_id"]),
                        str(cutout["class"]),
                        np.nan if score is None else float(score),
                        False,
                        rle.encode_one(np.asarray(pixels[..., 3] > 0), (x0, y0)),
                    )
                )
            objects = objects_of(rows, (height, width))
            yield PictureObjects(str(entry["file_name"]), (height, width), objects)
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(
            "cutouts.invalid", f"{path}: is no index: {type(error).__name__} {error}"
        ) from error
