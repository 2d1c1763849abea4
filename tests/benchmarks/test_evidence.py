"""`perception bench evidence`: what a run's evidence takes, by instance."""

from collections.abc import Callable
from pathlib import Path

import pytest

from perception.benchmarks import evidence
from perception.commands.label import label
from perception.commands.request import LabelRequest


@pytest.mark.slow
def test_bytes_are_those_of_the_files_and_a_run_without_instances_has_none(
    tmp_path: Path, pictures: Callable[..., Path]
) -> None:
    source = pictures(tmp_path / "src", 3)  # with 0, 1 and 2 objects
    run = label(LabelRequest(str(source), tmp_path / "run", "boxes", "bright")).folder
    found = evidence.measure(run).value
    files = sum(path.stat().st_size for path in (run / "evidence").iterdir())
    assert found["instances"] == 3
    assert found["file_bytes_per_instance"] == files / 3
    assert 64 < found["median_bytes"] <= found["largest_bytes"] < 200
    one = pictures(tmp_path / "one", 1)
    empty = label(LabelRequest(str(one), tmp_path / "empty", "boxes", "bright")).folder
    assert evidence.measure(empty).value["median_bytes"] == 0.0
