"""`make mutants`: change the code in one place, and see whether the tests that guard it notice.

    python tests/mutants.py                      300 mutants of the modules in GUARDS
    python tests/mutants.py --count 60 --only perception/lift

Once, all guards run under `coverage`, to learn which tests execute each line (--fresh: again).
Then each mutant is tried in a copy of the tree: first by the tests that execute its line, the fast
ones first, then, if none fails, by all guards of its file. A mutant that no test notices survives,
and is printed as two lines of a diff. What was killed stays killed when the same call is made again
(OUT/results.json); survivors are tried again. Mutants that change nothing that anybody could see
are listed with reasons in `mutants_equivalent.yaml` and left out.
"""

import argparse
import contextlib
import difflib
import hashlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from mutations import replacements

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.yaml")
# What is mutated, and the tests that guard it; the first match counts.
GUARDS = {
    "perception/pipeline.py": "test_pipeline.py test_people_first.py test_corrections.py",
    "perception/hygiene.py": "trust",
    "perception/corrections.py": "test_corrections.py files_people_have/test_corrections.py",
    "perception/decisions": "decisions test_corrections.py files_people_have/test_corrections.py",
    "perception/quality": "quality test_pipeline.py test_people_first.py test_corrections.py",
    "perception/lift": "lift test_pipeline.py",
    "perception/runs": "runs test_commands.py test_buckets.py test_kill_points.py",
    "perception/exports": "test_exports.py test_commands.py files_people_have/test_pictures.py",
    "perception/trust": "trust test_corrections.py",
    "perception/formats": "formats test_prompts.py test_exports.py files_people_have readers",
    "perception/readers": "readers test_sources.py files_people_have",
}
# Loaded once here, so that a mutant's process, a fork of this one, starts with them.
SHARED = "numpy cv2 scipy.ndimage scipy.spatial scipy.optimize pyarrow.parquet pydantic"
FIRST_S = 60.0  # of tests that execute the line are taken before the guards as a whole
LEAST_S, SLOWER = 90.0, 10.0  # a mutant that takes so much longer than its tests did hangs


@dataclass(frozen=True)
class Mutant:
    """One change of one place.

    Attributes:
        file: Relative path.
        line: First line that changes, from 1.
        source: The file with the change.
        diff: The lines that go and come.
    """

    file: str
    line: int
    source: str
    diff: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"{self.file}: {' '.join(self.diff)}"


def mutants_of(file: str) -> Iterator[Mutant]:
    source = (ROOT / file).read_text()
    lines = source.splitlines()
    for start, end, text in replacements(source):
        changed = source[:start] + text + source[end:]
        new = changed.splitlines()
        moved = [op for op in difflib.SequenceMatcher(None, lines, new, False).get_opcodes()]
        moved = [op for op in moved if op[0] != "equal"]
        if not moved:
            continue
        (low, high), (left, right) = (moved[0][1], moved[-1][2]), (moved[0][3], moved[-1][4])
        diff = [f"- {line.strip()}" for line in lines[low:high]]
        diff += [f"+ {line.strip()}" for line in new[left:right]]
        yield Mutant(file, low + 1, changed, tuple(diff))


def guards_of(file: str) -> list[str]:
    names = next(tests for prefix, tests in GUARDS.items() if file.startswith(prefix)).split()
    return [f"tests/{name}" for name in names if (ROOT / "tests" / name).exists()]


def sample(only: str, count: int, seed: int) -> list[Mutant]:
    """Draw mutants: one of each file, then of all alike; a line that stays is drawn again."""
    files = [
        name
        for name in _listed("perception")
        if name.endswith(".py") and name.startswith(tuple(GUARDS)) and name.startswith(only)
    ]
    known = {entry["key"] for entry in yaml.safe_load(EQUIVALENT.read_text()) or ()}
    first, rest = list[Mutant](), list[Mutant]()
    for file in files:
        drawn = {mutant.key: mutant for mutant in mutants_of(file) if mutant.key not in known}
        ordered = sorted(drawn.values(), key=lambda mutant: _draw(mutant, seed))
        first += ordered[:1]
        rest += ordered[1:]
    rest.sort(key=lambda mutant: _draw(mutant, seed))
    return (sorted(first, key=lambda mutant: _draw(mutant, seed)) + rest)[:count]


def _listed(*options: str) -> list[str]:
    listed = ["git", "ls-files", *options]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def _draw(mutant: Mutant, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {mutant.key}".encode()).digest()


class Watch:
    """Tells pytest's tests apart for `coverage`, and keeps how long each takes."""

    def __init__(self, coverage: object = None) -> None:
        self.coverage = coverage
        self.seconds: dict[str, float] = defaultdict(float)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self.coverage.switch_context(item.nodeid)  # type: ignore[attr-defined]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration


def learn(tree: Path, tests: list[str], out: Path) -> None:
    """Write which tests execute each line of each file, by the line's text, and how long they take.

    By its text: the map stays of use when lines move. Runs in a process of its own.
    """
    coverage = importlib.import_module("coverage")
    watched = coverage.Coverage(data_file=None, source=[str(tree / "perception")])
    watch = Watch(watched)
    watched.start()
    code = pytest.main([*_options(), *tests], plugins=[watch])
    watched.stop()
    if code not in (0, 1):
        raise SystemExit(code)
    data = watched.get_data()
    found: dict[str, dict[str, set[str]]] = {}
    for path in data.measured_files():
        lines = Path(path).read_text().splitlines()
        texts = found.setdefault(str(Path(path).relative_to(tree)), defaultdict(set))
        for number, contexts in data.contexts_by_lineno(path).items():
            if number <= len(lines):
                texts[lines[number - 1].strip()] |= {name for name in contexts if name}
    executed = {
        file: {text: sorted(names) for text, names in texts.items() if names}
        for file, texts in found.items()
    }
    out.write_text(json.dumps({"executed": executed, "seconds": watch.seconds}))


def _options() -> list[str]:
    return ["-q", "-p", "no:cacheprovider", "--no-header", "--hypothesis-seed=0"]


def in_process(tree: Path, call: object, *arguments: object, log: Path, limit_s: float) -> int:
    """Call a function in a fork whose `perception` is that of a tree; -1 if it hangs."""
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
        return -1
    finally:
        with contextlib.suppress(ProcessLookupError):  # what tests left behind goes as well
            os.killpg(child, signal.SIGKILL)
        if time.monotonic() >= until:
            os.waitpid(child, 0)


def tried(mutant: Mutant, tree: Path, known: dict, log: Path) -> str:
    """Return "killed", "survived" or "hangs", which counts as killed."""
    path = tree / mutant.file
    original = path.read_text()
    path.write_text(mutant.source)
    try:
        seconds = known["seconds"]
        text = (ROOT / mutant.file).read_text().splitlines()[mutant.line - 1].strip()
        named = known["executed"].get(mutant.file, {}).get(text, [])
        named = sorted(named, key=lambda name: seconds.get(name, 0))
        quick, total = list[str](), 0.0
        for name in named:
            total += seconds.get(name, 0)
            if total < FIRST_S and (tree / name.split("::")[0]).is_file():
                quick.append(name)
        everything = sum(seconds.values())
        for tests, expected_s in (
            (quick, min(total, FIRST_S)),
            (guards_of(mutant.file), everything),
        ):
            if not tests:
                continue
            code = in_process(
                tree,
                pytest.main,
                [*_options(), "-x", *tests],
                log=log,
                limit_s=LEAST_S + SLOWER * expected_s,
            )
            if code == -1:
                return "hangs"
            if code in (1, 2, 3):  # failed, could not be collected, broke pytest
                return "killed"
            if code not in (0, 4):  # 4: a test of the map is gone
                raise SystemExit(f"{mutant.key}: pytest ended with {code}, see {log}")
        return "survived"
    finally:
        path.write_text(original)
        shutil.rmtree(tree / ".tmp", ignore_errors=True)
        (tree / ".tmp").mkdir()


def copied(out: Path) -> Path:
    """Copy the tree: a mutant never touches the work tree, and nothing compiled comes along."""
    tree = out / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    for name in _listed("--cached", "--others", "--exclude-standard"):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    (tree / ".tmp").mkdir()
    if (ROOT / ".oracles").is_dir():
        (tree / ".oracles").symlink_to((ROOT / ".oracles").resolve())
    return tree


def report(results: dict[str, dict]) -> str:
    files = defaultdict(Counter)
    for one in results.values():
        files[one["file"]][one["verdict"] != "survived"] += 1
    lines = [f"{'file':44} killed of"]
    for file, counts in sorted(files.items()):
        lines.append(f"{file:44} {counts[True]:6} {counts.total():2}")
    for one in results.values():
        if one["verdict"] == "survived":
            lines += ["", f"{one['file']}:{one['line']}", *one["diff"]]
    killed = sum(counts[True] for counts in files.values())
    return "\n".join(
        [*lines, "", f"{killed} of {len(results)} killed, {killed / len(results):.1%}"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="perception", help="files whose path begins so")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "mutants")
    parser.add_argument("--fresh", action="store_true", help="learn again what tests execute")
    asked = parser.parse_args()
    sys.dont_write_bytecode = True
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    asked.out.mkdir(parents=True, exist_ok=True)
    chosen = sample(asked.only, asked.count, asked.seed)
    for name in SHARED.split():
        importlib.import_module(name)
    tree = copied(asked.out.resolve())
    learnt, kept = asked.out / "executed.json", asked.out / "results.json"
    if asked.fresh or not learnt.is_file():
        tests = sorted({test for file in GUARDS for test in guards_of(file)})
        log = asked.out / "learn.log"
        if in_process(tree, learn, tree, tests, learnt.resolve(), log=log, limit_s=4 * 3600):
            raise SystemExit(f"the guards could not be run, see {log}")
    known = json.loads(learnt.read_text())
    before = json.loads(kept.read_text()) if kept.is_file() else {}
    results = dict[str, dict]()
    for number, mutant in enumerate(chosen, 1):
        one = before.get(mutant.key)
        if one is None or one["verdict"] == "survived":
            started = time.monotonic()
            verdict = tried(mutant, tree, known, asked.out / "mutant.log")
            one = {"file": mutant.file, "line": mutant.line, "diff": mutant.diff}
            one |= {"verdict": verdict, "seconds": round(time.monotonic() - started, 1)}
        results[mutant.key] = one
        kept.write_text(json.dumps(before | results, indent=1))
        sys.stderr.write(f"{number} of {len(chosen)}: {one['verdict']} {mutant.key[:150]}\n")
    (asked.out / "report.txt").write_text(report(results) + "\n")
    sys.stdout.write(report(results) + "\n")


if __name__ == "__main__":
    main()
