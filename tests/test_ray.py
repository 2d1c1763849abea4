"""The Ray engine gives the bytes of the local one, whatever the number of workers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("ray")

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"


def draw_images(folder: Path, count: int) -> None:
    """Write dark images with bright rectangles that differ from image to image."""
    folder.mkdir()
    for i in range(count):
        image = np.full((60, 120, 3), 20, np.uint8)
        cv2.rectangle(image, (5 + i, 10), (30 + i, 40), (250, 250, 250), -1)
        cv2.imwrite(str(folder / f"{i:03d}.png"), image)


def command(source: str, out: Path, *options: str) -> list[str]:
    config = out.parent / "settings.yaml"
    config.write_text("shard_size: 2\n")
    return [
        *(sys.executable, "-m", "perception.cli", "label", source),
        *("--out", str(out), "--config", str(config), "--threads", "1"),
        *options,
    ]


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "integrations")])
    return {**os.environ, "PYTHONPATH": path}


def label(source: str, out: Path, *options: str) -> None:
    done = subprocess.run(
        command(source, out, *options),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def contents(run: Path) -> dict[str, bytes]:
    """Every file of a run but the one that holds times."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name != "timings.json"
    }


FAKES = ("--detector", "bright", "--segmenter", "grabcut")


def test_one_and_two_ray_workers_give_the_bytes_of_the_local_engine(tmp_path: Path) -> None:
    draw_images(tmp_path / "images", 7)
    source = f"images:{tmp_path / 'images'}"
    label(source, tmp_path / "local", *FAKES)
    expected = contents(tmp_path / "local")
    for workers in ("1", "2"):
        out = tmp_path / f"ray-{workers}"
        label(source, out, *FAKES, "--engine", "ray", "--workers", workers)
        assert contents(out) == expected


def test_real_models_give_the_same_bytes_through_ray(tmp_path: Path) -> None:
    weights = SHARED / "weights"
    if not (weights / "mobile_sam.pt").is_file():
        pytest.skip("needs ../shared/data/weights")
    models = (
        *("--detector", str(weights / "yolov8n_int8.onnx")),
        *("--segmenter", str(weights / "mobile_sam.pt")),
        *("--limit", "4"),
    )
    source = f"kitti:{SHARED / 'kitti_object'}"
    label(source, tmp_path / "local", *models)
    label(source, tmp_path / "ray", *models, "--engine", "ray", "--workers", "2")
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


def test_row_33_a_driver_killed_half_way_leaves_a_run_that_ends_the_same(tmp_path: Path) -> None:
    draw_images(tmp_path / "images", 40)
    source = f"images:{tmp_path / 'images'}"
    label(source, tmp_path / "clean", *FAKES)
    out = tmp_path / "killed"
    options = (*FAKES, "--engine", "ray", "--workers", "2")
    driver = subprocess.Popen(
        command(source, out, *options),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("evidence/*.json")):
        assert time.monotonic() < deadline, "no shard was finished"
        assert driver.poll() is None, "the driver ended before it could be killed"
        time.sleep(0.02)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    before = contents(out)
    assert 0 < len([name for name in before if name.startswith("evidence")]) < 40
    label(source, out, *options)
    assert contents(out) == contents(tmp_path / "clean")


def test_a_worker_that_cannot_start_is_an_error_and_not_a_hang(tmp_path: Path) -> None:
    draw_images(tmp_path / "images", 2)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x07" + bytes(100))
    done = subprocess.run(
        command(
            f"images:{tmp_path / 'images'}",
            tmp_path / "out",
            *("--detector", str(broken), "--segmenter", "boxes", "--engine", "ray"),
        ),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "weights.invalid" in done.stderr
