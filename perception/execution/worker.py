"""One shard at a time: observe it, write the evidence, decide from what was written.

The same functions serve the local engine, a Ray actor, a test and `relabel`.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from types import MappingProxyType

from perception.core.errors import BucketError, RequestError, SampleError
from perception.core.types import EMPTY_SCENE, Evidence, Picture, SampleLabels, SampleRef, Scene
from perception.execution.ahead import Readers
from perception.execution.effort import Meter
from perception.execution.job import NO_SAMPLE, PREVIEW_SAMPLES, Job, load_models, rules_of
from perception.execution.memory import KEPT_BYTES
from perception.execution.previews import preview_stems
from perception.io.files import is_storage_fault, refuse_link_out, write_bytes
from perception.labeling import pipeline
from perception.labeling.pipeline import AT_ONCE, Models
from perception.models.lanes import Lanes, Turn
from perception.readers import sources
from perception.runs import evidence, labels, poison, shards
from perception.runs.folder import Plan, RunSpec, read_plan, read_shard
from perception.runs.shards import Outcome
from perception.visualization import drawing

DRAWERS = 2  # threads: one draws while the other waits for the disk
Observed = tuple[Outcome, tuple[Evidence, ...]]
Pictures = tuple[Picture, ...]
Load = Callable[[SampleRef], Pictures]
Begin = Callable[[int], None]  # takes the place of a sample in its shard, before it is worked on
NOTHING_READ: Mapping[str, Pictures] = MappingProxyType({})


def _tell_nobody(place: int) -> None:
    pass


def _known(observed: Observed) -> Future[Observed]:
    answer = Future[Observed]()
    answer.set_result(observed)
    return answer


def _tell_seen(seen: Begin, place: int, answer: Future[Observed]) -> None:
    if answer.exception() is None:
        seen(place)


@dataclass(frozen=True, eq=False)
class Seen:
    """What the models saw of one shard.

    Attributes:
        answers: In the order of the plan; the last ones may not be there yet.
        pictures: Of some samples that will be drawn, by id; others are read again for that.
    """

    answers: list[Future[Observed]]
    pictures: Mapping[str, Pictures]


class _Kept:
    """Pictures that are kept for previews, as many as `KEPT_BYTES` hold; for any thread."""

    def __init__(self) -> None:
        self.pictures: dict[str, Pictures] = {}
        self._room = KEPT_BYTES
        self._lock = threading.Lock()

    def load(self, load: Load, ref: SampleRef) -> Pictures:
        """Load the pictures of a sample, and keep them if there is room."""
        pictures = load(ref)
        size = sum(picture.image_rgb.nbytes for picture in pictures)
        with self._lock:
            if size <= self._room:
                self._room -= size
                self.pictures[ref.id] = pictures
        return pictures


class Worker:
    """Models loaded once, shards worked through one by one."""

    def __init__(self, job: Job, meter: Meter) -> None:
        """Load the models; raise RequestError if they cannot serve the job."""
        self._run = Path(job.run)
        self._spec = job.spec
        self._plan = read_plan(self._run, job.spec)
        self._models = meter.watch(load_models(job, self._plan))
        self._see = max(job.spec.config.observe.lanes, 1)  # samples at once
        self._lanes = Lanes[Observed](self._see)
        self._exit: SystemExit | None = None
        self._readers = Readers()
        self._store = job.store()

    def observe(
        self,
        index: int,
        poisoned: frozenset[int],
        begin: Begin,
        seen: Begin = _tell_nobody,
        *,
        ahead: bool,
        stop: Event | None = None,
    ) -> Seen | None:
        """Show one shard to the models; None if its evidence is stored already.

        Returns when the last samples are all that is left to see: the next shard may be asked for.

        Args:
            index: Number of the shard.
            poisoned: Places within the shard of samples that killed a worker twice.
            begin: Called with a sample's place before the models see it, in any thread.
            seen: Called with a sample's place when it is seen, or cannot be, in any thread.
            ahead: Whether samples are read before their turn, looked at side by side, and finished
                while the models see others; else one by one: then all is seen on return, and a
                crash is surely the fault of the one that was begun last.
            stop: When it is set, no other sample of the shard is begun.
        """
        folder = evidence.folder_of(self._run)
        self._store.bring_shard(folder, index)
        if shards.shard_is_whole(folder, index):
            return None
        refs = self._plan.shard(index)
        self._store.bring_shard(evidence.partial_folder_of(self._run), index)
        before = evidence.read_partial(self._run, index, refs)
        healthy = [
            ref for place, ref in enumerate(refs) if place not in poisoned and ref.id not in before
        ]
        reading = self._readers.ahead(healthy if ahead else ())
        kept, first = _Kept(), self._plan.first(index)
        answers: list[Future[Observed]] = []
        for place, ref in enumerate(refs):
            if stop is not None and stop.is_set():
                break
            if ref.id in before:
                answers.append(_known(before[ref.id]))
                seen(place)
                continue
            ill = place in poisoned
            load = reading.take() if ahead and not ill else sources.load_pictures
            if first + place < PREVIEW_SAMPLES:
                load = partial(kept.load, load)
            observe = partial(observe_one, ref, self._models, ill, load)
            if ahead:
                call = partial(self._observe_in_turn, observe, partial(begin, place))
                answers.append(self._lanes.hand(call))
            else:
                begin(place)  # before it is read: that may end the process, too
                answers.append(self._lanes.hand(observe))
                answers[-1].result()
            answers[-1].add_done_callback(partial(_tell_seen, seen, place))
        for answer in answers[: -self._see]:
            answer.result()
        return Seen(answers, kept.pictures)

    def set_aside(self, index: int, seen: Seen) -> None:
        """Keep what the models saw of a shard that is not seen whole: nobody sees it again."""
        samples = [answer.result() for answer in seen.answers]
        if samples:
            evidence.write(self._run, index, samples, partial=True)
            self._store.put_shard(evidence.partial_folder_of(self._run), index)

    def is_seen_whole(self, index: int, seen: Seen | None) -> bool:
        """Tell whether the models saw all samples of a shard."""
        return seen is None or len(seen.answers) == len(self._plan.shard(index))

    def _observe_in_turn(
        self,
        observe: Callable[[AbstractContextManager[None]], Observed],
        begin: Callable[[], None],
        turn: Turn,
    ) -> Observed:
        return observe(self._begun(begin, turn))

    @contextmanager
    def _begun(self, begin: Callable[[], None], turn: Turn) -> Iterator[None]:
        with turn:
            if self._exit is not None:  # of the process: no other sample shall be blamed for it
                raise self._exit
            begin()
            try:
                yield
            except SystemExit as error:
                self._exit = error
                raise

    def finish(
        self,
        index: int,
        seen: Seen | None,
        begin: Begin = _tell_nobody,
    ) -> None:
        """Make a shard whole: write its evidence, then decide from what was written.

        Args:
            index: Number of the shard.
            seen: What the models saw; None if its evidence is stored already.
            begin: As in `decide_shard`.
        """
        folders = evidence.folder_of(self._run), labels.folder_of(self._run, self._spec.label_set())
        if seen is not None:
            evidence.write(self._run, index, [answer.result() for answer in seen.answers])
            self._store.put_shard(folders[0], index)
            self._store.drop_shard(evidence.partial_folder_of(self._run), index)
        pictures = NOTHING_READ if seen is None else seen.pictures
        decide_shard(self._run, self._spec, self._plan, index, begin, pictures)
        first = self._plan.first(index)
        drawn = self._plan.shard(index)[: max(0, PREVIEW_SAMPLES - first)]
        stems = _stems(self._plan)
        self._store.put_previews(stems[ref.id] for ref in drawn)
        self._store.put_shard(folders[1], index)
        for folder in folders:
            self._store.drop_copy(folder, index)


def observe_one(
    ref: SampleRef,
    models: Models,
    poisoned: bool,
    load: Load = sources.load_pictures,
    turn: AbstractContextManager[None] = AT_ONCE,
) -> Observed:
    """Load the pictures of a sample and observe them; whatever fails becomes its status row."""
    if poisoned:
        return _killed_its_worker(ref), ()
    stage = "load"
    try:
        pictures = load(ref)
        stage = "observe"
        seen = pipeline.observe(pictures, models, turn)
    except Exception as error:  # one bad sample must not end the run; its reason is kept
        if is_storage_fault(error) or isinstance(error, BucketError):  # not the sample's fault
            raise
        return _quarantined(ref, stage, error), ()
    found = any(len(picture.detections) for picture in seen)
    return Outcome(ref.id, "ok" if found else "empty"), seen


def decide_shard(
    run: Path,
    spec: RunSpec,
    plan: Plan,
    index: int,
    begin: Begin = _tell_nobody,
    pictures: Mapping[str, Pictures] = NOTHING_READ,
) -> bool:
    """Decide one shard from its stored evidence, unless this label set has it.

    Args:
        run: The run folder.
        spec: Its settings.
        plan: Its samples.
        index: Number of the shard.
        begin: Called with a sample's place before its sweep is read, and with `NO_SAMPLE` when
            all are decided.
        pictures: Those that need not be read to be drawn, by the id of their sample.

    Returns:
        Whether there was anything to decide.
    """
    if shards.shard_is_whole(labels.folder_of(run, spec.label_set()), index):
        return False
    rules = rules_of(run, spec)
    decided: list[tuple[Outcome, SampleLabels]] = []
    scenes: dict[str, Scene] = {}
    refs, first = plan.shard(index), plan.first(index)
    stored = zip(refs, evidence.read(run, index, refs), strict=True)
    poisoned = poison.places(run, index)
    for place, (ref, (outcome, seen)) in enumerate(stored):
        stage, sample_labels = "load", labels.no_labels(ref.id)
        if outcome.status != "quarantined" and place in poisoned:
            outcome = _killed_its_worker(ref)
        if outcome.status != "quarantined":
            begin(place)
            try:
                scene = sources.load_scene(ref)
                if first + place < PREVIEW_SAMPLES:
                    scenes[ref.id] = scene
                stage = "decide"
                sample_labels = pipeline.decide(ref.id, seen, scene, rules)
            except RequestError:  # a bucket that is away, a class or a layout that nobody knows
                raise
            except Exception as error:  # as in observe_one
                outcome = _quarantined(ref, stage, error)
        decided.append((outcome, sample_labels))
    begin(NO_SAMPLE)
    _draw(run, spec, plan, index, decided, pictures, scenes)
    labels.write(run, spec.label_set(), index, decided, _names(spec))
    return True


def draw_shard(run: Path, spec: RunSpec, plan: Plan, index: int) -> None:
    """Draw the previews of a shard that was decided before."""
    if plan.first(index) < PREVIEW_SAMPLES:
        decided = list(read_shard(run, spec, plan, index))
        _draw(run, spec, plan, index, decided)


def _draw(
    run: Path,
    spec: RunSpec,
    plan: Plan,
    index: int,
    decided: list[tuple[Outcome, SampleLabels]],
    pictures: Mapping[str, Pictures] = NOTHING_READ,
    scenes: Mapping[str, Scene] = MappingProxyType({}),
) -> None:
    names, first, stems = _names(spec), plan.first(index), _stems(plan)
    drawings = [
        partial(
            write_preview,
            *(run, ref, sample_labels, names, stems[ref.id]),
            *(pictures.get(ref.id), scenes.get(ref.id)),
        )
        for place, (ref, (_, sample_labels)) in enumerate(
            zip(plan.shard(index), decided, strict=True), start=first
        )
        if place < PREVIEW_SAMPLES
    ]
    with ThreadPoolExecutor(DRAWERS) as pool:
        for drawn in [pool.submit(draw) for draw in drawings]:
            drawn.result()


def _names(spec: RunSpec) -> dict[int, str]:
    return {entry.id: entry.name for entry in spec.ontology.classes}


def _killed_its_worker(ref: SampleRef) -> Outcome:
    message = "killed its worker process twice (crash, exit, out of memory or hang)"
    return Outcome(ref.id, "quarantined", "process", "process.crash", message)


def _quarantined(ref: SampleRef, stage: str, error: Exception) -> Outcome:
    if isinstance(error, SampleError):
        return Outcome(ref.id, "quarantined", stage, error.code, error.message)
    if isinstance(error, MemoryError):  # not even one prompt at a time
        message = f"does not fit into memory: {error}; use a smaller model or another device"
        return Outcome(ref.id, "quarantined", stage, "gpu.oom", message)
    return Outcome(
        ref.id, "quarantined", stage, "internal.error", f"{type(error).__name__}: {error}"
    )


def write_preview(
    run: Path,
    ref: SampleRef,
    sample_labels: SampleLabels,
    names: dict[int, str],
    stem: str,
    pictures: Pictures | None = None,
    scene: Scene | None = None,
) -> None:
    """Write the overlays of a sample, and its points from above where it has a sweep.

    Args:
        run: The run folder.
        ref: The sample.
        sample_labels: Its labels.
        names: Class id to name.
        stem: How the names of its files begin.
        pictures: Its pictures, if they were read already.
        scene: Its scene, likewise.
    """
    if not sample_labels.pictures:
        return
    has_sweep = bool(len(sample_labels.points))
    try:
        pictures = sources.load_pictures(ref) if pictures is None else pictures
        if scene is None:
            scene = sources.load_scene(ref) if has_sweep else EMPTY_SCENE
    except SampleError:  # the source changed since; the labels do not need it
        return
    sizes = [picture.size_hw for picture in sample_labels.pictures]
    if [picture.size_hw for picture in pictures] != sizes:  # changed since, too
        return
    several = len(pictures) > 1
    for picture, picture_labels in zip(pictures, sample_labels.pictures, strict=True):
        name = f"{stem}-{picture.camera}.jpg" if several else f"{stem}.jpg"
        overlay = drawing.overlay(picture.image_rgb, picture_labels, names)
        _write_drawing(run, name, drawing.to_jpeg(overlay))
    if has_sweep:
        view = drawing.birds_eye(
            scene.points_drawn,
            sample_labels.points,
            names,
            cuboids=sample_labels.cuboids,
            ahead=scene.ahead,
            all_round=several,
        )
        _write_drawing(run, f"{stem}.birds-eye.png", drawing.to_png(view))


def _write_drawing(run: Path, name: str, data: bytes) -> None:
    path = run / "preview" / name
    refuse_link_out(path.parent, run)
    write_bytes(path, data)


def _stems(plan: Plan) -> dict[str, str]:
    return preview_stems(ref.id for ref in plan.samples[:PREVIEW_SAMPLES])
