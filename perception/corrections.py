"""Corrections come home: what people decided is put in the place of what we decided."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from perception import calibrate
from perception.buckets import is_bucket
from perception.commands import Progress, Run, decide_run, no_progress
from perception.decisions import read_corrections, read_seen
from perception.engine.worker import decide_shard
from perception.errors import RequestError
from perception.quality.correct import Correction
from perception.runs import copies, folder, lock
from perception.runs import corrections as stored
from perception.runs.folder import RunSpec
from perception.trust.model import TrustModel

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
COLUMNS = ("kept", "edited", "deleted", "added")


@dataclass(frozen=True)
class Applied:
    """What a file of corrections changed.

    Attributes:
        run: The run, decided again.
        by_class: Class name to the number of labels kept, edited, deleted and added; the class is
            the one that we had given, for added labels the one that a person gave.
        corrections: All that the run now has, earlier ones included.
        trust: What became of the trust model.
    """

    run: Run
    by_class: dict[str, dict[str, int]] = field(default_factory=dict)
    corrections: int = 0
    trust: str = ""

    def lines(self) -> list[str]:
        """Return the table as text."""
        rows: list[tuple[str, ...]] = [("", *COLUMNS)]
        rows += [
            (name, *(str(counts[column]) for column in COLUMNS))
            for name, counts in sorted(self.by_class.items())
        ]
        width = max(len(row[0]) for row in rows)
        lines = [f"{row[0]:{width}}" + "".join(f"{cell:>9}" for cell in row[1:]) for row in rows]
        return [*lines, f"{self.corrections} labels of this run are decided by people", self.trust]


def apply(run: Path | str, path: Path, progress: Progress = no_progress) -> Applied:
    """Apply a decisions file, or a COCO or CVAT file that was edited elsewhere, to a finished run.

    What a person kept stays as they saw it, whatever is decided later; a later file wins over an
    earlier one, label by label. The labels become a new label set; the same file again changes
    nothing. Trust is fitted again on all that people decided, unless the run's model rests on more
    labels than these.

    Args:
        run: The run folder, or its address in a bucket.
        path: What people decided.
        progress: Called as samples are done.

    Raises:
        RequestError: as `read_corrections`; `run.locked`, `bucket.*`.
    """
    with copies.changing(run) as place:
        applied = _apply(place, path, progress)
    address = str(run) if is_bucket(run) else ""
    return replace(applied, run=replace(applied.run, bucket=address))


def _apply(place: Path, path: Path, progress: Progress) -> Applied:
    spec = folder.read_spec(place)
    changes, seen = read_corrections(place, path)
    merged = {(one.sample, one.instance): one for one in stored.read(place, spec)}
    merged |= {(one.sample, one.instance): one for one in changes}
    names = {
        (sample_id, int(prompt)): spec.ontology.by_id(int(class_id)).name
        for sample_id, picture in seen
        for prompt, class_id in zip(
            picture.instances.prompt_ids, picture.instances.class_ids, strict=True
        )
    }
    by_class = _by_class(changes, names)
    everything = tuple(merged.values())
    trust, refit = _refit(place, spec, everything)
    changed = spec.decided_here().model_copy(
        update={"corrections": stored.write(place, everything), "trust": trust}
    )
    decided = decide_run(place, changed, progress=progress)
    return Applied(decided, by_class, len(merged), refit)


def _refit(
    run: Path, spec: RunSpec, corrections: tuple[Correction, ...]
) -> tuple[TrustModel | None, str]:
    """Return the trust model that the run shall have, and say where it comes from."""
    had = spec.trust
    base = spec.decided_here().model_copy(update={"corrections": "", "trust": None})
    samples = folder.read_plan(run, base)
    with lock.held(run):  # what our own rules say, and people judged; the run has it mostly
        for index in range(len(samples)):
            decide_shard(run, base, samples, index)
    seen = read_seen(run, base.label_set())
    right_iou = had.right_iou if had else calibrate.RIGHT_IOU
    checked = calibrate.from_people(base, seen, corrections, right_iou=right_iou)
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
        found = calibrate.calibrate(
            checked, right_iou=right_iou, target_precision=had.target_precision if had else None
        )
    except RequestError as error:
        if error.code not in ("trust.few_labels", "extra.missing"):
            raise
        return had, f"trust is not fitted again: {error.message}"
    return found.model, "trust is fitted again: " + found.lines()[0]


def _by_class(
    corrections: tuple[Correction, ...], names: dict[tuple[str, int], str]
) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for one in corrections:
        name = names.get((one.sample, one.instance), one.class_name)
        counts = table.setdefault(name, dict.fromkeys(COLUMNS, 0))
        counts[_KINDS[one.decision]] += 1
    return table
