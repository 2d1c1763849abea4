"""Exports that need sweep or calibration as well: KITTI's 3D boxes, coloured clouds."""

from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import PurePosixPath

import numpy as np

from perception.commands.exports.checks import LOSSLESS, Check, Job, ReadBack
from perception.core.types import (
    ExportSummary,
    Float64,
    PictureLabels,
    PointLabels,
    PointState,
    SampleLabels,
    SampleRef,
)
from perception.formats import (
    LABEL,
    Outputs,
    Tally,
    colored_cloud,
    fates,
    kitti_label,
    point_ids,
    relative_name,
)
from perception.formats.colored_cloud import ColoredCloud
from perception.formats.kitti_label import DONT_CARE, KittiObjects
from perception.readers import sources
from perception.visualization import drawing

MAX_ID = 2**31 - 1
OCCLUSION_UNKNOWN = 3


def kitti_writer(*, with_scores: bool) -> Callable[[Job], ExportSummary]:
    """Return a writer of one label file per picture: labels, and regions of what is no label."""

    def write(job: Job) -> ExportSummary:
        tally, outputs, refs = Tally(), Outputs(job.out), _refs(job)
        for sample, picture, place in _places(job):
            path = outputs.claim(place, f"picture {picture.file_name!r}")
            objects = _objects(job, sample, picture, refs[sample.id], tally)
            kitti_label.write(objects, path, with_scores=with_scores)
            tally.samples += 1
        return tally.summary()

    return write


def kitti_compared(*, with_scores: bool) -> Check:
    """Return a check that reads every label file again."""

    def check(job: Job) -> ReadBack:
        labels, fault, unused, refs = 0, "", Tally(), _refs(job)
        for sample, picture, place in _places(job):
            expected = _objects(job, sample, picture, refs[sample.id], unused)
            found = kitti_label.read(job.out / place)
            labels += sum(kind != DONT_CARE for kind in found.types)
            same = found.types == expected.types and all(
                np.array_equal(getattr(found, name), getattr(expected, name))
                for name in ("boxes_xyxy", "dimensions_hwl_m", "locations_cam_m", "rotations_y_rad")
            )
            if with_scores:
                same = same and np.array_equal(found.scores, expected.scores)
            if not same:
                fault = fault or f"{place}: boxes changed"
        return ReadBack(labels, 1.0, 1.0, LOSSLESS, fault)

    return check


def _places(job: Job) -> Iterator[tuple[SampleLabels, PictureLabels, PurePosixPath]]:
    """Yield every picture and its label file; several cameras have a folder each."""
    for sample in job.samples():
        several = len(sample.pictures) > 1
        for picture in sample.pictures:
            name = f"{picture.camera}/{sample.id}" if several else sample.id
            stem = relative_name(name, f"sample {sample.id!r}")
            yield sample, picture, PurePosixPath(f"{stem}.txt")


def _objects(
    job: Job, sample: SampleLabels, picture: PictureLabels, ref: SampleRef, tally: Tally
) -> KittiObjects:
    """Return the rows of a label file; what is for review is a region that does not count."""
    T_rect_from_lidar = _rect_from_lidar(ref, picture.camera)
    instances, rows, types = picture.instances, list[int](), list[str]()
    for row, fate in fates(instances, job.target, job.statuses):
        if fate in (LABEL, "review"):
            rows.append(row)
            kind = job.target.names[job.target.ids[int(instances.class_ids[row])]]
            types.append(kind if fate == LABEL else DONT_CARE)
            tally.labels += fate == LABEL
            tally.ignored += fate != LABEL
        else:
            tally.left_out[fate] += 1
    kept = instances[np.array(rows, np.int64)]
    order = {int(number): place for place, number in enumerate(sample.cuboids.instance_ids)}
    known = [
        order.get(int(number), -1) if kind != DONT_CARE else -1
        for number, kind in zip(kept.instance_ids, types, strict=True)
    ]
    boxes = kitti_label.boxes_of(sample.cuboids, np.array(known, np.int64), T_rect_from_lidar)
    labelled = np.array([kind != DONT_CARE for kind in types], bool)
    return KittiObjects(
        types=tuple(types),
        truncated=np.full(len(kept), -1.0),
        occluded=np.where(labelled, OCCLUSION_UNKNOWN, -1).astype(np.int32),
        alphas_rad=boxes.alphas_rad,
        boxes_xyxy=kept.boxes_xyxy,
        dimensions_hwl_m=boxes.dimensions_hwl_m,
        locations_cam_m=boxes.locations_cam_m,
        rotations_y_rad=boxes.rotations_y_rad,
        scores=kept.scores.astype(np.float64),
    )


def _rect_from_lidar(ref: SampleRef, camera: str) -> Float64:
    """Return KITTI's rectified frame where there is one, else the camera's own."""
    rect_from_lidar = sources.traits(ref.layout).rect_from_lidar
    if rect_from_lidar is not None and ref.calib_files:
        with sources.at_hand(ref, ref.calib_files) as here:
            return rect_from_lidar(here)
    cameras = {one.name: one for one in sources.load_scene(ref).cameras}
    return cameras[camera].T_cam_from_lidar if camera in cameras else np.eye(4)


def _refs(job: Job) -> dict[str, SampleRef]:
    return {ref.id: ref for ref in job.refs}


def cloud_writer(ending: str) -> Callable[[Job], ExportSummary]:
    """Return a writer of one coloured cloud per sweep."""

    def write(job: Job) -> ExportSummary:
        tally, outputs, refs = Tally(), Outputs(job.out), _refs(job)
        for sample in job.samples():
            owner = f"sample {sample.id!r}"
            path = outputs.claim(PurePosixPath(f"{relative_name(sample.id, owner)}{ending}"), owner)
            if len(sample.points) == 0:
                tally.left_out["no_sweep"] += 1
                continue
            colored_cloud.write(_cloud(job, sample, refs[sample.id], tally), path)
            tally.samples += 1
        return tally.summary()

    return write


def cloud_compared(ending: str) -> Check:
    """Return a check that reads every cloud again."""

    def check(job: Job) -> ReadBack:
        labels, fault, unused, refs = 0, "", Tally(), _refs(job)
        for sample in job.samples():
            if len(sample.points) == 0:
                continue
            path = job.out / f"{sample.id}{ending}"
            expected = _cloud(job, sample, refs[sample.id], unused)
            found = colored_cloud.read(path)
            labels += int(np.count_nonzero(found.states == PointState.LABELLED))
            for name in (one.name for one in fields(ColoredCloud)):
                ours, theirs = getattr(expected, name), getattr(found, name)
                if not np.array_equal(ours, theirs, equal_nan=name == "points_lidar"):
                    fault = fault or f"{path}: {name} changed"
        return ReadBack(labels, 1.0, 1.0, LOSSLESS, fault)

    return check


def _cloud(job: Job, sample: SampleLabels, ref: SampleRef, tally: Tally) -> ColoredCloud:
    points = sample.points
    ids = point_ids(sample, job.target, job.statuses, tally, max_class=MAX_ID, max_instance=MAX_ID)
    label = ids.classes > 0
    states = np.where(
        points.states == PointState.BACKGROUND, PointState.BACKGROUND, PointState.UNKNOWN
    )
    states[label] = PointState.LABELLED
    shown = PointLabels(
        states=states.astype(np.uint8),
        class_ids=np.where(label, points.class_ids, -1).astype(np.int32),
        instance_ids=ids.instances.astype(np.int32),
        trusts=np.where(label, points.trusts, 0).astype(np.uint8),
    )
    return ColoredCloud(
        points_lidar=sources.load_scene(ref).points_lidar,
        rgb=drawing.point_rgb(shown),
        states=shown.states,
        class_ids=ids.classes.astype(np.int32),
        instance_ids=shown.instance_ids,
        trusts=shown.trusts,
    )
