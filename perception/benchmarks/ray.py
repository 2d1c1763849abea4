"""Many models side by side: how busy an engine keeps them, what feeding them costs, how two scale.

Models that sleep stand for GPUs that are not here: they take as long, read real JPEGs, and use no
processor meanwhile. Start-up, which ends when the last worker has finished its first shard, and the
end, when workers find no shard to take, are reported apart. Models that started together finish
together, in bursts; so time is cut after whole rounds, a round being one shard of each, else the
rate would depend on where in a burst the cut is. Two rounds after start-up do not count: a run's
first shards are whole late, since they are drawn, and what follows would seem faster than it is.
"""

import itertools
import json
import os
import shutil
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2

from perception.benchmarks.harness.measurement import Measurement, Row, rows_of
from perception.benchmarks.harness.pictures import draw
from perception.benchmarks.harness.timed_command import command
from perception.core.errors import RequestError
from perception.core.statistics import Figure
from perception.io import scratch
from perception.io.images import decode_image
from perception.models.fakes import Sleeper
from perception.runs import folder, labels

DRAWN, BOXES = 100, 4  # pictures that are drawn, objects in each; files are used again by links
SHARD = 64  # frames: a few seconds of a GPU; between shards it waits for the first image
SETTLING = 2  # rounds that are left out at either end
PARTS = 4  # of the time that is counted: a fleet that slows down is slower in the last
GPU_S = Sleeper.encoder_s + Sleeper.decoder_s  # a frame on a large GPU: an assumption, no figure


@dataclass(frozen=True)
class Fleet:
    """What a simulated fleet did, once all of it was at work.

    Attributes:
        engine: local or ray.
        workers: Models side by side.
        frames: Frames that were counted.
        start_s: Until the last worker had finished its first shard.
        end_s: After the last frame that was counted.
        frames_per_s: Of the whole fleet.
        parts_per_s: The same in each quarter of the rounds, the first first.
        busy_share: Of the models' time in which they slept, which stands for work.
        growth: Frames per second of the last quarter over that of the first.
        overhead_ms: Per frame and worker, beside the sleep.
        driver_peak_bytes: Largest resident memory of the driver.
        worker_peak_bytes: Of a worker.
    """

    engine: str
    workers: int
    frames: int
    start_s: float
    end_s: float
    frames_per_s: float
    parts_per_s: tuple[float, ...]
    busy_share: float
    growth: float
    overhead_ms: float
    driver_peak_bytes: int
    worker_peak_bytes: int

    def lines(self) -> list[str]:
        """Say it to people."""
        return [
            f"{self.engine}, {self.workers} models of {1000 * GPU_S:.0f} ms, {self.frames} frames: "
            f"{self.frames_per_s:.1f} frames/s, busy {self.busy_share:.1%}, "
            f"{self.overhead_ms:.2f} ms a frame beside them; start-up {self.start_s:.1f} s, end "
            f"{self.end_s:.1f} s",
            f"frames/s by quarters {', '.join(f'{part:.1f}' for part in self.parts_per_s)}, the "
            f"last over the first {self.growth:.3f}; driver {self.driver_peak_bytes / 1e6:.0f} MB, "
            f"worker {self.worker_peak_bytes / 1e6:.0f} MB",
        ]

    def rows(self) -> tuple[Row, ...]:
        """Return the figures."""
        return (
            *rows_of({"share busy": self.busy_share, "last quarter over first": self.growth}),
            Row("by frame beside the model", Figure(self.overhead_ms), "ms"),
            Row("start-up", Figure(self.start_s), "s"),
            Row("memory of the driver", Figure(self.driver_peak_bytes / 1e9), "GB"),
            Row("memory of a worker", Figure(self.worker_peak_bytes / 1e9), "GB"),
        )


def measure(engine: str, workers: int, frames: int) -> Measurement:
    """Measure what one core feeds, and a fleet of models that sleep; as `simulate`."""
    feed, found = feed_rate(), simulate(engine, workers, frames)
    rows = (*feed.rows(), *found.rows())
    return Measurement(rows, [*feed.lines(), *found.lines()], {**asdict(feed), **asdict(found)})


def simulate(engine: str, workers: int, frames: int) -> Fleet:
    """Label pictures with models that sleep: what the engine costs, and how busy it keeps them.

    Args:
        engine: local or ray.
        workers: Side by side, each sleeping like a GPU (see `perception.models.fakes.Sleeper`).
        frames: JPEG pictures of KITTI's size.

    Raises:
        RequestError: `bench.failed`, also where there are too few frames to count any.
    """
    with scratch.folder("bench") as place:
        draw(place / "drawn", min(frames, DRAWN), BOXES)
        link(sorted((place / "drawn").iterdir()), place / "src", frames)
        (place / "large.yaml").write_text(f"shard_size: {SHARD}\n")
        started = time.time()
        command(
            *("label", place / "src", "--detector", "four-cars", "--segmenter", "sleep"),
            *("--out", place / "run", "--config", place / "large.yaml"),
            *("--threads", 1, "--engine", engine, "--workers", workers),
        )
        return _measured(place / "run", engine, workers, started)


def _measured(run: Path, engine: str, workers: int, started_unix_s: float) -> Fleet:
    timings = json.loads((run / "timings.json").read_bytes())
    warm = _warm(run, SETTLING * workers)
    line = warm[SETTLING * workers :]
    rounds = (len(line) - 1) // workers
    if timings["workers_seen"] < workers or rounds < PARTS:
        raise RequestError(
            "bench.failed",
            f"{timings['workers_seen']} of {workers} workers had a shard, {rounds} rounds of one "
            f"shard each were counted, expected {PARTS} or more: use more --frames",
        )
    cuts = [rounds * part // PARTS * workers for part in range(PARTS + 1)]
    parts = tuple(_rate(line[first : last + 1]) for first, last in itertools.pairwise(cuts))
    rate = _rate(line[: cuts[-1] + 1])
    return Fleet(
        engine=engine,
        workers=workers,
        frames=sum(count for _, count in line[1 : cuts[-1] + 1]),
        start_s=warm[0][0] - started_unix_s,
        end_s=timings["finished_unix_s"] - line[cuts[-1]][0],
        frames_per_s=rate,
        parts_per_s=parts,
        busy_share=rate * GPU_S / workers,
        growth=parts[-1] / parts[0],
        overhead_ms=1000 * (workers / rate - GPU_S),
        driver_peak_bytes=timings["driver_peak_bytes"],
        worker_peak_bytes=timings["worker_peak_bytes"],
    )


Line = list[tuple[float, int]]  # when each shard was whole, and its samples, in the order of time


def _rate(line: Line) -> float:
    """Return the samples per second after the first shard of a line.

    Raises:
        RequestError: `bench.failed` for a line of one moment: there is no time to divide by.
    """
    took_s = line[-1][0] - line[0][0] if len(line) > 1 else 0.0
    if not took_s > 0:
        raise RequestError("bench.failed", "too few shards to measure a rate; give more --frames")
    return sum(count for _, count in line[1:]) / took_s


def _warm(run: Path, last: int) -> Line:
    """Return a run's line from the first shard of its last worker on, without its `last` shards."""
    warm_s = json.loads((run / "timings.json").read_bytes())["warm_unix_s"]
    line = _timeline(run)
    cold = sum(when <= warm_s for when, _ in line)
    return line[cold - 1 : len(line) - last]


def _timeline(run: Path) -> Line:
    spec = folder.read_spec(run)
    plan = folder.read_plan(run, spec)
    decided = labels.folder_of(run, spec.label_set())
    return sorted(
        (path.stat().st_mtime, len(plan.shard(int(path.stem)))) for path in decided.glob("*.json")
    )


def link(pictures: list[Path], root: Path, frames: int) -> None:
    """Copy pictures into a folder, then link the copies, in turn, until there are enough."""
    root.mkdir()
    copies: list[Path] = []
    for frame in range(frames):
        picture = pictures[frame % len(pictures)]
        place = root / f"{frame:06d}{picture.suffix}"
        if frame < len(pictures):
            shutil.copyfile(picture, place)
            copies.append(place)
        else:
            os.link(copies[frame % len(pictures)], place)


@dataclass(frozen=True)
class Feed:
    """How fast one core decodes JPEG pictures of KITTI's size, and what that can feed.

    Attributes:
        per_s_and_core: Frames, by processor time.
        gpus_per_core: Models that take `GPU_S` a frame which one core keeps supplied.
    """

    per_s_and_core: float
    gpus_per_core: float

    def lines(self) -> list[str]:
        """Say it to people."""
        return [
            f"one core decodes {self.per_s_and_core:.0f} frames of 1242 x 375 a second and feeds "
            f"{self.gpus_per_core:.1f} GPUs that take {1000 * GPU_S:.0f} ms a frame"
        ]

    def rows(self) -> tuple[Row, ...]:
        """Return the figures."""
        gpus = f"GPUs of {1000 * GPU_S:.0f} ms a frame that a core feeds"
        return rows_of(
            {"JPEGs that a core decodes a second": self.per_s_and_core, gpus: self.gpus_per_core}
        )


def feed_rate(frames: int = 200) -> Feed:
    """Measure how many pictures of KITTI's size one core decodes in a second."""
    with scratch.folder("bench") as place:
        draw(place / "src", 20, BOXES)
        files = sorted((place / "src").iterdir())
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            started = time.process_time()
            for i in range(frames):
                decode_image(files[i % len(files)])
            rate = frames / (time.process_time() - started)
        finally:
            cv2.setNumThreads(threads)
    return Feed(rate, rate * GPU_S)


@dataclass(frozen=True)
class Pair:
    """Two workers with one thread each, beside one.

    Attributes:
        one_per_s: Frames per second of one worker, each round.
        two_per_s: Of two.
        ratio: Of the medians.
    """

    one_per_s: tuple[float, ...]
    two_per_s: tuple[float, ...]
    ratio: float

    def report(self) -> Measurement:
        """Return the figures, and how they are told."""
        one, two = (
            ", ".join(f"{value:.3f}" for value in values)
            for values in (self.one_per_s, self.two_per_s)
        )
        line = f"one worker {one} frames/s, two {two}: {self.ratio:.2f} times"
        rows = rows_of({"two workers over one": self.ratio})
        return Measurement(rows, [line], asdict(self))


def pair(images: Path, frames: int, rounds: int, engine: str, *options: str) -> Pair:
    """Label pictures with one worker and with two, in turn, one thread each.

    Args:
        images: Folder of pictures; used again until there are enough.
        frames: To label.
        rounds: How often.
        engine: local or ray.
        options: Of `perception label`: the models.

    Raises:
        RequestError: `bench.failed`; `source.empty` without pictures.
    """
    pictures = sorted(path for path in images.iterdir() if path.suffix in {".png", ".jpg"})
    if not pictures:
        raise RequestError("source.empty", f"{images}: holds no .png or .jpg")
    rates: dict[int, list[float]] = {1: [], 2: []}
    with scratch.folder("bench") as place:
        link(pictures, place / "src", frames)
        (place / "small.yaml").write_text("shard_size: 2\n")
        for turn in range(rounds):
            for workers, found in rates.items():
                out = place / f"{workers}-{turn}"
                command(
                    *("label", place / "src", "--out", out, "--config", place / "small.yaml"),
                    *("--threads", 1, "--engine", engine, "--workers", workers, *options),
                )
                found.append(_warm_rate(out, workers))
    one, two = (statistics.median(found) for found in rates.values())
    return Pair(tuple(rates[1]), tuple(rates[2]), two / one)


def _warm_rate(run: Path, workers: int) -> float:
    line = _warm(run, workers - 1)
    return _rate(line[: (len(line) - 1) // workers * workers + 1])
