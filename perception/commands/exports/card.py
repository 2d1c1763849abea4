"""The card of an exported data set: what it holds, how far to trust it, how it was made."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from perception.commands.exports.checks import Job, ReadBack
from perception.core.types import ExportSummary
from perception.core.version import __version__
from perception.formats import LABEL, fates
from perception.io.files import write_bytes
from perception.runs.folder import RunSpec
from perception.synthetic.read import DRIVE_LICENCE

SHOWN = 3  # names of samples that stand for all of a kind


def describe(
    to: str,
    job: Job,
    written: ExportSummary,
    back: ReadBack,
    *,
    spec: RunSpec | None,
    class_map: str,
    renamed: Mapping[str, str],
) -> dict[str, Any]:
    """Say what an export is. No clock: the same export has the same card.

    Args:
        to: The format.
        job: What was exported.
        written: Counts of the writer.
        back: What was read again.
        spec: Of the run; None for a synthetic drive, whose labels are its truth.
        class_map: Name of the class map.
        renamed: Picture to its name here, where it would share one with another.
    """
    labels, pictures, trusts, by_human = Counter[str](), 0, list[float](), 0
    for sample in job.samples():
        for picture in sample.pictures:
            pictures += 1
            chances = picture.instances.trusts
            for row, fate in fates(picture.instances, job.target, job.statuses):
                if fate == LABEL:
                    class_id = job.target.ids[int(picture.instances.class_ids[row])]
                    labels[job.target.names[class_id]] += 1
                    trusts.append(float(chances[row]))
                    by_human += int(picture.instances.by_human[row])
    known = [chance for chance in trusts if not np.isnan(chance)]
    return {
        "format": to,
        "counts": {
            "samples": written.samples,
            "pictures": pictures,
            "labels": written.labels,
            "ignored": written.ignored,
            "left_out": dict(written.left_out),
            "objects_by_class": dict(sorted(labels.items())),
            "decided_by_people": by_human,
            "quarantined": _first(job.quarantined),
        },
        "renamed": dict(renamed),
        "statuses": sorted(status.name.lower() for status in job.statuses),
        "class_map": class_map,
        "trust": {"labels": len(known), "mean": float(np.mean(known)), "least": min(known)}
        if known
        else None,
        "read_again": {"labels": back.labels, "mean_iou": back.mean_iou, "min_iou": back.min_iou},
        **(_of_run(spec) if spec else _of_drive()),
    }


def _of_run(spec: RunSpec) -> dict[str, Any]:
    models = spec.models()
    return {
        "licences": {
            "source": spec.source_licence,
            **{name: model.licence for name, model in models.items()},
        },
        "weights": {
            name: model.model_dump(include={"kind", "file_name", "sha256"})
            for name, model in models.items()
        },
        "made": {
            "by": f"driving-perception {spec.code_version}",
            "fingerprint": spec.fingerprint(),
            "label_set": spec.label_set(),
            "decisions": spec.config.decide.model_dump(mode="json"),
        },
    }


def _of_drive() -> dict[str, Any]:
    return {
        "licences": {"source": DRIVE_LICENCE},
        "weights": {},
        "made": {"by": f"driving-perception {__version__}", "truth": "of a synthetic drive"},
    }


def write(card: dict[str, Any], beside: Path) -> Path:
    """Write BESIDE.json and, for people, BESIDE.md; return the latter."""
    markdown = beside.with_name(f"{beside.name}.md")
    data = json.dumps(card, indent=1, sort_keys=True)
    write_bytes(beside.with_name(f"{beside.name}.json"), f"{data}\n".encode())
    write_bytes(markdown, _markdown(card).encode())
    return markdown


def quarantined_words(quarantined: Mapping[str, tuple[str, ...]]) -> str:
    """Name the samples that a run could not use, by reason."""
    return _quarantined_words(_first(quarantined))


def _first(quarantined: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    return {
        code: {"samples": len(names), "first": list(names[:SHOWN])}
        for code, names in quarantined.items()
    }


def _quarantined_words(first: dict[str, Any]) -> str:
    reasons = []
    for code, one in first.items():
        more = ", ..." if one["samples"] > len(one["first"]) else ""
        reasons.append(f"{code} {one['samples']} ({', '.join(one['first'])}{more})")
    count = sum(one["samples"] for one in first.values())
    return f"{count} samples that were quarantined: {'; '.join(reasons)}"


def renamed_words(renamed: Mapping[str, str]) -> str:
    """Say which pictures have another name here."""
    shown = [f"{name} is {stem}" for name, stem in renamed.items()][:SHOWN]
    more = ", ..." if len(renamed) > SHOWN else ""
    return (
        f"renamed {len(renamed)} pictures whose names differ only in their ending: "
        f"{', '.join(shown)}{more}"
    )


def _markdown(card: dict[str, Any]) -> str:
    counts, trust, made = card["counts"], card["trust"], card["made"]
    lines = [
        f"# Labels as {card['format']}",
        "",
        f"{counts['labels']} labels in {counts['pictures']} pictures of {counts['samples']} "
        f"samples; {counts['ignored']} regions to ignore.",
        f"Labels are what was {' or '.join(card['statuses'])}; "
        f"{counts['decided_by_people']} were decided by people. "
        f"Class map: {_text(card['class_map'])}.",
        "",
        "| class | objects |",
        "|---|---|",
        *(f"| {_text(name)} | {count} |" for name, count in counts["objects_by_class"].items()),
        "",
    ]
    if counts["left_out"]:
        left = ", ".join(f"{_text(name)} {count}" for name, count in counts["left_out"].items())
        lines += [f"Left out: {left}.", ""]
    if counts["quarantined"]:
        lines += [f"Not in it: {_text(_quarantined_words(counts['quarantined']))}.", ""]
    if card["renamed"]:
        lines += [f"Note: {_text(renamed_words(card['renamed']))}.", ""]
    if trust:
        lines.append(
            f"Trust: the labels are right with a chance of {trust['mean']:.3f} in the mean and "
            f"{trust['least']:.3f} at least ({trust['labels']} labels with a fitted chance)."
        )
    elif "truth" in made:
        lines.append("Trust: this is the truth of a synthetic drive.")
    else:
        lines.append("Trust: nobody fitted a chance of being right; scores are no probabilities.")
    back = card["read_again"]
    lines += [
        f"Read again: {back['labels']} labels, mask IoU {back['mean_iou']:.4f} in the mean, "
        f"{back['min_iou']:.4f} at the lowest.",
        "",
        "| what | licence | weights | sha256 |",
        "|---|---|---|---|",
    ]
    for name, licence in card["licences"].items():
        model = card["weights"].get(name, {})
        words = (licence or "unknown", model.get("file_name") or model.get("kind") or "-")
        shown = " | ".join(_text(word) for word in (name, *words))
        lines.append(f"| {shown} | {model.get('sha256') or '-'} |")
    lines += ["", *(f"- {name}: {_text(json.dumps(value))}" for name, value in made.items()), ""]
    return "\n".join(lines)


def _text(text: str) -> str:
    """Return text from outside as it may stand in a table: no markup, no new line or column."""
    plain = " ".join(str(text).split())
    for mark in "\\`|<>[]*#":
        plain = plain.replace(mark, f"\\{mark}")
    return plain
