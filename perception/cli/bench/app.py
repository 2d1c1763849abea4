"""What the verbs of `perception bench` share: how figures are shown, and kept."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from perception.cli.terminal import FINE, TYPED, AsJson, say

if TYPE_CHECKING:
    from perception.benchmarks.harness.measurement import Measurement

bench_app = App(
    name="bench",
    help="Measure speed, quality, memory and size; BENCHMARKS.md states the figures.",
)


def _check(kind: Any, path: Path | None) -> None:
    """Refuse a file that figures cannot be appended to, before the work."""
    from perception.benchmarks.harness import record

    if path is not None:
        record.check(path)


@dataclass(frozen=True)
class Output:
    """Where figures go.

    Attributes:
        as_json: Print one JSON object for programs.
        record: Append a line for each figure to this file, such as benchmarks.jsonl.
    """

    as_json: AsJson = False
    record: Annotated[Path | None, Parameter(validator=_check)] = None


Shown = Annotated[Output, Parameter(name="*")]
PLAIN = Output()


def finish(measurement: "Measurement", output: Output) -> int:
    """Print what was measured, and keep its figures where that is asked."""
    say(dict(measurement.value), output.as_json, measurement.lines)
    if output.record is not None:
        from perception.benchmarks.harness import record

        record.append(output.record, measurement.rows, TYPED.get())
    return FINE
