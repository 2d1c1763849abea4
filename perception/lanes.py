"""Several samples looked at side by side.

A network that runs on one core at a time, for as many images as there are cores, wastes less than
one that runs on all cores for one image: MobileSAM labels twice as many images on two cores.
"""

import queue
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Seen = TypeVar("Seen")
Thing = TypeVar("Thing")


class Lanes(Generic[Seen]):
    """Threads that answer calls, a few at the same time.

    At most one call more than there are threads is taken and not answered: that bounds the memory,
    and no thread waits for the next one.
    """

    def __init__(self, threads: int) -> None:
        """Start none yet: they start with the first calls, and are kept."""
        self._pool = ThreadPoolExecutor(threads)
        self._threads = threads
        self._in_hand: deque[Future[Seen]] = deque()

    def hand(self, call: Callable[[], Seen]) -> Future[Seen]:
        """Begin a call, and return when there is room for the next.

        Raises:
            BaseException: what an earlier call raised: who goes on need not ask each for that.
        """
        answer = self._pool.submit(call)
        self._in_hand.append(answer)
        if len(self._in_hand) > self._threads:
            self._in_hand.popleft().result()
        return answer


class Spares(Generic[Thing]):
    """Things of which each is used by one thread at a time, made as they are needed."""

    def __init__(self, make: Callable[[], Thing]) -> None:
        """Make none yet."""
        self._make = make
        self._free: queue.SimpleQueue[Thing] = queue.SimpleQueue()

    def take(self) -> Thing:
        """Return one that nobody uses."""
        try:
            return self._free.get_nowait()
        except queue.Empty:
            return self._make()

    def give_back(self, thing: Thing) -> None:
        """Let others use it."""
        self._free.put(thing)
