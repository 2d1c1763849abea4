"""Fit the probability that a label is right on labels that somebody checked.

A logistic regression over all features, ridge-penalised: with few labels it stays near the mean,
and what is a class's own (its offset, and what a score and a size say of it) is pulled to the
answer for all classes as far as the class is rare (partial pooling; Gelman and Hill, "Data Analysis
Using Regression", 2007, chapter 12). Its penalty, and whether a logistic or an isotonic curve turns
its score into a probability, are chosen by cross-validation over whole groups: labels of one scene
resemble each other, and a fit that has seen a scene knows its labels too well.

A fit on few labels may start from an earlier one, of other labels: then the penalty pulls its
weights to those of the prior in place of to zero (maximum a posteriori; Chelba and Acero,
"Adaptation of Maximum Entropy Capitalizer: Little Data Can Help a Lot", EMNLP 2004). Few labels
choose a penalty badly, so all of them have a say, each by its evidence, and the curve is logistic.
What comes out is a model like any other.
"""

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from perception.core.errors import RequestError
from perception.core.types import Bool, Float64, RowAligned
from perception.labeling.trust.design import choose
from perception.labeling.trust.features import FEATURES
from perception.labeling.trust.model import Curve, Fitted, Kind, TrustModel, Weights
from perception.labeling.trust.regression import averaged, logistic, rate

MIN_LABELS = 40  # with fewer a fit orders worse than `doubts`, which needs none
MIN_EACH = 5  # right ones, and wrong ones
MIN_GROUPS = 2
FOLDS = 5
PENALTIES = (0.01, 0.1, 1.0)  # scikit-learn's C, a decade apart
PRIOR_PENALTIES = (0.0001, 0.001, *PENALTIES)  # from as good as the prior's own weights on
_FREE = 100.0  # C of the two numbers of a logistic curve: as good as none, yet never infinite

KINDS: tuple[Kind, ...] = ("logistic", "isotonic")
PRIOR_KINDS: tuple[Kind, ...] = ("logistic",)  # who has labels for the other needs no prior
Groups = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class Examples(RowAligned):
    """N labels that somebody checked.

    Attributes:
        features: (N, F) as from `features_of`.
        class_names: N names.
        right: (N,) bool, class and mask are right.
        groups: N names of scenes, or samples.
    """

    features: Float64
    class_names: tuple[str, ...]
    right: Bool
    groups: tuple[str, ...]

    def group_numbers(self) -> Groups:
        """Return (N,) numbers from 0."""
        return np.unique(np.asarray(self.groups, dtype=np.str_), return_inverse=True)[1]


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted model, and what it says of its own labels when it has not seen their group.

    Attributes:
        model: Without a line.
        held_out: (N,) probabilities from fits on the other groups.
    """

    model: TrustModel
    held_out: Float64


def check(examples: Examples) -> None:
    """Refuse what nothing can be learned from.

    Raises:
        RequestError: `trust.few_labels`.
    """
    n, right = len(examples), int(examples.right.sum())
    groups = len(set(examples.groups))
    if n < MIN_LABELS:
        raise RequestError(
            "trust.few_labels",
            f"{n} checked labels, expected at least {MIN_LABELS}; check more, or go by the order "
            "worst first that needs none (`perception trust order`)",
        )
    if min(right, n - right) < MIN_EACH:
        kind, count = ("wrong", n - right) if right > n - right else ("right", right)
        bound = ""
        if count == 0:  # the rule of three: 1 - 0.05 ** (1 / n) is about 3 / n
            bound = f"; with 95 % confidence fewer than {1 - 0.05 ** (1 / n):.1%} are {kind}"
        raise RequestError(
            "trust.few_labels",
            f"{count} of {n} checked labels are {kind}, expected at least {MIN_EACH} to tell them "
            f"from the others; check more, the worst first{bound}",
        )
    if groups < MIN_GROUPS:
        raise RequestError(
            "trust.few_labels",
            f"all {n} checked labels come from one scene, {examples.groups[0]!r}; expected at "
            f"least {MIN_GROUPS}, for a fit is judged on scenes that it has not seen",
        )


def fit(
    examples: Examples,
    right_iou: float,
    *,
    sources: tuple[str, ...] = (),
    only: tuple[str, ...] = tuple(FEATURES),
    prior: Weights | None = None,
) -> Fit:
    """Fit a model.

    Signals and classes that only these labels have begin at zero; those that only the prior has
    keep its weight, and say nothing of a label that lacks them.

    Args:
        examples: Checked labels.
        right_iou: What "right" meant, for the record.
        sources: For the record, see `Fitted`.
        only: Features to use beside those of the prior; classes are known always.
        prior: An earlier fit to start from; its bias, curve and line are not used.

    Raises:
        RequestError: `trust.few_labels`, `extra.missing`.
    """
    check(examples)
    folds = _folds(examples)
    tried = [
        _try(examples, folds, penalties, kind, scores)
        for penalties in ((PRIOR_PENALTIES,) if prior else tuple((one,) for one in PENALTIES))
        for scores in [_held_out_scores(examples, folds, only, penalties, prior)]
        for kind in (PRIOR_KINDS if prior else KINDS)
    ]
    best = min(tried, key=lambda one: one.loss)  # of equals the first: the stronger penalty
    weights = _regress(examples, only, best.penalties, prior)
    model = TrustModel(
        right_iou=right_iou,
        bias=weights.bias,
        terms=weights.terms,
        class_offsets=weights.class_offsets,
        calibration=fit_curve(best.scores, examples.right, best.kind),
        fitted=Fitted(
            labels=len(examples),
            right=int(examples.right.sum()),
            groups=len(set(examples.groups)),
            classes={
                name: examples.class_names.count(name) for name in sorted(set(examples.class_names))
            },
            log_loss=best.loss,
            sources=sources,
        ),
    )
    return Fit(model, best.held_out)


@dataclass(frozen=True, eq=False)
class _Trial:
    """One way to fit, judged on groups that it has not seen."""

    penalties: tuple[float, ...]
    kind: Kind
    scores: Float64
    held_out: Float64
    loss: float


def _try(
    examples: Examples, folds: Groups, penalties: tuple[float, ...], kind: Kind, scores: Float64
) -> _Trial:
    held_out = np.zeros(len(examples))
    for fold in np.unique(folds):
        inside = folds == fold
        curve = fit_curve(scores[~inside], examples.right[~inside], kind)
        held_out[inside] = curve(scores[inside])
    loss = float(log_losses(held_out, examples.right).mean())
    return _Trial(penalties, kind, scores, held_out, loss)


def _held_out_scores(
    examples: Examples,
    folds: Groups,
    only: tuple[str, ...],
    penalties: tuple[float, ...],
    prior: Weights | None,
) -> Float64:
    scores = np.zeros(len(examples))
    for fold in np.unique(folds):
        inside = folds == fold
        weights = _regress(examples[~inside], only, penalties, prior)
        unseen = examples[inside]
        scores[inside] = weights.scores(unseen.features, list(unseen.class_names))
    return scores


def _regress(
    examples: Examples, only: tuple[str, ...], penalties: tuple[float, ...], prior: Weights | None
) -> Weights:
    features, names = examples.features, examples.class_names
    design = choose(features, names, only, prior)
    start = prior.scores(features, list(names)) if prior else np.zeros(len(names))
    matrix = design.matrix(features, names)
    return design.weights(*averaged(matrix, examples.right, penalties, start))


def _folds(examples: Examples) -> Groups:
    """Return (N,) fold numbers: whole groups, each fold with its share of the wrong labels."""
    groups = examples.group_numbers()
    count = min(FOLDS, int(groups.max()) + 1)
    sizes = np.zeros((count, 2))
    folds = np.zeros(len(examples), np.int64)
    tallies = np.stack([np.bincount(groups, examples.right), np.bincount(groups, ~examples.right)])
    # The largest first, each to the fold that it leaves the most even.
    for group in np.lexsort((np.arange(tallies.shape[1]), -tallies.sum(axis=0))):
        share = tallies[:, group] / np.maximum(tallies.sum(axis=1), 1)
        fold = int((sizes + share).max(axis=1).argmin())
        sizes[fold] += share
        folds[groups == group] = fold
    return folds


def fit_curve(scores: Float64, right: Bool, kind: Kind) -> Curve:
    """Return the curve from scores to probabilities.

    A logistic curve that falls is made level; an isotonic one keeps off 0 and 1 by Laplace's rule,
    since n labels do not rule out the next one.

    Args:
        scores: (N,) log-odds of labels that they were not fitted on.
        right: (N,) bool.
        kind: Of the curve.
    """
    n = len(right)
    if kind == "isotonic":
        curve = _sklearn("isotonic").IsotonicRegression(
            y_min=1 / (n + 2), y_max=(n + 1) / (n + 2), out_of_bounds="clip"
        )
        curve.fit(scores, right)
        return Curve(
            kind="isotonic",
            scores=tuple(map(float, curve.X_thresholds_)),
            probabilities=tuple(map(float, curve.y_thresholds_)),
        )
    weights, shift = logistic(scores[:, None], right, _FREE)
    slope = float(weights[0])
    if slope < 0:
        slope, shift = 0.0, rate(right)
    return Curve(kind="logistic", slope=slope, shift=shift)


def log_losses(probabilities: Float64, right: Bool) -> Float64:
    """Return (N,) -ln of the probability of what was the case."""
    stated = np.where(right, probabilities, 1 - probabilities)
    return np.asarray(-np.log(np.maximum(stated, 1e-12)))


def _sklearn(name: str) -> Any:
    try:  # by name: it has no types, and nobody else needs it
        return importlib.import_module(f"sklearn.{name}")
    except ModuleNotFoundError as error:
        raise RequestError(
            "extra.missing",
            f"fitting needs {error.name}: pip install 'driving-perception[trust]'; applying a "
            "fitted model does not",
        ) from error
