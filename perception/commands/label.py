"""One function per verb: load, call, write. The command line and Python callers share them."""

import itertools
import json
import os
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from perception.commands import hygiene
from perception.commands.exports import FORMATS, export
from perception.commands.request import LabelRequest, Resolved, check, resolve
from perception.core.config import merge, parse_config, read_overrides
from perception.core.errors import RequestError
from perception.core.ontology import load_class_map
from perception.core.types import SampleLabels, Status
from perception.execution.effort import Effort
from perception.execution.job import Placement
from perception.execution.side_by_side import decide_all
from perception.execution.trial import load_once
from perception.labeling.trust.model import read_model
from perception.models import registry
from perception.runs import evidence, folder, labels, lock, offsets, sanity, shards, store
from perception.runs.folder import RunSpec
from perception.runs.store import RunStore
from perception.runs.timings import Timings

__all__ = [
    "FORMATS",
    "LabelRequest",
    "Planned",
    "Run",
    "export",
    "label",
    "parse_statuses",
    "plan",
    "read_labels",
    "relabel",
]

NO_TRUST = "none"  # --trust none
Progress = Callable[[int, int], None]  # samples done, samples in all
Tell = Callable[[str], None]  # takes one sentence for people


def no_progress(done: int, total: int) -> None:
    """Show nothing."""


def tell_nobody(notice: str) -> None:
    """Keep it in the result alone."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: The run folder; gone where the run is in a bucket.
        counts: Samples by status, instances by status, class and reason.
        address: Where the run is: a folder, or a place in a bucket.
        notices: What was understood or left out of the source and the boxes, see `Resolved`.
        refusals: The first quarantined sample of each reason, a row of `quarantine.jsonl` each.
    """

    folder: Path
    counts: dict[str, Any]
    address: str
    notices: tuple[str, ...] = ()
    refusals: tuple[dict[str, str], ...] = ()

    def labels(self) -> Iterator[SampleLabels]:
        """Yield the labels of every sample that was not quarantined, in the order of the plan."""
        return read_labels(self.address)


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
    with _resolved(request) as (resolved, run):
        for notice in resolved.notices:
            tell(notice)
        spec, samples = resolved.job.spec, resolved.plan
        with run.begun(
            spec, samples, overwrite=request.overwrite, break_lock=request.break_lock
        ) as keep_alive:
            counts = _work(resolved, run, request, keep_alive, progress, tell)
            refusals = _refusals(run.place)
        return Run(run.place, counts, str(run.address), resolved.notices, refusals)


def _refusals(run: Path) -> tuple[dict[str, str], ...]:
    """Return the first row of `quarantine.jsonl` for each code."""
    first = dict[str, dict[str, str]]()
    with (run / "quarantine.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            first.setdefault(row["code"], row)
    return tuple(first[code] for code in sorted(first))


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
    missing = [index for index in range(len(samples)) if not _is_whole(run, job.spec, index)]
    resumed = total - sum(len(samples.shard(index)) for index in missing)
    timings = Timings(run.place, resumed, request.engine, request.workers)
    timings.write()
    progress(resumed, total)

    seen, decided = folders = _folders(run, job.spec)
    first_look = sanity.FirstLook()

    def done(index: int, effort: Effort) -> None:
        keep_alive()
        for place in folders:  # a worker may have put the shard from a copy of its own
            run.bring_stated(place, index)
        if request.strict_calibration:
            _refuse_offsets(shards.stated_counts(decided, index)[1])
        for doubt in first_look.add(shards.stated_counts(seen, index)[1]):
            tell(doubt)
        timings.add(len(samples.shard(index)), effort.to_dict())
        progress(resumed + timings.samples_done_now, total)

    def handed_out() -> Iterator[int]:
        for index in missing:
            progress(resumed + timings.samples_done_now, total)  # raises when the run shall stop
            yield index

    if missing:
        engine = pkgutil.resolve_name(registry.ENGINES[request.engine])
        workers = min(request.workers, len(missing))
        engine(job, handed_out(), Placement(workers, request.address, request.dashboard), done)
    run.bring_quarantined(decided)
    counts = folder.finish(run.place, job.spec, samples)
    timings.finish()
    if request.strict_calibration:
        _refuse_offsets(counts)
    return counts


def _refuse_offsets(tallies: dict[str, Any]) -> None:
    wrong = [offset.text() for offset in offsets.camera_offsets(tallies) if offset.is_off]
    if wrong:
        raise RequestError("calibration.off", "; ".join(wrong))


def _is_whole(run: RunStore, spec: RunSpec, index: int) -> bool:
    return all(run.has_shard(place, index) for place in _folders(run, spec))


def _folders(run: RunStore, spec: RunSpec) -> tuple[Path, Path]:
    """Return where the shards of a run are: its evidence, its label set."""
    return evidence.folder_of(run.place), labels.folder_of(run.place, spec.label_set())


def relabel(
    run: Path | str,
    *,
    overrides: dict[str, Any] | None = None,
    config: Path | None = None,
    class_map: str = "",
    workers: int = 0,
    trust: str = "",
    keep_per_class: int = 0,
    progress: Progress = no_progress,
) -> Run:
    """Decide again over a run's stored evidence; no model runs.

    Sweeps and calibration are read again from the source; images only for the previews.

    Args:
        run: The run folder, or its address in a bucket.
        overrides: Nested settings that win over the file and over what the run has.
        config: YAML with settings.
        class_map: Another class map.
        workers: Processes at most; 0 for one per core.
        trust: A trust file; "none" for no trust model; "" for the one that the run has.
        keep_per_class: Accept the best labels of rare classes below the line too, until there are
            so many of each; 0 leaves the line of every class where it is.
        progress: Called as samples are done.

    Raises:
        RequestError: `relabel.observe` for a setting that needs the models again, such as a score
            below the run's floor; `run.damaged`; `config.invalid`.
    """
    with store.changing(run) as opened:
        path = opened.place
        spec = folder.read_spec(path)
        before = spec.config.model_dump(mode="json")
        asked = parse_config(
            merge(merge(before, read_overrides(config)), overrides or {}), str(config or "options")
        )
        if asked.observe != spec.config.observe or asked.shard_size != spec.config.shard_size:
            raise RequestError(
                "relabel.observe",
                "only `decide` settings can be changed without the models; use `label`",
            )
        mapping = load_class_map(class_map) if class_map else spec.class_map
        spec = spec.decided_here().with_decisions(asked.decide, mapping)
        if trust:
            model = None if trust == NO_TRUST else read_model(Path(trust))
            spec = spec.model_copy(update={"trust": model})
        done = decide_run(path, spec, workers, progress)
        if keep_per_class:
            floored = hygiene.with_floor(path, spec, keep_per_class)
            done = decide_run(path, floored, workers, progress)
    return replace(done, address=str(opened.address))


def decide_run(run: Path, spec: RunSpec, workers: int = 0, progress: Progress = no_progress) -> Run:
    """Decide all shards of a run by `spec`, and make that its current label set."""
    samples = folder.read_plan(run, spec)
    total = len(samples.samples)
    with lock.held(run):
        progress(0, total)
        for index in decide_all(run, spec, samples, workers or len(os.sched_getaffinity(0))):
            progress(min((index + 1) * samples.shard_size, total), total)
        counts = folder.finish(run, spec, samples)
        return Run(run, counts, str(run), refusals=_refusals(run))


def read_labels(run: Path | str) -> Iterator[SampleLabels]:
    """Yield the labels of every sample of a finished run that was not quarantined."""
    with store.reading(run, evidence=False) as place:
        yield from folder.usable_labels(place)


def parse_statuses(text: str) -> tuple[Status, ...]:
    """Understand "accepted,review".

    Raises:
        RequestError: `config.invalid` for a word that is no status.
    """
    known = {status.name.lower(): status for status in Status}
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in known:
            raise RequestError(
                "config.invalid", f"--status {word!r}: expected some of {', '.join(known)}"
            )
    return tuple(known[word] for word in words)
