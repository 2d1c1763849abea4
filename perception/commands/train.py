"""Train a detector on a YOLO export, and write a card beside the weights that says what it is."""

import codecs
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from perception.core.config import ObserveConfig, TrainConfig
from perception.core.errors import RequestError, SampleError
from perception.core.progress import phase
from perception.core.split import Split, split
from perception.core.types import Float32, Picture, UInt8
from perception.core.version import __version__
from perception.evaluation.training import SAMPLES, draw_sample, write_training_page
from perception.formats import yolo
from perception.formats.yolo_rows import Meaning, Row
from perception.io import scratch
from perception.io.files import refuse_occupied
from perception.io.images import is_read, read_image
from perception.models import given_boxes, weights
from perception.models.backends import detector_resolved
from perception.models.given_boxes.yolo_meaning import understand
from perception.models.registry import DETECTORS, TRAINERS, choose_detector
from perception.runs import folder, records

Task = Literal["detect", "segment"]
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
        model: An architecture that ultralytics ships ("yolo11n.yaml"), weights to start from, or
            the name of known ones ("yolo11n"), which are fetched.
        val: A YOLO export to measure on.
        split: Share of the data that is held out to measure on, whole recordings together where
            names tell them; with 0 and no `val`, the training data are measured on.
        trust_weights: Load pickled weights whose hash is not known.
        offline: Fetch nothing.
        config: Epochs, sizes, seed.
    """

    data: Path
    out: Path
    model: str
    val: Path | None = None
    split: float = 0.0
    trust_weights: bool = False
    offline: bool = False
    config: TrainConfig = field(default_factory=TrainConfig)


@dataclass(frozen=True)
class _Start:
    """What a training starts from.

    Attributes:
        model: For the trainer: an architecture, or the path of weights.
        name: For people.
        task: Whether polygons train masks, or boxes are all.
        sha256: Of the weights; "" for an architecture.
        licence: Of the weights; "" for an architecture.
    """

    model: str
    name: str
    task: Task
    sha256: str = ""
    licence: str = ""


def train(request: TrainRequest, tell: Callable[[str], None] = phase) -> dict[str, Any]:
    """Train, and return the card.

    Args:
        request: What is asked.
        tell: Called with one sentence before weights are fetched.

    Raises:
        RequestError: before any work, for anything wrong with the request.
    """
    data, out = request.data, request.out
    names = _names(data)
    if request.val is not None and _names(request.val) != names:
        raise RequestError(
            "data.mismatch",
            f"{request.val}: its class names {_names(request.val)} are not those of {data}: "
            f"{names}",
        )
    apart = _split(request)
    refuse_occupied(out)
    described = _described(data, names)
    with _sides(request, apart) as (trained, val):
        described_val = _described(val, names)
        start = _start(request, names, tell)
        out.mkdir(parents=True, exist_ok=True)
        trainer = pkgutil.resolve_name(TRAINERS["yolo"])
        figures = trainer(start.model, trained, val, names, out, request.config)
        measured = _measured(request, apart)
        card = {
            "model": start.name,
            # An architecture of one's own may segment and not say so in its name.
            "task": "segment" if any(name.endswith("(M)") for name in figures) else start.task,
            "started_from_sha256": start.sha256,
            "started_from_licence": start.licence,
            "sha256": {name: weights.sha256_of(out / name) for name in ("best.pt", "best.onnx")},
            "classes": list(names),
            "data": described,
            "val": described_val,
            "val_is_train": request.val in (None, data) and apart is None,
            "measured_on": measured,
            "split": _stated(request, apart),
            "settings": request.config.model_dump(mode="json"),
            "figures": figures,
            "limits": LIMITS,
            "licence": LICENCE,
            "code_version": __version__,
            "libraries": folder.installed_libraries(),
        }
        records.write_json(out / "card.json", card)
        lines = [
            f"{name} {value:.4f}, measured on {measured}" for name, value in sorted(figures.items())
        ]
        write_training_page(out, f"Training of {start.name}", lines, _samples(val, names, out))
    return card


def _split(request: TrainRequest) -> Split | None:
    """Return which pictures are held out; None where none shall be."""
    if not request.split:
        return None
    if request.val is not None:
        raise RequestError(
            "option.invalid", "--val and --split both say what to measure on: give one"
        )
    if not 0 < request.split < 1:
        raise RequestError(
            "option.invalid", f"--split {request.split:g}: expected a share between 0 and 1"
        )
    images = request.data / "images"
    found = split(
        (path.relative_to(images).as_posix() for path in images.rglob("*") if is_read(path.name)),
        request.split,
        request.config.seed,
    )
    if not found.held_out:
        raise RequestError(
            "data.invalid",
            f"{request.data}: has {len(found.trained)} pictures of one moment, so none can be held "
            "out; drop --split",
        )
    return found


@contextmanager
def _sides(request: TrainRequest, apart: Split | None) -> Iterator[tuple[Path, Path]]:
    """Give the folders to train and to measure on; those of a split lead to its pictures."""
    if apart is None:
        yield request.data, request.val or request.data
        return
    data = request.data.resolve()
    with scratch.folder("split") as place:
        for side, names in (("trained", apart.trained), ("held_out", apart.held_out)):
            for part in ("images", "labels"):
                (place / side / part).mkdir(parents=True)
            (place / side / "data.yaml").symlink_to(data / "data.yaml")
            for name in names:
                image, label = Path("images", name), Path("labels", name).with_suffix(".txt")
                for one in (image, label):
                    link = place / side / one
                    link.parent.mkdir(parents=True, exist_ok=True)
                    # a label once more, for a picture of the same stem, is the same label
                    if (data / one).is_file() and not link.is_symlink():
                        link.symlink_to(data / one)
        yield place / "trained", place / "held_out"


def _stated(request: TrainRequest, apart: Split | None) -> dict[str, Any] | None:
    if apart is None:
        return None
    return {
        "share": request.split,
        "seed": request.config.seed,
        "by": apart.by,
        "groups": apart.groups,
        "trained": len(apart.trained),
        "held_out": list(apart.held_out),
    }


def _measured(request: TrainRequest, apart: Split | None) -> str:
    """Say what the figures hold for."""
    if apart is None:
        same = request.val in (None, request.data)
        return "the training data" if same else "data that it was not trained on"
    count = f"{len(apart.held_out)} of {len(apart.held_out) + len(apart.trained)} pictures held out"
    if apart.by == "recording":
        return f"{count}, whole recordings of {apart.groups} (seed {request.config.seed})"
    return (
        f"{count} one by one (seed {request.config.seed}): names tell no recordings, so neighbours "
        "in time may be among those trained on"
    )


def _start(request: TrainRequest, names: tuple[str, ...], tell: Callable[[str], None]) -> _Start:
    """Check what the training starts from, and fetch it if it is known weights by name.

    Raises:
        RequestError: `weights.*`; `data.invalid` where masks shall be trained on boxes.
    """
    model = request.model
    if model.endswith(".yaml"):
        start = _Start(model, model, "segment" if Path(model).stem.endswith("-seg") else "detect")
        _require_shapes(request, names, start)
        return start
    known = [one.name for one in weights.KNOWN if one.kind == "detector"]
    if not Path(model).exists() and "/" not in model and not Path(model).suffix:
        if model not in known:
            raise RequestError(
                "weights.unknown",
                f"no known detector {model!r} to start from; there are {', '.join(known)}. An "
                f"architecture that starts from nothing ends with .yaml: {model}.yaml",
            )
        model = weights.path_of(model, tell, offline=request.offline)
    path = Path(model)
    sha256 = weights.check(path)
    weights.require_trusted_pickle(path, request.trust_weights)
    network = (weights.network_class(path) or "").rpartition(".")[2]
    if network in {"PoseModel", "OBBModel", "ClassificationModel"}:
        raise RequestError(
            "weights.invalid", f"{path}: is a {network}, expected one that detects or segments"
        )
    task: Task = "segment" if network == "SegmentationModel" else "detect"
    licence = weights.licence_of(path, sha256)
    start = _Start(model, path.name, task, sha256, licence)
    _require_shapes(request, names, start)
    return start


def _require_shapes(request: TrainRequest, names: tuple[str, ...], start: _Start) -> None:
    """Refuse boxes where masks are trained: ultralytics would leave their pictures out."""
    if start.task == "detect":
        return
    for folder_ in filter(None, (request.data, request.val)):
        for path in sorted((folder_ / "labels").rglob("*.txt")):
            if any(len(values) == 4 for _, _, values in yolo.read_rows(path, len(names))):
                raise RequestError(
                    "data.invalid",
                    f"{path}: holds boxes, and {start.name} learns masks from polygons; start from "
                    "a detector, such as yolo11n.yaml, or export polygons: perception export RUN "
                    "--to yolo",
                )


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
