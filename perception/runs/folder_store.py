"""A run in a folder, which every worker reaches under the same path: nothing is brought or put."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from perception.core.errors import RequestError
from perception.runs import lock, shards
from perception.runs.folder import (
    SETTINGS,
    Plan,
    RunSpec,
    begin,
    discard,
    refuse_occupied,
    take_back,
)


class FolderStore:
    """The run folder itself.

    Attributes:
        place: The run folder.
    """

    def __init__(self, place: Path) -> None:
        self.place = place

    @property
    def address(self) -> Path:
        """Return the run folder."""
        return self.place

    def bring(self, wanted: Callable[[str], bool]) -> None:
        """Copy nothing."""

    def bring_shard(self, folder: Path, index: int) -> None:
        """Copy nothing."""

    def bring_stated(self, folder: Path, index: int) -> None:
        """Copy nothing."""

    def bring_quarantined(self, folder: Path) -> None:
        """Copy nothing."""

    def bring_new(self, folder: Path) -> None:
        """Copy nothing."""

    def has_shard(self, folder: Path, index: int) -> bool:
        """Tell whether a shard is whole."""
        return shards.shard_is_whole(folder, index)

    def put(self, *names: str) -> None:
        """Put nothing."""

    def put_shard(self, folder: Path, index: int) -> None:
        """Put nothing."""

    def put_previews(self, stems: Iterable[str]) -> None:
        """Put nothing."""

    def drop(self, *names: str) -> None:
        """Delete files, by their names relative to the run."""
        for name in names:
            (self.place / name).unlink(missing_ok=True)

    def drop_shard(self, folder: Path, index: int) -> None:
        """Delete a shard, what says that it is whole first."""
        for ending in (".json", ".parquet"):
            (folder / f"{shards.shard_name(index)}{ending}").unlink(missing_ok=True)

    def drop_copy(self, folder: Path, index: int) -> None:
        """Delete nothing: the data is no copy."""

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
        """Hold the run folder while it is labelled; made if it does not exist. See `RunStore`."""
        refuse_occupied(self.place)
        is_new = not self.place.exists()
        try:
            with lock.held(self.place, break_lock):
                if overwrite and (self.place / SETTINGS).exists():
                    discard(self.place)
                begin(self.place, spec, plan, asked)
                try:
                    yield _stay_alive
                except RequestError:
                    take_back(self.place)
                    raise
        except RequestError:
            if is_new:
                with suppress(OSError):  # it holds something by now
                    self.place.rmdir()
            raise

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold nothing: who decides holds the folder."""
        yield

    @contextmanager
    def for_worker(self) -> Iterator[Path]:
        """Give a worker the folder itself."""
        yield self.place


def _stay_alive() -> None:
    """Do nothing: the process that holds a folder is asked whether it lives."""
