"""How often a run opens the files that it reads: each once in a process that needs it."""

import os
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

POCKET = Path(__file__).parents[2] / "datasets" / "pocket" / "pocket.onnx"
# In every process of a run: a line for each file of ours that Python opens.
HOOK = """
import os, sys
log = os.open({log!r}, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith({places!r}):
        os.write(log, f"{{os.getpid()}} {{arguments[0]}}\\n".encode())
sys.addaudithook(hook)
"""
CAM = """S_rect_02: 64 48
R_rect_00: 1 0 0 0 1 0 0 0 1
P_rect_02: 60 0 32 0 0 60 24 0 0 0 1 0
"""
VELO = """R: 0 -1 0 0 0 -1 1 0 0
T: 0 0 0
"""


def drive(root: Path, draw: Callable[..., Path], frames: int) -> Path:
    """Write a raw drive: all of its frames share two files of calibration."""
    for frame in range(frames):
        name = f"{frame:010d}"
        draw(root / "image_02" / "data" / f"{name}.png", (4, 4, 20, 20, 255))
        sweep = root / "velodyne_points" / "data" / f"{name}.bin"
        sweep.parent.mkdir(parents=True, exist_ok=True)
        sweep.write_bytes(np.full((5, 4), 9, "<f4").tobytes())
    (root / "calib_cam_to_cam.txt").write_text(CAM)
    (root / "calib_velo_to_cam.txt").write_text(VELO)
    return root


@pytest.mark.models
def test_sweeps_calibrations_and_weights_are_opened_once_in_a_process(
    tmp_path: Path,
    draw: Callable[..., Path],
    command: Callable[..., "subprocess.Popen[str]"],
    python_path: Callable[..., str],
) -> None:
    pytest.importorskip("openvino")
    root, log = drive(tmp_path / "src" / "drive", draw, 4), tmp_path / "log"
    weights = tmp_path / "src" / "weights.onnx"
    weights.write_bytes(POCKET.read_bytes())
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        HOOK.format(log=str(log), places=str(tmp_path / "src"))
    )
    done = command(
        *("label", f"kitti-raw:{root}", "--detector", weights, "--segmenter", "boxes"),
        *("--out", tmp_path / "run", "--class-map", "road-to-road"),
        env=os.environ | {"PYTHONPATH": python_path(tmp_path / "site")},
    )
    said = done.communicate()[1]
    assert done.returncode == 0, said
    opened = Counter(line for line in log.read_text().splitlines())
    assert set(opened.values()) == {1}, [line for line, count in opened.items() if count > 1]
    processes = dict[str, set[str]]()
    for line in opened:
        process, _, path = line.partition(" ")
        processes.setdefault(process, set()).add(Path(path).name)
    driver, worker = sorted(processes.values(), key=len)
    calibration = {"calib_cam_to_cam.txt", "calib_velo_to_cam.txt", "weights.onnx"}
    assert calibration <= driver and calibration <= worker
    names = {f"{frame:010d}" for frame in range(4)}
    assert {Path(name).stem for name in worker if name.endswith(".bin")} == names
    # Of three samples the driver says what is odd; the size of their pictures is probed for that.
    assert len([name for name in driver if name.endswith(".bin")]) == 3
