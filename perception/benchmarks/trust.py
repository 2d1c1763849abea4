"""Is a fitted trust worth it? Half of the scenes fit, the other half judge, many times over.

Each split is used both ways, so that it judges every label by a fit that had not seen its scene; a
figure is the mean over the splits. Beside it stands what the best single score comes to, fitted in
the same way (classes, penalty, curve and line too).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from perception.benchmarks.harness.measurement import Measurement, Row, rows_of
from perception.commands.trust import Checked
from perception.core.statistics import DRAWS, Figure, draw_weights, of_sums
from perception.core.types import Bool, Float64
from perception.labeling.trust.features import FEATURES, SCORES, doubts
from perception.labeling.trust.fit import Examples, fit, log_losses
from perception.labeling.trust.model import TrustModel
from perception.labeling.trust.threshold import line_for

BINS = 10
REVIEW_ERRORS = 0.2  # people review sets that are mostly right: at most this share is wrong ...
REVIEW_TENTH = 0.1  # ... and what counts is the first tenth that they look at

Groups = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Trial:
    """What one set of features said of labels that its fits had not seen.

    Attributes:
        probabilities: (S, N), one row for each split.
        kept: (S, N) bool, above the line that the other half drew.
    """

    probabilities: Float64
    kept: Bool

    def losses(self, right: Bool) -> Float64:
        """Return (N,) log loss of each label, mean over the splits."""
        return np.asarray(np.mean([log_losses(row, right) for row in self.probabilities], axis=0))

    def mean(self, figure: Callable[[Float64, Bool], float], right: Bool) -> float:
        """Return a figure of probabilities and truth, mean over the splits."""
        return float(np.mean([figure(row, right) for row in self.probabilities]))

    def precision(self, right: Bool) -> float:
        """Return the share of what the lines keep, over all splits, that is right."""
        kept = int(self.kept.sum())
        return float((self.kept & right).sum() / kept) if kept else float("nan")


@dataclass(frozen=True)
class Verdict:
    """The figures; those of the best single score have `single` in their names.

    Attributes:
        labels: Labels that were judged.
        right: Share of them that is right.
        groups: Scenes.
        log_loss: Mean over labels of unseen scenes.
        best_single: Whose log loss is least.
        log_loss_single: Its.
        log_loss_gain: How much less `log_loss` is, with its interval over scenes.
        calibration_error: Ten equal-mass bins, less what perfect predictors of this size show.
        brier: And that of the best single score.
        brier_single: See `brier`.
        auroc: And that of the best single score.
        auroc_single: See `auroc`.
        target: The precision that was asked for.
        precision: What came out, with lines drawn on the other half.
        kept: Share of the labels that the line keeps.
        kept_single: The most that a single score's line keeps.
        review_errors: Share of wrong labels in the set that is reviewed.
        review_gain: Errors in the worst tenth by trust, over those of a random tenth.
        review_gain_unfitted: The same by the order that needs no fit.
    """

    labels: int
    right: float
    groups: int
    log_loss: float
    best_single: str
    log_loss_single: float
    log_loss_gain: Figure
    calibration_error: float
    brier: float
    brier_single: float
    auroc: float
    auroc_single: float
    target: float
    precision: float
    kept: float
    kept_single: float
    review_errors: float
    review_gain: float
    review_gain_unfitted: float

    def report(self) -> Measurement:
        """Return the figures, and how they are told."""
        single = "best single score"
        rows = (
            *rows_of({"labels": self.labels, "share right": self.right}),
            *rows_of({"log loss": self.log_loss, f"log loss, {single}": self.log_loss_single}),
            Row(f"log loss less than of the {single}", self.log_loss_gain),
            *rows_of({"Brier": self.brier, f"Brier, {single}": self.brier_single}),
            *rows_of({"AUROC": self.auroc, f"AUROC, {single}": self.auroc_single}),
            *rows_of({"calibration error above a perfect predictor's": self.calibration_error}),
            *rows_of({f"share right of what is kept for {self.target}": self.precision}),
            *rows_of({"share kept": self.kept, f"share kept, {single}": self.kept_single}),
            *rows_of({"errors in the first tenth of the review, over random": self.review_gain}),
        )
        return Measurement(rows, self._lines(), asdict(self))

    def _lines(self) -> list[str]:
        return [
            f"{self.labels} labels of {self.groups} scenes, {self.right:.1%} right",
            f"log loss {self.log_loss:.4f}, best single score ({self.best_single}) "
            f"{self.log_loss_single:.4f}, gain {self.log_loss_gain.text()}",
            f"calibration error {self.calibration_error:.4f} above perfect predictors'",
            f"Brier {self.brier:.4f} (single {self.brier_single:.4f}), "
            f"AUROC {self.auroc:.4f} (single {self.auroc_single:.4f})",
            f"asked for {self.target}: right {self.precision:.4f}, kept {self.kept:.4f}, "
            f"best single keeps {self.kept_single:.4f}",
            f"worst first, of a set with {self.review_errors:.1%} wrong: the first tenth holds "
            f"{self.review_gain:.2f} times the errors of random order; unfitted "
            f"{self.review_gain_unfitted:.2f}",
        ]


def judge(
    checked: Checked,
    *,
    splits: int,
    target: float,
    right_iou: float,
    seed: int,
    prior: TrustModel | None = None,
) -> Verdict:
    """Fit on half of the scenes, judge on the other half, `splits` times.

    Args:
        checked: Checked labels.
        splits: How often.
        target: Precision to ask for.
        right_iou: What "right" meant.
        seed: Of the splits and the draws.
        prior: What each fit starts from; the single scores do not.

    Raises:
        RequestError: `trust.few_labels` if a half is too small to fit.
    """
    examples, right = checked.examples, checked.examples.right
    groups = examples.group_numbers()
    halves = _halves(examples, splits, seed)
    ours = _trial(examples, halves, tuple(FEATURES), target, right_iou, prior)
    singles = {name: _trial(examples, halves, (name,), target, right_iou) for name in SCORES}
    best = min(singles, key=lambda name: float(singles[name].losses(right).mean()))
    losses, theirs = ours.losses(right), singles[best].losses(right)
    reviewed = _reviewed(examples)
    return Verdict(
        labels=len(examples),
        right=float(right.mean()),
        groups=len(np.unique(groups)),
        log_loss=float(losses.mean()),
        best_single=best,
        log_loss_single=float(theirs.mean()),
        log_loss_gain=_mean_over_groups(theirs - losses, groups, seed),
        calibration_error=ours.mean(excess_calibration_error, right),
        brier=ours.mean(_brier, right),
        brier_single=min(one.mean(_brier, right) for one in singles.values()),
        auroc=ours.mean(auroc, right),
        auroc_single=max(one.mean(auroc, right) for one in singles.values()),
        target=target,
        precision=ours.precision(right),
        kept=float(ours.kept.mean()),
        kept_single=max(float(one.kept.mean()) for one in singles.values()),
        review_errors=1 - float(right[reviewed].mean()),
        review_gain=float(
            np.mean([review_gain(1 - row[reviewed], right[reviewed]) for row in ours.probabilities])
        ),
        review_gain_unfitted=review_gain(doubts(examples.features[reviewed]), right[reviewed]),
    )


def _halves(examples: Examples, splits: int, seed: int) -> list[Bool]:
    """Return which labels are in the first half of each split: halves of the scenes."""
    groups = examples.group_numbers()
    count = int(groups.max(initial=-1)) + 1
    rng = np.random.default_rng(seed)
    return [np.isin(groups, rng.permutation(count)[: (count + 1) // 2]) for _ in range(splits)]


def _trial(
    examples: Examples,
    halves: list[Bool],
    only: tuple[str, ...],
    target: float,
    right_iou: float,
    prior: TrustModel | None = None,
) -> Trial:
    probabilities = np.zeros((len(halves), len(examples)))
    kept = np.zeros(probabilities.shape, bool)
    for split, half in enumerate(halves):
        for seen in (half, ~half):
            fitted = fit(examples[seen], right_iou, only=only, prior=prior)
            unseen = examples[~seen]
            found = fitted.model.probabilities(unseen.features, list(unseen.class_names))
            line = line_for(fitted.held_out, examples.right[seen], target)
            probabilities[split, ~seen] = found
            kept[split, ~seen] = found.astype(np.float64) >= line
    return Trial(probabilities, kept)


def _mean_over_groups(values: Float64, groups: Groups, seed: int) -> Figure:
    """Return the mean over labels, with its interval over groups drawn with replacement."""
    numbers = np.unique(groups, return_inverse=True)[1]
    sums, sizes = np.bincount(numbers, values), np.bincount(numbers).astype(np.float64)
    counts = np.column_stack([sums, sizes])
    weights = draw_weights(len(counts), seed)
    return of_sums(counts, weights, lambda sums: sums[:, 0] / sums[:, 1], len(values))


def _brier(probabilities: Float64, right: Bool) -> float:
    return float(((probabilities - right) ** 2).mean())


def calibration_error(probabilities: Float64, right: Bool) -> float:
    """Return the mean distance of stated and observed shares in ten bins of equal mass."""
    order = np.argsort(probabilities, kind="stable")
    gaps = [
        abs(probabilities[rows].mean() - right[rows].mean()) * len(rows)
        for rows in np.array_split(order, BINS)
        if len(rows)
    ]
    return float(sum(gaps) / max(len(order), 1))


def excess_calibration_error(probabilities: Float64, right: Bool, seed: int = 0) -> float:
    """Return the calibration error less the mean of that of perfect predictors of this size."""
    rng = np.random.default_rng(seed)
    perfect = [
        calibration_error(probabilities, rng.random(len(right)) < probabilities)
        for _ in range(DRAWS // 5)
    ]
    return calibration_error(probabilities, right) - float(np.mean(perfect))


def auroc(scores: Float64, right: Bool) -> float:
    """Return the chance that a right label scores higher than a wrong one; equal counts half."""
    good, bad = np.sort(scores[right]), scores[~right]
    if len(good) == 0 or len(bad) == 0:
        return float("nan")
    above = len(good) - np.searchsorted(good, bad, side="right")
    equal = len(good) - above - np.searchsorted(good, bad, side="left")
    return float((above + equal / 2).sum() / (len(good) * len(bad)))


def _reviewed(examples: Examples) -> Bool:
    """Return a set as people review it: the best by detector score, few of them wrong."""
    score = examples.features[:, 0]
    return np.asarray(score >= line_for(score, examples.right, 1 - REVIEW_ERRORS))


def review_gain(order: Float64, right: Bool) -> float:
    """Return the errors in the worst tenth over those that a random tenth holds.

    Args:
        order: (N,) the larger, the earlier a label is looked at.
        right: (N,) bool.
    """
    if len(right) == 0 or right.all():
        return float("nan")
    first = np.argsort(-order, kind="stable")[: max(1, round(REVIEW_TENTH * len(right)))]
    return float((~right[first]).mean() / (~right).mean())
