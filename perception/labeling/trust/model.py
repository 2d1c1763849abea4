"""A fitted trust model: plain numbers, applied with numpy alone.

p(right) = curve(bias + class offset + sum of weight of class * standardised feature). The
numbers travel as JSON in run.json and to every worker; nothing here can carry code.
"""

from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, TypeAdapter, model_validator

from perception.core.config import Settings
from perception.core.errors import RequestError
from perception.core.types import Bool, Float32, Float64, Instances, Status, UInt8
from perception.io import schemas
from perception.labeling.trust.features import FEATURES

Kind = Literal["logistic", "isotonic"]
KIND = "perception trust 1"
MAX_JSON_BYTES = 1 << 20
FIX = "make one with `perception trust fit`"
_ANY = TypeAdapter[Any](Any)
TRUST_LOW, CLASS_KEPT = "trust.low", "class.kept"  # reasons


class Term(Settings):
    """One feature's part in the log-odds: (weight + by_class) * (value - centre) / scale.

    Attributes:
        feature: Key of `FEATURES`.
        centre: Median over the labels of the fit; stands in where a label has no such signal.
        scale: Standard deviation there.
        weight: Log-odds per scale, for all classes.
        by_class: What a class adds to the weight; 0 for a class without an entry.
    """

    feature: str
    centre: float
    scale: float = Field(gt=0)
    weight: float
    by_class: dict[str, float] = Field(default_factory=dict)


class Curve(Settings):
    """From the score of the terms to a probability.

    Attributes:
        kind: "logistic": 1 / (1 + exp(-(slope * score + shift))); "isotonic": linear between knots,
            level outside.
        slope: Of the logistic.
        shift: Of the logistic.
        scores: Knots of the isotonic, increasing.
        probabilities: Their values, never falling.
    """

    kind: Kind
    slope: float = Field(default=1.0, ge=0)
    shift: float = 0.0
    scores: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _knots_rise(self) -> Self:
        if self.kind == "isotonic":
            if not self.scores or len(self.scores) != len(self.probabilities):
                raise ValueError(
                    f"{len(self.scores)} scores and {len(self.probabilities)} probabilities, "
                    "expected as many of each, at least one"
                )
            if (np.diff(self.scores) <= 0).any() or (np.diff(self.probabilities) < 0).any():
                raise ValueError("knots: expected rising scores, and probabilities that never fall")
            if self.probabilities[0] < 0 or self.probabilities[-1] > 1:
                raise ValueError("probabilities: expected values from 0 to 1")
        return self

    def __call__(self, scores: Float64) -> Float64:
        """Return (N,) probabilities."""
        if self.kind == "isotonic":
            return np.asarray(np.interp(scores, self.scores, self.probabilities))
        return np.asarray(1 / (1 + np.exp(-np.clip(self.slope * scores + self.shift, -50, 50))))


class Fitted(Settings):
    """What a model was fitted on, for people.

    Attributes:
        labels: How many.
        right: How many of them were right.
        groups: Scenes (or samples) that they come from.
        classes: Labels of each class.
        log_loss: On labels of groups that the fit had not seen (cross-validation).
        sources: The runs, by fingerprint, and who judged them: "truth" or "checked"; those of the
            prior too.
        prior: sha256 of the trust file that the fit began with; "" for none.
    """

    labels: int
    right: int
    groups: int
    classes: dict[str, int]
    log_loss: float
    sources: tuple[str, ...] = ()
    prior: str = ""


class Weights(Settings):
    """Log-odds that a label is right, before the curve.

    Attributes:
        bias: Of the log-odds.
        terms: One for every feature that says something.
        class_offsets: By class name; 0 for a class without an entry: the pooled fit.
    """

    bias: float
    terms: tuple[Term, ...]
    class_offsets: dict[str, float]

    @model_validator(mode="after")
    def _features_known(self) -> Self:
        for term in self.terms:
            if term.feature not in FEATURES:
                raise ValueError(
                    f"feature {term.feature!r} is none of this version, expected one of "
                    f"{', '.join(FEATURES)}"
                )
        if len({term.feature for term in self.terms}) < len(self.terms):
            raise ValueError("terms: a feature comes twice")
        return self

    def scores(self, features: Float64, class_names: list[str]) -> Float64:
        """Return (N,) log-odds before calibration.

        Args:
            features: (N, F) as from `features_of`.
            class_names: N names.
        """
        columns = {name: features[:, i] for i, name in enumerate(FEATURES)}
        total = np.array([self.class_offsets.get(name, 0.0) for name in class_names], np.float64)
        total += self.bias
        for term in self.terms:
            values = columns[term.feature]
            known = np.where(np.isfinite(values), values, term.centre)
            added = np.array([term.by_class.get(name, 0.0) for name in class_names], np.float64)
            total += (term.weight + added) * (known - term.centre) / term.scale
        return total


class TrustModel(Weights):
    """A fitted model and, if a precision was asked for, the line between accepted and review.

    Attributes:
        kind: `KIND`.
        right_iou: Least mask IoU of a label that counts as right.
        calibration: To a probability.
        fitted: What it rests on.
        target_precision: What was asked for; None if nothing was.
        accept_from: Least trust of an accepted label; None without a target, and 1.01 (nothing is
            accepted) where no line reaches it.
        class_lines: A lower line for classes that would else be too rare, see `keep_rare`.
    """

    kind: Literal["perception trust 1"] = "perception trust 1"
    right_iou: float = Field(gt=0, le=1)
    calibration: Curve
    fitted: Fitted
    target_precision: float | None = Field(default=None, gt=0, lt=1)
    accept_from: float | None = Field(default=None, ge=0, le=1.01)
    class_lines: dict[str, float] = Field(default_factory=dict)

    def probabilities(self, features: Float64, class_names: list[str]) -> Float32:
        """Return (N,) float32 probabilities that a label is right."""
        return self.calibration(self.scores(features, class_names)).astype(np.float32)


_MODELS = TypeAdapter(TrustModel)


def draw_line(
    model: TrustModel,
    instances: Instances,
    trusts: Float64,
    asked: Bool,
    class_names: list[str],
) -> tuple[UInt8, tuple[tuple[str, ...], ...]]:
    """Return the statuses and reasons of N instances by the model's line.

    Args:
        model: The model; without a line nothing changes.
        instances: N instances.
        trusts: (N,) probabilities.
        asked: (N,) which of them the line is for.
        class_names: N names.
    """
    statuses, reasons = instances.statuses.copy(), list(instances.reasons)
    if model.accept_from is None:
        return statuses, tuple(reasons)
    for row in np.flatnonzero(asked):
        kept_from = model.class_lines.get(class_names[row], model.accept_from)
        if trusts[row] >= model.accept_from:
            statuses[row], reasons[row] = Status.ACCEPTED, ()
        elif trusts[row] >= kept_from:
            statuses[row], reasons[row] = Status.ACCEPTED, (CLASS_KEPT,)
        else:
            statuses[row], reasons[row] = Status.REVIEW, (*reasons[row], TRUST_LOW)
    return statuses, tuple(reasons)


def read_model(path: Path) -> TrustModel:
    """Read a trust file.

    Raises:
        RequestError: `io.not_found`; `trust.invalid`, naming what was found and expected.
    """
    if not path.is_file():
        raise RequestError("io.not_found", f"{path}: no such file")
    with path.open("rb") as stream:
        data = stream.read(MAX_JSON_BYTES + 1)
    if len(data) > MAX_JSON_BYTES:
        raise RequestError("trust.invalid", f"{path}: larger than {MAX_JSON_BYTES} bytes")
    values = schemas.parse(_ANY, data, str(path), "trust.invalid", FIX)
    kind = values.get("kind") if isinstance(values, dict) else type(values).__name__
    if kind != KIND:
        raise RequestError(
            "trust.invalid", f"{path}: kind is {schemas.shown(kind)}, expected {KIND!r}; {FIX}"
        )
    return schemas.parse(_MODELS, data, str(path), "trust.invalid", FIX)
