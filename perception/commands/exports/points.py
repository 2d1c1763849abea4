"""Point formats: what their files are called, how they are written, and every point compared."""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from perception.commands.exports.checks import LOSSLESS, Check, Job, ReadBack
from perception.core.errors import RequestError
from perception.core.types import ExportSummary, Int32, PointState, SampleLabels, Status
from perception.formats import nuscenes, semantic_kitti
from perception.io.tables import read_table
from perception.readers import sources
from perception.readers.layout import Layout

Ids = npt.NDArray[np.integer]
# From a sample's id and its number of points to what a file holds: (P,) class and instance ids.
PointLookup = Callable[[str, int], tuple[Ids, Ids]]
OTHER_VERSION = "v1.0-labels"  # the folder of tables where the source is not nuScenes


def write_semantic_kitti(job: Job) -> ExportSummary:
    """Write .label files, for SemanticKITTI's own sweeps where semantic-kitti-api looks."""
    return semantic_kitti.write(
        job.samples(), job.out, job.target, statuses=job.statuses, name_of=_label_name(job)
    )


def nuscenes_writer(write: Callable[..., ExportSummary]) -> Callable[[Job], ExportSummary]:
    """Name the files of a writer by the sweeps' tokens."""
    return lambda job: write(
        job.samples(),
        job.out,
        job.target,
        statuses=job.statuses,
        version=_version(job),
        token_of=_token_of(job),
    )


def semantic_kitti_points(job: Job) -> PointLookup:
    """Find points in the .label file of their sample."""
    name_of = _label_name(job)
    return lambda sample_id, count: semantic_kitti.read(
        job.out / f"{name_of(sample_id)}.label", count
    )


def lidarseg_points(job: Job) -> PointLookup:
    """Find classes as the devkit does: by the table. There are no instances."""
    files, token_of = _files(job, nuscenes.LIDARSEG), _token_of(job)

    def find(sample_id: str, count: int) -> tuple[Ids, Ids]:
        classes = nuscenes.read_lidarseg(job.out / files(token_of(sample_id)), count)
        return classes, np.zeros(count, np.int64)

    return find


def panoptic_points(job: Job) -> PointLookup:
    """Find classes and instances as the devkit does: by the table."""
    files, token_of = _files(job, nuscenes.PANOPTIC), _token_of(job)
    return lambda sample_id, count: nuscenes.read_panoptic(
        job.out / files(token_of(sample_id)), count
    )


def points_compared(lookup: Callable[[Job], PointLookup], instances_below: int) -> Check:
    """Return a check of every point's class and, for class ids below a bound, its instance."""

    def check(job: Job) -> ReadBack:
        find, labels, fault = lookup(job), 0, ""
        for sample in job.samples():
            points = sample.points
            if not len(points):
                continue
            classes, instances = find(sample.id, len(points))
            label = (
                (points.states == PointState.LABELLED)
                & np.isin(points.class_ids, list(job.target.ids))
                & np.isin(points.instance_ids, _chosen(sample, job.statuses))
            )
            expected = np.zeros(len(points), np.int64)
            for class_id, value in job.target.ids.items():
                expected[label & (points.class_ids == class_id)] = value
            kept = label & (expected < instances_below)
            wrong = (classes != expected) | (instances != np.where(kept, points.instance_ids, 0))
            if wrong.any():
                fault = fault or f"{sample.id!r}: {np.count_nonzero(wrong)} points changed"
            labels += int(np.count_nonzero(label))
        return ReadBack(labels, 1.0, 1.0, LOSSLESS, fault)

    return check


def _chosen(sample: SampleLabels, statuses: Iterable[Status]) -> Int32:
    wanted = list(statuses)
    return np.concatenate(
        [np.zeros(0, np.int32)]
        + [
            picture.instances.instance_ids[np.isin(picture.instances.statuses, wanted)]
            for picture in sample.pictures
        ]
    )


def _layout(job: Job) -> Layout:
    return sources.traits(job.refs[0].layout) if job.refs else Layout("")


def _label_name(job: Job) -> Callable[[str], str]:
    return _layout(job).points_file


def _version(job: Job) -> str:
    stated = _layout(job).tables_version(job.refs[0]) if job.refs else ""
    return stated or OTHER_VERSION


def _token_of(job: Job) -> Callable[[str], str]:
    """Return the way from a sample's id to its sweep's token."""
    refs, token_of = {ref.id: ref for ref in job.refs}, _layout(job).sweep_token
    return lambda sample_id: token_of(refs[sample_id]) if sample_id in refs else sample_id


def _files(job: Job, kind: str) -> Callable[[str], str]:
    """Read the table of an export: from a sweep's token to its file, relative to the root."""
    path = job.out / _version(job) / f"{kind}.json"
    names = {row.text("sample_data_token"): row.text("filename") for row in read_table(path)}

    def find(token: str) -> str:
        if token not in names:
            raise RequestError("export.lossy", f"{path}: has no row for the sweep {token!r}")
        return names[token]

    return find
