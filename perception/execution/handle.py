"""The supervisor's end of a child process: what is said to it, what it answers, how it ended."""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import suppress
from typing import Any

from perception.core.errors import RequestError
from perception.core.progress import phase
from perception.execution.job import Job
from perception.io import scratch
from perception.models.import_guard import SWITCHES

STDERR_TAIL = 2000
STACKS_S = 1.0  # that a child takes at most to write its stacks
# glibc keeps big arrays that were freed for the next ones, by thread, and images of many sizes add
# up: labelling four Cityscapes images took 2.9 GB, and 1.8 GB in the same time with these.
_GIVE_BACK = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "1000000"}
_NO_SHARD = -1  # whose answer says that the models are loaded

Message = dict[str, Any]


class ChildDiedError(Exception):
    """The child process ended in the middle of its work."""


class Child:
    """A process of `perception.execution.child`; several threads may wait for its answers.

    Attributes:
        pid: Its number.
        has_ended: Whether nothing more will come from it.
    """

    def __init__(self, job: Job) -> None:
        """Start it; its models are not loaded yet."""
        self._patience_s = job.spec.config.hang_s
        self._stderr = tempfile.TemporaryFile()
        # What the child's libraries leave behind goes with it, even when it is killed.
        self._scratch = scratch.make("child")
        threads = str(job.spec.config.observe.threads)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "perception.execution.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
            env={
                **_GIVE_BACK,
                **os.environ,
                "OMP_NUM_THREADS": threads,
                "MKL_NUM_THREADS": threads,
                "TMPDIR": str(self._scratch),
                **SWITCHES,  # onnxruntime reads its own before any of our code runs
            },
            start_new_session=True,  # Ctrl-C is for the driver: it decides what becomes of a shard
        )
        self.pid = self._process.pid
        self.has_ended = False
        self._hung, self._how = "", ""
        self._last_word_s = time.monotonic()
        self._answers: defaultdict[int, queue.SimpleQueue[Message]] = defaultdict(queue.SimpleQueue)
        self._lock = threading.Lock()  # of the answers: between them and the end of them
        self._speaks = threading.Lock()
        self._error: Message = {}
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        with suppress(ChildDiedError):  # who waits for it will hear of that
            self.send(**job.model_dump(mode="json"))

    def send(self, **value: Any) -> None:
        """Send a line.

        Raises:
            ChildDiedError: if nobody is there to read it.
        """
        stream = self._process.stdin
        try:
            if stream is not None:
                with self._speaks:
                    stream.write(json.dumps(value) + "\n")
                    stream.flush()
        except (BrokenPipeError, ValueError) as error:  # ValueError: closed
            self._listener.join()
            raise ChildDiedError(self._how) from error

    def wait_until_ready(self) -> None:
        """Wait until the models are loaded; raises as `answer`."""
        self.answer(_NO_SHARD)

    def answer(self, index: int) -> Message:
        """Wait for the next word about a shard.

        Raises:
            ChildDiedError: saying how; a child that said nothing for too long is killed.
            RequestError: what the child reports.
        """
        with self._lock:
            answers = self._answers[index]
            if self.has_ended:
                answers.put({})
        while True:
            try:
                message = answers.get(timeout=self._patience_s)
                break
            except queue.Empty:
                if time.monotonic() - self._last_word_s >= self._patience_s:
                    self._give_up()
        if message:
            return message
        if self._error:
            raise RequestError(self._error["code"], self._error["message"])
        raise ChildDiedError(self._how)

    def kill(self) -> None:
        """End it now."""
        self._process.kill()

    def close(self) -> None:
        """End it, and leave nothing of it."""
        self._process.kill()
        self._listener.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # a request that a dead child never read
                    stream.close()
        self._stderr.close()
        scratch.remove(self._scratch)

    def stacks(self) -> str:
        """Return where each thread of it is; "" if it cannot say."""
        if self.has_ended or not hasattr(signal, "SIGUSR1"):
            return ""
        before = os.fstat(self._stderr.fileno()).st_size
        self._process.send_signal(signal.SIGUSR1)
        deadline, size, last = time.monotonic() + STACKS_S, before, -1
        while time.monotonic() < deadline and (size == before or size != last):
            time.sleep(0.05)
            last, size = size, os.fstat(self._stderr.fileno()).st_size
        return (
            os.pread(self._stderr.fileno(), size - before, before).decode(errors="replace").strip()
        )

    def _give_up(self) -> None:
        stacks = self.stacks()
        where = f"; it was in\n{stacks[:STDERR_TAIL]}" if stacks else ""
        self._hung = f"no word from it for {self._patience_s:g} s: hung, and killed{where}"
        self._process.kill()

    def _listen(self) -> None:
        """Hand each answer to who waits for it; at the end tell all."""
        for line in self._process.stdout or ():
            message = json.loads(line)
            self._last_word_s = time.monotonic()
            if "note" in message:
                phase(message["note"])
            elif "error" in message:
                self._error = message["error"]
            else:
                with self._lock:
                    self._answers[message.get("shard", _NO_SHARD)].put(message)
        death = self._death_message()  # waits for the end of a killed child, too: no zombie stays
        self._how = self._hung or death
        with self._lock:
            self.has_ended = True
            for answers in self._answers.values():
                answers.put({})

    def _death_message(self) -> str:
        code = self._process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        size = os.fstat(self._stderr.fileno()).st_size
        tail = os.pread(self._stderr.fileno(), STDERR_TAIL, max(0, size - STDERR_TAIL))
        lines = tail.decode(errors="replace").strip().splitlines()
        return f"{how}: {lines[-1]}" if lines else how
