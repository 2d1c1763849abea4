"""Folders that go when their work is done, and those that killed processes have left, swept up.

Each names its process in a file of its own. The first folder that a process makes sweeps those
whose processes have certainly ended (see `owners`); what says nothing, or lies elsewhere, stays.
"""

import atexit
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from perception.io import owners

PREFIX = "perception-"
OWNER = ".perception-owner.json"


@contextmanager
def folder(kind: str) -> Iterator[Path]:
    """Make a folder, TMPDIR/perception-KIND-XXXXXXXX, that goes at the end."""
    path = make(kind)
    try:
        yield path
    finally:
        remove(path)


def make(kind: str) -> Path:
    """Make a folder that goes with `remove`, at exit, or, after a kill, with the next process."""
    sweep_once(tempfile.gettempdir())
    path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-"))
    atexit.register(remove, path)
    (path / OWNER).write_bytes(owners.to_bytes(owners.this_process()))
    return path


def remove(path: Path) -> None:
    """Take a folder away; what cannot be removed stays."""
    shutil.rmtree(path, ignore_errors=True)


@cache
def sweep_once(place: str) -> None:
    """Sweep a folder once in the life of a process."""
    sweep(Path(place))


def sweep(place: Path) -> list[Path]:
    """Remove the folders in `place` whose processes have certainly ended; return them."""
    gone = []
    with suppress(OSError):
        gone = [path for path in sorted(place.glob(f"{PREFIX}*")) if _is_left(path)]
    for path in gone:
        remove(path)
    return gone


def _is_left(path: Path) -> bool:
    """Tell whether a folder is ours, no link, and its process is gone."""
    try:
        found, said = path.lstat(), (path / OWNER).lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            return False
        if not stat.S_ISREG(said.st_mode) or said.st_uid != os.geteuid():
            return False
        if said.st_size > owners.MAX_BYTES:
            return False
        owner = owners.parse((path / OWNER).read_bytes())
    except OSError:  # it goes at this moment, or is no folder of ours
        return False
    return owner is not None and owners.is_gone(owner)
