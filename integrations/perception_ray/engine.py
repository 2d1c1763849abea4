"""The Ray engine: Ray Data hands shard numbers to actors, each with a supervised child process.

Only shard numbers and the job's plain values cross processes; images and masks never do. Workers
write into the run folder, which every node must reach under the same path. Ray owns no results: a
shard is done when the run folder says so, so any mixture of engines and crashes can be resumed.
"""

import logging
import os
import secrets
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from perception.engine.job import Job
from perception.engine.supervisor import Supervisor
from perception.errors import PerceptionError, RequestError

MIN_RAY = (2, 54)  # CVE-2026-27482


class ShardActor:
    """One worker process per actor, models loaded once."""

    def __init__(self, job_json: str) -> None:
        """Start the child process."""
        self._supervisor: Supervisor | None = None
        self._failure = ""
        try:
            self._supervisor = Supervisor(Job.model_validate_json(job_json)).__enter__()
        except PerceptionError as error:  # told to the driver with the first shard: an actor that
            self._failure = (
                f"{error.code}\n{error.message}"  # cannot start would be restarted for ever
            )

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Make the shards of a batch whole; Ray sees no application errors."""
        if self._supervisor is not None and not self._failure:
            try:
                for index in batch["shard"]:
                    self._supervisor.do_shard(int(index))
            except PerceptionError as error:
                self._failure = f"{error.code}\n{error.message}"
        return {"shard": batch["shard"], "failure": [self._failure] * len(batch["shard"])}


def run(
    job: Job, indices: Sequence[int], workers: int, address: str, done: Callable[[int], None]
) -> None:
    """Make shards whole on a Ray cluster.

    Args:
        job: What to do.
        indices: The shards that are not whole yet.
        workers: Number of actors; each is given one GPU on a CUDA device, else its share of CPUs.
        address: "" for a cluster of this machine's own, "auto" or a host for one that runs.
        done: Called with each shard that is whole.

    Raises:
        RequestError: `extra.missing`, `security.version`, or what a worker reports.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # `ray start` asks for a token by default since 2.60; a client does not send one unless told.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise RequestError(
            "extra.missing", "--engine ray needs pip install 'driving-perception[ray]'"
        ) from error
    if tuple(int(part) for part in ray.__version__.split(".")[:2]) < MIN_RAY:
        raise RequestError("security.version", f"ray {ray.__version__}: expected 2.54 or newer")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # Ray's sockets and logs go to a folder of their own, which goes when the run ends.
    with tempfile.TemporaryDirectory(prefix="perception-ray-", ignore_cleanup_errors=True) as place:
        if address:
            packages = [str(folder) for folder in _packages()]
            try:
                ray.init(address, runtime_env={"py_modules": packages}, logging_level=logging.ERROR)
            except Exception as error:  # no cluster, no token, another version: Ray's own words
                raise RequestError("ray.unreachable", f"--address {address}: {error}") from error
        else:
            token = Path(place) / "auth_token"
            token.write_text(secrets.token_hex(32))
            token.chmod(0o600)
            os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)  # else Ray leaves one in the home folder
            ray.init(
                "local",
                # One more than workers: Ray's own reader must find a CPU, or all starve for ever.
                num_cpus=workers + 1,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=place,
            )
        try:
            _schedule(job, indices, workers, done)
        finally:
            ray.shutdown()
            if not address:
                del os.environ["RAY_AUTH_TOKEN_PATH"]  # the token goes with its folder


def _packages() -> list[Path]:
    """Return our own packages, shipped to clusters that do not have them installed."""
    import perception
    import perception_ray

    core = Path(perception.__file__).parent
    edge = Path(perception_ray.__file__).parent.parent
    return [core, *sorted(edge.glob("perception_*"))]


def _schedule(job: Job, indices: Sequence[int], workers: int, done: Callable[[int], None]) -> None:
    import ray

    cuda = job.spec.config.observe.device.startswith("cuda")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    results = ray.data.from_items(
        [{"shard": index} for index in indices], override_num_blocks=len(indices)
    ).map_batches(
        ShardActor,
        fn_constructor_args=(job.model_dump_json(),),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(indices))),
        num_cpus=1,
        num_gpus=1 if cuda else 0,
    )
    for row in results.iter_rows():
        if row["failure"]:
            code, _, message = row["failure"].partition("\n")
            raise RequestError(code, message)
        done(int(row["shard"]))
