"""`plan.jsonl`: the samples of a run in canonical order, cut into shards; one line each.

A plan may come from somebody else, and its ids and cameras become names of files that are written:
those that are absolute, climb by `..` or hold a NUL are refused. Files that are read are confined
when they are opened (see `links`): one that leads out costs its own sample.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter

from perception.core.config import Settings
from perception.core.errors import RequestError
from perception.core.limits import MAX_COLUMNS, MAX_MEGAPIXELS, MOST_MEGAPIXELS
from perception.core.types import PictureRef, SampleRef
from perception.io import schemas
from perception.io.buckets import is_bucket
from perception.runs import records

MAX_BYTES = 1 << 32  # a nuScenes of a million frames
MAX_NAME = 4096  # Linux has no longer paths
# What a line leaves out, since it holds for most layouts.
_USUAL: dict[str, Any] = {
    one.name: one.default
    for one in fields(SampleRef)
    if one.name in {"calibration", "upright", "max_megapixels", "outside", "columns"}
}


def _inside(name: str) -> str:
    if name.startswith("/") or "\0" in name or (".." in name and ".." in name.split("/")):
        raise ValueError(f"found {schemas.shown(name)}, expected a relative path without `..`")
    return name


def _place(root: str) -> str:
    if "\0" in root or not (root.startswith("/") or is_bucket(root)):
        raise ValueError(
            f"found {schemas.shown(root)}, expected an absolute path or s3://BUCKET/PATH"
        )
    return root


def _absolute(path: str) -> str:
    _inside(path.removeprefix("/"))
    if not path.startswith("/"):
        raise ValueError(f"found {schemas.shown(path)}, expected an absolute path")
    return path


_Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_inside)]


class _Picture(Settings):
    camera: _Name
    file_name: str


class _Line(Settings):
    """One line, see `SampleRef`; what most layouts leave out has a default."""

    shard: Annotated[int, Field(ge=0)]
    id: _Name
    layout: str
    root: Annotated[str, Field(max_length=MAX_NAME), AfterValidator(_place)]
    pictures: tuple[_Picture, ...]
    sweep_file: str
    calib_files: tuple[str, ...]
    calibration: str = ""
    upright: bool = False
    max_megapixels: Annotated[int, Field(ge=1, le=MOST_MEGAPIXELS)] = MAX_MEGAPIXELS
    outside: tuple[Annotated[str, Field(max_length=MAX_NAME), AfterValidator(_absolute)], ...] = ()
    columns: Annotated[int, Field(ge=0, le=MAX_COLUMNS)] = 0


_LINES = TypeAdapter(_Line)


@dataclass(frozen=True)
class Plan:
    """The samples of a run, cut into shards.

    Attributes:
        samples: In canonical order; where a run grew, in that of each part.
        shard_size: Samples in a shard, at most.
        grown_at: How many samples the run had when it grew and its last shard was not full: another
            shard begins there.
    """

    samples: tuple[SampleRef, ...]
    shard_size: int
    grown_at: tuple[int, ...] = ()

    @cached_property
    def _firsts(self) -> tuple[int, ...]:
        """The places where shards begin, and the end."""
        parts = pairwise((0, *self.grown_at, len(self.samples)))
        begins = (place for first, end in parts for place in range(first, end, self.shard_size))
        return (*begins, len(self.samples))

    def __len__(self) -> int:
        """Number of shards."""
        return len(self._firsts) - 1

    def first(self, index: int) -> int:
        """Return the place of a shard's first sample among all."""
        return self._firsts[index]

    def shard_of(self, place: int) -> int:
        """Return the shard of a sample, by its place among all."""
        return bisect_right(self._firsts, place) - 1

    def shard(self, index: int) -> tuple[SampleRef, ...]:
        """Return the samples of one shard."""
        return self.samples[self._firsts[index] : self._firsts[index + 1]]

    def grown(self, more: tuple[SampleRef, ...]) -> "Plan":
        """Return the plan with more samples at its end, in shards of their own."""
        count = len(self.samples)
        is_full = not count or (count - self._firsts[-2]) == self.shard_size
        grown_at = self.grown_at if is_full or not more else (*self.grown_at, count)
        return Plan((*self.samples, *more), self.shard_size, grown_at)

    def file_names(self) -> tuple[str, ...]:
        """Return the names of all pictures, relative to the source's root."""
        return tuple(picture.file_name for ref in self.samples for picture in ref.pictures)

    def to_bytes(self) -> bytes:
        """Return the plan as JSON lines."""
        lines = []
        for index in range(len(self)):
            for ref in self.shard(index):
                stated = asdict(ref)
                for name, usual in _USUAL.items():
                    if stated[name] == usual:
                        del stated[name]
                lines.append(f"{json.dumps({'shard': index, **stated}, sort_keys=True)}\n")
        return "".join(lines).encode()


def read(path: Path, sha256: str, shard_size: int) -> Plan:
    """Read a plan; one that lost its last lines would lose samples in silence.

    A file with more lines is that of a run which was stopped while it grew: they are left out.

    Args:
        path: The file.
        sha256: Of it, as `run.json` states.
        shard_size: Samples of a shard.

    Raises:
        RequestError: `run.damaged` if it is missing or not the plan of `sha256`; for a name that
            leads elsewhere, a sample that comes twice, a shard that is not a line's, no sample.
    """
    data = _beginning(records.read_bytes(path, MAX_BYTES), sha256)
    if data is None:
        raise RequestError(
            records.DAMAGED, f"{path}: is not the plan that run.json states; {records.AGAIN}"
        )
    samples = []
    seen: set[str] = set()
    grown_at = list[int]()
    shard, in_shard = -1, 0
    for number, line in enumerate(data.splitlines()):
        where = f"{path}:{number + 1}"
        one = schemas.parse(_LINES, line, where, records.DAMAGED, records.AGAIN)
        if one.shard != shard or in_shard == shard_size:
            if one.shard != shard + 1:
                expected = f"{shard} or {shard + 1}, for shards of at most {shard_size}"
                raise records.damaged(where, "shard", one.shard, expected, records.AGAIN)
            if 0 < in_shard < shard_size:
                grown_at.append(number)
            shard, in_shard = one.shard, 0
        in_shard += 1
        if one.id in seen:
            raise records.damaged(where, "id", one.id, "each sample once", records.AGAIN)
        cameras = {picture.camera for picture in one.pictures}
        if len(cameras) < len(one.pictures):
            found = [picture.camera for picture in one.pictures]
            raise records.damaged(where, "pictures", found, "each camera once", records.AGAIN)
        seen.add(one.id)
        samples.append(
            SampleRef(
                id=one.id,
                layout=one.layout,
                root=one.root,
                pictures=tuple(PictureRef(p.camera, p.file_name) for p in one.pictures),
                sweep_file=one.sweep_file,
                calib_files=one.calib_files,
                calibration=one.calibration,
                upright=one.upright,
                max_megapixels=one.max_megapixels,
                outside=one.outside,
                columns=one.columns,
            )
        )
    if not samples:
        raise records.damaged(path, "samples", 0, "one or more", records.AGAIN)
    return Plan(tuple(samples), shard_size, tuple(grown_at))


def earlier(plan: Plan) -> Iterator[str]:
    """Yield the sha256 of each plan that this one may have grown from: a shard ended there."""
    digest = hashlib.sha256()
    ends = {plan.first(index) for index in range(1, len(plan))}
    for number, line in enumerate(plan.to_bytes().splitlines(keepends=True), 1):
        digest.update(line)
        if number in ends:
            yield digest.hexdigest()


def _beginning(data: bytes, sha256: str) -> bytes | None:
    """Return the first lines of a plan that have a hash; None if no number of them has it."""
    if records.sha256(data) == sha256:
        return data
    digest, size = hashlib.sha256(), 0
    for line in data.splitlines(keepends=True):
        digest.update(line)
        size += len(line)
        if digest.hexdigest() == sha256:
            return data[:size]
    return None
