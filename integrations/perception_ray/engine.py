"""The Ray engine: Ray Data hands shard numbers to actors, each with a supervised child process.

Only shard numbers and the job's plain values cross processes; images and masks never do. Workers
write into the run folder, which every node must reach under the same path, or put what they make
into a bucket, each from a copy of its own. Ray owns no results: a shard is done when the run says
so, so any mixture of engines and crashes can be resumed.
"""

import itertools
import logging
import os
import queue
import secrets
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from perception.core.errors import PerceptionError, RequestError
from perception.execution.effort import Done, Effort, See
from perception.execution.job import Job, Placement, at_hand
from perception.execution.process import below, kill_all
from perception.execution.supervisor import LANES, Supervisor
from perception.io import scratch

MIN_RAY = (2, 54)  # CVE-2026-27482
POLL_S = 1.0  # between two checks of the processes of a cluster of our own
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class ShardActor:
    """One worker process per actor, models loaded once; called by `LANES` threads."""

    def __init__(self, job_json: str) -> None:
        self._supervisor: Supervisor | None = None
        self._failure = ""
        self._held = ExitStack()  # goes with the actor
        try:
            job = self._held.enter_context(at_hand(Job.model_validate_json(job_json)))
            self._supervisor = self._held.enter_context(Supervisor(job))
        except PerceptionError as error:  # told to the driver with the first shard: an actor that
            self._failure = (
                f"{error.code}\n{error.message}"  # cannot start would be restarted for ever
            )

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Make the shards of a batch whole; Ray sees no application errors."""
        efforts = [Effort()] * len(batch["shard"])
        if self._supervisor is not None and not self._failure:
            try:
                efforts = [self._supervisor.do_shard(int(index)) for index in batch["shard"]]
            except PerceptionError as error:
                self._failure = f"{error.code}\n{error.message}"
        return {
            "shard": batch["shard"],
            "failure": [self._failure] * len(batch["shard"]),
            **{name: [effort.to_dict()[name] for effort in efforts] for name in Effort().to_dict()},
        }


def run(job: Job, indices: Iterable[int], placement: Placement, done: Done, seen: See) -> None:
    """Make shards whole on a Ray cluster.

    Args:
        job: What to do.
        indices: The shards that are not whole yet.
        placement: The number of actors, each with one GPU on a CUDA device, else with a CPU per
            thread; a running cluster ("auto", HOST:PORT), or "" for one of this machine's own.
        done: Called with each shard that is whole.
        seen: Not called: samples are seen on other machines.

    Raises:
        RequestError: `extra.missing`, `security.version`, `security.dashboard`, `ray.unreachable`,
            `ray.resources`, `run.stalled`, or what a worker reports.
    """
    refuse_open_door(placement.dashboard, os.environ.get("RAY_AUTH_MODE", ""))
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what matters comes as an exception
    # Ray lets its workers step back behind everything else (15). Here they do the work of the run.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # `ray start` asks for a token by default since 2.60; a client does not send one unless told.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise RequestError(
            "extra.missing", "--engine ray needs pip install 'driving-perception[ray]'"
        ) from error
    refuse_old(ray.__version__)
    with _cluster(placement):
        _schedule(job, list(indices), placement, done)


def refuse_open_door(dashboard: str, auth_mode: str) -> None:
    """Refuse a dashboard that strangers can reach: who reaches it can run code here.

    Raises:
        RequestError: `security.dashboard`.
    """
    if dashboard and dashboard not in LOOPBACK and auth_mode != "token":
        raise RequestError(
            "security.dashboard",
            f"--dashboard {dashboard}: others can reach it, and run code on this machine; use "
            "127.0.0.1, or set RAY_AUTH_MODE=token on every node (see SECURITY.md)",
        )


def refuse_old(version: str) -> None:
    """Refuse a Ray with known holes, `security.version`."""
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_RAY:
        floor = ".".join(map(str, MIN_RAY))
        raise RequestError(
            "security.version",
            f"ray {version} lets strangers in (CVE-2025-62593, CVE-2026-27482); expected {floor} "
            "or newer",
        )


@contextmanager
def _cluster(placement: Placement) -> Iterator[None]:
    import ray

    # Ray's sockets and logs go to a folder of their own, which goes when the run ends.
    with scratch.folder("ray") as place:
        if placement.address:
            packages = [str(folder) for folder in _packages()]
            try:
                with _signals_kept():
                    ray.init(
                        placement.address,
                        runtime_env={"py_modules": packages},
                        log_to_driver=False,
                        logging_level=logging.ERROR,
                    )
            except Exception as error:  # no cluster, no token, another version: Ray's own words
                raise RequestError(
                    "ray.unreachable", f"--address {placement.address}: {error}"
                ) from error
        else:
            token = place / "auth_token"
            token.write_text(secrets.token_hex(32))
            token.chmod(0o600)
            os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)  # else Ray leaves one in the home folder
            with _signals_kept():
                ray.init(
                    "local",
                    # One more than workers: Ray's own reader must find a CPU, or all starve.
                    num_cpus=placement.workers + 1,
                    include_dashboard=bool(placement.dashboard),
                    dashboard_host=placement.dashboard or "127.0.0.1",
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    _temp_dir=str(place),
                )
        try:
            yield
        finally:
            # Without its GCS, Ray leaves its agents behind.
            left = _started() if _lost_processes() else {}
            ray.shutdown()
            kill_all(left)
            if not placement.address:
                del os.environ["RAY_AUTH_TOKEN_PATH"]  # the token goes with its folder


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep SIGTERM as the driver has it: `ray.init` makes it exit with a code of Ray's own."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def _packages() -> list[Path]:
    """Return our own packages, shipped to clusters that do not have them installed."""
    import perception
    import perception_ray

    core = Path(perception.__file__).parent
    edge = Path(perception_ray.__file__).parent.parent
    return [core, *sorted(edge.glob("perception_*"))]


def _schedule(job: Job, indices: Sequence[int], placement: Placement, done: Done) -> None:
    import ray
    from ray.data import ExecutionResources

    logging.getLogger("ray.data").setLevel(logging.ERROR)  # its import sets it to DEBUG
    observe = job.spec.config.observe
    cuda = observe.device.startswith("cuda")
    # A cluster of our own has a logical CPU per worker; a given one lends real ones.
    cpus = observe.threads if placement.address and not cuda else 1
    _require_room(cpus, cuda)
    workers = placement.workers
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # Actors that take all CPUs starve whoever feeds them: one stays free, whatever joins later.
    with warnings.catch_warnings(action="ignore"):  # deprecated; what replaces it names nodes
        context.execution_options.exclude_resources = ExecutionResources(cpu=1)
    results = ray.data.from_items(
        [{"shard": index} for index in indices], override_num_blocks=len(indices)
    ).map_batches(
        ShardActor,
        fn_constructor_args=(job.model_dump_json(),),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(
            min_size=1 if placement.address else workers,  # others may use a given cluster too
            max_size=workers,
            # One shard in the models, one being written, one waiting: back-pressure.
            max_tasks_in_flight_per_actor=LANES + 1,
            max_concurrent_calls_per_actor=LANES,
            enable_true_multi_threading=True,
        ),
        num_cpus=cpus,
        num_gpus=1 if cuda else 0,
    )
    for row in _patiently(results.iter_rows(), job.spec.config.stall_s, _lost_processes):
        if row["failure"]:
            code, _, message = row["failure"].partition("\n")
            raise RequestError(code, message)
        done(int(row["shard"]), Effort(**{name: row[name] for name in Effort().to_dict()}))


def _require_room(cpus: int, cuda: bool) -> None:
    import ray

    available: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    found = available.get("CPU", 0.0), available.get("GPU", 0.0)
    if found[0] < cpus + 1 or found[1] < int(cuda):
        raise RequestError(
            "ray.resources",
            f"the cluster has {found[0]:g} CPUs and {found[1]:g} GPUs; a worker needs {cpus} and "
            f"{int(cuda)}, and one CPU stays free: use fewer --threads, or a larger cluster",
        )


def _lost_processes() -> list[str]:
    """Return the processes of a cluster of our own that have ended by themselves.

    Without its GCS a driver of Ray waits for a minute, then ends without a word.
    """
    from ray._private import worker

    node = worker._global_node
    return [] if node is None else [kind for kind, _ in node.dead_processes()]


def _started() -> dict[int, str]:
    """Return the processes of a cluster of our own, with those that they started, see `below`."""
    from ray._private import worker

    found = dict[int, str]()
    node: Any = worker._global_node
    if node is not None:
        for info in itertools.chain.from_iterable(node.all_processes.values()):
            found |= below(info.process.pid)
    return found


def _patiently(
    rows: Any, patience_s: float, lost: Callable[[], list[str]] = list
) -> Iterator[dict[str, Any]]:
    """Yield rows as they come; a cluster that gives none for too long is given up.

    Ray has runs that never end: actors that died while it waited, CPUs that nobody frees.
    """
    arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def fetch() -> None:
        try:
            for row in rows:
                arrived.put(row)
            arrived.put(None)
        except BaseException as error:  # handed to the thread that waits
            arrived.put(error)

    threading.Thread(target=fetch, daemon=True).start()
    waited_s = 0.0
    while True:
        try:
            row, waited_s = arrived.get(timeout=min(POLL_S, patience_s)), 0.0
        except queue.Empty as error:
            if dead := lost():
                for name in ("ray", "ray.data"):  # one sentence of ours, none of theirs
                    logging.getLogger(name).setLevel(logging.CRITICAL)
                raise RequestError(
                    "ray.lost",
                    f"{', '.join(dead)} of the cluster ended; the same command resumes, and so "
                    "does --engine local",
                ) from error
            waited_s += min(POLL_S, patience_s)
            if waited_s < patience_s:
                continue
            stacks = "".join(
                f"thread {number}\n{''.join(traceback.format_stack(frame))}"
                for number, frame in sys._current_frames().items()
            )
            raise RequestError(
                "run.stalled",
                f"no shard was finished in {patience_s:g} s, so the run was stopped; the same "
                "command resumes it, and so does --engine local. `ray stack` shows the workers of "
                f"a cluster that still runs; here the driver was in\n{stacks}",
            ) from error
        if row is None:
            return
        if isinstance(row, BaseException):
            raise row
        yield row
