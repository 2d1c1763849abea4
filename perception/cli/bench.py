"""`perception bench`: quality, memory and size."""

from dataclasses import asdict
from pathlib import Path

from cyclopts import App

from perception.cli.terminal import FINE, AsJson, Flag, say, show_progress, show_steps
from perception.core.config import Mode

bench_app = App(
    name="bench",
    help="Measure speed, quality, memory and size; BENCHMARKS.md states the figures.",
)


@bench_app.default
def bench_race(
    *,
    images: str,
    detector: str,
    segmenter: str,
    rounds: int = 3,
    repeat: int = 1,
    as_json: AsJson = False,
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
        as_json: Print one JSON object for programs.
    """
    from perception.benchmarks import race
    from perception.io import scratch

    with (
        scratch.folder("race") as place,
        show_steps(as_json) as tell,
    ):
        result = race.run_race(
            images, detector, segmenter, place, rounds=rounds, repeat=repeat, tell=tell
        )
    say(race.to_dict(result), as_json, race.lines(result))
    return FINE


@bench_app.command(name="settings")
def bench_settings(
    root: Path,
    *,
    segmenter: str,
    sides: tuple[int, ...] = (1024, 0),
    as_json: AsJson = False,
) -> int:
    """Compare SAM's modes, engines, precisions and prompts on true objects, by their size.

    perception bench settings DATA/cityscapes --segmenter mobile_sam.pt

    Args:
        root: A Cityscapes folder, or a COCO folder with a panoptic_*.json.
        segmenter: A SAM checkpoint.
        sides: What the longest side of images is scaled to before; 0 for their own size.
        as_json: Print one JSON object for programs.
    """
    from perception.benchmarks import settings
    from perception.io import scratch

    with (
        scratch.folder("settings") as place,
        show_steps(as_json) as tell,
    ):
        rows = settings.measure(root, segmenter, sides, place, tell)
    say({"settings": [row.to_dict() for row in rows]}, as_json, settings.lines(rows))
    return FINE


@bench_app.command(name="masks")
def bench_masks(
    root: Path,
    *,
    segmenter: str,
    mode: Mode = "detail",
    threads: int = 2,
    as_json: AsJson = False,
) -> int:
    """Compare masks of Cityscapes' true boxes with its true masks.

    Args:
        root: A Cityscapes folder.
        segmenter: A SAM checkpoint, YOLO-seg weights (.onnx), grabcut or boxes.
        mode: What SAM is shown: detail, exact or fast.
        threads: Of the segmenter.
        as_json: Print one JSON object for programs.
    """
    from perception.benchmarks import masks

    model = masks.load_segmenter(segmenter, threads, mode)
    with show_progress(as_json) as progress:
        scores = masks.cityscapes_masks(root, model, progress)
    say(dict(masks.summarise(scores)), as_json, masks.score_lines(scores, "px"))
    return FINE


@bench_app.command(name="points")
def bench_points(
    root: Path,
    *,
    segmenter: str,
    mode: Mode = "detail",
    threads: int = 2,
    as_json: AsJson = False,
) -> int:
    """Compare labelled points of KITTI's label_2 boxes with the points in its 3D boxes.

    Args:
        root: A KITTI object folder.
        segmenter: A SAM checkpoint, YOLO-seg weights (.onnx), grabcut or boxes.
        mode: What SAM is shown: detail, exact or fast.
        threads: Of the segmenter.
        as_json: Print one JSON object for programs.
    """
    from perception.benchmarks import masks

    model = masks.load_segmenter(segmenter, threads, mode)
    with show_progress(as_json) as progress:
        scores = masks.kitti_points(root, model, progress)
    say(dict(masks.summarise(scores)), as_json, masks.score_lines(scores, "points"))
    return FINE


@bench_app.command(name="lift")
def bench_lift(*runs: Path, as_json: AsJson = False) -> int:
    """Lift runs again without each part of the lift, and measure its speed.

    perception label kitti:DATA --boxes label_2 --segmenter mobile_sam.pt --out runs/kitti
    perception bench lift runs/kitti

    Args:
        runs: Finished runs on KITTI folders or synthetic drives, prompted with label_2; none for
            the speed alone.
        as_json: Print one JSON object for programs.
    """
    from perception.benchmarks import ablation, speed

    found: dict[str, dict[str, dict[str, float]]] = {}
    lines: list[str] = []
    for run in runs:
        with show_progress(as_json) as progress:
            scores = ablation.ablate(run, tuple(ablation.WITHOUT), progress)
        found[str(run)] = {way: one.figures() for way, one in scores.items()}
        lines += [f"{run}: ", *ablation.lines(scores), ""]
    fast = speed.measure()
    lines += [f"{name:48} {value:.4g}" for name, value in fast.items()]
    say({"runs": found, "speed": fast}, as_json, lines)
    return FINE


@bench_app.command(name="memory")
def bench_memory(
    *,
    segmenter: str,
    boxes: int = 300,
    width: int = 3840,
    height: int = 2160,
    as_json: AsJson = False,
) -> int:
    """Measure the peak memory of many boxes on a large image.

    Args:
        segmenter: A SAM checkpoint, YOLO-seg weights (.onnx), grabcut or boxes.
        boxes: Number of boxes.
        width: Of the image.
        height: Of the image.
        as_json: Print one JSON object for programs.
    """
    from perception.benchmarks import masks

    figures = masks.segment_memory(segmenter, boxes, width, height)
    say(dict(figures), as_json, [f"{name} {value:g}" for name, value in figures.items()])
    return FINE


@bench_app.command(name="segment")
def bench_segment(
    *,
    segmenter: str,
    boxes: tuple[int, ...] = (20, 100, 300),
    size: str = "3840x2160",
    as_json: AsJson = False,
) -> int:
    """Measure how time and memory grow with the boxes on one image, each in its own process.

    Args:
        segmenter: A SAM checkpoint, YOLO-seg weights (.onnx), grabcut or boxes.
        boxes: Numbers of boxes.
        size: WIDTHxHEIGHT of the image.
        as_json: Print one JSON object for programs.
    """
    from perception.benchmarks import masks
    from perception.core.errors import RequestError

    width, _, height = size.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise RequestError("bench.invalid", f"--size {size}: expected WIDTHxHEIGHT: 3840x2160")
    rows = [
        {"boxes": count, **masks.segment_memory(segmenter, count, int(width), int(height))}
        for count in boxes
    ]
    lines = [
        f"{row['boxes']} boxes: {row['seconds']:.2f} s, peak {row['peak_gb']:.2f} GB"
        for row in rows
    ]
    say({"size": size, "rows": rows}, as_json, lines)
    return FINE


@bench_app.command(name="synthetic")
def bench_synthetic(
    *,
    segmenter: str,
    mode: Mode = "detail",
    frames: int = 20,
    seed: int = 1000,
    threads: int = 2,
    as_json: AsJson = False,
) -> int:
    """Measure how hard synthetic streets are: boxes, masks, depth mode, lift.

    Args:
        segmenter: A SAM checkpoint, YOLO-seg weights (.onnx), grabcut or boxes.
        mode: What SAM is shown: detail, exact or fast.
        frames: How many, each of another street.
        seed: Of the first.
        threads: Of the segmenter.
        as_json: Print one JSON object for programs.
    """
    import pkgutil

    from perception.benchmarks import masks
    from perception.benchmarks.synthetic import measure, streets
    from perception.models.registry import CASTERS

    caster = pkgutil.resolve_name(CASTERS["open3d"])()
    figures = measure(streets(caster, frames, seed), masks.load_segmenter(segmenter, threads, mode))
    say(figures, as_json, [f"{name:24} {value:.4g}" for name, value in figures.items()])
    return FINE


@bench_app.command(name="compare")
def bench_compare(
    source: str,
    *,
    truth: str,
    segmenter: list[str],
    detector: str = "",
    boxes: str = "",
    class_map: str = "",
    truth_map: str = "",
    out: Path | None = None,
    threads: int = 0,
    trust_weights: Flag = False,
    seed: int = 0,
    as_json: AsJson = False,
) -> int:
    """Compare segmenters on the same boxes: masks, boundaries, yield, points.

    perception bench compare kitti:drives/1 --truth drives/1 --detector yolov8n-seg.onnx
    --segmenter mobile_sam.pt --segmenter yolov8n-seg.onnx --segmenter grabcut --segmenter boxes

    Args:
        source: What to label, as in `perception label`.
        truth: As in `perception evaluate`; coco-panoptic:FILE.json too.
        segmenter: A SAM checkpoint, YOLO-seg weights (.onnx), grabcut or boxes; give it repeatedly.
        detector: YOLO weights. Those that segment give the boxes that their own masks belong to.
        boxes: Boxes in place of a detector, as in `perception label`.
        class_map: From the detector's class names to ours.
        truth_map: From the truth's class names to ours.
        out: Keep the runs in this folder.
        threads: Of each model; 0 for all cores.
        trust_weights: Load pickled .pt weights whose hash is not known.
        seed: Of the bootstrap.
        as_json: Print one JSON object for programs.
    """
    from perception.benchmarks import compare
    from perception.commands.request import LabelRequest
    from perception.io import scratch

    with scratch.folder("compare") as place:
        request = LabelRequest(
            source=source,
            out=str(place) if out is None else out,
            segmenter="",
            detector=detector,
            boxes=boxes,
            class_map=class_map,
            # YOLO-seg's own masks belong to boxes of the whole image
            overrides={"observe": {"threads": threads, "detect_tiles": "off"}},
            trust_weights=trust_weights,
        )
        with show_progress(as_json) as progress:
            entries = compare.compete(
                request, tuple(segmenter), truth, truth_map=truth_map, seed=seed, progress=progress
            )
    say(compare.to_dict(entries), as_json, compare.lines(entries))
    return FINE


@bench_app.command(name="gain")
def bench_gain(
    *,
    out: Path,
    detector: str,
    segmenter: str,
    frames: int = 100,
    test_frames: int = 60,
    epochs: int = 12,
    image_px: int = 512,
    seeds: int = 3,
    status: str = "accepted",
    as_json: AsJson = False,
) -> int:
    """Measure what labels are worth: train one student on truth, SAM's masks and plain boxes.

    Twelve trainings from scratch take about 80 minutes on two cores. Call it again after an
    interruption: what is finished stays. Judged on a synthetic drive that none has seen.

    Args:
        out: Folder for drives, labels, students and gain.json.
        detector: YOLO weights (.onnx) that know the road classes, such as the shipped one.
        segmenter: A SAM checkpoint.
        frames: To train on.
        test_frames: To judge on.
        epochs: Rounds over the training frames.
        image_px: Longest side that the student sees.
        seeds: Trainings of each kind.
        status: Which labels to train on, as in `perception export`: accepted, review.
        as_json: Print one JSON object for programs.
    """
    import pkgutil

    from perception.benchmarks.gain import GainConfig, GainRequest, measure_gain
    from perception.models.registry import CASTERS

    config = GainConfig(
        frames=frames,
        test_frames=test_frames,
        epochs=epochs,
        image_px=image_px,
        seeds=seeds,
        status=status,
    )
    caster = pkgutil.resolve_name(CASTERS["open3d"])()
    with show_steps(as_json) as tell:
        gain = measure_gain(GainRequest(out, detector, segmenter, config), caster, tell)
    say(gain.to_dict(), as_json, [*gain.lines(), f"{out / 'gain.json'}"])
    return FINE


@bench_app.command(name="recall")
def bench_recall(
    *roots: Path, detector: list[str], threads: int = 2, as_json: AsJson = False
) -> int:
    """Count what detectors find by size of the object, with tiles and without, and precision.

    perception bench recall DATA/cityscapes DATA/coco --detector yolov8n.onnx --detector yolox.onnx

    Args:
        roots: Cityscapes folders, or COCO folders with a panoptic_*.json.
        detector: Weights of COCO's 80 classes; give it repeatedly.
        threads: Of the detector.
        as_json: Print one JSON object for programs.
    """
    from perception.benchmarks import recall

    with show_progress(as_json) as progress:
        results = recall.measure(roots, detector, threads, progress)
    say({"results": [one.to_dict() for one in results]}, as_json, recall.lines(results))
    return FINE


@bench_app.command(name="trust")
def bench_trust(
    runs: list[Path],
    /,
    *,
    truth: list[str],
    class_map: str = "",
    iou: float = 0.75,
    target_precision: float = 0.95,
    prior: Path | None = None,
    splits: int = 20,
    seed: int = 0,
    as_json: AsJson = False,
) -> int:
    """Measure what a fitted trust is worth beside each score alone, on scenes it has not seen.

    Args:
        runs: Finished runs.
        truth: What each run is judged by, in their order, as in `perception evaluate`.
        class_map: From the truth's class names to ours, where a truth is a COCO file.
        iou: A label is right from this mask IoU on, if its class is.
        target_precision: Share of the accepted labels that is to be right.
        prior: A trust file fitted on other labels, which each fit starts from; no score does.
        splits: How often half of the scenes fit and the other half judge.
        seed: Of the splits and the intervals.
        as_json: Print one JSON object for programs.
    """
    from perception.benchmarks import trust
    from perception.commands import calibrate

    checked = calibrate.gather(runs, truths=truth, files=[], class_map=class_map, right_iou=iou)
    start = calibrate.read_prior(prior, checked, right_iou=iou) if prior else None
    verdict = trust.judge(
        checked, splits=splits, target=target_precision, right_iou=iou, seed=seed, prior=start
    )
    say(asdict(verdict), as_json, verdict.lines())
    return FINE


@bench_app.command(name="relabel")
def bench_relabel(
    run: Path | None = None, *, frames: int = 500, objects: int = 6, as_json: AsJson = False
) -> int:
    """Measure `relabel` and `export`, whole commands, and compare with a fresh run.

    perception bench relabel runs/kitti

    Args:
        run: A finished run, of which a copy is relabelled; without it pictures are drawn.
        frames: To draw.
        objects: In each.
        as_json: Print one JSON object for programs.
    """
    from perception.benchmarks import throughput

    redone = throughput.redo(run, frames, objects)
    say(asdict(redone), as_json, redone.lines())
    return FINE


@bench_app.command(name="ray")
def bench_ray(
    images: Path | None = None,
    *,
    simulate: int = 8,
    frames: int = 0,
    engine: str = "ray",
    detector: str = "",
    segmenter: str = "",
    mode: Mode = "detail",
    rounds: int = 2,
    as_json: AsJson = False,
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
        as_json: Print one JSON object for programs.
    """
    from perception.benchmarks import ray

    if images is not None:
        options = ("--detector", detector, "--segmenter", segmenter, "--mode", mode)
        pair = ray.pair(images, frames or 48, rounds, engine, *options)
        say(asdict(pair), as_json, pair.lines())
        return FINE
    feed, found = ray.feed_rate(), ray.simulate(engine, simulate, frames or 20_000)
    say({**asdict(feed), **asdict(found)}, as_json, [*feed.lines(), *found.lines()])
    return FINE


@bench_app.command(name="evidence")
def bench_evidence(run: Path, *, as_json: AsJson = False) -> int:
    """Measure what a run's evidence takes per instance.

    Args:
        run: A run folder.
        as_json: Print one JSON object for programs.
    """
    from perception.benchmarks import masks

    figures = masks.evidence_size(run)
    say(dict(figures), as_json, [f"{name} {value:g}" for name, value in figures.items()])
    return FINE
