"""The local engine: supervised child processes on this machine, shards handed out one by one."""

import queue
import threading
from collections.abc import Sequence

from perception.engine.effort import Done, Effort
from perception.engine.job import Job, Placement
from perception.engine.supervisor import Supervisor
from perception.errors import RequestError


def run(job: Job, indices: Sequence[int], placement: Placement, done: Done) -> None:
    """Make shards whole.

    Args:
        job: What to do.
        indices: The shards that are not whole yet.
        placement: How many processes side by side, each with its own models.
        done: Called with each shard that is whole; if it raises, the shards in hand are finished.

    Raises:
        RequestError: what a worker reports, or `run.stalled`.
    """
    supervisors = [Supervisor(job) for _ in range(min(placement.workers, len(indices)))]
    results: queue.SimpleQueue[tuple[int, Effort] | BaseException] = queue.SimpleQueue()
    todo: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    threads = [
        threading.Thread(target=_serve, args=(supervisor, todo, results), daemon=True)
        for supervisor in supervisors
    ]
    for thread in threads:
        thread.start()
    waiting, patience_s = iter(indices), job.spec.config.stall_s
    for _ in threads:
        todo.put(next(waiting))
    try:
        for _ in indices:
            result = results.get(timeout=patience_s)
            if isinstance(result, BaseException):
                raise result
            try:
                done(*result)
            except BaseException:
                _finish(threads, todo)
                raise
            # Not before: when `done` ends the run, nobody shall have begun another shard.
            todo.put(next(waiting, None))
    except queue.Empty as error:
        stacks = "\n".join(supervisor.stacks() for supervisor in supervisors)
        raise RequestError(
            "run.stalled",
            f"no shard was finished in {patience_s:g} s, so the run was stopped; the same command "
            f"resumes it. Where the workers were:\n{stacks}",
        ) from error
    finally:
        for supervisor in supervisors:
            supervisor.abandon()
        _finish(threads, todo)


def _finish(threads: list[threading.Thread], todo: "queue.SimpleQueue[int | None]") -> None:
    for _ in threads:
        todo.put(None)
    for thread in threads:
        thread.join()


def _serve(
    supervisor: Supervisor,
    todo: "queue.SimpleQueue[int | None]",
    results: "queue.SimpleQueue[tuple[int, Effort] | BaseException]",
) -> None:
    try:
        with supervisor:
            while (index := todo.get()) is not None:
                results.put((index, supervisor.do_shard(index)))
    except BaseException as error:  # handed to the thread that waits: it decides
        results.put(error)
