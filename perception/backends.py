"""The one table of models: kind -> "module:function". Importing it imports none of them.

Each function takes the weights' path and the `observe` settings and returns the model. A new back
end is a line here and a package in integrations/.
"""

import importlib.util
import pkgutil
from dataclasses import dataclass
from pathlib import Path

from perception import weights
from perception.config import ModelSpec, ObserveConfig
from perception.errors import RequestError
from perception.ports import Detector, Promptable, Segmenter, SizedDetector
from perception.tiles import TiledDetector

DETECTORS = {
    "onnx": "perception_onnx.detector:load_detector",
    "yolo": "perception_ultralytics.detector:load_detector",
    "bright": "perception.fakes:load_bright_detector",
    "four-cars": "perception.fakes:load_four_cars",
}
SIZED = {"onnx", "yolo"}  # detectors that scale images to an input of their own: tiles help them
SEGMENTERS = {
    "sam": "perception_sam.loading:load_segmenter",
    "yolo-seg": "perception_ultralytics.segmenter:load_segmenter",
    "grabcut": "perception.fakes:load_grabcut",
    "boxes": "perception.fakes:load_box_filler",
    "sleep": "perception.fakes:load_sleeper",
}
PROMPTABLES = {"sam": "perception_sam.loading:load_promptable"}
EXPORTERS = {"sam": "perception_sam.exporter:export"}
TRAINERS = {"yolo": "perception_ultralytics.trainer:train"}
RIVALS = {  # what `perception bench` races against
    "auto_annotate": "perception_ultralytics.rivals:auto_annotate",
    "openvino": "perception_ultralytics.rivals:openvino_loop",
    "prepare": "perception_ultralytics.rivals:prepare",
}
CASTERS = {"open3d": "perception_open3d.caster:load_caster"}
RECORDERS = {"rerun": "perception_rerun.recorder:load_recorder"}
ENGINES = {"local": "perception.engine.local:run", "ray": "perception_ray.engine:run"}


@dataclass(frozen=True)
class Choice:
    """A model that was asked for: what it is, and where its weights lie on this machine."""

    spec: ModelSpec
    path: Path


def choose_detector(text: str, trust_weights: bool) -> Choice:
    """Resolve `--detector`: the name of a model without weights, or YOLO or YOLOX weights.

    Raises:
        RequestError: `weights.missing`, `weights.corrupt`, `weights.untrusted`.
    """
    if text in {"bright", "four-cars"}:
        return Choice(ModelSpec(kind=text), Path())
    path = Path(text)
    if path.suffix not in {".pt", ".onnx"}:
        raise RequestError(
            "weights.invalid",
            f"--detector {text}: expected YOLO weights (.pt, .onnx) or YOLOX weights (.onnx)",
        )
    if path.suffix == ".onnx":
        return _with_weights("onnx", path)
    choice = _with_weights("yolo", path)
    weights.require_trusted_pickle(path, trust_weights)
    return choice


def resolve_engine(config: ObserveConfig, kind: str) -> ObserveConfig:
    """Fix `detect_engine` for a detector of a kind: the boxes depend on it.

    ONNX files: OpenVINO where it is installed and the device is the CPU, since it takes about half
    of ONNX Runtime's time there; else ONNX Runtime. Other kinds have no choice, and keep "auto".

    Raises:
        RequestError: `config.invalid` for an engine that this detector does not run in.
    """
    engine = config.detect_engine
    if kind != "onnx":
        if engine != "auto":
            raise RequestError(
                "config.invalid",
                f"--detect-engine {engine} runs .onnx detectors; this one is of the kind {kind}: "
                "leave it at auto, or export the weights to ONNX",
            )
        return config
    if engine == "openvino" and config.device != "cpu":
        raise RequestError(
            "config.invalid",
            f"--detect-engine openvino runs on the CPU, found --device {config.device}; "
            "use --detect-engine onnxruntime",
        )
    if engine == "auto":
        openvino = config.device == "cpu" and importlib.util.find_spec("openvino") is not None
        engine = "openvino" if openvino else "onnxruntime"
    return config.model_copy(update={"detect_engine": engine})


def choose_segmenter(text: str) -> Choice:
    """Resolve `--segmenter`: "grabcut", "boxes", a SAM checkpoint, or YOLO-seg weights as ONNX.

    Raises:
        RequestError: `weights.missing`, `weights.corrupt`, `weights.invalid`.
    """
    if text in {"grabcut", "boxes", "sleep"}:
        return Choice(ModelSpec(kind=text), Path())
    path = Path(text)
    if path.suffix == ".onnx":
        choice = _with_weights("yolo-seg", path)
        task = weights.onnx_metadata(path).get("task", "unknown")
        if task != "segment":
            raise RequestError(
                "weights.invalid",
                f"--segmenter {text}: its metadata says task {task}, expected segment (YOLO-seg)",
            )
        return choice
    if path.suffix not in {".pt", ".pth"}:
        raise RequestError(
            "weights.invalid",
            f"--segmenter {text}: expected a SAM checkpoint (.pt, .pth), YOLO-seg weights (.onnx), "
            "grabcut or boxes",
        )
    return _with_weights("sam", path)


def _with_weights(kind: str, path: Path) -> Choice:
    digest = weights.check(path)
    licence = weights.licence_of(path, digest)
    spec = ModelSpec(kind=kind, file_name=path.name, sha256=digest, licence=licence)
    return Choice(spec, path.resolve())


def load_detector(kind: str, path: Path, config: ObserveConfig) -> Detector:
    """Build a detector; with tiles where the settings say so and it scales images down.

    Args:
        kind: Key of `DETECTORS`.
        path: Its weights.
        config: Its engine is resolved here where that is still open, see `resolve_engine`.
    """
    config = resolve_engine(config, kind)
    if kind in SIZED and config.detect_tiles == "native":
        sized: SizedDetector = pkgutil.resolve_name(DETECTORS[kind])(path, config)
        return TiledDetector(sized, config)
    detector: Detector = pkgutil.resolve_name(DETECTORS[kind])(path, config)
    return detector


def load_segmenter(kind: str, path: Path, config: ObserveConfig) -> Segmenter:
    """Build a segmenter."""
    segmenter: Segmenter = pkgutil.resolve_name(SEGMENTERS[kind])(path, config)
    return segmenter


def load_promptable(text: str, config: ObserveConfig) -> Promptable:
    """Build what `--segmenter` names, for any prompt.

    Raises:
        RequestError: `weights.invalid` for a model that answers boxes only; those of
            `choose_segmenter`.
    """
    choice = choose_segmenter(text)
    if choice.spec.kind not in PROMPTABLES:
        raise RequestError(
            "weights.invalid",
            f"--segmenter {text}: answers boxes only, in a run; expected a SAM checkpoint "
            "(.pt, .pth)",
        )
    promptable: Promptable = pkgutil.resolve_name(PROMPTABLES[choice.spec.kind])(
        choice.path, config
    )
    return promptable
