"""Settings: frozen models with defaults in code. YAML only overrides; unknown keys are refused.

`observe` settings decide what is seen and cost the models again when they change; `decide` settings
can be changed at any time with `perception relabel`.
"""

from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from perception.core.errors import RequestError
from perception.core.limits import MAX_MEGAPIXELS, MOST_MEGAPIXELS
from perception.core.text import text_of

MAX_YAML_BYTES = 1 << 20
MAX_YAML_DEPTH = 32  # PyYAML composes by recursion
_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


Mode = Literal["detail", "exact", "fast"]
Inference = Literal["auto", "openvino", "torch"]
Precision = Literal["auto", "fp32", "mixed", "bf16"]


class Settings(BaseModel):
    """Base of all settings: frozen; unknown keys and numbers that are not finite are refused."""

    # not as class keywords: mypy would then want frozen=True at every subclass
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


AnySettings = TypeVar("AnySettings", bound=Settings)


class ObserveConfig(Settings):
    """How the models look."""

    min_score: float = Field(default=0.2, ge=0, le=1)  # what is below was never seen
    nms_iou: float = Field(default=0.7, ge=0, le=1)  # ultralytics' own default, per class
    device: str = "cpu"
    threads: int = Field(default=0, ge=0)  # per model; 0: all cores shared out over the workers
    # samples looked at side by side, on threads / lanes cores each; 0: request.resolve chooses
    lanes: int = Field(default=0, ge=0)
    prompt_chunk: int = Field(default=8, ge=1)  # boxes decoded together; bounds the memory
    wobble: int = Field(default=0, ge=0, le=64)  # jittered boxes per box, decoded again; 0: none
    mode: Mode = "detail"  # of SAM: what an image is cut into
    inference: Inference = "auto"  # of SAM: see perception.models.inference
    precision: Precision = "auto"  # of SAM: see perception.models.inference
    # of .onnx detectors; auto: see backends.resolve_engine. They find different boxes.
    detect_engine: Literal["auto", "onnxruntime", "openvino"] = "auto"
    detect_tiles: Literal["native", "off"] = "native"  # where an image is larger than the input
    tile_merge_iou: float = Field(default=0.5, ge=0, le=1)  # above: one object seen in two tiles
    # of pictures without calibration: as EXIF says, or as they are stored
    orientation: Literal["upright", "stored"] = "upright"
    # of a picture; larger ones are refused. A worker holds six and more at once, 3 bytes a pixel
    max_megapixels: int = Field(default=MAX_MEGAPIXELS, ge=1, le=MOST_MEGAPIXELS)
    # numbers per point of a sweep without a header (.bin); 0: as the layout has it
    columns: Literal[0, 3, 4, 5, 6, 7, 8, 9, 10] = 0


class EverythingConfig(Settings):
    """Which masks a grid of points leaves; defaults of SamAutomaticMaskGenerator."""

    points_per_side: int = Field(default=32, ge=1, le=256)
    min_predicted_iou: float = 0.88
    min_stability: float = Field(default=0.95, ge=0, le=1)
    nms_iou: float = Field(default=0.7, ge=0, le=1)  # of the masks' bounds
    min_region_px: int = Field(default=0, ge=0)  # smaller holes and islands go; 0: all stay


class JudgeConfig(Settings):
    """When an instance is good, doubtful or bad."""

    min_score: float = Field(default=0.25, ge=0, le=1)  # below: rejected, "score.low"
    review_predicted_iou: float = 0.7  # below: review
    review_stability: float = Field(default=0.8, ge=0, le=1)  # below: review
    review_box_iou: float = Field(default=0.6, ge=0, le=1)  # mask's bounds against the prompt box
    reject_box_iou: float = Field(default=0.2, ge=0, le=1)
    review_outside_share: float = Field(default=0.1, ge=0, le=1)  # of the mask outside the box
    reject_outside_share: float = Field(default=0.5, ge=0, le=1)


class ResolveConfig(Settings):
    """Which masks are the same object, and who owns a pixel."""

    duplicate_iou: float = Field(default=0.8, ge=0, le=1)  # any two classes
    review_lost_share: float = Field(default=0.5, ge=0, le=1)  # of the pixels, to other masks
    duplicate_containment: float = Field(default=0.9, ge=0, le=1)  # classes of one family


class LiftConfig(Settings):
    """How masks become point labels."""

    gap_share: float = Field(default=0.02, gt=0)  # a gap in depth: this share of the depth ...
    min_gap_m: float = Field(default=0.6, gt=0)  # ... but at least this
    strong_share: float = Field(default=0.5, gt=0, le=1)  # of the heaviest mode: a strong mode
    go_on: bool = True  # a mode that goes on around the mask weighs less
    sizes: bool = True  # what its class cannot be is refused, and the mask goes to review
    review_depth_share: float = Field(default=0.3, ge=0, le=1)  # of a mask; half a car is glass
    alarm_deg: float = Field(default=0.5, gt=0)  # masks this far from their points raise the alarm
    ground_m: float = Field(default=0.1, ge=0)  # what is lower is ground; 0: no ground is removed
    feet_m: float = Field(default=0.2, ge=0)  # low points this near under an object are its own
    occlusion: bool = True  # points that the camera cannot see take no label of its pixels
    link_m: float = Field(default=0.3, gt=0)  # neighbours on an object, near the LiDAR ...
    link_rad: float = Field(default=0.02, gt=0)  # ... and where beams are further apart than that
    growth_share: float = Field(default=0.25, ge=0)  # of its box's long side: how far it grows
    box_margin: float = Field(default=0.1, ge=0)  # it grows so far out of its box: of the long side


class DecideConfig(Settings):
    """Everything that is decided after the models have looked."""

    judge: JudgeConfig = JudgeConfig()
    resolve: ResolveConfig = ResolveConfig()
    lift: LiftConfig = LiftConfig()


class Config(Settings):
    """All settings of a run."""

    observe: ObserveConfig = ObserveConfig()
    decide: DecideConfig = DecideConfig()
    shard_size: int = Field(default=16, ge=1)  # samples that are written, and resumed, together
    hang_s: float = Field(
        default=600, gt=0
    )  # a sample that takes longer hangs: its worker is killed
    stall_s: float = Field(default=3600, gt=0)  # no shard in this time: the run is stopped

    @model_validator(mode="after")
    def _floor_below_threshold(self) -> Self:
        if self.decide.judge.min_score < self.observe.min_score:
            raise ValueError(
                f"decide.judge.min_score {self.decide.judge.min_score} is below "
                f"observe.min_score {self.observe.min_score}: what is below was never seen"
            )
        return self


class TrainConfig(Settings):
    """How a detector is trained."""

    epochs: int = Field(default=40, ge=1)
    image_px: int = Field(default=640, ge=32)  # longest side that the network sees
    batch: int = Field(default=16, ge=1)
    seed: int = Field(default=0, ge=0)
    device: str = "cpu"
    threads: int = Field(default=2, ge=1)


class ModelSpec(Settings):
    """A model or box source of a run, by content.

    Attributes:
        kind: Key of the table in `perception.models.registry`.
        file_name: For people; the hash is what counts.
        sha256: Of the file; "" for models without weights.
        licence: Licence of the weights, where known.
        class_names: What a person calls the classes of a detector; () where the weights name them.
    """

    kind: str
    file_name: str = ""
    sha256: str = ""
    licence: str = ""
    class_names: tuple[str, ...] = ()

    @model_serializer(mode="wrap")
    def _as_before(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out names that nobody gave: runs of before have no such field in their hash."""
        stated: dict[str, Any] = serialize(self)
        if not self.class_names:
            stated.pop("class_names", None)
        return stated


def load_yaml(path: Path) -> Any:
    """Read a YAML file from outside.

    Raises:
        RequestError: `config.unsafe` for tags, aliases, deep nesting and oversized files,
            `config.invalid` for what is no YAML, `io.not_found`.
    """
    if not path.is_file():
        raise RequestError("io.not_found", f"{path}: no such file")
    if path.stat().st_size > MAX_YAML_BYTES:
        raise RequestError(
            "config.unsafe",
            f"{path}: {path.stat().st_size} bytes, expected at most {MAX_YAML_BYTES}",
        )
    try:
        text = text_of(path.read_bytes())
        _refuse_blow_ups(text, path)
        return yaml.safe_load(text)
    except yaml.constructor.ConstructorError as error:
        raise RequestError("config.unsafe", f"{path}: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: the 45th of a month, no UTF-8
        raise RequestError("config.invalid", f"{path}: is not YAML: {error}") from error


def _refuse_blow_ups(text: str, path: Path) -> None:
    depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        line = token.start_mark.line + 1
        # PyYAML keeps an alias as a reference: the blow-up comes later, in validation.
        if isinstance(token, yaml.AliasToken):
            raise RequestError("config.unsafe", f"{path}:{line}: aliases are not accepted")
        if isinstance(token, _OPENING):
            depth += 1
        elif isinstance(token, _CLOSING):
            depth -= 1
        if depth > MAX_YAML_DEPTH:
            raise RequestError(
                "config.unsafe", f"{path}:{line}: nested deeper than {MAX_YAML_DEPTH} levels"
            )


def merge(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with nested keys replaced by those of `overrides`."""
    merged = dict(base)
    for key, value in overrides.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def parse_config(values: dict[str, Any], where: str) -> Config:
    """Build the settings of a run from plain values; raises as `parse_settings`."""
    return parse_settings(Config, values, where)


def parse_settings(kind: type[AnySettings], values: dict[str, Any], where: str) -> AnySettings:
    """Build settings of one kind from plain values.

    Raises:
        RequestError: `config.invalid`, naming `where`, the key, what was found and expected.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"])
        found = "" if isinstance(fault["input"], dict) else f", found {fault['input']!r}"
        message = fault["msg"].removeprefix("Value error, ")
        raise RequestError(
            "config.invalid", f"{where}: {key or 'config'}: {message}{found}"
        ) from error


def read_overrides(path: Path | None) -> dict[str, Any]:
    """Return the nested plain values of a settings file; nothing without one."""
    if path is None:
        return {}
    loaded = load_yaml(path)
    if loaded is not None and not isinstance(loaded, dict):
        raise RequestError("config.invalid", f"{path}: expected keys and values at the top level")
    return loaded or {}


def load_config(path: Path | None, overrides: dict[str, Any]) -> Config:
    """Resolve the settings: defaults, then the YAML file, then `overrides` (nested values)."""
    values = merge(read_overrides(path), overrides)
    return parse_config(values, str(path) if path else "options")
