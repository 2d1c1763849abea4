"""The local engine: one supervised child process on this machine."""

from collections.abc import Callable, Sequence

from perception.engine.job import Job
from perception.engine.supervisor import Supervisor


def run(
    job: Job, indices: Sequence[int], workers: int, address: str, done: Callable[[int], None]
) -> None:
    """Make shards whole, in order.

    Args:
        job: What to do.
        indices: The shards that are not whole yet.
        workers: 1: more need `--engine ray`.
        address: Unused; of a Ray cluster.
        done: Called with each shard that is whole.
    """
    with Supervisor(job) as supervisor:
        for index in indices:
            supervisor.do_shard(index)
            done(index)
