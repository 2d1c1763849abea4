"""Several samples looked at side by side.

A network that runs on one core at a time, for as many images as there are cores, wastes less than
one that runs on all cores for one image: MobileSAM labels twice as many images on two cores.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Seen = TypeVar("Seen")
Thing = TypeVar("Thing")


class _Door:
    """Lets a few in at the same time, in the order in which they were announced."""

    def __init__(self, at_once: int) -> None:
        self.changed = threading.Condition()
        self.outside: deque[Turn] = deque()
        self.room = at_once


class Turn:
    """A context in which a call has one of the things that are too few for all calls."""

    def __init__(self, door: _Door) -> None:
        self._door = door
        with door.changed:
            door.outside.append(self)

    def __enter__(self) -> None:
        """Wait for it."""
        door = self._door
        with door.changed:
            door.changed.wait_for(lambda: door.room and door.outside[0] is self)
            door.outside.popleft()
            door.room -= 1
            door.changed.notify_all()

    def __exit__(self, *_: object) -> None:
        """Let the next one in."""
        with self._door.changed:
            self._door.room += 1
            self._door.changed.notify_all()

    def give_up(self) -> None:
        """Let others pass; does nothing after it was taken."""
        with self._door.changed:
            if self in self._door.outside:
                self._door.outside.remove(self)
                self._door.changed.notify_all()


class Lanes(Generic[Seen]):
    """Threads that answer calls side by side; in each, a semaphore admits a few at a time.

    Each call is given a `Turn` to acquire, in the order of the calls. There is one thread more than
    may hold a turn at once: its call prepares meanwhile, or does what is left to do. At most one
    call more than there are threads is taken and not answered: that bounds the memory.
    """

    def __init__(self, at_once: int) -> None:
        """Start no thread yet: they start with the first calls, and are kept."""
        self._door = _Door(at_once)
        self._threads = at_once + 1
        self._pool = ThreadPoolExecutor(self._threads)
        self._in_hand: deque[Future[Seen]] = deque()

    def hand(self, call: Callable[[Turn], Seen]) -> Future[Seen]:
        """Begin a call, and return when there is room for the next.

        Raises:
            BaseException: what an earlier call raised: who goes on need not ask each for that.
        """
        answer = self._pool.submit(_answered, call, Turn(self._door))
        self._in_hand.append(answer)
        if len(self._in_hand) > self._threads:
            self._in_hand.popleft().result()
        return answer


def _answered(call: Callable[[Turn], Seen], turn: Turn) -> Seen:
    try:
        return call(turn)
    finally:
        turn.give_up()


class Spares(Generic[Thing]):
    """Things of which each is used by one thread at a time, made as they are needed."""

    def __init__(self, make: Callable[[], Thing]) -> None:
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
