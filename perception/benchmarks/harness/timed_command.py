"""Whole commands as a user meets them: their time and their memory."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass

from perception.core.errors import RequestError


@dataclass(frozen=True)
class Spent:
    """What a command took: wall clock, and the largest resident memory of one of its processes."""

    seconds: float
    peak_bytes: int


def command(*tokens: object, environment: Mapping[str, str] | None = None) -> Spent:
    """Run `perception` with arguments and measure it.

    Args:
        tokens: The arguments.
        environment: Of the process; that of this one by default.

    Raises:
        RequestError: `bench.failed`, with the last line that it wrote.
    """
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "perception.cli", *map(str, tokens)],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=environment,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in {0, 1}:  # 1: some samples are quarantined
            errors.seek(0)
            lines = errors.read().decode().strip().splitlines() or [str(process.returncode)]
            raise RequestError("bench.failed", f"{' '.join(map(str, tokens))}: {lines[-1]}")
    return Spent(seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
