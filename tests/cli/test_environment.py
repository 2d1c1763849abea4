"""Machines that lack something: one line with the cause and the fix, never a traceback."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from perception import cli
from perception.commands import doctor
from perception.core.errors import RequestError
from perception.models.import_guard import refuse_compromised
from perception.models.remedies import in_one_line, remedy

FAULTS = {
    "libGL.so.1: cannot open shared object file: No such file or directory": "apt-get install",
    "numpy.dtype size changed, may indicate binary incompatibility. Expected 96": "reinstall",
    "numpy.core.multiarray failed to import (_ARRAY_API not found)": "reinstall",
    "The NVIDIA driver on your system is too old (found version 11040)": "update the driver",
    "Torch not compiled with CUDA enabled": "--device cpu",
    "Invalid CUDA 'device=0' requested. Use 'device=cpu'": "--device cpu",
    "libgomp.so.1: cannot allocate memory in static TLS block": "torch before open3d",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[:24])
def test_row_41_the_doctor_gives_cause_and_fix_in_one_line(
    fault: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "_in_fresh_process", lambda code: (False, f"ImportError: {fault}"))
    assert cli.run(["doctor"]) == cli.QUARANTINED
    out = capsys.readouterr().out
    assert FAULTS[fault] in out and "Traceback" not in out


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[:24])
def test_row_41_a_first_run_gives_cause_and_fix_in_one_line(
    tmp_path: Path,
    pictures: Callable[[Path, int], Path],
    in_worker: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
    fault: str,
) -> None:
    pictures(tmp_path / "src", 1)
    in_worker(
        "from perception.models import fakes\n"
        "def load(path, config):\n"
        f"    raise RuntimeError({fault!r})\n"
        "fakes.load_box_filler = load\n"
    )
    tokens = ["label", str(tmp_path / "src"), "--detector", "bright", "--segmenter", "boxes"]
    assert cli.run([*tokens, "--out", str(tmp_path / "run")]) == cli.USAGE
    errors = capsys.readouterr().err.splitlines()[-1]
    assert errors.startswith("perception: model.unusable") and FAULTS[fault] in errors


def test_row_41_without_libgl_the_command_line_itself_says_so(
    tmp_path: Path, python_path: Callable[..., str]
) -> None:
    (tmp_path / "cv2.py").write_text(
        "raise ImportError('libGL.so.1: cannot open shared object file: No such file')\n"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "perception.cli", "label", ".", "--out", "run"),
            *("--detector", "bright", "--segmenter", "boxes"),
        ],
        env=os.environ | {"PYTHONPATH": python_path(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == cli.USAGE
    assert done.stderr.count("\n") == 1 and "apt-get install libgl1" in done.stderr


def test_an_error_of_many_lines_is_told_by_its_first() -> None:
    assert in_one_line(RuntimeError("\n broken \nmore")).startswith("broken; `perception doctor`")
    assert in_one_line(MemoryError()).startswith("MemoryError") and remedy("") == ""


@pytest.mark.parametrize("version", ["8.3.41", "8.3.42", "8.3.45", "8.3.46"])
def test_row_40_a_compromised_ultralytics_is_refused(version: str) -> None:
    with pytest.raises(RequestError, match=version) as caught:
        refuse_compromised(version)
    assert caught.value.code == "security.version"
    refuse_compromised("8.3.47")
