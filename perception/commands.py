"""One function per verb: load, call, write. The command line and Python callers share them."""

import os
import pkgutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perception import backends, prompts, sources
from perception.config import (
    Config,
    ModelSpec,
    load_config,
    merge,
    parse_config,
    read_overrides,
)
from perception.engine.job import Job
from perception.engine.worker import decide_shard, draw_shard
from perception.errors import RequestError
from perception.formats import coco, label_png, semantic_kitti, yolo
from perception.formats.yolo import YoloSummary
from perception.ontology import (
    ClassMap,
    Ontology,
    load_class_map,
    load_ontology,
    target_of,
)
from perception.runs import evidence, folder, labels, records, shards
from perception.runs.folder import Plan, RunSpec
from perception.sources import Source
from perception.types import ExportSummary, SampleLabels, Status

Progress = Callable[[int, int], None]  # samples done, samples in all


def no_progress(done: int, total: int) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: The run folder.
        counts: Samples by status, instances by status, class and reason.
    """

    folder: Path
    counts: dict[str, Any]

    def labels(self) -> Iterator[SampleLabels]:
        """Yield the labels of every sample that was not quarantined, in the order of the plan."""
        return read_labels(self.folder)


@dataclass(frozen=True)
class Planned:
    """What `label` would do: returned by a dry run."""

    folder: Path
    samples: int
    shards: int
    shards_done: int
    fingerprint: str


def label(
    source: str,
    out: Path | str,
    segmenter: str,
    detector: str = "",
    *,
    boxes: str = "",
    class_map: str = "",
    config: Path | None = None,
    overrides: dict[str, Any] | None = None,
    engine: str = "local",
    workers: int = 1,
    address: str = "",
    limit: int = 0,
    trust_weights: bool = False,
    overwrite: bool = False,
    new_run: bool = False,
    dry_run: bool = False,
    progress: Progress = no_progress,
) -> Run | Planned:
    """Label a dataset into a run folder, or go on where an earlier call stopped.

    Args:
        source: "kitti:ROOT", "kitti-raw:ROOT", "images:ROOT", a path, or a dataset.yaml.
        out: The run folder.
        segmenter: A SAM checkpoint, "grabcut" or "boxes".
        detector: YOLO weights; exclusive with `boxes`.
        boxes: "label_2", a COCO JSON file, or a folder of KITTI or YOLO txt files.
        class_map: Shipped class map or YAML file; "" chooses by the detector or box file.
        config: YAML with settings.
        overrides: Nested settings that win over the file.
        engine: "local" or "ray".
        workers: Models at work side by side; more than 1 needs "ray".
        address: Of a running Ray cluster.
        limit: Only the first samples; 0 for all.
        trust_weights: Load a pickled detector whose hash is not known.
        overwrite: Discard a run that is there.
        new_run: Where `out` holds another run, start OUT-2, OUT-3, ... beside it.
        dry_run: Check everything that needs no model, and say what would be done.
        progress: Called as samples are done.

    Raises:
        RequestError: before any work, for anything wrong with the request.
    """
    settings = load_config(config, overrides or {})
    _check_engine(engine, workers, address)
    if limit < 0:
        raise RequestError("config.invalid", f"--limit {limit}: expected 0, for all, or more")
    origin = sources.parse_source(source)
    refs = sources.find(origin)[: limit or None]
    run = Path(out).resolve()
    _keep_out_of_the_source(run, origin, Path(refs[0].root))
    settings = _resolve_threads(settings, run, workers, overwrite)
    plan = Plan(refs, settings.shard_size)
    job = _job(origin, run, plan, settings, detector, segmenter, boxes, class_map, trust_weights)
    if new_run:
        run = _free_folder(run, job.spec)
        job = job.model_copy(update={"run": str(run)})
    if dry_run:
        return Planned(
            run, len(refs), len(plan), _done(run, job.spec, plan), job.spec.fingerprint()
        )
    if overwrite and (run / "run.json").exists():
        folder.discard(run)
    folder.begin(run, job.spec, plan)
    return Run(run, _work(job, plan, engine, workers, address, progress))


def _work(
    job: Job, plan: Plan, engine: str, workers: int, address: str, progress: Progress
) -> dict[str, Any]:
    run, started = Path(job.run), time.time()
    missing = [index for index in range(len(plan)) if not _whole(run, job.spec, index)]
    finished = sum(len(plan.shard(i)) for i in range(len(plan)) if i not in set(missing))
    resumed = finished
    progress(finished, len(plan.samples))

    def done(index: int) -> None:
        nonlocal finished
        finished += len(plan.shard(index))
        progress(finished, len(plan.samples))

    if missing:
        pkgutil.resolve_name(backends.ENGINES[engine])(job, missing, workers, address, done)
    counts = folder.finish(run, job.spec, plan)
    seconds = time.time() - started
    records.write_json(
        run / "timings.json",
        {
            "finished_unix_s": round(time.time(), 3),
            "seconds": round(seconds, 3),
            "samples_done_now": finished - resumed,
            "samples_resumed": resumed,
            "engine": engine,
            "workers": workers,
        },
    )
    return counts


def _whole(run: Path, spec: RunSpec, index: int) -> bool:
    return shards.shard_is_whole(evidence.folder_of(run), index) and shards.shard_is_whole(
        labels.folder_of(run, spec.label_set()), index
    )


def _done(run: Path, spec: RunSpec, plan: Plan) -> int:
    return sum(_whole(run, spec, index) for index in range(len(plan)))


def _keep_out_of_the_source(run: Path, origin: Source, root: Path) -> None:
    # A list file, or one picture, does not make its whole folder a dataset.
    inside = run.is_relative_to(root) and not origin.root.is_file()
    if inside or root.is_relative_to(run):
        raise RequestError(
            "path.inside_source",
            f"--out {run} lies inside or around the source {root}; choose another folder",
        )


def _resolve_threads(settings: Config, run: Path, workers: int, overwrite: bool) -> Config:
    """Fix the threads per model: they change the last bits, so a resumed run keeps its own."""
    if settings.observe.threads:
        return settings
    if (run / "run.json").exists() and not overwrite:
        threads = folder.read_spec(run).config.observe.threads
    else:
        threads = max(1, len(os.sched_getaffinity(0)) // workers)
    observe = settings.observe.model_copy(update={"threads": threads})
    return settings.model_copy(update={"observe": observe})


def _check_engine(engine: str, workers: int, address: str) -> None:
    if engine not in backends.ENGINES:
        raise RequestError(
            "config.invalid", f"--engine {engine}: expected one of {', '.join(backends.ENGINES)}"
        )
    if workers < 1 or (engine == "local" and (workers > 1 or address)):
        raise RequestError(
            "config.invalid",
            f"--workers {workers} with --engine {engine}: the local engine has one worker and no "
            "address; use --engine ray for more",
        )


def _job(
    origin: Source,
    run: Path,
    plan: Plan,
    settings: Config,
    detector: str,
    segmenter: str,
    boxes: str,
    class_map: str,
    trust_weights: bool,
) -> Job:
    if bool(detector) == bool(boxes):
        raise RequestError("config.invalid", "give either --detector WEIGHTS or --boxes FILE")
    ontology = load_ontology()
    segmenting = backends.choose_segmenter(segmenter)
    detector_path = ""
    if boxes:
        opened = prompts.open_boxes(boxes, origin.layout, _root(plan))
        prompts.check_boxes(opened, plan.samples)
        looks = ModelSpec(
            kind="boxes", file_name=Path(boxes).name, sha256=prompts.digest(boxes, _root(plan))
        )
        chosen = load_class_map(class_map) if class_map else None
        mapping = chosen or prompts.class_map_for(opened.class_names, ontology)
        mapping.check_names(opened.class_names)
        boxes = boxes if boxes == prompts.LABEL_2 else str(Path(boxes).resolve())
    else:
        looking = backends.choose_detector(detector, trust_weights)
        looks, detector_path = looking.spec, str(looking.path)
        mapping = _detector_map(looks, class_map, ontology)
    spec = RunSpec(
        libraries=folder.installed_libraries(),
        source=origin.layout,
        source_licence=origin.licence,
        plan_sha256=records.sha256(plan.to_bytes()),
        detector=looks,
        segmenter=segmenting.spec,
        config=settings,
        ontology=ontology,
        class_map=mapping,
    )
    return Job(
        run=str(run),
        spec=spec,
        detector_path=detector_path,
        segmenter_path=str(segmenting.path),
        boxes=boxes,
        layout=origin.layout,
        root=str(_root(plan)),
    )


def _root(plan: Plan) -> Path:
    return Path(plan.samples[0].root)


def _detector_map(looks: ModelSpec, class_map: str, ontology: Ontology) -> ClassMap:
    if class_map:
        return load_class_map(class_map)
    if looks.kind == "yolo":
        return load_class_map("coco80-to-road")
    return prompts.class_map_for(("car",), ontology)


def _free_folder(run: Path, spec: RunSpec) -> Path:
    candidate, number = run, 1
    while (candidate / "run.json").exists():
        if folder.read_spec(candidate).fingerprint() == spec.fingerprint():
            return candidate
        number += 1
        candidate = run.with_name(f"{run.name}-{number}")
    return candidate


def relabel(
    run: Path | str,
    *,
    overrides: dict[str, Any] | None = None,
    config: Path | None = None,
    class_map: str = "",
    progress: Progress = no_progress,
) -> Run:
    """Decide again over a run's stored evidence; no model runs.

    Sweeps and calibration are read again from the source; images only for the previews.

    Args:
        run: The run folder.
        overrides: Nested settings that win over the file and over what the run has.
        config: YAML with settings.
        class_map: Another class map.
        progress: Called as samples are done.

    Raises:
        RequestError: `relabel.observe` for a setting that needs the models again, such as a score
            below the run's floor; `run.damaged`; `config.invalid`.
    """
    path = Path(run).resolve()
    spec = folder.read_spec(path)
    before = spec.config.model_dump(mode="json")
    asked = parse_config(
        merge(merge(before, read_overrides(config)), overrides or {}), str(config or "options")
    )
    if asked.observe != spec.config.observe or asked.shard_size != spec.config.shard_size:
        raise RequestError(
            "relabel.observe",
            "only `decide` settings can be changed without the models; use `label`",
        )
    mapping = load_class_map(class_map) if class_map else spec.class_map
    spec = spec.with_decisions(asked.decide, mapping)
    plan = folder.read_plan(path, spec)
    for index in range(len(plan)):
        if not decide_shard(path, spec, plan, index):
            draw_shard(path, spec, plan, index)  # the previews show another label set
        progress(min((index + 1) * plan.shard_size, len(plan.samples)), len(plan.samples))
    return Run(path, folder.finish(path, spec, plan))


def read_labels(run: Path | str) -> Iterator[SampleLabels]:
    """Yield the labels of every sample of a finished run that was not quarantined."""
    for outcome, sample_labels in folder.read_labels(Path(run)):
        if outcome.status != "quarantined":
            yield sample_labels


def parse_statuses(text: str) -> tuple[Status, ...]:
    """Understand "accepted,review".

    Raises:
        RequestError: `config.invalid` for a word that is no status.
    """
    known = {status.name.lower(): status for status in Status}
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in known:
            raise RequestError(
                "config.invalid", f"--status {word!r}: expected some of {', '.join(known)}"
            )
    return tuple(known[word] for word in words)


def export_lines(summary: ExportSummary | YoloSummary, to: str, out: Path | str) -> list[str]:
    """Say what an export wrote and lost."""
    written = summary.export if isinstance(summary, YoloSummary) else summary
    lines = [
        f"{out}: {written.samples} samples, {written.labels} labels, {written.ignored} ignored"
    ]
    if written.left_out:
        lines.append("left out: " + ", ".join(f"{name} {n}" for name, n in written.left_out))
    if isinstance(summary, YoloSummary):
        lines.append(
            f"polygons: mean mask IoU {summary.mean_iou:.4f}, lowest {summary.min_iou:.4f}"
        )
    return lines


FORMATS = ("coco", "coco-results", "yolo", "semantic-kitti", "png")
_DEFAULT_MAPS = {"semantic-kitti": "road-to-semantic-kitti", "png": "road-to-cityscapes"}


def export(
    run: Path | str,
    to: str,
    out: Path | str,
    *,
    statuses: tuple[Status, ...] = (Status.ACCEPTED,),
    classes: str = "",
) -> ExportSummary | YoloSummary:
    """Write a run's labels in a format that others read, then read them back.

    Args:
        run: The run folder.
        to: One of `FORMATS`.
        out: A file (coco, coco-results) or a folder.
        statuses: Which instances count as labels.
        classes: Class map to the format's names and ids; "" for the format's own.

    Raises:
        RequestError: `export.unknown`, `id.overflow`, `export.collision`, `run.incomplete`.
    """
    if to not in FORMATS:
        raise RequestError("export.unknown", f"--to {to}: expected one of {', '.join(FORMATS)}")
    path, target_path = Path(run), Path(out)
    spec = folder.read_spec(path)
    name = classes or _DEFAULT_MAPS.get(to, "")
    target = target_of(spec.ontology, load_class_map(name) if name else None)
    chosen = frozenset(statuses)
    samples = read_labels(path)
    if to == "coco":
        return coco.write(samples, target_path, target, statuses=chosen, ontology=spec.ontology)
    if to == "coco-results":
        return coco.write_results(samples, target_path, target, statuses=chosen)
    if to == "yolo":
        root = _root(folder.read_plan(path, spec))
        return yolo.write(samples, target_path, target, statuses=chosen, image_root=root)
    writer = semantic_kitti.write if to == "semantic-kitti" else label_png.write
    return writer(samples, target_path, target, statuses=chosen)
