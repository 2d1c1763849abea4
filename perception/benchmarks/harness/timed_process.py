"""One contender of a race: a process of its own, timed from inside and watched from outside.

The process calls the contender twice: on the first image alone, then on all. The difference is what
the other images cost once everything is loaded and warm, and it is told the same way for every
contender, whatever it does at its start: nothing inside a contender is touched.
"""

import json
import os
import pkgutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from perception.core.errors import PerceptionError, RequestError

POLL_S = 0.1  # between two looks at the memory


@dataclass(frozen=True)
class Task:
    """What every contender is given: plain values, they cross to its process as JSON.

    Attributes:
        images: Folder of the images, no folders in it.
        out: Folder for what it writes; new for each call.
        detector: Weights.
        segmenter: Weights.
        min_score: Boxes below are not seen.
        nms_iou: Boxes of a class that overlap more are one.
        threads: Cores to use; 0 for what the contender does by itself.
        extra: What one contender alone understands: of ours, settings of `observe`.
        prepared: Folder with what was made of the weights before the race.
    """

    images: str
    out: str
    detector: str
    segmenter: str
    min_score: float = 0.25
    nms_iou: float = 0.45
    threads: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    prepared: str = ""


@dataclass(frozen=True)
class Lap:
    """What one process of a contender took.

    Attributes:
        images: How many there were.
        one_s: Seconds of the call on the first image alone, with all that loads first.
        all_s: Seconds of the call on all images, in the same process, after that.
        process_s: Seconds of the whole process: a call on the first image that warms up, and both.
        peak_gb: Most memory that the process and those it started held at one time; what they share
            counts once for each. None where the system does not tell.
    """

    images: int
    one_s: float
    all_s: float
    process_s: float
    peak_gb: float | None

    @property
    def images_per_s(self) -> float:
        """Images per second of the warm loop: all but the first, without what loads."""
        return (self.images - 1) / (self.all_s - self.one_s)

    @property
    def command_s(self) -> float:
        """Seconds of a command that handles all images once: interpreter, imports, models, all."""
        return self.process_s - 2 * self.one_s  # what only the first call loads stays in


def run_lap(entry: str, task: Task, first: str, images: int) -> Lap:
    """Run a contender in a process of its own.

    Args:
        entry: "module:function" that takes a `Task` and returns when its files are written.
        task: For the call on all images.
        first: Folder with the first image alone.
        images: Number of all.

    Raises:
        RequestError: `bench.failed` with the last words of the process.
    """
    alone = replace(task, images=first, out=f"{task.out}-first")
    started = time.perf_counter()
    warm_up = replace(alone, out=f"{task.out}-warm")  # what a library loads late is no image's
    (_, one_s, all_s), peak_gb = call(entry, warm_up, alone, task)
    process_s = time.perf_counter() - started
    if all_s <= one_s:
        raise RequestError(
            "bench.failed",
            f"{entry}: {images} images took {all_s:.2f} s and the first alone {one_s:.2f} s: too "
            "few to measure; expected more images, or a larger --repeat",
        )
    return Lap(images, one_s, all_s, process_s, peak_gb)


def call(entry: str, *tasks: Task) -> tuple[list[float], float | None]:
    """Call a function with each task in turn, in one new process.

    Returns:
        The seconds of each call, and the peak memory as in `Lap`.

    Raises:
        RequestError: `bench.failed` with the last words of the process.
    """
    job = json.dumps({"entry": entry, "tasks": [asdict(task) for task in tasks]})
    with tempfile.TemporaryFile("w+") as words:
        process = subprocess.Popen(
            [sys.executable, "-m", "perception.benchmarks.harness.timed_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
        )
        watch = _Watch(process.pid)
        watch.start()
        try:
            answer, _ = process.communicate(job)
        finally:
            process.kill()
            watch.stop()
        if process.returncode:
            words.seek(0)
            said = words.read().strip().splitlines() or [f"exit code {process.returncode}"]
            raise RequestError("bench.failed", f"{entry}: {said[-1]}")
    seconds: list[float] = json.loads(answer)
    return seconds, watch.peak_gb


class _Watch(threading.Thread):
    """Looks at the memory of a process and of those below it."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._over = threading.Event()
        self.peak_gb: float | None = None

    def run(self) -> None:
        while not self._over.wait(POLL_S):
            held_gb = sum(_resident_gb(pid) for pid in _tree(self._pid))
            if held_gb:
                self.peak_gb = max(self.peak_gb or 0.0, held_gb)

    def stop(self) -> None:
        self._over.set()
        self.join()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def _tree(pid: int) -> list[int]:
    """Return a process and all below it; Linux only, and just the process elsewhere."""
    found = [pid]
    for place in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # it ended just now
            for child in place.read_text().split():
                found += _tree(int(child))
    return found


def _resident_gb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):  # it ended, or the system has no /proc
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9


def main() -> None:
    """Be the contender's process: job on stdin, the seconds of each call on stdout."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever libraries print must not mix with the answer
    job = json.loads(sys.stdin.read())
    seconds = []
    try:
        contender = pkgutil.resolve_name(job["entry"])
        for values in job["tasks"]:
            started = time.perf_counter()
            contender(Task(**values))
            seconds.append(time.perf_counter() - started)
    except PerceptionError as error:
        sys.exit(f"{error.code}: {error.message}")
    answers.write(json.dumps(seconds))
    answers.flush()


if __name__ == "__main__":
    main()
