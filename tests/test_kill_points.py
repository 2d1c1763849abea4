"""kill -9 at any step of what a verb writes, then the same again: the bytes of one left in peace.

One process of its own forks a driver for each step, with the worker in the same process, so that
all steps of both can be counted. That process computes nothing itself: a thread of a library would
not survive the fork. PERCEPTION_KILLS sets how many points each verb is killed at, beside `label`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EVERY = 7  # steps of `label`: odd, so that kills before and after a step take turns
POINTS = int(os.environ.get("PERCEPTION_KILLS", "3"))
COMMON = """
import json, os, random, shutil, signal, sys
from contextlib import suppress
from pathlib import Path

with suppress(ImportError):
    import pandas  # pyarrow does so where it is installed; once is enough for all forks

from perception.commands import corrections
from perception.commands.exports import export
from perception.commands.label import label as label_source
from perception.commands.relabel import relabel
from perception.commands.request import LabelRequest
from perception.execution.effort import Effort, Meter
from perception.execution.worker import Worker
from perception.models import registry
from perception.review import command as pages
from perception.runs.folder import read_spec
from perception.runs.verify import verify

folder = Path(sys.argv[1])
steps = 0
os.fsync = lambda number: None  # a killed process loses nothing that it has written; power would

def in_this_process(job, indices, placement, done, seen):
    worker = Worker(job, Meter())
    for index in indices:
        worker.finish(index, worker.observe(index, frozenset(), lambda place: None, ahead=False))
        done(index, Effort())

registry.ENGINES["local"] = "__main__:in_this_process"

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

def forked(verb, place, fatal=0):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            for module, function in (
                (Path, "mkdir"), (Path, "open"), (os, "fsync"), (Path, "replace"), (os, "link"),
                (Path, "unlink"),
            ):
                counted(module, function, fatal)
            verb(place)
            os.write(writing, str(steps).encode())
        finally:
            os._exit(0)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    answer = os.read(reading, 99).decode()
    os.close(reading)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else int(answer)

def label(run):
    label_source(LabelRequest(
        f"images:{folder / 'src'}", run, "boxes", "bright", overrides={"shard_size": 1}
    ))

def contents(run):
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name not in {"timings.json", "log.txt"}
    }
"""
LABEL = """
total = forked(label, folder / "clean")
clean = contents(folder / "clean")
wrong, left = [], 0
for fatal in range(1, total + 1, int(sys.argv[2])):
    name = f"killed-{fatal}"
    assert forked(label, folder / name, fatal) == signal.SIGKILL, fatal
    left += any((folder / name).rglob(".tmp-*"))
    forked(label, folder / name)
    if contents(folder / name) != clean:
        wrong.append(fatal)
print(json.dumps({"steps": total, "wrong": wrong, "left": left, "files": len(clean)}))
"""
VERBS = """
forked(label, folder / "run")
spec = read_spec(folder / "run")
(folder / "decided.json").write_text(json.dumps({
    "run": spec.evidence_fingerprint(), "label_set": spec.label_set(),
    "decisions": [{"sample": "001.png", "instance": 1, "decision": "reject"}],
}))
(folder / "trust.json").write_text(sys.argv[4])

def fresh(out):  # of what is half there people say another folder, or remove it
    shutil.rmtree(out, ignore_errors=True)
    return out

VERBS = {
    "relabel": lambda place: relabel(
        place / "run", overrides={"decide": {"judge": {"min_score": 0.9}}}, workers=1
    ),
    "trust": lambda place: relabel(
        place / "run", trust=str(folder / "trust.json"), keep_per_class=2, workers=1
    ),
    "corrections": lambda place: corrections.apply(place / "run", folder / "decided.json"),
    "coco": lambda place: export(place / "run", "coco", place / "out.json"),
    "png": lambda place: export(place / "run", "png", fresh(place / "out")),
    "show": lambda place: pages.show(place / "run", fresh(place / "out"), frames=2),
}
chance, found = random.Random(int(sys.argv[3])), {}
for name, verb in VERBS.items():
    def begun(number):
        shutil.copytree(folder / "run", folder / name / number / "run")
        return folder / name / number
    place = begun("clean")
    total = forked(verb, place)
    clean = contents(place)
    wrong, damaged, left = [], [], 0
    for fatal in sorted(chance.sample(range(1, total + 1), min(int(sys.argv[2]), total))):
        place = begun(str(fatal))
        assert forked(verb, place, fatal) == signal.SIGKILL, (name, fatal)
        left += any(place.rglob(".tmp-*"))
        faults = verify(place / "run").faults
        if any("left by a process" not in fault for fault in faults):
            damaged.append((fatal, faults))
        forked(verb, place)
        if contents(place) != clean:
            wrong.append(fatal)
        shutil.rmtree(place)
    found[name] = {"steps": total, "wrong": wrong, "damaged": damaged, "left": left}
print(json.dumps(found))
"""
TRUST = {
    "kind": "perception trust 1",
    "right_iou": 0.75,
    "bias": 0,
    "terms": [{"feature": "score", "centre": 0, "scale": 1, "weight": 1}],
    "class_offsets": {},
    "calibration": {"kind": "logistic"},
    "fitted": {"labels": 1, "right": 1, "groups": 1, "classes": {}, "log_loss": 0},
    "target_precision": 0.95,
    "accept_from": 0.99,
}
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def driven(code: str, *arguments: object, python_path: Callable[..., str]) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", COMMON + code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@needs_fork
def test_row_33_a_kill_at_any_step_of_the_write_protocol_changes_no_byte(
    tmp_path: Path, pictures: Callable[[Path, int], Path], python_path: Callable[..., str]
) -> None:
    pictures(tmp_path / "src", 2)
    figures = driven(LABEL, tmp_path, EVERY, python_path=python_path)
    assert figures["wrong"] == []
    assert figures["steps"] / EVERY >= 30 and figures["left"] > 0  # kills that did leave something


@pytest.mark.slow
@needs_fork
def test_row_33_every_other_verb_that_writes_is_resumed_to_the_same_bytes(
    tmp_path: Path, pictures: Callable[[Path, int], Path], python_path: Callable[..., str]
) -> None:
    pictures(tmp_path / "src", 3)
    seed = os.environ.get("PERCEPTION_KILLS_SEED", "0")
    figures = driven(VERBS, tmp_path, POINTS, seed, json.dumps(TRUST), python_path=python_path)
    for verb, found in figures.items():
        assert found["wrong"] == found["damaged"] == [], verb
        assert found["steps"] >= 20, verb
