"""Files of weights, each opened and hashed once in a process, until it changes on disk."""

import hashlib
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import BinaryIO

KEPT = 8  # files that are held open


class _Weights:
    """An open file of weights."""

    def __init__(self, path: Path) -> None:
        self.stream = path.open("rb")
        self.lock = threading.RLock()
        weakref.finalize(self, self.stream.close)

    @cached_property
    def sha256(self) -> str:
        with self.lock:
            self.stream.seek(0)
            return hashlib.file_digest(self.stream, "sha256").hexdigest()


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Give the bytes of a file from its start, to one thread at a time; closing it is not due.

    Raises:
        OSError: for a file that cannot be read.
    """
    weights = _weights(path)
    with weights.lock:
        before = weights.stream.tell()
        weights.stream.seek(0)
        try:
            yield weights.stream
        finally:
            weights.stream.seek(before)  # a caller further up may be in the middle of it


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal; raises as `opened`."""
    return _weights(path).sha256


def _weights(path: Path) -> _Weights:
    about = path.stat()
    return _open(path, about.st_ino, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=KEPT)
def _open(path: Path, inode: int, written_ns: int, size: int) -> _Weights:
    return _Weights(path)
