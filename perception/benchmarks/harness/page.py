"""BENCHMARKS.md, and README's figures, made from the data file (`make benchmarks-page`).

`page.md` holds the prose. Its line `<!-- figures: COMMAND -->` becomes the tables of the commands
that begin so; what no such line names comes where `<!-- figures -->` stands. In README the lines
between `<!-- figures -->` and `<!-- /figures -->` are of the figures that have a `readme`.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import perception
from perception.benchmarks.harness import record
from perception.benchmarks.harness.record import Entry
from perception.io.files import write_bytes

ROOT = Path(perception.__file__).resolve().parents[1]
DATA, PAGE, README = (ROOT / name for name in ("benchmarks.jsonl", "BENCHMARKS.md", "README.md"))
TEMPLATE = Path(__file__).with_suffix(".md")
PLACE = re.compile(r"^<!-- figures(?:: (.+))? -->$", re.MULTILINE)
TOLD = re.compile(r"(?<=<!-- figures -->\n).*(?=<!-- /figures -->)", re.DOTALL)


def newest(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return the last figure of each command and `what`, where the first stood.

    The name that README gives a figure stays with it.
    """
    found: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        key = entry.command, entry.what
        if key in found and not entry.readme:
            entry = entry.model_copy(update={"readme": found[key].readme})
        found[key] = entry
    return tuple(found.values())


def page(template: str, entries: Iterable[Entry]) -> str:
    """Return the page: the template with tables of the newest figures in their places."""
    begins = [found[1] for found in PLACE.finditer(template) if found[1]]
    placed: dict[str | None, list[Entry]] = {}
    for entry in newest(entries):
        fitting = [begin for begin in begins if entry.command.startswith(begin)]
        placed.setdefault(max(fitting, key=len, default=None), []).append(entry)
    text = PLACE.sub(lambda found: _tables(placed.get(found[1], [])), template)
    return text.rstrip() + "\n"


def readme(text: str, entries: Iterable[Entry]) -> str:
    """Return README with the lines of its figures."""
    told: dict[str, list[str]] = {}
    for entry in newest(entries):
        if entry.readme:
            told.setdefault(entry.readme, []).append(figure(entry))
    lines = ["| what | figure |", "|---|---|"]
    lines += [f"| {_cell(name)} | {' / '.join(figures)} |" for name, figures in told.items()]
    return TOLD.sub(lambda found: "".join(f"{line}\n" for line in lines), text)


def figure(entry: Entry) -> str:
    """Return a figure as people read it: "0.123 [0.054, 0.205] s", three significant digits."""
    text = _number(entry.figure)
    if entry.interval is not None:
        text += f" [{', '.join(_number(side) for side in entry.interval)}]"
    return f"{text} {_cell(entry.unit)}".strip()


def _number(value: int | float) -> str:
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return text if "." in text or "e" in text else f"{text}.0"  # no count


def _tables(entries: list[Entry]) -> str:
    """Return tables for each command, with when and where it ran."""

    def measured(entry: Entry) -> tuple[str, ...]:
        return entry.command, entry.date, entry.commit, entry.machine

    parts: list[str] = []
    for run in dict.fromkeys(map(measured, entries)):
        command, date, commit, machine = map(_cell, run)
        parts.append(f"`{command}`\n({date}, {commit}; {machine})")
        here = [entry for entry in entries if measured(entry) == run]
        for in_columns in (False, True):
            kept = [entry for entry in here if (": " in entry.what) == in_columns]
            if kept:
                parts.append("\n".join(_table(kept)))
    return "\n\n".join(parts)


def _table(entries: list[Entry]) -> list[str]:
    """Return the lines of a table; "ROW: COLUMN" is a cell of it."""
    cells: dict[str, dict[str, str]] = {}
    for entry in entries:
        row, _, column = entry.what.partition(": ")
        cells.setdefault(row, {})[column or "figure"] = figure(entry)
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    lines = [["", *columns]]
    lines += [[row, *(found.get(column, "") for column in columns)] for row, found in cells.items()]
    texts = ["| " + " | ".join(map(_cell, line)) + " |" for line in lines]
    return [texts[0], "|---" * (len(columns) + 1) + "|", *texts[1:]]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Write BENCHMARKS.md, and README's figures."""
    entries = record.read(DATA)
    write_bytes(PAGE, page(TEMPLATE.read_text("utf-8"), entries).encode())
    write_bytes(README, readme(README.read_text("utf-8"), entries).encode())


if __name__ == "__main__":
    main()
