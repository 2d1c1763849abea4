"""Real street images whose objects are known: folders of Cityscapes and of COCO."""

from dataclasses import dataclass
from pathlib import Path

from perception.core.errors import RequestError
from perception.core.ontology import Ontology
from perception.evaluation import Truth, coco_panoptic, loaders, read_truth
from perception.io.json_files import read_json


@dataclass(frozen=True)
class Streets:
    """Images whose truth is known.

    Attributes:
        name: For people: the folder's.
        images: Their files.
        truth: Finds their objects by the files' names.
    """

    name: str
    images: tuple[Path, ...]
    truth: Truth


def open_streets(root: Path, ontology: Ontology) -> Streets:
    """Open a folder of Cityscapes, or of COCO with a panoptic file.

    Of a panoptic file with `street_image_ids` only those images are taken.

    Raises:
        RequestError: `source.empty`, and those of `read_truth`.
    """
    files = {path.stem: path for path in sorted(root.rglob("*.jpg"))}
    for path in sorted(root.glob("panoptic_*.json")):
        document = read_json(path, "truth.invalid")
        streets = document.get("street_image_ids", [image["id"] for image in document["images"]])
        named = (files.get(f"{number:012d}") for number in streets)
        truth = read_truth(f"{coco_panoptic.PREFIX}{path}", ontology)
        there = tuple(path for path in named if path)
        if not there:
            raise RequestError("source.empty", f"{root}: holds none of the images of {path.name}")
        return Streets(root.name, there, truth)
    images = sorted(root.rglob(f"*{loaders.IMAGE_SUFFIX}.png"))
    if not images:
        raise RequestError(
            "source.empty",
            f"{root}: holds neither *{loaders.IMAGE_SUFFIX}.png (Cityscapes) nor panoptic_*.json "
            "(COCO)",
        )
    return Streets(root.name, tuple(images), read_truth(f"{loaders.CITYSCAPES}{root}", ontology))
