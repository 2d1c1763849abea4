r"""Picture names as people's files write them, matched with the names that a run plans.

The same picture is `street.jpg`, `./images/street.jpg`, `images\street.jpg`, `/data/street.jpg`,
`STREET.JPG` or, renamed by Roboflow or Label Studio, `street_jpg.rf.<hash>.jpg` and
`0a1b2c3d-street.jpg`. Two names are one picture where they agree from the end of the path on: what
agrees longest wins, and only where nothing else agrees as long.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple
from urllib.parse import unquote

_ROBOFLOW = re.compile(r"^(.+)_([A-Za-z0-9]+)\.rf\.[A-Za-z0-9]+\.[A-Za-z0-9]+$")
_LABEL_STUDIO = re.compile(r"^[0-9a-f]{8}-(.+)$")
_LABEL_STUDIO_FOLDER = re.compile(r"^.*[?&]d=")  # /data/local-files/?d=FOLDER/NAME
_DRIVE = re.compile(r"^[A-Za-z]:(?=/|$)")
_MOST = 1 << 16  # parts of a name
_Parts = tuple[str, ...]


@dataclass(frozen=True)
class Matches:
    """Which name of a file stands for which planned picture.

    Attributes:
        theirs_of: Planned name to the file's name, as the file writes it.
        elsewhere: Planned name to the file's name where both name folders, and not the same:
            `train2017/street.jpg` and `val/street.jpg`. They are in `theirs_of` as well.
        contested: Planned name to the names of the file that could stand for it, where none is
            better than the others, or where one of them could stand for another picture as well.
        ambiguous: Names of the file that several planned pictures, or several names of the file,
            could stand for.
        unknown: Names of the file that no planned picture has.
    """

    theirs_of: dict[str, str] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)
    contested: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ambiguous: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Hit:
    """A planned picture that a name could stand for.

    Attributes:
        planned: Its name.
        goodness: Larger is better: parts that agree, the whole path, case, the form as written.
        elsewhere: Whether both names have folders, and not the same.
    """

    planned: str
    goodness: tuple[int, bool, int, int]
    elsewhere: bool


def parts_of(name: str) -> _Parts:
    r"""Return the parts of a path: `\` is `/`; `.`, a root and a drive letter say nothing."""
    path = _DRIVE.sub("", name.strip().replace("\\", "/"))
    parts = path.split("/")
    if "" in parts or "." in parts:
        parts = [part for part in parts if part not in ("", ".")]
    return tuple(parts)


def without_roboflow(name: str) -> str:
    """Return the name that a picture had before Roboflow renamed it, else the name itself.

    `images/street_jpg.rf.0a1b2c.jpg` was `images/street.jpg`.
    """
    folder, slash, last = name.replace("\\", "/").rpartition("/")
    renamed = _ROBOFLOW.match(last)
    return f"{folder}{slash}{renamed[1]}.{renamed[2]}" if renamed else name


def stem_of(name: str) -> str:
    """Return the last part of a path without its suffix, whatever its case: for comparisons."""
    parts = parts_of(name)
    return _folded(parts[-1]).rpartition(".")[0] or _folded(parts[-1]) if parts else ""


def same_name(theirs: str, ours: str, *, by_stem: bool = False) -> bool:
    """Tell whether two names end in the same part, whatever its case.

    Args:
        theirs: A name.
        ours: Another.
        by_stem: Whether `theirs` may lack the suffix.
    """
    last, own = (_folded(parts[-1]) if parts else "" for parts in map(parts_of, (theirs, ours)))
    return last == own or (by_stem and last == _stem(own))


def match_names(planned: Iterable[str], theirs: Sequence[str], *, by_stem: bool = False) -> Matches:
    """Find the planned picture that each name of a file stands for.

    Args:
        planned: Names of a run's pictures, relative to the source, each once.
        theirs: Names as a file from outside writes them; one that comes twice is ambiguous.
        by_stem: Whether a name without a suffix, or with another one, is found as well.

    Returns:
        What was matched, and what was not.
    """
    index = _Index(planned, by_stem)
    best: dict[int, _Hit] = {}
    ambiguous: set[int] = set()
    rows_of: dict[str, list[int]] = defaultdict(list)
    contested: dict[str, set[str]] = defaultdict(set)
    for row, name in enumerate(theirs):
        hits = index.hits(name)
        if len(hits) == 1:
            best[row] = hits[0]
            rows_of[hits[0].planned].append(row)
        elif hits:
            ambiguous.add(row)
            for hit in hits:
                contested[hit.planned].add(name)
    won: dict[str, int] = {}
    for name, rows in rows_of.items():
        most = max(best[row].goodness for row in rows)
        winners = [row for row in rows if best[row].goodness == most]
        if len(winners) == 1:
            won[name] = winners[0]
        else:
            ambiguous.update(winners)
            contested[name].update(theirs[row] for row in winners)
    matched = set(won.values())
    return Matches(
        theirs_of={name: theirs[row] for name, row in won.items()},
        elsewhere={name: theirs[row] for name, row in won.items() if best[row].elsewhere},
        contested={
            name: tuple(sorted(names)) for name, names in contested.items() if name not in won
        },
        ambiguous=tuple(theirs[row] for row in sorted(ambiguous)),
        unknown=tuple(
            name for row, name in enumerate(theirs) if row not in matched and row not in ambiguous
        ),
    )


class _Index:
    """The planned pictures by the last part of their names; those that share it, by longer ends."""

    def __init__(self, planned: Iterable[str], by_stem: bool) -> None:
        self._planned = dict.fromkeys(planned)
        self._by_stem = by_stem
        self._ends: dict[str, dict[_Parts, list[str]]] = {}

    @cached_property
    def _paths(self) -> dict[str, "_Path"]:
        return {name: _path(name) for name in self._planned}

    @cached_property
    def _alike(self) -> dict[str, list[str]]:
        """Names by their last part, and by its stem behind a slash, which no part can have."""
        alike: dict[str, list[str]] = defaultdict(list)
        for name, path in self._paths.items():
            if path.folded:
                alike[path.folded[-1]].append(name)
                if self._by_stem:
                    alike[f"/{_stem(path.folded[-1])}"].append(name)
        return alike

    def hits(self, name: str) -> list[_Hit]:
        """Return the planned pictures that fit best, by the first form of a name that any fits."""
        if name in self._planned:  # most files need no more than this
            return [_Hit(name, (_MOST, True, _MOST, 0), elsewhere=False)]
        forms = [path for form in _forms(name) if (path := _path(form)).folded]
        keys = [(path, path.folded[-1]) for path in forms]
        if self._by_stem:
            keys += [(path, f"/{last}") for path, last in keys]
            keys += [(path, f"/{_stem(path.folded[-1])}") for path in forms]
        for rank, (path, key) in enumerate(keys):
            if key in self._alike:
                return self._fitting(key, path, rank)
        return []

    def _fitting(self, key: str, path: "_Path", rank: int) -> list[_Hit]:
        """Return those whose folders agree longest; of them, the ones that fit best."""
        agree, found = 1, self._alike[key]
        same = found
        if len(found) > 1:
            ends = self._ends_of(key)
            longest = next((end for end in reversed(_ends(path.folded[:-1])) if end in ends), ())
            agree, same = 1 + len(longest), ends[longest]
        elif path.folded[:-1]:
            agree += _common_end(self._paths[found[0]].folded[:-1], path.folded[:-1])
        hits = [self._hit(name, path, agree, rank) for name in same]
        most = max(hit.goodness for hit in hits)
        return [hit for hit in hits if hit.goodness == most]

    def _ends_of(self, key: str) -> dict[_Parts, list[str]]:
        """Return the names that are alike by the ends of their folders, () for all of them."""
        if key not in self._ends:
            ends: dict[_Parts, list[str]] = defaultdict(list)
            for name in self._alike[key]:
                for end in ((), *_ends(self._paths[name].folded[:-1])):
                    ends[end].append(name)
            self._ends[key] = ends
        return self._ends[key]

    def _hit(self, planned: str, path: "_Path", agree: int, rank: int) -> _Hit:
        ours = self._paths[planned]
        whole = agree == len(ours.parts) == len(path.parts)
        goodness = (agree, whole, _common_end(ours.parts, path.parts), -rank)
        return _Hit(planned, goodness, agree < min(len(ours.parts), len(path.parts)))


class _Path(NamedTuple):
    parts: _Parts
    folded: _Parts  # what is the same whatever the case, and however accents are encoded


def _path(name: str) -> _Path:
    folded = _folded(name)
    parts = parts_of(name)
    return _Path(parts, parts if folded == name else parts_of(folded))


def _ends(parts: _Parts) -> list[_Parts]:
    """Return the last part, the last two, and so on."""
    return [parts[start:] for start in range(len(parts) - 1, -1, -1)]


def _forms(name: str) -> Iterator[str]:
    """Yield a name as it is written, then the names that it may have had before tools wrote it."""
    yield name
    plain = name
    if "%" in name or "?" in name:
        plain = unquote(_LABEL_STUDIO_FOLDER.sub("", name))
        yield plain
        plain = plain.partition("?")[0]
        yield plain
    if ".rf." in plain:
        yield without_roboflow(plain)
    folder, slash, last = plain.replace("\\", "/").rpartition("/")
    prefixed = _LABEL_STUDIO.match(last)
    if prefixed:
        yield f"{folder}{slash}{prefixed[1]}"


def _folded(name: str) -> str:
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def _stem(last: str) -> str:
    return last.rpartition(".")[0] or last


def _common_end(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """Return how many parts agree, counted from the end."""
    count = 0
    for mine, other in zip(reversed(ours), reversed(theirs), strict=False):
        if mine != other:
            break
        count += 1
    return count
