"""Every hash and every promise of a run folder, checked; nothing is changed."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from perception.errors import PerceptionError, RequestError, in_bucket
from perception.files import TEMPORARY
from perception.runs import evidence, labels, lock, records, shards
from perception.runs.folder import Plan, RunSpec, read_plan, read_spec, sum_up
from perception.runs.shards import Outcome
from perception.types import PointState, SampleLabels

STATUSES = ("ok", "empty", "quarantined")
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

    A run that has not finished is not at fault for what it lacks.

    Raises:
        RequestError: `run.damaged` if `run.json` or the plan cannot be read at all.
    """
    spec = read_spec(run)
    plan = read_plan(run, spec)
    stated = records.read_json(run / "run.json")
    finished = stated["counts"] is not None
    faults = [*_settings(run, spec, stated), *_plan(run, plan)]
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
            faults += _shard(run, folder, plan, index)
    if current not in sets:
        missing += len(plan)
    if finished and not faults:
        counts, quarantine = sum_up(run, spec, plan)
        if counts != stated["counts"]:
            faults.append(f"{run / 'run.json'}: its counts are not the sum of the shards")
        if (run / "quarantine.jsonl").read_bytes() != quarantine:
            faults.append(f"{run / 'quarantine.jsonl'}: does not list the quarantined samples")
        samples = counts["samples"]
        if sum(samples[status] for status in STATUSES) != samples["input"]:
            faults.append(f"{run}: ok + empty + quarantined is not the input: {samples}")
    return Verdict(tuple(faults), found, missing)


def _settings(run: Path, spec: RunSpec, stated: dict[str, object]) -> Iterator[str]:
    for key, value in (("fingerprint", spec.fingerprint()), ("labels", spec.label_set())):
        if stated.get(key) != value:
            yield f"{run / 'run.json'}: {key} is {stated.get(key)}, its settings give {value}"
    if not lock.holder_of(run):  # else they are being written
        for path in sorted(run.rglob(f"{TEMPORARY}*")):
            yield f"{path}: left by a process that was killed; `label` again removes it"


def _plan(run: Path, plan: Plan) -> Iterator[str]:
    seen: set[str] = set()
    for number, line in enumerate((run / "plan.jsonl").read_bytes().splitlines()):
        row = json.loads(line)
        if row["shard"] != number // plan.shard_size:
            yield f"{run / 'plan.jsonl'}:{number + 1}: is in shard {row['shard']}"
        if row["id"] in seen:
            yield f"{run / 'plan.jsonl'}:{number + 1}: sample {row['id']!r} comes twice"
        seen.add(row["id"])


def _strangers(folder: Path, count: int) -> Iterator[str]:
    expected = {f"{shards.shard_name(index)}{end}" for index in range(count) for end in ENDINGS}
    for path in sorted(folder.glob("*")):
        if path.name not in expected and not path.name.startswith(TEMPORARY):
            yield f"{path}: is no shard of the plan"


def _shard(run: Path, folder: Path, plan: Plan, index: int) -> list[str]:
    where = f"{folder / shards.shard_name(index)}.parquet"
    try:
        if folder == evidence.folder_of(run):
            outcomes = [outcome for outcome, _ in evidence.read(run, index)]
            faults: list[str] = []
        else:
            decided = list(labels.read(run, folder.name, index))
            outcomes = [outcome for outcome, _ in decided]
            faults = [fault for one in decided for fault in _sample(*one)]
        stated, _ = shards.stated_counts(folder, index)
    except PerceptionError as error:
        return [error.message if isinstance(error, RequestError) else f"{where}: {error}"]
    except (KeyError, TypeError, ValueError) as error:
        return [f"{where}: its rows do not fit together: {type(error).__name__}: {error}"]
    faults += _outcomes(outcomes, [ref.id for ref in plan.shard(index)], stated)
    return [f"{where}: {fault}" for fault in faults]


def _outcomes(
    outcomes: Iterable[Outcome], planned: list[str], stated: dict[str, int]
) -> Iterator[str]:
    found = list(outcomes)
    if [outcome.sample_id for outcome in found] != planned:
        yield f"holds {len(found)} samples, not the plan's {len(planned)} in their order"
    statuses = [outcome.status for outcome in found]
    if {name: statuses.count(name) for name in STATUSES} != stated:
        yield "its JSON file counts its samples otherwise"
    for outcome in found:
        if (outcome.status == "quarantined") != bool(outcome.code):
            yield f"sample {outcome.sample_id!r} is {outcome.status} with code {outcome.code!r}"


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
