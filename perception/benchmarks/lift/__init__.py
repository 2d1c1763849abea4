"""What each part of the lift is worth, and how fast it is: `perception bench lift`."""

from collections.abc import Callable, Sequence
from pathlib import Path

from perception.benchmarks.harness.measurement import Measurement, Row, rows_of
from perception.benchmarks.lift import ablation, speed


def measure(runs: Sequence[Path], done: Callable[[int, int], None]) -> Measurement:
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
    return Measurement([*rows, *rows_of(fast)], lines, {"runs": found, "speed": fast})
