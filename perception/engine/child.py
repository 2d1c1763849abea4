"""The process that does the work: a Worker that hears of shards on stdin and answers on stdout.

Lines of JSON both ways. In: the job, then {"shard": 3, "poisoned": [2]} per shard. Out: {"ready":
true}, {"begin": place}, {"done": 3}, or {"error": {...}}. It runs apart from its supervisor because
a model can crash, exit or be killed, and the frame that did it must be found and named.
"""

import json
import os
import sys
import threading
import time
from typing import Any

from perception.engine.job import Job
from perception.errors import PerceptionError


def main() -> None:
    """Serve until stdin ends or the supervisor is gone."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever libraries print must not mix with the answers

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    job = Job.model_validate_json(sys.stdin.readline())
    try:
        from perception.engine.worker import Worker

        worker = Worker(job)
        answer({"ready": True})
        for line in sys.stdin:
            request = json.loads(line)
            poisoned = frozenset(request["poisoned"])
            worker(request["shard"], poisoned, lambda place: answer({"begin": place}))
            answer({"done": request["shard"]})
    except PerceptionError as error:
        answer({"error": {"code": error.code, "message": error.message}})
    except OSError as error:  # a full or read-only disk: not one sample's fault
        answer({"error": {"code": "io.write", "message": str(error)}})


def _end_with(parent: int) -> None:
    """End this process when its supervisor was killed: nobody else would."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    main()
