"""Decisions of the review pages.

A decisions file is JSON, as `perception show RUN --review` lets people download it:

{"run": EVIDENCE, "label_set": LABEL SET,
 "decisions": [{"sample": "000008", "picture": "image_2/000008.png", "instance": 3,
                "decision": "accept"},
               {"sample": "000008", "instance": 4, "decision": "wrong_class", "class": "van"}]}

EVIDENCE is `RunSpec.evidence_fingerprint`, LABEL SET what was looked at. `decision` is accept,
reject, wrong_class (with or without the right class) or bad_edge. `picture` may be left out where
no other picture of the sample shows the instance. What is not listed is not decided.
"""

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from perception.core.config import Settings
from perception.core.errors import RequestError
from perception.core.ontology import Ontology
from perception.core.types import PictureLabels
from perception.labeling.quality.correct import Correction, Decision, correction
from perception.review.decisions.changes import Seen
from perception.runs import folder

_SAID: dict[str, Decision] = {
    "accept": "accept",
    "reject": "reject",
    "wrong_class": "wrong_class",
    "bad_edge": "bad_edge",
}
Place = tuple[PictureLabels, int]  # and the row of a label


class _Said(Settings):
    sample: str
    picture: str = ""
    instance: int = Field(ge=1)
    decision: str
    class_: str = Field(default="", alias="class")


def label_set_of(document: dict[str, Any], run: Path, path: Path) -> str:
    """Return the label set that was decided about."""
    spec = folder.read_spec(run)
    made = spec.evidence_fingerprint()
    stated = document.get("run")
    if all(stated != one for one in folder.evidence_fingerprints(run, spec)):
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
    mask = rows.masks.boxes_xyxy[row], rows.masks.counts[row]
    place = said.sample, picture.file_name
    return correction(place, int(rows.prompt_ids[row]), decision, name, mask)


def _known(name: str, ontology: Ontology, where: str) -> str:
    names = [entry.name for entry in ontology.classes]
    if name not in names:
        raise RequestError(
            "corrections.invalid",
            f"{where}: class is {name!r}, expected one of {', '.join(names)}",
        )
    return name
