"""One export at a time into one place.

Two that write the same files mix: one reads back what the other has written meanwhile, and reports
labels that came or went. So whoever exports holds a lock on a file beside the place, which the
system gives back when a process ends, however it ends.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perception.core.errors import RequestError
from perception.io.files import storage_faults


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Hold a place; its folder is made if it is not there.

    Raises:
        RequestError: `export.occupied` while somebody else holds it; `disk.*`.
    """
    out = out.resolve()
    lock = out.with_name(f".{out.name}.exporting")
    with storage_faults(lock):
        out.parent.mkdir(parents=True, exist_ok=True)
        handle = _locked(lock, out)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)


def _lock(handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}:
            raise  # else a file system without locks: two exports at once are as before


def _locked(lock: Path, out: Path) -> int:
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            _lock(handle)
            if os.path.samestat(os.fstat(handle), os.stat(lock)):  # noqa: PTH116 - of the same call
                return handle
        except BlockingIOError as error:
            os.close(handle)
            raise RequestError(
                "export.occupied",
                f"{out}: another command exports into it; wait for it, or choose another --out",
            ) from error
        except FileNotFoundError:
            pass
        os.close(handle)  # who held it has removed it meanwhile: there is another file by now
