"""COCO files out of labels."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from perception.core import masks as rle
from perception.core.errors import RequestError
from perception.core.ontology import Ontology, Target
from perception.core.types import (
    ExportSummary,
    Masks,
    PictureLabels,
    SampleLabels,
    Status,
)
from perception.formats import (
    LABEL,
    Tally,
    fates,
    known_of,
    number_or_none,
    pictures_of,
)
from perception.io.files import replacing


def write(
    samples: Iterable[SampleLabels],
    out: Path,
    target: Target,
    *,
    statuses: frozenset[Status],
    ontology: Ontology | None = None,
) -> ExportSummary:
    """Write the instances file `out` (.json); annotations stream, so memory holds one sample.

    Besides it holds the images' rows, about 120 bytes each. Each row has a line of its own, for
    `read_written`.

    Args:
        samples: Labels; images are numbered from 1 in their order.
        out: The JSON file.
        target: Class ids and names to write.
        statuses: Instances with these are labels; the others are written with `iscrowd` 1.
        ontology: Where the supercategories come from; "" without it.

    Raises:
        RequestError: `export.collision` for a file name that comes twice, `path.outside_root`.
    """
    tally, images = Tally(), list[bytes]()
    with replacing(out) as stream:
        stream.write(b'{"info": {"description": "driving-perception labels"}, "licenses": [],\n')
        stream.write(b'"categories": ' + _dumps(_categories(target, ontology)))
        stream.write(b',\n"annotations": [')
        annotation_id = 0
        for sample, picture, image_id in _numbered(samples, tally):
            height, width = picture.size_hw
            images.append(
                _dumps(
                    {
                        "id": image_id,
                        "width": width,
                        "height": height,
                        "file_name": picture.file_name,
                    }
                )
            )
            for row, fate in fates(picture.instances, target, statuses):
                if fate in {"mask.empty", "class.ignored"}:
                    tally.left_out[fate] += 1
                    continue
                annotation_id += 1
                tally.labels += fate == LABEL
                tally.ignored += fate != LABEL
                annotation = {
                    "id": annotation_id,
                    "image_id": image_id,
                    "category_id": target.ids[int(picture.instances.class_ids[row])],
                    "iscrowd": int(fate != LABEL),
                    **_shape(picture.instances.masks, row),
                    **known_of(picture.instances, row),
                    "sample_id": sample.id,
                    "camera": picture.camera,
                }
                stream.write((b",\n" if annotation_id > 1 else b"\n") + _dumps(annotation))
        start = b"\n" if images else b""
        stream.write(b'],\n"images": [' + start + b",\n".join(images) + b"]}\n")
    return tally.summary()


def write_results(
    samples: Iterable[SampleLabels],
    out: Path,
    target: Target,
    *,
    statuses: frozenset[Status],
    image_ids: Mapping[str, int] | None = None,
) -> ExportSummary:
    """Write the results file `out` (.json): a list of rows for `COCO.loadRes`, without boxes.

    Args:
        samples: Labels.
        out: The JSON file.
        target: Class ids to write.
        statuses: Instances with these are results; the others are left out.
        image_ids: File name to the image id of the ground truth; by default numbered as in `write`.

    Raises:
        RequestError: `export.unknown_image` for a picture that `image_ids` lacks.
    """
    tally, first = Tally(), True
    with replacing(out) as stream:
        stream.write(b"[")
        for _, picture, number in _numbered(samples, tally):
            image_id = number if image_ids is None else image_ids.get(picture.file_name)
            if image_id is None:
                raise RequestError(
                    "export.unknown_image",
                    f"{out}: the ground truth has no image with file_name {picture.file_name!r}",
                )
            for row, fate in fates(picture.instances, target, statuses):
                if fate != LABEL:
                    tally.left_out[fate] += 1
                    continue
                tally.labels += 1
                result = {
                    "image_id": image_id,
                    "category_id": target.ids[int(picture.instances.class_ids[row])],
                    "segmentation": rle.to_coco(picture.instances.masks, row),
                    "score": number_or_none(picture.instances.scores[row]),
                }
                stream.write((b"\n" if first else b",\n") + _dumps(result))
                first = False
        stream.write(b"]\n")
    return tally.summary()


def _numbered(
    samples: Iterable[SampleLabels], tally: Tally
) -> Iterator[tuple[SampleLabels, PictureLabels, int]]:
    for number, (sample, picture, _) in enumerate(pictures_of(samples, tally), start=1):
        yield sample, picture, number


def _dumps(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False).encode("ascii")


def _categories(target: Target, ontology: Ontology | None) -> list[dict[str, Any]]:
    parents: dict[int, str] = {}
    if ontology is not None:
        for class_id, category_id in target.ids.items():
            parents.setdefault(category_id, ontology.by_id(class_id).parent)
    return [
        {"id": category_id, "name": name, "supercategory": parents.get(category_id, "")}
        for category_id, name in sorted(target.names.items())
    ]


def _shape(masks: Masks, row: int) -> dict[str, Any]:
    x0, y0, x1, y1 = masks.boxes_xyxy[row].tolist()
    return {
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int(rle.decode_crop(masks, row).sum()),
        "segmentation": rle.to_coco(masks, row),
    }
