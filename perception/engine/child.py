"""The process that does the work: a Worker that hears of shards on stdin and answers on stdout.

Lines of JSON both ways. In: the job, then {"shard": 3, "poisoned": [2]} per shard. Out: {"ready":
true}, {"begin": place}, {"done": 3, "effort": {...}}, or {"error": {...}}. It runs apart from its
supervisor because a model can crash, exit or be killed, and the frame that did it must be found.
"""

import faulthandler
import json
import os
import signal
import sys
from typing import Any

from perception.engine.job import Job
from perception.engine.process import end_with, ignore_signals
from perception.errors import PerceptionError


def main() -> None:
    """Serve until stdin ends or the supervisor is gone."""
    ignore_signals()
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1)  # the supervisor asks where we hang
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever libraries print must not mix with the answers

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    end_with(os.getppid())
    job = Job.model_validate_json(sys.stdin.readline())
    try:
        from perception.engine.effort import Meter
        from perception.engine.job import require_match
        from perception.engine.worker import Worker

        require_match(job)
        meter = Meter()
        worker = Worker(job, meter)
        meter.lap()
        answer({"ready": True})
        for line in sys.stdin:
            request = json.loads(line)
            poisoned = frozenset(request["poisoned"])
            worker(request["shard"], poisoned, lambda place: answer({"begin": place}))
            answer({"done": request["shard"], "effort": meter.lap().to_dict()})
    except PerceptionError as error:
        answer({"error": {"code": error.code, "message": error.message}})
    except OSError as error:  # a full or read-only disk: not one sample's fault
        answer({"error": {"code": "io.write", "message": str(error)}})


if __name__ == "__main__":
    main()
