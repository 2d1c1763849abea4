"""Shows on stderr how far a verb is: a line that moves, plain lines, or JSON lines.

What is said (`core/progress.py`) comes as records of logging. No verb is silent for long: a line on
a terminal moves by itself, and plain lines come at least every `HEARTBEAT_S` seconds. What ends
sooner than the first line is due shows nothing.
"""

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from perception.core.progress import LOG, Pace, Step, clock, told

Form = Literal["terminal", "plain", "json", "quiet"]
PATIENCE_S = 0.5  # before the first line on a terminal
PLAIN_S = 5.0  # before the first plain line, and between two, at least
HEARTBEAT_S = 8.0  # and at most
TICK_S = 0.25
NAME_LENGTH = 40


@dataclass(frozen=True)
class State:
    """What was said last.

    Attributes:
        phase: In words; "" before the first.
        since_s: When it was said.
        step: How many things are done; None where things are not counted.
        now: The phase where it was said after the step: what the next step waits for.
    """

    phase: str = ""
    since_s: float = 0.0
    step: Step | None = None
    now: str = ""


def line_of(state: State, pace: Pace, now_s: float) -> str:
    """Return the line for people: "labelling · 12/40 · 0.83/s · 0:34 left · 000123.png"."""
    step, waited = state.step, clock(now_s - state.since_s)
    if step is None or not step.total:
        return f"{state.phase or 'starting'} · {waited}"
    parts = told(step, pace, now_s)
    name = step.name if len(step.name) <= NAME_LENGTH else f"...{step.name[3 - NAME_LENGTH :]}"
    parts.append(f"{state.now} · {waited}" if state.now else name)
    return " · ".join(part for part in parts if part)


def object_of(state: State, pace: Pace, now_s: float) -> dict[str, Any]:
    """Return the same for programs."""
    step = state.step
    shown: dict[str, Any] = {"phase": state.phase}
    if step is not None and step.total:
        per_s, left_s = pace.per_s(now_s), pace.left_s(now_s, step.total)
        shown |= {"done": step.done, "total": step.total, "name": step.name}
        shown["per_s"] = None if per_s is None else round(per_s, 3)
        shown["left_s"] = None if left_s is None else round(left_s, 1)
    return shown


class Display(logging.Handler):
    """A context: hears what is said, and shows it until it ends."""

    def __init__(self, form: Form, *, verbose: bool = False) -> None:
        """Show nothing yet.

        Args:
            form: How to show it.
            verbose: Keep each phase on a line of its own.
        """
        super().__init__(logging.DEBUG)
        self._form, self._verbose = form, verbose
        self._state, self._pace = State(since_s=time.monotonic()), Pace()
        self._changed = threading.Event()
        self._ended = threading.Event()
        self._one = threading.RLock()
        self._live: Any = None
        self._thread = threading.Thread(target=self._tick, daemon=True)
        self._started_s = self._told_s = time.monotonic()
        self._told = self._state

    def __enter__(self) -> Self:
        """Listen."""
        self._level = LOG.level
        LOG.setLevel(logging.DEBUG)
        LOG.addHandler(self)
        if self._form != "quiet":
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the line away."""
        self.end()
        LOG.removeHandler(self)
        LOG.setLevel(self._level)

    def end(self) -> None:
        """Show nothing more: results follow."""
        self._ended.set()
        with self._one:
            live, self._live = self._live, None
        if live is not None:
            live.stop()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a phase or a step."""
        said = getattr(record, "step", None)
        now_s = time.monotonic()
        if isinstance(said, Step):
            if self._state.step is not None and said.total != self._state.step.total:
                self._pace = Pace()
            self._pace.add(now_s, said.done)
            moved = self._state.step is None or said.done != self._state.step.done
            now = "" if moved else self._state.now
            self._state = replace(self._state, step=said, now=now, since_s=now_s)
            return
        text = record.getMessage()
        step = self._state.step
        over = step is not None and step.done >= step.total
        self._state = State(text, now_s, None if over else step, "" if over else text)
        if self._verbose and self._form in ("terminal", "plain"):
            self.note(text)

    def note(self, text: str) -> None:
        """Write a line that stays, above the one that moves."""
        if self._form == "json":
            return
        with self._one:
            if self._live is not None:
                self._live.console.print(text, highlight=False, markup=False)
            else:
                sys.stderr.write(f"{text}\n")
                sys.stderr.flush()

    def _tick(self) -> None:
        while not self._ended.wait(TICK_S):
            now_s = time.monotonic()
            if self._form == "terminal":
                if now_s - self._started_s >= PATIENCE_S:
                    self._move()
                continue
            waited_s = now_s - self._told_s
            if waited_s >= HEARTBEAT_S or (self._state != self._told and waited_s >= PLAIN_S):
                self._told, self._told_s = self._state, now_s
                shown: str = (
                    json.dumps(object_of(self._state, self._pace, now_s), sort_keys=True)
                    if self._form == "json"
                    else line_of(self._state, self._pace, now_s)
                )
                sys.stderr.write(f"{shown}\n")
                sys.stderr.flush()

    def _move(self) -> None:
        with self._one:
            if self._ended.is_set():
                return
            if self._live is None:
                from rich.console import Console
                from rich.live import Live
                from rich.spinner import Spinner

                self._spinner = Spinner("dots")
                self._live = Live(
                    self._spinner,
                    console=Console(stderr=True),
                    transient=True,
                    refresh_per_second=8,
                )
                self._live.start()
            from rich.text import Text

            line = line_of(self._state, self._pace, time.monotonic())
            self._spinner.update(text=Text(line, no_wrap=True, overflow="ellipsis"))


SHOWN: ContextVar[Display | None] = ContextVar("SHOWN", default=None)  # of the command that runs


@contextmanager
def shown(form: Form, *, verbose: bool = False) -> Iterator[Display]:
    """Show how far the work in this context is."""
    with Display(form, verbose=verbose) as display:
        before = SHOWN.set(display)
        try:
            yield display
        finally:
            SHOWN.reset(before)


def end() -> None:
    """Take the line away before results are written."""
    display = SHOWN.get()
    if display is not None:
        display.end()


def note(text: str) -> None:
    """Write a line that stays, on stderr."""
    display = SHOWN.get()
    writes: Callable[[str], Any] = display.note if display else lambda t: sys.stderr.write(f"{t}\n")
    writes(text)
