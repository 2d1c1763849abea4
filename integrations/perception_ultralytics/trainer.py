"""Training through ultralytics' own trainer: offline, quiet, nothing written beside the data."""

import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml

from perception.bootstrap import harden, refuse_compromised
from perception.config import TrainConfig
from perception.errors import RequestError

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


def train(
    model: str, data: Path, val: Path, names: tuple[str, ...], out: Path, config: TrainConfig
) -> dict[str, float]:
    """Train a YOLO model and leave OUT/best.pt.

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
    harden()
    try:
        import torch
        import ultralytics
        from ultralytics.models import YOLO
        from ultralytics.utils import SETTINGS
    except ModuleNotFoundError as error:
        raise RequestError(
            "extra.missing",
            f"training needs {error.name}: pip install 'driving-perception[ultralytics]'",
        ) from error
    refuse_compromised(ultralytics.__version__)
    settings: Any = SETTINGS
    settings.update({name: False for name in TRACKERS if name in settings})
    logging.getLogger("ultralytics").setLevel(logging.ERROR)
    torch.set_num_threads(config.threads)
    try:
        network = YOLO(model)
    except Exception as error:  # whatever the loaders raise: the model is at fault
        raise RequestError(
            "weights.invalid", f"{model}: ultralytics has or reads no such model: {error}"
        ) from error
    with tempfile.TemporaryDirectory(prefix="perception-train-") as scratch:
        figures = network.train(
            data=str(_linked(Path(scratch), data, val, names)),
            epochs=config.epochs,
            imgsz=config.image_px,
            batch=config.batch,
            device=config.device,
            seed=config.seed,
            deterministic=True,
            workers=0,
            amp=False,  # its check downloads a model
            plots=False,  # its font is downloaded
            verbose=False,
            project=scratch,
            name="run",
            **AUGMENTATION,
        )
        shutil.copyfile(Path(scratch) / "run" / "weights" / "best.pt", out / "best.pt")
    found: dict[str, float] = {key: float(value) for key, value in figures.results_dict.items()}
    return found


def _linked(scratch: Path, data: Path, val: Path, names: tuple[str, ...]) -> Path:
    """Link the files into folders of our own.

    Ultralytics writes a pickled cache beside the labels, and would unpickle one that lies there.
    """
    for name, source in (("train", data.resolve()), ("val", val.resolve())):
        for part, pattern in (("images", "*"), ("labels", "*.txt")):
            for path in sorted((source / part).rglob(pattern)):
                link = scratch / name / path.relative_to(source)
                if path.is_file():
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(path)
    path = scratch / "data.yaml"
    values = {
        "path": str(scratch),
        "train": "train/images",
        "val": "val/images",
        "names": dict(enumerate(names)),
    }
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path
