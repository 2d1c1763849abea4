"""The whole job with every way out blocked: no network, no pip, nothing left on the machine."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from perception.commands.results import read_labels

pytestmark = pytest.mark.models

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
WEIGHTS = DATA / "weights"
# Runs in every Python process of the job, children too, before anything else is imported.
NO_NETWORK = """
import socket, sys

def write_down(what):
    with open({log!r}, "a") as log:
        log.write(f"{{what}} by {{sys.orig_argv}}\\n")

def refuse(name):
    def attempt(*arguments, **_):
        write_down(f"{{name}} {{arguments[-1:]}}")
        raise OSError("this test is offline")
    return attempt

class Socket(socket.socket):
    connect, connect_ex = refuse("connect"), refuse("connect_ex")
    sendto, sendmsg = refuse("sendto"), refuse("sendmsg")

socket.socket = Socket
for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection"):
    setattr(socket, name, refuse(name))
"""
NO_INSTALLER = """
import sys
with open({log!r}, "a") as log:
    log.write(f"{{sys.orig_argv}}\\n")
sys.exit("this test installs nothing")
"""


@dataclass(frozen=True)
class Sealed:
    """A machine without network and installers: what tries, is written to `log`."""

    folder: Path
    environment: dict[str, str]

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def run(self, *command: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*map(str, command)],
            cwd=self.folder / "cwd",
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def left_behind(self) -> list[str]:
        """Return what lies in the home, the working directory and the temporary folder."""
        found = (path for name in PLACES for path in (self.folder / name).rglob("*"))
        return [str(path.relative_to(self.folder)) for path in found]


PLACES = ("home", "cwd", "temporary")


@pytest.fixture
def sealed(tmp_path: Path, python_path: Callable[..., str]) -> Sealed:
    folder = tmp_path / "sealed"
    log = str(folder / "log")
    for name in (*PLACES, "bin", "site/pip", "site/uv"):
        (folder / name).mkdir(parents=True)
    (folder / "site" / "sitecustomize.py").write_text(NO_NETWORK.format(log=log))
    for name in ("pip", "uv"):
        for module in ("__init__", "__main__"):
            path = folder / "site" / name / f"{module}.py"
            path.write_text(NO_INSTALLER.format(log=log))
    for name in ("pip", "pip3", "uv"):
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\necho "$0 $*" >>{log}\nexit 1\n')
        script.chmod(0o755)
    # What silences telemetry by itself: our own switches, and the marks of tests and CI.
    unset = ("YOLO_", "ULTRALYTICS_", "ORT_", "HF_", "MPL", "XDG_", "_PERCEPTION", "PYTEST_", "CI")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(unset)}
    environment |= {
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "temporary"),
        "PERCEPTION_CACHE": "off",  # the one thing that is kept outside a run: compiled networks
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": python_path(folder / "site"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return Sealed(folder, environment)


def test_the_seal_is_tight(sealed: Sealed) -> None:
    """The other tests would pass with a seal that sees nothing."""
    attempts = (
        "import socket; socket.create_connection(('192.0.2.1', 80))",
        "import socket; socket.socket().connect(('192.0.2.1', 80))",
        "import urllib.request; urllib.request.urlopen('http://192.0.2.1')",
        "import subprocess, sys; subprocess.run([sys.executable, '-m', 'pip', 'list'])",
        "import subprocess; subprocess.run('uv pip install x', shell=True)",
    )
    for count, code in enumerate(attempts, start=1):
        sealed.run(sys.executable, "-c", code)
        assert len(sealed.log.read_text().splitlines()) >= count, code


def label(sealed: Sealed, source: Path, *options: object) -> dict[str, int]:
    """Label with the command line and return the counts of samples."""
    run = sealed.folder / "run"
    command = (sys.executable, "-m", "perception.cli", "label", f"images:{source}")
    done = sealed.run(*command, "--out", run, "--json", *options)
    assert done.returncode == 1, done.stderr  # the corrupt picture
    assert not sealed.log.exists(), sealed.log.read_text()
    assert sealed.left_behind() == []
    counts: dict[str, int] = json.loads(done.stdout)["counts"]["samples"]
    (row,) = map(json.loads, (run / "quarantine.jsonl").read_text().splitlines())
    assert row["sample_id"] == "corrupt.png"  # HEIC within, which the extra heic reads
    assert row["code"] in {"image.truncated", "image.unsupported"}
    return counts


def corrupt(source: Path) -> Path:
    """Add a picture that PIL could not open: ultralytics would then install a package."""
    (source / "corrupt.png").write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(200))
    return source


def test_row_32_the_job_without_weights_stays_on_the_machine(
    sealed: Sealed, tmp_path: Path, pictures: Callable[..., Path]
) -> None:
    source = corrupt(pictures(tmp_path / "src", 3))
    counts = label(sealed, source, "--detector", "bright", "--segmenter", "grabcut")
    assert counts == {"input": 4, "ok": 2, "empty": 1, "quarantined": 1}


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="the real weights are not beside the repository")
@pytest.mark.skipif(importlib.util.find_spec("ultralytics") is None, reason="needs ultralytics")
def test_row_32_the_job_with_real_weights_stays_on_the_machine(
    sealed: Sealed, tmp_path: Path, snapshot: Callable[[Path], dict[str, bytes]]
) -> None:
    source = tmp_path / "src"
    source.mkdir()
    for name in ("000003.png", "000008.png"):
        shutil.copy(DATA / "kitti_object" / "training" / "image_2" / name, source)
    corrupt(source)
    before = snapshot(source)
    detector, segmenter = WEIGHTS / "yolov8n_int8.onnx", WEIGHTS / "mobile_sam.pt"
    counts = label(sealed, source, "--detector", detector, "--segmenter", segmenter)
    assert counts == {"input": 3, "ok": 2, "empty": 0, "quarantined": 1}
    assert snapshot(source) == before
    cars = [
        sample.pictures[0].instances.class_ids.tolist().count(6)
        for sample in read_labels(sealed.folder / "run")
    ]
    assert cars[1] >= 3  # frame 000008 is a street of parked cars
