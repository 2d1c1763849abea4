"""`perception export`: the table of formats, and the way through write, read again, card."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from perception.commands.exports import card
from perception.commands.exports.checks import (
    POLYGON_BOUND,
    Check,
    Job,
    ReadBack,
    by_name,
    cityscapes_labels,
    coco_results,
    compared,
    in_order,
    png_labels,
    read_coco,
    yolo_labels,
)
from perception.commands.exports.points import (
    lidarseg_points,
    nuscenes_writer,
    panoptic_points,
    points_compared,
    semantic_kitti_points,
    write_semantic_kitti,
)
from perception.commands.exports.spatial import (
    cloud_compared,
    cloud_writer,
    kitti_compared,
    kitti_writer,
)
from perception.commands.exports.turns import alone_in
from perception.core.errors import PerceptionError, RequestError
from perception.core.ontology import Ontology, load_class_map, load_ontology, target_of
from perception.core.progress import counted, phase
from perception.core.types import ExportSummary, SampleLabels, SampleRef, Status
from perception.formats import (
    PLAIN,
    Stems,
    cityscapes,
    coco,
    coco_panoptic,
    cutouts,
    cvat,
    label_png,
    labelme,
    nuscenes,
    semantic_kitti,
    yolo,
)
from perception.io.buckets import is_bucket
from perception.io.files import discard_made
from perception.io.pictures import Pictures
from perception.readers import sources
from perception.runs import folder, store
from perception.runs.folder import RunSpec
from perception.synthetic.read import is_drive, read_truth_labels

ALL = "all"
# They link to the images, copy them or cut out of them: these must be local.
NEED_IMAGES = frozenset({"cityscapes", "cutouts", "labelme", "yolo"})


@dataclass(frozen=True)
class Exported:
    """One format of an export.

    Attributes:
        to: The format.
        out: The file, or the folder.
        written: Counts.
        read_back: What was found again.
        ignored_as: What became of instances that are no labels.
        renamed: Picture to its name here, where it would share one with another.
        quarantined: Reason to names of the samples that are not in it.
        card: The file that describes the export for people; the same for programs is beside it.
    """

    to: str
    out: Path
    written: ExportSummary
    read_back: ReadBack
    ignored_as: str
    renamed: Mapping[str, str]
    quarantined: Mapping[str, tuple[str, ...]]
    card: Path

    def lines(self) -> list[str]:
        """Say what was written, read again and lost."""
        written, back = self.written, self.read_back
        lost = "unchanged"
        if back.min_iou < 1:
            lost = (
                f"polygons have mask IoU {back.mean_iou:.4f} in the mean (bound {back.bound:g}), "
                f"{back.min_iou:.4f} at the lowest"
            )
        ignored_as = f" ({self.ignored_as})" if written.ignored else ""
        lines = [
            f"{self.out}: {written.samples} samples, {written.labels} labels, {written.ignored} "
            f"ignored{ignored_as}; read again: {back.labels} labels, {lost}"
        ]
        if not written.labels:
            lines.append(
                "warning: it holds no label: none has a status that was asked for; "
                "--status accepted,review takes more"
            )
        if written.left_out:
            lines.append("left out: " + ", ".join(f"{name} {n}" for name, n in written.left_out))
        if self.quarantined:
            lines.append(f"not in it: {card.quarantined_words(self.quarantined)}")
        if self.renamed:
            lines.append(card.renamed_words(self.renamed))
        return lines


@dataclass(frozen=True)
class _Format:
    """How a format is written and read again.

    Attributes:
        write: Writes a job.
        check: Reads again what was written, and compares.
        class_map: The default one; "" for the ontology's own names.
        ending: Of the file; "" for a folder.
        points: Whether it labels points: for runs with sweeps.
        ignored_as: What becomes of what is no label, so that a trainer does not take it for
            background; "" where that is left out.
        stems: The names that it gives pictures, where their endings do not count.
    """

    write: Callable[[Job], ExportSummary]
    check: Check
    class_map: str = ""
    ending: str = ""
    points: bool = False
    ignored_as: str = ""
    stems: Callable[[Job], Stems] = lambda job: PLAIN


def _plain(write: Callable[..., ExportSummary]) -> Callable[[Job], ExportSummary]:
    return lambda job: write(job.samples(), job.out, job.target, statuses=job.statuses)


def _with_images(write: Callable[..., ExportSummary]) -> Callable[[Job], ExportSummary]:
    return lambda job: write(
        job.samples(), job.out, job.target, statuses=job.statuses, pictures=job.pictures
    )


def _by_stem(write: Callable[..., ExportSummary]) -> Callable[[Job], ExportSummary]:
    return lambda job: write(
        job.samples(), job.out, job.target, statuses=job.statuses, stems=job.stems
    )


def _labelme(job: Job) -> ExportSummary:
    return labelme.write(
        job.samples(),
        job.out,
        job.target,
        statuses=job.statuses,
        pictures=job.pictures,
        stems=job.stems,
    )


def _yolo(job: Job) -> ExportSummary:
    return yolo.write(
        job.samples(),
        job.out,
        job.target,
        statuses=job.statuses,
        pictures=job.pictures,
        stems=job.yolo_stems,
    )


def _coco(job: Job) -> ExportSummary:
    return coco.write(
        job.samples(), job.out, job.target, statuses=job.statuses, ontology=job.ontology
    )


FORMATS: dict[str, _Format] = {
    "coco": _Format(_coco, compared(in_order(read_coco)), ending=".json", ignored_as="iscrowd"),
    "coco-results": _Format(
        _plain(coco.write_results), compared(coco_results, keeps_ids=False), ending=".json"
    ),
    "coco-panoptic": _Format(
        _by_stem(coco_panoptic.write),
        compared(in_order(coco_panoptic.read)),
        ignored_as="iscrowd",
        stems=lambda job: job.stems,
    ),
    "cityscapes": _Format(
        _with_images(cityscapes.write),
        compared(cityscapes_labels, POLYGON_BOUND),
        class_map="road-to-cityscapes",
        ignored_as="groups",
    ),
    "cvat": _Format(
        _plain(cvat.write), compared(in_order(cvat.read)), ignored_as="status review, for people"
    ),
    "cutouts": _Format(_with_images(cutouts.write), compared(in_order(cutouts.read))),
    "labelme": _Format(
        _labelme,
        compared(by_name(labelme.read_written), POLYGON_BOUND),
        stems=lambda job: job.stems,
    ),
    "yolo": _Format(
        _yolo,
        compared(yolo_labels, POLYGON_BOUND, keeps_ids=False),
        ignored_as="painted grey in the pictures",
        stems=lambda job: job.yolo_stems,
    ),
    "semantic-kitti": _Format(
        write_semantic_kitti,
        points_compared(semantic_kitti_points, instances_below=semantic_kitti.MAX_ID + 1),
        class_map="road-to-semantic-kitti",
        points=True,
        ignored_as="class 0",
    ),
    "nuscenes-lidarseg": _Format(
        nuscenes_writer(nuscenes.write_lidarseg),
        points_compared(lidarseg_points, instances_below=0),
        class_map="road-to-nuscenes",
        points=True,
        ignored_as="class 0",
    ),
    "nuscenes-panoptic": _Format(
        nuscenes_writer(nuscenes.write_panoptic),
        points_compared(panoptic_points, instances_below=nuscenes.FIRST_STUFF),
        class_map="road-to-nuscenes",
        points=True,
        ignored_as="class 0",
    ),
    "kitti": _Format(
        kitti_writer(with_scores=False),
        kitti_compared(with_scores=False),
        class_map="road-to-kitti",
        points=True,
        ignored_as="DontCare",
    ),
    "kitti-results": _Format(
        kitti_writer(with_scores=True),
        kitti_compared(with_scores=True),
        class_map="road-to-kitti",
        points=True,
        ignored_as="DontCare",
    ),
    "ply": _Format(cloud_writer(".ply"), cloud_compared(".ply"), points=True, ignored_as="unknown"),
    "pcd": _Format(cloud_writer(".pcd"), cloud_compared(".pcd"), points=True, ignored_as="unknown"),
    "png": _Format(
        _by_stem(label_png.write),
        compared(png_labels, keeps_ids=False),
        class_map="road-to-cityscapes",
        ignored_as="void",
        stems=lambda job: job.stems,
    ),
}


# What tells an export, of one format or several, from other folders.
CARDS = (
    "card.md",
    *(f"{name}.card.md" if form.ending else f"{name}/card.md" for name, form in FORMATS.items()),
)


@dataclass(frozen=True, eq=False)
class _Source:
    """A run, or a drive, whose `spec` is None."""

    path: Path
    spec: RunSpec | None
    ontology: Ontology
    pictures: Pictures
    refs: tuple[SampleRef, ...]
    samples: Callable[[], Iterator[SampleLabels]]
    quarantined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def export(
    run: Path | str,
    to: str,
    out: Path | str,
    *,
    statuses: tuple[Status, ...] = (Status.ACCEPTED,),
    classes: str = "",
    overwrite: bool = False,
) -> tuple[Exported, ...]:
    """Write a run's labels, or a synthetic drive's truth, in a format that others read.

    Args:
        run: The run folder, its address in a bucket, or a drive's.
        to: One of `FORMATS`; several, separated by commas, or "all": each into a file or folder of
            its own below `out`.
        out: A file (coco, coco-results), replaced if it is there, or a folder that holds nothing:
            files of another export would mix in.
        statuses: Which instances count as labels.
        classes: Class map to the format's names and ids; "" for the format's own.
        overwrite: Discard a folder that an earlier export wrote: one with a card.

    Returns:
        What was written: one entry, or several for "all", which leaves out points where there is no
        sweep, and those of a drive, and what needs the images where these lie in a bucket.

    Raises:
        RequestError: `export.unknown`, `export.empty` for points of a run without sweeps,
            `export.images`, `export.occupied`, `id.overflow`, `export.collision`, `run.incomplete`,
            `output.exists`; `export.lossy` if reading it again does not give back the labels, or
            polygons lose more than their bound.
    """
    asked = tuple(dict.fromkeys(name.strip() for name in to.split(",")))
    for name in asked:
        if name not in FORMATS and asked != (ALL,):
            known = ", ".join((*FORMATS, ALL))
            raise RequestError("export.unknown", f"--to {name}: expected one of {known}")
    with store.reading(run, evidence=False) as path, alone_in(Path(out)):
        return _export_all(path, asked, Path(out), frozenset(statuses), classes, overwrite)


def _export_all(
    path: Path,
    asked: tuple[str, ...],
    place: Path,
    chosen: frozenset[Status],
    classes: str,
    overwrite: bool,
) -> tuple[Exported, ...]:
    if place.is_dir() and any(place.iterdir()) and not overwrite:
        raise RequestError(
            "export.occupied", f"{place}: is a folder that holds files; choose another --out"
        )
    named = () if asked == (ALL,) else asked
    if is_drive(path) and any(FORMATS[to].points for to in named):
        raise RequestError(
            "export.unknown",
            f"{path}: is a drive, which holds the labels of its points: see training/labels, or "
            "lidarseg and panoptic",
        )
    source = _open(path)
    away = source.refs[0].root if source.refs and is_bucket(source.refs[0].root) else ""
    for to in NEED_IMAGES.intersection(named) if away else ():
        raise RequestError(
            "export.images",
            f"--to {to} needs the images, which lie in {away}: label a copy of them, or choose "
            "another format",
        )
    if len(named) != 1 and classes:
        raise RequestError(
            "export.unknown",
            f"--to {','.join(asked)} with --classes: formats have ids of their own; choose one",
        )
    asks = source.spec is not None and any(FORMATS[to].points for to in named or FORMATS)
    swept = asks and any(len(sample.points) for sample in source.samples())
    for to in named:
        if FORMATS[to].points and not swept:
            raise RequestError(
                "export.empty",
                f"--to {to} writes labels of points, and no sample of the run has any; choose one "
                f"of {', '.join(name for name, form in FORMATS.items() if not form.points)}",
            )
    if overwrite:  # now that nothing is refused any more
        discard_made(place, CARDS)
    if len(named) == 1:
        return (_export(source, named[0], place, chosen, classes),)
    return tuple(
        _export(source, name, place / f"{name}{form.ending}", chosen, "")
        for name, form in FORMATS.items()
        if name in named
        or (not named and (swept or not form.points) and not (away and name in NEED_IMAGES))
    )


def _open(path: Path) -> _Source:
    if is_drive(path):
        ontology = load_ontology()
        return _Source(
            path, None, ontology, Pictures(path), (), lambda: read_truth_labels(path, ontology)
        )
    spec = folder.read_spec(path)
    counts = folder.read_counts(path)
    plan = folder.read_plan(path, spec)
    refs = plan.samples
    outside = frozenset(name for ref in refs for name in ref.outside)
    pictures = Pictures(Path(refs[0].root), sources.reading_of(refs[0]), outside)
    quarantined = dict[str, tuple[str, ...]]()
    for index in range(len(plan)) if counts["samples"]["quarantined"] else ():
        for row in folder.quarantined_in(path, spec, plan, index):
            quarantined[row["code"]] = (*quarantined.get(row["code"], ()), row["sample_id"])
    return _Source(
        path,
        spec,
        spec.ontology,
        pictures,
        refs,
        lambda: counted(folder.usable_labels(path), len(refs)),
        dict(sorted(quarantined.items())),
    )


def _export(
    source: _Source, to: str, out: Path, statuses: frozenset[Status], classes: str
) -> Exported:
    form = FORMATS[to]
    name = classes or form.class_map
    target = target_of(source.ontology, load_class_map(name) if name else None)
    job = Job(
        source.samples,
        out,
        target,
        statuses,
        source.ontology,
        source.pictures,
        source.refs,
        source.quarantined,
    )
    phase(f"writing {to}")
    written = form.write(job)
    phase(f"reading {to} again")
    back = _read_again(form.check, job, written)
    if back.fault:
        raise RequestError(
            "export.lossy",
            f"{out}: reading the {to} export again: {back.fault}; do not use it",
        )
    renamed = {name: str(stem) for name, stem in form.stems(job).renamed.items()}
    described = card.describe(
        to,
        job,
        written,
        back,
        spec=source.spec,
        class_map=name or source.ontology.name,
        renamed=renamed,
    )
    beside = out.with_name(f"{out.stem}.card") if form.ending else out / "card"
    return Exported(
        to,
        out,
        written,
        back,
        form.ignored_as,
        renamed,
        source.quarantined,
        card.write(described, beside),
    )


def _read_again(check: Check, job: Job, written: ExportSummary) -> ReadBack:
    try:
        back = check(job)
    except PerceptionError as error:
        return ReadBack(0, 0.0, 0.0, 1.0, str(error))
    if back.labels != written.labels and not back.fault:
        fault = f"{written.labels} labels were written, {back.labels} came back"
        return replace(back, fault=fault)
    return back
