"""What every benchmark ends in: figures to be kept, lines for people, an object for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perception.core.statistics import Figure


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        what: What it is of. "ROW: COLUMN" names its place where the page makes a table of several.
        figure: The number, and its interval where it has one.
        unit: Of the number; "" where it has none, or `what` names it.
    """

    what: str
    figure: Figure
    unit: str = ""


@dataclass(frozen=True)
class Measurement:
    """What a benchmark found.

    Attributes:
        rows: The figures.
        lines: What is printed.
        value: What `--json` prints.
    """

    rows: Sequence[Row]
    lines: Sequence[str]
    value: Mapping[str, Any]


def rows_of(values: Mapping[str, float | None], row: str = "") -> tuple[Row, ...]:
    """Return a row for each value, by its name; as columns of `row` where that is named."""
    before = f"{row}: " if row else ""
    return tuple(Row(before + name, Figure(value)) for name, value in values.items())
