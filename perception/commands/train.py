"""Train a detector on a YOLO export, and write a card beside the weights that says what it is."""

import codecs
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from perception.core.config import ObserveConfig, TrainConfig
from perception.core.errors import RequestError, SampleError
from perception.core.types import Float32, Picture, UInt8
from perception.core.version import __version__
from perception.evaluation.training import SAMPLES, draw_sample, write_training_page
from perception.formats import yolo
from perception.formats.yolo_rows import Meaning, Row
from perception.io.files import refuse_occupied
from perception.io.images import is_read, read_image
from perception.models import given_boxes, weights
from perception.models.backends import detector_resolved
from perception.models.given_boxes.yolo_meaning import understand
from perception.models.registry import DETECTORS, TRAINERS, choose_detector
from perception.runs import folder, records

LICENCE = "AGPL-3.0-only"  # Ultralytics claims models trained with its code
LIMITS = (
    "Figures hold for data like that of `val`; where `val` is the training data they say nothing "
    "about other data. No other test was made."
)


@dataclass(frozen=True)
class TrainRequest:
    """A request to train a detector.

    Attributes:
        data: A YOLO export (`perception export RUN --to yolo`).
        out: Folder for best.pt, best.onnx, card.json and index.html; must not hold anything.
        model: An architecture that ultralytics ships ("yolo11n.yaml") or weights to start from.
        val: A YOLO export to measure on; the training data where None.
        trust_weights: Load pickled weights whose hash is not known.
        config: Epochs, sizes, seed.
    """

    data: Path
    out: Path
    model: str
    val: Path | None = None
    trust_weights: bool = False
    config: TrainConfig = field(default_factory=TrainConfig)


def train(request: TrainRequest) -> dict[str, Any]:
    """Train, and return the card.

    Raises:
        RequestError: before any work, for anything wrong with the request.
    """
    data, val, out = request.data, request.val or request.data, request.out
    names = _names(data)
    if _names(val) != names:
        raise RequestError(
            "data.mismatch",
            f"{val}: its class names {_names(val)} are not those of {data}: {names}",
        )
    refuse_occupied(out)
    described, described_val = _described(data, names), _described(val, names)
    start = ""
    if not request.model.endswith(".yaml"):
        start = weights.check(Path(request.model))
        weights.require_trusted_pickle(Path(request.model), request.trust_weights)
    out.mkdir(parents=True, exist_ok=True)
    trainer = pkgutil.resolve_name(TRAINERS["yolo"])
    figures = trainer(request.model, data, val, names, out, request.config)
    card = {
        "model": request.model if not start else Path(request.model).name,
        "started_from_sha256": start,
        "sha256": {name: weights.sha256_of(out / name) for name in ("best.pt", "best.onnx")},
        "classes": list(names),
        "data": described,
        "val": described_val,
        "val_is_train": val == data,
        "settings": request.config.model_dump(mode="json"),
        "figures": figures,
        "limits": LIMITS,
        "licence": LICENCE,
        "code_version": __version__,
        "libraries": folder.installed_libraries(),
    }
    records.write_json(out / "card.json", card)
    measured = "the training data" if card["val_is_train"] else "data that it was not trained on"
    lines = [
        f"{name} {value:.4f}, measured on {measured}" for name, value in sorted(figures.items())
    ]
    write_training_page(out, f"Training of {card['model']}", lines, _samples(val, names, out))
    return card


def _samples(val: Path, names: tuple[str, ...], out: Path) -> Iterator[tuple[str, UInt8]]:
    """Yield some pictures of `val`, evenly spaced, with their boxes and those that are found."""
    choice = choose_detector(str(out / "best.onnx"), trust_weights=False)
    config = detector_resolved(ObserveConfig(), choice.can)
    detector = pkgutil.resolve_name(DETECTORS[choice.spec.kind])(choice.path, config)
    images = sorted(path for path in (val / "images").rglob("*") if is_read(path.name))
    for place in np.unique(np.linspace(0, len(images) - 1, min(SAMPLES, len(images))).round()):
        path = images[int(place)]
        name = path.relative_to(val / "images")
        try:
            image_rgb = read_image(path).image_rgb
        except SampleError:
            continue  # the trainer left it out as well, or reads more than we do
        found = detector(Picture("", str(name), image_rgb))
        rows = (val / "labels" / name).with_suffix(".txt")
        shapes = (
            [values for _, _, values in yolo.read_rows(rows, len(names))] if rows.is_file() else []
        )
        yield (
            name.as_posix(),
            draw_sample(image_rgb, _boxes(shapes, image_rgb.shape[:2]), found.boxes_xyxy),
        )


def _boxes(shapes: list[list[float]], size_hw: tuple[int, int]) -> Float32:
    """Return (N, 4) pixels, xyxy, of the boxes and polygons of a YOLO file."""
    boxes = np.zeros((len(shapes), 4), np.float32)
    for row, values in enumerate(shapes):
        places = np.array(values).reshape(-1, 2)
        if len(values) == 4:  # centre and sides
            boxes[row] = np.concatenate([places[0] - places[1] / 2, places[0] + places[1] / 2])
        else:
            boxes[row] = np.concatenate([places.min(axis=0), places.max(axis=0)])
    return boxes * np.array([size_hw[1], size_hw[0]] * 2, np.float32)


def _names(data: Path) -> tuple[str, ...]:
    if not (data / "images").is_dir() or not (data / "labels").is_dir():
        raise RequestError(
            "data.invalid", f"{data}: is no YOLO export: expected images/, labels/ and data.yaml"
        )
    return yolo.read_names(data / "data.yaml")


def _described(data: Path, names: tuple[str, ...]) -> dict[str, Any]:
    files = sorted((data / "labels").rglob("*.txt"))
    return {
        "images": len(files),
        "objects": _count_rows(files, names),
        "sha256": given_boxes.digest(str(data), data, (data / "data.yaml",)),
    }


def _count_rows(files: list[Path], names: tuple[str, ...]) -> int:
    """Count the objects; every row must be what the trainer takes it for.

    Raises:
        RequestError: `data.invalid` for rows that it would read as something else, with scores,
            track ids or key points, and for files that it would drop with their pictures.
    """
    rows = list[Row]()
    for path in files:
        try:
            found = list(yolo.read_rows(path, len(names)))
        except SampleError as error:
            raise RequestError("data.invalid", f"{error.message}; mend it or remove it") from error
        if len({len(values) == 4 for _, _, values in found}) > 1:
            raise RequestError(
                "data.invalid", f"{path}: holds boxes and polygons, expected one kind in a file"
            )
        if path.read_bytes()[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise RequestError(
                "data.invalid", f"{path}: is UTF-16, which YOLO skips; save as UTF-8"
            )
        rows += [Row(where, number, values, "") for where, number, values in found]
    if understand(rows, (0, 2)) != Meaning():
        raise RequestError(
            "data.invalid",
            f"{files[0].parent}: rows end with scores and track ids, which YOLO would read as "
            "points; leave them out",
        )
    return len(rows)
