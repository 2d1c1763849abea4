"""Reads samples before the models ask for them: files and decoders need no model."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from perception import sources
from perception.types import Sample, SampleRef

READERS = 2  # threads: one decodes while the other waits for a disk or an object store
AHEAD = 4  # samples in memory before they are needed, at most


class ReadAhead:
    """A context that loads samples in the order in which they will be asked for."""

    def __init__(self, refs: Iterable[SampleRef]) -> None:
        """Remember what will be asked for; nothing is read yet."""
        self._coming = iter(refs)
        self._pool = ThreadPoolExecutor(READERS)
        self._waiting: deque[Future[Sample]] = deque()

    def __enter__(self) -> Self:
        """Begin to read."""
        self._fill()
        return self

    def __exit__(self, *_: object) -> None:
        """Read no more."""
        self._pool.shutdown(cancel_futures=True)

    def take(self) -> Callable[[SampleRef], Sample]:
        """Return what gives the next sample of the order, and raises as loading it did."""
        coming = self._waiting.popleft()
        self._fill()
        return lambda ref: coming.result()

    def _fill(self) -> None:
        while len(self._waiting) < AHEAD and (ref := next(self._coming, None)) is not None:
            self._waiting.append(self._pool.submit(sources.load_sample, ref))
