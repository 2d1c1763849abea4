"""What `label` is asked to do, and what that comes to: checked, hashed, cut into shards.

Everything that can be refused without a model is refused here, before any work.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from perception.core.config import Config, ModelSpec, load_config
from perception.core.errors import RequestError
from perception.core.ontology import (
    SAME,
    ClassMap,
    Ontology,
    load_class_map,
    load_ontology,
    only,
    same_classes,
)
from perception.core.types import SampleRef
from perception.execution.job import Job
from perception.io.images import Reading
from perception.labeling.trust.model import read_model
from perception.models import given_boxes, registry, weights
from perception.models.backends import detector_resolved, segmenter_resolved
from perception.models.capabilities import Capabilities
from perception.models.registry import Choice
from perception.readers import sources
from perception.readers.sources import Source
from perception.runs import folder, records
from perception.runs.folder import Plan, RunSpec

MAX_LANES = 4  # each holds an image and the networks' memory for it, about 0.3 GB


@dataclass(frozen=True)
class LabelRequest:
    """A request to label a dataset.

    Attributes:
        source: "LAYOUT:ROOT" (see `sources.LAYOUTS`), a path, or a dataset.yaml.
        out: The run folder, or an address in a bucket.
        segmenter: A SAM checkpoint, YOLO-seg weights (.onnx), "grabcut" or "boxes".
        detector: YOLO or YOLOX weights; exclusive with `boxes`.
        boxes: "label_2", a COCO JSON file, or a folder of KITTI or YOLO txt files.
        second: A second segmenter, asked the same boxes for its opinion; "" for none.
        trust: A trust file, see `trust.model`; "" for none.
        class_map: Shipped class map or YAML file; "same" for the classes of the detector or box
            file as they are; "" chooses by their names.
        classes: The only classes that are wanted, separated by commas; "" for all.
        config: YAML with settings.
        overrides: Nested settings that win over the file.
        engine: "local" or "ray".
        workers: Models at work side by side.
        address: Of a running Ray cluster.
        dashboard: Host that Ray's dashboard listens on; "" for none.
        limit: Only the first samples; 0 for all.
        trust_weights: Load a pickled detector whose hash is not known.
        names: File with the names of the detector's classes; "" for those that it has.
        overwrite: Discard a run that is there.
        new_run: Where `out` holds another run, start OUT-2, OUT-3, ... beside it.
        break_lock: Take the folder from a run that is certain to have ended.
        strict_calibration: Stop where masks and points do not lie upon each other.
        offline: Fetch no weights that are named.
    """

    source: str
    out: Path | str
    segmenter: str
    detector: str = ""
    boxes: str = ""
    second: str = ""
    trust: str = ""
    class_map: str = ""
    classes: str = ""
    config: Path | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    engine: str = "local"
    workers: int = 1
    address: str = ""
    dashboard: str = ""
    limit: int = 0
    trust_weights: bool = False
    names: str = ""
    overwrite: bool = False
    new_run: bool = False
    break_lock: bool = False
    strict_calibration: bool = False
    offline: bool = False


@dataclass(frozen=True)
class Chosen:
    """The models of a request; without a detector boxes are given."""

    detector: Choice | None
    segmenter: Choice
    second: Choice | None


@dataclass(frozen=True)
class Mapped:
    """The classes of a run, the way to them, and how names were understood."""

    ontology: Ontology
    class_map: ClassMap
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Resolved:
    """A request that can be served.

    Attributes:
        job: What workers are told.
        plan: The shards.
        notices: What was understood or left out, one sentence each: people read them before any
            work, so that nothing is passed over in silence.
    """

    job: Job
    plan: Plan
    notices: tuple[str, ...] = ()


def resolve(request: LabelRequest) -> Resolved:
    """Check a request and resolve all it leaves open; nothing is written.

    Raises:
        RequestError: for anything wrong with the request that shows without a model.
    """
    settings = load_config(request.config, request.overrides)
    _check_engine(request)
    if request.limit < 0:
        raise RequestError(
            "config.invalid", f"--limit {request.limit}: expected 0, for all, or more"
        )
    origin = sources.parse_source(request.source)
    found = sources.survey(origin, _reading(settings))
    refs = _with_columns(found.refs[: request.limit or None], settings.observe.columns)
    run, root = Path(request.out).resolve(), refs[0].root
    _keep_out_of_the_source(run, origin, root)
    chosen = _choose(request)
    settings = _resolve_models(_resolve_threads(settings, run, request), chosen)
    plan = Plan(refs, settings.shard_size)
    job, notices = _job(request, origin, root, plan, settings, chosen)
    if request.new_run:
        job = job.model_copy(update={"run": str(_free_folder(run, job.spec))})
    return Resolved(job, plan, (*found.notices, *sources.remarks(refs), *notices))


def _reading(settings: Config) -> Reading:
    observe = settings.observe
    return Reading(observe.orientation == "upright", observe.max_megapixels)


def _with_columns(refs: tuple[SampleRef, ...], columns: int) -> tuple[SampleRef, ...]:
    """Say in each sample how many numbers a point of its sweep has."""
    if columns and not any(ref.sweep_file for ref in refs):
        raise RequestError(
            "config.invalid", f"--columns {columns}: the source has no sweeps; leave it out"
        )
    return sources.with_columns(refs, columns)


def _check_engine(request: LabelRequest) -> None:
    if request.engine not in registry.ENGINES:
        raise RequestError(
            "config.invalid",
            f"--engine {request.engine}: expected one of {', '.join(registry.ENGINES)}",
        )
    if request.workers < 1:
        raise RequestError("config.invalid", f"--workers {request.workers}: expected 1 or more")
    if request.engine == "local" and (request.address or request.dashboard):
        raise RequestError(
            "config.invalid", "--address and --dashboard are Ray's: they need --engine ray"
        )


def _keep_out_of_the_source(run: Path, origin: Source, source: str) -> None:
    if origin.bucket:
        return
    # A list file, or one picture, does not make its whole folder a dataset.
    root = Path(source)
    inside = run.is_relative_to(root) and not origin.root.is_file()
    if inside or root.is_relative_to(run):
        raise RequestError(
            "path.inside_source",
            f"--out {run} lies inside or around the source {root}; choose another folder",
        )


def _resolve_threads(settings: Config, run: Path, request: LabelRequest) -> Config:
    """Fix the threads per model: they change the last bits, so a resumed run keeps its own."""
    if settings.observe.threads:
        return settings
    if (run / "run.json").exists() and not request.overwrite:
        threads = folder.read_spec(run).config.observe.threads
    else:
        threads = max(1, len(os.sched_getaffinity(0)) // request.workers)
    observe = settings.observe.model_copy(update={"threads": threads})
    return settings.model_copy(update={"observe": observe})


def with_weights(request: LabelRequest, tell: Callable[[str], None]) -> LabelRequest:
    """Return a request with paths in place of names of known weights, fetched where they must be.

    Args:
        request: What is asked.
        tell: Called before anything is fetched.

    Raises:
        RequestError: as `weights.path_of`.
    """

    def path_of(text: str) -> str:
        return weights.path_of(text, tell, offline=request.offline)

    return replace(
        request,
        detector=path_of(request.detector),
        segmenter=path_of(request.segmenter),
        second=path_of(request.second),
    )


def _choose(request: LabelRequest) -> Chosen:
    """Look at the weights that were asked for, once."""
    if bool(request.detector) == bool(request.boxes):
        raise RequestError("config.invalid", "give either --detector WEIGHTS or --boxes FILE")
    if request.names and request.boxes:
        raise RequestError(
            "config.invalid", "--names names the classes of --detector; --boxes has its own"
        )
    detector, trusted = request.detector, request.trust_weights
    return Chosen(
        registry.choose_detector(detector, trusted, request.names) if detector else None,
        registry.choose_segmenter(request.segmenter),
        registry.choose_segmenter(request.second) if request.second else None,
    )


def _resolve_models(settings: Config, chosen: Chosen) -> Config:
    """Fix what computes the models, how precisely, and for how many samples side by side.

    Raises:
        RequestError: `config.invalid`, `extra.missing`, `precision.unavailable`.
    """
    segmenter = chosen.segmenter.can
    observe = segmenter_resolved(settings.observe, segmenter)
    observe = detector_resolved(observe, chosen.detector.can if chosen.detector else Capabilities())
    can = observe.backend in segmenter.lanes
    if observe.lanes > 1 and not can:
        raise RequestError(
            "config.invalid",
            f"observe.lanes {observe.lanes}: only SAM in OpenVINO looks at several samples side by "
            "side; use 1",
        )
    lanes = observe.lanes or (min(observe.threads, MAX_LANES) if can else 1)
    return settings.model_copy(update={"observe": observe.model_copy(update={"lanes": lanes})})


def _job(
    request: LabelRequest,
    origin: Source,
    root: str,
    plan: Plan,
    settings: Config,
    chosen: Chosen,
) -> tuple[Job, tuple[str, ...]]:
    """Return what workers are told, and how the boxes were understood."""
    second = chosen.second
    detector_path, boxes = "", request.boxes
    if chosen.detector is None:
        detector, mapped, understood = _given(request, origin, root, plan)
        boxes = boxes if boxes in given_boxes.OWN_FOLDERS else str(Path(boxes).resolve())
    else:
        detector, detector_path = chosen.detector.spec, str(chosen.detector.path)
        understood = chosen.detector.notices
        mapped = _map(request, _names(chosen.detector), "the detector")
    ontology, mapping, notices = mapped.ontology, mapped.class_map, (*understood, *mapped.notices)
    spec = RunSpec(
        libraries=folder.installed_libraries(),
        source=origin.layout,
        source_licence=origin.licence,
        plan_sha256=records.sha256(plan.to_bytes()),
        detector=detector,
        segmenter=chosen.segmenter.spec,
        second=second.spec if second else None,
        config=settings,
        ontology=ontology,
        class_map=mapping,
        trust=read_model(Path(request.trust)) if request.trust else None,
    )
    job = Job(
        run=str(Path(request.out).resolve()),
        spec=spec,
        detector_path=detector_path,
        segmenter_path=str(chosen.segmenter.path),
        second_path=str(second.path) if second else "",
        boxes=boxes,
        layout=origin.layout,
        root=root,
    )
    return job, notices


def _given(
    request: LabelRequest, origin: Source, root: str, plan: Plan
) -> tuple[ModelSpec, Mapped, tuple[str, ...]]:
    """Return what stands for the detector, the map of its classes, how boxes were understood."""
    given = request.boxes
    here = sources.label_root(root) if given in given_boxes.OWN_FOLDERS else Path(root)
    opened = given_boxes.open_boxes(given, sources.traits(origin.layout), here, plan.file_names())
    understood = (*opened.notices, *given_boxes.check_boxes(opened, plan.samples))
    names, listed = opened.class_names, tuple[str, ...]()
    if isinstance(opened, given_boxes.MatchedBoxes):
        digest, listed = opened.digest(), opened.listed_names
    else:
        digest = given_boxes.digest(given, here, opened.names_files)
    mapped = _map(request, names, given, listed)
    mapped.class_map.check_names(names)
    spec = ModelSpec(kind="boxes", file_name=Path(request.boxes).name, sha256=digest)
    return spec, mapped, understood


def _names(detector: Choice) -> tuple[str, ...]:
    """Return a detector's classes; of one that does not say them COCO's 80, if it may have them."""
    if detector.class_names:
        return detector.class_names
    coco = load_class_map("coco80-to-road")
    return (*coco.map, *coco.ignore) if detector.can.coco_names else ("car",)


def _map(
    request: LabelRequest, names: tuple[str, ...], source: str, listed: tuple[str, ...] = ()
) -> Mapped:
    """Return the classes of a run and the way to them.

    Args:
        request: Which class map and which classes are wanted.
        names: Of the detector, or of boxes.
        source: What has them, for messages.
        listed: Names that a box file lists, and no box has.
    """
    road = load_ontology()
    if request.class_map == SAME:
        ontology, class_map = same_classes((*names, *listed), road)
        notices = tuple[str, ...]()
    elif request.class_map:
        ontology = road
        class_map, notices = given_boxes.fit(load_class_map(request.class_map), names, listed)
    else:
        ontology = road
        class_map, notices = given_boxes.class_map_for(names, ontology, source, listed)
    wanted = [name.strip() for name in request.classes.split(",") if name.strip()]
    return Mapped(ontology, only(class_map, wanted) if wanted else class_map, notices)


def _free_folder(run: Path, spec: RunSpec) -> Path:
    candidate, number = run, 1
    while (candidate / "run.json").exists():
        if folder.read_spec(candidate).fingerprint() == spec.fingerprint():
            return candidate
        number += 1
        candidate = run.with_name(f"{run.name}-{number}")
    return candidate
