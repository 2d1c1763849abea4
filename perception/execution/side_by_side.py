"""Shards decided side by side, in processes that need no models."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from perception.execution.process import end_with, ignore_signals
from perception.execution.worker import decide_shard, draw_shard
from perception.runs.folder import Plan, RunSpec, read_plan

SHARDS_EACH = 8  # fewer do not pay for the start of a process, which imports for about a second
_PLACE: list[tuple[Path, RunSpec, Plan]] = []


def decide_all(run: Path, spec: RunSpec, plan: Plan, workers: int) -> Iterator[int]:
    """Decide every shard of a run that this label set lacks; draw the previews of the others.

    Args:
        run: The run folder.
        spec: Its settings, with the decisions that are wanted.
        plan: Its samples.
        workers: Processes at most.

    Yields:
        Each shard, when it is there; in order.
    """
    indices: Sequence[int] = range(len(plan))
    workers = min(workers, len(indices) // SHARDS_EACH)
    if workers < 2:
        for index in indices:
            _decide(run, spec, plan, index)
            yield index
        return
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), _prepare, (str(run), spec.model_dump_json(), os.getpid())
    )
    try:
        yield from pool.map(_work, indices, chunksize=2)
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare(run: str, spec_json: str, parent: int) -> None:
    ignore_signals()
    end_with(parent)
    spec = RunSpec.model_validate_json(spec_json)
    # The plan on disk is the same for every decision; the settings there are the old ones.
    _PLACE[:] = [(Path(run), spec, read_plan(Path(run), spec))]


def _work(index: int) -> int:
    _decide(*_PLACE[0], index)
    return index


def _decide(run: Path, spec: RunSpec, plan: Plan, index: int) -> None:
    if not decide_shard(run, spec, plan, index):
        draw_shard(run, spec, plan, index)  # the previews show another label set
