"""One writer per run folder: `lock.json` says who, from the first write to the last.

A process that was killed leaves its lock behind. It is broken only with proof that its holder is
gone: same host, same boot, same process namespace, and no process of that number and start time.
Where there is no proof (another host, a restarted machine), a person says so with --break-lock.
"""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from perception.errors import RequestError
from perception.files import TEMPORARY, storage_faults

LOCK = "lock.json"
_STAT_STATE, _STAT_START = 0, 19  # fields of /proc/PID/stat after the command's name


@dataclass(frozen=True)
class Holder:
    """Who works on a run.

    Attributes:
        host: Its name.
        boot: Of the kernel, another after each start; "" where /proc is not Linux's.
        space: Of process numbers: two containers of a host have two.
        pid: Process number.
        start: When the process started, in ticks since boot.
        since: When it took the lock, UTC.
    """

    host: str
    boot: str
    space: str
    pid: int
    start: int
    since: str

    def __str__(self) -> str:
        """Name it to people."""
        return f"process {self.pid} on {self.host}, since {self.since}"


@contextmanager
def held(run: Path, break_lock: bool = False) -> Iterator[None]:
    """Hold a run folder; made if it is not there.

    Args:
        run: The run folder.
        break_lock: Take it from a holder that may be alive: a person knows that it is not.

    Raises:
        RequestError: `run.locked`, naming the holder.
    """
    me = _me()
    with storage_faults(run / LOCK):
        run.mkdir(parents=True, exist_ok=True)
        _take(run, me, break_lock)
    try:
        yield
    finally:
        if _read(run / LOCK) == me:  # not where a person gave it to somebody else
            (run / LOCK).unlink(missing_ok=True)


def holder_of(run: Path) -> str:
    """Return who works on a run, for people; "" where nobody does, or for certain no longer."""
    holder = _read(run / LOCK)
    if holder is None:
        return "somebody unknown" if (run / LOCK).exists() else ""
    return "" if _is_gone(holder) else str(holder)


def _take(run: Path, me: Holder, break_lock: bool) -> None:
    folder = os.open(run, os.O_RDONLY)
    try:
        # Two who both see the same stale lock are on its host: one after the other.
        with suppress(OSError):  # file systems without locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        while not _create(run, me):
            holder = _read(run / LOCK)
            if not break_lock and not (holder and _is_gone(holder)):
                raise RequestError("run.locked", _refusal(run, holder))
            (run / LOCK).unlink(missing_ok=True)
    finally:
        os.close(folder)


def _create(run: Path, me: Holder) -> bool:
    """Write the lock unless there is one: whole at once, where the file system has links."""
    data = json.dumps(asdict(me), sort_keys=True, indent=1) + "\n"
    temporary = run / f"{TEMPORARY}lock-{me.host}-{me.pid}"
    try:
        temporary.write_text(data)
        os.link(temporary, run / LOCK)
    except FileExistsError:
        return False
    except (PermissionError, NotImplementedError, FileNotFoundError):
        # No links here, or the holder has swept the temporary away: it will be refused below.
        try:
            with (run / LOCK).open("x") as stream:
                stream.write(data)
        except FileExistsError:
            return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _read(path: Path) -> Holder | None:
    """Return the holder; None where there is none, or none that can be understood."""
    try:
        return Holder(**json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _refusal(run: Path, holder: Holder | None) -> str:
    who = f"{run / LOCK} does not say who" if holder is None else str(holder)
    return (
        f"{run}: another process works on this run: {who}. Wait for it, or choose another --out; "
        "if it is certain that it has ended, pass --break-lock"
    )


def _me() -> Holder:
    boot, space = "", ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = str(Path("/proc/self/ns/pid").readlink())
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Holder(socket.gethostname(), boot, space, os.getpid(), _start(os.getpid()), now)


def _is_gone(holder: Holder) -> bool:
    """Tell whether it is certain that the holder has ended."""
    me = _me()
    if not me.boot or (holder.host, holder.boot, holder.space) != (me.host, me.boot, me.space):
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's, and alive; /proc may hide it
        return False
    start = _start(holder.pid)
    return start not in {0, holder.start}


def _start(pid: int) -> int:
    """Return when a process started; 0 where that is not known, -1 for one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return -1 if fields[_STAT_STATE] in {"Z", "X"} else int(fields[_STAT_START])
