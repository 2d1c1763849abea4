"""What each part of the lift is worth, and how fast it is: `perception bench lift`."""

from collections.abc import Sequence
from pathlib import Path

from perception.benchmarks.harness.measurement import Measurement, Row
from perception.benchmarks.lift import ablation, speed
from perception.core.progress import Progress
from perception.core.statistics import Figure


def measure(runs: Sequence[Path], done: Progress) -> Measurement:
    """Lift runs again without each part of the lift, and measure its speed.

    Args:
        runs: As for `ablation.ablate`; none for the speed alone.
        done: Called with samples done and in all, for each run.

    Raises:
        RequestError: Those of `ablation.ablate`.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    rows: list[Row] = []
    lines: list[str] = []
    for run in runs:
        scores = ablation.ablate(run, tuple(ablation.WITHOUT), done)
        found[str(run)] = {way: one.figures() for way, one in scores.items()}
        rows += ablation.rows(scores, run.name)
        lines += [f"{run}: ", *ablation.lines(scores), ""]
    fast = speed.measure()
    lines += [f"{name:48} {value:.4g}" for name, value in fast.items()]
    for name, value in fast.items():
        what, _, unit = name.rpartition(", ")
        rows.append(Row(what, Figure(value), unit))
    return Measurement(rows, lines, {"runs": found, "speed": fast})
