"""How gates change the mix of classes, and a floor for the rare ones."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perception.core.errors import RequestError
from perception.core.reasons import GATES, JUDGED, gate_of
from perception.core.text import text_table
from perception.core.types import Float64, Status
from perception.labeling.trust.threshold import class_lines
from perception.runs import folder
from perception.runs.folder import RunSpec

FOUND, ACCEPTED = "found", "accepted"
COLUMNS = (FOUND, *GATES, ACCEPTED)


@dataclass(frozen=True)
class ClassMix:
    """How many labels of each class pass each gate.

    Attributes:
        passed: Gate to class name to the labels that passed it and those before; `FOUND` is all
            boxes of mapped classes, `ACCEPTED` what is a label in the end.
    """

    passed: dict[str, dict[str, int]]

    def lines(self) -> list[str]:
        """Return a table: labels, and their share of what passed the gate."""
        classes = sorted(self.passed[FOUND])
        rows = [["class", *COLUMNS]]
        totals = {gate: max(sum(counts.values()), 1) for gate, counts in self.passed.items()}
        for name in classes:
            counts = [(self.passed[gate].get(name, 0), totals[gate]) for gate in COLUMNS]
            rows.append([name, *(f"{count} ({count / total:.1%})" for count, total in counts)])
        return text_table(rows)


def class_mix(run: Path) -> ClassMix:
    """Count the labels of a finished run before and after each gate."""
    ontology = folder.read_spec(run).ontology
    passed: dict[str, Counter[str]] = {gate: Counter() for gate in COLUMNS}
    for outcome, labels in folder.read_labels(run):
        if outcome.status == "quarantined":
            continue
        for picture in labels.pictures:
            rows = picture.instances
            for row, status in enumerate(rows.statuses):
                name = ontology.by_id(int(rows.class_ids[row])).name
                passed[FOUND][name] += 1
                if status == Status.ACCEPTED:
                    passed[ACCEPTED][name] += 1
                stopped = _gate(rows.reasons[row]) if status == Status.REJECTED else ""
                for gate in GATES:
                    if gate == stopped:
                        break
                    passed[gate][name] += 1
    return ClassMix({gate: dict(counts) for gate, counts in passed.items()})


def _gate(reasons: tuple[str, ...]) -> str:
    """Return the gate that a rejected label did not pass: the last one that gave a reason."""
    stopped = {gate_of(code) for code in reasons}
    return next((gate for gate in reversed(GATES) if gate in stopped), JUDGED)


def with_floor(run: Path, spec: RunSpec, floor: int) -> RunSpec:
    """Return the settings with a lower line for classes of which too few labels are accepted.

    Args:
        run: A run that was decided by `spec`.
        spec: Its settings, with a trust model that has a line.
        floor: Labels that each class should have; the best of review are taken, no more than are
            needed, and marked "class.kept".

    Raises:
        RequestError: `trust.invalid` without a line.
    """
    model = spec.trust
    if model is None or model.accept_from is None:
        raise RequestError(
            "trust.invalid",
            "--keep-per-class needs a trust model with a line: fit one with --target-precision",
        )
    names: list[str] = []
    trusts: list[Float64] = [np.zeros(0)]
    for outcome, labels in folder.read_labels(run):
        if outcome.status == "quarantined":
            continue
        for picture in labels.pictures:
            rows = picture.instances
            rows = rows[np.isfinite(rows.trusts) & (rows.statuses != Status.REJECTED)]
            names += [spec.ontology.by_id(int(i)).name for i in rows.class_ids]
            trusts.append(rows.trusts.astype(np.float64))
    lines = class_lines(np.concatenate(trusts), names, model.accept_from, floor)
    return spec.model_copy(update={"trust": model.model_copy(update={"class_lines": lines})})
