"""The verbs around a run: synthetic drives, evaluation, training, and what the machine has."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from perception.cli.terminal import FINE, QUARANTINED, AsJson, Flag, say, show_notice
from perception.core.errors import RequestError
from perception.core.progress import step


def synthesize(
    out: Path,
    *,
    frames: int = 20,
    seed: int = 0,
    scene_frames: int = 20,
    stride: int = 1,
    workers: int = 1,
    cameras: Literal[1, 6] = 1,
    overwrite: Flag = False,
    as_json: AsJson = False,
) -> int:
    """Render a synthetic drive, camera and LiDAR, whose truth is known to the pixel and the point.

    perception synthesize drives/1 --frames 40 --seed 1

    Args:
        out: Folder for the drive; must not hold anything.
        frames: How many.
        seed: Another seed is another drive; the same seed gives the same bytes.
        scene_frames: Frames from one street before the next begins; intervals need streets.
        stride: Tenths of a second from one frame of a street to the next.
        workers: Processes that render side by side.
        cameras: 1 looks ahead, in KITTI's and SemanticKITTI's layouts; 6 look round the car, in
            nuScenes' layout. Street and sweeps are the same.
        overwrite: Discard the drive that is there.
        as_json: Print one JSON object for programs.
    """
    import pkgutil

    from perception.models.registry import CASTERS
    from perception.synthetic.command import synthesize as render

    # Side by side each process casts on one thread; alone, on all.
    caster = pkgutil.resolve_name(CASTERS["open3d"])(threads=1 if workers > 1 else 0)
    card = render(
        out,
        frames,
        seed,
        caster,
        step,
        scene_frames=scene_frames,
        stride=stride,
        workers=workers,
        cameras=cameras,
        overwrite=overwrite,
    )
    lines = [f"{name}: {value}" for name, value in card["statistics"].items()]
    source = f"kitti:{out}" if cameras == 1 else f"nuscenes:{out}"
    say(card, as_json, [*lines, f"drive in {out}; next: perception label {source} ..."])
    return FINE


def evaluate(
    *runs: str,
    truth: str,
    class_map: str = "",
    seed: int = 0,
    full: Flag = False,
    out: Path | None = None,
    page: Path | None = None,
    plots: Path | None = None,
    csv: Flag = False,
    latex: Flag = False,
    as_json: AsJson = False,
) -> int:
    """Compare labels with truth: a verdict of ten lines, the worst first; several runs in columns.

    perception evaluate runs/drive --truth drives/1
    perception evaluate runs/before runs/after --truth drives/1 --latex > table.tex

    Args:
        runs: Finished runs, or label sets of theirs, RUN/labels/HASH; the others are compared with
            the first, in paired differences.
        truth: A synthetic drive, a COCO .json (masks, or boxes only), cityscapes:FOLDER, kitti:ROOT
            or nuscenes:ROOT (boxes, and points in 3D boxes), semantic-kitti:ROOT or
            nuscenes-lidarseg:ROOT (points); kitti, nuscenes, semantic-kitti or nuscenes-lidarseg
            alone for the root that the runs were made from.
        class_map: From the truth's class names to ours: a shipped class map or a YAML file.
        seed: Of the bootstrap.
        full: Print every table in place of the verdict.
        out: Also write all figures here, as JSON.
        page: Also write an HTML page here, with plots and pictures; what it needs lies beside it in
            PAGE_files.
        plots: Also write plots into this folder, PNG and PDF, with the numbers of each as CSV
            (needs the extra plots).
        csv: Print all figures as CSV, one a row.
        latex: Print the verdict as a table for LaTeX (booktabs).
        as_json: Print one JSON object for programs.
    """
    from perception.evaluation import evaluate as compare
    from perception.evaluation.beside import Beside, names_of, split_label_set
    from perception.evaluation.gallery import write_page, write_plots
    from perception.io.files import write_bytes
    from perception.runs.store import reading

    if not runs:
        raise RequestError("option.invalid", "evaluate needs a run: perception evaluate RUN ...")
    if csv + latex + as_json > 1:
        raise RequestError("option.invalid", "give one of --csv, --latex and --json")
    if (page is not None or plots is not None) and len(runs) > 1:
        raise RequestError("option.invalid", "--page and --plots show one run: give one")
    reports = []
    for run in runs:
        where, label_set = split_label_set(run)
        with reading(where, evidence=False) as place:
            reports.append(
                compare(place, truth, class_map=class_map, seed=seed, label_set=label_set)
            )
            if page is not None:
                write_page(page, reports[0], place)
    found = Beside(names_of(runs), tuple(reports))
    if plots is not None:
        write_plots(plots, reports[0])
    if out is not None:
        write_bytes(out, (json.dumps(found.to_dict(), indent=1) + "\n").encode())
    if csv or latex:
        say({}, False, (found.to_csv() if csv else found.to_latex()).splitlines())
    else:
        say(found.to_dict() if as_json else {}, as_json, found.lines(full=full))
    return FINE


def show(
    run: str,
    *,
    out: Path,
    truth: str = "",
    class_map: str = "",
    frames: int = 8,
    review: Flag = False,
    status: str = "accepted,review",
    rerun: Flag = False,
    overwrite: Flag = False,
    as_json: AsJson = False,
) -> int:
    """Write a folder whose index.html opens from disk: pictures, points in 3D, figures.

    perception show runs/drive --out report --truth drives/1
    perception show runs/drive --out review --review

    Args:
        run: A finished run.
        out: Folder for the page; must not hold anything.
        truth: As for `perception evaluate`; without it the page has no figures.
        class_map: From the truth's class names to ours: a shipped class map or a YAML file.
        frames: How many samples at most, evenly spaced over the run.
        review: In place of the report, pages to accept and reject labels, the most doubtful first;
            they make a file of decisions.
        status: With --review, which labels: accepted, review, rejected.
        rerun: Also write recording.rrd for Rerun's viewer (needs the extra rerun); not with
            --review.
        overwrite: Replace the page that is there.
        as_json: Print one JSON object for programs.
    """
    from perception.runs.store import reading

    if review and rerun:
        raise RequestError("option.invalid", "--rerun writes what the report shows: drop --review")
    if review:
        from perception.commands.results import parse_statuses
        from perception.review.review import review as write_review

        with reading(run, evidence=False) as place:
            wanted = frozenset(parse_statuses(status))
            done = write_review(place, out, statuses=wanted, overwrite=overwrite, name=run)
        unreadable = f"; {done.unreadable} samples could not be read" if done.unreadable else ""
        lines = [f"{done.labels} labels to look at{unreadable}", f"open {done.page}"]
        say({**asdict(done), "page": str(done.page)}, as_json, lines)
        return FINE
    from perception.review import show as write_page

    with reading(run, evidence=False) as place:
        shown = write_page(
            place,
            out,
            truth=truth,
            class_map=class_map,
            frames=frames,
            rerun=rerun,
            overwrite=overwrite,
            address=run,
        )
    recording = str(shown.recording) if shown.recording else None
    value = {**asdict(shown), "page": str(shown.page), "recording": recording}
    say(value, as_json, [*shown.lines(), f"open {shown.page}"])
    return FINE


def train(
    data: Path,
    *,
    out: Path,
    model: str,
    val: Path | None = None,
    split: float = 0,
    epochs: int = 40,
    image_px: int = 640,
    batch: int = 16,
    seed: int = 0,
    device: str = "cpu",
    threads: int = 2,
    trust_weights: Flag = False,
    offline: Flag = False,
    as_json: AsJson = False,
) -> int:
    """Train a YOLO detector on a YOLO export; a card and a page beside the weights say what it is.

    perception train exported/drive --out detector --model yolo11n.yaml --split 0.2
    perception train exported/drive --out student --model yolo11n-seg.yaml --val exported/other

    Args:
        data: A YOLO export: `perception export RUN --to yolo`.
        out: Folder for best.pt, best.onnx, card.json, and index.html with curves and pictures.
        model: An architecture that ultralytics ships, such as yolo11n.yaml, or yolo11n-seg.yaml,
            which learns masks from polygons; .pt weights to start from, or the name of known ones,
            such as yolo11n, fetched once.
        val: A YOLO export to measure on; the training data itself without it and --split.
        split: Share of the data to hold out and measure on, such as 0.2: whole recordings where
            file names tell them, else single pictures.
        epochs: Rounds over the data.
        image_px: Longest side that the network sees.
        batch: Images per step.
        seed: Of the weights, the order and the split.
        device: cpu, cuda:0, ...
        threads: Of the processor.
        trust_weights: Load pickled .pt weights whose hash is not known.
        offline: Fetch nothing: weights by name must be in the cache.
        as_json: Print one JSON object for programs.
    """
    from perception.commands.train import TrainRequest
    from perception.commands.train import train as run_training
    from perception.core.config import TrainConfig

    config = TrainConfig(
        epochs=epochs, image_px=image_px, batch=batch, seed=seed, device=device, threads=threads
    )
    request = TrainRequest(data, out, model, val, split, trust_weights, offline, config)
    card = run_training(request, show_notice(as_json))
    lines = [f"{name} {value:.4f}" for name, value in sorted(card["figures"].items())]
    lines.append(f"{out / 'best.onnx'}, measured on {card['measured_on']}; see card.json")
    say(card, as_json, lines)
    return FINE


def status(run: str, *, as_json: AsJson = False) -> int:
    """Say how far a run is, also while it works.

    perception status runs/kitti

    Args:
        run: The run folder.
        as_json: Print one JSON object for programs.
    """
    from perception.runs.status import read_status
    from perception.runs.store import reading_state

    with reading_state(run) as place:
        found = read_status(place)
    say(found.to_dict(), as_json, found.lines())
    return FINE


def verify(run: str, *, as_json: AsJson = False) -> int:
    """Check every hash and every promise of a run; exits with 1 if something is wrong.

    perception verify runs/kitti

    Args:
        run: The run folder.
        as_json: Print one JSON object for programs.
    """
    from perception.runs.store import reading
    from perception.runs.verify import verify as check

    with reading(run) as place:
        verdict = check(place)
    say(asdict(verdict), as_json, verdict.lines())
    return QUARANTINED if verdict.faults else FINE


def init(source: str, *, out: Path = Path("perception.yaml"), as_json: AsJson = False) -> int:
    """Write a settings file for your data, with a comment for every setting.

    perception init photos
    perception init kitti:DATA/kitti_object --out kitti.yaml

    Args:
        source: What `label` takes.
        out: The settings file; must not exist.
        as_json: Print one JSON object for programs.
    """
    from perception.commands.init import init as start

    started = start(source, out)
    say(asdict(started) | {"path": str(started.path)}, as_json, started.lines())
    return FINE


def config(*, as_json: AsJson = False) -> int:
    """Print every setting with its default and what it means, as a file for `--config`.

    perception config > mine.yaml

    Args:
        as_json: Print one JSON object for programs.
    """
    from perception.commands.init import commented
    from perception.core.config import Config

    settings = Config()
    text = commented(settings, "perception label SOURCE --config THIS_FILE ...")
    say(settings.model_dump(mode="json"), as_json, text.splitlines())
    return FINE


def completion(shell: Literal["bash", "zsh", "fish"]) -> int:
    """Print what makes a shell complete verbs and options; nothing is installed.

    perception completion bash >> ~/.bash_completion
    perception completion zsh > "${fpath[1]}/_perception"
    perception completion fish > ~/.config/fish/completions/perception.fish

    Args:
        shell: bash, zsh or fish.
    """
    from perception.cli import app

    say({}, False, app.generate_completion(prog_name="perception", shell=shell).splitlines())
    return FINE


def doctor(*, as_json: AsJson = False) -> int:
    """Say what this machine has and what is missing; exits with 1 if something is.

    perception doctor

    Args:
        as_json: Print one JSON object for programs.
    """
    from perception.commands.doctor import examine

    findings = examine()
    missing = [finding.name for finding in findings if not finding.fine]
    verdict = (
        f"{len(missing)} of {len(findings)} are not as they should be: {', '.join(missing)}; each "
        "line below says what helps; what you do not use may stay so"
        if missing
        else "all is well: perception label PICTURES works here"
    )
    lines = [f"{'ok ' if f.fine else 'NO '} {f.name:24} {f.text}" for f in findings]
    say({"findings": [asdict(f) for f in findings]}, as_json, [verdict, *lines])
    return FINE if all(f.fine for f in findings) else QUARANTINED
