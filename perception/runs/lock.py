"""One writer per run folder: `lock.json` says who, from the first write to the last.

A process that was killed leaves its lock behind. It is broken only with proof that its holder is
gone, see `owners`. Where there is none (another host, a restarted machine), a person says so with
--break-lock.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from perception.core.errors import BucketError, RequestError
from perception.io import owners
from perception.io.buckets import Bucket
from perception.io.files import TEMPORARY, refuse_link_out, storage_faults
from perception.io.owners import Owner

LOCK = "lock.json"
SETTLE_S = 2.0  # that a lock in a bucket is left alone; a put of its size takes 0.1 s or less


@contextmanager
def held(run: Path, break_lock: bool = False) -> Iterator[None]:
    """Hold a run folder; made if it is not there.

    Args:
        run: The run folder.
        break_lock: Take it from a holder that may be alive: a person knows that it is not.

    Raises:
        RequestError: `run.locked`, naming the holder; `path.outside_root` for a folder of the run
            that is a link to somewhere else, where we would write.
    """
    me = owners.this_process()
    with storage_faults(run / LOCK):
        run.mkdir(parents=True, exist_ok=True)
        for folder in (*run.glob("*/"), *run.glob("labels/*/"), *run.glob("evidence/*/")):
            refuse_link_out(folder, run)
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
    mine = owners.to_bytes(owners.this_process())
    there = bucket.read(LOCK)
    if there is not None and not break_lock:
        holder = owners.parse(there)
        if not (holder and owners.is_gone(holder)):
            raise RequestError("run.locked", _refusal(bucket, holder))

    def check() -> None:
        found = bucket.read(LOCK)
        if found != mine:
            raise RequestError(
                "run.locked", _refusal(bucket, owners.parse(found) if found else None)
            )

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
    return "" if owners.is_gone(holder) else str(holder)


def _take(run: Path, me: Owner, break_lock: bool) -> None:
    folder = os.open(run, os.O_RDONLY)
    try:
        # Two who both see the same stale lock are on its host: one after the other.
        with suppress(OSError):  # file systems without locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        while not _create(run, me):
            holder = _read(run / LOCK)
            if not break_lock and not (holder and owners.is_gone(holder)):
                raise RequestError("run.locked", _refusal(run, holder))
            (run / LOCK).unlink(missing_ok=True)
    finally:
        os.close(folder)


def _create(run: Path, me: Owner) -> bool:
    """Write the lock unless there is one: whole at once, where the file system has links."""
    data = owners.to_bytes(me)
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


def _read(path: Path) -> Owner | None:
    """Return the holder; None where there is none, or none that can be understood."""
    if not path.is_file():  # a pipe would block
        return None
    try:
        with path.open("rb") as stream:
            return owners.parse(stream.read(owners.MAX_BYTES + 1))
    except FileNotFoundError:
        return None


def _refusal(run: Path | Bucket, holder: Owner | None) -> str:
    who = str(holder) if holder else f"{run}/{LOCK} does not say who"
    return (
        f"{run}: another process works on this run: {who}. Wait for it, or choose another --out; "
        "if it is certain that it has ended, pass --break-lock"
    )
