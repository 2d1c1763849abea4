"""SemanticKITTI point labels: one uint32 per LiDAR point, in the order of the sweep.

Source: https://github.com/PRBonn/semantic-kitti-api (README, auxiliary/laserscan.py).

- Little endian; the low 16 bits are the class, the high 16 bits the instance. 0 is "unlabelled",
  and an evaluation leaves such points out.
- Class ids are the original ones (10 car, 30 person), not those of `learning_map`.
- Instance ids are unique within one sample here. SemanticKITTI's own stay the same along a
  sequence: these labels train panoptic segmentation, they do not train tracking.
- A file has no header: only the number of points of the sweep tells whether it fits.
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from perception.errors import RequestError, SampleError
from perception.files import write_bytes
from perception.formats import Outputs, Tally, read_bytes, relative_name
from perception.ontology import Target
from perception.types import Bool, ExportSummary, Int32, PointState, SampleLabels, Status

UInt16 = npt.NDArray[np.uint16]
MAX_ID = 0xFFFF
_BYTES_PER_POINT = 4
_MAX_BYTES = 1 << 30


def write(
    samples: Iterable[SampleLabels], out: Path, target: Target, *, statuses: frozenset[Status]
) -> ExportSummary:
    """Write OUT/<sample id>.label for every sample that has a sweep.

    Args:
        samples: Labels.
        out: The folder.
        target: Class ids to write.
        statuses: Points of instances with these are labelled; the others become 0 and are counted
            as ignored.

    Raises:
        RequestError: `id.overflow` for an id above 65535 (nothing is written for that sample),
            `export.collision`, `path.outside_root`.
    """
    tally, outputs = Tally(), Outputs(out)
    for sample in samples:
        owner = f"sample {sample.id!r}"
        name = relative_name(sample.id, owner)
        path = outputs.claim(PurePosixPath(f"{name}.label"), owner)
        if len(sample.points) == 0:
            tally.left_out["no_sweep"] += 1
            continue
        values = _values(sample, target, statuses, tally)
        write_bytes(path, values.tobytes())
        tally.samples += 1
    return tally.summary()


def _values(
    sample: SampleLabels, target: Target, statuses: frozenset[Status], tally: Tally
) -> npt.NDArray[np.uint32]:
    points = sample.points
    labelled = points.states == PointState.LABELLED
    mapped = labelled & np.isin(points.class_ids, list(target.ids))
    known, chosen = _known_and_chosen(sample, statuses)
    label = mapped & chosen
    classes = np.zeros(len(points), np.int64)
    for class_id in np.unique(points.class_ids[label]):
        classes[points.class_ids == class_id] = target.ids[int(class_id)]
    classes[~label] = 0
    instances = np.where(label, points.instance_ids, 0)
    _check_ids(instances, "instance", sample.id)
    _check_ids(classes, "class", sample.id)
    tally.labels += int(label.sum())
    tally.ignored += int((mapped & known & ~chosen).sum())
    tally.left_out["class.ignored"] += int((labelled & ~mapped).sum())
    tally.left_out["instance.unknown"] += int((mapped & ~known).sum())
    return (classes | (instances.astype(np.int64) << 16)).astype("<u4")


def _known_and_chosen(sample: SampleLabels, statuses: frozenset[Status]) -> tuple[Bool, Bool]:
    """Say per point whether a picture has its instance, and whether that has a wanted status."""
    ids, wanted = list[Int32](), list[Bool]()
    for picture in sample.pictures:
        ids.append(picture.instances.instance_ids)
        wanted.append(np.isin(picture.instances.statuses, [int(status) for status in statuses]))
    if not ids:
        nowhere = np.zeros(len(sample.points), bool)
        return nowhere, nowhere
    all_ids = np.concatenate(ids)
    known = np.isin(sample.points.instance_ids, all_ids)
    return known, np.isin(sample.points.instance_ids, all_ids[np.concatenate(wanted)])


def _check_ids(values: npt.NDArray[np.integer], noun: str, sample_id: str) -> None:
    wrong = values[(values < 0) | (values > MAX_ID)]
    if len(wrong):
        raise RequestError(
            "id.overflow",
            f"sample {sample_id!r}: {noun} id {int(wrong[0])}, expected 0 to {MAX_ID}: the format "
            "has 16 bits; nothing was written for this sample",
        )


def read(path: Path, expected_points: int) -> tuple[UInt16, UInt16]:
    """Return (P,) class ids and (P,) instance ids.

    Args:
        path: The .label file.
        expected_points: P, from the sweep that the labels belong to.

    Raises:
        SampleError: `io.not_found`; `label.count_mismatch`, naming both counts.
    """
    data = read_bytes(path, _MAX_BYTES)
    count, rest = divmod(len(data), _BYTES_PER_POINT)
    if rest or count != expected_points:
        found = f"{count} labels" + (f" and {rest} bytes" if rest else "")
        raise SampleError(
            "label.count_mismatch",
            f"{path}: {found}, expected {expected_points} labels, one for each point of the sweep",
        )
    values = np.frombuffer(data, "<u4")
    return (values & MAX_ID).astype(np.uint16), (values >> 16).astype(np.uint16)
