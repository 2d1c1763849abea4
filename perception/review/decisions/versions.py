"""The label sets of a run: an edited file comes from one of them, not always from the last one."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from perception.core.errors import RequestError
from perception.core.types import PictureLabels, Status
from perception.labeling.quality.correct import Correction
from perception.review.decisions.changes import Seen
from perception.review.decisions.matching import Version
from perception.runs import folder
from perception.runs.folder import RunSpec

Versions = dict[str, list[Version]]  # file name -> versions of the picture's labels


def read_versions(
    run: Path, spec: RunSpec, seen: Seen, samples: set[str], stored: Iterable[Correction]
) -> tuple[Versions, tuple[str, ...]]:
    """Return what the labels of some samples are, and what they were in other label sets.

    Args:
        run: The run folder.
        spec: Of the run.
        seen: Its labels as they are.
        samples: Ids of the samples that are wanted.
        stored: What people decided already.

    Returns:
        The versions, and the names of the label sets, the present one first.
    """
    now = spec.label_set()
    found: Versions = {
        picture.file_name: _of(picture, spec, now, now=True)
        for sample, picture in seen
        if sample in samples
    }
    plan = folder.read_plan(run, spec)
    shards = [
        index for index in range(len(plan)) if samples & {sample.id for sample in plan.shard(index)}
    ]
    whole = [now]
    for label_set in sorted({path.name for path in (run / "labels").iterdir()} - {now}):
        try:
            pictures = [
                picture
                for index in shards
                for _, sample in folder.read_shard(run, spec, plan, index, label_set)
                if sample.id in samples
                for picture in sample.pictures
            ]
        except RequestError:  # a label set that was never finished was never exported
            continue
        whole.append(label_set)
        for picture in pictures:
            if picture.file_name in found:
                found[picture.file_name] += _of(picture, spec, label_set, now=False)
    for one in stored:
        if one.kept and one.file_name in found:
            found[one.file_name] += _as_left(one, found[one.file_name])
    return found, tuple(whole)


def _of(picture: PictureLabels, spec: RunSpec, label_set: str, *, now: bool) -> list[Version]:
    rows = picture.instances
    return [
        Version(
            instance=int(rows.prompt_ids[row]),
            instance_id=int(rows.instance_ids[row]),
            class_name=spec.ontology.by_id(int(rows.class_ids[row])).name,
            status=Status(int(rows.statuses[row])),
            mask=(rows.masks.boxes_xyxy[row], rows.masks.counts[row]),
            label_set=label_set,
            now=now,
        )
        for row in range(len(rows))
    ]


def _as_left(one: Correction, versions: list[Version]) -> list[Version]:
    """Return a label as a person left it: overlaps may have taken pixels from it since."""
    ids = [version.instance_id for version in versions if version.instance == one.instance]
    mask = np.array(one.mask_xyxy, np.int32), one.mask_counts.encode("ascii")
    return [
        Version(one.instance, instance_id, one.class_name, Status.ACCEPTED, mask, "", now=False)
        for instance_id in ids[:1]
    ]
