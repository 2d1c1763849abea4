"""What work costs: seconds, the share of them in which the models were at work, memory."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from perception.labeling.pipeline import Models
from perception.runs.timings import peak_bytes


@dataclass(frozen=True)
class Effort:
    """What a worker spent on a shard.

    Attributes:
        seconds: From the end of its shard before, or of loading.
        busy_s: Of these, inside a model.
        peak_bytes: Largest resident memory of the worker so far.
        worker: Host and process.
    """

    seconds: float = 0.0
    busy_s: float = 0.0
    peak_bytes: int = 0
    worker: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


Done = Callable[[int, Effort], None]  # a shard that is whole
See = Callable[[int, int], None]  # a sample that was seen: its shard, its place there


class Meter:
    """Watches the models of one worker."""

    def __init__(self) -> None:
        self._busy_s = 0.0
        self._since = time.perf_counter()
        self._lock = threading.Lock()
        self._at_work, self._at_work_since = 0, 0.0

    def watch(self, models: Models) -> Models:
        """Return the same models, their time counted."""
        watched = {
            field.name: _Watched(getattr(models, field.name), self)
            for field in fields(models)
            if callable(getattr(models, field.name))
        }
        return replace(models, **watched)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Count the time inside a model; where several are at work side by side, once."""
        with self._lock:
            if not self._at_work:
                self._at_work_since = time.perf_counter()
            self._at_work += 1
        try:
            yield
        finally:
            with self._lock:
                self._at_work -= 1
                if not self._at_work:
                    self._busy_s += time.perf_counter() - self._at_work_since

    def lap(self) -> Effort:
        """Return the effort since the last lap."""
        worker = f"{socket.gethostname()}:{os.getpid()}"
        with self._lock:
            now = time.perf_counter()
            effort = Effort(now - self._since, self._busy_s, peak_bytes(), worker)
            self._since, self._busy_s = now, 0.0
        return effort


class _Watched:
    def __init__(self, model: Callable[..., Any], meter: Meter) -> None:
        self._model, self._meter = model, meter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        with self._meter.at_work():
            return self._model(*arguments, **options)
