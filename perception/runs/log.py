"""`log.txt`: what was said while a run was worked on, with the time of day in UTC; for people."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from perception.core.progress import LOG

FILE = "log.txt"


class _Lines(logging.Handler):
    def __init__(self, file: int) -> None:
        super().__init__(logging.INFO)
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        text = " ".join(record.getMessage().split())
        with suppress(OSError):  # a full disk: the run itself will say so
            os.write(self._file, f"{at} {text}\n".encode())


@contextmanager
def kept(run: Path) -> Iterator[None]:
    """Append what is said in this context to the log of a run, which somebody holds.

    Raises:
        OSError: if it cannot be written, or is a link: that might lead out.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    file = os.open(run / FILE, flags, 0o666)
    handler, level = _Lines(file), LOG.level
    LOG.addHandler(handler)
    if LOG.getEffectiveLevel() > logging.INFO:
        LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(level)
        os.close(file)
