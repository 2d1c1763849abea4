"""Files: opened with errors that name them, written whole or not at all."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from perception.errors import SampleError

TEMPORARY = ".tmp-"  # prefix of files that a killed process may leave behind


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file of a dataset for reading.

    Raises:
        SampleError: `io.not_found`, `io.denied`, `io.failed`.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would block, a folder has no bytes
            raise SampleError("io.not_found", f"{path}: is no file")
        with path.open("rb") as stream:
            yield stream
    except PermissionError as error:
        raise SampleError("io.denied", f"{path}: no permission to read it") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SampleError("io.not_found", f"{path}: no such file") from error
    except OSError as error:
        raise SampleError("io.failed", f"{path}: {error.strerror}") from error


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears whole or not at all: temporary, flushed to disk, moved into place.

    The temporary name depends on `path` alone, so that what a killed run left is overwritten.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()
    temporary = path.parent / f"{TEMPORARY}{digest}"
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a small file whole or not at all."""
    with replacing(path) as stream:
        stream.write(data)


def remove_temporaries(folder: Path) -> None:
    """Remove what killed processes left behind."""
    for path in folder.rglob(f"{TEMPORARY}*"):
        path.unlink(missing_ok=True)
