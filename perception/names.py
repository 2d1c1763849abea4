r"""Picture names as people's files write them, matched with the names that a run plans.

The same picture is `street.jpg`, `./images/street.jpg`, `images\street.jpg`, `/data/street.jpg`
or, after Roboflow, `street_jpg.rf.<hash>.jpg`. Two names are one picture where they agree from the
end of the path on: what agrees longest wins, and only where nothing else agrees as long.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_ROBOFLOW = re.compile(r"^(.+)_([A-Za-z0-9]+)\.rf\.[A-Za-z0-9]+\.[A-Za-z0-9]+$")
_DRIVE = re.compile(r"^[A-Za-z]:(?=/|$)")


@dataclass(frozen=True)
class Matches:
    """Which name of a file stands for which planned picture.

    Attributes:
        theirs_of: Planned name to the file's name, as the file writes it.
        elsewhere: Planned name to the file's name where both name folders, and not the same:
            `train2017/street.jpg` and `val/street.jpg`. They are in `theirs_of` as well.
        ambiguous: Names of the file that several planned pictures, or several names of the file,
            could stand for.
        unknown: Names of the file that no planned picture has.
    """

    theirs_of: dict[str, str] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)
    ambiguous: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def parts_of(name: str) -> tuple[str, ...]:
    r"""Return the parts of a path: `\` is `/`; `.`, a root and a drive letter say nothing."""
    path = _DRIVE.sub("", name.strip().replace("\\", "/"))
    return tuple(part for part in path.split("/") if part not in ("", "."))


def without_roboflow(name: str) -> str:
    """Return the name that a picture had before Roboflow renamed it, else the name itself.

    `images/street_jpg.rf.0a1b2c.jpg` was `images/street.jpg`.
    """
    folder, slash, last = name.replace("\\", "/").rpartition("/")
    renamed = _ROBOFLOW.match(last)
    return f"{folder}{slash}{renamed[1]}.{renamed[2]}" if renamed else name


def match_names(planned: Iterable[str], theirs: Sequence[str]) -> Matches:
    """Find the planned picture that each name of a file stands for.

    Args:
        planned: Names of a run's pictures, relative to the source, each once.
        theirs: Names as a file from outside writes them; one that comes twice is ambiguous.

    Returns:
        What was matched, and what was not.
    """
    ours = {name: parts_of(name) for name in planned}
    by_last: dict[str, list[str]] = defaultdict(list)
    for name, parts in ours.items():
        if parts:
            by_last[parts[-1]].append(name)
    best: dict[int, tuple[int, str]] = {}  # row of theirs -> parts that agree, planned name
    ambiguous: set[int] = set()
    for row, name in enumerate(theirs):
        parts = parts_of(name)
        found = by_last.get(parts[-1], []) if parts else []
        if not found and parts:
            parts = parts_of(without_roboflow(name))
            found = by_last.get(parts[-1], [])
        if not found:
            continue
        agreed = {one: _common_end(ours[one], parts) for one in found}
        most = max(agreed.values())
        candidates = [one for one, count in agreed.items() if count == most]
        exact = [one for one in candidates if ours[one] == parts]
        if len(exact or candidates) > 1:
            ambiguous.add(row)
        else:
            best[row] = (most + bool(exact), (exact or candidates)[0])
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, (_, name) in best.items():
        rows_of[name].append(row)
    theirs_of, elsewhere = {}, {}
    for name, rows in rows_of.items():
        most = max(best[row][0] for row in rows)
        winners = [row for row in rows if best[row][0] == most]
        if len(winners) > 1:
            ambiguous.update(rows)
            continue
        theirs_of[name] = theirs[winners[0]]
        parts = parts_of(without_roboflow(theirs_of[name]))
        agree = _common_end(ours[name], parts)
        if agree < min(len(parts), len(ours[name])):
            elsewhere[name] = theirs_of[name]
        for row in rows:
            if row not in winners:
                del best[row]
    matched = set(best) - ambiguous
    return Matches(
        theirs_of=theirs_of,
        elsewhere=elsewhere,
        ambiguous=tuple(theirs[row] for row in sorted(ambiguous)),
        unknown=tuple(
            name for row, name in enumerate(theirs) if row not in matched and row not in ambiguous
        ),
    )


def _common_end(ours: tuple[str, ...], theirs: tuple[str, ...]) -> int:
    """Return how many parts agree, counted from the end."""
    count = 0
    for mine, other in zip(reversed(ours), reversed(theirs), strict=False):
        if mine != other:
            break
        count += 1
    return count
