"""`timings.json`: all that differs from run to run. Written while a run works, for `status`."""

import resource
import sys
import time
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from perception.core.config import Settings
from perception.core.progress import Pace
from perception.runs import records

TIMINGS = "timings.json"
Number = Annotated[float, Field(ge=0, lt=1e15)]
Whole = Annotated[int, Field(ge=0, lt=1 << 53)]


class Spent(Settings):
    """What `timings.json` holds; what an older version did not write is 0, or not known."""

    started_unix_s: Number = 0
    finished_unix_s: Number | None = None
    seconds: Number = 0
    samples_done_now: Whole = 0
    samples_resumed: Whole = 0
    engine: str = ""
    workers: Whole = 1
    workers_seen: Whole = 0
    warm_unix_s: Number | None = None
    driver_peak_bytes: Whole = 0
    worker_s: Number = 0
    worker_busy_s: Number = 0
    worker_peak_bytes: Whole = 0
    recent_per_s: Number | None = None


_SPENT = TypeAdapter(Spent)


def read(run: Path) -> Spent:
    """Read what a run took; a run without times took nothing.

    Raises:
        RequestError: `run.damaged`.
    """
    path = run / TIMINGS
    return (
        records.read(path, _SPENT, f"delete it, or {records.AGAIN}") if path.exists() else Spent()
    )


EVERY_S = 2.0  # seconds between two writings: a write waits for the disk


class Timings:
    """The clock of one call of `label`."""

    def __init__(self, run: Path, samples_resumed: int, engine: str, workers: int) -> None:
        """Start the clock; nothing is written yet."""
        self._path = run / TIMINGS
        self._started, self._written = time.time(), 0.0
        self._resumed, self._engine, self._workers = samples_resumed, engine, workers
        self._finished: float | None = None
        self._effort = {"seconds": 0.0, "busy_s": 0.0, "peak_bytes": 0}
        self.samples_done_now = 0
        self._workers_seen: set[str] = set()
        self._pace = Pace()
        self._pace.add(self._started, 0)
        self._warm: float | None = None  # when the last worker had finished its first shard

    def add(self, samples: int, effort: dict[str, Any]) -> None:
        """Count a shard and what its worker spent on it."""
        self.samples_done_now += samples
        self._pace.add(time.time(), self.samples_done_now)
        if effort["worker"] not in self._workers_seen:
            self._workers_seen.add(effort["worker"])
            self._warm = time.time()
        for name in ("seconds", "busy_s"):
            self._effort[name] += effort[name]
        self._effort["peak_bytes"] = max(self._effort["peak_bytes"], effort["peak_bytes"])
        if time.time() - self._written >= EVERY_S:
            self.write()

    def finish(self) -> None:
        """Write that the run has ended."""
        self._finished = time.time()
        self.write()

    def write(self) -> None:
        """Write what is known by now."""
        self._written = time.time()
        records.write_json(self._path, self._to_dict())

    def _to_dict(self) -> dict[str, Any]:
        recent = self._pace.per_s(self._finished or self._written)
        return {
            "started_unix_s": round(self._started, 3),
            "finished_unix_s": None if self._finished is None else round(self._finished, 3),
            "seconds": round((self._finished or self._written) - self._started, 3),
            "samples_done_now": self.samples_done_now,
            "samples_resumed": self._resumed,
            "engine": self._engine,
            "workers": self._workers,
            "workers_seen": len(self._workers_seen),
            "recent_per_s": None if recent is None else round(recent, 6),
            "warm_unix_s": None if self._warm is None else round(self._warm, 3),
            "driver_peak_bytes": peak_bytes(),
            "worker_s": round(self._effort["seconds"], 3),
            "worker_busy_s": round(self._effort["busy_s"], 3),
            "worker_peak_bytes": self._effort["peak_bytes"],
        }


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far.

    Linux says it of the process alone: `ru_maxrss` would keep that of whoever started it.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
