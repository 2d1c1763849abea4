"""Corrections come home: what people decided is put in the place of what we decided."""

from dataclasses import dataclass, field
from pathlib import Path

from perception.commands import Progress, Run, decide_run, no_progress
from perception.decisions import read_corrections
from perception.ontology import Ontology
from perception.quality.correct import Correction
from perception.runs import corrections as stored
from perception.runs import folder

# decision -> what the table calls it
_KINDS = {
    "accept": "kept",
    "reclass": "edited",
    "edit": "edited",
    "add": "added",
    "reject": "deleted",
    "wrong_class": "deleted",
    "bad_edge": "deleted",
}
COLUMNS = ("kept", "edited", "deleted", "added")


@dataclass(frozen=True)
class Applied:
    """What a file of corrections changed.

    Attributes:
        run: The run, decided again.
        by_class: Class name to the number of labels kept, edited, deleted and added; the class is
            the one that we had given, for added labels the one that a person gave.
        corrections: All that the run now has, earlier ones included.
    """

    run: Run
    by_class: dict[str, dict[str, int]] = field(default_factory=dict)
    corrections: int = 0

    def lines(self) -> list[str]:
        """Return the table as text."""
        rows: list[tuple[str, ...]] = [("", *COLUMNS)]
        rows += [
            (name, *(str(counts[column]) for column in COLUMNS))
            for name, counts in sorted(self.by_class.items())
        ]
        width = max(len(row[0]) for row in rows)
        lines = [f"{row[0]:{width}}" + "".join(f"{cell:>9}" for cell in row[1:]) for row in rows]
        return [*lines, f"{self.corrections} labels of this run are decided by people"]


def apply(run: Path | str, path: Path, progress: Progress = no_progress) -> Applied:
    """Apply a decisions file, or a COCO file that was edited elsewhere, to a finished run.

    What a person kept stays as they saw it, whatever is decided later; a later file wins over an
    earlier one, label by label. The labels become a new label set; the same file again changes
    nothing.

    Raises:
        RequestError: as `read_corrections`.
    """
    place = Path(run).resolve()
    spec = folder.read_spec(place)
    changes, seen = read_corrections(place, path)
    merged = {(one.sample, one.instance): one for one in stored.read(place, spec.corrections)}
    merged |= {(c.correction.sample, c.correction.instance): c.correction for c in changes}
    sha256 = stored.write(place, tuple(merged.values()))
    names = {
        (sample_id, int(instance)): _class_name(spec.ontology, int(class_id))
        for sample_id, picture in seen
        for instance, class_id in zip(
            picture.instances.instance_ids, picture.instances.class_ids, strict=True
        )
    }
    by_class = _by_class(tuple(change.correction for change in changes), names)
    changed = spec.model_copy(update={"corrections": sha256})
    decided = decide_run(place, changed, progress=progress)
    return Applied(decided, by_class, len(merged))


def _class_name(ontology: Ontology, class_id: int) -> str:
    return ontology.by_id(class_id).name


def _by_class(
    corrections: tuple[Correction, ...], names: dict[tuple[str, int], str]
) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for one in corrections:
        name = names.get((one.sample, one.instance), one.class_name)
        counts = table.setdefault(name, dict.fromkeys(COLUMNS, 0))
        counts[_KINDS[one.decision]] += 1
    return table
