"""Disks that are full, broken or read-only: a clean stop that says what is needed, and a resume."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from perception import cli
from perception.commands.label import label as label_source
from perception.commands.request import LabelRequest
from perception.commands.results import Run
from perception.core.errors import RequestError
from perception.io.files import replacing, write_bytes

Snapshot = Callable[[Path], dict[str, bytes]]
# In the worker: the n-th time that a file is flushed to disk, the disk says no.
FAILING = """
import os
flush, count = os.fsync, 0
def fsync(number):
    global count
    count += 1
    if count == {at}:
        raise OSError({error}, os.strerror({error}))
    flush(number)
os.fsync = fsync
"""


def label(folder: Path, name: str) -> Run:
    request = LabelRequest(
        f"images:{folder / 'src'}", folder / name, "boxes", "bright", overrides={"shard_size": 2}
    )
    return label_source(request)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (errno.ENOSPC, "disk.full", "needs [1-9][0-9]* bytes, [0-9]+ are free"),
        (errno.EDQUOT, "disk.full", "Disk quota exceeded"),
        (errno.EIO, "disk.failed", "Input/output error"),
        (errno.EROFS, "disk.read_only", "Read-only file system"),
    ],
    ids=["full", "quota", "broken", "read-only"],
)
def test_row_35_a_disk_that_fails_half_way_stops_the_run_which_can_be_resumed(
    tmp_path: Path,
    pictures: Callable[[Path, int], Path],
    snapshot: Snapshot,
    in_worker: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    error: int,
    code: str,
    words: str,
) -> None:
    pictures(tmp_path / "src", 6)
    with monkeypatch.context() as failing:
        failing.setenv("PYTHONPATH", "")
        in_worker(FAILING.format(at=17, error=error))  # within the second shard's evidence
        with pytest.raises(RequestError, match=words) as caught:
            label(tmp_path, "run")
    assert caught.value.code == code and "the same command resumes" in caught.value.message
    done = [path.stem for path in (tmp_path / "run").glob("labels/*/*.json")]
    assert done == ["000000"]
    assert not list((tmp_path / "run").rglob(".tmp-*"))
    assert not (tmp_path / "run" / "lock.json").exists()
    label(tmp_path, "run")
    label(tmp_path, "clean")
    assert snapshot(tmp_path / "run") == snapshot(tmp_path / "clean")


@pytest.mark.slow
def test_row_35_a_full_temporary_folder_is_no_fault_of_the_sample(
    tmp_path: Path,
    pictures: Callable[[Path, int], Path],
    detector_does: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pictures(tmp_path / "src", 4)
    with monkeypatch.context() as failing:
        failing.setenv("PYTHONPATH", "")
        detector_does("raise OSError(28, 'No space left on device', '/tmp/library')")
        with pytest.raises(RequestError, match="/tmp/library") as caught:
            label(tmp_path, "run")
    assert caught.value.code in {"disk.full", "io.write"}
    counts = label(tmp_path, "run").counts["samples"]
    assert counts == {"input": 4, "ok": 2, "empty": 2, "quarantined": 0}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_row_35_a_folder_without_permission_says_so(
    tmp_path: Path, pictures: Callable[[Path, int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    pictures(tmp_path / "src", 2)
    (tmp_path / "out").mkdir(mode=0o555)
    tokens = ["label", str(tmp_path / "src"), "--detector", "bright", "--segmenter", "boxes"]
    assert cli.run([*tokens, "--out", str(tmp_path / "out" / "run")]) == cli.USAGE
    assert "disk.read_only" in capsys.readouterr().err


@pytest.mark.slow
def test_row_35_an_export_that_does_not_fit_leaves_nothing_half(
    tmp_path: Path, pictures: Callable[[Path, int], Path], python_path: Callable[..., str]
) -> None:
    pictures(tmp_path / "src", 6)
    run = label(tmp_path, "run").folder
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"  # a real limit, met by write()
        "from perception import cli\n"
        f"sys.exit(cli.run(['export', {str(run)!r}, '--to', 'coco', '--out', 'labels.json']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": python_path()},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == cli.USAGE, done.stderr
    assert "disk.full" in done.stderr and "are free" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "src"]


def test_what_failed_to_be_read_for_a_file_is_not_blamed_on_its_disk(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), replacing(tmp_path / "out.json"):
        raise PermissionError(errno.EACCES, "Permission denied", "/elsewhere/image.png")
    assert list(tmp_path.iterdir()) == []


def test_needed_and_free_bytes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 2, 7))
    with pytest.raises(RequestError, match=r"needs 12345 bytes, 7 are free") as caught:
        write_bytes(tmp_path / "a" / "b.bin", bytes(12345))
    assert caught.value.code == "disk.full" and "b.bin" in caught.value.message


def test_a_file_is_the_old_one_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    write_bytes(path, b"old")
    with path.open("rb") as reader:  # somebody who has it open, such as an export
        with pytest.raises(ZeroDivisionError), replacing(path) as stream:
            stream.write(b"ne")
            stream.flush()
            assert path.read_bytes() == b"old"
            raise ZeroDivisionError
        assert path.read_bytes() == b"old" and [*tmp_path.iterdir()] == [path]
        write_bytes(path, b"new")
        assert reader.read() == b"old" and path.read_bytes() == b"new"
