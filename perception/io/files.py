"""Files: opened with errors that name them, written whole or not at all."""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from perception.core.errors import RequestError, SampleError

TEMPORARY = ".tmp-"  # prefix of files that a killed process may leave behind
# What a disk does to whoever writes: nothing that another sample or another try would change.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file of a dataset for reading.

    Raises:
        SampleError: `io.not_found`, `io.denied`, `io.failed`.
    """
    with _read_faults(path):
        _stat(path)
        with path.open("rb") as stream:
            yield stream


def read_shared(path: Path, most_bytes: int) -> bytes:
    """Return the first bytes of a file that many frames share: opened once, until it changes.

    Raises:
        SampleError: as `opened`.
    """
    with _read_faults(path):
        about = _stat(path)
        return _first_bytes(path, most_bytes, about.st_ino, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=16)  # of a drive all frames share one or two
def _first_bytes(path: Path, most_bytes: int, inode: int, written_ns: int, size: int) -> bytes:
    with path.open("rb") as stream:
        return stream.read(most_bytes)


def _stat(path: Path) -> os.stat_result:
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):  # a pipe would block, a folder has no bytes
        raise SampleError("io.not_found", f"{path}: is no file")
    return about


@contextmanager
def _read_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise SampleError("io.denied", f"{path}: no permission to read it") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SampleError("io.not_found", f"{path}: no such file") from error
    except OSError as error:
        raise SampleError("io.failed", f"{path}: {error.strerror}") from error


@contextmanager
def replacing(path: Path, needed_bytes: int = 0) -> Iterator[BinaryIO]:
    """Write a file that appears whole or not at all: temporary, flushed to disk, moved into place.

    The temporary name depends on `path` alone, so that what a killed run left is overwritten.

    Args:
        path: The file.
        needed_bytes: Its size; 0 where it is not known.

    Raises:
        RequestError: `disk.full`, `disk.read_only`, `disk.failed`.
    """
    with storage_faults(path, needed_bytes), _replacing(path) as stream:
        yield stream


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
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
    """Write a small file whole or not at all.

    Raises:
        RequestError: `disk.full`, `disk.read_only`, `disk.failed`.
    """
    with replacing(path, len(data)) as stream:
        stream.write(data)


def is_storage_fault(error: BaseException) -> bool:
    """Tell whether a disk has no room or cannot be written: no sample is to blame for that."""
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@contextmanager
def storage_faults(path: Path, needed_bytes: int = 0) -> Iterator[None]:
    """Say what a disk refused while `path` was written, and how to go on.

    Args:
        path: What is written.
        needed_bytes: Its size; 0 where it is not known.

    Raises:
        RequestError: `disk.full`, naming the bytes needed and free; `disk.read_only`;
            `disk.failed`.
    """
    try:
        yield
    except OSError as error:
        if error.filename and Path(error.filename).parent != path.parent:  # what was read for it
            raise
        if error.errno in _FULL:
            needs = f"needs {needed_bytes} bytes, " if needed_bytes else ""
            free = shutil.disk_usage(_existing(path)).free
            code, fault = "disk.full", f"{needs}{free} are free: {error.strerror}; make room"
        elif error.errno in _READ_ONLY:
            code, fault = "disk.read_only", f"cannot be written: {error.strerror}; allow it"
        elif error.errno == errno.EIO:
            code, fault = "disk.failed", f"{error.strerror}; look after the disk"
        else:
            raise
        raise RequestError(code, f"{path}: {fault}, then the same command resumes") from error


def _existing(path: Path) -> Path:
    return next(folder for folder in path.absolute().parents if folder.is_dir())


def refuse_occupied(out: Path) -> None:
    """Refuse a folder for output that holds anything, or is a file: `output.exists`."""
    if os.path.lexists(out) and (not out.is_dir() or any(out.iterdir())):
        raise RequestError("output.exists", f"{out}: is not empty; choose another --out")


def discard_made(out: Path, signs: Sequence[str]) -> None:
    """Empty a folder that a command of ours filled; one without a sign of that is left as it is.

    Args:
        out: The folder; a file and what is not there are left to whoever writes.
        signs: Files that show who filled it; one of them is enough.

    Raises:
        RequestError: `output.exists` for a folder that holds something else.
    """
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not any((out / sign).is_file() for sign in signs):
        raise RequestError(
            "output.exists",
            f"{out}: --overwrite discards what this command wrote, and this folder holds something "
            f"else (no {signs[0]}); choose another --out",
        )
    with storage_faults(out):
        for path in out.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def remove_temporaries(folder: Path) -> None:
    """Remove what killed processes left behind."""
    for path in folder.rglob(f"{TEMPORARY}*"):
        if path.is_symlink() or not path.is_dir():  # no file of ours is a folder
            path.unlink(missing_ok=True)


def refuse_link_out(folder: Path, root: Path) -> None:
    """Refuse to write into a folder of `root` that is not there: a link leads out.

    Raises:
        RequestError: `path.outside_root`.
    """
    found = folder.resolve()
    if not found.is_relative_to(root.resolve()):
        raise RequestError(
            "path.outside_root", f"{folder}: leads to {found}, outside {root}; remove the link"
        )
