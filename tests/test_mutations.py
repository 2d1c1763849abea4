"""The changes that `make mutants` makes: each is Python, and messages are left alone."""

import ast
import importlib.util
from pathlib import Path

SPEC = importlib.util.spec_from_file_location("mutations", Path(__file__).with_name("mutations.py"))
assert SPEC is not None and SPEC.loader is not None
mutations = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(mutations)

SOURCE = '''
@keep(frozen=True)
def first(rows: list[int] | None, path, *, most=3) -> float | None:
    """Ä docstring of 2 lines."""
    if rows and not path:
        raise ValueError(f"{path}: {len(rows) + 1} rows")
    total = sum(row * 2.0 for row in rows if row > most)
    return share(total, path / "name", whole=True) if total else 0
'''


def changed() -> set[str]:
    lines = SOURCE.splitlines()
    found = set()
    for start, end, text in mutations.replacements(SOURCE):
        source = SOURCE[:start] + text + SOURCE[end:]
        ast.parse(source)
        found |= set(source.splitlines()) - set(lines)
    return {line.strip() for line in found}


def test_conditions_numbers_keywords_and_statements_change() -> None:
    assert {
        "def first(rows: list[int] | None, path, *, most=4) -> float | None:",
        "if (rows or not path):",
        "if rows:",
        "if rows and path:",
        "if False:",
        "pass",
        "total = sum((row / 2.0) for row in rows if row > most)",
        "total = sum(row * 4.0 for row in rows if row > most)",
        "total = sum(row * 2.0 for row in rows if (row >= most))",
        "total = sum(row * 2.0 for row in rows if True)",
        'return share(total, path / "name", **{}) if total else 0',
        'return share(total, path / "name", whole=False) if total else 0',
        'return share(total, path / "name", whole=True) if total else 1',
        "return None",
    } <= changed()


def test_decorators_annotations_messages_and_paths_stay() -> None:
    kept = (SOURCE.splitlines()[1], '"""Ä', "raise", '* "name"', "list[int] &")
    assert not [line for line in changed() for part in kept if part in line]
