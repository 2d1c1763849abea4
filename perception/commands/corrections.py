"""Corrections come home: what people decided is put in the place of what we decided."""

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from perception.commands.relabel import decide_run
from perception.commands.results import Progress, Run, no_progress
from perception.commands.trust import RIGHT_IOU, fit, from_people
from perception.core.errors import RequestError
from perception.core.ontology import load_class_map
from perception.core.text import text_table
from perception.execution.worker import decide_shard
from perception.labeling.quality.correct import Correction
from perception.labeling.trust.model import TrustModel
from perception.review.decisions import Changes, read_corrections, read_seen
from perception.runs import corrections as stored
from perception.runs import folder, lock, store
from perception.runs.folder import RunSpec

# decision -> what the table calls it
_KINDS = {
    "accept": "kept",
    "reclass": "edited",
    "edit": "edited",
    "add": "added",
    "reject": "deleted",
    "wrong_class": "deleted",
    "bad_edge": "deleted",
}
COLUMNS = ("kept", "edited", "deleted", "added", "untouched", "stays")
SHOWN = 5  # rows kept apart that are shown one by one


@dataclass(frozen=True)
class Applied:
    """What a file of corrections changed, or would change.

    Attributes:
        run: The run, decided again; None for a dry run.
        by_class: Class name to the number of labels that people kept, edited, deleted and added,
            that they left untouched, and that stay though the file lacks them; the class is the one
            that we had given, for added labels the one that a person gave.
        corrections: All that the run now has, earlier ones included.
        trust: What became of the trust model.
        apart: Rows and pictures of the file that cannot be placed, by kind.
        notes: What else is to be known before it is believed, in sentences.
    """

    run: Run | None
    by_class: dict[str, dict[str, int]] = field(default_factory=dict)
    corrections: int = 0
    trust: str = ""
    apart: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the table as text."""
        rows: list[tuple[str, ...]] = [("", *COLUMNS)]
        rows += [
            (name, *(str(counts[column]) for column in COLUMNS))
            for name, counts in sorted(self.by_class.items())
        ]
        decided = "nothing was changed (--dry-run)"
        if self.run is not None:
            decided = f"{self.corrections} labels of this run are decided by people"
        return [*text_table(rows), *self.notes, decided, *filter(None, [self.trust])]

    def to_dict(self) -> dict[str, Any]:
        """Return the same for programs."""
        values = {name: value for name, value in asdict(self).items() if name != "run"}
        return values | {"dry_run": self.run is None}


@dataclass(frozen=True)
class Terms:
    """How a file is taken.

    Attributes:
        class_map: From the names of classes in an edited file to the run's; "" where they are the
            same.
        all_checked: What an edited file holds as it was counts as kept by people.
        allow_deletions: Delete also where a file lacks most labels and changes none.
    """

    class_map: str = ""
    all_checked: bool = False
    allow_deletions: bool = False


def apply(
    run: Path | str,
    path: Path,
    progress: Progress = no_progress,
    *,
    terms: Terms | None = None,
    dry_run: bool = False,
) -> Applied:
    """Apply a decisions file, or a COCO or CVAT file that was edited elsewhere, to a finished run.

    What a person kept stays as they saw it, whatever is decided later; a later file wins over an
    earlier one, label by label. The labels become a new label set; the same file again changes
    nothing. Trust is fitted again on all that people looked at, unless the run's model rests on
    more labels than these.

    Args:
        run: The run folder, or its address in a bucket.
        path: What people decided.
        progress: Called as samples are done.
        terms: How the file is taken.
        dry_run: Say what would change, and change nothing.

    Raises:
        RequestError: as `read_corrections`; `corrections.deletes` for a file that lacks most labels
            and changes none; `run.locked`, `bucket.*`.
    """
    terms = terms or Terms()
    if dry_run:
        with store.reading(run) as place:
            return _summary(_read(place, path, terms), folder.read_spec(place), terms)
    with store.changing(run) as opened:
        applied = _apply(opened.place, path, terms, progress)
    if applied.run is None:
        return applied
    return replace(applied, run=replace(applied.run, address=str(opened.address)))


def _read(place: Path, path: Path, terms: Terms) -> Changes:
    class_map = load_class_map(terms.class_map) if terms.class_map else None
    return read_corrections(place, path, class_map=class_map, all_checked=terms.all_checked)


def _apply(place: Path, path: Path, terms: Terms, progress: Progress) -> Applied:
    spec = folder.read_spec(place)
    changes = _read(place, path, terms)
    summary = _summary(changes, spec, terms)
    question = _question(summary, changes)
    if question and not terms.allow_deletions:
        raise RequestError(
            "corrections.deletes",
            f"{path}: {question}; was it exported before the labels were in it? If people deleted "
            "them, say --allow-deletions (--dry-run shows the table)",
        )
    merged = {(one.sample, one.instance): one for one in stored.read(place, spec)}
    merged |= {(one.sample, one.instance): one for one in changes.corrections}
    everything = tuple(merged.values())
    trust, refit = _refit(place, spec, everything)
    changed = spec.decided_here().model_copy(
        update={"corrections": stored.write(place, everything), "trust": trust}
    )
    decided = decide_run(place, changed, progress=progress)
    return replace(summary, run=decided, corrections=len(merged), trust=refit)


def _summary(changes: Changes, spec: RunSpec, terms: Terms) -> Applied:
    """Say what a file changes, before anything is changed."""
    summary = Applied(
        None, _by_class(changes, spec), apart=dict(Counter(one.kind for one in changes.apart))
    )
    notes = _notes(changes)
    question = _question(summary, changes)
    if question and not terms.allow_deletions:
        notes.append(f"{question}: it is refused without --allow-deletions")
    return replace(summary, notes=tuple(notes))


def _question(summary: Applied, changes: Changes) -> str:
    """Return what a person should be asked about an edited file; "" for nothing."""
    counts = Counter[str]()
    for row in summary.by_class.values():
        counts.update(row)
    there = sum(counts.values()) - counts["added"]
    if not changes.pictures[1] or counts["edited"] + counts["kept"]:
        return ""
    if 2 * counts["deleted"] <= there:
        return ""
    return f"it lacks {counts['deleted']} of the {there} labels of its pictures and changes none"


def _notes(changes: Changes) -> list[str]:
    notes = []
    if changes.apart:
        kinds = Counter(one.kind for one in changes.apart)
        shown = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        notes.append(f"kept apart, {len(changes.apart)} that cannot be placed: {shown}")
        notes += [f"  {one.where}" for one in changes.apart[:SHOWN]]
        if len(changes.apart) > SHOWN:
            notes.append(f"  and {len(changes.apart) - SHOWN} more")
        if any(kind.startswith("class ") for kind in kinds):
            notes.append("  classes that the run does not know: map them with --class-map FILE")
    for reason, count in sorted(changes.reasons.items()):
        notes.append(f"{count} labels stay as they are: {reason}")
    if changes.rectangles:
        notes.append(f"{changes.rectangles} rectangles are masks now, filled as they were drawn")
    if changes.emptied:
        notes.append(f"{changes.emptied} pictures of the file hold nothing any more")
    if changes.pictures[1]:
        ours, named = changes.pictures
        notes.append(f"{ours} of the {named} pictures in the file are the run's")
    return notes


def _refit(
    run: Path, spec: RunSpec, corrections: tuple[Correction, ...]
) -> tuple[TrustModel | None, str]:
    """Return the trust model that the run shall have, and say where it comes from."""
    had = spec.trust
    if not corrections:
        return had, ""
    looked_at = tuple(one for one in corrections if one.checked)
    if not looked_at:
        return had, (
            "trust is not fitted again: an edited file says what was wrong, not what was looked at "
            "and right; say --all-checked if everything in it was looked at"
        )
    base = spec.decided_here().model_copy(update={"corrections": "", "trust": None})
    samples = folder.read_plan(run, base)
    with lock.held(run):  # what our own rules say, and people judged; the run has it mostly
        for index in range(len(samples)):
            decide_shard(run, base, samples, index)
    seen = read_seen(run, base.label_set())
    right_iou = had.right_iou if had else RIGHT_IOU
    checked = from_people(base, seen, looked_at, right_iou=right_iou)
    if had and had.fitted.labels > len(checked.examples):
        return had, (
            f"trust stays: it rests on {had.fitted.labels} labels, {len(checked.examples)} were "
            "decided by people"
        )
    if had and had.fitted.prior:
        return had, (
            f"trust stays: its fit began with the prior {had.fitted.prior[:12]}, which the run "
            "does not hold; `perception trust fit --checked FILE --prior TRUST` fits it again"
        )
    try:
        found = fit(
            checked, right_iou=right_iou, target_precision=had.target_precision if had else None
        )
    except RequestError as error:
        if error.code not in ("trust.few_labels", "extra.missing"):
            raise
        return had, f"trust is not fitted again: {error.message}"
    return found.model, "trust is fitted again: " + found.lines()[0]


def _by_class(changes: Changes, spec: RunSpec) -> dict[str, dict[str, int]]:
    names = {
        (sample_id, int(prompt)): spec.ontology.by_id(int(class_id)).name
        for sample_id, picture in changes.seen
        for prompt, class_id in zip(
            picture.instances.prompt_ids, picture.instances.class_ids, strict=True
        )
    }
    counted = Counter[tuple[str, str]]()
    for one in changes.corrections:
        name = names.get((one.sample, one.instance), one.class_name)
        counted[name, _KINDS[one.decision]] += 1
    for column, labels in (("untouched", changes.untouched), ("stays", changes.stays)):
        counted.update({(name, column): count for name, count in labels.items()})
    return {
        name: {column: counted[name, column] for column in COLUMNS}
        for name in sorted({name for name, _ in counted})
    }
