"""What verbs that label give back, how it is read, and how they tell of their progress."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perception.core.errors import RequestError
from perception.core.progress import Progress as Progress  # of verbs that label
from perception.core.types import SampleLabels, Status
from perception.runs import folder, store

Tell = Callable[[str], None]  # takes one sentence for people


def no_progress(done: int, total: int, name: str = "") -> None:
    """Show nothing."""


def tell_nobody(notice: str) -> None:
    """Keep it in the result alone."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: The run folder; gone where the run is in a bucket.
        counts: Samples by status, instances by status, class and reason.
        address: Where the run is: a folder, or a place in a bucket.
        notices: What was understood or left out of the source and the boxes, see `Resolved`.
        refusals: The first quarantined sample of each reason, a row of `quarantine.jsonl` each.
    """

    folder: Path
    counts: dict[str, Any]
    address: str
    notices: tuple[str, ...] = ()
    refusals: tuple[dict[str, str], ...] = ()

    def labels(self) -> Iterator[SampleLabels]:
        """Yield the labels of every sample that was not quarantined, in the order of the plan."""
        return read_labels(self.address)


def first_refusals(run: Path) -> tuple[dict[str, str], ...]:
    """Return the first row of `quarantine.jsonl` for each code."""
    first = dict[str, dict[str, str]]()
    with (run / "quarantine.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            first.setdefault(row["code"], row)
    return tuple(first[code] for code in sorted(first))


def read_labels(run: Path | str) -> Iterator[SampleLabels]:
    """Yield the labels of every sample of a finished run that was not quarantined."""
    with store.reading(run, evidence=False) as place:
        yield from folder.usable_labels(place)


def parse_statuses(text: str) -> tuple[Status, ...]:
    """Understand "accepted,review".

    Raises:
        RequestError: `config.invalid` for a word that is no status.
    """
    known = {status.name.lower(): status for status in Status}
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in known:
            raise RequestError(
                "config.invalid", f"--status {word!r}: expected some of {', '.join(known)}"
            )
    return tuple(known[word] for word in words)
