"""Training through ultralytics' own trainer: offline, quiet, nothing written beside the data."""

import csv
import itertools
import logging
import shutil
from pathlib import Path
from typing import Any

import yaml

from perception.core.config import TrainConfig
from perception.core.errors import RequestError
from perception.core.progress import step
from perception.io import scratch
from perception_ultralytics.exporter import export_onnx
from perception_ultralytics.loading import import_yolo

# Callbacks to services and trackers that ultralytics turns on when it finds them installed.
TRACKERS = (
    *("clearml", "comet", "dvc", "hub", "mlflow", "neptune"),
    *("raytune", "tensorboard", "wandb", "sync"),
)
# Augmentation that keeps boxes and segments true: colour, mirroring, scale, shift. The others cut
# or blend objects whose truth is then no longer exact.
AUGMENTATION: dict[str, Any] = {
    **dict.fromkeys(("mosaic", "mixup", "cutmix", "copy_paste"), 0.0),
    **dict.fromkeys(("degrees", "shear", "perspective", "erasing"), 0.0),
}
LEARNING_RATE = 0.001  # AdamW's own default


def train(
    model: str, data: Path, val: Path, names: tuple[str, ...], out: Path, config: TrainConfig
) -> dict[str, float]:
    """Train a YOLO model and leave OUT/best.pt, OUT/best.onnx and OUT/curves.csv.

    Args:
        model: An architecture that ultralytics ships ("yolo11n.yaml") or the path of weights.
        data: A YOLO export: images/ and labels/.
        val: Another one, or the same, to measure on.
        names: Class names, in the order of their numbers.
        out: An existing folder.
        config: Epochs, sizes, seed.

    Returns:
        The trainer's own figures on `val`: precision, recall, AP50, AP50-95 of boxes (and masks).

    Raises:
        RequestError: `extra.missing`, `security.*`, `weights.invalid`.
    """
    yolo = import_yolo("training")
    import torch
    from ultralytics.utils import SETTINGS

    settings: Any = SETTINGS
    settings.update({name: False for name in TRACKERS if name in settings})
    logging.getLogger("ultralytics").setLevel(logging.ERROR)

    def prepare(trainer: Any) -> None:
        torch.set_num_threads(config.threads)  # ultralytics takes one core less than there are
        if config.device == "cpu":  # a third less time per step (two cores, yolo11n)
            trainer.model.to(memory_format=torch.channels_last)

    steps = itertools.count(1)

    def tell(trainer: Any) -> None:
        batches = len(trainer.train_loader) * config.epochs
        losses = trainer.label_loss_items(trainer.tloss)
        said = ", ".join(f"{name.rpartition('/')[2]} {value:.2f}" for name, value in losses.items())
        step(next(steps), batches, f"epoch {trainer.epoch + 1}/{config.epochs}, {said}")

    try:
        network = yolo(model)
    except Exception as error:  # whatever the loaders raise: the model is at fault
        raise RequestError(
            "weights.invalid", f"{model}: ultralytics has or reads no such model: {error}"
        ) from error
    network.add_callback("on_train_start", prepare)
    network.add_callback("on_train_batch_end", tell)
    with scratch.folder("train") as place:
        figures = network.train(
            data=str(_linked(place, data, val, names)),
            rect=_same_shape(data),  # no padding to a square
            project=str(place),
            name="run",
            **_options(config),
        )
        shutil.copyfile(place / "run" / "weights" / "best.pt", out / "best.pt")
        _write_curves(place / "run" / "results.csv", out / "curves.csv")
    export_onnx(out / "best.pt", out / "best.onnx", config.image_px)
    found: dict[str, float] = {key: float(value) for key, value in figures.results_dict.items()}
    return found


def _write_curves(results: Path, out: Path) -> None:
    """Write what the trainer notes of each epoch, without the clock."""
    with results.open(newline="", encoding="utf-8") as source:
        rows = [
            {key.strip(): value.strip() for key, value in row.items()}
            for row in csv.DictReader(source)
        ]
    with out.open("w", newline="", encoding="utf-8") as target:
        names = [name for name in rows[0] if name != "time"]
        writer = csv.DictWriter(target, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _options(config: TrainConfig) -> dict[str, Any]:
    return {
        "epochs": config.epochs,
        "imgsz": config.image_px,
        "batch": config.batch,
        # Named, since "auto" goes by the number of classes. A tenth of the run warms up, not
        # three of perhaps five epochs.
        "optimizer": "AdamW",
        "lr0": LEARNING_RATE,
        "warmup_epochs": config.epochs / 10,
        "nbs": config.batch,  # a step per batch: by default gradients gather to 64 images
        "device": config.device,
        "seed": config.seed,
        "deterministic": True,
        "workers": 0,
        "amp": False,  # its check downloads a model
        "plots": False,  # its font is downloaded
        "verbose": False,
        **AUGMENTATION,
    }


def _same_shape(data: Path) -> bool:
    """Tell whether all pictures have one shape; with several, `rect` would forbid shuffling."""
    from PIL import Image

    shapes = set()
    for path in sorted((data / "images").rglob("*")):
        if path.is_file():
            with Image.open(path) as image:
                shapes.add(image.size)
    return len(shapes) == 1


def _linked(place: Path, data: Path, val: Path, names: tuple[str, ...]) -> Path:
    """Link the files into folders of our own.

    Ultralytics writes a pickled cache beside the labels, and would unpickle one that lies there.
    """
    for name, source in (("train", data.resolve()), ("val", val.resolve())):
        for part, pattern in (("images", "*"), ("labels", "*.txt")):
            for path in sorted((source / part).rglob(pattern)):
                link = place / name / path.relative_to(source)
                if path.is_file():
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(path)
    path = place / "data.yaml"
    values = {
        "path": str(place),
        "train": "train/images",
        "val": "val/images",
        "names": dict(enumerate(names)),
    }
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path
