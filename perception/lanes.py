"""Several samples looked at side by side, answered in order.

A network that runs on one core at a time, for as many images as there are cores, wastes less than
one that runs on all cores for one image: MobileSAM labels twice as many images on two cores.
"""

import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Seen = TypeVar("Seen")
Thing = TypeVar("Thing")


def side_by_side(calls: Iterable[Callable[[], Seen]], lanes: int) -> Iterator[Seen]:
    """Call what comes, `lanes` at the same time; with one lane in the caller's own thread.

    At most `lanes` + 1 calls are taken and not answered: that bounds the memory, and no lane waits
    for the next one.

    Args:
        calls: Taken from the caller's thread.
        lanes: At least 1.

    Yields:
        What the calls returned, in their order.

    Raises:
        Exception: what a call raises, in its place.
    """
    if lanes == 1:
        for call in calls:
            yield call()
        return
    pool = ThreadPoolExecutor(lanes)
    in_hand: deque[Future[Seen]] = deque()
    try:
        for call in calls:
            in_hand.append(pool.submit(call))
            if len(in_hand) > lanes:
                yield in_hand.popleft().result()
        while in_hand:
            yield in_hand.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


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
