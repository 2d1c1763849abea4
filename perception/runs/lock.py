"""One writer per run folder: `lock.json` says who, from the first write to the last.

A process that was killed leaves its lock behind. It is broken only with proof that its holder is
gone: same host, same boot, same process namespace, and no process of that number and start time.
Where there is no proof (another host, a restarted machine), a person says so with --break-lock.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from perception.buckets import Bucket
from perception.errors import BucketError, RequestError
from perception.files import TEMPORARY, storage_faults

LOCK = "lock.json"
SETTLE_S = 2.0  # that a lock in a bucket is left alone; a put of its size takes 0.1 s or less
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


@contextmanager
def held_in(bucket: Bucket, break_lock: bool = False) -> Iterator[Callable[[], None]]:
    """Hold a run in a bucket.

    pyarrow cannot put an object on condition that there is none, so two may write their lock at
    once. Each waits and looks again: the last one to write holds it (Fischer's algorithm), unless a
    write takes longer than the wait.

    Args:
        bucket: The run's place.
        break_lock: As in `held`.

    Yields:
        What to call now and then: it raises `run.locked` if the lock is somebody else's by now.

    Raises:
        RequestError: `run.locked`, naming the holder; `bucket.*`.
    """
    mine = _to_bytes(_me())
    there = bucket.read(LOCK)
    if there is not None and not break_lock:
        holder = _parse(there)
        if not (holder and _is_gone(holder)):
            raise RequestError("run.locked", _refusal(bucket, holder))

    def check() -> None:
        found = bucket.read(LOCK)
        if found != mine:
            raise RequestError("run.locked", _refusal(bucket, _parse(found) if found else None))

    bucket.write(LOCK, mine)
    time.sleep(SETTLE_S)
    check()
    try:
        yield check
    finally:
        with suppress(BucketError):  # what ended the run, perhaps: the lock is stale then
            if bucket.read(LOCK) == mine:
                bucket.remove(LOCK)


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
    data = _to_bytes(me)
    temporary = run / f"{TEMPORARY}lock-{me.host}-{me.pid}"
    try:
        temporary.write_bytes(data)
        os.link(temporary, run / LOCK)
    except FileExistsError:
        return False
    except (PermissionError, NotImplementedError, FileNotFoundError):
        # No links here, or the holder has swept the temporary away: it will be refused below.
        try:
            with (run / LOCK).open("xb") as stream:
                stream.write(data)
        except FileExistsError:
            return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _read(path: Path) -> Holder | None:
    """Return the holder; None where there is none, or none that can be understood."""
    try:
        return _parse(path.read_bytes())
    except FileNotFoundError:
        return None


def _parse(data: bytes) -> Holder | None:
    try:
        return Holder(**json.loads(data))
    except (ValueError, TypeError):
        return None


def _to_bytes(holder: Holder) -> bytes:
    return (json.dumps(asdict(holder), sort_keys=True, indent=1) + "\n").encode()


def _refusal(run: Path | Bucket, holder: Holder | None) -> str:
    who = str(holder) if holder else f"{run}/{LOCK} does not say who"
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
