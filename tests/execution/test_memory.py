"""The bound that `doctor` states for a worker's memory, beside what one takes."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from perception.commands.label import label
from perception.commands.request import LabelRequest
from perception.execution.ahead import AHEAD
from perception.execution.memory import FORMULA, IN_HAND, working_bytes


def test_the_bound_is_that_of_the_formula() -> None:
    assert f"({AHEAD + IN_HAND} + lanes)" in FORMULA
    assert working_bytes(1000, 2, 8) == (6 + 2) * 3 * 1000 + 2 * 8 * 4 * 1000 + 128_000_000


@pytest.mark.slow
def test_a_worker_stays_within_the_bound_for_its_images(
    tmp_path: Path, draw: Callable[..., Path]
) -> None:
    peaks = {}
    for name, size_hw in (("small", (48, 64)), ("large", (2000, 3000))):
        for i in range(12):
            draw(tmp_path / name / f"{i:03d}.jpg", (4, 4, 20, 20, 255), size_hw=size_hw)
        run = tmp_path / f"run-{name}"
        label(LabelRequest(f"images:{tmp_path / name}", run, "boxes", "four-cars"))
        peaks[name] = json.loads((run / "timings.json").read_bytes())["worker_peak_bytes"]
    taken, pixels = peaks["large"] - peaks["small"], int(np.prod((2000, 3000)))
    assert 3 * pixels < taken < working_bytes(pixels, 1, 8)
