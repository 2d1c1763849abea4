"""What people did to the labels of one picture: changed, confirmed, added, deleted, left alone."""

from collections import Counter
from dataclasses import dataclass, field

from perception.core.shapes import BOX, Shape
from perception.core.types import Status
from perception.labeling.quality.correct import Correction, Decision, correction
from perception.review.decisions.changes import Apart
from perception.review.decisions.comparing import Compared, Origin
from perception.review.decisions.matching import Mask, Match, Row, Version, is_copy

UNUSABLE = "a row that was kept apart may be it"
UNKNOWN_CLASS = "the file does not know its class"
NOT_SHOWN = "the file may come from labels that did not show it"
TWICE = "object that is there twice"
_NO_PLACE = ("tag", "track")  # of a whole picture: no label can be one


@dataclass(frozen=True, eq=False)
class Rules:
    """What holds for all pictures of a file.

    Attributes:
        origin: Where the file comes from.
        stored: What people decided already, by sample and instance.
        sources: Files whose decisions this one knows: it holds labels as these left them.
        all_checked: Whether everything in the file was looked at.
        delete_nothing: Whether rows of unknown place may be any label.
    """

    origin: Origin
    stored: dict[tuple[str, int], Correction]
    sources: frozenset[str]
    all_checked: bool = False
    delete_nothing: bool = False


@dataclass(eq=False)
class Decided:
    """What became of one picture, or of many put together.

    Attributes:
        corrections: Of labels that the run has.
        added: (sample, file name), class and mask of labels that people added.
        untouched: Class name to labels left as they are.
        stays: (class name, reason) to labels that the file lacks and that stay.
        apart: What was kept apart.
        rectangles: Labels whose mask is a drawn rectangle.
    """

    corrections: list[Correction] = field(default_factory=list)
    added: list[tuple[tuple[str, str], str, Mask]] = field(default_factory=list)
    untouched: Counter[str] = field(default_factory=Counter)
    stays: Counter[tuple[str, str]] = field(default_factory=Counter)
    apart: list[Apart] = field(default_factory=list)
    rectangles: int = 0


def knows(
    compared: list[Compared], origin: Origin, stored: dict[tuple[str, int], Correction]
) -> frozenset[str]:
    """Return the files whose decisions this one holds: it was exported after they were applied."""
    known = set()
    for one in compared:
        for place, found in one.matches.items():
            row, left = one.rows[place], stored.get((one.placed.sample, found.instance))
            if left is None or left.decision == "accept" or left.class_name != row.class_name:
                continue
            if any(version.label_set == "" for version in origin.same(row, found)):
                known.add(left.source)
    return frozenset(known)


def decide_picture(one: Compared, rules: Rules, into: Decided) -> None:
    """Decide what people did in one picture, and add it to `into`."""
    into.apart += one.apart
    doubtful = [*one.unusable, *_decide_rows(one, rules, into)]
    for version in one.missing():
        reason = _reason_to_stay(version, one, doubtful, rules)
        if reason:
            into.stays[version.class_name, reason] += 1
        else:
            into.corrections.append(correction(_place(one), version.instance, "reject"))


def _decide_rows(one: Compared, rules: Rules, into: Decided) -> list[Shape]:
    """Decide about the labels that a picture holds; return shapes that may be one it lacks."""
    now = {version.instance: version for version in one.now}
    added, doubtful = list[Row](), list[Shape]()
    for place, row in enumerate(one.rows):
        found = one.matches.get(place)
        ours = now.get(found.instance) if found else None
        fault = _fault(row, found, one, rules)
        if not fault and found is None and any(_is_again(row, other) for other in added):
            fault = TWICE
        if fault:
            into.apart.append(Apart(fault, f"{row.shape.where}: {fault}"))
            if found is None and fault != TWICE:
                doubtful.append(row.shape)
            elif ours and ours.status != Status.REJECTED:
                into.stays[ours.class_name, UNUSABLE] += 1
        elif found is None:
            added.append(row)
        else:
            _decide_row(one, row, found, ours, rules, into)
    into.added += [(_place(one), row.class_name, row.mask) for row in added]
    into.rectangles += sum(row.shape.kind == BOX for row in added)
    return doubtful


def _is_again(row: Row, other: Row) -> bool:
    """Tell whether an object was drawn twice, pixel for pixel."""
    (bounds, counts), (theirs, their_counts) = row.mask, other.mask
    same = counts == their_counts and (bounds == theirs).all()
    return bool(same) and row.class_name == other.class_name


def _place(one: Compared) -> tuple[str, str]:
    return one.placed.sample, one.placed.ours.file_name


def _fault(row: Row, found: Match | None, one: Compared, rules: Rules) -> str:
    """Say why a row with a mask cannot be used; "" if it can."""
    if not row.class_name:
        return f"class {row.shape.label!r}"
    same = rules.origin.same(row, found) if found else ()
    if row.shape.crowd and not any(
        version.status != Status.ACCEPTED and version.class_name == row.class_name
        for version in same
    ):
        return "crowd region"
    if found is None and is_copy(row, one.versions, rules.origin.tolerances_px[row.form]):
        return TWICE
    return ""


def _decide_row(
    one: Compared, row: Row, found: Match, ours: Version | None, rules: Rules, into: Decided
) -> None:
    """Decide what became of a label that is in the file."""
    same = rules.origin.same(row, found)
    alike = [version for version in same if version.class_name == row.class_name]
    decision: Decision | None = "edit"
    mask = row.mask
    if same:
        mask = same[0].mask  # ours: the tool's has its own rounding
        decision = "reclass"
    if alike:
        decision = "accept" if ours and _confirmed(row, ours, alike, rules) else None
    if decision is None:
        if ours and ours.status != Status.REJECTED:
            into.untouched[ours.class_name] += 1
        return
    into.rectangles += decision == "edit" and row.shape.kind == BOX
    into.corrections.append(correction(_place(one), found.instance, decision, row.class_name, mask))


def _confirmed(row: Row, ours: Version, alike: list[Version], rules: Rules) -> bool:
    """Tell whether a person accepted a label without changing it.

    A label that was for review and is accepted in the file, under our id, was accepted there: a
    shape without our id has the status that its tool gives new ones.
    """
    if ours.status == Status.ACCEPTED:
        return rules.all_checked
    waiting = any(
        version.label_set == rules.origin.label_set and version.status != Status.ACCEPTED
        for version in alike
    )
    said = row.shape.status == Status.ACCEPTED.name.lower()
    return said and waiting and row.shape.instance_id == ours.instance_id


def _reason_to_stay(version: Version, one: Compared, doubtful: list[Shape], rules: Rules) -> str:
    """Say why a label that the file lacks was perhaps not deleted; "" if it was."""
    if rules.delete_nothing or any(_may_be(shape, version) for shape in doubtful):
        return UNUSABLE
    if version.class_name not in rules.origin.class_names:
        return UNKNOWN_CLASS
    was = [
        other
        for other in one.versions
        if other.instance == version.instance and other.label_set == rules.origin.label_set
    ]
    left = rules.stored.get((one.placed.sample, version.instance))
    added = left is not None and left.decision == "add" and left.source not in rules.sources
    if added or not any(other.status in rules.origin.shown and other.mask[1] for other in was):
        return NOT_SHOWN
    return ""


def _may_be(shape: Shape, version: Version) -> bool:
    """Tell whether an unusable shape may be a label: by its id, or where it lies."""
    if shape.kind in _NO_PLACE:
        return False
    if shape.bounds is None or shape.instance_id == version.instance_id:
        return True
    x0, y0, x1, y1 = shape.bounds
    left, top, right, bottom = version.mask[0].tolist()
    return bool(x0 <= right and left <= x1 and y0 <= bottom and top <= y1)
