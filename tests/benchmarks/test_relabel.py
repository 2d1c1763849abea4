"""`perception bench relabel`, and the whole commands that it measures."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from perception import cli
from perception.benchmarks.harness.timed_command import command
from perception.core.errors import RequestError


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, python_path: Callable[..., str]) -> None:
    monkeypatch.setenv("PYTHONPATH", python_path())


@pytest.mark.slow
def test_a_run_that_is_decided_again_has_the_bytes_of_a_fresh_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["bench", "relabel", "--frames", "3", "--objects", "2", "--json"]) == cli.FINE
    found = json.loads(capsys.readouterr().out)
    assert found["identical"] is True and found["frames"] == 3
    assert found["relabel_ms"] > 0 and found["export_peak_bytes"] > 1e7


@pytest.mark.slow
def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"io\.not_found|run\.damaged") as caught:
        command("relabel", tmp_path / "none")
    assert caught.value.code == "bench.failed"
