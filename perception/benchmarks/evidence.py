"""What a run's evidence takes on disk: `perception bench evidence`."""

from pathlib import Path

import numpy as np

from perception.benchmarks.harness.measurement import Measurement, Row
from perception.core.statistics import Figure
from perception.runs import evidence, folder


def measure(run: Path) -> Measurement:
    """Measure what a run's evidence takes.

    An instance is a mask, its logits and 64 bytes of numbers; the bytes of all files, divided by
    the instances, stand beside it.
    """
    plan = folder.read_plan(run, folder.read_spec(run))
    sizes: list[int] = []
    for index in range(len(plan)):
        for _, pictures in evidence.read(run, index, plan.shard(index)):
            for seen in pictures:
                masks_of, logits = seen.segments.masks.counts, seen.segments.logits.data
                pairs = zip(masks_of, logits, strict=True)
                sizes += [len(counts) + len(data) + 64 for counts, data in pairs]
    files = sum(path.stat().st_size for path in evidence.folder_of(run).iterdir())
    figures = {
        "instances": len(sizes),
        "median_bytes": float(np.median(sizes)) if sizes else 0.0,
        "largest_bytes": max(sizes, default=0),
        "file_bytes_per_instance": files / max(len(sizes), 1),
    }
    whats = ("instances", "median instance", "largest instance", "files, by instance")
    units = ("", "bytes", "bytes", "bytes")
    rows = [
        Row(what, Figure(value), unit)
        for what, value, unit in zip(whats, figures.values(), units, strict=True)
    ]
    return Measurement(rows, [f"{name} {value:g}" for name, value in figures.items()], figures)
