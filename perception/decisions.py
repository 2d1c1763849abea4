"""What people decided of a run's labels: decisions of the review pages, edited COCO and CVAT files.

A decisions file is JSON, as `perception show RUN --review` lets people download it:

{"run": EVIDENCE, "label_set": LABEL SET,
 "decisions": [{"sample": "000008", "picture": "image_2/000008.png", "instance": 3,
                "decision": "accept"},
               {"sample": "000008", "instance": 4, "decision": "wrong_class", "class": "van"}]}

EVIDENCE is `RunSpec.evidence_fingerprint`, LABEL SET what was looked at. `decision` is accept,
reject, wrong_class (with or without the right class) or bad_edge. `picture` may be left out where
no other picture of the sample shows the instance. What is not listed is not decided.

A COCO or CVAT file that was edited elsewhere holds all that shall remain of its images: our labels
are found by `instance_id`, else by mask IoU; what is not there any more was deleted. COCO's
`iscrowd` are no labels; an image that is not in the file was not looked at. A CVAT file holds what
is for review, too: what was neither accepted nor changed nor deleted there is still undecided.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, ValidationError
from scipy.optimize import linear_sum_assignment

from perception import masks as masks_
from perception.config import Settings
from perception.errors import RequestError
from perception.formats import Objects, PictureObjects, coco, cvat
from perception.ontology import Ontology
from perception.quality.correct import Correction, Decision
from perception.runs import folder
from perception.types import Instances, Masks, PictureLabels, Status

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
    picture: str = ""
    instance: int = Field(ge=1)
    decision: str
    class_: str = Field(default="", alias="class")


Seen = list[tuple[str, PictureLabels]]
Place = tuple[PictureLabels, int]  # and the row of a label


def read_corrections(run: Path, path: Path) -> tuple[tuple[Correction, ...], Seen]:
    """Read what people decided of a finished run.

    Args:
        run: The run folder.
        path: A decisions file, a COCO instances file, or a CVAT file or the folder it is in.

    Returns:
        One entry for each label that was decided, and the labels that the people saw.

    Raises:
        RequestError: `corrections.invalid` for a file of another run, a label that is decided twice
            or is none of the run's, a class that the run does not know; see `coco.read` and
            `cvat.read` for more.
    """
    spec = folder.read_spec(run)
    if path.is_dir() or path.suffix.lower() == ".xml":
        seen = read_seen(run, spec.label_set())
        shown = {Status.ACCEPTED, Status.REVIEW}
        return _from_objects(list(cvat.read(path)), seen, spec.ontology, path, shown), seen
    document = _load(path)
    if "decisions" in document:
        label_set = _check_run(document, run, path)
        seen = read_seen(run, label_set)
        return decided(document, seen, spec.ontology, path), seen
    if "annotations" in document:
        seen = read_seen(run, spec.label_set())
        pictures = [
            PictureObjects(one.file_name, one.size_hw, objects[~objects.ignored])
            for one in coco.read(path)
            for objects in [one.objects]
        ]
        return _from_objects(pictures, seen, spec.ontology, path, {Status.ACCEPTED}), seen
    raise RequestError(
        "corrections.invalid",
        f"{path}: has the keys {', '.join(sorted(document)[:8])}, expected `decisions` of a review "
        "page, or a COCO file with `annotations`",
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
    made = folder.read_spec(run).evidence_fingerprint()
    stated = document.get("run")
    if stated != made:
        raise RequestError(
            "corrections.invalid",
            f"{path}: run is {stated!r}, expected {made!r}: it belongs to another run than {run}",
        )
    label_set = document.get("label_set")
    known = [entry.name for entry in sorted((run / "labels").iterdir())]
    if label_set not in known:
        raise RequestError(
            "corrections.invalid",
            f"{path}: label_set is {label_set!r}, but {run} has {', '.join(known)}; make the page "
            "again with `perception show --review`",
        )
    return str(label_set)


def read_seen(run: Path, label_set: str) -> Seen:
    """Return the pictures of a label set, each with the id of its sample."""
    spec = folder.read_spec(run)
    samples = folder.read_plan(run, spec)
    return [
        (sample.id, picture)
        for index in range(len(samples))
        for outcome, sample in folder.read_shard(run, spec, samples, index, label_set)
        if outcome.status != "quarantined"
        for picture in sample.pictures
    ]


def decided(
    document: dict[str, Any], seen: Seen, ontology: Ontology, path: Path
) -> tuple[Correction, ...]:
    """Understand the rows of a decisions file.

    Args:
        document: The file.
        seen: The labels that the people saw.
        ontology: Of the run.
        path: For messages.
    """
    places: dict[tuple[str, int], list[Place]] = {}
    for sample_id, picture in seen:
        for row, instance in enumerate(picture.instances.instance_ids.tolist()):
            places.setdefault((sample_id, instance), []).append((picture, row))
    rows = document.get("decisions")
    if not isinstance(rows, list):
        raise RequestError("corrections.invalid", f"{path}: decisions is no list")
    found: dict[tuple[str, str, int], Correction] = {}
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
        picture, row_number = _place(said, places, where)
        key_ = (said.sample, picture.file_name, said.instance)
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
        found[key_] = _one(said, picture, row_number, ontology, where)
    return tuple(found.values())


def _place(said: _Said, places: dict[tuple[str, int], list[Place]], where: str) -> Place:
    """Return the picture and the row of a label."""
    shown = [
        (picture, row)
        for picture, row in places.get((said.sample, said.instance), [])
        if said.picture in ("", picture.file_name)
    ]
    if len(shown) == 1:
        return shown[0]
    of = f"picture {said.picture!r} of sample" if said.picture else "sample"
    raise RequestError(
        "corrections.invalid",
        f"{where}: {of} {said.sample!r} has no instance {said.instance}"
        if not shown
        else f"{where}: instance {said.instance} of sample {said.sample!r} is in "
        f"{', '.join(picture.file_name for picture, _ in shown)}: say which `picture`",
    )


def _one(
    said: _Said, picture: PictureLabels, row: int, ontology: Ontology, where: str
) -> Correction:
    decision, rows = _SAID[said.decision], picture.instances
    name = ontology.by_id(int(rows.class_ids[row])).name
    if decision == "wrong_class" and said.class_:
        decision, name = "reclass", _known(said.class_, ontology, where)
    if decision in ("accept", "reclass") and not rows.masks.counts[row]:
        raise RequestError(
            "corrections.invalid", f"{where}: {said.decision}: the label has no pixel to keep"
        )
    instance = int(rows.prompt_ids[row])
    return _correction(said.sample, picture, instance, decision, name, rows.masks, row)


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
) -> Correction:
    one = Correction(
        sample=sample, file_name=picture.file_name, instance=instance, decision=decision
    )
    if not one.kept:
        return one
    x0, y0, x1, y1 = (int(side) for side in masks.boxes_xyxy[row])
    kept = {
        "class_name": class_name,
        "mask_xyxy": (x0, y0, x1, y1),
        "mask_counts": masks.counts[row].decode("ascii"),
    }
    return one.model_copy(update=kept)


def _from_objects(
    pictures: list[PictureObjects], seen: Seen, ontology: Ontology, path: Path, shown: set[Status]
) -> tuple[Correction, ...]:
    """Compare a file with what was `shown` in it: labels with these statuses."""
    by_name = {picture.file_name: (sample_id, picture) for sample_id, picture in seen}
    last: dict[str, int] = {}  # highest id of each sample; added labels come after it
    for sample_id, picture in seen:
        ids = picture.instances.prompt_ids
        last[sample_id] = max(last.get(sample_id, 0), int(ids.max(initial=0)))
    held = set(shown)  # `--status review` shows more
    edits: list[tuple[PictureObjects, dict[int, int]]] = []
    for edited in pictures:
        if edited.file_name not in by_name:
            raise RequestError(
                "corrections.invalid",
                f"{path}: image {edited.file_name!r} is none of the run's; it belongs to another",
            )
        ours = by_name[edited.file_name][1]
        if edited.size_hw != ours.size_hw:
            raise RequestError(
                "size.mismatch",
                f"{path}: {edited.file_name}: (height, width) is {edited.size_hw}, the run's image "
                f"has {ours.size_hw}",
            )
        filled = np.array([bool(counts) for counts in edited.objects.masks.counts], bool)
        objects = edited.objects[filled]
        row_of = _same(objects, ours.instances, f"{path}: {edited.file_name}")
        rows_ = ours.instances.statuses[list(row_of.values())]
        if Status.REVIEW in shown:  # a task that dropped our attributes says nothing of the status
            lost = [
                number
                for number, row in row_of.items()
                if not objects.instance_ids[number]
                and ours.instances.statuses[row] == Status.REVIEW
            ]
            ignored = objects.ignored.copy()
            ignored[lost] = True
            objects = replace(objects, ignored=ignored)
        held |= {Status(int(value)) for value in rows_}
        edits.append((replace(edited, objects=objects), row_of))
    found: list[Correction] = []
    for edited, row_of in edits:
        sample_id, picture = by_name[edited.file_name]
        where = f"{path}: {edited.file_name}"
        rows = _edited(edited.objects, row_of, sample_id, picture, ontology, where, last[sample_id])
        last[sample_id] += sum(one.decision == "add" for one in rows)
        found += [*rows, *_deleted(row_of, held, sample_id, picture)]
    return tuple(found)


def _edited(
    rows: Objects,
    row_of: dict[int, int],
    sample_id: str,
    picture: PictureLabels,
    ontology: Ontology,
    where: str,
    last_id: int,
) -> list[Correction]:
    """Compare one image's objects with the labels that they were."""
    ours = picture.instances
    found: list[Correction] = []
    for number in range(len(rows)):
        name = _known(rows.class_names[number], ontology, f"{where}: object {number + 1}")
        row = row_of.get(number)
        decision: Decision = "add"
        if row is None:
            last_id += 1
            instance = last_id
        else:
            instance = int(ours.prompt_ids[row])
            one, other = np.array([number]), np.array([row])
            same_mask = masks_.paired_ious(rows.masks[one], ours.masks[other])[0] == 1
            same_class = ontology.by_id(int(ours.class_ids[row])).name == name
            decision = "edit" if not same_mask else "accept" if same_class else "reclass"
            if decision == "accept" and rows.ignored[number]:
                continue
        found.append(_correction(sample_id, picture, instance, decision, name, rows.masks, number))
    return found


def _deleted(
    row_of: dict[int, int], shown: set[Status], sample_id: str, picture: PictureLabels
) -> list[Correction]:
    """Return what a person took away: labels of the statuses that were shown to them."""
    ours = picture.instances
    filled = np.array([bool(counts) for counts in ours.masks.counts], bool)
    gone = np.isin(ours.statuses, sorted(shown)) & filled
    gone[list(row_of.values())] = False
    return [
        _correction(sample_id, picture, int(ours.prompt_ids[row]), "reject", "", ours.masks, row)
        for row in np.flatnonzero(gone).tolist()
    ]


def _same(rows: Objects, ours: Instances, where: str) -> dict[int, int]:
    """Return object to the row of the label that it was: by id, else by mask IoU."""
    row_of_id = {int(instance): row for row, instance in enumerate(ours.instance_ids)}
    found: dict[int, int] = {}
    for number, instance in enumerate(rows.instance_ids.tolist()):
        if instance == 0:
            continue
        if instance not in row_of_id or row_of_id[instance] in found.values():
            problem = "comes twice" if instance in row_of_id else "is no label of this image"
            raise RequestError(
                "corrections.invalid",
                f"{where}: object {number + 1}: instance_id {instance} {problem}; objects that are "
                "new must have none",
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
