"""The local engine: supervised child processes on this machine, shards handed out one by one."""

import queue
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from perception.core.errors import Interrupted, RequestError
from perception.execution.effort import Done, Effort, See
from perception.execution.job import Job, Placement
from perception.execution.supervisor import LANES, SetAsideError, Supervisor

# A shard that is whole, a sample that was seen (shard, place), an error; None: a worker has ended
Result = tuple[int, Effort | int] | BaseException | None


def run(job: Job, indices: Iterable[int], placement: Placement, done: Done, seen: See) -> None:
    """Make shards whole.

    Args:
        job: What to do.
        indices: The shards that are not whole yet; each is asked for when a worker is free.
        placement: How many processes side by side, each with its own models.
        done: Called with each shard that is whole. Where it is interrupted, but not at once, or
            asking for a shard raises, the samples in hand are finished first, and what was seen of
            their shards is kept.
        seen: Called with the shard and the place of each sample that the models have seen; may be
            interrupted likewise.

    Raises:
        RequestError: what a worker reports, or `run.stalled`.
    """
    supervisors = [Supervisor(job) for _ in range(placement.workers)]
    results: queue.SimpleQueue[Result] = queue.SimpleQueue()
    handing_out = _HandingOut(indices, supervisors)
    threads = [
        threading.Thread(target=_serve, args=(supervisor, handing_out, results), daemon=True)
        for supervisor in supervisors
    ]
    for thread in threads:
        thread.start()
    try:
        working = len(threads)
        while working:
            result = results.get(timeout=job.spec.config.stall_s)
            if isinstance(result, BaseException):
                raise result
            if result is None:
                working -= 1
                continue
            index, what = result
            try:
                if isinstance(what, Effort):
                    done(index, what)
                else:
                    seen(index, what)
            except Interrupted as error:
                if error.at_once:
                    raise
                handing_out.stop(error)
    except queue.Empty as error:
        stacks = "\n".join(supervisor.stacks() for supervisor in supervisors)
        raise RequestError(
            "run.stalled",
            f"no shard was finished in {job.spec.config.stall_s:g} s, so the run was stopped; the "
            f"same command resumes it. Where the workers were:\n{stacks}",
        ) from error
    finally:
        for supervisor in supervisors:
            supervisor.abandon()
        for thread in threads:
            thread.join()
    if handing_out.stopped_by is not None:
        raise handing_out.stopped_by


class _HandingOut:
    """Gives each shard to one thread, until there are no more or something says stop."""

    def __init__(self, indices: Iterable[int], supervisors: Sequence[Supervisor]) -> None:
        self._waiting = iter(indices)
        self._supervisors = supervisors
        self._lock = threading.Lock()
        self.stopped_by: BaseException | None = None

    def __call__(self) -> int | None:
        with self._lock:
            if self.stopped_by is not None:
                return None
            try:
                return next(self._waiting, None)
            except BaseException as error:
                self._stop(error)
                return None

    def stop(self, error: BaseException) -> None:
        with self._lock:
            self._stop(error)

    def _stop(self, error: BaseException) -> None:
        if self.stopped_by is None:
            self.stopped_by = error
            for supervisor in self._supervisors:
                supervisor.stop()


def _serve(
    supervisor: Supervisor, handing_out: _HandingOut, results: "queue.SimpleQueue[Result]"
) -> None:
    def tell(index: int, place: int) -> None:
        results.put((index, place))

    def keep_at_work() -> None:
        try:
            while (result := supervisor.do_next(handing_out, tell)) is not None:
                results.put(result)
        except SetAsideError:
            return
        except BaseException as error:  # handed to the thread that waits: it decides
            results.put(error)

    try:
        with supervisor, ThreadPoolExecutor(LANES) as lanes:
            for _ in range(LANES):
                lanes.submit(keep_at_work)
    except BaseException as error:
        results.put(error)
    results.put(None)
