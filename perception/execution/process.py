"""How a process that works for another behaves: it ends with it, and leaves signals to it."""

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path


def end_with(parent: int) -> None:
    """End this process when the one that started it was killed: nobody else would."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def ignore_signals() -> None:
    """Leave Ctrl-C to the driver: it decides what becomes of a shard."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def below(pid: int) -> dict[int, str]:
    """Return the processes that descend from one, each with its start time; none without /proc."""
    children: dict[int, dict[int, str]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), {})[int(stat.parent.name)] = fields[19]
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        own = children.pop(waiting.pop(), {})
        found |= own
        waiting += own
    return found


def kill_all(processes: dict[int, str]) -> None:
    """Kill what is left of processes; a number that was given out again is another's."""
    for pid, start in processes.items():
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            if fields[19] == start:
                os.kill(pid, signal.SIGKILL)
