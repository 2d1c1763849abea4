"""`perception bench`: how good masks, points, labels and trust are."""

import pkgutil
from dataclasses import replace
from pathlib import Path

from perception.cli.bench.app import PLAIN, Shown, bench_app, finish
from perception.cli.terminal import Flag, show_steps
from perception.core.choices import Mode
from perception.core.progress import step


@bench_app.command(name="settings")
def bench_settings(
    root: Path,
    *,
    segmenter: str,
    sides: tuple[int, ...] = (1024, 0),
    output: Shown = PLAIN,
) -> int:
    """Compare SAM's modes, engines, precisions and prompts on true objects, by their size.

    perception bench settings DATA/cityscapes --segmenter mobile_sam.pt

    Args:
        root: A Cityscapes folder, or a COCO folder with a panoptic_*.json.
        segmenter: A SAM checkpoint.
        sides: What the longest side of images is scaled to before; 0 for their own size.
        output: Where figures go.
    """
    from perception.benchmarks import settings
    from perception.io import scratch

    with scratch.folder("settings") as place:
        rows = settings.measure(root, segmenter, sides, place, show_steps(output.as_json))
    return finish(settings.report(rows), output)


@bench_app.command(name="masks")
def bench_masks(
    root: Path,
    *,
    segmenter: str,
    mode: Mode = "detail",
    threads: int = 2,
    output: Shown = PLAIN,
) -> int:
    """Compare masks of Cityscapes' true boxes with its true masks.

    Args:
        root: A Cityscapes folder.
        segmenter: A SAM checkpoint, YOLO-seg weights (.onnx), grabcut or boxes.
        mode: What SAM is shown: detail, exact or fast.
        threads: Of the segmenter.
        output: Where figures go.
    """
    from perception.benchmarks import masks
    from perception.benchmarks.harness import scores
    from perception.benchmarks.harness.segmenting import load_segmenter

    model = load_segmenter(segmenter, threads, mode)
    found = masks.compare(root, model, step)
    return finish(scores.report(found, "px"), output)


@bench_app.command(name="points")
def bench_points(
    root: Path,
    *,
    segmenter: str,
    mode: Mode = "detail",
    threads: int = 2,
    output: Shown = PLAIN,
) -> int:
    """Compare labelled points of KITTI's label_2 boxes with the points in its 3D boxes.

    Args:
        root: A KITTI object folder.
        segmenter: A SAM checkpoint, YOLO-seg weights (.onnx), grabcut or boxes.
        mode: What SAM is shown: detail, exact or fast.
        threads: Of the segmenter.
        output: Where figures go.
    """
    from perception.benchmarks import points
    from perception.benchmarks.harness import scores
    from perception.benchmarks.harness.segmenting import load_segmenter

    model = load_segmenter(segmenter, threads, mode)
    found = points.compare(root, model, step)
    return finish(scores.report(found, "points"), output)


@bench_app.command(name="lift")
def bench_lift(*runs: Path, output: Shown = PLAIN) -> int:
    """Lift runs again without each part of the lift, and measure its speed.

    perception label kitti:DATA --boxes label_2 --segmenter mobile_sam.pt --out runs/kitti
    perception bench lift runs/kitti

    Args:
        runs: Finished runs on KITTI folders or synthetic drives, prompted with label_2; none for
            the speed alone.
        output: Where figures go.
    """
    from perception.benchmarks import lift

    found = lift.measure(runs, step)
    return finish(found, output)


@bench_app.command(name="synthetic")
def bench_synthetic(
    *,
    segmenter: str,
    mode: Mode = "detail",
    frames: int = 20,
    seed: int = 1000,
    threads: int = 2,
    output: Shown = PLAIN,
) -> int:
    """Measure how hard synthetic streets are: boxes, masks, depth mode, lift.

    Args:
        segmenter: A SAM checkpoint, YOLO-seg weights (.onnx), grabcut or boxes.
        mode: What SAM is shown: detail, exact or fast.
        frames: How many, each of another street.
        seed: Of the first.
        threads: Of the segmenter.
        output: Where figures go.
    """
    from perception.benchmarks import synthetic
    from perception.benchmarks.harness.segmenting import load_segmenter
    from perception.models.registry import CASTERS

    drawn = synthetic.streets(pkgutil.resolve_name(CASTERS["open3d"])(), frames, seed)
    figures = synthetic.measure(drawn, load_segmenter(segmenter, threads, mode))
    return finish(synthetic.report(figures), output)


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
    output: Shown = PLAIN,
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
        output: Where figures go.
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
        entries = compare.compete(
            request, tuple(segmenter), truth, truth_map=truth_map, seed=seed, progress=step
        )
    return finish(compare.report(entries), output)


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
    output: Shown = PLAIN,
) -> int:
    """Measure what labels are worth: train one student on truth, SAM's masks and plain boxes.

    Twelve trainings from scratch take more than an hour on two cores. Call it again after an
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
        output: Where figures go.
    """
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
    gain = measure_gain(
        GainRequest(out, detector, segmenter, config), caster, show_steps(output.as_json)
    )
    found = gain.report()
    return finish(replace(found, lines=[*found.lines, f"{out / 'gain.json'}"]), output)


@bench_app.command(name="recall")
def bench_recall(*roots: Path, detector: list[str], threads: int = 2, output: Shown = PLAIN) -> int:
    """Count what detectors find by size of the object, with tiles and without, and precision.

    perception bench recall DATA/cityscapes DATA/coco --detector yolov8n.onnx --detector yolox.onnx

    Args:
        roots: Cityscapes folders, or COCO folders with a panoptic_*.json.
        detector: Weights of COCO's 80 classes; give it repeatedly.
        threads: Of the detector.
        output: Where figures go.
    """
    from perception.benchmarks import recall

    results = recall.measure(roots, detector, threads, step)
    return finish(recall.report(results), output)


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
    output: Shown = PLAIN,
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
        output: Where figures go.
    """
    from perception.benchmarks import trust
    from perception.commands.trust import gather, read_prior

    checked = gather(runs, truths=truth, files=[], class_map=class_map, right_iou=iou)
    start = read_prior(prior, checked, right_iou=iou) if prior else None
    verdict = trust.judge(
        checked, splits=splits, target=target_precision, right_iou=iou, seed=seed, prior=start
    )
    return finish(verdict.report(), output)
