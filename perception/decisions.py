"""What people decided of a run's labels, read from files: decisions of the review pages, and COCO.

A decisions file is JSON:

{"kind": "perception decisions 1", "run": PLAN, "labels": LABEL SET,
 "decisions": [{"sample": "000008", "instance": 3, "decision": "accept"},
               {"sample": "000008", "instance": 4, "decision": "wrong_class", "class": "van"}]}

PLAN is the first 12 digits of `plan_sha256` in run.json, LABEL SET its `labels`.
`decision` is accept, reject, wrong_class (with or without the right class) or bad_edge. What is not
listed is not decided.

A COCO file that was edited elsewhere holds all that shall remain of its images: our labels are
found by `instance_id`, else by mask IoU; what is not there any more was deleted. Only labels that
are not `iscrowd` count; an image that is not in the file was not looked at.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, ValidationError
from scipy.optimize import linear_sum_assignment

from perception import masks as masks_
from perception.config import Settings
from perception.errors import RequestError
from perception.formats import coco
from perception.ontology import Ontology
from perception.quality.correct import Correction, Decision
from perception.runs import folder, labels
from perception.types import Instances, Masks, PictureLabels, Status

KIND = "perception decisions 1"
SAME_IOU = 0.5  # an edited mask without our id is the label that it overlaps this much
MAX_JSON_BYTES = 1 << 28
_SAID: dict[str, Decision] = {
    "accept": "accept",
    "reject": "reject",
    "wrong_class": "wrong_class",
    "bad_edge": "bad_edge",
}


class _Said(Settings):
    sample: str
    instance: int = Field(ge=1)
    decision: str
    class_: str = Field(default="", alias="class")


@dataclass(frozen=True)
class Corrected:
    """A correction, and how much of our mask it keeps.

    Attributes:
        correction: What remains.
        kept_iou: IoU of the mask that remains with ours; 0 where none does, or ours was none.
    """

    correction: Correction
    kept_iou: float


Seen = list[tuple[str, PictureLabels]]


def read_corrections(run: Path, path: Path) -> tuple[tuple[Corrected, ...], Seen]:
    """Read what people decided of a finished run.

    Args:
        run: The run folder.
        path: A decisions file, or a COCO instances file.

    Returns:
        One entry for each label that was decided, and the labels that the people saw.

    Raises:
        RequestError: `corrections.invalid` for a file of another run, a label that is decided twice
            or is none of the run's, a class that the run does not know; see `coco.read` for more.
    """
    spec = folder.read_spec(run)
    document = _load(path)
    if document.get("kind") == KIND:
        label_set = _check_run(document, run, path)
        seen = _labels(run, label_set)
        return _decided(document, seen, spec.ontology, path), seen
    if "annotations" in document:
        seen = _labels(run, spec.label_set())
        return _from_coco(path, seen, spec.ontology), seen
    raise RequestError(
        "corrections.invalid",
        f"{path}: kind is {document.get('kind')!r}, expected {KIND!r}, or a COCO file with "
        "annotations",
    )


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise RequestError("io.not_found", f"{path}: no such file")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise RequestError("corrections.invalid", f"{path}: larger than {MAX_JSON_BYTES} bytes")
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise RequestError("corrections.invalid", f"{path}: is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise RequestError(
            "corrections.invalid",
            f"{path}: holds a {type(document).__name__}, expected an object",
        )
    return document


def _check_run(document: dict[str, Any], run: Path, path: Path) -> str:
    """Return the label set that was decided about."""
    stated = json.loads((run / "run.json").read_bytes())
    label_set = document.get("labels")
    known = [entry.name for entry in sorted((run / "labels").iterdir())]
    if label_set not in known:
        raise RequestError(
            "corrections.invalid",
            f"{path}: labels is {label_set!r}, but {run} has the label sets {', '.join(known)}; "
            "it belongs to another run",
        )
    plan = document.get("run")
    if plan != stated["spec"]["plan_sha256"][:12]:
        raise RequestError(
            "corrections.invalid",
            f"{path}: run is {plan!r}, expected {stated['spec']['plan_sha256'][:12]!r}, the first "
            f"12 digits of plan_sha256 in {run / 'run.json'}; it belongs to another run",
        )
    return str(label_set)


def _labels(run: Path, label_set: str) -> Seen:
    samples = len(folder.read_plan(run, folder.read_spec(run)))
    return [
        (sample.id, picture)
        for index in range(samples)
        for outcome, sample in labels.read(run, label_set, index)
        if outcome.status != "quarantined"
        for picture in sample.pictures
    ]


def _decided(
    document: dict[str, Any], seen: Seen, ontology: Ontology, path: Path
) -> tuple[Corrected, ...]:
    places = {
        (sample_id, int(instance)): (picture, row)
        for sample_id, picture in seen
        for row, instance in enumerate(picture.instances.instance_ids)
    }
    rows = document.get("decisions")
    if not isinstance(rows, list):
        raise RequestError("corrections.invalid", f"{path}: decisions is no list")
    found: dict[tuple[str, int], Corrected] = {}
    for number, row in enumerate(rows):
        where = f"{path}: decisions[{number}]"
        try:
            said = _Said.model_validate(row)
        except ValidationError as error:
            fault = error.errors()[0]
            key = ".".join(str(part) for part in fault["loc"])
            raise RequestError(
                "corrections.invalid", f"{where}: {key or 'the row'}: {fault['msg']}"
            ) from error
        key_ = (said.sample, said.instance)
        if key_ not in places:
            raise RequestError(
                "corrections.invalid",
                f"{where}: sample {said.sample!r} has no instance {said.instance}",
            )
        if key_ in found:
            raise RequestError(
                "corrections.invalid",
                f"{where}: instance {said.instance} of sample {said.sample!r} is decided twice",
            )
        if said.decision not in _SAID:
            raise RequestError(
                "corrections.invalid",
                f"{where}: decision is {said.decision!r}, expected one of {', '.join(_SAID)}",
            )
        found[key_] = _one(said, *places[key_], ontology, where)
    return tuple(found.values())


def _one(
    said: _Said, picture: PictureLabels, row: int, ontology: Ontology, where: str
) -> Corrected:
    decision, rows = _SAID[said.decision], picture.instances
    name = ontology.by_id(int(rows.class_ids[row])).name
    if decision == "wrong_class" and said.class_:
        decision, name = "reclass", _known(said.class_, ontology, where)
    if decision in ("accept", "reclass") and not rows.masks.counts[row]:
        raise RequestError(
            "corrections.invalid", f"{where}: {said.decision}: the label has no pixel to keep"
        )
    return _correction(said.sample, picture, said.instance, decision, name, rows.masks, row)


def _known(name: str, ontology: Ontology, where: str) -> str:
    names = [entry.name for entry in ontology.classes]
    if name not in names:
        raise RequestError(
            "corrections.invalid",
            f"{where}: class is {name!r}, expected one of {', '.join(names)}",
        )
    return name


def _correction(
    sample: str,
    picture: PictureLabels,
    instance: int,
    decision: Decision,
    class_name: str,
    masks: Masks,
    row: int,
    kept_iou: float = 1.0,
) -> Corrected:
    one = Correction(
        sample=sample, file_name=picture.file_name, instance=instance, decision=decision
    )
    if not one.kept:
        return Corrected(one, 0.0)
    x0, y0, x1, y1 = (int(side) for side in masks.boxes_xyxy[row])
    kept = {
        "class_name": class_name,
        "mask_xyxy": (x0, y0, x1, y1),
        "mask_counts": masks.counts[row].decode("ascii"),
    }
    return Corrected(one.model_copy(update=kept), kept_iou)


def _from_coco(path: Path, seen: Seen, ontology: Ontology) -> tuple[Corrected, ...]:
    by_name = {picture.file_name: (sample_id, picture) for sample_id, picture in seen}
    last: dict[str, int] = {}  # highest id of each sample; added labels come after it
    for sample_id, picture in seen:
        ids = picture.instances.instance_ids
        last[sample_id] = max(last.get(sample_id, 0), int(ids.max(initial=0)))
    found: list[Corrected] = []
    for edited in coco.read(path):
        if edited.file_name not in by_name:
            raise RequestError(
                "corrections.invalid",
                f"{path}: image {edited.file_name!r} is none of the run's; it belongs to another",
            )
        sample_id, picture = by_name[edited.file_name]
        if edited.size_hw != picture.size_hw:
            raise RequestError(
                "size.mismatch",
                f"{path}: {edited.file_name}: (height, width) is {edited.size_hw}, the run's image "
                f"has {picture.size_hw}",
            )
        added = _edited(edited, sample_id, picture, ontology, path, last[sample_id])
        last[sample_id] += sum(one.correction.decision == "add" for one in added)
        found += added
    return tuple(found)


def _edited(
    edited: coco.CocoPicture,
    sample_id: str,
    picture: PictureLabels,
    ontology: Ontology,
    path: Path,
    last_id: int,
) -> list[Corrected]:
    """Compare one image's annotations with its labels."""
    ours = picture.instances
    labelled = ~edited.annotations.iscrowd & np.array(
        [bool(counts) for counts in edited.annotations.masks.counts], bool
    )
    rows = edited.annotations[labelled]
    row_of = _same(rows, ours, f"{path}: {edited.file_name}")
    found: list[Corrected] = []
    kept: set[int] = set()
    for number in range(len(rows)):
        where = f"{path}: annotation {rows.annotation_ids[number]}"
        name = rows.detections.class_names[int(rows.detections.class_ids[number])]
        name = _known(name, ontology, where)
        row = row_of.get(number)
        if row is None:
            last_id += 1
            decision: Decision = "add"
            instance, iou = last_id, 0.0
        else:
            kept.add(row)
            instance = int(ours.instance_ids[row])
            one, other = np.array([number]), np.array([row])
            iou = float(masks_.paired_ious(rows.masks[one], ours.masks[other])[0])
            same_class = ontology.by_id(int(ours.class_ids[row])).name == name
            same_mask = rows.masks.counts[number] == ours.masks.counts[row] and iou == 1
            decision = "edit" if not same_mask else "accept" if same_class else "reclass"
            if not same_class and decision == "edit":
                iou = 0.0  # nothing of ours is right
        found.append(
            _correction(sample_id, picture, instance, decision, name, rows.masks, number, iou)
        )
    for gone in np.flatnonzero(ours.statuses == Status.ACCEPTED).tolist():
        if gone not in kept and ours.masks.counts[gone]:
            instance = int(ours.instance_ids[gone])
            found.append(_correction(sample_id, picture, instance, "reject", "", ours.masks, gone))
    return found


def _same(rows: coco.CocoAnnotations, ours: Instances, where: str) -> dict[int, int]:
    """Return annotation to the row of the label that it was: by id, else by mask IoU."""
    row_of_id = {int(instance): row for row, instance in enumerate(ours.instance_ids)}
    found: dict[int, int] = {}
    for number, instance in enumerate(rows.instance_ids.tolist()):
        if instance == 0:
            continue
        if instance not in row_of_id or row_of_id[instance] in found.values():
            problem = "comes twice" if instance in row_of_id else "is no label of this image"
            raise RequestError(
                "corrections.invalid",
                f"{where}: annotation {rows.annotation_ids[number]}: instance_id {instance} "
                f"{problem}; remove the key from annotations that are new",
            )
        found[number] = row_of_id[instance]
    open_ = [number for number in range(len(rows)) if number not in found]
    taken = set(found.values())
    free = [
        row
        for row in range(len(ours))
        if row not in taken and ours.statuses[row] != Status.REJECTED and ours.masks.counts[row]
    ]
    both = masks_.join(
        tuple(
            (masks.boxes_xyxy[i], masks.counts[i])
            for masks, places in ((rows.masks, open_), (ours.masks, free))
            for i in places
        ),
        ours.masks.size_hw,
    )
    ious = masks_.ious(both)[: len(open_), len(open_) :]
    for i, j in zip(*linear_sum_assignment(-ious), strict=True):
        if ious[i, j] >= SAME_IOU:
            found[open_[int(i)]] = free[int(j)]
    return found
