"""Segmenters as benchmarks load them, and many boxes at once in a process of their own."""

import subprocess
import sys
import time

import cv2
import numpy as np

from perception.benchmarks.harness.measurement import Row
from perception.core.choices import Mode
from perception.core.config import ObserveConfig
from perception.core.errors import RequestError
from perception.core.statistics import Figure
from perception.models import registry
from perception.models.protocols import Segmenter
from perception.runs.timings import peak_bytes


def load_segmenter(text: str, threads: int, mode: Mode = "detail") -> Segmenter:
    """Load what `--segmenter` names."""
    choice = registry.choose_segmenter(text)
    settings = ObserveConfig(threads=threads, mode=mode)
    return registry.load_segmenter(choice.spec.kind, choice.path, settings)


def segment_memory(segmenter: str, boxes: int, width: int, height: int) -> dict[str, float]:
    """Segment many boxes on one large image in a process of its own.

    Returns:
        Peak memory of that process in GB, before and after, and the seconds of the segmenting.
    """
    job = f"{segmenter}\n{boxes}\n{width}\n{height}"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from perception.benchmarks.harness.segmenting import measure; measure()",
        ],
        input=job,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RequestError("bench.failed", done.stderr.strip().splitlines()[-1])
    before, peak, seconds = (float(word) for word in done.stdout.split()[-3:])
    return {"loaded_gb": before, "peak_gb": peak, "seconds": seconds}


def rows_of_memory(found: dict[str, float], row: str = "") -> tuple[Row, ...]:
    """Return what `segment_memory` found as rows; as columns of `row` where that is named."""
    before = f"{row}: " if row else ""
    return (
        Row(f"{before}time", Figure(found["seconds"]), "s"),
        Row(f"{before}peak memory", Figure(found["peak_gb"]), "GB"),
    )


def measure() -> None:
    """Be the process that `segment_memory` starts: job on stdin, figures on stdout."""
    text, boxes, width, height = sys.stdin.read().split("\n")
    segmenter = load_segmenter(text, threads=2)
    rng = np.random.default_rng(0)
    image = cv2.resize(
        rng.integers(0, 256, (int(height) // 40, int(width) // 40, 3), np.uint8),
        (int(width), int(height)),
        interpolation=cv2.INTER_CUBIC,
    )
    corners = rng.uniform(0, 0.8, (int(boxes), 2)) * [int(width), int(height)]
    sides = rng.uniform(20, 0.2 * int(height), (int(boxes), 2))
    prompts_xyxy = np.concatenate([corners, corners + sides], axis=1).astype(np.float32)
    before, started = peak_bytes(), time.perf_counter()
    segmenter(np.asarray(image, np.uint8), prompts_xyxy)
    seconds = time.perf_counter() - started
    sys.stdout.write(f"\n{before / 1e9:.3f} {peak_bytes() / 1e9:.3f} {seconds:.2f}\n")
