"""Boxes of files about many pictures, matched by the pictures' names."""

import hashlib
import os
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from perception.core.box_rows import DROPPED, BoxFile, PictureBoxes
from perception.core.errors import RequestError, SampleError
from perception.core.names import Matches, match_names, same_name, stem_of
from perception.core.types import Detections, Picture

_EXAMPLES, _LONGEST = 3, 200  # names in one message, and characters of one


@dataclass(frozen=True)
class _Pairs:
    """Which picture of a file is which planned one.

    Attributes:
        of: Planned name to the picture of the file.
        matches: How they were found.
        faults: Planned name to why the file's boxes for it cannot be used.
        others: How many pictures of the file are none of the planned ones.
    """

    of: dict[str, PictureBoxes]
    matches: Matches
    faults: dict[str, str]
    others: int


class MatchedBoxes:
    """Boxes of a file, or of a folder of files, matched by the names of the pictures.

    Attributes:
        class_names: What the boxes of the planned pictures are called, in alphabetical order.
        listed_names: Those that the file lists besides.
        notices: How the file was understood.
        files: What was read, in order; all that the boxes depend on.

    Args:
        path: The file or folder, for messages.
        content: What it holds.
        planned: Names of the pictures to be labelled, relative to the source.
        files: What was read.
    """

    def __init__(
        self, path: Path, content: BoxFile, planned: Iterable[str], files: Sequence[Path]
    ) -> None:
        self._path = path
        self._planned = tuple(dict.fromkeys(planned))
        self._names = tuple(picture.file_name for picture in content.pictures)
        self._pairs = _pair(content, self._planned)
        self.files = tuple(files)
        self.class_names = tuple(
            sorted({row.class_name for picture in self._pairs.of.values() for row in picture.rows})
        )
        self.listed_names = tuple(
            name for name in content.class_names if name not in self.class_names
        )
        self._class_ids = {name: number for number, name in enumerate(self.class_names)}
        self.notices = (*content.notices, *self._said(content))

    @cached_property
    def _sorted(self) -> list[tuple[str, str]]:
        return sorted((stem_of(name), name) for name in self._names)

    def __call__(self, picture: Picture) -> Detections:
        """Return the boxes of one image.

        Raises:
            SampleError: `boxes.missing` for an image that the file does not list, `boxes.ambiguous`
                for one that several names of the file could mean, `boxes.invalid` for one whose
                boxes cannot be used, `size.mismatch`.
        """
        found = self._pairs.of.get(picture.file_name)
        if found is None:
            raise self._missing(picture.file_name)
        if found.size_hw not in (None, picture.size_hw):
            height, width = found.size_hw or (0, 0)
            why = ""
            if (width, height) == picture.size_hw:
                why = "; one of the two did not apply EXIF Orientation, see --keep-orientation"
            raise SampleError(
                "size.mismatch",
                f"{picture.file_name}: the image is {picture.size_hw[1]} x {picture.size_hw[0]}, "
                f"{self._path} says {width} x {height}{why}",
            )
        rows = found.rows
        with np.errstate(over="ignore"):
            boxes = np.array([row.box_xyxy for row in rows], np.float64).astype(np.float32)
        return Detections(
            boxes_xyxy=boxes.reshape(-1, 4),
            scores=np.array([row.score for row in rows], np.float32),
            class_ids=np.array([self._class_ids[row.class_name] for row in rows], np.int32),
            class_names=self.class_names,
            dropped=found.dropped,
        )

    def digest(self) -> str:
        """Return the sha256 of the files; of several also their places, relative to the folder."""
        if len(self.files) == 1 and self.files[0] == self._path:
            return hashlib.sha256(self._path.read_bytes()).hexdigest()
        total = hashlib.sha256()
        for file in sorted(self.files):
            relative = os.fsencode(os.path.relpath(file, self._path))
            total.update(relative + b"\0" + file.read_bytes() + b"\0")
        return total.hexdigest()

    def check(self) -> None:
        """Refuse a file that has boxes for none of the planned pictures.

        Raises:
            RequestError: `boxes.invalid`, with names of both sides.
        """
        if self._pairs.of or not self._planned:
            return
        if self._pairs.faults:
            raise RequestError("boxes.invalid", next(iter(self._pairs.faults.values())))
        theirs = f"it names {_shown(self._names)}" if self._names else "it names none"
        if self._pairs.matches.contested:
            ours, names = next(iter(self._pairs.matches.contested.items()))
            theirs = f"{ours!r} could be {_shown(names)}, and each of these another picture"
        raise RequestError(
            "boxes.invalid",
            f"{self._path}: none of its {len(self._names)} pictures is one of the "
            f"{len(self._planned)} to be labelled: {theirs}; the source has "
            f"{_shown(self._planned)}",
        )

    def _missing(self, name: str) -> SampleError:
        if name in self._pairs.faults:
            return SampleError("boxes.invalid", self._pairs.faults[name])
        if name in self._pairs.matches.contested:
            return SampleError(
                "boxes.ambiguous",
                f"{self._path}: {name!r} could be {_shown(self._pairs.matches.contested[name])}, "
                "and no name fits better than another; name pictures with their folders",
            )
        place = bisect_left(self._sorted, (stem_of(name), ""))
        near = [other for _, other in self._sorted[max(0, place - 1) : place + 1]]
        return SampleError(
            "boxes.missing",
            f"{self._path}: has no picture {name!r}; the nearest names there are {_shown(near)}"
            if near
            else f"{self._path}: has no picture {name!r}, nor any other",
        )

    def _said(self, content: BoxFile) -> Iterable[str]:
        """Yield what people should know before any work."""
        of, matches, total = self._pairs.of, self._pairs.matches, len(self._planned)
        if not of:
            return
        name = self._path.name
        dropped = Counter(dict(content.lost))
        for picture in of.values():
            dropped.update(dict(picture.dropped))
        if dropped:
            yield f"{name}: rows that are left out: {_counted(dropped)}"
        if matches.elsewhere:
            yield _example(f"{name}: pictures matched in another folder", matches.elsewhere, total)
        renamed = {
            ours: found.file_name
            for ours, found in of.items()
            if not same_name(found.file_name, ours, by_stem=content.by_stem)
        }
        if renamed:
            yield _example(f"{name}: pictures matched under another name", renamed, total)
        alone = {ours: "" for ours in self._planned if ours not in of}
        if alone:
            yield (
                f"{name}: has no boxes for {len(alone)} of the {total} pictures to be labelled, "
                f"such as {next(iter(alone))!r}: they will be quarantined"
            )
        if self._pairs.others:
            yield (
                f"{name}: {self._pairs.others} of its {len(self._names)} pictures are not among "
                "those to be labelled"
            )


def _pair(content: BoxFile, planned: tuple[str, ...]) -> _Pairs:
    """Match by name, then by the other names, then by the numbers that names are."""
    by_name = {picture.file_name: picture for picture in content.pictures}
    matches = match_names(planned, [one.file_name for one in content.pictures], by_stem=True)
    of = {ours: by_name[theirs] for ours, theirs in matches.theirs_of.items()}
    unknown = [by_name[name] for name in matches.unknown]
    rest = [name for name in planned if name not in of and name not in matches.contested]
    by_other = {one.other_name: one for one in unknown if one.other_name}
    if rest and by_other:
        names = [one.other_name for one in unknown if one.other_name]
        second = match_names(rest, names, by_stem=True)
        of |= {ours: by_other[theirs] for ours, theirs in second.theirs_of.items()}
    numbers = {int(one.file_name): one for one in unknown if _is_number(one.file_name)}
    if rest and numbers:
        of |= _by_number([name for name in rest if name not in of], numbers)
    faults = {ours: found.fault for ours, found in of.items() if found.fault}
    if content.by_stem:
        faults |= _stated_otherwise(of, planned)
    others = len(unknown) - (len(of) - len(matches.theirs_of))
    usable = {ours: one for ours, one in of.items() if ours not in faults}
    return _Pairs(usable, matches, faults, others)


def _by_number(planned: list[str], numbers: dict[int, PictureBoxes]) -> dict[str, PictureBoxes]:
    """Return the pictures whose names are numbers, as ultralytics makes 71 of 000000000071."""
    stems = {name: stem_of(name) for name in planned}
    values = {name: int(stem) for name, stem in stems.items() if _is_number(stem)}
    counts = Counter(values.values())
    return {
        name: numbers[value]
        for name, value in values.items()
        if value in numbers and counts[value] == 1
    }


def _stated_otherwise(of: dict[str, PictureBoxes], planned: tuple[str, ...]) -> dict[str, str]:
    """Return the pictures whose files say that they are about another planned picture."""
    stems = {stem_of(name) for name in planned}
    return {
        ours: f"the boxes of {ours!r} say that they belong to {found.other_name!r}, which is "
        "another picture to be labelled; put right which file is whose"
        for ours, found in of.items()
        if found.other_name
        and stem_of(found.other_name) != stem_of(ours)
        and stem_of(found.other_name) in stems
    }


def _is_number(text: str) -> bool:
    return (
        text.isascii() and text.isdigit() and len(text) <= sys.int_info.str_digits_check_threshold
    )


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - _EXAMPLES} more" if len(names) > _EXAMPLES else ""
    return ", ".join(repr(name[-_LONGEST:]) for name in names[:_EXAMPLES]) + more


def _counted(dropped: Counter[str]) -> str:
    return ", ".join(
        f"{count} {DROPPED.get(reason, reason.removeprefix('shape.'))}"
        for reason, count in sorted(dropped.items())
    )


def _example(what: str, pairs: dict[str, str], total: int) -> str:
    ours, theirs = next(iter(pairs.items()))
    return f"{what}: {len(pairs)} of {total}, such as {theirs!r} for {ours!r}"
