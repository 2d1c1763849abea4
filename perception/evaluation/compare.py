"""Labels compared with truth: counted once, then put into tables.

evaluate(Path("run"), "drive") -> Report         a finished run
evaluate_labels(samples, truth) -> Report        labels from anywhere
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from perception.core.errors import RequestError, SampleError
from perception.core.ontology import ClassMap, load_class_map
from perception.core.progress import each
from perception.core.statistics import weights_of
from perception.core.types import (
    Float32,
    Instances,
    PictureLabels,
    SampleLabels,
    SampleRef,
    Status,
)
from perception.evaluation import kitti, lidarseg, notes, nuscenes, semantic_kitti, tables
from perception.evaluation.confusion import confusion
from perception.evaluation.cuboids import CuboidRows, count_cuboids, cuboid_table
from perception.evaluation.instances import Comparison, compare, label_ranges
from perception.evaluation.loaders import no_image_in_common, no_sweep_in_common, read_truth
from perception.evaluation.plots import count_reasons, image_plots
from perception.evaluation.points import MATCHES, PointCounts, count_points, prompted
from perception.evaluation.report import Report, Table
from perception.evaluation.rows import label_table, object_rows, object_table
from perception.evaluation.truth import TruePicture, Truth, Vocabulary
from perception.io.buckets import is_bucket
from perception.readers.nuscenes import version_of
from perception.readers.sources import load_scene
from perception.runs import folder
from perception.runs.labels import NO_POINTS

NO_SWEEP = np.zeros((0, 3), np.float32)
VIEWS = {"seen": True, "all": False}
OWN_ROOTS = {  # a truth that stands in the root that a run was made from, to the layout of that
    kitti.OWN_ROOT: "kitti",
    nuscenes.OWN_ROOT: "nuscenes",
    semantic_kitti.OWN_ROOT: "semantic-kitti",
    lidarseg.OWN_ROOT: "nuscenes",
}


def evaluate(
    run: Path, truth: str, *, class_map: str = "", seed: int = 0, label_set: str = ""
) -> Report:
    """Compare the labels of a finished run with truth.

    A quarantined sample counts as one without labels: the objects on its images are missed; its
    sweep is left out. Images and sweeps that the truth does not know are left out, and counted.

    Args:
        run: The run folder.
        truth: As `read_truth` takes it; or "kitti", "nuscenes", "semantic-kitti" or
            "nuscenes-lidarseg" for the root that the run was made from.
        class_map: From the class names of a COCO file to the run's ontology: shipped or a YAML
            file; "" if they are the ontology's own.
        seed: Of the bootstrap.
        label_set: Which labels, HASH of RUN/labels/HASH; the current ones without it.

    Raises:
        RequestError: `run.incomplete`, `truth.mismatch` if no image of the run is in the truth, see
            `read_truth` for more.
    """
    spec = folder.read_spec(run)
    mapped: ClassMap | None = load_class_map(class_map) if class_map else None
    try:
        refs = {ref.id: ref for ref in folder.read_plan(run, spec).samples}
        images = _images_of(refs)
        columns = spec.config.observe.columns
        known = read_truth(_with_root(truth, refs), spec.ontology, mapped, images, columns)
        report = evaluate_labels(
            _all_samples(run, label_set, refs, known),
            known,
            sweep_of=lambda sample_id: load_scene(refs[sample_id]).points_lidar,
            seed=seed,
        )
    except SampleError as error:  # a file of the truth, or a sweep that went since
        raise RequestError(error.code, error.message) from error
    counts = dict(report.counts)
    if refs and not counts["images with truth"] and not counts["sweeps with truth"]:
        if known.has_images:
            raise no_image_in_common(known, images)
        raise no_sweep_in_common(known, tuple(refs), notes.NO_POINTS not in report.notes)
    return report


def _images_of(refs: dict[str, SampleRef]) -> tuple[str, ...]:
    """Return the names of a run's images, each once."""
    return tuple(dict.fromkeys(one.file_name for ref in refs.values() for one in ref.pictures))


def compare_pictures(run: Path, truth: str) -> tuple[list[Comparison], Vocabulary, list[str]]:
    """Put the current labels of a finished run beside truth, images alone.

    Args:
        run: The run folder.
        truth: As for `evaluate`.

    Returns:
        The images, the classes that are judged, and the scene of every sample.

    Raises:
        RequestError: as `evaluate`; `truth.mismatch` for a truth of boxes too.
    """
    spec, counted = folder.read_spec(run), _Counted()
    try:
        refs = {ref.id: ref for ref in folder.read_plan(run, spec).samples}
        images = _images_of(refs)
        known = read_truth(_with_root(truth, refs), spec.ontology, planned=images)
        if not known.has_masks:
            raise RequestError(
                "truth.mismatch", f"{truth}: has boxes and no masks; masks are compared here"
            )
        for sample in _all_samples(run, "", refs, known):
            _count(replace(sample, points=NO_POINTS), known, None, counted)
    except SampleError as error:
        raise RequestError(error.code, error.message) from error
    if not counted.comparisons:
        raise no_image_in_common(known, images)
    return counted.comparisons, known.picture_classes, counted.scene_names


def _with_root(truth: str, refs: dict[str, SampleRef]) -> str:
    """Return the truth as `read_truth` takes it: a layout alone means the run's own source."""
    if truth not in OWN_ROOTS:
        return truth
    layout = OWN_ROOTS[truth]
    own = [ref for ref in refs.values() if ref.layout == layout]
    roots = {ref.root for ref in own}
    if len(roots) != 1:
        raise RequestError(
            "truth.unknown",
            f"--truth {truth}: the run's source is no {layout}:ROOT; give {truth}:ROOT",
        )
    root = roots.pop()
    if is_bucket(root):
        raise RequestError(
            "truth.unknown",
            f"--truth {truth}: {root} lies in a bucket; copy it and give {truth}:COPY",
        )
    version = f"/{version_of(own[0])}" if layout == nuscenes.OWN_ROOT else ""
    return f"{truth}:{root}{version}"


def _all_samples(
    run: Path, label_set: str, refs: dict[str, SampleRef], truth: Truth
) -> Iterator[SampleLabels]:
    found = folder.read_labels(run, label_set)
    for outcome, labels in each(found, len(refs), "comparing with the truth"):
        if outcome.status == "quarantined":
            yield _without_labels(refs[outcome.sample_id], truth)
        else:
            yield labels


def _without_labels(ref: SampleRef, truth: Truth) -> SampleLabels:
    """Return what a quarantined sample comes to: its images, nothing in them; no points."""
    pictures = []
    for picture in ref.pictures:
        known = truth.find_picture(picture.file_name)
        if known is not None:
            pictures.append(no_labels(picture.camera, picture.file_name, known.size_hw))
    return SampleLabels(id=ref.id, pictures=tuple(pictures), points=NO_POINTS)


def no_labels(camera: str, file_name: str, size_hw: tuple[int, int]) -> PictureLabels:
    """Return an image in which nothing was labelled."""
    return PictureLabels(camera, file_name, size_hw, Instances.blank(0, size_hw), ())


@dataclass
class _Counted:
    """What goes on record while samples pass by; memory holds one sweep."""

    scene_names: list[str] = field(default_factory=list)  # of each sample with truth
    sample_ids: list[str] = field(default_factory=list)  # likewise
    comparisons: list[Comparison] = field(default_factory=list)
    points: dict[str, list[tuple[int, PointCounts]]] = field(
        default_factory=lambda: {view: [] for view in VIEWS}
    )
    cuboids: list[tuple[int, CuboidRows]] = field(default_factory=list)
    samples: int = 0
    has_points: bool = False
    unknown_pictures: int = 0
    unknown_sweeps: int = 0
    no_flags: int = 0
    has_ceiling: bool = False
    statuses: Counter[tuple[str, Status]] = field(default_factory=Counter)  # by reason
    has_things: bool = False
    has_instances: bool = False


def evaluate_labels(
    samples: Iterable[SampleLabels],
    truth: Truth,
    *,
    sweep_of: Callable[[str], Float32] | None = None,
    seed: int = 0,
) -> Report:
    """Compare labels with truth.

    Args:
        samples: The labels; read once.
        truth: What is really there.
        sweep_of: From the id of a sample to its points, (P, 3), for the range rings; without it
            there is only the ring "all".
        seed: Of the bootstrap.
    """
    counted = _Counted()
    for sample in samples:
        _count(sample, truth, sweep_of, counted)
    return _report(counted, truth, seed)


def _each_object(counted: _Counted, truth: Truth) -> dict[str, dict[tuple[str, int], float]]:
    """Return the IoU of each true object by kind of figure: by sample or image, and number."""
    found: dict[str, dict[tuple[str, int], float]] = {}
    found["mask" if truth.has_masks else "box"] = {
        (one.truth.file_name, row): float(iou)
        for one in counted.comparisons
        for row, iou in enumerate(object_rows(one).best_ious)
    }
    view = "seen" if counted.points["seen"] else "all"
    for way, name in enumerate(MATCHES):
        found[f"points {view}, {name}"] = {
            (counted.sample_ids[number], object_id): ious[way]
            for number, one in counted.points[view]
            for object_id, ious in one.object_ious.items()
        }
    return found


def _count(
    sample: SampleLabels,
    truth: Truth,
    sweep_of: Callable[[str], Float32] | None,
    counted: _Counted,
) -> None:
    counted.samples += 1
    counted.has_points |= len(sample.points) > 0
    known = [(picture, truth.find_picture(picture.file_name)) for picture in sample.pictures]
    pictures = [(labels, true) for labels, true in known if true is not None]
    points = truth.find_points(sample.id, len(sample.points)) if len(sample.points) else None
    counted.unknown_pictures += len(known) - len(pictures)
    counted.unknown_sweeps += len(sample.points) > 0 and points is None
    if not pictures and points is None:
        return
    counted.statuses.update(count_reasons(labels for labels, _ in pictures))
    number = len(counted.scene_names)
    counted.scene_names.append(truth.scene_of(sample.id))
    counted.sample_ids.append(sample.id)
    sweep = _sweep(sample, sweep_of)
    ranges_m = label_ranges(sample.points, sweep) if len(sweep) else {}
    for labels, true in pictures:
        counted.comparisons.append(
            compare(
                number, labels, true, truth.picture_classes, ranges_m, has_masks=truth.has_masks
            )
        )
    if points is None:
        return
    links, ignored = _links(pictures), _ignored(pictures)
    true_cuboids = truth.find_cuboids(sample.id)
    if true_cuboids is not None:
        rows = count_cuboids(sample.cuboids, true_cuboids, points, links)
        counted.cuboids.append((number, rows))
    best = truth.find_best(sample.id, len(points))
    counted.has_ceiling |= best is not None
    counted.has_things |= bool((points.class_ids > 0).any())
    counted.has_instances |= bool((points.instance_ids > 0).any())
    counted.no_flags += not points.has_seen
    for view, only_seen in VIEWS.items():
        if only_seen and not points.has_seen:
            continue
        one = count_points(
            sample,
            points,
            truth.point_classes,
            sweep,
            links,
            only_seen=only_seen,
            ignored=ignored,
            best=best,
        )
        counted.points[view].append((number, one))


def _sweep(sample: SampleLabels, sweep_of: Callable[[str], Float32] | None) -> Float32:
    """Return the points that the labels of a sample belong to; none if there is no sweep.

    Raises:
        SampleError: `label.count_mismatch` for a sweep that has changed since it was labelled.
    """
    if sweep_of is None or len(sample.points) == 0:
        return NO_SWEEP
    sweep = sweep_of(sample.id)
    if len(sweep) != len(sample.points):
        raise SampleError(
            "label.count_mismatch",
            f"{sample.id}: the sweep has {len(sweep)} points, {len(sample.points)} were labelled",
        )
    return sweep


def _links(pictures: list[tuple[PictureLabels, TruePicture]]) -> dict[int, frozenset[int]]:
    """Return the id of each true object to the ids of the labels that its boxes prompted."""
    links: dict[int, frozenset[int]] = {}
    for labels, true in pictures:
        for object_id, label_id in prompted(labels, true).items():
            links[object_id] = links.get(object_id, frozenset()) | {label_id}
    return links


def _ignored(pictures: list[tuple[PictureLabels, TruePicture]]) -> frozenset[int]:
    """Return the ids of objects that are ignored on every image that shows them."""
    ids: dict[bool, set[int]] = {True: set(), False: {0}}
    for _, true in pictures:
        for flag in ids:
            ids[flag] |= set(true.instance_ids[true.ignored == flag].tolist())
    return frozenset(ids[True] - ids[False])


def _report(counted: _Counted, truth: Truth, seed: int) -> Report:
    weights = weights_of(counted.scene_names, seed)
    found, classes = counted.comparisons, truth.picture_classes
    labels, objects = label_table(found), object_table(found)
    parts: list[Table] = []
    if truth.has_masks and truth.has_images:
        parts = [
            tables.precision_table(found, classes, weights),
            tables.label_quality(labels, objects, classes, weights),
            tables.panoptic_table(found, classes, weights),
            tables.yield_table(labels, objects, weights),
        ]
    elif truth.has_images:
        parts = [
            tables.precision_table(found, classes, weights, kinds=("box",)),
            tables.box_quality(labels, objects, classes, weights),
        ]
    for view, rows in counted.points.items():
        if rows:
            of_sweeps = weights[:, [number for number, _ in rows]]
            counts = [one for _, one in rows]
            parts += tables.point_tables(
                view,
                counts,
                truth.point_classes,
                of_sweeps,
                benchmark_classes=truth.benchmark_classes,
                instances=counted.has_instances or not counted.has_things,
            )
    boxes = cuboid_table(counted.cuboids, truth.point_classes, weights)
    parts += [boxes] if boxes is not None else []
    told = notes.on_truth(truth, found, labels, objects)
    told += (notes.NO_POINTS,) if truth.point_classes.names and not counted.has_points else ()
    if counted.has_things and not counted.has_instances:
        told += (notes.NO_INSTANCES,)
    told += (notes.BENCHMARK_MEAN,) if truth.benchmark_classes else ()
    told += notes.INTERVALS + ((notes.CEILING,) if counted.has_ceiling else ())
    cells = confusion(found, classes)
    return Report(
        truth=truth.name,
        seed=seed,
        counts=_counts(counted),
        tables=tuple(parts),
        notes=told,
        samples=tuple(counted.sample_ids),
        object_ious=_each_object(counted, truth),
        plots=image_plots(
            found, labels, objects, classes, cells, counted.statuses, has_masks=truth.has_masks
        ),
        examples=cells.examples,
    )


def _counts(counted: _Counted) -> tuple[tuple[str, int], ...]:
    found = counted.comparisons
    return (
        ("samples", counted.samples),
        ("images with truth", len(found)),
        ("images without truth, left out", counted.unknown_pictures),
        ("sweeps with truth", len(counted.points["all"])),
        ("sweeps without truth, left out", counted.unknown_sweeps),
        ("sweeps without flags of what a camera sees", counted.no_flags),
        ("true objects", sum(int((~one.truth.ignored).sum()) for one in found)),
        ("ignored regions", sum(int(one.truth.ignored.sum()) for one in found)),
        ("labels accepted", sum(int(one.labels.accepted.sum()) for one in found)),
        ("labels for review", sum(int((~one.labels.accepted).sum()) for one in found)),
        ("labels of classes that the truth does not know", sum(one.not_judged for one in found)),
    )
