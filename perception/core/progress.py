"""How far a verb is: its phase in words, and how many of how many things are done.

Said by code anywhere, in any thread, as records of Python's logging: the command line shows them
(`cli/display.py`), a worker process sends them to its driver, a run keeps them in `log.txt`, and a
program that embeds this package adds a handler of its own to the logger "perception".
"""

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

LOG = logging.getLogger("perception")
WINDOW_S = 30.0  # seconds that "lately" means
Item = TypeVar("Item")


@dataclass(frozen=True)
class Step:
    """How many things are done.

    Attributes:
        done: Of them.
        total: In all.
        name: The one that was done last, or is in hand; "" for none.
    """

    done: int
    total: int
    name: str = ""


class Progress(Protocol):
    """Is told how far something is; may raise `Interrupted`."""

    def __call__(self, done: int, total: int, name: str = "") -> None:
        """Take the number of things that are done, of all, and the name of the last one."""
        ...


def phase(text: str) -> None:
    """Say what is done now, for people: "reading mobile_sam.pt, once"."""
    LOG.info("%s", text)


def step(done: int, total: int, name: str = "") -> None:
    """Say how many things are done; this is a `Progress`."""
    LOG.debug("%d/%d %s", done, total, name, extra={"step": Step(done, total, name)})


def each(items: Iterable[Item], total: int, doing: str) -> Iterator[Item]:
    """Yield things one by one, and say what is done with them and how many are done."""
    phase(doing)
    yield from counted(items, total)


def counted(items: Iterable[Item], total: int) -> Iterator[Item]:
    """Yield things one by one, and say how many are done."""
    step(0, total)
    for number, item in enumerate(items, 1):
        yield item
        step(number, total)


class Pace:
    """Things per second, lately: what the time that is left is taken from."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, now_s: float, done: int) -> None:
        """Take how many things are done by now; fewer than before begin anew."""
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()
        if not self._seen or done > self._seen[-1][1]:
            self._seen.append((now_s, done))
        while len(self._seen) > 2 and now_s - self._seen[1][0] > WINDOW_S:
            self._seen.popleft()

    def per_s(self, now_s: float) -> float | None:
        """Return things per second, lately; None before two counts are known.

        Where the next thing takes longer than those before, the pace falls while one waits.
        """
        if len(self._seen) < 2:
            return None
        (first_s, first), (last_s, last) = self._seen[0], self._seen[-1]
        usual_s = (last_s - first_s) / (last - first)
        waited_s = max(now_s - last_s - usual_s, 0.0)
        spent_s = last_s - first_s + waited_s
        return (last - first) / spent_s if spent_s > 0 else None

    def left_s(self, now_s: float, total: int) -> float | None:
        """Return the seconds that the things which are not done will take; None if not known."""
        per_s = self.per_s(now_s)
        return None if per_s is None else (total - self._seen[-1][1]) / per_s


def told(step: Step, pace: Pace, now_s: float) -> list[str]:
    """Return how many things are done, how fast, and how long the others take: "12/40", ..."""
    parts = [f"{step.done}/{step.total}"]
    per_s, left_s = pace.per_s(now_s), pace.left_s(now_s, step.total)
    if per_s is not None and left_s is not None and step.done < step.total:
        parts += [rate(per_s), f"{clock(left_s)} left"]
    return parts


def clock(seconds: float) -> str:
    """Return a duration as a clock shows it: 0:35, 12:07, 1:02:03."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def rate(per_s: float) -> str:
    """Return a pace for people: 12/s, 0.83/s; of what takes longer than ten seconds 5.2/min."""
    return f"{per_s:.2g}/s" if per_s >= 0.1 else f"{per_s * 60:.2g}/min"
