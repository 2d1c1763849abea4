"""`make mutants`: change the code in one place, and see whether the tests that guard it notice.

    python tests/mutants.py                               300 mutants of the modules in GUARDS
    python tests/mutants.py --only perception/formats     those of them that are in one folder
    python tests/mutants.py --thorough                    survivors meet the slow tests as well

The guards run once under `coverage`, to learn which tests execute each line; later, test files that
changed run again. A mutant is tried in a copy of the tree by the tests that execute its line, the
fast ones (--thorough: then by all guards of its file, the slow ones and those that start processes
too). What no test notices survives, and is printed as two lines of a diff. What was killed stays
killed when the same call is made again (OUT/results.json); survivors are tried again. Mutants that
change nothing that anybody could see are listed with reasons in `mutants_equivalent.yaml` and left
out.
"""

import argparse
import ast
import difflib
import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import pytest
import yaml
from executed import in_process, learnt, options
from mutations import replacements

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.yaml")
# What is mutated, and the tests that guard it; the first match counts.
GUARDS = {
    "perception/labeling": "labeling commands/test_corrections.py",
    "perception/commands/hygiene.py": "labeling/trust",
    "perception/commands/corrections.py": "commands/test_corrections.py files_people_have",
    "perception/review/decisions": "review commands/test_corrections.py files_people_have",
    "perception/commands/exports": "commands files_people_have",
    "perception/runs": "runs commands/test_label.py io/test_buckets.py test_kill_points.py",
    "perception/formats": "formats models/test_given_boxes.py commands files_people_have readers",
    "perception/readers": "readers files_people_have",
}
# Loaded once here, so that a mutant's process, a fork of this one, starts with them.
SHARED = "numpy cv2 scipy.ndimage scipy.spatial scipy.optimize pyarrow.parquet pydantic"
QUICK_S = 60.0  # of the tests that execute a line; the others are left to --thorough
LEAST_S, SLOWER = 90.0, 10.0  # a mutant that takes so much longer than its tests did hangs


@dataclass(frozen=True)
class Mutant:
    """One change of one place.

    Attributes:
        file: Relative path.
        line: First line that changes, from 1.
        place: First and last character that go, and what comes.
        diff: The lines that go and come.
    """

    file: str
    line: int
    place: tuple[int, int, str]
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
        yield Mutant(file, low + 1, (start, end, text), tuple(diff))


def guards_of(file: str) -> list[str]:
    names = next(tests for prefix, tests in GUARDS.items() if file.startswith(prefix)).split()
    return [f"tests/{name}" for name in names if (ROOT / "tests" / name).exists()]


def sample(only: str, count: int, seed: int) -> list[Mutant]:
    """Draw `count` mutants, one of each file and then of all alike; return those of `only`.

    A mutant is drawn by what it changes: while the code around it moves, the sample stays.
    """
    files = [
        name
        for name in _listed("perception")
        if name.endswith(".py") and name.startswith(tuple(GUARDS))
    ]
    known = {entry["key"] for entry in yaml.safe_load(EQUIVALENT.read_text()) or ()}
    first, rest = list[Mutant](), list[Mutant]()
    for file in files:
        found = {mutant.key: mutant for mutant in mutants_of(file) if mutant.key not in known}
        ordered = sorted(found.values(), key=lambda mutant: _draw(mutant, seed))
        first += ordered[:1]
        rest += ordered[1:]
    rest.sort(key=lambda mutant: _draw(mutant, seed))
    drawn = (sorted(first, key=lambda mutant: _draw(mutant, seed)) + rest)[:count]
    return [mutant for mutant in drawn if mutant.file.startswith(only)]


def _listed(*options: str) -> list[str]:
    listed = ["git", "ls-files", *options]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def _draw(mutant: Mutant, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {mutant.key}".encode()).digest()


def tried(mutant: Mutant, tree: Path, known: dict, log: Path, thorough: bool) -> str:
    """Return "killed", "survived" or "hangs", which counts as killed."""
    path, seconds = tree / mutant.file, known["seconds"]
    original = path.read_text()
    executed = known["executed"].get(mutant.file, {})
    texts = {original.splitlines()[mutant.line - 1].strip()}
    if not _in_function(original, mutant.line):  # executed once, by whichever test imports it first
        texts = set(executed)
    named = {name for text in texts for name in executed.get(text, [])}
    named = sorted(named, key=lambda name: (seconds.get(name, 0), name))
    named = [name for name in named if name not in known["failed"]]
    until = accumulate(seconds.get(name, 0) for name in named)
    quick = [name for name, total in zip(named, until, strict=True) if total < QUICK_S] or named[:1]
    rounds = [quick] if named else [guards_of(mutant.file)]
    if thorough and named:
        rounds += [[*named[len(quick) :], *guards_of(mutant.file)]]
    start, end, new = mutant.place
    path.write_text(original[:start] + new + original[end:])
    try:
        for tests in rounds:
            expected_s = sum(seconds.get(name, 0) for name in tests) or sum(seconds.values())
            arguments = [*options(known["failed"]), "-x", *tests]
            limit_s = LEAST_S + SLOWER * expected_s
            code = in_process(tree, pytest.main, arguments, log=log, limit_s=limit_s)
            if code is None:
                return "hangs"
            if code < 0 or code in (1, 2, 3):  # crashed, failed, not collected, broke pytest
                return "killed"
            if code == 4 and "while loading conftest" in log.read_text():
                return "killed"
            if code not in (0, 4, 5):  # 4, 5: a test of the map is gone
                raise SystemExit(f"{mutant.key}: pytest ended with {code}, see {log}")
        return "survived"
    finally:
        path.write_text(original)
        shutil.rmtree(tree / ".tmp", ignore_errors=True)
        (tree / ".tmp").mkdir()


def _in_function(source: str, line: int) -> bool:
    """Tell whether a line is in the body of a function; else it runs at import."""
    functions = (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef))
    return any(found.body[0].lineno <= line <= found.end_lineno for found in functions)


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
    parser.add_argument(
        "--only", default="perception", help="of the sample, files whose path begins so"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "mutants")
    parser.add_argument("--thorough", action="store_true", help="survivors meet all guards")
    asked = parser.parse_args()
    sys.dont_write_bytecode = True
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    asked.out.mkdir(parents=True, exist_ok=True)
    chosen = sample(asked.only, asked.count, asked.seed)
    for name in SHARED.split():
        importlib.import_module(name)
    tree = copied(asked.out.resolve())
    out, kept = asked.out.resolve(), asked.out / "results.json"
    guards = {guard for prefix in GUARDS for guard in guards_of(prefix)}
    known = learnt(tree, guards, out)
    before = json.loads(kept.read_text()) if kept.is_file() else {}
    results = dict[str, dict]()
    for number, mutant in enumerate(chosen, 1):
        one = before.get(mutant.key)
        if one is None or one["verdict"] == "survived":
            started = time.monotonic()
            verdict = tried(mutant, tree, known, out / "mutant.log", asked.thorough)
            one = {"file": mutant.file, "line": mutant.line, "diff": mutant.diff}
            one |= {"verdict": verdict, "seconds": round(time.monotonic() - started, 1)}
        results[mutant.key] = one
        kept.write_text(json.dumps(before | results, indent=1))
        sys.stderr.write(f"{number} of {len(chosen)}: {one['verdict']} {mutant.key[:150]}\n")
    (asked.out / "report.txt").write_text(report(results) + "\n")
    sys.stdout.write(report(results) + "\n")


if __name__ == "__main__":
    main()
