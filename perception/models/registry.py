"""The one table of models: kind -> "module:function". Importing it imports none of them.

Each function takes the weights' path and the `observe` settings and returns the model. A new back
end is a line here and a package in integrations/.
"""

import pkgutil
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from perception.core.config import ModelSpec, ObserveConfig
from perception.core.errors import RequestError
from perception.models import weights
from perception.models.backends import detector_resolved, segmenter_resolved
from perception.models.capabilities import Capabilities
from perception.models.class_names import parse_names, read_names
from perception.models.protocols import Detector, Promptable, Segmenter, SizedDetector
from perception.models.tiles import TiledDetector

DETECTORS = {
    "onnx": "perception_onnx.detector:load_detector",
    "yolo": "perception_ultralytics.detector:load_detector",
    "bright": "perception.models.fakes:load_bright_detector",
    "four-cars": "perception.models.fakes:load_four_cars",
}
SEGMENTERS = {
    "sam": "perception_sam.loading:load_segmenter",
    "yolo-seg": "perception_ultralytics.segmenter:load_segmenter",
    "grabcut": "perception.models.fakes:load_grabcut",
    "boxes": "perception.models.fakes:load_box_filler",
    "sleep": "perception.models.fakes:load_sleeper",
}
CAPABILITIES = {  # of kinds that are not here nothing is to be chosen
    "onnx": "perception_onnx.capabilities:capabilities",
    "yolo": "perception_ultralytics.capabilities:capabilities",
    "sam": "perception_sam.capabilities:capabilities",
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
NOTHING_TO_CHOOSE = Capabilities()
ENGINES = {"local": "perception.execution.local:run", "ray": "perception_ray.engine:run"}


@dataclass(frozen=True)
class Choice:
    """A model that was asked for.

    Attributes:
        spec: What it is.
        path: Where its weights lie on this machine.
        can: What it can do.
        class_names: Of a detector, where that is known without loading it; () where it is not.
        notices: What was understood of it, one sentence each.
    """

    spec: ModelSpec
    path: Path
    can: Capabilities = NOTHING_TO_CHOOSE
    class_names: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def choose_detector(text: str, trust_weights: bool, names: str = "") -> Choice:
    """Resolve `--detector`: the name of a model without weights, or YOLO or YOLOX weights.

    Args:
        text: What `--detector` said.
        trust_weights: Whether a pickle of unknown hash may be loaded.
        names: A file of class names for ONNX weights; "" for those that the weights state.

    Raises:
        RequestError: `weights.missing`, `weights.corrupt`, `weights.untrusted`, `weights.invalid`;
            `config.invalid` for names that this detector cannot take; those of `read_names`.
    """
    path = Path(text)
    if names and path.suffix != ".onnx":
        raise RequestError(
            "config.invalid", f"--names {names}: names the classes of an .onnx detector, not {text}"
        )
    if text in {"bright", "four-cars"}:
        return Choice(ModelSpec(kind=text), Path())
    if path.suffix not in {".pt", ".onnx"}:
        raise RequestError(
            "weights.invalid",
            f"--detector {text}: expected YOLO weights (.pt, .onnx) or YOLOX weights (.onnx)",
        )
    if path.suffix == ".onnx":
        return _with_names(_with_weights("onnx", path), names)
    choice = _with_weights("yolo", path)
    weights.require_trusted_pickle(path, trust_weights)
    _refuse_other_pickles(path)
    return choice


def _with_names(choice: Choice, names: str) -> Choice:
    """Return ONNX weights with class names from a file, or with a notice that they have none."""
    if names:
        given = read_names(Path(names))
        spec = choice.spec.model_copy(update={"class_names": given})
        return replace(choice, spec=spec, class_names=given)
    stated = weights.onnx_metadata(choice.path).get("names", "{}")
    if stated not in {"{}", "[]", ""}:
        with suppress(ValueError):  # whoever loads it says what is wrong with them
            return replace(choice, class_names=parse_names(stated))
        return choice
    notice = (
        f"{choice.spec.file_name} names no classes: where it knows 80, they are taken for COCO's; "
        "--names FILE says otherwise"
    )
    return replace(choice, notices=(notice,))


def _refuse_other_pickles(path: Path) -> None:
    """Refuse `.pt` files that hold no network of ultralytics, before anything loads them."""
    network = weights.network_class(path)
    if network is None or network.startswith("ultralytics."):
        return
    if network.startswith("models."):
        what = f"is YOLOv5's or YOLOv7's own checkpoint ({network})"
    elif network:
        what = f"holds a network of {network}"
    else:
        what = "holds tensors alone, without the network that they belong to"
    raise RequestError(
        "weights.invalid",
        f"--detector {path}: {what}; expected weights that ultralytics has saved, or an ONNX "
        "export of these, made where they come from",
    )


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
    if path.suffix not in {".pt", ".pth", weights.SAFETENSORS}:
        raise RequestError(
            "weights.invalid",
            f"--segmenter {text}: expected a SAM checkpoint (.pt, .pth, .safetensors), YOLO-seg "
            "weights (.onnx), grabcut or boxes",
        )
    choice = _with_weights("sam", path)
    network = weights.network_class(path)
    if network and network.startswith("ultralytics."):
        raise RequestError(
            "weights.invalid",
            f"--segmenter {text}: these are YOLO weights ({network}), expected a SAM checkpoint; "
            f"to segment with them export them to ONNX: yolo export model={text} format=onnx",
        )
    if network:
        raise RequestError(
            "weights.invalid",
            f"--segmenter {text}: holds a whole network ({network}), expected tensors by name: "
            "save its state_dict() alone",
        )
    return choice


def _with_weights(kind: str, path: Path) -> Choice:
    digest = weights.check(path)
    licence = weights.licence_of(path, digest)
    spec = ModelSpec(kind=kind, file_name=path.name, sha256=digest, licence=licence)
    # Links stay: in a cache of Hugging Face the name, and the files beside it, are the link's.
    return Choice(spec, path.absolute(), capabilities_of(kind, path))


def capabilities_of(kind: str, path: Path) -> Capabilities:
    """Return what the adapter of a kind can do with weights.

    Args:
        kind: Of a detector or a segmenter.
        path: The weights; nothing where a kind has none.
    """
    if kind not in CAPABILITIES:
        return NOTHING_TO_CHOOSE
    found: Capabilities = pkgutil.resolve_name(CAPABILITIES[kind])(path)
    return found


def load_detector(
    kind: str, path: Path, config: ObserveConfig, class_names: tuple[str, ...] = ()
) -> Detector:
    """Build a detector; with tiles where the settings say so and it scales images down.

    Args:
        kind: Key of `DETECTORS`.
        path: Its weights.
        config: Its backend is resolved here where that is still open.
        class_names: What a person calls the classes; of kind "onnx" only.
    """
    can = capabilities_of(kind, path)
    config = detector_resolved(config, can)
    load = pkgutil.resolve_name(DETECTORS[kind])
    if class_names:
        load = partial(load, class_names=class_names)
    if can.scales_down and config.detect_tiles == "native":
        sized: SizedDetector = load(path, config)
        return TiledDetector(sized, config)
    detector: Detector = load(path, config)
    return detector


def load_segmenter(kind: str, path: Path, config: ObserveConfig) -> Segmenter:
    """Build a segmenter."""
    config = segmenter_resolved(config, capabilities_of(kind, path))
    segmenter: Segmenter = pkgutil.resolve_name(SEGMENTERS[kind])(path, config)
    return segmenter


def load_promptable(text: str, config: ObserveConfig) -> Promptable:
    """Build what `--segmenter` names, for any prompt.

    Raises:
        RequestError: `weights.invalid` for a model that answers boxes only; those of
            `choose_segmenter`.
    """
    choice = choose_segmenter(text)
    if "point" not in choice.can.prompts:
        raise RequestError(
            "weights.invalid",
            f"--segmenter {text}: answers boxes only, in a run; expected a SAM checkpoint "
            "(.pt, .pth, .safetensors)",
        )
    promptable: Promptable = pkgutil.resolve_name(PROMPTABLES[choice.spec.kind])(
        choice.path, segmenter_resolved(config, choice.can)
    )
    return promptable
