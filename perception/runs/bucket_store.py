"""A run in a bucket: worked on and read in a local copy, which holds what is needed and no more.

Buckets have neither rename, nor append, nor lock; an object appears whole or not at all. So the
protocol is the folder's own: a shard is written and decided in the copy, then its Parquet file is
put, then its JSON file, which says that it is whole. Who starts brings the JSON files down and
compares the sizes that they state with the listing: a finished shard is neither fetched nor redone.
A worker on another machine has a copy of its own, and puts what it makes from that.
"""

import glob
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from perception.core.errors import BucketError, RequestError
from perception.io import buckets
from perception.io.buckets import Bucket
from perception.io.files import TEMPORARY, storage_faults
from perception.runs import log, shards
from perception.runs.folder import PLAN, SETTINGS, Plan, RunSpec, begin
from perception.runs.lock import LOCK, held_in
from perception.runs.timings import TIMINGS

LOOK_S = 30.0  # between two looks at the lock of a run that is being labelled
_QUARANTINE = "quarantine.jsonl"
_AT_TOP = {SETTINGS, PLAN, _QUARANTINE, TIMINGS, log.FILE, LOCK}
_FOLDERS = ("evidence/", "labels/", "poison/", "corrections/", "preview/")


class BucketStore:
    """The run in a bucket, by way of a copy.

    Attributes:
        place: The copy.
        bucket: Where the run is.
    """

    def __init__(self, bucket: Bucket, place: Path) -> None:
        self.bucket, self.place = bucket, place
        self._listing: dict[str, int] | None = None

    @property
    def address(self) -> str:
        """Return where the run is."""
        return str(self.bucket)

    def list(self) -> dict[str, int]:
        """List what the run has in the bucket: names and bytes.

        Raises:
            RequestError: `run.occupied` for a place that holds something else; `bucket.*`.
        """
        self._listing = sizes = self.bucket.sizes()
        if SETTINGS not in sizes and (others := set(sizes) - _AT_TOP):
            raise RequestError(
                "run.occupied",
                f"{self.bucket}: holds {sorted(others)[0]} and no run; choose another --out",
            )
        return sizes

    def bring(self, wanted: Callable[[str], bool]) -> None:
        """Copy the files that are wanted, by the latest listing; raises as `list`."""
        names = [
            name
            for name in self._sizes()
            if (name in _AT_TOP or name.startswith(_FOLDERS)) and wanted(name)
        ]
        buckets.fetch_all(self.bucket, names, self.place)

    def bring_shard(self, folder: Path, index: int) -> None:
        """Copy a shard that is whole in the bucket and not in the copy."""
        stem = self._stem(folder, index)
        if shards.shard_is_whole(folder, index):
            return
        if self.bucket.fetch(f"{stem}.json", self.place / f"{stem}.json"):
            self.bucket.fetch(f"{stem}.parquet", self.place / f"{stem}.parquet")

    def bring_stated(self, folder: Path, index: int) -> None:
        """Copy what a shard's JSON file states, whoever put it."""
        name = f"{self._stem(folder, index)}.json"
        self.bucket.fetch(name, self.place / name)

    def bring_quarantined(self, folder: Path) -> None:
        """Copy the shards with quarantined samples, of those whose JSON files the copy has.

        Damaged JSON files are passed over.
        """
        names = []
        for path in sorted(folder.glob("*.json")):
            if not path.stem.isdecimal():
                continue
            stated = shards.stated(folder, int(path.stem))
            if stated and stated.samples.quarantined:
                names.append(f"{self._stem(folder, int(path.stem))}.parquet")
        buckets.fetch_all(self.bucket, names, self.place)

    def bring_new(self, folder: Path) -> None:
        """Copy the files of a folder that the copy lacks: another worker may have put some."""
        inside = self.bucket.beside(f"{self.bucket.path}/{self._name(folder)}")
        names = inside.sizes(deep=False)
        buckets.fetch_all(inside, (n for n in names if not (folder / n).exists()), folder)

    def has_shard(self, folder: Path, index: int) -> bool:
        """Tell whether a shard is whole, by its JSON file in the copy and the latest listing."""
        stated = shards.stated(folder, index)
        name = f"{self._stem(folder, index)}.parquet"
        return stated is not None and self._sizes().get(name) == stated.bytes

    def put(self, *names: str) -> None:
        """Put files of the copy into the bucket, one after the other."""
        for name in names:
            self.bucket.write(name, (self.place / name).read_bytes())

    def put_shard(self, folder: Path, index: int) -> None:
        """Put a shard, data first."""
        stem = self._stem(folder, index)
        self.put(f"{stem}.parquet", f"{stem}.json")

    def put_previews(self, stems: Iterable[str]) -> None:
        """Put the previews of some samples, by the beginnings of their names."""
        for stem in stems:
            for path in sorted(self.place.glob(f"preview/{glob.escape(stem)}*")):
                if path.is_file():
                    self.put(self._name(path))

    def drop(self, *names: str) -> None:
        """Delete files, by their names relative to the run, in the bucket and in the copy."""
        for name in names:
            if name in self._sizes():
                self.bucket.remove(name)
                del self._sizes()[name]
            (self.place / name).unlink(missing_ok=True)

    def drop_shard(self, folder: Path, index: int) -> None:
        """Delete a shard, what says that it is whole first."""
        stem = self._stem(folder, index)
        self.drop(f"{stem}.json", f"{stem}.parquet")

    def drop_copy(self, folder: Path, index: int) -> None:
        """Delete the copy of a shard's data: the copy of a long run stays small."""
        (folder / f"{shards.shard_name(index)}.parquet").unlink(missing_ok=True)

    @contextmanager
    def begun(
        self,
        spec: RunSpec,
        plan: Plan,
        asked: str = "",
        *,
        overwrite: bool = False,
        break_lock: bool = False,
    ) -> Iterator[Callable[[], None]]:
        """Hold the run while it is labelled; the counts are put at the end. See `RunStore`."""
        with held_in(self.bucket, break_lock) as check:
            self.list()
            if overwrite and (self.place / SETTINGS).exists():
                self._discard()
                (self.place / SETTINGS).unlink()
            self.bring(is_state)
            begin(self.place, spec, plan, asked)
            self.put(PLAN, SETTINGS)
            try:
                yield self._keep_alive(check)
            except BucketError:  # it would fail again
                raise
            except RequestError:
                if not any(name.startswith(("evidence/", "poison/")) for name in self.list()):
                    self._discard()
                raise
            check()
            self.put(_QUARANTINE, TIMINGS, log.FILE, SETTINGS)

    def _keep_alive(self, check: Callable[[], None]) -> Callable[[], None]:
        looked = time.monotonic()

        def keep_alive() -> None:
            nonlocal looked
            if time.monotonic() - looked >= LOOK_S:
                check()
                self.put(TIMINGS)
                looked = time.monotonic()

        return keep_alive

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold a finished run, copied whole; what changed is put at the end, run.json last."""
        with held_in(self.bucket) as check:
            self.list()
            self.bring(lambda name: name != LOCK and not name.startswith("preview/"))
            before = _states(self.place)
            yield
            check()
            states = _states(self.place)
            changed = {name for name, state in states.items() if before.get(name) != state}
            self.put(*sorted(changed, key=_order))

    @contextmanager
    def for_worker(self) -> Iterator[Path]:
        """Give a worker a copy of its own, which begins with the plan and goes at the end."""
        with copy_of(self.bucket) as place:
            with storage_faults(place / PLAN):
                self.bucket.fetch(PLAN, place / PLAN, whole=True)
            yield place

    def _discard(self) -> None:
        """Delete the run in the bucket; its run.json last, so that what is left is still a run."""
        for name in sorted(self.list(), key=lambda name: (name == SETTINGS, name)):
            if name != LOCK:
                self.bucket.remove(name)
        self._listing = {}

    def _sizes(self) -> dict[str, int]:
        return self.list() if self._listing is None else self._listing

    def _stem(self, folder: Path, index: int) -> str:
        return f"{self._name(folder)}/{shards.shard_name(index)}"

    def _name(self, path: Path) -> str:
        return path.relative_to(self.place).as_posix()


@contextmanager
def copy_of(bucket: Bucket) -> Iterator[Path]:
    """Make a folder for the copy of a run; it goes at the end."""
    with buckets.scratch(bucket) as place:
        place.mkdir(parents=True)
        yield place


def is_state(name: str) -> bool:
    """Tell what says how far a run is, and with which settings, from data and pictures."""
    return name == log.FILE or (name.endswith((".json", ".jsonl")) and name != LOCK)


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
