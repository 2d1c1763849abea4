"""`label`: label a dataset into a run; `plan` says what it would do."""

import itertools
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from perception.commands.request import LabelRequest, Resolved, check, resolve, with_weights
from perception.commands.results import (
    Progress,
    Run,
    Tell,
    first_refusals,
    no_progress,
    tell_nobody,
)
from perception.core.errors import RequestError
from perception.core.progress import phase
from perception.execution.effort import Effort
from perception.execution.job import Placement
from perception.execution.trial import load_once
from perception.models import registry
from perception.runs import evidence, folder, growth, labels, log, offsets, sanity, shards, store
from perception.runs.folder import Plan, RunSpec
from perception.runs.store import RunStore
from perception.runs.timings import Timings


@dataclass(frozen=True)
class Planned:
    """What `label` would do.

    Attributes:
        folder: The run folder, or its address in a bucket.
        samples: Samples in all.
        shards: Shards in all.
        shards_done: Shards that are there and whole.
        fingerprint: Of the run.
        notices: What was understood or left out of the source and the boxes, see `Resolved`.
    """

    folder: Path | str
    samples: int
    shards: int
    shards_done: int
    fingerprint: str
    notices: tuple[str, ...] = ()


def plan(request: LabelRequest) -> Planned:
    """Check everything about a request, and load its models once; nothing is written.

    With engine ray the workers load the models, on machines of their own: not so here.

    Raises:
        RequestError: for anything wrong with the request.
    """
    request = with_weights(replace(request, offline=True), tell_nobody)
    with _resolved(request) as (resolved, run):
        run.bring(store.is_state)
        _try(resolved, request)
        spec, samples = resolved.job.spec, resolved.plan
        whole = sum(_is_whole(run, spec, index) for index in range(len(samples)))
        counts = (len(samples.samples), len(samples), whole)
        return Planned(run.address, *counts, spec.fingerprint(), resolved.notices)


@contextmanager
def _resolved(request: LabelRequest) -> Iterator[tuple[Resolved, RunStore]]:
    """Resolve a request and open its run, with the settings that are stored in it.

    With `new_run` it is OUT, OUT-2, OUT-3, ...: the first place without a run, or with this one.

    Raises:
        RequestError: as `check` and `resolve`; `run.occupied`, `bucket.*`.
    """
    checked = check(request)
    for number in itertools.count(1):
        with store.opened(store.beside(request.out, number)) as run:
            run.bring(store.is_settings)
            resolved = resolve(checked, run)
            if (
                not request.new_run
                or not (run.place / folder.SETTINGS).exists()
                or folder.read_spec(run.place).fingerprint() == resolved.job.spec.fingerprint()
            ):
                yield resolved, run
                return


def _try(resolved: Resolved, request: LabelRequest) -> None:
    """Refuse what the run would refuse."""
    run = Path(resolved.job.run)
    folder.refuse_occupied(run)
    if not request.overwrite:
        folder.refuse_other(run, resolved.job.spec, resolved.plan)
    if request.engine == "local":
        load_once(resolved.job, resolved.plan)


def label(request: LabelRequest, progress: Progress = no_progress, tell: Tell = tell_nobody) -> Run:
    """Label a dataset into a run, or go on where an earlier call stopped.

    Args:
        request: What to label, with what, and where to.
        progress: Called before and after each shard; may raise `Interrupted`.
        tell: Called with each notice before any work, and where the boxes on the first pictures
            give reason to doubt them.

    Raises:
        RequestError: before any work, for anything wrong with the request.
    """
    with _resolved(with_weights(request, tell)) as (resolved, run):
        for notice in resolved.notices:
            tell(notice)
        spec, samples = resolved.job.spec, resolved.plan
        begun = run.begun(
            spec,
            samples,
            resolved.asked,
            overwrite=request.overwrite,
            break_lock=request.break_lock,
        )
        with begun as keep_alive, log.kept(run.place):
            for notice in resolved.notices:
                phase(notice)
            counts = _work(resolved, run, request, keep_alive, progress, tell)
            refusals = first_refusals(run.place)
        return Run(run.place, counts, str(run.address), resolved.notices, refusals)


def _work(
    resolved: Resolved,
    run: RunStore,
    request: LabelRequest,
    keep_alive: Callable[[], None],
    progress: Progress,
    tell: Tell,
) -> dict[str, Any]:
    job, samples = resolved.job, resolved.plan
    total = len(samples.samples)
    if mended := growth.retry_mended(run, job.spec, samples):
        tell(f"{mended} quarantined samples have changed since: tried again")
    missing = [index for index in range(len(samples)) if not _is_whole(run, job.spec, index)]
    resumed = total - sum(len(samples.shard(index)) for index in missing)
    timings = Timings(run.place, resumed, request.engine, request.workers)
    timings.write()
    watch = _Watch(samples, resumed, progress)
    watch.show()

    seen, decided = folders = _folders(run, job.spec)
    first_look = sanity.FirstLook()

    def done(index: int, effort: Effort) -> None:
        keep_alive()
        for place in folders:  # a worker may have put the shard from a copy of its own
            run.bring_stated(place, index)
        if request.strict_calibration:
            _refuse_offsets(shards.stated_counts(decided, index)[1])
        for doubt in first_look.add(shards.stated_counts(seen, index)[1]):
            phase(doubt)
            tell(doubt)
        timings.add(len(samples.shard(index)), effort.to_dict())
        watch.done(index)

    def handed_out() -> Iterator[int]:
        for index in missing:
            watch.show()  # raises when the run shall stop
            yield index

    if missing:
        engine = pkgutil.resolve_name(registry.ENGINES[request.engine])
        workers = min(request.workers, len(missing))
        placement = Placement(workers, request.address, request.dashboard)
        phase("starting workers" if workers > 1 else "starting a worker")
        engine(job, handed_out(), placement, done, watch.seen)
    phase("summing up")
    run.bring_quarantined(decided)
    counts = folder.finish(run.place, job.spec, samples)
    phase(f"finished: {total} samples, {resumed} of them before")
    timings.finish()
    if request.strict_calibration:
        _refuse_offsets(counts)
    return counts


class _Watch:
    """Counts the samples that were seen, in shards that are whole or in hand."""

    def __init__(self, plan: Plan, resumed: int, progress: Progress) -> None:
        self._plan, self._progress = plan, progress
        self._whole, self._in_hand = resumed, dict[int, set[int]]()
        self._name = ""

    def show(self) -> None:
        """Tell how far the run is; raises when it shall stop."""
        counted = self._whole + sum(map(len, self._in_hand.values()))
        self._progress(counted, len(self._plan.samples), self._name)

    def seen(self, index: int, place: int) -> None:
        """Count a sample; one that is seen again, since its worker died, once."""
        self._in_hand.setdefault(index, set()).add(place)
        self._name = self._plan.shard(index)[place].id
        self.show()

    def done(self, index: int) -> None:
        """Count a shard that is whole."""
        self._in_hand.pop(index, None)
        self._whole += len(self._plan.shard(index))
        self.show()


def _refuse_offsets(tallies: dict[str, Any]) -> None:
    wrong = [offset.text() for offset in offsets.camera_offsets(tallies) if offset.is_off]
    if wrong:
        raise RequestError("calibration.off", "; ".join(wrong))


def _is_whole(run: RunStore, spec: RunSpec, index: int) -> bool:
    return all(run.has_shard(place, index) for place in _folders(run, spec))


def _folders(run: RunStore, spec: RunSpec) -> tuple[Path, Path]:
    """Return where the shards of a run are: its evidence, its label set."""
    return evidence.folder_of(run.place), labels.folder_of(run.place, spec.label_set())
