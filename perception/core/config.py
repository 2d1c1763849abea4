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

from perception.core.choices import Backend, Mode, Precision
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


class Settings(BaseModel):
    """Base of all settings: frozen; unknown keys and numbers that are not finite are refused."""

    # not as class keywords: mypy would then want frozen=True at every subclass
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


AnySettings = TypeVar("AnySettings", bound=Settings)


class ObserveConfig(Settings):
    """How the models look."""

    min_score: float = Field(
        default=0.2, ge=0, le=1, description="detections below this score are not stored"
    )
    nms_iou: float = Field(
        default=0.7, ge=0, le=1, description="boxes of one class that overlap more are one object"
    )
    device: str = Field(default="cpu", description="cpu, cuda, cuda:1, mps")
    threads: int = Field(
        default=0, ge=0, description="threads of each model; 0: all cores, divided by the workers"
    )
    lanes: int = Field(
        default=0,
        ge=0,
        description="samples in the models side by side, on threads / lanes cores each; 0: chosen",
    )
    prompt_chunk: int = Field(
        default=8, ge=1, description="boxes that SAM decodes together; bounds the memory"
    )
    wobble: int = Field(
        default=0,
        ge=0,
        le=64,
        description="jittered copies of each box, decoded again as a signal for trust",
    )
    mode: Mode = Field(default="detail", description="what SAM is shown of a picture")
    backend: Backend = Field(
        default="auto",
        description="what computes SAM; auto: OpenVINO on a CPU where it is installed",
    )
    precision: Precision = Field(
        default="auto",
        description="of SAM; auto: bfloat16 where the processor has it and masks stay",
    )
    detect_backend: Literal["auto", "onnxruntime", "openvino"] = Field(
        default="auto",
        description="what computes an .onnx detector; their boxes differ slightly",
    )
    detect_tiles: Literal["native", "off"] = Field(
        default="native",
        description="native: a detector also looks at tiles of a picture larger than its input",
    )
    tile_merge_iou: float = Field(
        default=0.5, ge=0, le=1, description="boxes of two tiles that overlap more are one object"
    )
    orientation: Literal["upright", "stored"] = Field(
        default="upright",
        description="pictures without calibration: turned upright as EXIF says, or as stored",
    )
    max_megapixels: int = Field(
        default=MAX_MEGAPIXELS,
        ge=1,
        le=MOST_MEGAPIXELS,
        description="larger pictures are refused; a worker holds six or more, 3 bytes a pixel",
    )
    columns: Literal[0, 3, 4, 5, 6, 7, 8, 9, 10] = Field(
        default=0,
        description="numbers per point of a .bin sweep; 0: as the layout has it",
    )


class EverythingConfig(Settings):
    """Which masks a grid of points leaves; defaults of SamAutomaticMaskGenerator."""

    points_per_side: int = Field(default=32, ge=1, le=256)
    min_predicted_iou: float = 0.88
    min_stability: float = Field(default=0.95, ge=0, le=1)
    nms_iou: float = Field(
        default=0.7, ge=0, le=1, description="masks whose bounds overlap more are one"
    )
    min_region_px: int = Field(
        default=0, ge=0, description="smaller holes and islands are removed; 0: none"
    )


class JudgeConfig(Settings):
    """When an instance is good, doubtful or bad."""

    min_score: float = Field(
        default=0.25, ge=0, le=1, description="labels below this score are rejected, score.low"
    )
    review_predicted_iou: float = Field(
        default=0.7, description="SAM's own estimate; below: review"
    )
    review_stability: float = Field(
        default=0.8, ge=0, le=1, description="of SAM's mask; below: review"
    )
    review_box_iou: float = Field(
        default=0.6,
        ge=0,
        le=1,
        description="IoU of a mask's bounds and its prompt box; below: review",
    )
    reject_box_iou: float = Field(default=0.2, ge=0, le=1, description="the same; below: rejected")
    review_outside_share: float = Field(
        default=0.1, ge=0, le=1, description="share of the mask outside its box; above: review"
    )
    reject_outside_share: float = Field(
        default=0.5, ge=0, le=1, description="the same; above: rejected"
    )


class ResolveConfig(Settings):
    """Which masks are the same object, and who owns a pixel."""

    duplicate_iou: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="masks of any two classes that overlap more are duplicates",
    )
    review_lost_share: float = Field(
        default=0.5, ge=0, le=1, description="share of pixels lost to other masks; above: review"
    )
    duplicate_containment: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="share of a mask inside one of a related class; above: duplicate",
    )


class LiftConfig(Settings):
    """How masks become point labels."""

    gap_share: float = Field(
        default=0.02,
        gt=0,
        description="smallest gap between two objects along a ray, as a share of the depth",
    )
    min_gap_m: float = Field(
        default=0.6, gt=0, description="smallest gap between two objects along a ray, metres"
    )
    strong_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="weight of a depth mode, as a share of the heaviest, to be an object's",
    )
    go_on: bool = Field(
        default=True, description="a depth mode that continues around the mask weighs less"
    )
    sizes: bool = Field(
        default=True,
        description="points further than its class reaches are refused; the mask goes to review",
    )
    review_depth_share: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="share of a mask's points at another depth; above: review",
    )
    alarm_deg: float = Field(
        default=0.5, gt=0, description="warn where masks lie this far from their points, degrees"
    )
    ground_m: float = Field(
        default=0.1,
        ge=0,
        description="points lower than this are ground, metres; 0: none is removed",
    )
    feet_m: float = Field(
        default=0.2, ge=0, description="low points this near below an object belong to it, metres"
    )
    occlusion: bool = Field(default=True, description="points hidden from the camera take no label")
    link_m: float = Field(
        default=0.3,
        gt=0,
        description="largest distance of neighbours on an object near the LiDAR, metres",
    )
    link_rad: float = Field(
        default=0.02, gt=0, description="the same where beams are further apart, radians"
    )
    growth_share: float = Field(
        default=0.25,
        ge=0,
        description="how far an object grows beyond its mask: share of its box's long side",
    )
    box_margin: float = Field(
        default=0.1,
        ge=0,
        description="how far it grows out of its box, as a share of the long side",
    )


class DecideConfig(Settings):
    """Everything that is decided after the models have looked."""

    judge: JudgeConfig = JudgeConfig()
    resolve: ResolveConfig = ResolveConfig()
    lift: LiftConfig = LiftConfig()


class Config(Settings):
    """All settings of a run."""

    observe: ObserveConfig = ObserveConfig()
    decide: DecideConfig = DecideConfig()
    shard_size: int = Field(
        default=16, ge=1, description="samples that are written, and resumed, together"
    )
    hang_s: float = Field(
        default=600, gt=0, description="seconds for one sample, then its worker is killed"
    )
    stall_s: float = Field(
        default=3600, gt=0, description="seconds without a finished shard, then the run is stopped"
    )

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
    image_px: int = Field(
        default=640, ge=32, description="longest side that the network sees, pixels"
    )
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
