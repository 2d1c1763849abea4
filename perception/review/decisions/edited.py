"""Files that people edited in another tool: what they changed, and what they left alone.

A file holds all that shall remain of its pictures; a picture that is not in it was not looked at.
Our labels are found by their mask, else by `instance_id`, else by mask IoU. One that comes back
with its mask and class is untouched: nobody decided about it, unless it was for review and its
`status` says accepted now, or everything was looked at. One that the file lacks was deleted, if
the file showed it and no row that was kept apart may be it.

Rectangles are masks: without a model there is no better one. One that only encloses our label is
that label, untouched: tools without masks write so.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from perception.core.ontology import ClassMap
from perception.core.shapes import EditedFile
from perception.labeling.quality.correct import Correction, correction
from perception.review.decisions import deciding, pictures
from perception.review.decisions.changes import Apart, Changes, Seen
from perception.review.decisions.classes import names_of
from perception.review.decisions.comparing import compare, origin_of
from perception.review.decisions.deciding import Decided, Rules
from perception.review.decisions.versions import read_versions
from perception.runs import corrections as stored_
from perception.runs import evidence, folder
from perception.runs.folder import RunSpec


def changes_of(
    file: EditedFile,
    run: Path,
    seen: Seen,
    path: Path,
    *,
    class_map: ClassMap | None = None,
    all_checked: bool = False,
) -> Changes:
    """Compare an edited file with the labels of a run.

    Args:
        file: The file.
        run: The run folder.
        seen: The labels that the run has.
        path: For messages.
        class_map: From the file's names of classes to the run's; None where they are the same.
        all_checked: Whether what was left alone was looked at, and is right.

    Raises:
        RequestError: `corrections.invalid` for a file of other pictures.
    """
    spec = folder.read_spec(run)
    placed, apart = pictures.place(file, seen, path)
    earlier = {(one.sample, one.instance): one for one in stored_.read(run, spec)}
    samples = {one.sample for one in placed}
    versions, label_sets = read_versions(run, spec, seen, samples, earlier.values())
    class_of = names_of(spec.ontology, class_map)
    compared, others = compare(placed, versions, class_of)
    origin = origin_of(file, compared, label_sets, class_of)
    tracks = [shape for shape in file.elsewhere if shape.kind == "track"]
    rules = Rules(
        origin=origin,
        stored=earlier,
        sources=deciding.knows(compared, origin, earlier),
        all_checked=all_checked,
        delete_nothing=bool(tracks),
    )
    decided = Decided(apart=[*apart, *others])
    decided.apart += [
        Apart(
            shape.kind if shape in tracks else "annotation of no picture",
            f"{shape.where}: {shape.fault or 'its picture is not in the file'}",
        )
        for shape in file.elsewhere
    ]
    for one in compared:
        deciding.decide_picture(one, rules, decided)
    changed = {one.file_name for one in decided.corrections}
    emptied = sum(
        not one.placed.edited.shapes and one.placed.ours.file_name in changed for one in compared
    )
    return Changes(
        corrections=(*decided.corrections, *_numbered(decided, run, spec, earlier)),
        seen=seen,
        untouched=dict(decided.untouched),
        stays=_summed(decided, lambda key: key[0]),
        reasons=_summed(decided, lambda key: key[1]),
        apart=tuple(decided.apart),
        rectangles=decided.rectangles,
        pictures=(len(compared), len(file.pictures)),
        emptied=emptied,
    )


def _summed(decided: Decided, key: Callable[[tuple[str, str]], str]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for pair, count in decided.stays.items():
        total[key(pair)] += count
    return dict(total)


def _numbered(
    decided: Decided, run: Path, spec: RunSpec, earlier: dict[tuple[str, int], Correction]
) -> list[Correction]:
    """Return added labels with ids that no prompt has, used or not, and no earlier addition."""
    samples = {place[0] for place, _, _ in decided.added}
    last = dict.fromkeys(samples, 0)
    plan = folder.read_plan(run, spec)
    for index in range(len(plan)):
        if not samples & {sample.id for sample in plan.shard(index)}:
            continue
        for outcome, seen in evidence.read(run, index, plan.shard(index)):
            if outcome.sample_id in samples:
                last[outcome.sample_id] = sum(len(picture.detections) for picture in seen)
    for sample, instance in earlier:
        if sample in samples:
            last[sample] = max(last[sample], instance)
    found = []
    for place, class_name, mask in decided.added:
        last[place[0]] += 1
        found.append(correction(place, last[place[0]], "add", class_name, mask))
    return found
