"""`perception bench start`: figures by hand, and the verb with models that need no weights."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from perception import cli
from perception.benchmarks import start
from perception.core.errors import RequestError


def test_figures_are_ratios_of_one_round() -> None:
    seconds = {
        "all, empty cache": [40.0, 60.0, 50.0],
        "all": [12.0, 22.0, 17.0],
        "few": [7.0, 7.0, 7.0],
        "auto_annotate": [60.0, 60.0, 51.0],
    }
    found = {row.what: row.figure for row in start.report(seconds, 15, 4).rows}
    assert found["times auto_annotate, empty cache"].value == 1.02  # 1.5, 1, 1.02
    assert found["times auto_annotate"].value == 3.0
    assert (found["times auto_annotate"].low, found["a picture more"].value) == (
        pytest.approx(60 / 22),
        2.0,
    )
    assert found["few, without their pictures"].value == pytest.approx(7 - 20)
    assert found["networks kept"].value == 4


@pytest.mark.slow
def test_every_command_is_timed(
    tmp_path: Path,
    pictures: Callable[[Path, int], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tasks = []
    monkeypatch.setattr(start, "call", lambda entry, task: tasks.append(task))
    source = pictures(tmp_path / "src", 11)
    tokens = ["bench", "start", "--images", str(source), "--detector", "bright"]
    assert cli.run([*tokens, "--segmenter", "boxes", "--rounds", "1", "--json"]) == cli.FINE
    found = json.loads(capsys.readouterr().out)
    assert found["all"] > 0 and found["networks kept"] == 0
    assert len(tasks) == 1 and tasks[0].threads > 0
    with pytest.raises(RequestError, match=r"bench\.invalid.*more than 10"):
        start.measure(
            str(pictures(tmp_path / "few", 10)),
            "bright",
            "boxes",
            tmp_path / "scratch",
            rounds=1,
            tell=tasks.append,
        )
