"""The command line: parse, call one function, print. Nothing else."""

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from cyclopts.exceptions import CycloptsError
from rich.console import Console

from perception import __version__
from perception.errors import PerceptionError

if TYPE_CHECKING:
    from perception.commands import Planned, Run

FINE, QUARANTINED, USAGE, INTERRUPTED = 0, 1, 2, 130  # exit codes
# Options without a value: what follows them is a word of its own.
FLAGS = ("--trust-weights", "--overwrite", "--new-run", "--dry-run", "--json")

app = App(
    name="perception",
    help="YOLO boxes prompt SAM; the masks become checked labels for images and LiDAR points.",
    version=__version__,
    result_action="return_value",
)
weights_app = App(name="weights", help="List, verify and pull model weights.")
app.command(weights_app)
bench_app = App(
    name="bench", help="Measure quality, memory and size; the README states the figures."
)
app.command(bench_app)

AsJson = Annotated[bool, Parameter(name="--json", negative="")]
Flag = Annotated[bool, Parameter(negative="")]


@app.command
def label(
    source: str,
    *,
    out: Path,
    segmenter: str,
    detector: str = "",
    boxes: str = "",
    class_map: str = "",
    config: Path | None = None,
    floor: float | None = None,
    min_score: float | None = None,
    device: str | None = None,
    threads: int | None = None,
    chunk: int | None = None,
    engine: str = "local",
    workers: int = 1,
    address: str = "",
    limit: int = 0,
    trust_weights: Flag = False,
    overwrite: Flag = False,
    new_run: Flag = False,
    dry_run: Flag = False,
    as_json: AsJson = False,
) -> int:
    """Label a dataset into a run folder; the same command again resumes it.

    perception label kitti:DATA --out runs/kitti --detector yolov8n.onnx --segmenter mobile_sam.pt

    Args:
        source: kitti:ROOT, kitti-raw:ROOT, images:ROOT, a path (folder, glob, list file, image) or
            a dataset.yaml.
        out: The run folder.
        segmenter: A SAM checkpoint (MobileSAM, ViT-B/L/H); grabcut and boxes need no weights.
        detector: YOLO weights, .onnx or .pt.
        boxes: In place of a detector: label_2, a COCO .json, or a folder of KITTI or YOLO .txt.
        class_map: From the detector's names to ours: a shipped class map or a YAML file.
        config: YAML file with settings.
        floor: Boxes below this score are never seen (0.2).
        min_score: Boxes below this score are rejected (0.25); `perception relabel` moves it.
        device: cpu, cuda:0, ...
        threads: Per model; by default all cores, shared out over the workers.
        chunk: Boxes decoded together; bounds the memory (8).
        engine: local or ray.
        workers: Models at work side by side, with --engine ray.
        address: Of a running Ray cluster: auto or HOST:PORT.
        limit: Only the first samples.
        trust_weights: Load a pickled .pt detector whose hash is not known: a pickle is code.
        overwrite: Discard the run that is there.
        new_run: Where the folder holds a run with other settings, start OUT-2 beside it.
        dry_run: Check the request and say what would be done.
        as_json: Print one JSON object for programs.
    """
    from perception import commands

    request = commands.LabelRequest(
        source,
        out,
        segmenter,
        detector,
        boxes=boxes,
        class_map=class_map,
        config=config,
        overrides=_nested(
            {
                "observe.min_score": floor,
                "observe.device": device,
                "observe.threads": threads,
                "observe.prompt_chunk": chunk,
                "decide.judge.min_score": min_score,
            }
        ),
        engine=engine,
        workers=workers,
        address=address,
        limit=limit,
        trust_weights=trust_weights,
        overwrite=overwrite,
        new_run=new_run,
    )
    if dry_run:
        return _show_plan(commands.plan(request), as_json)
    with _progress(as_json) as progress:
        return _show_run(commands.label(request, progress), as_json)


@app.command
def relabel(
    run: Path,
    *,
    min_score: float | None = None,
    config: Path | None = None,
    class_map: str = "",
    as_json: AsJson = False,
) -> int:
    """Decide again over what a run has seen; no model runs.

    perception relabel runs/kitti --min-score 0.4

    Args:
        run: The run folder.
        min_score: Boxes below this score are rejected.
        config: YAML file with `decide` settings.
        class_map: Another class map.
        as_json: Print one JSON object for programs.
    """
    from perception import commands

    overrides = _nested({"decide.judge.min_score": min_score})
    with _progress(as_json) as progress:
        result = commands.relabel(
            run, overrides=overrides, config=config, class_map=class_map, progress=progress
        )
    return _show_run(result, as_json)


@app.command
def export(
    run: Path,
    *,
    to: str,
    out: Path,
    status: str = "accepted",
    classes: str = "",
    as_json: AsJson = False,
) -> int:
    """Write a run's labels in a format that others read.

    perception export runs/kitti --to coco --out kitti.json

    Args:
        run: The run folder.
        to: coco, coco-results, yolo, semantic-kitti or png.
        out: A file (coco, coco-results) or a folder.
        status: Which labels count, separated by commas: accepted, review, rejected.
        classes: Class map to the names and ids to write: a shipped one or a YAML file.
        as_json: Print one JSON object for programs.
    """
    from perception import commands

    summary = commands.export(
        run, to, out, statuses=commands.parse_statuses(status), classes=classes
    )
    _say({**asdict(summary), "out": str(out)}, as_json, commands.export_lines(summary, to, out))
    return FINE


@app.command
def synthesize(
    out: Path, *, frames: int = 20, seed: int = 0, workers: int = 1, as_json: AsJson = False
) -> int:
    """Render a synthetic drive, camera and LiDAR, whose truth is known to the pixel and the point.

    perception synthesize drives/1 --frames 40 --seed 1

    Args:
        out: Folder for the drive, in KITTI's and SemanticKITTI's layouts; must not hold anything.
        frames: How many.
        seed: Another seed is another drive; the same seed gives the same bytes.
        workers: Processes that render side by side.
        as_json: Print one JSON object for programs.
    """
    import pkgutil

    from perception.backends import CASTERS
    from perception.synthetic.command import synthesize as render

    # Side by side each process casts on one thread; alone, on all.
    caster = pkgutil.resolve_name(CASTERS["open3d"])(threads=1 if workers > 1 else 0)
    with _progress(as_json) as progress:
        card = render(out, frames, seed, caster, progress, workers=workers)
    lines = [f"{name}: {value}" for name, value in card["statistics"].items()]
    _say(card, as_json, [*lines, f"{out}: label it with `perception label kitti:{out} ...`"])
    return FINE


@app.command
def evaluate(
    run: Path,
    *,
    truth: str,
    class_map: str = "",
    seed: int = 0,
    page: Path | None = None,
    as_json: AsJson = False,
) -> int:
    """Compare a run's labels with truth: masks, boxes, points, with intervals.

    perception evaluate runs/drive --truth drives/1

    Args:
        run: A finished run.
        truth: A synthetic drive, a COCO .json, or cityscapes:FOLDER.
        class_map: From the truth's class names to ours: a shipped class map or a YAML file.
        seed: Of the bootstrap.
        page: Also write an HTML page here.
        as_json: Print one JSON object for programs.
    """
    from perception.evaluate import evaluate as compare
    from perception.evaluate import to_html
    from perception.files import write_bytes

    report = compare(run, truth, class_map=class_map, seed=seed)
    if page is not None:
        write_bytes(page, to_html(report).encode())
    _say(report.to_dict(), as_json, report.lines(intervals=False))
    return FINE


@app.command
def train(
    data: Path,
    *,
    out: Path,
    model: str,
    val: Path | None = None,
    epochs: int = 40,
    image_px: int = 640,
    batch: int = 16,
    seed: int = 0,
    device: str = "cpu",
    threads: int = 2,
    trust_weights: Flag = False,
    as_json: AsJson = False,
) -> int:
    """Train a YOLO detector on a YOLO export; a card beside the weights says what it is.

    perception train exported/drive --out detector --model yolo11n.yaml

    Args:
        data: A YOLO export: `perception export RUN --to yolo`.
        out: Folder for best.pt and card.json.
        model: An architecture that ultralytics ships, such as yolo11n.yaml, or .pt weights.
        val: A YOLO export to measure on; the training data itself without it.
        epochs: Rounds over the data.
        image_px: Longest side that the network sees.
        batch: Images per step.
        seed: Of the weights and the order.
        device: cpu, cuda:0, ...
        threads: Of the processor.
        trust_weights: Load pickled .pt weights whose hash is not known.
        as_json: Print one JSON object for programs.
    """
    from perception.config import TrainConfig
    from perception.training import TrainRequest
    from perception.training import train as run_training

    config = TrainConfig(
        epochs=epochs, image_px=image_px, batch=batch, seed=seed, device=device, threads=threads
    )
    card = run_training(TrainRequest(data, out, model, val, trust_weights, config))
    lines = [f"{name} {value:.4f}" for name, value in sorted(card["figures"].items())]
    measured = "the training data" if card["val_is_train"] else "held-out data"
    _say(card, as_json, [*lines, f"{out / 'best.pt'}, measured on {measured}; see card.json"])
    return FINE


@weights_app.command(name="list")
def weights_list(*, as_json: AsJson = False) -> int:
    """List the weights that are known by their hash.

    Args:
        as_json: Print one JSON object for programs.
    """
    from perception import weights

    rows = [asdict(known) for known in weights.KNOWN]
    lines = [
        f"{known.name:20} {known.kind:10} {known.size_bytes / 1e6:8.1f} MB  "
        f"{known.licence:14} {known.note}"
        for known in weights.KNOWN
    ]
    _say({"weights": rows}, as_json, lines)
    return FINE


@weights_app.command(name="verify")
def weights_verify(path: Path, *, as_json: AsJson = False) -> int:
    """Check a weights file against the known hashes.

    Args:
        path: The file.
        as_json: Print one JSON object for programs.
    """
    from perception import weights

    digest = weights.check(path)
    known = weights.identify(path)
    text = f"is {known.name} ({known.licence})" if known else "is not in the list of known weights"
    name = known.name if known else ""
    _say({"sha256": digest, "known_as": name}, as_json, [f"{path}: {text}; sha256 {digest}"])
    return FINE


@weights_app.command(name="pull")
def weights_pull(name: str, *, to: Path = Path(), as_json: AsJson = False) -> int:
    """Download known weights from their publisher and check their hash; the only verb with network.

    Args:
        name: As `perception weights list` shows it.
        to: Folder to put it into.
        as_json: Print one JSON object for programs.
    """
    from perception import weights

    path = weights.pull(name, to)
    _say({"path": str(path)}, as_json, [f"{path}"])
    return FINE


@app.command
def doctor(*, as_json: AsJson = False) -> int:
    """Say what this machine has and what is missing.

    Args:
        as_json: Print one JSON object for programs.
    """
    from perception.doctor import examine

    findings = examine()
    lines = [f"{'ok ' if f.fine else 'NO '} {f.name:24} {f.text}" for f in findings]
    _say({"findings": [asdict(f) for f in findings]}, as_json, lines)
    return FINE if all(f.fine for f in findings) else QUARANTINED


@bench_app.command(name="masks")
def bench_masks(root: Path, *, segmenter: str, threads: int = 2, as_json: AsJson = False) -> int:
    """Compare masks of Cityscapes' true boxes with its true masks.

    Args:
        root: A Cityscapes folder.
        segmenter: A SAM checkpoint, grabcut or boxes.
        threads: Of the segmenter.
        as_json: Print one JSON object for programs.
    """
    from perception import bench

    with _progress(as_json) as progress:
        scores = bench.cityscapes_masks(root, bench.load_segmenter(segmenter, threads), progress)
    _say(dict(bench.summarise(scores)), as_json, bench.score_lines(scores, "px"))
    return FINE


@bench_app.command(name="points")
def bench_points(root: Path, *, segmenter: str, threads: int = 2, as_json: AsJson = False) -> int:
    """Compare labelled points of KITTI's label_2 boxes with the points in its 3D boxes.

    Args:
        root: A KITTI object folder.
        segmenter: A SAM checkpoint, grabcut or boxes.
        threads: Of the segmenter.
        as_json: Print one JSON object for programs.
    """
    from perception import bench

    with _progress(as_json) as progress:
        scores = bench.kitti_points(root, bench.load_segmenter(segmenter, threads), progress)
    _say(dict(bench.summarise(scores)), as_json, bench.score_lines(scores, "points"))
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
        segmenter: A SAM checkpoint, grabcut or boxes.
        boxes: Number of boxes.
        width: Of the image.
        height: Of the image.
        as_json: Print one JSON object for programs.
    """
    from perception import bench

    figures = bench.segment_memory(segmenter, boxes, width, height)
    _say(dict(figures), as_json, [f"{name} {value:g}" for name, value in figures.items()])
    return FINE


@bench_app.command(name="synthetic")
def bench_synthetic(
    *, segmenter: str, frames: int = 20, seed: int = 1000, threads: int = 2, as_json: AsJson = False
) -> int:
    """Measure how hard synthetic streets are: boxes, masks and depth mode, true boxes as prompts.

    Args:
        segmenter: A SAM checkpoint, grabcut or boxes.
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
    _say(figures, as_json, [f"{name:24} {value:.4g}" for name, value in figures.items()])
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
    _say(dict(figures), as_json, [f"{name} {value:g}" for name, value in figures.items()])
    return FINE


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    """Turn {"a.b": 1, "a.c": None} into {"a": {"b": 1}}."""
    nested: dict[str, Any] = {}
    for dotted, value in values.items():
        *parents, last = dotted.split(".")
        if value is None:
            continue
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return nested


def _say(value: dict[str, Any], as_json: bool, lines: Sequence[str]) -> None:
    if as_json:
        sys.stdout.write(json.dumps(value, sort_keys=True) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines))


def _show_plan(planned: "Planned", as_json: bool) -> int:
    value = {**asdict(planned), "folder": str(planned.folder)}
    lines = [
        f"{planned.samples} samples in {planned.shards} shards, {planned.shards_done} done, "
        f"would go to {planned.folder}"
    ]
    _say(value, as_json, lines)
    return FINE


def _show_run(run: "Run", as_json: bool) -> int:
    counts = run.counts
    samples = counts["samples"]
    lines = [
        f"{samples['input']} samples: {samples['ok']} ok, {samples['empty']} empty, "
        f"{samples['quarantined']} quarantined",
    ]
    for title in (
        "statuses",
        "classes_accepted",
        "classes_ignored",
        "boxes_dropped",
        "points",
        "reasons",
    ):
        if counts.get(title):
            listed = ", ".join(f"{name} {count}" for name, count in sorted(counts[title].items()))
            lines.append(f"{title.replace('_', ' ')}: {listed}")
    if samples["quarantined"]:
        listed = ", ".join(f"{code} {n}" for code, n in sorted(counts["quarantined_by"].items()))
        lines.append(f"quarantined: {listed}; see {run.folder / 'quarantine.jsonl'}")
    lines.append(f"labels in {run.folder}, pictures in {run.folder / 'preview'}")
    _say({"run": str(run.folder), "counts": counts}, as_json, lines)
    return QUARANTINED if samples["quarantined"] else FINE


@contextmanager
def _progress(as_json: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal, plain lines otherwise, nothing with --json; on stderr."""
    console = Console(stderr=True)
    if as_json:
        yield lambda done, total: None
    elif console.is_terminal:
        from rich.progress import Progress

        with Progress(console=console) as bar:
            task = bar.add_task("samples", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
    else:
        yield lambda done, total: print(f"{done}/{total} samples", file=sys.stderr, flush=True)  # noqa: T201


def _spell_options(tokens: Sequence[str]) -> list[str]:
    """Accept `key=value` as `yolo` users type it: rewrite it to `--key=value`."""
    spelled: list[str] = []
    for token in tokens:
        key = re.match(r"([a-z][a-z_-]*)=", token)
        before = spelled[-1] if spelled else ""
        is_value = before.startswith("--") and "=" not in before and before not in FLAGS
        if key and not is_value and not Path(token).exists():
            token = "--" + key[1].replace("_", "-") + token[len(key[1]) :]
        spelled.append(token)
    return spelled


def main(tokens: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:] if tokens is None else tokens))


def run(tokens: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    try:
        result = app(_spell_options(tokens), exit_on_error=False, print_error=False)
        return result if isinstance(result, int) else FINE
    except CycloptsError as error:
        sys.stderr.write(f"perception: {error}\n")
        return USAGE
    except PerceptionError as error:
        sys.stderr.write(f"perception: {error}\n")
        return USAGE
    except OSError as error:  # of the run folder or the export: a full disk, no permission
        sys.stderr.write(f"perception: io.failed: {error}\n")
        return USAGE
    except KeyboardInterrupt:
        sys.stderr.write("perception: interrupted; the same command resumes\n")
        return INTERRUPTED


if __name__ == "__main__":
    main()
