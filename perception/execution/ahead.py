"""Reads the pictures of samples before the models ask for them."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from perception.core.types import Picture, SampleRef
from perception.readers import sources

READERS = 2  # threads: one decodes while the other waits for a disk or an object store
AHEAD = 3  # samples whose pictures are in memory before they are needed, at most


class Readers:
    """Threads that load the pictures of samples in the order in which they are asked for."""

    def __init__(self) -> None:
        """Start none yet: they start with the first sample, and are kept."""
        self._pool = ThreadPoolExecutor(READERS)

    def ahead(self, refs: Iterable[SampleRef]) -> "ReadAhead":
        """Begin to read some samples."""
        return ReadAhead(self._pool, refs)


class ReadAhead:
    """Pictures that are being read, sample by sample."""

    def __init__(self, pool: ThreadPoolExecutor, refs: Iterable[SampleRef]) -> None:
        self._coming = iter(refs)
        self._pool = pool
        self._waiting: deque[Future[tuple[Picture, ...]]] = deque()
        self._fill()

    def take(self) -> Callable[[SampleRef], tuple[Picture, ...]]:
        """Return a function that gives the next pictures of the order, or raises as loading did."""
        coming = self._waiting.popleft()
        self._fill()
        return lambda ref: coming.result()

    def _fill(self) -> None:
        while len(self._waiting) < AHEAD and (ref := next(self._coming, None)) is not None:
            self._waiting.append(self._pool.submit(sources.load_pictures, ref))
