"""A run that grows: more samples, and frames that were mended; what is there stays as it is.

New samples come after those that the run has, in shards of their own. A frame that could not be
used is tried again when one of its files changed since the run last looked: what was seen of the
others in its shard is kept, and only that frame is shown to the models.
"""

from pathlib import Path

from perception.core.errors import RequestError
from perception.core.types import SampleRef
from perception.io.buckets import is_bucket
from perception.runs import evidence, labels, poison, shards, timings
from perception.runs.folder import Plan, RunSpec, Summary, read_plan
from perception.runs.store import RunStore


def grown(run: Path, there: RunSpec, asked: Plan) -> tuple[Plan, tuple[str, ...]]:
    """Return the plan of a run with what is asked for besides, and what people should know.

    A plan that does not fit is returned as it is asked for: `folder.begin` says how they differ.

    Args:
        run: The run folder.
        there: Its settings.
        asked: The samples of the source now.
    """
    try:
        stored = read_plan(run, there)
    except RequestError:  # damaged: made again, if it is the same
        return asked, ()
    have = {ref.id: ref for ref in stored.samples}
    fits = asked.shard_size == stored.shard_size and asked.samples[0].root == stored.samples[0].root
    if not fits or any(have.get(ref.id, ref) != ref for ref in asked.samples):
        return asked, ()
    more = tuple(ref for ref in asked.samples if ref.id not in have)
    gone = len(have) - (len(asked.samples) - len(more))
    notices = []
    if more:
        notices.append(f"{_samples(len(more))} more than the run has: only these are seen")
    if gone:
        notices.append(f"{_samples(gone)} of the run not asked for now: kept")
    return stored.grown(more), tuple(notices)


def _samples(count: int) -> str:
    return "1 sample" if count == 1 else f"{count} samples"


def decided_as_before(there: Summary, asked: RunSpec) -> RunSpec:
    """Return settings with the decisions that a run has, if `label` is asked what it was asked.

    A relabelling, a trust or corrections came between; they hold for what is seen now, too.
    """
    if there.asked != asked.label_set() or there.spec.ontology != asked.ontology:
        return asked
    spec = there.spec
    decided = {
        "config": asked.config.model_copy(update={"decide": spec.config.decide}),
        "class_map": spec.class_map,
        "trust": spec.trust,
        "corrections": spec.corrections,
        "decided_with": spec.decided_with,
    }
    return asked.model_copy(update=decided)


def retry_mended(store: RunStore, spec: RunSpec, plan: Plan) -> int:
    """Make samples that were quarantined, and whose files changed since, unseen again.

    Returns:
        How many.

    Raises:
        RequestError: `run.damaged`.
    """
    run = store.place
    since_s = timings.read(run).started_unix_s
    if not since_s:  # nobody has looked yet
        return 0
    decided = labels.folder_of(run, spec.label_set())
    count = 0
    for index in range(len(plan)):
        found = shards.stated(decided, index)
        if found is None or not found.samples.quarantined:
            continue
        store.bring_shard(decided, index)
        refs = plan.shard(index)
        outcomes = labels.read_outcomes(run, spec.label_set(), index, refs)
        mended = {
            place
            for place, (ref, outcome) in enumerate(zip(refs, outcomes, strict=True))
            if outcome.status == "quarantined" and _changed_since(ref, since_s)
        }
        if mended:
            _unsee(store, plan, index, mended)
            count += len(mended)
    return count


def _unsee(store: RunStore, plan: Plan, index: int, places: set[int]) -> None:
    """Keep what was seen of the other samples of a shard aside, and take the shard away."""
    run, refs = store.place, plan.shard(index)
    folder = evidence.folder_of(run)
    store.bring_shard(folder, index)
    seen = list(evidence.read(run, index, refs))
    kept = [
        one
        for place, one in enumerate(seen)
        if place not in places or one[0].status != "quarantined"
    ]
    for place in sorted(places):
        store.drop(poison.name_of(index, place))
    for label_set in labels.sets(run):
        store.drop_shard(label_set, index)
    if len(kept) < len(seen):
        if kept:
            evidence.write(run, index, kept, partial=True)
            store.put_shard(evidence.partial_folder_of(run), index)
        store.drop_shard(folder, index)


def _changed_since(ref: SampleRef, since_s: float) -> bool:
    """Tell whether a file of a sample was written, or put there, after a time."""
    if is_bucket(ref.root):
        return False
    names = (*(picture.file_name for picture in ref.pictures), ref.sweep_file, *ref.calib_files)
    return any(_written_s(Path(ref.root, name)) > since_s for name in names if name)


def _written_s(path: Path) -> float:
    """Return when a file came to be what it is, unix seconds; 0 for none."""
    try:
        about = path.stat()
    except OSError:
        return 0.0
    return max(about.st_ctime, about.st_mtime)
