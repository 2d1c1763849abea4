"""What people decided of single labels, put in the place of what we decided."""

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from perception.core import masks as masks_
from perception.core.config import Settings
from perception.core.errors import SampleError
from perception.core.ontology import Ontology
from perception.core.types import Instances, Int32, Status

KEPT = ("accept", "reclass", "edit", "add")
_Side = Annotated[int, Field(ge=0, le=masks_.MAX_PIXELS)]
Decision = Literal["accept", "reclass", "edit", "add", "reject", "wrong_class", "bad_edge"]


class Correction(Settings):
    """A label as a person left it, or that it is none.

    What is kept is kept as the person saw it, class and mask, whatever is decided afterwards.

    Attributes:
        sample: Id of the sample.
        file_name: Of the image.
        instance: Its `prompt_ids`; for one that was added, an id that no prompt has.
        decision: What the person said; the last three leave no label.
        class_name: Of a kept label, a class of the run; "" for one that is not kept.
        mask_xyxy: Bounds of a kept label's mask; zeros for one that is not kept.
        mask_counts: Run-lengths in these bounds, see `Masks`; "" for one that is not kept.
        source: Sha256 of the file that says so, 12 hex digits; "" where it was not noted.
        checked: Whether the labels beside it, which were left as they are, were looked at as well:
            only such decisions say how often a label is right.
    """

    sample: str
    file_name: str
    instance: int = Field(ge=1, lt=1 << 31)
    decision: Decision
    class_name: str = ""
    mask_xyxy: tuple[_Side, _Side, _Side, _Side] = (0, 0, 0, 0)
    mask_counts: str = Field(default="", pattern=r"^[0-o]*$")
    source: str = ""
    checked: bool = True

    @property
    def kept(self) -> bool:
        """Whether a label remains."""
        return self.decision in KEPT


def correction(
    place: tuple[str, str],
    instance: int,
    decision: Decision,
    class_name: str = "",
    mask: tuple[Int32, bytes] | None = None,
) -> Correction:
    """Return what was decided of one label.

    Args:
        place: Id of the sample and file name of the image.
        instance: As in `Correction`.
        decision: What the person said.
        class_name: As in `Correction`; for a kept label.
        mask: Bounds and run-lengths; for a kept label.
    """
    one = Correction(sample=place[0], file_name=place[1], instance=instance, decision=decision)
    if not one.kept or mask is None:
        return one
    x0, y0, x1, y1 = (int(side) for side in mask[0])
    kept = {
        "class_name": class_name,
        "mask_xyxy": (x0, y0, x1, y1),
        "mask_counts": mask[1].decode("ascii"),
    }
    return one.model_copy(update=kept)


def corrected(
    instances: Instances, corrections: tuple[Correction, ...], ontology: Ontology
) -> Instances:
    """Apply what people decided of the labels of one image.

    Args:
        instances: N labels, before overlaps are settled.
        corrections: At most one for each prompt id.
        ontology: Of the run.

    Returns:
        The labels, with those that people added at the end. Kept ones are accepted and have no
        reason; the others are rejected for "human.reject", "human.wrong_class", "human.bad_edge".
        Of one that people added and took away again nothing remains.
    """
    if not corrections:
        return instances
    own = set(instances.prompt_ids.tolist())
    corrections = tuple(one for one in corrections if one.kept or one.instance in own)
    added = len({one.instance for one in corrections} - own)
    size_hw = instances.masks.size_hw
    whole = Instances.joined([instances, Instances.blank(added, size_hw)])
    row_of = {int(instance): row for row, instance in enumerate(instances.prompt_ids)}
    ids, prompt_ids = whole.instance_ids.copy(), whole.prompt_ids.copy()
    class_ids = whole.class_ids.copy()
    statuses, by_human = whole.statuses.copy(), whole.by_human.copy()
    boxes, reasons = whole.boxes_xyxy.copy(), list(whole.reasons)
    masks = list(zip(whole.masks.boxes_xyxy, whole.masks.counts, strict=True))
    for correction in corrections:
        row = row_of.setdefault(correction.instance, len(row_of))
        by_human[row] = True
        if row >= len(instances):
            ids[row] = prompt_ids[row] = correction.instance
        statuses[row] = Status.ACCEPTED if correction.kept else Status.REJECTED
        reasons[row] = () if correction.kept else (f"human.{correction.decision}",)
        if correction.kept:
            bounds = np.array(correction.mask_xyxy, np.int32)
            class_ids[row] = ontology.id_of(correction.class_name)
            masks[row] = (bounds, correction.mask_counts.encode("ascii"))
            boxes[row] = bounds if row >= len(instances) else boxes[row]
    return replace(
        whole,
        instance_ids=ids,
        prompt_ids=prompt_ids,
        class_ids=class_ids,
        statuses=statuses,
        reasons=tuple(reasons),
        boxes_xyxy=boxes,
        masks=masks_.checked(masks_.join(tuple(masks), size_hw)),
        by_human=by_human,
    )


def by_image(corrections: tuple[Correction, ...]) -> dict[tuple[str, str], tuple[Correction, ...]]:
    """Return corrections by sample and file name.

    Raises:
        SampleError: `corrections.invalid` if a label is decided twice.
    """
    grouped: dict[tuple[str, str], tuple[Correction, ...]] = {}
    seen: set[tuple[str, int]] = set()
    for correction in corrections:
        key = (correction.sample, correction.instance)
        if key in seen:
            raise SampleError(
                "corrections.invalid",
                f"instance {correction.instance} of sample {correction.sample!r} is decided twice",
            )
        seen.add(key)
        place = (correction.sample, correction.file_name)
        grouped[place] = (*grouped.get(place, ()), correction)
    return grouped
