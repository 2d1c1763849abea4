"""What came back: an export is read with the format's own reader and compared with the run.

Formats with run-lengths or pixels give back every mask and class, and where they hold ids, every id
and score; polygons lose a little, which is measured.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from perception.core import masks as rle
from perception.core.errors import RequestError
from perception.core.ontology import Ontology, Target
from perception.core.types import Masks, PictureLabels, SampleLabels, SampleRef, Status
from perception.formats import (
    LABEL,
    Objects,
    PictureObjects,
    Stems,
    cityscapes,
    coco,
    fates,
    label_png,
    objects_of,
    yolo,
)
from perception.io.pictures import Pictures

# Least mean IoU of the masks with what their polygons fill. A mask of one part comes back whole;
# holes and parts lose the pixels of their bridges, and specks smaller than their bridge are gone.
POLYGON_BOUND = 0.95
LOSSLESS = 1.0


@dataclass(frozen=True)
class ReadBack:
    """What was there when an export was read again.

    Attributes:
        labels: Labels that came back; for point formats: labelled points.
        mean_iou: Mean IoU of their masks with those of the run; 1 without labels.
        min_iou: The lowest.
        bound: What `mean_iou` must reach; 1 for a format that loses nothing.
        fault: Why the export is wrong; "" if it is right.
    """

    labels: int
    mean_iou: float
    min_iou: float
    bound: float
    fault: str = ""


@dataclass(frozen=True, eq=False)
class Job:
    """One format of an export: what is written, and where to.

    Attributes:
        samples: Opens the labels; called once to write and once to compare.
        out: The file or folder.
        target: Classes of the format.
        statuses: Instances with these are labels.
        ontology: Of the run.
        pictures: Where the pictures are.
        refs: The run's plan; nothing for a synthetic drive.
        quarantined: Reason to names of the samples that the run could not use.
    """

    samples: Callable[[], Iterator[SampleLabels]]
    out: Path
    target: Target
    statuses: frozenset[Status]
    ontology: Ontology
    pictures: Pictures
    refs: tuple[SampleRef, ...]
    quarantined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def file_names(self) -> tuple[str, ...]:
        """Return the names of all pictures."""
        if self.refs:
            return tuple(picture.file_name for ref in self.refs for picture in ref.pictures)
        return tuple(one.file_name for sample in self.samples() for one in sample.pictures)

    @cached_property
    def stems(self) -> Stems:
        """Return their names without ending."""
        return Stems(self.file_names)

    @cached_property
    def yolo_stems(self) -> Stems:
        """Return their names in a YOLO export."""
        return yolo.stems_of(self.file_names)


Lookup = Callable[[PictureLabels], Objects]
Check = Callable[[Job], ReadBack]


def in_order(read: Callable[[Path], Iterable[PictureObjects]]) -> Callable[[Job], Lookup]:
    """Read pictures one by one: they stand in the order in which they were written."""

    def opened(job: Job) -> Lookup:
        pictures = iter(read(job.out))

        def find(picture: PictureLabels) -> Objects:
            found = next(pictures, None)
            if found is None or found.file_name != picture.file_name:
                raise RequestError(
                    "export.lossy",
                    f"{job.out}: has {found and found.file_name!r} where {picture.file_name!r} "
                    "was written",
                )
            return found.objects

        return find

    return opened


def by_name(read: Callable[[Path, str, Stems], Objects]) -> Callable[[Job], Lookup]:
    """Read the file of each picture, found by the picture's name."""

    def opened(job: Job) -> Lookup:
        return lambda picture: read(job.out, picture.file_name, job.stems)

    return opened


def read_coco(path: Path) -> Iterator[PictureObjects]:
    """Read a COCO file that was just written as the other formats are read."""
    for picture in coco.read_written(path):
        yield PictureObjects(picture.file_name, picture.size_hw, picture.objects)


def coco_results(job: Job) -> Lookup:
    """Find results by the number of the picture, which counts from 1 in the order of writing."""
    found, seen = coco.read_results(job.out), Counter[str]()

    def find(picture: PictureLabels) -> Objects:
        seen["pictures"] += 1
        rows = found.get(seen["pictures"], [])
        return objects_of(
            (
                (0, job.target.names[category], score, False, (m.boxes_xyxy[0], m.counts[0]))
                for category, score, m in rows
            ),
            picture.size_hw,
        )

    return find


def yolo_labels(job: Job) -> Lookup:
    """Find polygons by the name of their picture."""
    names = yolo.read_names(job.out / "data.yaml")

    def find(picture: PictureLabels) -> Objects:
        sizes_hw = {picture.file_name: picture.size_hw}
        found = yolo.read(job.out, sizes_hw, job.yolo_stems)[picture.file_name]
        rows = zip(found.class_ids, found.masks.boxes_xyxy, found.masks.counts, strict=True)
        return objects_of(
            ((0, names[number], np.nan, False, (box, counts)) for number, box, counts in rows),
            picture.size_hw,
        )

    return find


def png_labels(job: Job) -> Lookup:
    """Find instances by the pixels' values."""

    def find(picture: PictureLabels) -> Objects:
        _, instances = label_png.read(job.out, picture.file_name, job.stems)
        values = [int(value) for value in np.unique(instances) if value]
        return objects_of(
            (
                (
                    0,
                    job.target.names[value // label_png.PER_CLASS],
                    np.nan,
                    False,
                    rle.encode_one(np.asarray(instances == value)),
                )
                for value in values
            ),
            picture.size_hw,
        )

    return find


def cityscapes_labels(job: Job) -> Lookup:
    """Compare instanceIds at once, since they lose nothing; give the polygons to compare further.

    Raises:
        RequestError: `export.lossy` where a thing's pixels are not those of its mask.
    """
    pixels, polygons = (in_order(read)(job) for read in (cityscapes.read, cityscapes.read_polygons))

    def find(picture: PictureLabels) -> Objects:
        found, instances = pixels(picture), picture.instances
        for row, fate in fates(instances, job.target, job.statuses):
            if fate != LABEL or job.target.ids[int(instances.class_ids[row])] not in (
                cityscapes.WITH_INSTANCES
            ):
                continue
            places = np.flatnonzero(found.instance_ids == instances.instance_ids[row]).tolist()
            if len(places) != 1 or _iou(instances.masks, row, found.masks, places[0]) < LOSSLESS:
                raise RequestError(
                    "export.lossy",
                    f"{job.out}: instanceIds of {picture.file_name!r} hold another mask for "
                    f"instance {instances.instance_ids[row]}; do labels overlap?",
                )
        return polygons(picture)

    return find


def compared(
    lookup: Callable[[Job], Lookup], bound: float = LOSSLESS, *, keeps_ids: bool = True
) -> Check:
    """Return a check of masks, classes and, where they are kept, ids and scores.

    Labels are paired by id, else within a class in their order.
    """

    def check(job: Job) -> ReadBack:
        find, ious, labels, fault = lookup(job), list[float](), 0, ""
        for sample in job.samples():
            for picture in sample.pictures:
                found = find(picture)
                labels += int(np.count_nonzero(~found.ignored))
                pairs, problem = _paired(picture, found, job, keeps_ids=keeps_ids)
                fault = fault or problem
                ious += [_iou(picture.instances.masks, i, found.masks, j) for i, j in pairs]
        mean, least = float(np.mean(ious or [1.0])), min(ious, default=1.0)
        if not fault and mean < bound:
            fault = f"mean mask IoU {mean:.4f}, lowest {least:.4f}, expected at least {bound:g}"
        return ReadBack(labels, mean, least, bound, fault)

    return check


def _paired(
    picture: PictureLabels, found: Objects, job: Job, *, keeps_ids: bool
) -> tuple[list[tuple[int, int]], str]:
    """Return (row of ours, row of theirs) for each label, and what does not fit."""
    instances = picture.instances
    rows = [row for row, fate in fates(instances, job.target, job.statuses) if fate == LABEL]
    names = [job.target.names[job.target.ids[int(instances.class_ids[row])]] for row in rows]
    kept = np.flatnonzero(~found.ignored)
    ours = _keys(instances.instance_ids[rows], names, keeps_ids)
    theirs = _keys(found.instance_ids[kept], [found.class_names[j] for j in kept], keeps_ids)
    if sorted(ours) != sorted(theirs):
        differ = sorted(set(ours) ^ set(theirs))[:3]
        return [], (
            f"{picture.file_name!r}: {len(ours)} labels were written, {len(theirs)} came back, "
            f"(id, class) in only one of them: {differ}"
        )
    place = dict(zip(theirs, kept.tolist(), strict=True))
    pairs = [(row, place[key]) for row, key in zip(rows, ours, strict=True)]
    changed = [
        int(instances.instance_ids[i])
        for i, j in pairs
        if keeps_ids and not np.array_equal(instances.scores[i], found.scores[j], equal_nan=True)
    ]
    return pairs, f"{picture.file_name!r}: the scores of {changed[:3]} changed" if changed else ""


def _keys(ids: Iterable[int], names: list[str], keeps_ids: bool) -> list[tuple[int, str]]:
    if keeps_ids:
        return [(int(number), name) for number, name in zip(ids, names, strict=True)]
    return [(names[:place].count(name), name) for place, name in enumerate(names)]


def _iou(ours: Masks, i: int, theirs: Masks, j: int) -> float:
    if ours.counts[i] == theirs.counts[j] and (ours.boxes_xyxy[i] == theirs.boxes_xyxy[j]).all():
        return 1.0
    rows = (ours.boxes_xyxy[i], ours.counts[i]), (theirs.boxes_xyxy[j], theirs.counts[j])
    return float(rle.ious(rle.join(rows, ours.size_hw))[0, 1])
