"""Keeps one child process at work, and finds the sample that kills it.

Two threads may ask at once: while one shard is written and decided, the models see the next. If the
child dies then, it is not certain whose fault that is: what was in hand is done again, each shard
alone. A sample in whose hands a child dies twice, the second time alone, is poisoned: remembered in
the run folder, and quarantined as `process.crash` when its shard is done again. A child that says
nothing for `config.hang_s` seconds is killed, which counts as a death.
"""

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Self

from perception.core.errors import RequestError
from perception.execution.effort import Effort
from perception.execution.handle import Child, ChildDiedError, Message
from perception.execution.job import NO_SAMPLE, Job
from perception.runs import poison

LANES = 2  # threads that keep a child at work: one for the models, one for what comes after
DEATHS_ALLOWED = 1  # the second death in the same sample's hands is its fault


class AbandonedError(Exception):
    """The run ends: nobody waits for this shard any more."""


class SetAsideError(Exception):
    """The run shall stop: a shard is not whole, what was seen of it is kept."""


def nothing(place: int) -> None:
    """Tell nobody which sample is begun, or seen."""


class Supervisor:
    """A context that serves shards through a child process."""

    def __init__(self, job: Job) -> None:
        """Remember the job; the child starts with the context."""
        self._job = job
        self._run = Path(job.run)
        self._store = job.store()
        self._deaths: Counter[tuple[int, int]] = Counter()
        self._alone: set[int] = set()  # shards that were in hand when a child died
        self._models = threading.Lock()  # held while the models see a shard
        self._restart = threading.Lock()
        self._child: Child | None = None
        self._abandoned = False

    def __enter__(self) -> Self:
        """Start the child and wait until its models are loaded.

        Raises:
            RequestError: what the child raised while loading, or `process.crash` if it died.
        """
        self._running_child()
        return self

    def __exit__(self, *_: object) -> None:
        """End the child."""
        self._abandoned = True
        with self._restart:
            self._stop()

    def abandon(self) -> None:
        """Kill the child, from another thread; who waits for it gets `AbandonedError`."""
        self._abandoned = True
        child = self._child
        if child is not None:
            child.kill()

    def stop(self) -> None:
        """Let the child begin no other sample, from any thread; shards raise `SetAsideError`."""
        child = self._child
        if child is not None:
            with suppress(ChildDiedError):  # then there is nothing to stop
                child.send(stop=True)

    def stacks(self) -> str:
        """Return where each thread of the child is; "" if it cannot say."""
        child = self._child
        return "" if child is None else child.stacks()

    def do_shard(
        self,
        index: int,
        begin: Callable[[int], None] = nothing,
        seen: Callable[[int], None] = nothing,
    ) -> Effort:
        """Make one shard whole, however often the child dies over it.

        Args:
            index: Number of the shard.
            begin: Called with a sample's place as it is begun.
            seen: Called with a sample's place when the models have seen it.

        Returns:
            What it took, by the child that finished it.

        Raises:
            RequestError: `process.crash`, `disk.full` and whatever else the child reports.
            AbandonedError: after `abandon`.
            SetAsideError: after `stop`.
        """
        done = None
        while done is None:
            with self._models:
                done = self._try(index, begin, seen)
        return done()

    def do_next(
        self, take: Callable[[], int | None], seen: Callable[[int, int], None]
    ) -> tuple[int, Effort] | None:
        """Make a shard whole, which is asked for when the models are free; None without one.

        Args:
            take: Asks for its number.
            seen: Called with it and with a sample's place when the models have seen that.
        """
        with self._models:
            index = take()
            if index is None:
                return None
            tell = partial(seen, index)
            done = self._try(index, nothing, tell)
        return index, done() if done is not None else self.do_shard(index, nothing, tell)

    def _try(
        self, index: int, begin: Callable[[int], None], seen: Callable[[int], None]
    ) -> Callable[[], Effort] | None:
        """Show a shard to the models.

        Returns:
            What waits until it is whole; None if the child died meanwhile.
        """
        child, alone, place = self._running_child(), index in self._alone, NO_SAMPLE

        def hear_until(*words: str) -> Message:
            nonlocal place
            while not {*words} & (message := child.answer(index)).keys():
                if "seen" in message:
                    seen(message["seen"])
                    continue
                place = message["begin"]
                if place != NO_SAMPLE:
                    begin(place)
            return message

        def whole() -> Effort:
            nonlocal place
            hear_until("observed")
            place = NO_SAMPLE
            message = hear_until("done", "aside")
            if "aside" in message:
                raise SetAsideError
            return Effort(**message["done"])

        try:
            child.send(shard=index, poisoned=sorted(self._poisoned(index)), alone=alone)
            hear_until("taken")
            effort = whole() if alone else None
        except ChildDiedError as death:
            self._record_death(index, place, str(death))
            return None
        if effort is not None:
            return lambda: effort

        def wait() -> Effort:
            try:
                return whole()
            except ChildDiedError as death:
                self._record_death(index, place, str(death))
            return self.do_shard(index, begin, seen)

        return wait

    def _record_death(self, index: int, place: int, how: str) -> None:
        if self._abandoned:
            raise AbandonedError
        self._deaths[index, place] += 1
        if index not in self._alone:  # perhaps another shard's fault, or a sample's read ahead
            self._alone.add(index)
        elif self._deaths[index, place] > DEATHS_ALLOWED:
            if place == NO_SAMPLE:  # the disk: no sample to leave out
                raise RequestError("process.crash", f"shard {index}: the worker died twice: {how}")
            self._store.put(poison.write(self._run, index, place, how))

    def _poisoned(self, index: int) -> set[int]:
        self._store.bring_new(self._run / poison.FOLDER)
        return poison.places(self._run, index)

    def _running_child(self) -> Child:
        """Return the child, a new one if it has died."""
        with self._restart:
            if self._abandoned:
                raise AbandonedError
            if self._child is not None and not self._child.has_ended:
                return self._child
            self._stop()
            self._child = child = Child(self._job)
            try:
                child.wait_until_ready()
            except ChildDiedError as death:
                self._stop()
                raise RequestError(
                    "process.crash", f"the worker died while loading: {death}"
                ) from death
            except BaseException:  # __exit__ is not called when __enter__ fails
                self._stop()
                raise
            return child

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.close()
