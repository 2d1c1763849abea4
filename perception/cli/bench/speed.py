"""`perception bench`: time, memory and size."""

from pathlib import Path
from typing import Literal

from perception.cli.bench.app import PLAIN, Shown, bench_app, finish
from perception.cli.terminal import show_steps
from perception.core.choices import Mode


@bench_app.default
def bench_race(
    *,
    images: str,
    detector: str,
    segmenter: str,
    rounds: int = 3,
    repeat: int = 1,
    output: Shown = PLAIN,
) -> int:
    """Race `label` in each mode against auto_annotate and against the same loop in OpenVINO.

    perception bench --images FOLDER --detector yolov8n.onnx --segmenter mobile_sam.pt

    Images/s are those of the warm loop: each process handles the first image alone and then all,
    and the difference counts. Seconds of whole commands stand beside them.

    Args:
        images: Folder, glob or list file of images of about one shape.
        detector: YOLO weights (.onnx); score 0.25, IoU 0.45, ONNX Runtime, no tiles.
        segmenter: A SAM checkpoint.
        rounds: How often each contender runs; they take turns.
        repeat: How often the list of images is repeated.
        output: Where figures go.
    """
    from perception.benchmarks import race
    from perception.io import scratch

    with scratch.folder("race") as place:
        result = race.run_race(
            images,
            detector,
            segmenter,
            place,
            rounds=rounds,
            repeat=repeat,
            tell=show_steps(output.as_json),
        )
    return finish(race.report(result), output)


@bench_app.command(name="start")
def bench_start(
    *, images: str, detector: str, segmenter: str, rounds: int = 3, output: Shown = PLAIN
) -> int:
    """Time whole commands on photos of mixed sizes, beside auto_annotate on all cores.

    perception bench start --images FOLDER --detector yolov8n.onnx --segmenter mobile_sam.pt

    With an empty cache and with a kept one; on all, ten and one of the images; `status` and
    `--help`.

    Args:
        images: Folder, glob or list file of more than ten images.
        detector: YOLO weights (.onnx).
        segmenter: A SAM checkpoint.
        rounds: How often each command runs; they take turns.
        output: Where figures go.
    """
    from perception.benchmarks import start
    from perception.io import scratch

    with scratch.folder("start") as place:
        found = start.measure(
            images, detector, segmenter, place, rounds=rounds, tell=show_steps(output.as_json)
        )
    return finish(found, output)


@bench_app.command(name="memory")
def bench_memory(
    *,
    segmenter: str,
    boxes: int = 300,
    width: int = 3840,
    height: int = 2160,
    output: Shown = PLAIN,
) -> int:
    """Measure the peak memory of many boxes on a large image.

    Args:
        segmenter: A SAM checkpoint, YOLO-seg weights (.onnx), grabcut or boxes.
        boxes: Number of boxes.
        width: Of the image.
        height: Of the image.
        output: Where figures go.
    """
    from perception.benchmarks import memory

    return finish(memory.measure(segmenter, boxes, width, height), output)


@bench_app.command(name="segment")
def bench_segment(
    *,
    segmenter: str,
    boxes: tuple[int, ...] = (20, 100, 300),
    size: str = "3840x2160",
    output: Shown = PLAIN,
) -> int:
    """Measure how time and memory grow with the boxes on one image, each in its own process.

    Args:
        segmenter: A SAM checkpoint, YOLO-seg weights (.onnx), grabcut or boxes.
        boxes: Numbers of boxes.
        size: WIDTHxHEIGHT of the image.
        output: Where figures go.
    """
    from perception.benchmarks import segment

    return finish(segment.measure(segmenter, boxes, size), output)


@bench_app.command(name="relabel")
def bench_relabel(
    run: Path | None = None, *, frames: int = 500, objects: int = 6, output: Shown = PLAIN
) -> int:
    """Measure `relabel` and `export`, whole commands, and compare with a fresh run.

    perception bench relabel runs/kitti

    Args:
        run: A finished run, of which a copy is relabelled; without it pictures are drawn.
        frames: To draw.
        objects: In each.
        output: Where figures go.
    """
    from perception.benchmarks import relabel

    return finish(relabel.redo(run, frames, objects).report(), output)


@bench_app.command(name="ray")
def bench_ray(
    images: Path | None = None,
    *,
    simulate: int = 8,
    frames: int = 0,
    engine: Literal["local", "ray"] = "ray",
    detector: str = "",
    segmenter: str = "",
    mode: Mode = "detail",
    rounds: int = 2,
    output: Shown = PLAIN,
) -> int:
    """Measure how busy an engine keeps models that sleep; with IMAGES, how two real ones scale.

    perception bench ray --simulate 8 --frames 20000
    perception bench ray FOLDER --detector yolov8n.onnx --segmenter mobile_sam.pt

    Args:
        images: Folder of pictures: two workers with one thread each are compared with one.
        simulate: Models side by side, each sleeping 50 ms a frame, which read JPEGs.
        frames: To label; by default 20,000 to simulate, 48 of IMAGES.
        engine: ray or local.
        detector: Weights, for IMAGES.
        segmenter: Weights, for IMAGES.
        mode: Of SAM, for IMAGES.
        rounds: How often both are run, for IMAGES.
        output: Where figures go.
    """
    from perception.benchmarks import ray

    if images is not None:
        options = ("--detector", detector, "--segmenter", segmenter, "--mode", mode)
        return finish(ray.pair(images, frames or 48, rounds, engine, *options).report(), output)
    return finish(ray.measure(engine, simulate, frames or 20_000), output)


@bench_app.command(name="evidence")
def bench_evidence(run: Path, *, output: Shown = PLAIN) -> int:
    """Measure what a run's evidence takes per instance.

    Args:
        run: A run folder.
        output: Where figures go.
    """
    from perception.benchmarks import evidence

    return finish(evidence.measure(run), output)
