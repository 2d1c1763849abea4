"""Every hash and every promise of a run folder, checked; nothing is changed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from perception.core.errors import RequestError, in_bucket
from perception.core.types import PointState, SampleLabels
from perception.io.files import TEMPORARY
from perception.runs import corrections, evidence, labels, lock, records, shards, timings
from perception.runs.folder import (
    SETTINGS,
    Plan,
    RunSpec,
    Summary,
    read_plan,
    read_shard,
    read_summary,
    sum_up,
)
from perception.runs.shards import Outcome

ENDINGS = (".parquet", ".json")


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a run.

    Attributes:
        faults: One sentence each, naming the file; none where all is as promised.
        shards: Shards that were read, evidence and label sets together.
        missing: Shards that are not there yet: the run has not finished.
    """

    faults: tuple[str, ...]
    shards: int
    missing: int

    def lines(self) -> list[str]:
        """Say it to people."""
        missing = f", {self.missing} still missing: `label` again resumes" if self.missing else ""
        found = f"{len(self.faults)} faults" if self.faults else "all as promised"
        return [*map(in_bucket, self.faults), f"{self.shards} shards read{missing}: {found}"]


def verify(run: Path) -> Verdict:
    """Check a run: hashes, the plan, each sample once and in order, masks, points, counts.

    A run that has not finished is not at fault for what it lacks. Damage is listed, never raised.

    Raises:
        RequestError: `run.damaged` for a folder without `run.json`: it is no run.
    """
    if not (run / SETTINGS).exists():
        read_summary(run)
    try:
        summary = read_summary(run)
        plan = read_plan(run, summary.spec)
    except RequestError as error:
        return Verdict((error.message,), 0, 0)
    spec, finished = summary.spec, summary.counts is not None
    faults = [*_settings(run, summary), *_times(run)]
    found = missing = 0
    sets = sorted(path.name for path in (run / "labels").glob("*") if path.is_dir())
    current = spec.label_set()
    for folder in [evidence.folder_of(run), *(labels.folder_of(run, name) for name in sets)]:
        # A relabelling that was stopped leaves a set with holes, and an evidence without any.
        needed = finished and folder in {evidence.folder_of(run), labels.folder_of(run, current)}
        faults += _strangers(folder, len(plan))
        for index in range(len(plan)):
            if not (folder / f"{shards.shard_name(index)}.json").exists() and not needed:
                missing += folder.name in {"evidence", current}
                continue
            found += 1
            faults += _shard(run, folder, spec, plan, index)
    if current not in sets:
        missing += len(plan)
    if finished and not faults:
        faults += _totals(run, summary, plan)
    return Verdict(tuple(faults), found, missing)


def _settings(run: Path, summary: Summary) -> Iterator[str]:
    spec = summary.spec
    for key, stated, value in (
        ("fingerprint", summary.fingerprint, spec.fingerprint()),
        ("labels", summary.labels, spec.label_set()),
    ):
        if stated != value:
            yield f"{run / SETTINGS}: {key} is {stated}, its settings give {value}"
    try:
        corrections.read(run, spec)
    except RequestError as error:
        yield error.message
    if not lock.holder_of(run):  # else they are being written
        for path in sorted(run.rglob(f"{TEMPORARY}*")):
            yield f"{path}: left by a process that was killed; `label` again removes it"


def _times(run: Path) -> Iterator[str]:
    try:
        timings.read(run)
    except RequestError as error:
        yield error.message


def _totals(run: Path, summary: Summary, plan: Plan) -> Iterator[str]:
    """Compare what was summed up with the shards."""
    try:
        counts, quarantine = sum_up(run, summary.spec, plan)
        if counts != summary.counts:
            yield f"{run / SETTINGS}: its counts are not the sum of the shards"
        if records.read_bytes(run / "quarantine.jsonl", len(quarantine) + 1) != quarantine:
            yield f"{run / 'quarantine.jsonl'}: does not list the quarantined samples"
    except RequestError as error:
        yield error.message
        return
    samples = counts["samples"]
    if sum(samples[status] for status in shards.STATUSES) != samples["input"]:
        yield f"{run}: ok + empty + quarantined is not the input: {samples}"


def _strangers(folder: Path, count: int) -> Iterator[str]:
    expected = {f"{shards.shard_name(index)}{end}" for index in range(count) for end in ENDINGS}
    for path in sorted(folder.glob("*")):
        if path == evidence.partial_folder_of(folder.parent):
            continue
        if path.name not in expected and not path.name.startswith(TEMPORARY):
            yield f"{path}: is no shard of the plan"


def _shard(run: Path, folder: Path, spec: RunSpec, plan: Plan, index: int) -> list[str]:
    where = f"{folder / shards.shard_name(index)}.parquet"
    try:
        stated, _ = shards.stated_counts(folder, index)
        if folder == evidence.folder_of(run):
            outcomes = [one for one, _ in evidence.read(run, index, plan.shard(index))]
            faults: list[str] = []
        else:
            decided = list(read_shard(run, spec, plan, index, folder.name))
            outcomes = [one for one, _ in decided]
            faults = [fault for one in decided for fault in _sample(*one)]
    except RequestError as error:
        return [error.message]
    statuses = [one.status for one in outcomes]
    if {name: statuses.count(name) for name in shards.STATUSES} != stated:
        faults.append("its JSON file counts its samples otherwise")
    return [f"{where}: {fault}" for fault in faults]


def _sample(outcome: Outcome, sample: SampleLabels) -> Iterator[str]:
    name = f"sample {outcome.sample_id!r}"
    ids = [int(i) for picture in sample.pictures for i in picture.instances.instance_ids]
    if len(set(ids)) != len(ids) or any(i < 1 for i in ids):
        yield f"{name}: instance ids are not unique from 1 on"
    points = sample.points
    labelled = points.states == PointState.LABELLED
    if (labelled != (points.class_ids >= 0)).any() or (points.instance_ids[~labelled] != 0).any():
        yield f"{name}: points that are not labelled have a class or an instance, or the reverse"
    if outcome.status == "quarantined" and (sample.pictures or len(points)):
        yield f"{name}: is quarantined and has labels"
