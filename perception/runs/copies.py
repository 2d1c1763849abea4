"""A run in a bucket: worked on and read in a local copy, which holds what is needed and no more.

Buckets have neither rename, nor append, nor lock; an object appears whole or not at all. So the
protocol is the folder's own: a shard is written and decided in the copy, then its Parquet file is
put, then its JSON file, which says that it is whole. Who starts brings the JSON files down and
compares the sizes that they state with the listing: a finished shard is neither fetched nor redone.
A worker on another machine has a copy of its own, and puts what it makes from there.
"""

import glob
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from perception.core.errors import RequestError
from perception.io import buckets
from perception.io.buckets import Bucket
from perception.io.files import TEMPORARY
from perception.runs import shards
from perception.runs.lock import LOCK, held_in
from perception.runs.timings import TIMINGS

SETTINGS, PLAN = "run.json", "plan.jsonl"
_AT_TOP = {SETTINGS, PLAN, "quarantine.jsonl", TIMINGS, LOCK}
_FOLDERS = ("evidence/", "labels/", "poison/", "corrections/", "preview/")


class RunCopy:
    """The local copy of a run.

    Attributes:
        bucket: Where the run is.
        place: The copy.
    """

    def __init__(self, bucket: Bucket, place: Path) -> None:
        self.bucket, self.place = bucket, place
        self._sizes: dict[str, int] = {}

    def list(self) -> dict[str, int]:
        """List what the run has there: names and bytes.

        Raises:
            RequestError: `run.occupied` for a place that holds something else; `bucket.*`.
        """
        self._sizes = self.bucket.sizes()
        if SETTINGS not in self._sizes and (others := set(self._sizes) - _AT_TOP):
            raise RequestError(
                "run.occupied",
                f"{self.bucket}: holds {sorted(others)[0]} and no run; choose another --out",
            )
        return self._sizes

    def bring(self, wanted: Callable[[str], bool]) -> None:
        """Copy what is wanted of a listing."""
        names = [
            name
            for name in self._sizes
            if (name in _AT_TOP or name.startswith(_FOLDERS)) and wanted(name)
        ]
        buckets.fetch_all(self.bucket, names, self.place)

    def bring_quarantined(self, folder: Path, indices: Iterable[int]) -> None:
        """Bring the shards of a label set that have quarantined samples: their reasons are there.

        Shards whose JSON file is not there, or damaged, are passed over.
        """
        names = []
        for index in indices:
            stated = shards.stated(folder, index)
            if stated and stated.samples.quarantined:
                names.append(f"{self._name(folder)}/{shards.shard_name(index)}.parquet")
        buckets.fetch_all(self.bucket, names, self.place)

    def bring_shard(self, folder: Path, index: int) -> None:
        """Bring a whole shard, if there is one."""
        stem = f"{self._name(folder)}/{shards.shard_name(index)}"
        if self.bucket.fetch(f"{stem}.json", self.place / f"{stem}.json"):
            self.bucket.fetch(f"{stem}.parquet", self.place / f"{stem}.parquet")

    def bring_stated(self, folder: Path, index: int) -> None:
        """Bring what a shard's JSON file states, whoever put it there."""
        name = f"{self._name(folder)}/{shards.shard_name(index)}.json"
        self.bucket.fetch(name, self.place / name)

    def bring_new(self, folder: Path) -> None:
        """Bring the files of a folder that are not here: another worker may have put some."""
        inside = self.bucket.beside(f"{self.bucket.path}/{self._name(folder)}")
        names = inside.sizes(deep=False)
        buckets.fetch_all(inside, (n for n in names if not (folder / n).exists()), folder)

    def has_shard(self, folder: Path, index: int) -> bool:
        """Tell whether a shard is whole there, by its JSON file here and the listing."""
        stated = shards.stated(folder, index)
        name = f"{self._name(folder)}/{shards.shard_name(index)}.parquet"
        return stated is not None and self._sizes.get(name) == stated.bytes

    def put(self, *names: str) -> None:
        """Put files of the copy there, one after the other."""
        for name in names:
            self.bucket.write(name, (self.place / name).read_bytes())

    def put_shard(self, folder: Path, index: int) -> None:
        """Put a shard there, data first."""
        stem = f"{self._name(folder)}/{shards.shard_name(index)}"
        self.put(f"{stem}.parquet", f"{stem}.json")

    def put_previews(self, stems: Iterable[str]) -> None:
        """Put the previews of some samples there, by the beginnings of their names."""
        for stem in stems:
            for path in sorted(self.place.glob(f"preview/{glob.escape(stem)}*")):
                if path.is_file():
                    self.put(self._name(path))

    def drop_data(self, folder: Path, index: int) -> None:
        """Drop a shard's data here: the copy of a long run stays small."""
        (folder / f"{shards.shard_name(index)}.parquet").unlink(missing_ok=True)

    def discard(self) -> None:
        """Delete the run there; its run.json last, so that what is left is still a run."""
        for name in sorted(self.list(), key=lambda name: (name == SETTINGS, name)):
            if name != LOCK:
                self.bucket.remove(name)
        self._sizes = {}

    def _name(self, path: Path) -> str:
        return path.relative_to(self.place).as_posix()


@contextmanager
def opened(address: str) -> Iterator[RunCopy]:
    """Make a copy of a run in a bucket, with nothing in it; it goes at the end."""
    bucket = buckets.parse(address)
    with buckets.scratch(bucket) as place:
        place.mkdir(parents=True)
        yield RunCopy(bucket, place)


def is_state(name: str) -> bool:
    """Tell what says how far a run is, and with which settings, from data and pictures."""
    return name.endswith((".json", ".jsonl")) and name != LOCK


@contextmanager
def reading(run: Path | str, *, evidence: bool = True) -> Iterator[Path]:
    """Give a run as a folder to read: itself, or a copy that goes at the end, without previews.

    Args:
        run: A folder, or an address in a bucket.
        evidence: Whether what the models saw is wanted.
    """
    if not buckets.is_bucket(run):
        yield Path(run)
        return
    with opened(str(run)) as copy:
        copy.list()
        copy.bring(
            lambda name: not name.startswith(("preview/", *(() if evidence else ("evidence/",))))
        )
        yield copy.place


@contextmanager
def reading_state(run: Path | str) -> Iterator[Path]:
    """Give what says how far a run is: itself, or a copy of what is small, and of the reasons."""
    if not buckets.is_bucket(run):
        yield Path(run)
        return
    with opened(str(run)) as copy:
        names = copy.list()
        copy.bring(lambda name: name == LOCK or is_state(name))
        for folder in {PurePosixPath(name).parent for name in names if name.startswith("labels/")}:
            copy.bring_quarantined(copy.place / folder, _indices(names, folder))
        yield copy.place


def _indices(names: Iterable[str], folder: PurePosixPath) -> list[int]:
    paths = [PurePosixPath(name) for name in names]
    return [
        int(path.stem)
        for path in paths
        if path.parent == folder and path.suffix == ".json" and path.stem.isdecimal()
    ]


@contextmanager
def changing(run: Path | str) -> Iterator[Path]:
    """Give a finished run as a folder to decide in again; what changed goes back, run.json last.

    Raises:
        RequestError: `run.locked`, `bucket.*`.
    """
    if not buckets.is_bucket(run):
        yield Path(run).resolve()
        return
    with opened(str(run)) as copy, held_in(copy.bucket) as check:
        copy.list()
        copy.bring(lambda name: name != LOCK and not name.startswith("preview/"))
        before = _states(copy.place)
        yield copy.place
        check()
        changed = {name for name, state in _states(copy.place).items() if before.get(name) != state}
        copy.put(*sorted(changed, key=_order))


def _order(name: str) -> tuple[bool, bool, str]:
    return name == SETTINGS, name.endswith(".json"), name


def _states(place: Path) -> dict[str, Any]:
    """Return what each file is: a rewritten one counts as changed."""
    found = {}
    for path in place.rglob("*"):
        if path.is_file() and path.name != LOCK and not path.name.startswith(TEMPORARY):
            stat = path.stat()
            found[path.relative_to(place).as_posix()] = stat.st_ino, stat.st_mtime_ns, stat.st_size
    return found
