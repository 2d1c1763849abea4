"""What `relabel` and `export` cost, as a user meets them: time and memory of whole commands."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from perception.core.errors import RequestError
from perception.io import scratch
from perception.runs import folder, labels

SIZE_HW = (375, 1242)  # KITTI's
RAISED = 0.05  # by which a threshold is moved
MODELS = ("--detector", "bright", "--segmenter", "boxes", "--threads", "1")


@dataclass(frozen=True)
class Spent:
    """What a command took: wall clock, and the largest resident memory of one of its processes."""

    seconds: float
    peak_bytes: int


def command(*tokens: object) -> Spent:
    """Run `perception` with arguments and measure it.

    Raises:
        RequestError: `bench.failed`, with the last line that it wrote.
    """
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "perception.cli", *map(str, tokens)],
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in {0, 1}:  # 1: some samples are quarantined
            errors.seek(0)
            lines = errors.read().decode().strip().splitlines() or [str(process.returncode)]
            raise RequestError("bench.failed", f"{' '.join(map(str, tokens))}: {lines[-1]}")
    return Spent(seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


@dataclass(frozen=True)
class Redone:
    """What deciding a run again costs: whole commands, their start included.

    Attributes:
        frames: Samples of the run.
        relabel_ms: Per frame.
        export_ms: Per frame, the reading again included.
        unchanged_ms: Per frame, of a `relabel` that changes nothing.
        relabel_peak_bytes: Largest resident memory of one of its processes.
        export_peak_bytes: The same.
        identical: Whether a fresh run with that setting has the same bytes; None where the pictures
            were not drawn here.
    """

    frames: int
    relabel_ms: float
    export_ms: float
    unchanged_ms: float
    relabel_peak_bytes: int
    export_peak_bytes: int
    identical: bool | None

    def lines(self) -> list[str]:
        """Say it to people."""
        same = {True: "the same bytes as", False: "OTHER BYTES THAN", None: "not compared with"}
        return [
            f"{self.frames} frames: relabel {self.relabel_ms:.2f} ms per frame "
            f"({self.relabel_peak_bytes / 1e6:.0f} MB), export {self.export_ms:.2f} ms "
            f"({self.export_peak_bytes / 1e6:.0f} MB), relabel without a change "
            f"{self.unchanged_ms:.2f} ms; {same[self.identical]} a fresh run"
        ]


def redo(run: Path | None, frames: int, objects: int) -> Redone:
    """Relabel and export a run, and compare with labelling it so in the first place.

    Args:
        run: A finished run, which is copied; None for one of pictures that are drawn.
        frames: To draw.
        objects: In each.

    Raises:
        RequestError: `bench.failed`; `run.damaged`.
    """
    with scratch.folder("bench") as place:
        if run is None:
            draw(place / "src", frames, objects)
            command("label", place / "src", "--out", place / "run", *MODELS)
        else:
            shutil.copytree(run, place / "run")
        spec = folder.read_spec(place / "run")
        count = len(folder.read_plan(place / "run", spec).samples)
        raised = min(1.0, round(spec.config.decide.judge.min_score + RAISED, 6))
        decided = command("relabel", place / "run", "--min-score", raised)
        again = command("relabel", place / "run")
        exported = command("export", place / "run", "--to", "coco", "--out", place / "coco.json")
        identical = None
        if run is None:
            fresh = place / "fresh"
            command("label", place / "src", "--out", fresh, "--min-score", raised, *MODELS)
            identical = _labels_of(fresh) == _labels_of(place / "run")
        return Redone(
            frames=count,
            relabel_ms=1000 * decided.seconds / count,
            export_ms=1000 * exported.seconds / count,
            unchanged_ms=1000 * again.seconds / count,
            relabel_peak_bytes=decided.peak_bytes,
            export_peak_bytes=exported.peak_bytes,
            identical=identical,
        )


def _labels_of(run: Path) -> dict[str, bytes]:
    decided = labels.folder_of(run, folder.read_spec(run).label_set())
    return {path.name: path.read_bytes() for path in sorted(decided.iterdir())}


def draw(root: Path, frames: int, objects: int) -> None:
    """Draw JPEG pictures of KITTI's size: noise, and bright boxes that differ between pictures."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    height, width = SIZE_HW
    ground = cv2.resize(
        rng.integers(0, 150, (height // 4, width // 4, 3), np.uint8),
        (width, height),
        interpolation=cv2.INTER_CUBIC,
    )
    step = width // max(objects, 1)
    for frame in range(frames):
        image = np.minimum(ground, 190)
        for i in range(objects):
            x0, y0 = i * step + frame % 7, 100 + 13 * i % 120
            image[y0 : y0 + 20 + frame % 40, x0 : x0 + step // 2] = 205 + (frame + 11 * i) % 50
        cv2.imwrite(str(root / f"{frame:06d}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 90])
