"""Checked labels in, a trust model out: from truth, or from what people decided."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perception.core import masks as masks_
from perception.core.errors import RequestError, SampleError
from perception.core.ontology import Ontology, load_class_map
from perception.core.statistics import Figure
from perception.core.types import Bool, Instances, PictureLabels, Status
from perception.evaluation.instances import IGNORED_SHARE, compare, ignored_shares, match
from perception.evaluation.loaders import no_image_in_common, read_truth
from perception.labeling.quality.correct import Correction, by_image
from perception.labeling.trust.features import FEATURES, features_of
from perception.labeling.trust.features import worst_first as worst_of
from perception.labeling.trust.fit import Examples
from perception.labeling.trust.fit import fit as fit_model
from perception.labeling.trust.model import TrustModel, read_model
from perception.labeling.trust.threshold import line_for, share_of
from perception.models.weights import sha256_of
from perception.review.decisions import Seen, read_corrections
from perception.runs import folder
from perception.runs.folder import RunSpec

RIGHT_IOU = 0.75


@dataclass(frozen=True, eq=False)
class Checked:
    """Checked labels of one run or more.

    Attributes:
        examples: (N) what a fit sees.
        accepted: (N,) bool, what the run's own rules accept.
        sources: Fingerprints of the runs and who judged.
    """

    examples: Examples
    accepted: Bool
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Gate:
    """What a rule keeps, and how much of that is right, with intervals over groups."""

    kept: Figure
    precision: Figure


@dataclass(frozen=True, eq=False)
class FittedTrust:
    """A fitted model and what it changes.

    Attributes:
        model: With its line, where a precision was asked for.
        before: What the run's own rules keep.
        after: What the model's line keeps, judged on groups that a fit had not seen.
    """

    model: TrustModel
    before: Gate
    after: Gate | None

    def lines(self) -> list[str]:
        """Say what was fitted, and what it changes."""
        fitted = self.model.fitted
        lines = [
            f"{fitted.labels} checked labels of {fitted.groups} scenes, {fitted.right} right; "
            f"log loss on unseen scenes {fitted.log_loss:.4f} "
            f"({self.model.calibration.kind} curve)"
            + (f", from the prior {fitted.prior[:12]}" if fitted.prior else ""),
            f"before: kept {self.before.kept.text()}, right {self.before.precision.text()}",
        ]
        if self.after is None:
            return lines
        target = self.model.target_precision
        lines.append(
            f"after:  kept {self.after.kept.text()}, right {self.after.precision.text()} "
            f"(asked for {target}; trust from {self.model.accept_from:.3f})"
            if self.after.precision.value is not None
            else f"after:  no line holds {target}: every label would go to review"
        )
        return lines


def from_truth(run: Path, truth: str, *, class_map: str = "", right_iou: float) -> Checked:
    """Judge the labels of a finished run by truth: those that its rules do not reject.

    A label is right if it is matched to a true object of its class with at least `right_iou`; see
    `evaluate.instances` for the match. Labels in ignored regions, and of classes that the truth
    does not know, are left out. Groups are the truth's scenes.

    Args:
        run: The run folder.
        truth: As `evaluate` takes it; it must have masks.
        class_map: Of a COCO file's classes, as `evaluate` takes it.
        right_iou: Least mask IoU.

    Raises:
        RequestError: `truth.mismatch`; those of `read_truth` and of a run that cannot be read.
    """
    spec = folder.read_spec(run)
    plan = folder.read_plan(run, spec)
    images = tuple(picture.file_name for ref in plan.samples for picture in ref.pictures)
    mapped = load_class_map(class_map) if class_map else None
    try:
        known = read_truth(truth, spec.ontology, mapped, images)
    except SampleError as error:
        raise RequestError(error.code, error.message) from error
    if not known.has_masks:
        raise RequestError(
            "truth.mismatch", f"{truth}: has boxes and no masks; trust is fitted on masks"
        )
    parts = [_none()]
    prefix = spec.evidence_fingerprint()[:12]
    for sample_id, picture in _pictures(run):
        true = known.find_picture(picture.file_name)
        if true is None:
            continue
        found = compare(0, picture, true, known.picture_classes)
        every = np.ones(len(found.labels), bool)
        right = match(found, every, right_iou) >= 0
        counted = right | (ignored_shares(found) <= IGNORED_SHARE)
        rows = picture.instances
        row_of = {int(instance): row for row, instance in enumerate(rows.instance_ids)}
        places = [row_of[int(i)] for i in found.labels.instance_ids[counted]]
        scene = f"{prefix}/{known.scene_of(sample_id)}"
        judged = rows[np.array(places, np.int64)]
        parts.append(_checked(judged, right[counted], scene, spec.ontology))
    if len(parts) == 1:
        raise no_image_in_common(known, images)
    return joined(parts, (f"{prefix} truth",))


def joined(parts: Iterable[Checked], sources: tuple[str, ...] = ()) -> Checked:
    """Put checked labels together."""
    every = list(parts)
    return Checked(
        examples=Examples.joined([part.examples for part in every]),
        accepted=np.concatenate([part.accepted for part in every]),
        sources=sources or tuple(source for part in every for source in part.sources),
    )


def _pictures(run: Path) -> Iterator[tuple[str, PictureLabels]]:
    for outcome, labels in folder.read_labels(run):
        if outcome.status != "quarantined":
            for picture in labels.pictures:
                yield labels.id, picture


def _none() -> Checked:
    empty = Examples(np.zeros((0, len(FEATURES))), (), np.zeros(0, bool), ())
    return Checked(empty, np.zeros(0, bool), ())


def _checked(rows: Instances, right: Bool, group: str, ontology: Ontology) -> Checked:
    examples = Examples(
        features=features_of(rows),
        class_names=tuple(ontology.by_id(int(i)).name for i in rows.class_ids),
        right=right,
        groups=(group,) * len(rows),
    )
    return Checked(examples, rows.statuses == Status.ACCEPTED, ())


def fit(
    checked: Checked,
    *,
    right_iou: float,
    target_precision: float | None,
    prior: Path | None = None,
) -> FittedTrust:
    """Fit a model and, where a precision is asked for, draw its line.

    Args:
        checked: What somebody checked.
        right_iou: What "right" meant.
        target_precision: Share of the accepted labels that is to be right; None for no line.
        prior: The trust file to start from, as `read_prior` takes it.

    Raises:
        RequestError: `trust.few_labels`, `extra.missing`; `config.invalid`; those of `read_prior`.
    """
    if target_precision is not None and not 0 < target_precision < 1:
        raise RequestError(
            "config.invalid",
            f"--target-precision {target_precision}: expected a share between 0 and 1, such as "
            "0.95",
        )
    examples = checked.examples
    start = read_prior(prior, checked, right_iou=right_iou) if prior else None
    sources = dict.fromkeys(checked.sources + (start.fitted.sources if start else ()))
    fitted = fit_model(examples, right_iou, sources=tuple(sources), prior=start)
    before = gate(checked.accepted, examples)
    model = fitted.model
    if prior:
        rests_on = model.fitted.model_copy(update={"prior": sha256_of(prior)})
        model = model.model_copy(update={"fitted": rests_on})
    if target_precision is None:
        return FittedTrust(model, before, None)
    line = line_for(fitted.held_out, examples.right, target_precision)
    model = model.model_copy(update={"target_precision": target_precision, "accept_from": line})
    return FittedTrust(model, before, gate(fitted.held_out >= line, examples))


def read_prior(path: Path, checked: Checked, *, right_iou: float) -> TrustModel:
    """Read a trust file that a fit on checked labels is to start from.

    Args:
        path: The trust file.
        checked: What the fit is to see.
        right_iou: What "right" means for them.

    Raises:
        RequestError: `trust.mismatch` where "right" meant something else, or where the prior knows
            these labels, which would count twice; those of `read_model`.
    """
    prior = read_model(path)
    if prior.right_iou != right_iou:
        raise RequestError(
            "trust.mismatch",
            f"{path}: right_iou is {prior.right_iou}, expected {right_iou} as for these labels; "
            "fit both with the same --iou",
        )
    twice = sorted(set(checked.sources) & set(prior.fitted.sources))
    if twice:
        raise RequestError(
            "trust.mismatch",
            f"{path}: fitted.sources has {twice[0]!r}, expected none of the runs that are fitted "
            "now; a prior is a fit on other runs",
        )
    return prior


def gate(kept: Bool, examples: Examples) -> Gate:
    """Return what a rule keeps of checked labels, and how much of that is right."""
    groups, every = examples.group_numbers(), np.ones(len(examples), bool)
    return Gate(share_of(kept, every, groups), share_of(examples.right, kept, groups))


def gather(
    runs: list[Path], *, truths: list[str], files: list[Path], class_map: str, right_iou: float
) -> Checked:
    """Return the checked labels of several runs, each judged by its truth or by people.

    Raises:
        RequestError: `config.invalid` unless there is one judge for each run; see `from_truth` and
            `from_decisions`.
    """
    judges = truths or files
    if not runs or (truths and files) or len(judges) != len(runs):
        raise RequestError(
            "config.invalid",
            f"{len(runs)} runs, {len(truths)} --truth and {len(files)} --checked: expected either "
            "one --truth or one --checked for each run, in their order",
        )
    if files:
        pairs = zip(runs, files, strict=True)
        return joined(from_decisions(run, path, right_iou=right_iou) for run, path in pairs)
    return joined(
        from_truth(run, truth, class_map=class_map, right_iou=right_iou)
        for run, truth in zip(runs, truths, strict=True)
    )


def from_decisions(run: Path, path: Path, *, right_iou: float) -> Checked:
    """Return the labels of a run that people decided in one file; see `from_people`.

    What an edited file holds as it was counts as looked at and right: it is given as checked.

    Raises:
        RequestError: as `decisions.read_corrections`.
    """
    found = read_corrections(run, path, all_checked=True)
    return from_people(folder.read_spec(run), found.seen, found.corrections, right_iou=right_iou)


def from_people(
    spec: RunSpec, seen: Seen, corrections: tuple[Correction, ...], *, right_iou: float
) -> Checked:
    """Judge labels by what people made of them.

    A label is right if it was kept with its class, and its mask with at least `right_iou`. Labels
    that people added are none of ours. Groups are samples.

    Args:
        spec: Of the run.
        seen: Labels that no person had decided yet.
        corrections: What people decided.
        right_iou: Least mask IoU.
    """
    prefix = spec.evidence_fingerprint()[:12]
    decided = by_image(corrections)
    parts = [_none()]
    for sample_id, picture in seen:
        rows = picture.instances
        row_of = {int(prompt): row for row, prompt in enumerate(rows.prompt_ids)}
        ours = [
            one for one in decided.get((sample_id, picture.file_name), ()) if one.instance in row_of
        ]
        places = np.array([row_of[one.instance] for one in ours], np.int64)
        right = np.array([one.kept for one in ours], bool)
        left = masks_.join(
            tuple((np.array(one.mask_xyxy, np.int32), one.mask_counts.encode()) for one in ours),
            picture.size_hw,
        )
        right &= masks_.paired_ious(masks_.checked(left), rows.masks[places]) >= right_iou
        names = [spec.ontology.by_id(int(i)).name for i in rows.class_ids[places]]
        right &= np.array(
            [one.class_name == name for one, name in zip(ours, names, strict=True)], bool
        )
        parts.append(_checked(rows[places], right, f"{prefix}/{sample_id}", spec.ontology))
    return joined(parts, (f"{prefix} checked",))


@dataclass(frozen=True)
class Doubtful:
    """A label in the order of review.

    Attributes:
        sample: Id of its sample.
        file_name: Of its image.
        instance: Its id.
        class_name: Its class.
        trust: Probability that it is right; None where nothing was fitted.
        score: Of the detector.
        status: accepted or review.
        reasons: Why it is for review; none where it is accepted.
    """

    sample: str
    file_name: str
    instance: int
    class_name: str
    trust: float | None
    score: float
    status: str
    reasons: tuple[str, ...]


def worst_first(run: Path) -> list[Doubtful]:
    """Return the labels that are accepted or for review and nobody decided, the worst first.

    The order is that of `features.worst_first`.
    """
    ontology = folder.read_spec(run).ontology
    found: list[Doubtful] = []
    features = [np.zeros((0, len(FEATURES)))]
    for sample_id, picture in _pictures(run):
        rows = picture.instances
        filled = np.array([bool(counts) for counts in rows.masks.counts], bool)
        rows = rows[filled & (rows.statuses != Status.REJECTED) & ~rows.by_human]
        features.append(features_of(rows))
        for row, trust in enumerate(rows.trusts):
            found.append(
                Doubtful(
                    sample_id,
                    picture.file_name,
                    int(rows.instance_ids[row]),
                    ontology.by_id(int(rows.class_ids[row])).name,
                    None if np.isnan(trust) else float(trust),
                    float(rows.scores[row]),
                    Status(rows.statuses[row]).name.lower(),
                    rows.reasons[row],
                )
            )
    trusts = np.array([np.nan if one.trust is None else one.trust for one in found], np.float64)
    return [found[i] for i in worst_of(trusts, np.concatenate(features))]
