"""Truth from COCO's panoptic files: a JSON file, and a PNG for each image at any depth beside it.

A pixel's segment is R + 256 G + 65536 B (https://cocodataset.org/#format-data, section 4). Things
are objects, crowds (`iscrowd`) are ignored regions of their class, stuff is left out. Masks do not
overlap here: what is hidden belongs to whoever hides it.
"""

from pathlib import Path, PurePosixPath

import numpy as np

from perception.core import masks as masks_
from perception.core.errors import RequestError
from perception.core.ontology import ClassMap, Ontology, load_class_map
from perception.evaluation.truth import TruePicture, Truth, no_points, vocabulary_of
from perception.formats.coco_panoptic import segment_numbers
from perception.io.json_files import read_json

PREFIX = "coco-panoptic:"
DEFAULT_MAP = "coco80-to-road"


def panoptic_truth(path: Path, ontology: Ontology, class_map: ClassMap | None = None) -> Truth:
    """Open a COCO panoptic file; images are matched by the stem of their names.

    Args:
        path: The JSON file; its folder holds the PNG files.
        ontology: The classes of the run.
        class_map: From COCO's names of things to the ontology; without it `coco80-to-road`.

    Raises:
        RequestError: `truth.invalid`, `class.unknown`, `io.not_found`.
    """
    mapping = class_map or load_class_map(DEFAULT_MAP)
    document = read_json(path, "truth.invalid")
    try:
        things = {int(c["id"]): str(c["name"]) for c in document["categories"] if c["isthing"]}
        segments = {
            PurePosixPath(entry["file_name"]).stem: {
                int(segment["id"]): (int(segment["category_id"]), bool(segment["iscrowd"]))
                for segment in entry["segments_info"]
            }
            for entry in document["annotations"]
        }
    except (ValueError, TypeError, KeyError) as error:
        raise RequestError(
            "truth.invalid", f"{path}: is no COCO panoptic file: {type(error).__name__} {error}"
        ) from error
    mapping.check_names(tuple(things.values()))
    mapped = {number: mapping(name) for number, name in things.items()}
    ids = {number: ontology.id_of(name) for number, name in mapped.items() if name is not None}
    images = {image.stem: image for image in sorted(path.parent.rglob("*.png"))}

    def find_picture(name: str) -> TruePicture | None:
        stem = PurePosixPath(name).stem
        if stem not in segments:
            return None
        if stem not in images:
            raise RequestError("io.not_found", f"{path.parent}: holds no {stem}.png")
        return _picture(name, images[stem], segments[stem], ids)

    return Truth(
        name=f"{PREFIX}{path}",
        picture_classes=vocabulary_of(ontology, [n for n in mapped.values() if n is not None]),
        point_classes=vocabulary_of(ontology, ()),
        find_picture=find_picture,
        find_points=no_points,
        image_names=tuple(segments),
    )


def _picture(
    name: str, path: Path, segments: dict[int, tuple[int, bool]], ids: dict[int, int]
) -> TruePicture:
    numbers = segment_numbers(path)
    kept = [(n, ids[kind], crowd) for n, (kind, crowd) in segments.items() if kind in ids]
    rows = tuple(masks_.encode_one(np.asarray(numbers == n)) for n, _, _ in kept)
    masks = masks_.join(rows, (numbers.shape[0], numbers.shape[1]))
    return TruePicture(
        file_name=name,
        size_hw=masks.size_hw,
        masks=masks,
        boxes_xyxy=masks.boxes_xyxy.astype(np.float32),
        class_ids=np.array([class_id for _, class_id, _ in kept], np.int32),
        ignored=np.array([crowd for _, _, crowd in kept], bool),
        instance_ids=np.zeros(len(kept), np.int32),
        ranges_m=np.full(len(kept), np.nan, np.float32),
    )
