"""Ctrl-C and pre-emption: once, what was seen is kept; twice, the run ends at once."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from perception.cli import terminal
from perception.commands.label import label
from perception.commands.request import LabelRequest
from perception.core.errors import Interrupted
from perception.runs import evidence, folder

Begun = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def begun(
    tmp_path: Path,
    pictures: Callable[[Path, int], Path],
    detector_does: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., "subprocess.Popen[str]"],
) -> Begun:
    """Start a run of two shards, whose second waits in its first picture for TMP/go."""
    pictures(tmp_path / "src", 12)
    (tmp_path / "small.yaml").write_text("shard_size: 6\n")

    def start() -> "subprocess.Popen[str]":
        with monkeypatch.context() as slowly:
            slowly.setenv("PYTHONPATH", "")
            detector_does(
                "waits = picture.file_name == '006.png'\n"
                f"    open({str(tmp_path / 'there')!r}, 'w').close() if waits else None\n"
                f"    while waits and not os.path.exists({str(tmp_path / 'go')!r}):\n"
                "        time.sleep(0.01)\n"
                "    time.sleep(0.5 * (picture.file_name > '006.png'))"  # as a model would
            )
            driver = command(
                *("label", f"images:{tmp_path / 'src'}", "--out", tmp_path / "run"),
                *("--config", tmp_path / "small.yaml"),
                *("--detector", "bright", "--segmenter", "boxes"),
                env=dict(os.environ),
            )
        wait_for(tmp_path, "there")
        wait_for(tmp_path, "run/labels/*/000000.json")  # the first is written meanwhile
        return driver

    return start


def wait_for(folder: Path, pattern: str) -> None:
    deadline = time.monotonic() + 300
    while not list(folder.glob(pattern)):
        assert time.monotonic() < deadline, pattern
        time.sleep(0.01)


def signalled(driver: "subprocess.Popen[str]", sent: signal.Signals) -> None:
    """Send a signal, and wait until the driver says what it does, and what one more does."""
    driver.send_signal(sent)
    assert driver.stderr is not None
    while "keeping what was seen; once more ends it now" not in driver.stderr.readline():
        assert driver.poll() is None


def resumed(folder: Path, snapshot: Callable[[Path], dict[str, bytes]]) -> bool:
    """Resume the run and compare it with a clean one."""
    for name in ("run", "clean"):
        request = LabelRequest(
            f"images:{folder / 'src'}",
            folder / name,
            "boxes",
            "bright",
            config=folder / "small.yaml",
        )
        label(request)
    return snapshot(folder / "run") == snapshot(folder / "clean")


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_row_39_one_signal_keeps_every_picture_that_was_seen(
    tmp_path: Path,
    begun: Begun,
    snapshot: Callable[[Path], dict[str, bytes]],
    sent: signal.Signals,
    code: int,
) -> None:
    driver = begun()
    signalled(driver, sent)
    (tmp_path / "go").touch()
    _, errors = driver.communicate(timeout=120)
    assert driver.returncode == code, errors
    assert "the same command resumes" in errors and "Traceback" not in errors
    run = tmp_path / "run"
    assert [path.stem for path in run.glob("labels/*/*.json")] == ["000000"]
    # the picture in hand, and those that were begun behind it; the last were not
    refs = folder.read_plan(run, folder.read_spec(run)).shard(1)
    kept = evidence.read_partial(run, 1, refs)
    assert "006.png" in kept and "011.png" not in kept
    assert not (tmp_path / "run" / "lock.json").exists()
    assert resumed(tmp_path, snapshot)


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_row_39_two_signals_end_the_run_at_once(
    tmp_path: Path,
    begun: Begun,
    snapshot: Callable[[Path], dict[str, bytes]],
    sent: signal.Signals,
    code: int,
) -> None:
    driver = begun()
    signalled(driver, sent)
    driver.send_signal(sent)
    _, errors = driver.communicate(timeout=120)
    assert driver.returncode == code and "Traceback" not in errors
    assert [path.stem for path in (tmp_path / "run").glob("evidence/*.json")] == ["000000"]
    assert not (tmp_path / "run" / "lock.json").exists()
    (tmp_path / "go").touch()
    assert resumed(tmp_path, snapshot)


@pytest.mark.slow
def test_row_39_the_samples_in_hand_have_seconds_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(terminal, "GRACE_S", 1)
    with (
        pytest.raises(Interrupted) as caught,
        terminal.stopping_between_samples(lambda done, total, name="": None) as check,
    ):
        check(0, 9)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
    assert caught.value.exit_code == 143


def test_before_the_first_shard_a_signal_ends_at_once() -> None:
    with (
        pytest.raises(Interrupted),
        terminal.stopping_between_samples(lambda done, total, name="": None),
    ):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_outside_the_main_thread_there_are_no_signals_to_handle() -> None:
    seen: list[int] = []

    def work() -> None:
        with (
            terminal.ending_on_signals(),
            terminal.stopping_between_samples(
                lambda done, total, name="": seen.append(done)
            ) as check,
        ):
            check(3, 9)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [3]
