"""`perception bench`: our `label` against auto_annotate and against the same loop in OpenVINO.

Contenders take turns, each in a process of its own, on the same images and weights; ratios are of
the two laps of one round, so that a machine that slows down slows both.
"""

import os
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from perception.benchmarks.harness.measurement import Measurement, Row, rows_of
from perception.benchmarks.harness.pictures import lay_out
from perception.benchmarks.harness.timed_process import Lap, Task, call, cores, run_lap
from perception.commands.exports import export
from perception.commands.label import label
from perception.commands.request import LabelRequest
from perception.core import masks as masks_
from perception.core.choices import Mode
from perception.core.errors import RequestError
from perception.core.statistics import Figure
from perception.core.text import text_table
from perception.core.types import Float64, Masks
from perception.models import registry
from perception.runs import evidence, folder

MODES: tuple[Mode, ...] = ("fast", "exact", "detail")
LABEL = "perception.benchmarks.race:label_lap"
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Contender:
    """Who races: a name, the function that its process calls, and what it is told apart."""

    name: str
    entry: str
    task: Task


@dataclass(frozen=True)
class Spread:
    """A figure over the rounds."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        """Write it for people."""
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"

    def figure(self) -> Figure:
        """Return the median; least and greatest stand for its interval."""
        return Figure(self.median, self.low, self.high)


@dataclass(frozen=True)
class Likeness:
    """How alike the masks of two runs are, mask by mask of the same boxes."""

    masks: int
    mean_iou: float
    least_iou: float


@dataclass(frozen=True)
class Result:
    """What a race came to.

    Attributes:
        images: In each lap.
        laps: By contender, in the order of the rounds.
        likeness: By mode, with masks of the exact view in fp32 PyTorch.
    """

    images: int
    laps: Mapping[str, tuple[Lap, ...]]
    likeness: Mapping[str, Likeness]


def spread(values: list[float]) -> Spread:
    """Return the median, the least and the greatest of some values."""
    return Spread(statistics.median(values), min(values), max(values))


def ratio(ours: tuple[Lap, ...], theirs: tuple[Lap, ...], figure: Callable[[Lap], float]) -> Spread:
    """Return ours over theirs, round by round."""
    pairs = zip(ours, theirs, strict=True)
    return spread([figure(one) / figure(other) for one, other in pairs])


def take_turns(
    contenders: tuple[Contender, ...], rounds: int, lap: Callable[[Contender, int], Lap]
) -> dict[str, tuple[Lap, ...]]:
    """Let each contender run once per round.

    Args:
        contenders: In their order.
        rounds: At least 1.
        lap: Runs a contender in a round.
    """
    laps: dict[str, tuple[Lap, ...]] = {contender.name: () for contender in contenders}
    for number in range(rounds):
        for contender in contenders:
            laps[contender.name] += (lap(contender, number),)
    return laps


def run_race(
    images: str,
    detector: str,
    segmenter: str,
    scratch: Path,
    *,
    rounds: int,
    repeat: int,
    tell: Tell,
) -> Result:
    """Race on some images.

    Args:
        images: A folder, a glob or a list file.
        detector: YOLO weights as ONNX.
        segmenter: MobileSAM or another SAM checkpoint.
        scratch: An empty folder for all that is written.
        rounds: How often each contender runs.
        repeat: How often the list of images is repeated in a lap.
        tell: Hears what runs.

    Raises:
        RequestError: `bench.invalid`, `bench.failed`; those of `sources` and `weights`.
    """
    if rounds < 1 or repeat < 1:
        raise RequestError("bench.invalid", "--rounds and --repeat: expected 1 or more")
    if registry.choose_detector(detector, False).spec.kind != "onnx":
        raise RequestError("bench.invalid", f"--detector {detector}: expected an .onnx file")
    if registry.choose_segmenter(segmenter).spec.kind != "sam":
        raise RequestError("bench.invalid", f"--segmenter {segmenter}: expected a SAM checkpoint")
    count = lay_out(images, scratch / "images", repeat)
    lay_out(images, scratch / "first", 1, limit=1)
    if count < 2:
        raise RequestError("bench.invalid", f"--images {images}: expected two images or more")
    task = Task(
        images=str(scratch / "images"),
        out=str(scratch / "out"),
        detector=str(Path(detector).resolve()),
        segmenter=str(Path(segmenter).resolve()),
        prepared=str(scratch / "prepared"),
    )
    tell("making OpenVINO networks for the loop that is compared")
    call(registry.RIVALS["prepare"], task)
    for mode in MODES:  # networks are compiled once per machine, and kept: no lap pays for that
        tell(f"compiling what mode {mode} needs")
        call(LABEL, replace(task, out=str(scratch / f"compiled-{mode}"), extra={"mode": mode}))

    def lap(contender: Contender, number: int) -> Lap:
        out = scratch / f"{contender.name.replace(' ', '-')}-{number}"
        found = run_lap(
            contender.entry, replace(contender.task, out=str(out)), str(scratch / "first"), count
        )
        tell(
            f"round {number + 1}: {contender.name}: {found.images_per_s:.2f} images/s, "
            f"command {found.command_s:.1f} s"
        )
        return found

    laps = take_turns(contenders_of(task), rounds, lap)
    tell("the exact view in fp32 PyTorch, to compare masks with")
    reference = scratch / "reference"
    _label(task, reference, {"mode": "exact", "backend": "torch"})
    likeness: dict[str, Likeness] = {
        mode: compare_masks(scratch / f"{mode}-{rounds - 1}" / "run", reference) for mode in MODES
    }
    return Result(count, laps, likeness)


def contenders_of(task: Task) -> tuple[Contender, ...]:
    """Return who races."""
    rivals = (
        Contender("auto_annotate as shipped", registry.RIVALS["auto_annotate"], task),
        Contender(
            "auto_annotate", registry.RIVALS["auto_annotate"], replace(task, threads=cores())
        ),
        Contender("openvino loop", registry.RIVALS["openvino"], replace(task, threads=cores())),
    )
    return rivals + tuple(
        Contender(mode, LABEL, replace(task, extra={"mode": mode})) for mode in MODES
    )


def label_lap(task: Task) -> None:
    """Be our own contender: `label`, then the export to COCO."""
    run = _label(task, Path(task.out) / "run", task.extra)
    export(run, "coco", Path(task.out) / "coco.json")


def _label(task: Task, out: Path, observe: dict[str, Any]) -> Path:
    settings = {
        "min_score": task.min_score,
        "nms_iou": task.nms_iou,
        "threads": task.threads,
        "detect_backend": "onnxruntime",  # int8 boxes differ between runtimes
        "detect_tiles": "off",
    }
    request = LabelRequest(
        source=f"images:{task.images}",
        out=out,
        segmenter=task.segmenter,
        detector=task.detector,
        overrides={"observe": settings | observe},
    )
    return label(request).folder


def compare_masks(run: Path, reference: Path) -> Likeness:
    """Compare the masks of two runs of the same source and boxes, as the models gave them.

    Raises:
        RequestError: `bench.failed` where the boxes differ.
    """
    ious: list[float] = []
    plan = folder.read_plan(run, folder.read_spec(run))
    for index in range(len(plan)):
        for (_, ours), (_, theirs) in zip(
            evidence.read(run, index, plan.shard(index)),
            evidence.read(reference, index, plan.shard(index)),
            strict=True,
        ):
            for one, other in zip(ours, theirs, strict=True):
                if not np.array_equal(one.detections.boxes_xyxy, other.detections.boxes_xyxy):
                    raise RequestError(
                        "bench.failed",
                        f"{one.file_name}: the boxes of {run} and {reference} differ",
                    )
                ious += likenesses(one.segments.masks, other.segments.masks).tolist()
    return Likeness(len(ious), float(np.mean(ious)) if ious else 1.0, min(ious, default=1.0))


def likenesses(ours: Masks, theirs: Masks) -> Float64:
    """Return the IoU of each pair of masks; 1 where both are empty, since they agree."""
    empty = (masks_.areas(ours) == 0) & (masks_.areas(theirs) == 0)
    return np.where(empty, 1.0, masks_.paired_ious(ours, theirs))


def to_dict(result: Result) -> dict[str, Any]:
    """Return plain values for JSON: ratios, and the raw figures."""

    def ratios(rival: str, figure: Callable[[Lap], float]) -> dict[str, Spread]:
        return {mode: ratio(result.laps[mode], result.laps[rival], figure) for mode in MODES}

    told = {
        "ratios": ratios("auto_annotate", _rate),
        "ratios_openvino": ratios("openvino loop", _rate),
        "ratios_as_shipped": ratios("auto_annotate as shipped", _rate),
        "ratios_command": ratios("auto_annotate", _command_rate),
        "ratios_command_openvino": ratios("openvino loop", _command_rate),
    }
    return {
        **{key: {mode: one.median for mode, one in value.items()} for key, value in told.items()},
        "spread": {
            key: {mode: [one.low, one.high] for mode, one in value.items()}
            for key, value in told.items()
        },
        "mask_iou_with_fp32_pytorch": {
            mode: asdict(likeness) for mode, likeness in result.likeness.items()
        },
        "images": result.images,
        "contenders": {
            name: [
                {**asdict(lap), "images_per_s": lap.images_per_s, "command_s": lap.command_s}
                for lap in laps
            ]
            for name, laps in result.laps.items()
        },
        "cores": cores(),
        "load": list(os.getloadavg()),
    }


def _rate(lap: Lap) -> float:
    return lap.images_per_s


def _command_rate(lap: Lap) -> float:
    return 1 / lap.command_s


def report(result: Result) -> Measurement:
    """Return the figures of each contender, and the table."""
    rivals = ("auto_annotate", "openvino loop")
    cells = [["", "images/s", "command s", "peak GB", *(f"x {rival}" for rival in rivals)]]
    rows: list[Row] = []
    for name, laps in result.laps.items():
        peaks = [lap.peak_gb for lap in laps if lap.peak_gb is not None]
        rate, seconds = (
            spread([figure(lap) for lap in laps]) for figure in (_rate, lambda lap: lap.command_s)
        )
        against = {rival: ratio(laps, result.laps[rival], _rate) for rival in rivals}
        cells.append(
            [
                *(name, f"{rate.median:.3g}", f"{seconds.median:.3g}"),
                f"{max(peaks):.2f}" if peaks else "-",
                *(str(one) for one in against.values()),
            ]
        )
        rows += [
            Row(f"{name}: images/s", rate.figure()),
            Row(f"{name}: whole command", seconds.figure(), "s"),
            Row(f"{name}: peak memory", Figure(max(peaks, default=None)), "GB"),
            *(
                Row(f"{name}: times {rival}", one.figure())
                for rival, one in against.items()
                if rival != name
            ),
        ]
    for mode, one in result.likeness.items():
        rows += rows_of({"mask IoU with fp32 PyTorch": one.mean_iou}, mode)
    return Measurement(rows, [*text_table(cells), *_notes(result)], to_dict(result))


def _notes(result: Result) -> list[str]:
    return [
        f"{result.images} images; images/s: of all but the first, with models loaded",
        "command: interpreter, imports, models, all images, all files written",
        *(
            f"{mode}: mask IoU with fp32 PyTorch {one.mean_iou:.4f}, least {one.least_iou:.4f}, "
            f"of {one.masks} masks"
            for mode, one in result.likeness.items()
        ),
        f"load of the machine {os.getloadavg()[0]:.1f} on {cores()} cores, "
        f"Python {sys.version.split()[0]}",
    ]
