"""What `label` is asked to do, and what that comes to: checked, hashed, cut into shards.

Everything that can be refused without a model is refused here, before any work.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
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
from perception.core.progress import phase
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
from perception.runs import folder, growth, records
from perception.runs.folder import Plan, RunSpec, Summary
from perception.runs.store import RunStore

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
class Boxes:
    """Where the boxes come from: a detector, or those that are given.

    Attributes:
        spec: The detector, or what stands for it.
        ontology: The classes of the run.
        class_map: From the names of its classes to these.
        path: Weights of the detector on this machine; "" where boxes are given.
        given: What `--boxes` said; "" where a detector looks.
        notices: How names and boxes were understood.
    """

    spec: ModelSpec
    ontology: Ontology
    class_map: ClassMap
    path: str
    given: str
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Checked:
    """A request whose files are there and were read: all that does not depend on its run's place.

    Attributes:
        request: The request.
        settings: Those of the request; `threads` and what follows from them may be open.
        origin: The source.
        plan: Its samples.
        chosen: The models.
        boxes: Where the boxes come from.
        notices: What was understood or left out of the source.
    """

    request: LabelRequest
    settings: Config
    origin: Source
    plan: Plan
    chosen: Chosen
    boxes: Boxes
    notices: tuple[str, ...]

    @property
    def root(self) -> str:
        """Return the root of the source."""
        return self.plan.samples[0].root


@dataclass(frozen=True)
class Resolved:
    """A request that can be served.

    Attributes:
        job: What workers are told.
        plan: The shards.
        asked: The label set of the decisions that are asked for; the run may have others by now.
        notices: What was understood or left out, one sentence each: people read them before any
            work, so that nothing is passed over in silence.
    """

    job: Job
    plan: Plan
    asked: str
    notices: tuple[str, ...] = ()


def check(request: LabelRequest) -> Checked:
    """Check a request and read its source, once, wherever its run will be.

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
    phase(f"listing {request.source}")
    found = sources.survey(origin, _reading(settings))
    refs = _with_columns(found.refs[: request.limit or None], settings.observe.columns)
    phase("checking the weights")
    plan, chosen = Plan(refs, settings.shard_size), _choose(request)
    boxes = _boxes(request, origin, plan, chosen.detector)
    notices = (*found.notices, *sources.remarks(refs))
    return Checked(request, settings, origin, plan, chosen, boxes, notices)


def resolve(checked: Checked, run: RunStore) -> Resolved:
    """Resolve all that a request leaves open; nothing is written.

    Args:
        checked: The request.
        run: Where its run will be; the settings that it has are in its `place`.

    Raises:
        RequestError: `path.inside_source`; `config.invalid`, `extra.missing`,
            `precision.unavailable` for models that cannot be computed so.
    """
    request, boxes = checked.request, checked.boxes
    _keep_out_of_the_source(run, checked.origin, checked.root)
    settings = _resolve_threads(checked.settings, run.place, request)
    settings = _resolve_models(settings, checked.chosen)
    segmenter, second = checked.chosen.segmenter, checked.chosen.second
    there, plan, notices = _there(run.place, request), checked.plan, tuple[str, ...]()
    if there is not None:
        plan, notices = growth.grown(run.place, there.spec, plan)
    spec = RunSpec(
        libraries=folder.installed_libraries(),
        source=checked.origin.layout,
        source_licence=checked.origin.licence,
        plan_sha256=records.sha256(plan.to_bytes()),
        detector=boxes.spec,
        segmenter=segmenter.spec,
        second=second.spec if second else None,
        config=settings,
        ontology=boxes.ontology,
        class_map=boxes.class_map,
        trust=read_model(Path(request.trust)) if request.trust else None,
    )
    asked = spec.label_set()
    if there is not None:
        spec = growth.decided_as_before(there, spec)
        if spec.label_set() != asked:
            notices = (*notices, "decided as the run was decided last, by relabel or corrections")
    job = Job(
        run=str(run.place),
        address=str(run.address),
        spec=spec,
        detector_path=boxes.path,
        segmenter_path=str(segmenter.path),
        second_path=str(second.path) if second else "",
        boxes=boxes.given,
        layout=checked.origin.layout,
        root=checked.root,
    )
    return Resolved(job, plan, asked, (*checked.notices, *boxes.notices, *notices))


def _there(run: Path, request: LabelRequest) -> Summary | None:
    """Return what says how a run was made that is there and shall stay."""
    has_run = (run / folder.SETTINGS).exists() and not request.overwrite
    return folder.read_summary(run) if has_run else None


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


def _keep_out_of_the_source(run: RunStore, origin: Source, source: str) -> None:
    # A list file, or one picture, does not make its whole folder a dataset.
    is_file = not origin.bucket and origin.root.is_file()
    root = PurePath(source)
    for out in (run.place, PurePath(run.address)):
        inside = out.is_relative_to(root) and not is_file
        if inside or root.is_relative_to(out):
            raise RequestError(
                "path.inside_source",
                f"--out {run.address} lies inside or around the source {source}; choose another "
                "place",
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
    _refuse_missing(request)
    return Chosen(
        registry.choose_detector(detector, trusted, request.names) if detector else None,
        registry.choose_segmenter(request.segmenter),
        registry.choose_segmenter(request.second) if request.second else None,
    )


def _refuse_missing(request: LabelRequest) -> None:
    """Refuse files of weights that are not there, all of them at once."""
    asked = (request.detector, request.segmenter, request.second)
    gone = [text for text in asked if Path(text).suffix and not Path(text).exists()]
    if len(gone) < 2:  # of one the checks below say more
        return
    refused = []
    for text in dict.fromkeys(gone):
        try:
            weights.check(Path(text))
        except RequestError as error:
            refused.append(error.message)
    raise RequestError("weights.missing", "; ".join(refused))


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


def _boxes(request: LabelRequest, origin: Source, plan: Plan, detector: Choice | None) -> Boxes:
    """Understand the boxes that are given, or the names of the detector's classes."""
    if detector is None:
        return _given(request, origin, plan)
    mapped = _map(request, _names(detector), "the detector", certain=detector.class_names)
    notices = (*detector.notices, *mapped.notices)
    return Boxes(detector.spec, mapped.ontology, mapped.class_map, str(detector.path), "", notices)


def _given(request: LabelRequest, origin: Source, plan: Plan) -> Boxes:
    given, root = request.boxes, plan.samples[0].root
    own = given in given_boxes.OWN_FOLDERS
    folder_of_boxes = sources.label_root(root) if own else Path(root)
    layout = sources.traits(origin.layout)
    opened = given_boxes.open_boxes(given, layout, folder_of_boxes, plan.file_names())
    understood = (*opened.notices, *given_boxes.check_boxes(opened, plan.samples))
    names, listed = opened.class_names, tuple[str, ...]()
    if isinstance(opened, given_boxes.MatchedBoxes):
        digest, listed = opened.digest(), opened.listed_names
    else:
        digest = given_boxes.digest(given, folder_of_boxes, opened.names_files)
    mapped = _map(request, names, given, listed, certain=names)
    mapped.class_map.check_names(names)
    spec = ModelSpec(kind="boxes", file_name=Path(given).name, sha256=digest)
    shown = given if own else str(Path(given).resolve())
    notices = (*understood, *mapped.notices)
    return Boxes(spec, mapped.ontology, mapped.class_map, "", shown, notices)


def _names(detector: Choice) -> tuple[str, ...]:
    """Return a detector's classes; of one that does not say them COCO's 80, if it may have them."""
    if detector.class_names:
        return detector.class_names
    coco = load_class_map("coco80-to-road")
    return (*coco.map, *coco.ignore) if detector.can.coco_names else ("car",)


def _map(
    request: LabelRequest,
    names: tuple[str, ...],
    source: str,
    listed: tuple[str, ...] = (),
    *,
    certain: tuple[str, ...],
) -> Mapped:
    """Return the classes of a run and the way to them.

    Args:
        request: Which class map and which classes are wanted.
        names: Of the detector, or of boxes.
        source: What has them, for messages.
        listed: Names that a box file lists, and no box has.
        certain: Of `names` those that were read, not taken for granted: a class map that was asked
            for is fitted to the form of these alone.
    """
    road = load_ontology()
    if request.class_map == SAME:
        ontology, class_map = same_classes((*names, *listed), road)
        notices = tuple[str, ...]()
    elif request.class_map:
        ontology = road
        class_map, notices = given_boxes.fit(load_class_map(request.class_map), certain, listed)
    else:
        ontology = road
        class_map, notices = given_boxes.class_map_for(names, ontology, source, listed)
    wanted = [name.strip() for name in request.classes.split(",") if name.strip()]
    return Mapped(ontology, only(class_map, wanted) if wanted else class_map, notices)
