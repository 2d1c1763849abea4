"""Fit the probability that a label is right on labels that somebody checked.

A logistic regression over all features, ridge-penalised: with few labels it stays near the mean,
and what is a class's own (its offset, and what a score and a size say of it) is pulled to the
answer for all classes as far as the class is rare (partial pooling; Gelman and Hill, "Data Analysis
Using Regression", 2007, chapter 12). Its penalty, and whether a logistic or an isotonic curve turns
its score into a probability, are chosen by cross-validation over whole groups: labels of one scene
resemble each other, and a fit that has seen a scene knows its labels too well.
"""

import importlib
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from perception.errors import RequestError
from perception.trust.features import FEATURES
from perception.trust.model import Calibration, Fitted, Kind, Term, TrustModel
from perception.types import Bool, Float64, RowAligned

MIN_LABELS = 40  # fewer say less than the order that needs no fit
MIN_EACH = 5  # right ones, and wrong ones
MIN_GROUPS = 2
CLASS_SLOPES = ("score", "size")  # 400 pixels are a whole bus no more often than half a person
KNOWN_SHARE = 0.5  # a signal that most labels lack is left out
FOLDS = 5
PENALTIES = (0.01, 0.1, 1.0)  # scikit-learn's C, a decade apart
_FREE = 100.0  # C of the two numbers of a logistic curve: as good as none, yet never infinite

KINDS: tuple[Kind, ...] = ("logistic", "isotonic")
Groups = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
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
) -> Fit:
    """Fit a model.

    Args:
        examples: Checked labels.
        right_iou: What "right" meant, for the record.
        sources: For the record, see `Fitted`.
        only: Features to use; classes are known always.

    Raises:
        RequestError: `trust.few_labels`, `extra.missing`.
    """
    check(examples)
    folds = _folds(examples)
    tried = [
        _try(examples, folds, penalty, kind, scores)
        for penalty in PENALTIES
        for scores in [_held_out_scores(examples, folds, only, penalty)]
        for kind in KINDS
    ]
    best = min(tried, key=lambda one: one.loss)  # of equals the first: the stronger penalty
    design = _design(examples, only)
    weights, bias = _logistic(design.matrix(examples), examples.right, best.penalty)
    terms, offsets = design.terms(weights)
    model = TrustModel(
        right_iou=right_iou,
        bias=bias,
        terms=terms,
        class_offsets=offsets,
        calibration=calibrate(best.scores, examples.right, best.kind),
        fitted=Fitted(
            labels=len(examples),
            right=int(examples.right.sum()),
            groups=len(set(examples.groups)),
            classes={name: examples.class_names.count(name) for name in design.classes},
            log_loss=best.loss,
            sources=sources,
        ),
    )
    return Fit(model, best.held_out)


@dataclass(frozen=True, eq=False)
class _Trial:
    """One way to fit, judged on groups that it has not seen."""

    penalty: float
    kind: Kind
    scores: Float64
    held_out: Float64
    loss: float


def _try(examples: Examples, folds: Groups, penalty: float, kind: Kind, scores: Float64) -> _Trial:
    held_out = np.zeros(len(examples))
    for fold in np.unique(folds):
        inside = folds == fold
        curve = calibrate(scores[~inside], examples.right[~inside], kind)
        held_out[inside] = curve(scores[inside])
    loss = float(log_losses(held_out, examples.right).mean())
    return _Trial(penalty, kind, scores, held_out, loss)


def _held_out_scores(
    examples: Examples, folds: Groups, only: tuple[str, ...], penalty: float
) -> Float64:
    scores = np.zeros(len(examples))
    for fold in np.unique(folds):
        inside = folds == fold
        seen, unseen = examples[~inside], examples[inside]
        design = _design(seen, only)
        weights, bias = _logistic(design.matrix(seen), seen.right, penalty)
        scores[inside] = design.matrix(unseen) @ np.array(weights) + bias
    return scores


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


@dataclass(frozen=True, eq=False)
class _Design:
    """Which columns a regression sees, and how they are scaled."""

    features: tuple[str, ...]
    centres: tuple[float, ...]
    scales: tuple[float, ...]
    classes: tuple[str, ...]

    def matrix(self, examples: Examples) -> Float64:
        """Return (N, features, then classes, then classes for each sloped feature).

        A signal that is not known is at its centre.
        """
        places = [list(FEATURES).index(name) for name in self.features]
        values = examples.features[:, places]
        centres = np.array(self.centres)
        scaled = (np.where(np.isfinite(values), values, centres) - centres) / np.array(self.scales)
        names = np.asarray(examples.class_names, dtype=np.str_)
        own = names[:, None] == np.array(self.classes, dtype=np.str_)
        slopes = [own * scaled[:, [self.features.index(name)]] for name in self.sloped]
        return np.hstack([scaled, own, *slopes])

    def terms(self, weights: tuple[float, ...]) -> tuple[tuple[Term, ...], dict[str, float]]:
        """Return the terms and the class offsets that the columns' weights come to."""
        plain, blocks = weights[: len(self.features)], weights[len(self.features) :]
        n = len(self.classes)
        by_block = [
            dict(zip(self.classes, blocks[i : i + n], strict=True))
            for i in range(0, len(blocks), n)
        ]
        by_class = dict(zip(self.sloped, by_block[1:], strict=True))
        rows = zip(self.features, self.centres, self.scales, plain, strict=True)
        terms = tuple(
            Term(feature=f, centre=c, scale=s, weight=w, by_class=by_class.get(f, {}))
            for f, c, s, w in rows
        )
        return terms, by_block[0]

    @property
    def sloped(self) -> tuple[str, ...]:
        """Return the features whose weight differs between classes."""
        return tuple(name for name in CLASS_SLOPES if name in self.features)


def _design(examples: Examples, only: tuple[str, ...]) -> _Design:
    """Choose the signals that most labels have and that differ between them."""
    rows = []
    for place, name in enumerate(FEATURES):
        values = examples.features[:, place]
        known = values[np.isfinite(values)]
        if name in only and len(known) >= KNOWN_SHARE * len(values) and np.ptp(known) > 0:
            rows.append((name, float(np.median(known)), float(known.std())))
    return _Design(
        features=tuple(row[0] for row in rows),
        centres=tuple(row[1] for row in rows),
        scales=tuple(row[2] for row in rows),
        classes=tuple(sorted(set(examples.class_names))),
    )


def _logistic(matrix: Float64, right: Bool, penalty: float) -> tuple[tuple[float, ...], float]:
    """Return weights and bias of a regression; the rate alone where all labels are alike."""
    hits, n = int(right.sum()), len(right)
    if hits in (0, n):
        return (0.0,) * matrix.shape[1], _rate(right)
    linear_model = _sklearn("linear_model")
    # Newton's steps are ten times as fast, but fail where hardly a penalty holds a separable fit.
    solver = "newton-cholesky" if penalty < _FREE else "lbfgs"
    model = linear_model.LogisticRegression(C=penalty, solver=solver, max_iter=1000)
    with warnings.catch_warnings():  # where Newton's steps fail, it goes on with lbfgs, and says so
        warnings.simplefilter("ignore", _sklearn("exceptions").ConvergenceWarning)
        fitted = model.fit(matrix, right)
    return tuple(map(float, fitted.coef_[0])), float(fitted.intercept_[0])


def _rate(right: Bool) -> float:
    """Return the log-odds of the share that is right; finite where all or none are."""
    hits, n = int(right.sum()), len(right)
    return float(np.log((hits + 0.5) / (n - hits + 0.5)))


def calibrate(scores: Float64, right: Bool, kind: Kind) -> Calibration:
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
        return Calibration(
            kind="isotonic",
            scores=tuple(map(float, curve.X_thresholds_)),
            probabilities=tuple(map(float, curve.y_thresholds_)),
        )
    (slope,), shift = _logistic(scores[:, None], right, _FREE)
    if slope < 0:
        slope, shift = 0.0, _rate(right)
    return Calibration(kind="logistic", slope=slope, shift=shift)


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
