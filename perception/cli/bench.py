"""`perception bench`: quality, memory and size."""

from pathlib import Path

from cyclopts import App

from perception.cli.terminal import FINE, AsJson, say, show_progress

bench_app = App(
    name="bench", help="Measure quality, memory and size; the README states the figures."
)


@bench_app.command(name="masks")
def bench_masks(root: Path, *, segmenter: str, threads: int = 2, as_json: AsJson = False) -> int:
    """Compare masks of Cityscapes' true boxes with its true masks.

    Args:
        root: A Cityscapes folder.
        segmenter: A SAM checkpoint, YOLO-seg weights (.onnx), grabcut or boxes.
        threads: Of the segmenter.
        as_json: Print one JSON object for programs.
    """
    from perception import bench

    with show_progress(as_json) as progress:
        scores = bench.cityscapes_masks(root, bench.load_segmenter(segmenter, threads), progress)
    say(dict(bench.summarise(scores)), as_json, bench.score_lines(scores, "px"))
    return FINE


@bench_app.command(name="points")
def bench_points(root: Path, *, segmenter: str, threads: int = 2, as_json: AsJson = False) -> int:
    """Compare labelled points of KITTI's label_2 boxes with the points in its 3D boxes.

    Args:
        root: A KITTI object folder.
        segmenter: A SAM checkpoint, YOLO-seg weights (.onnx), grabcut or boxes.
        threads: Of the segmenter.
        as_json: Print one JSON object for programs.
    """
    from perception import bench

    with show_progress(as_json) as progress:
        scores = bench.kitti_points(root, bench.load_segmenter(segmenter, threads), progress)
    say(dict(bench.summarise(scores)), as_json, bench.score_lines(scores, "points"))
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
    from perception import bench

    figures = bench.segment_memory(segmenter, boxes, width, height)
    say(dict(figures), as_json, [f"{name} {value:g}" for name, value in figures.items()])
    return FINE


@bench_app.command(name="synthetic")
def bench_synthetic(
    *, segmenter: str, frames: int = 20, seed: int = 1000, threads: int = 2, as_json: AsJson = False
) -> int:
    """Measure how hard synthetic streets are: boxes, masks, depth mode, clusters.

    Args:
        segmenter: A SAM checkpoint, YOLO-seg weights (.onnx), grabcut or boxes.
        frames: How many, each of another street.
        seed: Of the first.
        threads: Of the segmenter.
        as_json: Print one JSON object for programs.
    """
    import pkgutil

    from perception import bench
    from perception.backends import CASTERS
    from perception.synthetic.difficulty import measure, streets

    caster = pkgutil.resolve_name(CASTERS["open3d"])()
    figures = measure(streets(caster, frames, seed), bench.load_segmenter(segmenter, threads))
    say(figures, as_json, [f"{name:24} {value:.4g}" for name, value in figures.items()])
    return FINE


@bench_app.command(name="evidence")
def bench_evidence(run: Path, *, as_json: AsJson = False) -> int:
    """Measure what a run's evidence takes per instance.

    Args:
        run: A run folder.
        as_json: Print one JSON object for programs.
    """
    from perception import bench

    figures = bench.evidence_size(run)
    say(dict(figures), as_json, [f"{name} {value:g}" for name, value in figures.items()])
    return FINE
