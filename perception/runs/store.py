"""Where a run is: in a folder, or in a bucket. Who works on runs asks the store, never which."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from perception.io import buckets
from perception.runs.bucket_store import BucketStore, copy_of
from perception.runs.bucket_store import is_state as is_state  # for all who bring by name
from perception.runs.folder import PLAN, SETTINGS, Plan, RunSpec
from perception.runs.folder_store import FolderStore
from perception.runs.lock import LOCK


class RunStore(Protocol):
    """A run, worked on in a folder of this machine.

    Of a run in a bucket that folder is a copy, which holds what was brought. To bring copies files
    from the bucket, to put copies them into it; of a run in a folder both do nothing.
    """

    @property
    def place(self) -> Path:
        """Return the folder to work in."""
        ...

    @property
    def address(self) -> Path | str:
        """Return where the run is, for people and for verbs: a folder, or a place in a bucket."""
        ...

    def bring(self, wanted: Callable[[str], bool]) -> None:
        """Bring the files that are wanted, by their names relative to the run.

        Raises:
            RequestError: `run.occupied` for a bucket's place with something else; `bucket.*`.
        """
        ...

    def bring_shard(self, folder: Path, index: int) -> None:
        """Bring a shard that is whole, if there is one.

        Args:
            folder: That of the evidence, or of a label set, in `place`.
            index: Number of the shard.
        """
        ...

    def bring_stated(self, folder: Path, index: int) -> None:
        """Bring a shard's JSON file."""
        ...

    def bring_quarantined(self, folder: Path) -> None:
        """Bring the shards of a label set with quarantined samples: the reasons are in the data."""
        ...

    def bring_new(self, folder: Path) -> None:
        """Bring the files of a folder that were put since."""
        ...

    def has_shard(self, folder: Path, index: int) -> bool:
        """Tell whether a shard is whole."""
        ...

    def put(self, *names: str) -> None:
        """Put files, by their names relative to the run, one after the other."""
        ...

    def put_shard(self, folder: Path, index: int) -> None:
        """Put a shard, data first."""
        ...

    def put_previews(self, stems: Iterable[str]) -> None:
        """Put the previews of some samples, by the beginnings of their names."""
        ...

    def drop(self, *names: str) -> None:
        """Delete files, by their names relative to the run, wherever they are."""
        ...

    def drop_shard(self, folder: Path, index: int) -> None:
        """Delete a shard, wherever it is; what says that it is whole first."""
        ...

    def drop_copy(self, folder: Path, index: int) -> None:
        """Delete a shard's data where it is a copy."""
        ...

    def begun(
        self,
        spec: RunSpec,
        plan: Plan,
        asked: str = "",
        *,
        overwrite: bool = False,
        break_lock: bool = False,
    ) -> AbstractContextManager[Callable[[], None]]:
        """Hold the run while it is labelled: a new one, or the same again.

        What is refused before any shard is taken back.

        Args:
            spec: Its settings.
            plan: Its samples.
            asked: See `folder.begin`.
            overwrite: Discard a run that is stored.
            break_lock: Take it from a holder that may be alive.

        Returns:
            A context that gives what to call now and then: it raises `run.locked` if somebody else
            holds the run by now.

        Raises:
            RequestError: `run.locked`, `run.occupied`, `run.mismatch`, see `folder.begin`;
                `bucket.*`.
        """
        ...

    def changing(self) -> AbstractContextManager[None]:
        """Bring a finished run to be decided again; what changed is put at the end, run.json last.

        Raises:
            RequestError: `run.locked`, `bucket.*`.
        """
        ...

    def for_worker(self) -> AbstractContextManager[Path]:
        """Give the folder of a worker that may be on another machine; it has the plan.

        Raises:
            RequestError: `disk.full`, `disk.read_only`; `bucket.*`.
        """
        ...


def at(place: Path, address: Path | str) -> RunStore:
    """Return the store of a run that is worked on in `place`."""
    if buckets.is_bucket(address):
        return BucketStore(buckets.parse(str(address)), place)
    return FolderStore(place)


@contextmanager
def opened(run: Path | str) -> Iterator[RunStore]:
    """Open a run by its folder or address; nothing is brought. A copy goes at the end."""
    is_bucket = buckets.is_bucket(run)
    folder = copy_of(buckets.parse(str(run))) if is_bucket else nullcontext(Path(run))
    with folder as place:
        yield at(place, run)


def beside(run: Path | str, number: int) -> str:
    """Return the number-th address of OUT, OUT-2, OUT-3, ...; a folder's is absolute."""
    first = _absolute(run)
    return first if number == 1 else f"{first}-{number}"


@contextmanager
def reading(run: Path | str, *, evidence: bool = True) -> Iterator[Path]:
    """Give a run as a folder to read: itself, or a copy that goes at the end, without previews.

    Args:
        run: A folder, or an address in a bucket.
        evidence: Whether what the models saw is wanted.
    """
    unwanted = ("preview/",) if evidence else ("preview/", "evidence/")
    with opened(run) as store:
        store.bring(lambda name: not name.startswith(unwanted))
        yield store.place


@contextmanager
def reading_state(run: Path | str) -> Iterator[Path]:
    """Give what says how far a run is: itself, or a copy of what is small, and of the reasons."""
    with opened(run) as store:
        store.bring(lambda name: name == LOCK or is_state(name))
        for label_set in store.place.glob("labels/*/"):
            store.bring_quarantined(label_set)
        yield store.place


@contextmanager
def changing(run: Path | str) -> Iterator[RunStore]:
    """Open a finished run to be decided again, see `RunStore.changing`."""
    with opened(_absolute(run)) as store, store.changing():
        yield store


def is_settings(name: str) -> bool:
    """Tell what says how a run was made, and of what, from all else."""
    return name in (SETTINGS, PLAN)


def _absolute(run: Path | str) -> str:
    return str(run).rstrip("/") if buckets.is_bucket(run) else str(Path(run).resolve())
