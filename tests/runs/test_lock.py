"""One writer per run folder, and locks of processes that are gone."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from perception.commands.label import label
from perception.commands.relabel import relabel
from perception.commands.request import LabelRequest
from perception.core.errors import RequestError
from perception.io import owners
from perception.runs import lock

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="without /proc nothing is proof"
)


def refusal(run: Path) -> str:
    with pytest.raises(RequestError) as caught, lock.held(run):
        pytest.fail("it was taken")
    assert caught.value.code == "run.locked"
    return caught.value.message


def left_by(run: Path, **changes: Any) -> None:
    """Leave the lock of another holder."""
    run.mkdir(exist_ok=True)
    holder = replace(owners.this_process(), **changes)
    (run / "lock.json").write_text(json.dumps(asdict(holder)))


@pytest.fixture
def ended() -> int:
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_row_38_a_second_run_is_refused_naming_the_holder(tmp_path: Path) -> None:
    with lock.held(tmp_path / "run"):
        holder = json.loads((tmp_path / "run" / "lock.json").read_bytes())
        message = refusal(tmp_path / "run")
    assert f"process {os.getpid()} on {holder['host']}, since {holder['since']}" in message
    assert "--break-lock" in message
    assert list((tmp_path / "run").iterdir()) == []  # and nothing stays behind


@needs_proc
def test_row_38_a_lock_whose_process_has_ended_is_broken(tmp_path: Path, ended: int) -> None:
    left_by(tmp_path, pid=ended)
    with lock.held(tmp_path):
        assert json.loads((tmp_path / "lock.json").read_bytes())["pid"] == os.getpid()


@needs_proc
def test_row_38_a_number_that_was_given_out_again_is_another_process(tmp_path: Path) -> None:
    left_by(tmp_path, pid=os.getppid(), start=1)
    with lock.held(tmp_path):
        assert json.loads((tmp_path / "lock.json").read_bytes())["pid"] == os.getpid()


@pytest.mark.parametrize(
    "elsewhere", [{"host": "gpu-7"}, {"boot": "another"}, {"space": "pid:[1]"}], ids=str
)
def test_row_38_what_ended_elsewhere_is_no_proof(
    tmp_path: Path, ended: int, elsewhere: dict[str, str]
) -> None:
    left_by(tmp_path, pid=ended, **elsewhere)
    assert f"process {ended}" in refusal(tmp_path)
    with lock.held(tmp_path, break_lock=True):
        pass
    assert not (tmp_path / "lock.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_row_38_a_lock_that_says_nothing_needs_a_person(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock.json").write_text(text)
    assert "does not say who" in refusal(tmp_path)


def test_row_38_a_process_of_another_user_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_permitted(pid: int, number: int) -> None:
        raise PermissionError

    left_by(tmp_path, pid=1, start=1)
    monkeypatch.setattr(os, "kill", not_permitted)
    assert "process 1 " in refusal(tmp_path)


def test_of_many_who_see_the_same_stale_lock_one_gets_it(tmp_path: Path, ended: int) -> None:
    if not owners.this_process().boot:
        pytest.skip("without /proc nothing is proof")
    left_by(tmp_path, pid=ended)
    barrier, release = threading.Barrier(8), threading.Event()
    taken: list[bool] = []

    def take() -> None:
        barrier.wait()
        try:
            with lock.held(tmp_path):
                taken.append(True)
                release.wait(30)
        except RequestError:
            taken.append(False)
        if len(taken) == 8:
            release.set()

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 7 + [True]


def test_a_lock_that_was_given_to_somebody_else_is_not_removed(tmp_path: Path) -> None:
    with lock.held(tmp_path):
        left_by(tmp_path, pid=1, host="gpu-7")
    assert (tmp_path / "lock.json").exists()


def test_a_file_system_without_links_has_locks_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    with lock.held(tmp_path):
        refusal(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@needs_proc
def test_row_38_two_labellings_of_one_folder_and_one_after_a_kill(
    tmp_path: Path,
    pictures: Callable[[Path, int], Path],
    detector_does: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., "subprocess.Popen[str]"],
) -> None:
    source, run = pictures(tmp_path / "src", 3), tmp_path / "run"
    begun = tmp_path / "begun"
    request = LabelRequest(f"images:{source}", run, "boxes", "bright")
    with monkeypatch.context() as slowly:
        slowly.setenv("PYTHONPATH", "")
        detector_does(f"open({str(begun)!r}, 'w').close(); time.sleep(60)")
        first = command(
            *("label", f"images:{source}", "--out", run, "--detector", "bright"),
            *("--segmenter", "boxes"),
            env=dict(os.environ),
        )
    while not begun.exists():
        assert first.poll() is None, first.communicate()
    for call in (lambda: label(request), lambda: relabel(run)):
        with pytest.raises(RequestError, match=f"process {first.pid} ") as caught:
            call()
        assert caught.value.code == "run.locked"
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert label(request).counts["samples"]["ok"] == 2
    assert not (run / "lock.json").exists()
