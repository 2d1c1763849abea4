"""Label formats: one file each, with `write` and `read`; no format knows another.

Here stands only what every writer needs: where it may write, how a file appears whole or not at
all, and which instances become labels.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from perception.errors import RequestError, SampleError
from perception.files import opened
from perception.ontology import Target
from perception.types import ExportSummary, Instances, Status

MAX_TEXT_BYTES = 1 << 24  # a label file of one picture
LABEL = ""  # the fate of an instance that is written as a label


def relative_name(name: str, owner: str) -> PurePosixPath:
    """Return a name from outside as a relative path.

    Raises:
        RequestError: `path.outside_root` for names that are absolute or lead upwards.
    """
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise RequestError(
            "path.outside_root",
            f"{owner}: name {name!r}, expected a path relative to the dataset's root, without '..'",
        )
    return path


class Outputs:
    """The files of one export: all inside `out`, each claimed once."""

    def __init__(self, out: Path) -> None:
        """Export into folder `out`, which need not exist."""
        self._out = out
        self._root = out.resolve()
        self._owners: dict[PurePosixPath, str] = {}
        self._inside: set[Path] = set()

    def claim(self, relative: PurePosixPath, owner: str) -> Path:
        """Return where `owner` writes `relative`.

        Raises:
            RequestError: `export.collision` if another owner has it, `path.outside_root` if a link
                inside `out` leads elsewhere.
        """
        path = self._out / relative
        if relative in self._owners:
            raise RequestError(
                "export.collision",
                f"{path}: {self._owners[relative]} and {owner} would both write it; export them "
                "into two folders, or give the files different names",
            )
        self._owners[relative] = owner
        if path.parent not in self._inside:
            parent = path.parent.resolve()
            if not parent.is_relative_to(self._root):
                raise RequestError(
                    "path.outside_root",
                    f"{owner}: {path} leads to {parent}, outside {self._root}; remove the link",
                )
            self._inside.add(path.parent)
        return path


def read_bytes(path: Path, limit: int) -> bytes:
    """Read a file of one sample.

    Raises:
        SampleError: `io.not_found`, `io.denied`, or `label.invalid` if it is larger than `limit`.
    """
    with opened(path) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        size = path.stat().st_size
        raise SampleError("label.invalid", f"{path}: {size} bytes, expected at most {limit}")
    return data


def read_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return the words of every line that is not blank, with its number from 1.

    Raises:
        SampleError: as `read_bytes`, and `label.invalid` if the file is not text.
    """
    try:
        text = read_bytes(path, MAX_TEXT_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SampleError("label.invalid", f"{path}: is not UTF-8 text: {error}") from error
    lines = ((number, line.split()) for number, line in enumerate(text.split("\n"), start=1))
    return [(number, words) for number, words in lines if words]


def parse_number(word: str) -> float:
    """Return a decimal number; NaN for anything else that Python's `float` might take ("1_0")."""
    if not word.isascii() or "_" in word:
        return math.nan
    try:
        return float(word)
    except ValueError:
        return math.nan


def fates(
    instances: Instances, target: Target, statuses: frozenset[Status]
) -> tuple[tuple[int, str], ...]:
    """Return (row, fate): `LABEL`, or why the instance is none.

    The reasons are "mask.empty", "class.ignored" (not in `target`) and the name of a status that is
    not among `statuses`, in this order of precedence.
    """
    rows = []
    for row in range(len(instances)):
        status = Status(int(instances.statuses[row]))
        if not instances.masks.counts[row]:
            fate = "mask.empty"
        elif int(instances.class_ids[row]) not in target.ids:
            fate = "class.ignored"
        else:
            fate = LABEL if status in statuses else status.name.lower()
        rows.append((row, fate))
    return tuple(rows)


@dataclass
class Tally:
    """Counts while an export runs; see `ExportSummary`."""

    samples: int = 0
    labels: int = 0
    ignored: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def summary(self) -> ExportSummary:
        """Return the counts so far, reasons in alphabetical order."""
        left_out = tuple(sorted((reason, n) for reason, n in self.left_out.items() if n))
        return ExportSummary(self.samples, self.labels, self.ignored, left_out)
