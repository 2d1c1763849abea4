"""Figures, tables of figures, and the report that holds them: for people, for programs, as a page.

A figure is None where there is nothing to judge, neither in the truth nor in the labels, or where
its definition has no answer (the recall of no objects): never NaN, and never a 0 that reads as a
failure. Objects without labels and labels without objects give 0.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from perception.core.statistics import Figure
from perception.core.text import text_table
from perception.evaluation.confusion import Example
from perception.evaluation.plots import Plot

Ious = Mapping[tuple[str, int], float]


@dataclass(frozen=True)
class Table:
    """Figures in rows and columns.

    Attributes:
        name: For programs: "labels", "points.seen.iou".
        title: For people, one sentence.
        columns: Names of the columns.
        rows: Name of each row and its figures, one for each column.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Figure, ...]], ...]

    def figure(self, row: str, column: str) -> Figure:
        """Return one figure; KeyError if there is no such row or column."""
        if column not in self.columns:
            raise KeyError(f"table {self.name} has no column {column!r}, only {self.columns}")
        return dict(self.rows)[row][self.columns.index(column)]


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    Attributes:
        truth: What the labels were compared with.
        seed: Of the bootstrap.
        counts: What was compared and what was left out, by name.
        tables: The figures.
        notes: What a reader should know of this comparison.
        samples: Ids of the samples that have truth, in the order of the run: reports of the same
            samples, truth and seed are paired, see `beside`.
        object_ious: By kind of figure, each true object (sample or image, and number) to its IoU.
        plots: What there is to draw.
        examples: Of the cells of the plot "confusion".
    """

    truth: str
    seed: int
    counts: tuple[tuple[str, int], ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    object_ious: Mapping[str, Ious] = field(default_factory=dict, repr=False)
    plots: tuple[Plot, ...] = field(default=(), repr=False)
    examples: tuple[Example, ...] = field(default=(), repr=False, compare=False)

    def table(self, name: str) -> Table:
        """Return a table by name; KeyError if there is none."""
        return {table.name: table for table in self.tables}[name]

    def figure(self, table: str, row: str, column: str) -> Figure:
        """Return one figure; KeyError if there is none."""
        return self.table(table).figure(row, column)

    def find(self, table: str, row: str, column: str) -> Figure:
        """Return one figure; one without value where a run has no such table, row or column."""
        try:
            return self.figure(table, row, column)
        except KeyError:
            return Figure(None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: tables by name, rows by name, columns by name."""
        tables = {
            table.name: {
                "title": table.title,
                "rows": {
                    row: dict(zip(table.columns, (asdict(f) for f in figures), strict=True))
                    for row, figures in table.rows
                },
            }
            for table in self.tables
        }
        return {
            "truth": self.truth,
            "seed": self.seed,
            "counts": dict(self.counts),
            "notes": list(self.notes),
            "tables": tables,
        }

    def lines(self, *, intervals: bool = True) -> list[str]:
        """Return the report as plain text; without intervals it fits a terminal."""
        width = max((len(name) for name, _ in self.counts), default=0)
        lines = [f"truth: {self.truth}", *(f"{k:{width}}  {n}" for k, n in self.counts)]
        for table in self.tables:
            lines += ["", *table_lines(table, intervals=intervals)]
        return [*lines, "", *self.notes] if self.notes else lines


def table_lines(table: Table, *, intervals: bool = True) -> list[str]:
    """Return a table as aligned text under its title; rows without any value are left out."""
    shown = [
        [row, *(figure.text(intervals=intervals) for figure in figures)]
        for row, figures in table.rows
        if any(figure.value is not None for figure in figures)
    ]
    if not shown:
        return [f"{table.name}: nothing to judge"]
    return [f"{table.name}: {table.title}", *text_table([["", *table.columns], *shown])]
