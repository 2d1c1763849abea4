"""The verbs of a run: label, relabel, export."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from perception.cli.terminal import (
    FINE,
    QUARANTINED,
    AsJson,
    Flag,
    nested,
    say,
    show_notice,
    stopping_between_samples,
)
from perception.core.choices import Backend, Mode, Precision
from perception.core.progress import step

if TYPE_CHECKING:
    from perception.commands.label import Planned
    from perception.commands.results import Run


MOST = Group("What most people need", sort_key=1)
DECISIONS = Group("Decisions: a run can be decided again without its models", sort_key=2)
MODELS = Group("Models", sort_key=3)
PLACES = Group("Where it runs", sort_key=4)
INPUT = Group("Input", sort_key=5)
SAFETY = Group("Safety", sort_key=6)
OUTPUT = Group("Output", sort_key=7)

Preset = Literal["strict", "balanced", "recall"]


def label(
    source: Annotated[str, Parameter(group=MOST)],
    *,
    out: Annotated[str, Parameter(group=MOST)] = "",
    detector: Annotated[str, Parameter(name=["--detector", "--model"], group=MOST)] = "",
    boxes: Annotated[str, Parameter(group=MOST)] = "",
    segmenter: Annotated[str, Parameter(group=MOST)] = "mobile_sam",
    classes: Annotated[str, Parameter(group=MOST)] = "",
    min_score: Annotated[
        float | None, Parameter(name=["--min-score", "--conf"], group=DECISIONS)
    ] = None,
    preset: Annotated[Preset | None, Parameter(group=DECISIONS)] = None,
    class_map: Annotated[str, Parameter(group=DECISIONS)] = "",
    trust: Annotated[str, Parameter(group=DECISIONS)] = "",
    config: Annotated[Path | None, Parameter(group=DECISIONS)] = None,
    floor: Annotated[float | None, Parameter(group=MODELS)] = None,
    mode: Annotated[Mode | None, Parameter(group=MODELS)] = None,
    detect_tiles: Annotated[str | None, Parameter(group=MODELS)] = None,
    precision: Annotated[Precision | None, Parameter(group=MODELS)] = None,
    second_opinion: Annotated[str, Parameter(group=MODELS)] = "",
    wobble: Annotated[int | None, Parameter(group=MODELS)] = None,
    names: Annotated[str, Parameter(group=MODELS)] = "",
    trust_weights: Annotated[Flag, Parameter(group=MODELS)] = False,
    device: Annotated[str | None, Parameter(group=PLACES)] = None,
    threads: Annotated[int | None, Parameter(group=PLACES)] = None,
    workers: Annotated[int, Parameter(group=PLACES)] = 1,
    engine: Annotated[str, Parameter(group=PLACES)] = "local",
    address: Annotated[str, Parameter(group=PLACES)] = "",
    dashboard: Annotated[str, Parameter(group=PLACES)] = "",
    backend: Annotated[Backend | None, Parameter(group=PLACES)] = None,
    detect_backend: Annotated[str | None, Parameter(group=PLACES)] = None,
    chunk: Annotated[int | None, Parameter(group=PLACES)] = None,
    offline: Annotated[Flag, Parameter(group=PLACES)] = False,
    limit: Annotated[int, Parameter(group=INPUT)] = 0,
    keep_orientation: Annotated[Flag, Parameter(group=INPUT)] = False,
    max_megapixels: Annotated[int | None, Parameter(group=INPUT)] = None,
    columns: Annotated[int | None, Parameter(group=INPUT)] = None,
    dry_run: Annotated[Flag, Parameter(group=SAFETY)] = False,
    overwrite: Annotated[Flag, Parameter(group=SAFETY)] = False,
    new_run: Annotated[Flag, Parameter(group=SAFETY)] = False,
    break_lock: Annotated[Flag, Parameter(group=SAFETY)] = False,
    strict_calibration: Annotated[Flag, Parameter(group=SAFETY)] = False,
    as_json: Annotated[AsJson, Parameter(group=OUTPUT)] = False,
) -> int:
    """Label a dataset into a run folder; the same command again resumes it.

    perception label photos
    perception label photos --classes car,person --preset strict
    perception label source=photos model=yolov8n conf=0.4
    perception label kitti:DATA --out runs/kitti --detector yolov8n.onnx --segmenter mobile_sam.pt

    Args:
        source: A path (folder, glob, list file, image), a dataset.yaml, or LAYOUT:ROOT, such as
            kitti:ROOT or nuscenes:ROOT; a layout that does not exist is answered with all that do.
            ROOT may be s3://BUCKET/PATH.
        out: The run folder, or s3://BUCKET/PATH; by default runs/NAME, after the source.
        segmenter: A SAM checkpoint, its name as `perception weights list` has it, YOLO-seg weights
            (.onnx); grabcut and boxes need none. Weights by name are fetched once, and told.
        detector: YOLO weights, .onnx or .pt, or a name; or YOLOX weights, .onnx. By default
            yolov8n, where no boxes are given.
        boxes: In place of a detector: label_2, a COCO .json, a CVAT .xml, or a folder of KITTI or
            YOLO .txt, Pascal VOC .xml, LabelMe .json.
        second_opinion: Another segmenter, such as YOLO-seg weights: how far its masks agree.
        wobble: Jitter each box so many times and see how much its mask changes (0); 8 is plenty.
        trust: A trust file, as `perception trust fit` writes it.
        class_map: From the detector's names to ours: a shipped class map or a YAML file; same
            keeps the detector's classes, all of them.
        classes: The only classes that are wanted, separated by commas; others are ignored.
        config: YAML file with settings.
        floor: Boxes below this score are never seen (0.2).
        min_score: Boxes below this score are rejected (0.25); `perception relabel` moves it.
        preset: strict: fewer labels, surer ones; recall: more of them, some wrong, for people to go
            through; balanced: the defaults. Settings of --config and options win over it.
        device: cpu, cuda:0, ...
        threads: Per model; by default all cores, shared out over the workers.
        chunk: Boxes decoded together; bounds the memory (8).
        mode: What SAM is shown: detail (tiles of native resolution where the objects are, of
            twice that where they are small), exact (as segment-anything: the whole image in a
            square of 1024), or fast (the part of that square that the image fills).
        backend: Who computes SAM: openvino, torch, or auto: OpenVINO on a CPU.
        precision: Of SAM in OpenVINO: fp32, bf16, mixed (only the encoder in bf16), or auto: where
            the processor has it bf16 in mode fast and mixed in mode detail.
        detect_backend: Of .onnx detectors: onnxruntime, openvino, or auto: openvino where it is
            installed and the device is the CPU.
        detect_tiles: native: the detector looks at tiles of its own input size too, where images
            are larger; off. YOLO-seg weights as segmenter know no object that only a tile shows.
        engine: local or ray.
        workers: Processes side by side, each with its own models.
        address: Of a running Ray cluster: auto or HOST:PORT.
        dashboard: Host for Ray's dashboard, such as 127.0.0.1; by default there is none.
        limit: Only the first samples.
        keep_orientation: Take pictures as they are stored. By default those without calibration are
            turned as their EXIF Orientation says, as cameras, browsers and most tools show them.
        max_megapixels: Larger pictures are refused (64; 512 at most).
        columns: Numbers per point of .bin sweeps, where they are not the layout's own
            (4; nuScenes 5).
        trust_weights: Load a pickled .pt detector whose hash is not known: a pickle is code.
        names: File with the names of an .onnx detector's classes, in the order of their numbers:
            one a line, a JSON list, or YAML with `names`; by default those that the file states.
        overwrite: Discard the run that is there.
        new_run: Where OUT holds a run with other settings, start OUT-2 beside it.
        break_lock: Take the folder from a run that has ended on another machine.
        strict_calibration: Stop after a shard most of whose pictures say that calibration is off.
        offline: Fetch no weights that are named.
        dry_run: Check the request, load the models once, and say what would be done.
        as_json: Print one JSON object for programs.
    """
    from perception.commands.calls import request_of
    from perception.commands.label import label as label_source
    from perception.commands.label import plan

    request = request_of(
        source,
        out,
        {
            "segmenter": segmenter,
            "detector": detector,
            "boxes": boxes,
            "second": second_opinion,
            "trust": trust,
            "class_map": class_map,
            "classes": classes,
            "preset": preset or "",
            "config": config,
            "overrides": {"observe": {"orientation": "stored"}} if keep_orientation else {},
            "floor": floor,
            "device": device,
            "threads": threads,
            "chunk": chunk,
            "mode": mode,
            "backend": backend,
            "precision": precision,
            "detect_backend": detect_backend,
            "detect_tiles": detect_tiles,
            "wobble": wobble,
            "max_megapixels": max_megapixels,
            "columns": columns,
            "min_score": min_score,
            "engine": engine,
            "workers": workers,
            "address": address,
            "dashboard": dashboard,
            "limit": limit,
            "trust_weights": trust_weights,
            "names": names,
            "overwrite": overwrite,
            "new_run": new_run,
            "break_lock": break_lock,
            "strict_calibration": strict_calibration,
            "offline": offline,
        },
    )
    if dry_run:
        return _show_plan(plan(request), as_json)
    with stopping_between_samples(step) as gently:
        return _show_run(label_source(request, gently, show_notice(as_json)), as_json)


def relabel(
    run: str,
    *,
    min_score: Annotated[float | None, Parameter(name=["--min-score", "--conf"])] = None,
    preset: Preset | None = None,
    config: Path | None = None,
    class_map: str = "",
    trust: str = "",
    keep_per_class: int = 0,
    as_json: AsJson = False,
) -> int:
    """Decide again over what a run has seen; no model runs.

    perception relabel runs/kitti --min-score 0.4
    perception relabel runs/kitti --preset strict

    Args:
        run: The run folder.
        min_score: Boxes below this score are rejected.
        preset: strict, balanced or recall, as `perception label` has it.
        config: YAML file with `decide` settings.
        class_map: Another class map.
        trust: A trust file; none for no trust model, where the run has one.
        keep_per_class: Labels that each class should have at least: the best of review are accepted
            where the line of the trust model leaves fewer.
        as_json: Print one JSON object for programs.
    """
    from perception.commands.relabel import relabel as relabel_run
    from perception.core.presets import with_preset

    overrides = nested({"decide.judge.min_score": min_score})
    config, overrides = with_preset(preset or "", config, overrides)
    with stopping_between_samples(step) as gently:
        result = relabel_run(
            run,
            overrides=overrides,
            config=config,
            class_map=class_map,
            trust=trust,
            keep_per_class=keep_per_class,
            progress=gently,
        )
    return _show_run(result, as_json)


def export(
    run: str,
    *,
    to: str,
    out: Path,
    status: str = "accepted",
    classes: str = "",
    overwrite: Flag = False,
    as_json: AsJson = False,
) -> int:
    """Write a run's labels, or a synthetic drive's truth, in a format that others read.

    perception export runs/kitti --to coco --out kitti.json
    perception export runs/kitti --to yolo,coco --out exported

    Args:
        run: The run folder, or that of a synthetic drive.
        to: A format, such as coco, cityscapes, cvat, yolo or kitti, several separated by commas, or
            all; one that does not exist is answered with all that do.
        out: A file for coco and coco-results, else a folder; for several formats a folder that each
            has its own file or folder in.
        status: Which labels count, separated by commas: accepted, review, rejected.
        classes: Class map to the names and ids to write: a shipped one or a YAML file.
        overwrite: Discard the export that is there; nothing but an export is discarded.
        as_json: Print one JSON object for programs.
    """
    from perception.commands.exports import export as export_run
    from perception.commands.results import parse_statuses

    chosen = parse_statuses(status)
    done = export_run(run, to, out, statuses=chosen, classes=classes, overwrite=overwrite)
    values = [{**asdict(one), "out": str(one.out), "card": str(one.card)} for one in done]
    lines = [line for one in done for line in one.lines()]
    lines.append(f"what it holds and how it was made: {done[0].card}")
    say({"exports": values}, as_json, lines)
    return FINE


def _show_plan(planned: "Planned", as_json: bool) -> int:
    value = {**asdict(planned), "folder": str(planned.folder)}
    lines = [
        f"{planned.samples} samples in {planned.shards} shards, {planned.shards_done} done, "
        f"would go to {planned.folder}",
        *(f"note: {notice}" for notice in planned.notices),
    ]
    say(value, as_json, lines)
    return FINE


def _show_run(run: "Run", as_json: bool) -> int:
    from perception.runs import offsets, sanity

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
        "boxes_mended",
        "pictures_changed",
        "points",
        "reasons",
    ):
        if counts.get(title):
            listed = ", ".join(f"{name} {count}" for name, count in sorted(counts[title].items()))
            lines.append(f"{title.replace('_', ' ')}: {listed}")
    for offset in offsets.camera_offsets(counts):
        lines.append(f"{'warning: ' if offset.is_off else 'calibration: '}{offset.text()}")
    doubts = sanity.warnings(counts)
    lines += [f"warning: {doubt}" for doubt in doubts]
    if samples["quarantined"]:
        listed = ", ".join(f"{code} {n}" for code, n in sorted(counts["quarantined_by"].items()))
        lines.append(f"quarantined: {listed}; see {run.address}/quarantine.jsonl; the first:")
        for row in run.refusals:
            named = row["sample_id"] in row["message"]
            who = "" if named else f"{row['sample_id']}: "
            lines.append(f"  {row['code']}: {who}{row['message']}")
    lines += [f"note: {notice}" for notice in run.notices]  # said before a night's work, too
    lines += [f"next: perception show {shlex.quote(str(run.address))} --out page", _where(run)]
    value = {
        "run": run.address,
        "counts": counts,
        "notices": run.notices,
        "warnings": doubts,
        "quarantined": run.refusals,
    }
    say(value, as_json, lines)
    return QUARANTINED if samples["quarantined"] else FINE


def _where(run: "Run") -> str:
    """Say where labels and pictures are, if there are pictures, and of how many samples."""
    from perception.execution.job import PREVIEW_SAMPLES

    samples = run.counts["samples"]
    in_bucket = not run.folder.is_dir()  # what was drawn is there, and the copy is gone
    drawn = in_bucket or any((run.folder / "preview").rglob("*.jpg"))
    if not drawn or samples["input"] == samples["quarantined"]:
        return f"labels in {run.address}; no pictures were drawn"
    if samples["input"] <= PREVIEW_SAMPLES:
        return f"labels in {run.address}, pictures in {run.address}/preview"
    return (
        f"labels in {run.address}, pictures of the first {PREVIEW_SAMPLES} of {samples['input']:,} "
        f"samples in {run.address}/preview; perception show draws any"
    )
