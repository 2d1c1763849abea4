"""What a worker is told: a run folder, its settings, and where the weights lie here."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from perception.core.config import Settings
from perception.core.errors import RequestError
from perception.core.progress import phase
from perception.core.version import __version__
from perception.labeling.pipeline import Models, Rules
from perception.labeling.quality.correct import by_image
from perception.models import given_boxes, registry, weights
from perception.models.protocols import Detector
from perception.models.remedies import in_one_line
from perception.readers import sources
from perception.runs import corrections, folder, store
from perception.runs.folder import Plan, RunSpec
from perception.runs.store import RunStore

NO_SAMPLE = -1  # the place that stands for none, while a shard is written
PREVIEW_SAMPLES = 100  # overlays of a run: enough to judge it by eye, few enough to cost nothing


@dataclass(frozen=True)
class Placement:
    """Who works on a run; changes no byte of it.

    Attributes:
        workers: Models at work side by side.
        address: Of a running Ray cluster; "" for this machine.
        dashboard: Host that Ray's dashboard listens on; "" for none.
    """

    workers: int = 1
    address: str = ""
    dashboard: str = ""


class Job(Settings):
    """Plain values only: this crosses process borders as JSON.

    Attributes:
        run: The folder to work in, absolute: the run folder, or the copy of a run in a bucket.
        address: Where the run is: a folder, or a place in a bucket.
        spec: The settings of the run.
        detector_path: Weights of the detector on this machine; "" where boxes are given.
        segmenter_path: Weights of the segmenter on this machine.
        second_path: Weights of the second segmenter on this machine; "" without one.
        boxes: What `--boxes` said; "" where a detector looks.
        layout: Of the source.
        root: Of the source, a folder or a place in a bucket.
    """

    run: str
    address: str
    spec: RunSpec
    detector_path: str
    segmenter_path: str
    second_path: str = ""
    boxes: str
    layout: str
    root: str

    def store(self) -> RunStore:
        """Return the run."""
        return store.at(Path(self.run), self.address)

    def rules(self) -> Rules:
        """Return what decisions depend on."""
        return rules_of(Path(self.run), self.spec)


@contextmanager
def at_hand(job: Job) -> Iterator[Job]:
    """Give a job as one worker on this machine has it; raises as `RunStore.for_worker`."""
    with job.store().for_worker() as place:
        yield job.model_copy(update={"run": str(place)})


def rules_of(run: Path, spec: RunSpec) -> Rules:
    """Return what the decisions of a run depend on.

    Raises:
        RequestError: `run.damaged` if its corrections cannot be read.
    """
    return Rules(
        config=spec.config.decide,
        ontology=spec.ontology,
        class_map=spec.class_map,
        trust=spec.trust,
        corrections=by_image(corrections.read(run, spec)),
    )


def load_models(job: Job, plan: Plan) -> Models:
    """Build the models of a job and check that every class they can name is mapped or ignored.

    Raises:
        RequestError: `class.unknown`, `weights.*`, `extra.missing`.
    """
    config = job.spec.config.observe
    # A lane that has no picture would take a core from those that have.
    config = config.model_copy(update={"lanes": min(config.lanes, len(plan.file_names()))})
    detector: Detector
    path = Path(job.segmenter_path)
    with _told("segmenter", path):
        segmenter = registry.load_segmenter(job.spec.segmenter.kind, path, config)
    if job.boxes:
        own = job.boxes in given_boxes.OWN_FOLDERS
        root = sources.label_root(job.root) if own else Path(job.root)
        detector = given_boxes.open_boxes(
            job.boxes, sources.traits(job.layout), root, plan.file_names()
        )
    else:
        path = Path(job.detector_path)
        with _told("detector", path):
            model = job.spec.detector
            detector = registry.load_detector(model.kind, path, config, model.class_names)
        job.spec.class_map.check_names(detector.class_names)
    second = None
    if job.spec.second is not None:
        path = Path(job.second_path)
        with _told("second segmenter", path):
            second = registry.load_segmenter(job.spec.second.kind, path, config)
    return Models(detector=detector, segmenter=segmenter, second=second)


@contextmanager
def _told(what: str, path: Path) -> Iterator[None]:
    """Say what is loaded; turn what a library raises that does not like a machine into one line."""
    if path.is_file():  # not GrabCut's, which has no weights
        phase(f"reading {path.name}, once")
    try:
        yield
    except (ImportError, RuntimeError, OSError, ValueError, AttributeError) as error:
        raise RequestError(
            "model.unusable", f"the {what} does not load: {in_one_line(error)}"
        ) from (error)


def require_match(job: Job) -> None:
    """Refuse to work on a run with other code, libraries or weights than it was planned with.

    Two machines that differ would write different bytes into one run, and nothing would tell.

    Raises:
        RequestError: `worker.mismatch`, naming this host and the differences.
    """
    here = folder.installed_libraries()
    pairs = {name: (there, here.get(name, "absent")) for name, there in job.spec.libraries.items()}
    pairs["driving-perception"] = (job.spec.code_version, __version__)
    for name, model, path in (
        ("detector", job.spec.detector, job.detector_path),
        ("segmenter", job.spec.segmenter, job.segmenter_path),
        ("second segmenter", job.spec.second, job.second_path),
    ):
        if model and model.sha256 and path:
            pairs[f"weights of the {name}"] = (model.sha256, weights.check(Path(path)))
    differing = [
        f"{name}: {there} in the run, {found} here"
        for name, (there, found) in sorted(pairs.items())
        if there != found
    ]
    if differing:
        raise RequestError(
            "worker.mismatch",
            f"this worker on {socket.gethostname()} cannot match the run: {'; '.join(differing)}; "
            "install the same there",
        )
