"""Which pictures are held out from training, by their names alone.

Pictures of one recording resemble each other: with neighbours on both sides a figure says how well
a detector remembers. So pictures are held out by recording where names tell it, as evaluation
draws whole scenes; otherwise one by one.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

# Folders that name a camera or a kind of file: below them stand pictures of the same moments.
_NO_RECORDING = re.compile(
    r"(images?_*|data|samples|sweeps|camera|leftImg8bit|(image|cam|camera)[-_]?\d+|CAM_\w+"
    r"|(cam(era)?[-_])?(front|back|rear|left|right)([-_]?(left|right))?)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Split:
    """Names of pictures, apart.

    Attributes:
        trained: Sorted.
        held_out: Sorted.
        by: "recording" where none is on both sides, "moment" where pictures are held out one by
            one, those of several cameras that share a number together.
        groups: How many recordings or moments there are.
    """

    trained: tuple[str, ...]
    held_out: tuple[str, ...]
    by: str
    groups: int


def split(names: Iterable[str], share: float, seed: int) -> Split:
    """Hold out about `share` of the pictures; the same names and seed give the same split.

    Args:
        names: Paths of pictures, relative, POSIX.
        share: Between 0 and 1.
        seed: Another seed is another choice.

    Returns:
        Something is on each side, unless all pictures are of one moment: then nothing is held out.
    """
    every = sorted(set(names))
    by, groups = "recording", _grouped((recording_of(name), name) for name in every)
    if len(groups) < 2:
        by = "moment"
        groups = _grouped((f"{recording_of(name)}/{_stem(name)}", name) for name in every)
    wanted, held_out = share * len(every), set[str]()
    order = sorted(groups, key=lambda group: (_draw(seed, group), group))
    left = len(order)
    for group in order:
        more = len(held_out) + len(groups[group])
        if left > 1 and abs(more - wanted) < abs(len(held_out) - wanted):
            held_out.update(groups[group])
            left -= 1
    if not held_out and len(order) > 1:  # all are larger than what was wanted
        held_out.update(groups[min(order, key=lambda group: len(groups[group]))])
    trained = tuple(name for name in every if name not in held_out)
    return Split(trained, tuple(sorted(held_out)), by, len(groups))


def recording_of(name: str) -> str:
    """Return what names the recording of a picture: its folders without those of cameras.

    nuScenes writes the recording into the file's name, before two underscores.
    """
    path = PurePosixPath(name)
    folders = [part for part in path.parts[:-1] if not _NO_RECORDING.fullmatch(part)]
    log, mark, _ = path.stem.partition("__")
    return "/".join([*folders, log] if mark and log else folders)


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _draw(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"{seed} {group}".encode()).digest()


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for group, name in pairs:
        groups.setdefault(group, []).append(name)
    return groups
