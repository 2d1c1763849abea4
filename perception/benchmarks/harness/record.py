"""The data file of BENCHMARKS.md: a JSON object a line, one for each figure that was measured.

    {"what": "mean IoU", "figure": 0.68, "command": "perception bench masks DATA/cityscapes ...",
     "machine": "2 cores, ..., no GPU, 24 GB", "commit": "6385aa9", "date": "2026-12-01"}

`interval` and `unit` stand where a figure has them. `readme`, which people add, is what README
calls the figure; those with one name are one line there. Lines are appended, never changed: of one
command and `what` the last counts. A whole number without a point is a count.
"""

import json
import re
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter

from perception.benchmarks.harness.machine import commit, machine
from perception.benchmarks.harness.measurement import Row
from perception.core.config import Settings
from perception.core.errors import RequestError, SampleError
from perception.io import schemas
from perception.io.files import opened, storage_faults

LARGEST_BYTES = 1 << 24
INVALID = "record.invalid"
FIX = "expected lines as `perception bench --record` appends them"
DIGITS = 6  # significant ones of what is no count; more is noise
# An absolute path, or one that leaves the folder, at the start of a word or after "kitti:" and "=".
OUTSIDE = re.compile(r"(^|[:=])(?:~|\.\.)?/(?!/).*")


class Entry(Settings):
    """One line of the file."""

    what: str = Field(min_length=1, max_length=300)
    figure: int | float
    interval: tuple[float, float] | None = None
    unit: str = Field(default="", max_length=100)
    command: str = Field(min_length=1, max_length=2000)
    machine: str = Field(min_length=1, max_length=300)
    commit: str = Field(pattern=r"^[0-9a-z.+-]{3,40}$")
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    readme: str = Field(default="", max_length=300)


_ENTRY = TypeAdapter(Entry)


def read(path: Path) -> tuple[Entry, ...]:
    """Read a data file.

    Raises:
        RequestError: `record.invalid`, naming file and line; `io.not_found`, `io.denied`.
    """
    try:
        with opened(path) as stream:
            data = stream.read(LARGEST_BYTES + 1)
    except SampleError as error:
        raise RequestError(error.code, error.message) from error
    if len(data) > LARGEST_BYTES:
        raise RequestError(INVALID, f"{path}: has more than {LARGEST_BYTES} bytes; {FIX}")
    return tuple(
        schemas.parse(_ENTRY, line, f"{path}, line {number}", INVALID, FIX)
        for number, line in enumerate(data.splitlines(), start=1)
    )


def check(path: Path) -> None:
    """Refuse what figures cannot be appended to; a file that is not there yet will be made.

    Raises:
        RequestError: As `read`; `io.not_found` where the folder is missing.
    """
    if path.exists():
        read(path)
    elif not path.parent.is_dir():
        raise RequestError("io.not_found", f"{path.parent}: no such folder")


def append(path: Path, rows: Sequence[Row], tokens: Sequence[str]) -> None:
    """Append a line for each figure; rows without one have none.

    Args:
        path: The file.
        rows: What was measured.
        tokens: The command as it was typed, without the program's name.

    Raises:
        RequestError: As `check`; `disk.full`, `disk.read_only`, `disk.failed`.
    """
    check(path)
    known = {
        "command": command_line(tokens),
        "machine": machine(),
        "commit": commit(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    lines = [_line(row, known) for row in rows if row.figure.value is not None]
    text = "".join(f"{line}\n" for line in lines)
    with storage_faults(path, len(text)), path.open("a+b") as stream:
        stream.seek(0, 2)
        if stream.tell():
            stream.seek(-1, 2)
            text = text if stream.read(1) == b"\n" else f"\n{text}"
        stream.write(text.encode())


def _line(row: Row, known: dict[str, str]) -> str:
    value, low, high = (
        side if side is None or isinstance(side, int) else float(f"{side:.{DIGITS}g}")
        for side in (row.figure.value, row.figure.low, row.figure.high)
    )
    fields: dict[str, Any] = {"what": row.what, "figure": value}
    if low is not None and high is not None:
        fields["interval"] = [low, high]
    if row.unit:
        fields["unit"] = row.unit
    return json.dumps({**fields, **known}, ensure_ascii=False, allow_nan=False)


def command_line(tokens: Sequence[str]) -> str:
    """Return a command without the machine's folders: DATA/NAME in their place, or a file's name.

    What only says where the figures go is left out.
    """
    kept = ["perception"]
    words = iter(tokens)
    for word in words:
        if word == "--record":
            next(words, None)
        elif word != "--json" and not word.startswith("--record="):
            kept.append(OUTSIDE.sub(_name, word))
    return shlex.join(kept)


def _name(found: re.Match[str]) -> str:
    path = Path(found[0].removeprefix(found[1]))
    return found[1] + (path.name if path.suffix else f"DATA/{path.name}")
