"""A bar that moves below a notebook's cell while a verb works."""

import html
import importlib
import logging
import sys
import time
from typing import Any, Self

from perception.core.progress import LOG, Pace, Step, told

REFRESH_S = 0.3


def is_one() -> bool:
    """Tell whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


def bar_html(phase: str, step: Step | None, pace: Pace, now_s: float) -> str:
    """Return the bar: what is done now; where things are counted how many, how fast, how long."""
    if step is None or not step.total:
        return f"<div>{html.escape(phase or 'starting')}</div>"
    said = told(step, pace, now_s)
    said.append(phase if step.done >= step.total else step.name)
    text = html.escape(" · ".join(part for part in said if part))
    return f'<div><progress value="{step.done}" max="{step.total}"></progress> {text}</div>'


class Bar(logging.Handler):
    """A context: hears phases and steps and shows them in one line, which stays at the end."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._phase, self._pace, self._drawn_s = "", Pace(), float("-inf")
        self._step: Step | None = None
        self._shown: Any = None

    def __enter__(self) -> Self:
        """Listen."""
        self._level = LOG.level
        LOG.setLevel(logging.DEBUG)
        LOG.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Draw what was said last, and listen no more."""
        LOG.removeHandler(self)
        LOG.setLevel(self._level)
        self._draw()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a phase or a step; the line is drawn a few times a second at most."""
        said = getattr(record, "step", None)
        now_s = time.monotonic()
        if isinstance(said, Step):
            if self._step is not None and said.total != self._step.total:
                self._pace = Pace()
            self._pace.add(now_s, said.done)
            self._step = said
        else:
            self._phase = record.getMessage()
        if now_s - self._drawn_s >= REFRESH_S:
            self._drawn_s = now_s
            self._draw()

    def note(self, text: str) -> None:
        """Show a sentence that stays."""
        _show(f"<div>note: {html.escape(text)}</div>")

    def _draw(self) -> None:
        drawn = bar_html(self._phase, self._step, self._pace, time.monotonic())
        if self._shown is None:
            self._shown = _show(drawn)
        else:
            self._shown.update(_markup(drawn))


def _markup(text: str) -> Any:
    return importlib.import_module("IPython.display").HTML(text)


def _show(text: str) -> Any:
    return importlib.import_module("IPython.display").display(_markup(text), display_id=True)
