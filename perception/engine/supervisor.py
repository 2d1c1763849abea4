"""Keeps one child process at work, and finds the sample that kills it.

A sample in whose hands the child dies twice is poisoned: remembered in the run folder, and
quarantined as `process.crash` when its shard is done again. A child that says nothing for
`config.hang_s` seconds is killed, which counts as a death.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

from perception.bootstrap import SWITCHES
from perception.engine.effort import Effort
from perception.engine.job import Job
from perception.errors import RequestError
from perception.runs import records, shards

DEATHS_ALLOWED = 1  # the second death in the same sample's hands is its fault
STDERR_TAIL = 2000
STACKS_S = 1.0  # that a child takes at most to write its stacks


class AbandonedError(Exception):
    """The run ends: nobody waits for this shard any more."""


class ChildDiedError(Exception):
    """The child process ended in the middle of its work."""


class Supervisor:
    """A context that serves shards through a child process."""

    def __init__(self, job: Job) -> None:
        """Remember the job; the child starts with the context."""
        self._job = job
        self._poison = Path(job.run) / "poison"
        self._deaths: Counter[tuple[int, int]] = Counter()
        self._child: subprocess.Popen[str] | None = None
        self._stderr: IO[bytes] | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._abandoned = False

    def __enter__(self) -> Self:
        """Start the child and wait until its models are loaded.

        Raises:
            RequestError: what the child raised while loading, or `process.crash` if it died.
        """
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the child."""
        self._stop()

    def abandon(self) -> None:
        """Kill the child, from another thread; who waits for it gets `AbandonedError`."""
        self._abandoned = True
        child = self._child
        if child is not None:
            child.kill()

    def stacks(self) -> str:
        """Return where each thread of the child is; "" if it cannot say."""
        child, stderr = self._child, self._stderr
        if child is None or stderr is None or not hasattr(signal, "SIGUSR1"):
            return ""
        before = os.fstat(stderr.fileno()).st_size
        child.send_signal(signal.SIGUSR1)
        deadline, size, last = time.monotonic() + STACKS_S, before, -1
        while time.monotonic() < deadline and (size == before or size != last):
            time.sleep(0.05)
            last, size = size, os.fstat(stderr.fileno()).st_size
        return os.pread(stderr.fileno(), size - before, before).decode(errors="replace").strip()

    def do_shard(self, index: int, begin: Callable[[int], None] = lambda place: None) -> Effort:
        """Make one shard whole, however often the child dies over it.

        Args:
            index: Number of the shard.
            begin: Called with a sample's place as it is begun.

        Returns:
            What it took, by the child that finished it.

        Raises:
            RequestError: `process.crash`, `disk.full` and whatever else the child reports.
            AbandonedError: after `abandon`.
        """
        while True:
            place = -1
            try:
                self._send({"shard": index, "poisoned": sorted(self._poisoned(index))})
                while "done" not in (message := self._receive()):
                    place = message["begin"]
                    begin(place)
                return Effort(**message["effort"])
            except ChildDiedError as death:
                self._bury(index, place, str(death))

    def _bury(self, index: int, place: int, how: str) -> None:
        self._stop()
        if self._abandoned:
            raise AbandonedError
        self._deaths[index, place] += 1
        if self._deaths[index, place] > DEATHS_ALLOWED:
            if place < 0:  # no sample was in hand: decisions or the disk, nothing to leave out
                raise RequestError("process.crash", f"shard {index}: the worker died twice: {how}")
            records.write_json(
                self._poison / f"{shards.shard_name(index)}-{place:04d}.json", {"how": how}
            )
        self._start()

    def _poisoned(self, index: int) -> set[int]:
        found = self._poison.glob(f"{shards.shard_name(index)}-*.json")
        return {int(path.stem.rpartition("-")[2]) for path in found}

    def _start(self) -> None:
        threads = str(self._job.spec.config.observe.threads)
        self._stderr = tempfile.TemporaryFile()
        # What the child's libraries leave behind goes with it, even when it is killed.
        self._scratch = tempfile.TemporaryDirectory(
            prefix="perception-", ignore_cleanup_errors=True
        )
        self._child = subprocess.Popen(
            [sys.executable, "-m", "perception.engine.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
            env={
                **os.environ,
                "OMP_NUM_THREADS": threads,
                "MKL_NUM_THREADS": threads,
                "TMPDIR": self._scratch.name,
                **SWITCHES,  # onnxruntime reads its own before any of our code runs
            },
            start_new_session=True,  # Ctrl-C is for the driver: it decides what becomes of a shard
        )
        if self._abandoned:
            self._child.kill()
        try:
            self._send(self._job.model_dump(mode="json"))
            self._receive()
        except ChildDiedError as death:
            self._stop()
            raise RequestError(
                "process.crash", f"the worker died while loading: {death}"
            ) from death
        except BaseException:  # __exit__ is not called when __enter__ fails
            self._stop()
            raise

    def _stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            for stream in (self._child.stdin, self._child.stdout):
                if stream is not None:
                    with suppress(BrokenPipeError):  # a request that a dead child never read
                        stream.close()
            self._child = None
        if self._stderr is not None:
            self._stderr.close()
            self._stderr = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def _send(self, value: dict[str, Any]) -> None:
        child = self._alive()
        if child.stdin is None:
            raise ChildDiedError("its stdin is closed")
        try:
            child.stdin.write(json.dumps(value) + "\n")
            child.stdin.flush()
        except BrokenPipeError as error:
            raise ChildDiedError(self._obituary()) from error

    def _receive(self) -> dict[str, Any]:
        child = self._alive()
        hung, patience_s = threading.Event(), self._job.spec.config.hang_s

        stacks = ""

        def give_up() -> None:
            nonlocal stacks
            hung.set()
            stacks = self.stacks()
            child.kill()

        watchdog = threading.Timer(patience_s, give_up)
        watchdog.daemon = True  # an interrupt may come before `finally` does: exit must not wait
        try:
            watchdog.start()
            line = child.stdout.readline() if child.stdout is not None else ""
        finally:
            watchdog.cancel()
        if not line and hung.is_set():
            where = f"; it was in\n{stacks[:STDERR_TAIL]}" if stacks else ""
            raise ChildDiedError(f"no word from it for {patience_s:g} s: hung, and killed{where}")
        if not line:
            raise ChildDiedError(self._obituary())
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            raise RequestError(message["error"]["code"], message["error"]["message"])
        return message

    def _alive(self) -> "subprocess.Popen[str]":
        if self._child is None:
            raise ChildDiedError("it was not started")
        return self._child

    def _obituary(self) -> str:
        code = self._alive().wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if self._stderr is None:
            return how
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - STDERR_TAIL))
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"{how}: {lines[-1]}" if lines else how
