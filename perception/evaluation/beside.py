"""One run or several beside one truth: in columns, with how much each is above the first.

Differences are paired: every run is judged on the same draws of scenes (same truth, seed and
samples), so what scenes have in common drops out of the interval. Runs of other samples have no
such differences; objects that two runs share are compared one by one all the same.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from perception.core.statistics import Figure, difference
from perception.core.text import text_table
from perception.evaluation import notes, verdict
from perception.evaluation.paired import paired_table
from perception.evaluation.plots import csv_text
from perception.evaluation.report import Report, Table

CSV_COLUMNS = ("run", "table", "row", "column", "value", "low", "high", "n")
CSV_DIFFERENCE = ("difference", "difference_low", "difference_high")
LATEX_SPECIAL = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


@dataclass(frozen=True)
class Beside:
    """Reports of runs beside the same truth.

    Attributes:
        names: Of the runs, each once.
        reports: One for each; the others are compared with the first.
    """

    names: tuple[str, ...]
    reports: tuple[Report, ...]

    def figures(self, table: str, row: str, column: str) -> tuple[Figure, ...]:
        """Return a figure of every run."""
        return tuple(report.find(table, row, column) for report in self.reports)

    def differences(self, table: str, row: str, column: str) -> tuple[Figure, ...]:
        """Return how much the figure of each other run is above that of the first."""
        first, *others = self.figures(table, row, column)
        return tuple(
            difference(figure, first) if report.samples == self.reports[0].samples else Figure(None)
            for figure, report in zip(others, self.reports[1:], strict=True)
        )

    def paired(self) -> tuple[Table, ...]:
        """Return the objects that each other run shares with the first, see `paired`."""
        return tuple(paired_table(self.reports[0], report) for report in self.reports[1:])

    def lines(self, *, full: bool = False) -> list[str]:
        """Return text for a terminal: a verdict, or every table."""
        first = self.reports[0]
        if len(self.reports) == 1:
            return first.lines(intervals=False) if full else verdict.verdict_lines(first)
        chosen = verdict.entries(first)
        places = [(entry.name, (entry.table, entry.row, entry.column)) for entry in chosen]
        if full:
            places = [(f"{t}: {row}: {c}", (t, row, c)) for t, row, c in self._places()]
        lines = [f"truth: {first.truth}; {self.names[0]} is what the others are compared with"]
        lines += text_table([self._head(), *self._rows(places)]) if places else ["nothing to judge"]
        for name, table in zip(self.names[1:], self.paired(), strict=True):
            lines += ["", f"objects of {self.names[0]} and {name}, one by one: mean IoU"]
            lines += text_table(
                [
                    ("", *table.columns, "n"),
                    *(
                        (row, *(f.text() for f in some[:2]), signed(some[2]), f"{some[2].n:,}")
                        for row, some in table.rows
                        if some[2].value is not None
                    ),
                ]
            )
        told = [notes.PAIRED]
        if any(report.samples != first.samples for report in self.reports):
            told.append(notes.OTHER_SAMPLES)
        return [*lines, "", *told, *(note for note in first.notes if full)]

    def _head(self) -> tuple[str, ...]:
        return ("", *self.names, *(f"{name} - {self.names[0]}" for name in self.names[1:]))

    def _rows(self, places: Iterable[tuple[str, tuple[str, str, str]]]) -> list[tuple[str, ...]]:
        return [
            (
                name,
                *(figure.text() for figure in self.figures(*place)),
                *(signed(figure) for figure in self.differences(*place)),
            )
            for name, place in places
        ]

    def _places(self) -> Iterator[tuple[str, str, str]]:
        """Yield table, row and column of every figure that a run has a value for."""
        seen = dict.fromkeys(
            (table.name, row, column)
            for report in self.reports
            for table in report.tables
            for row, figures in table.rows
            for column, figure in zip(table.columns, figures, strict=True)
            if figure.value is not None
        )
        yield from seen

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: the report of one run; of several each, and differences."""
        if len(self.reports) == 1:
            return self.reports[0].to_dict()
        differences: dict[str, Any] = {name: {} for name in self.names[1:]}
        for table, row, column in self._places():
            found = self.differences(table, row, column)
            for name, figure in zip(self.names[1:], found, strict=True):
                rows = differences[name].setdefault(table, {})
                rows.setdefault(row, {})[column] = _plain(figure)
        return {
            "runs": {
                name: report.to_dict()
                for name, report in zip(self.names, self.reports, strict=True)
            },
            "compared_with": self.names[0],
            "differences": differences,
            "objects": {
                name: {
                    row: dict(zip(table.columns, map(_plain, figures), strict=True))
                    for row, figures in table.rows
                }
                for name, table in zip(self.names[1:], self.paired(), strict=True)
            },
        }

    def to_csv(self) -> str:
        """Return every figure, one a row; of several runs with the difference from the first."""
        several = len(self.reports) > 1
        rows: list[Sequence[object]] = [CSV_COLUMNS + (CSV_DIFFERENCE if several else ())]
        for place in self._places():
            apart = (Figure(None), *self.differences(*place))
            for name, figure, by in zip(self.names, self.figures(*place), apart, strict=True):
                if figure.value is not None:
                    row = (name, *place, figure.value, figure.low, figure.high, figure.n)
                    rows.append(row + ((by.value, by.low, by.high) if several else ()))
        return csv_text(rows)

    def to_latex(self) -> str:
        """Return the figures of the verdict as a table for LaTeX, with the package booktabs."""
        entries = verdict.entries(self.reports[0])
        places = [(entry.name, (entry.table, entry.row, entry.column)) for entry in entries]
        rows = [self._head(), *self._rows(places)]
        head, *body = (" & ".join(map(latex_text, row)) + r" \\" for row in rows)
        return "\n".join(
            [
                f"% truth: {self.reports[0].truth}; 95 % bootstrap intervals over scenes",
                r"\begin{tabular}{l" + "r" * (len(rows[0]) - 1) + "}",
                *(r"\toprule", head, r"\midrule", *body, r"\bottomrule"),
                r"\end{tabular}",
            ]
        )


def names_of(runs: Sequence[str]) -> tuple[str, ...]:
    """Return a name for each run: the last part of its path, all of it where that comes twice."""
    short = [_last_part(run) for run in runs]
    return tuple(
        name if short.count(name) == 1 else run for name, run in zip(short, runs, strict=True)
    )


def _last_part(run: str) -> str:
    place, label_set = split_label_set(run)
    name = PurePosixPath(place).name or place
    return f"{name}@{label_set}" if label_set else name


def split_label_set(run: str) -> tuple[str, str]:
    """Return run and label set of RUN or RUN/labels/HASH; "" for the current labels."""
    place = PurePosixPath(run)
    if place.parent.name != "labels":
        return run, ""
    return run.rstrip("/").removesuffix(f"/labels/{place.name}") or ".", place.name


def signed(figure: Figure) -> str:
    """Return a difference as text: "+0.021 [+0.004, +0.038]"."""
    if figure.value is None:
        return "-"
    if figure.low is None or figure.high is None:
        return f"{figure.value:+.3f}"
    return f"{figure.value:+.3f} [{figure.low:+.3f}, {figure.high:+.3f}]"


def latex_text(text: str) -> str:
    """Return text with what LaTeX would read as commands escaped."""
    return "".join(LATEX_SPECIAL.get(char, char) for char in text)


def _plain(figure: Figure) -> dict[str, Any]:
    return {"value": figure.value, "low": figure.low, "high": figure.high, "n": figure.n}
