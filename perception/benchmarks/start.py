"""Whole commands on photos of mixed sizes, from start to end: `perception bench start`.

What a person waits for: the interpreter, imports, models, networks that are compiled, and the
pictures. Commands take turns with auto_annotate, each in a process of its own.
"""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from perception.benchmarks.harness.measurement import Measurement, Row
from perception.benchmarks.harness.pictures import lay_out
from perception.benchmarks.harness.timed_command import command
from perception.benchmarks.harness.timed_process import Task, call, cores
from perception.core.errors import RequestError
from perception.core.statistics import Figure
from perception.models import registry

FEW = 10  # pictures
Tell = Callable[[str], None]


def measure(
    images: str, detector: str, segmenter: str, scratch: Path, *, rounds: int, tell: Tell
) -> Measurement:
    """Time whole commands.

    Args:
        images: A folder, a glob or a list file.
        detector: YOLO weights as ONNX.
        segmenter: A SAM checkpoint.
        scratch: An empty folder for all that is written.
        rounds: How often each command runs; they take turns.
        tell: Hears what runs.

    Raises:
        RequestError: `bench.invalid`, `bench.failed`; those of `sources`.
    """
    if rounds < 1:
        raise RequestError("bench.invalid", f"--rounds {rounds}: expected 1 or more")
    folders = {name: scratch / name for name in ("all", "few", "one")}
    count = lay_out(images, folders["all"], 1)
    if count <= FEW:
        raise RequestError("bench.invalid", f"--images {images}: expected more than {FEW} images")
    lay_out(images, folders["few"], 1, limit=FEW)
    lay_out(images, folders["one"], 1, limit=1)
    models = ("--detector", detector, "--segmenter", segmenter)
    seconds: dict[str, list[float]] = {}

    def timed(name: str, *tokens: object, cache: Path) -> None:
        spent = command(*tokens, environment=os.environ | {"XDG_CACHE_HOME": str(cache)}).seconds
        seconds.setdefault(name, []).append(spent)
        tell(f"{name}: {spent:.2f} s")

    networks = 0
    for number in range(rounds):
        cache, out = scratch / f"cache-{number}", scratch / f"out-{number}"
        for name, pictures in (
            ("all, empty cache", "all"),
            ("all", "all"),
            ("few", "few"),
            ("one", "one"),
        ):
            where = out / name.replace(" ", "-")
            timed(name, "label", folders[pictures], "--out", where, *models, cache=cache)
        networks = len(list(cache.rglob("*.blob")))
        timed("status", "status", out / "one", cache=cache)
        timed("help", "--help", cache=cache)
        began = time.perf_counter()
        task = Task(str(folders["all"]), str(out / "rival"), detector, segmenter, threads=cores())
        call(registry.RIVALS["auto_annotate"], task)
        seconds.setdefault("auto_annotate", []).append(time.perf_counter() - began)
        tell(f"auto_annotate: {seconds['auto_annotate'][-1]:.2f} s")
    return report(seconds, count, networks)


def report(seconds: dict[str, list[float]], count: int, networks: int) -> Measurement:
    """Return medians with least and greatest, and ratios of the commands of one round."""

    def over(values: list[float]) -> Figure:
        return Figure(statistics.median(values), min(values), max(values))

    def times(name: str) -> Figure:
        pairs = zip(seconds["auto_annotate"], seconds[name], strict=True)
        return over([theirs / ours for theirs, ours in pairs])

    later_s = [
        (every - few) / (count - FEW)
        for every, few in zip(seconds["all"], seconds["few"], strict=True)
    ]
    start_s = [few - FEW * later for few, later in zip(seconds["few"], later_s, strict=True)]
    rows = [
        *(Row(f"{name}", over(values), "s") for name, values in seconds.items()),
        Row("a picture more", over(later_s), "s"),
        Row("few, without their pictures", over(start_s), "s"),
        Row("times auto_annotate, empty cache", times("all, empty cache"), "x"),
        Row("times auto_annotate", times("all"), "x"),
        Row("networks kept", Figure(networks)),
    ]
    lines = [f"{count} images; few is {FEW} of them, one is the first; medians (least to greatest)"]
    for row in rows:
        figure, unit = row.figure, f" {row.unit}" if row.unit else ""
        spread = "" if figure.low is None else f" ({figure.low:.2f} to {figure.high:.2f})"
        lines.append(f"{row.what:36} {figure.value:6.2f}{unit}{spread}")
    return Measurement(rows, lines, {row.what: row.figure.value for row in rows})
