"""What is shown of a verb while it works: lines by hand, silence under a pseudo terminal."""

import itertools
import json
import os
import pty
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from perception import cli
from perception.cli import display
from perception.cli.display import State, line_of, object_of
from perception.core.progress import Pace, Step, each, phase, step

LONG = "a/very/long/folder/of/pictures/with/many/names/000123.png"


def paced() -> Pace:
    pace = Pace()
    pace.add(0, 2)
    pace.add(10, 12)
    return pace


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (State(), "starting · 0:10"),
        (State("reading sam.pt, once", 4), "reading sam.pt, once · 0:06"),
        (State("x", 10, Step(12, 40, "12.png")), "12/40 · 1/s · 0:28 left · 12.png"),
        (
            State("x", 7, Step(12, 40, "12.png"), "preparing"),
            "12/40 · 1/s · 0:28 left · preparing · 0:03",
        ),
        (State("x", 10, Step(40, 40, "39.png")), "40/40 · 39.png"),
        (State("x", 10, Step(0, 0)), "x · 0:00"),  # how many is not known
        (State("x", 10, Step(40, 40, LONG)), "40/40 · ..." + LONG[-37:]),
    ],
)
def test_a_line_says_how_many_how_fast_how_long_and_which(state: State, line: str) -> None:
    assert line_of(state, paced(), 10) == line


def test_programs_read_the_same_as_json() -> None:
    state = State("labelling", 10, Step(12, 40, "12.png"))
    assert object_of(state, paced(), 10) == {
        "phase": "labelling",
        "done": 12,
        "total": 40,
        "name": "12.png",
        "per_s": 1.0,
        "left_s": 28.0,
    }
    assert object_of(State("reading", 10), paced(), 10) == {"phase": "reading"}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show everything a hundred times as early."""
    for name in ("PATIENCE_S", "PLAIN_S", "HEARTBEAT_S", "TICK_S"):
        monkeypatch.setattr(display, name, getattr(display, name) / 100)


@pytest.mark.parametrize("form", ["plain", "json"])
def test_lines_come_while_something_is_done_and_while_nothing_moves(
    form: display.Form, hasty: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with display.shown(form):
        phase("reading")
        time.sleep(0.5)
        for _ in each(range(3), 3, "drawing"):
            time.sleep(0.15)
    lines = capsys.readouterr().err.splitlines()
    if form == "json":
        told = [json.loads(line) for line in lines]
        assert {one["phase"] for one in told} == {"reading", "drawing"}
        assert {one.get("done") for one in told} >= {None, 1, 2}
    else:
        assert sum("reading · 0:00" in line for line in lines) > 1  # again and again
        assert any(line.startswith("1/3") for line in lines)


def test_what_is_quick_and_what_shall_be_quiet_shows_nothing(
    hasty: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with display.shown("plain"):
        phase("reading")
    with display.shown("quiet"):
        phase("reading")
        time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_verbose_keeps_each_phase_and_nothing_follows_the_results(
    hasty: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with display.shown("plain", verbose=True):
        phase("reading")
        phase("drawing")
        display.end()
        sys.stderr.write("results")
        time.sleep(0.2)
        step(1, 2)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line in ("reading", "drawing")] == ["reading", "drawing"]
    assert lines[-1] == "results"


@pytest.mark.slow
def test_no_verb_is_silent_for_two_seconds_on_a_terminal(
    tmp_path: Path,
    pictures: Callable[[Path, int], Path],
    detector_does: Callable[[str], None],
    python_path: Callable[..., str],
) -> None:
    pictures(tmp_path / "src", 2)
    detector_does("time.sleep(4)")  # in each picture
    tokens = ["label", f"images:{tmp_path / 'src'}", "--out", str(tmp_path / "run")]
    tokens += ["--detector", "bright", "--segmenter", "boxes"]
    inherited = os.environ.get("PYTHONPATH", "")
    environment = os.environ | {"PYTHONPATH": inherited, "TERM": "xterm", "COLUMNS": "100"}
    pid, terminal = pty.fork()
    if not pid:
        os.execve(sys.executable, [sys.executable, "-m", "perception.cli", *tokens], environment)
    said, times = b"", [time.monotonic()]
    while True:
        try:
            if select.select([terminal], [], [], 1)[0]:
                said += os.read(terminal, 1 << 16)
                times.append(time.monotonic())
        except OSError:  # the terminal's other end is closed
            break
    _, code = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(code) == cli.FINE, said.decode(errors="replace")
    silences = [later - before for before, later in itertools.pairwise(times[1:])]
    assert max(silences) < 2, silences  # after the interpreter's own start
    assert b"1/2" in said and b"000.png" in said
    assert said.rindex(b"samples:") > said.rindex(b"1/2")  # the line is gone when results come
