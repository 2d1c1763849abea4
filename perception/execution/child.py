"""The process that does the work: a Worker that hears of shards on stdin and answers on stdout.

Lines of JSON both ways. In: the job, then {"shard": 3, "poisoned": [2], "alone": false} per shard,
and {"stop": true} when no other sample shall be begun. Out: {"ready": true}; {"note": words} for
people; {"shard": 3, "begin": place} before the models see a sample and before its sweep is read;
{"shard": 3, "seen": place} when they have seen it; {"shard": 3, "taken": true} when the models are
left with its last ones and the next shard is wanted; {"shard": 3, "observed": true} when they have
seen all; {"shard": 3, "done": {effort}} when it is whole; {"shard": 3, "aside": true} when it was
stopped, and what was seen is kept; or {"error": {...}}. A shard is written and decided while the
models see the next one, unless it is to be done alone.

It runs apart from its supervisor because a model can crash, exit or be killed, and the frame that
did it must be found.
"""

import faulthandler
import json
import logging
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from perception.core.errors import PerceptionError
from perception.core.progress import LOG, phase
from perception.execution.job import Job
from perception.execution.process import end_with, ignore_signals

SWITCH_S = 0.0005  # seconds that one thread may keep the interpreter while another wants it


class _Answers:
    """Stdout, for two threads."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # whatever libraries print must not mix with the answers
        self._lock = threading.Lock()

    def __call__(self, **value: Any) -> None:
        with self._lock:
            self._stream.write(json.dumps(value) + "\n")
            self._stream.flush()

    @contextmanager
    def last(self) -> Iterator[None]:
        """End the process with an answer that says what went wrong."""
        try:
            yield
            return
        except PerceptionError as error:
            self(error={"code": error.code, "message": error.message})
        except OSError as error:  # a full or read-only disk: not one sample's fault
            self(error={"code": "io.write", "message": str(error)})
        except BaseException:  # as the interpreter would; here it may not be the main thread's
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)


class _Notes(logging.Handler):
    """Sends what is said to the driver, who shows it."""

    def __init__(self, answer: _Answers) -> None:
        super().__init__(logging.INFO)
        self._answer = answer

    def emit(self, record: logging.LogRecord) -> None:
        self._answer(note=record.getMessage())


def main() -> None:
    """Serve until stdin ends or the supervisor is gone."""
    ignore_signals()
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1)  # the supervisor asks where we hang
    answer = _Answers()
    LOG.addHandler(_Notes(answer))
    LOG.setLevel(logging.INFO)
    end_with(os.getppid())
    job = Job.model_validate_json(sys.stdin.readline())
    with answer.last():
        _serve(job, answer)


def _serve(job: Job, answer: _Answers) -> None:
    phase("loading libraries")
    from perception.execution.effort import Meter
    from perception.execution.job import require_match
    from perception.execution.worker import Begin, Seen, Worker

    # The thread of the models must not wait for those that read and write: by default for 5 ms.
    sys.setswitchinterval(SWITCH_S)
    require_match(job)
    meter = Meter()
    worker = Worker(job, meter)
    meter.lap()
    answer(ready=True)

    def finish(index: int, seen: Seen | None, begin: Begin) -> None:
        with answer.last():
            for sample in seen.answers if seen is not None else ():
                sample.result()
            effort = meter.lap()
            answer(shard=index, observed=True)
            if seen is not None and not worker.is_seen_whole(index, seen):
                worker.set_aside(index, seen)
                answer(shard=index, aside=True)
                return
            worker.finish(index, seen, begin)
            answer(shard=index, done=effort.to_dict())

    stop = threading.Event()
    requests: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, stop), daemon=True).start()
    behind: Future[None] = Future()
    behind.set_result(None)
    with ThreadPoolExecutor(1) as finishing:
        for request in iter(requests.get, None):
            index, alone = request["shard"], request["alone"]
            if alone:
                behind.result()

            def begin(place: int, index: int = index) -> None:
                answer(shard=index, begin=place)

            def tell(place: int, index: int = index) -> None:
                answer(shard=index, seen=place)

            poisoned = frozenset(request["poisoned"])
            seen = worker.observe(index, poisoned, begin, tell, ahead=not alone, stop=stop)
            answer(shard=index, taken=True)
            behind.result()  # one shard waits to be written, and no more: memory stays bounded
            behind = finishing.submit(finish, index, seen, begin)


def _listen(requests: "queue.SimpleQueue[dict[str, Any] | None]", stop: threading.Event) -> None:
    """Hand on what is asked for; a wish to stop is heard while the models are at work."""
    for line in sys.stdin:
        request = json.loads(line)
        if "stop" in request:
            stop.set()
        else:
            requests.put(request)
    requests.put(None)


if __name__ == "__main__":
    main()
