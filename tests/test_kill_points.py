"""kill -9 at every step of the write protocol, then resume: the bytes of a run left in peace.

One process of its own forks a driver for each step, with the worker in the same process, so that
all steps of both can be counted. That process computes nothing itself: a thread of a library would
not survive the fork.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EVERY = 7  # steps: odd, so that kills before and after a step take turns
DRIVER = """
import json, os, signal, sys
from contextlib import suppress
from pathlib import Path

with suppress(ImportError):
    import pandas  # pyarrow does so where it is installed; once is enough for all forks

from perception import commands
from perception.engine.effort import Effort, Meter
from perception.engine.worker import Worker

folder = Path(sys.argv[1])
steps = 0
os.fsync = lambda number: None  # a killed process loses nothing that it has written; power would

def in_this_process(job, indices, placement, done):
    worker = Worker(job, Meter())
    for index in indices:
        worker.finish(index, worker.observe(index, frozenset(), lambda place: None, ahead=False))
        done(index, Effort())

def counted(module, name, fatal):
    plain = getattr(module, name)
    def step(*arguments, **options):
        global steps
        steps += 1
        if steps == fatal:  # before it is done ...
            os.kill(os.getpid(), signal.SIGKILL)
        answer = plain(*arguments, **options)
        steps += 1
        if steps == fatal:  # ... and after
            os.kill(os.getpid(), signal.SIGKILL)
        return answer
    setattr(module, name, step)

def label(name, fatal):
    commands.backends.ENGINES["local"] = "__main__:in_this_process"
    for module, function in (
        (Path, "mkdir"), (Path, "open"), (os, "fsync"), (Path, "replace"), (os, "link"),
        (Path, "unlink"),
    ):
        counted(module, function, fatal)
    commands.label(commands.LabelRequest(
        f"images:{folder / 'src'}", folder / name, "boxes", "bright", overrides={"shard_size": 1}
    ))
    return steps

def forked(name, fatal=0):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, str(label(name, fatal)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    answer = os.read(reading, 99).decode()
    os.close(reading)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else int(answer)

def contents(run):
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name != "timings.json"
    }

total = forked("clean")
clean = contents(folder / "clean")
wrong, left = [], 0
for fatal in range(1, total + 1, int(sys.argv[2])):
    name = f"killed-{fatal}"
    assert forked(name, fatal) == signal.SIGKILL, fatal
    left += any((folder / name).rglob(".tmp-*"))
    forked(name)
    if contents(folder / name) != clean:
        wrong.append(fatal)
print(json.dumps({"steps": total, "wrong": wrong, "left": left, "files": len(clean)}))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_row_33_a_kill_at_any_step_of_the_write_protocol_changes_no_byte(
    tmp_path: Path, pictures: Callable[[Path, int], Path], python_path: Callable[..., str]
) -> None:
    pictures(tmp_path / "src", 2)
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path), str(EVERY)],
        env=os.environ | {"PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["wrong"] == []
    assert figures["steps"] / EVERY >= 30 and figures["left"] > 0  # kills that did leave something
