"""Scratch folders go with their work, and what killed processes left is swept, and nothing else."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from perception.io import owners, scratch

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="without /proc nothing is proof"
)


@pytest.fixture
def ended() -> int:
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left(place: Path, name: str = "perception-child-a", **changes: Any) -> Path:
    """Leave a folder with a file in it, as another process would."""
    path = place / name
    path.mkdir()
    (path / "big").write_bytes(b"0" * 9)
    owner = replace(owners.this_process(), **changes)
    (path / scratch.OWNER).write_text(json.dumps(asdict(owner)))
    return path


def test_a_folder_goes_with_its_work_even_if_that_fails() -> None:
    with pytest.raises(ValueError, match="work"), scratch.folder("test") as path:
        (path / "file").touch()
        owner = owners.parse((path / scratch.OWNER).read_bytes())
        assert owner is not None and owner.pid == os.getpid()
        assert path.name.startswith("perception-test-") and not owners.is_gone(owner)
        raise ValueError("work")
    assert not path.exists()


def test_a_folder_that_nobody_removed_goes_when_its_process_ends(
    tmp_path: Path, python_path: Callable[..., str]
) -> None:
    code = "from perception.io import scratch; print(scratch.make('child').exists())"
    environment = os.environ | {"PYTHONPATH": python_path(), "TMPDIR": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert ended.stdout.decode() == "True\n" and list(tmp_path.iterdir()) == []


@needs_proc
def test_row_43_what_killed_processes_left_is_swept_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python_path: Callable[..., str]
) -> None:
    code = "import os; from perception.io import scratch; print(scratch.make('child')); os._exit(9)"
    environment = os.environ | {"PYTHONPATH": python_path(), "TMPDIR": str(tmp_path)}
    killed = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    path = Path(killed.stdout.strip())
    assert path.parent == tmp_path and (path / scratch.OWNER).is_file()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch.folder("ray") as own:
        assert [*tmp_path.iterdir()] == [own]


@needs_proc
@pytest.mark.parametrize(
    "changes",
    [{"pid": os.getpid()}, {"host": "gpu-7"}, {"boot": "another"}, {"space": "pid:[1]"}],
    ids=["alive", "host", "boot", "space"],
)
def test_row_43_a_folder_of_the_living_or_of_elsewhere_stays(
    tmp_path: Path, ended: int, changes: dict[str, Any]
) -> None:
    path = left(tmp_path, **({"pid": ended} | changes))
    assert scratch.sweep(tmp_path) == [] and (path / "big").exists()


@needs_proc
def test_row_43_a_folder_that_is_not_surely_ours_stays(tmp_path: Path, ended: int) -> None:
    target = left(tmp_path, "somebodys", pid=ended)  # another name
    (tmp_path / "perception-link").symlink_to(target)
    for number, text in enumerate(["", "{", "[" * 9999, '{"pid": 1}', "0" * 99_999]):
        (left(tmp_path, f"perception-{number}", pid=ended) / scratch.OWNER).write_text(text)
    linked = left(tmp_path, "perception-linked", pid=ended)
    (linked / scratch.OWNER).rename(tmp_path / "owner")
    (linked / scratch.OWNER).symlink_to(tmp_path / "owner")
    (left(tmp_path, "perception-none", pid=ended) / scratch.OWNER).unlink()
    (tmp_path / "perception-file").touch()
    before = sorted(tmp_path.rglob("*"))
    assert scratch.sweep(tmp_path) == [] and sorted(tmp_path.rglob("*")) == before


@needs_proc
def test_row_43_a_folder_of_another_user_stays(
    tmp_path: Path, ended: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = left(tmp_path, pid=ended)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert scratch.sweep(tmp_path) == []
    monkeypatch.undo()
    assert scratch.sweep(tmp_path) == [path] and not path.exists()


@needs_proc
def test_row_43_links_in_a_folder_that_is_swept_are_not_followed(
    tmp_path: Path, ended: int
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    path = left(tmp_path, pid=ended)
    (path / "link").symlink_to(tmp_path / "mine")
    assert scratch.sweep(tmp_path) == [path]
    assert (tmp_path / "mine" / "file").exists()


def test_no_other_module_makes_folders_that_a_kill_would_leave_for_good() -> None:
    root = Path(scratch.__file__).parent
    files = [path for place in (root, root.parent / "integrations") for path in place.rglob("*.py")]
    makers = {path for path in files if re.search(r"mkdtemp|TemporaryDirectory", path.read_text())}
    assert makers == {root / "scratch.py"}
