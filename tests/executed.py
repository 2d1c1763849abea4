"""Which tests execute each line, for `mutants.py`; and functions in a process of their own."""

import contextlib
import hashlib
import importlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest


class Watch:
    """Tells pytest's tests apart for `coverage`; keeps which fail and how long each takes."""

    def __init__(self, coverage: object = None) -> None:
        self.coverage = coverage
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed = set[str]()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self.coverage.switch_context(item.nodeid)  # type: ignore[attr-defined]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.add(report.nodeid)


def learn(tree: Path, tests: list[str], out: Path) -> None:
    """Write which tests execute each line of each file, by the line's text, and how long they take.

    By its text: the map stays of use when lines move. Runs in a process of its own.
    """
    coverage = importlib.import_module("coverage")
    watched = coverage.Coverage(data_file=None, source=[str(tree / "perception")])
    watch = Watch(watched)
    watched.start()
    code = pytest.main([*options(), *tests], plugins=[watch])
    watched.stop()
    if code not in (0, 1):
        raise SystemExit(code)
    data = watched.get_data()
    executed: dict[str, dict[str, set[str]]] = {}
    for path in data.measured_files():
        lines = Path(path).read_text().splitlines()
        texts = executed.setdefault(str(Path(path).relative_to(tree)), defaultdict(set))
        for number, contexts in data.contexts_by_lineno(path).items():
            if number <= len(lines):
                texts[lines[number - 1].strip()] |= {name for name in contexts if name}
    found = {
        file: {t: sorted(n) for t, n in texts.items() if n} for file, texts in executed.items()
    }
    learnt = {"executed": found, "seconds": watch.seconds, "failed": sorted(watch.failed)}
    out.write_text(json.dumps(learnt))


def learnt(tree: Path, guards: set[str], out: Path) -> dict:
    """Return what `learn` found, after it ran for the test files that changed."""
    path, part = out / "executed.json", out / "part.json"
    known = {"files": {}, "executed": {}, "seconds": {}, "failed": []}
    if path.is_file():
        known = json.loads(path.read_text())
    files = {
        str(file.relative_to(tree)): hashlib.sha256(file.read_bytes()).hexdigest()
        for guard in sorted(guards)
        for file in ([tree / guard] if guard.endswith(".py") else (tree / guard).rglob("test_*.py"))
    }
    changed = sorted(file for file, digest in files.items() if known["files"].get(file) != digest)
    if not changed:
        return known
    part.unlink(missing_ok=True)
    log = out / "learn.log"
    in_process(tree, learn, tree, changed, part, log=log, limit_s=4 * 3600)
    if not part.is_file():
        raise SystemExit(f"the guards could not be run, see {log}")
    new = json.loads(part.read_text())

    def stays(name: str) -> bool:
        file = name.split("::")[0]
        return file in files and file not in changed

    for file, texts in known["executed"].items():
        for text, names in texts.items():
            mine = new["executed"].setdefault(file, {}).setdefault(text, [])
            mine += [name for name in names if stays(name)]
    new["seconds"] |= {n: s for n, s in known["seconds"].items() if stays(n)}
    new["failed"] += [name for name in known["failed"] if stays(name)]
    path.write_text(json.dumps(new | {"files": files}))
    return new


def options(failed: Iterable[str] = ()) -> list[str]:
    """Return pytest's options; what fails without any mutant notices none."""
    plain = ["-q", "-p", "no:cacheprovider", "--no-header", "--hypothesis-seed=0"]
    return [*plain, *(f"--deselect={name}" for name in failed)]


def in_process(
    tree: Path, call: object, *arguments: object, log: Path, limit_s: float
) -> int | None:
    """Call a function in a fork whose `perception` is that of a tree; None if it hangs."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setsid()
            with log.open("w") as stream:
                os.dup2(stream.fileno(), 1)
                os.dup2(stream.fileno(), 2)
            os.chdir(tree)
            sys.path[:0] = [str(tree), str(tree / "integrations")]
            os.environ["PYTHONPATH"] = f"{tree}:{tree / 'integrations'}"
            os.environ["TMPDIR"] = tempfile.tempdir = str(tree / ".tmp")
            code = int(call(*arguments) or 0)  # type: ignore[operator]
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    until, status = time.monotonic() + limit_s, 0
    try:
        while time.monotonic() < until:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):  # what tests left behind goes as well
            os.killpg(child, signal.SIGKILL)
        if time.monotonic() >= until:
            os.waitpid(child, 0)
