"""The first screen of a report: how it went in a sentence, three figures, and what to do next."""

import math
import shlex
from dataclasses import dataclass
from typing import Any

from perception.core.statistics import Figure
from perception.evaluation import Report


@dataclass(frozen=True)
class Verdict:
    """What a reader should know first.

    Attributes:
        sentences: What came out, and how good it is as far as anybody knows.
        figures: Three of (value, what it is).
        why: What the next command is for.
        command: The next command, quoted for a shell.
    """

    sentences: tuple[str, ...]
    figures: tuple[tuple[str, str], ...]
    why: str
    command: str


def give(
    counts: dict[str, Any], report: Report | None, trusts: list[float], address: str
) -> Verdict:
    """Judge a run.

    Args:
        counts: As `folder.read_counts` gives them.
        report: The run against truth; None without.
        trusts: Fitted chances of being right of the accepted labels; NaN where nobody fitted.
        address: The run, as people name it.
    """
    samples, statuses = counts["samples"], counts["statuses"]
    usable = samples["ok"] + samples["empty"]
    accepted, review = statuses.get("accepted", 0), statuses.get("review", 0)
    run = shlex.quote(address)
    expected = _mean(trusts)
    right = _figure(report, "labels", "all", "precision")
    found = _figure(report, "labels", "all", "recall")
    edges = _figure(report, "labels", "all", "IoU of matches")
    plain = (
        (f"{accepted:,}", "labels accepted"),
        (f"{review:,}", "labels for review"),
        (f"{samples['ok']:,} of {samples['input']:,}", "samples with objects"),
    )
    lost = samples["quarantined"]
    lost_words = (f"{lost:,} of {samples['input']:,} samples could not be used.",) if lost else ()
    if not usable:
        sentence = "No sample could be used, so there are no labels."
        return Verdict((sentence,), plain, "See why, sample by sample", f"perception status {run}")
    if not accepted + review:
        sentence = f"Nothing was labelled in {usable:,} samples."
        why = "Decide again with a lower threshold; no model runs"
        command = f"perception relabel {run} --min-score 0.1"
        return Verdict((sentence, *lost_words), plain, why, command)
    waiting = f", and {_count(review, 'waits', 'wait')} for review" if review else ""
    first = (
        f"{samples['ok']:,} of {samples['input']:,} samples have objects: "
        f"{_count(accepted, 'label is', 'labels are')} accepted{waiting}."
    )
    if right is not None and right.value is not None:
        quality = (
            f"Of 100 accepted labels about {100 * right.value:.0f} are right (IoU 0.5 or more)"
        )
        if found is not None and found.value is not None:
            quality += f", and of 100 true objects about {100 * found.value:.0f} have one"
        no_masks = edges is None or edges.value is None  # the truth holds boxes alone
        third = plain[0] if no_masks else (_value(edges), "mask IoU of right labels")
        figures = (
            (_share(right), "of accepted labels are right"),
            (_share(found), "of true objects are labelled"),
            third,
        )
    elif expected is not None:
        quality = f"The trust model expects {expected:.0%} of the accepted labels to be right"
        figures = (*plain[:2], (f"{expected:.0%}", "expected to be right"))
    else:
        quality = "How many of them are right is not known: no truth was given"
        figures = plain
    why, command = (
        ("Look at the labels in doubt", f"perception show {run} --review --out review")
        if review
        else ("Take the labels elsewhere", f"perception export {run} --to coco --out labels.json")
    )
    return Verdict((first, f"{quality}.", *lost_words), figures, why, command)


def _count(count: int, one: str, many: str) -> str:
    return f"1 {one}" if count == 1 else f"{count:,} {many}"


def _mean(trusts: list[float]) -> float | None:
    if not trusts or any(math.isnan(trust) for trust in trusts):
        return None
    return sum(trusts) / len(trusts)


def _figure(report: Report | None, table: str, row: str, column: str) -> Figure | None:
    if report is None or table not in {one.name for one in report.tables}:
        return None
    return report.figure(table, row, column)


def _share(figure: Figure | None) -> str:
    return "-" if figure is None or figure.value is None else f"{figure.value:.0%}"


def _value(figure: Figure | None) -> str:
    return "-" if figure is None or figure.value is None else f"{figure.value:.2f}"
