"""What verbs that label give back, how it is read, and how they tell of their progress."""

import html
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

from perception.commands.samples import Samples
from perception.commands.views import ACCEPTED, COLUMNS, SampleView, library, thumbnail
from perception.commands.views import parse_statuses as parse_statuses  # for verbs
from perception.core.progress import Progress as Progress  # of verbs that label
from perception.core.types import SampleLabels, Status
from perception.runs import folder, store

Tell = Callable[[str], None]  # takes one sentence for people
SHOWN = 4  # pictures of a run in a notebook


def no_progress(done: int, total: int, name: str = "") -> None:
    """Show nothing."""


def tell_nobody(notice: str) -> None:
    """Keep it in the result alone."""


@dataclass(frozen=True, repr=False)
class Run(Sequence[SampleView]):
    """A finished run: a sequence of its samples that were not quarantined, in the plan's order.

    `run[0].masks`, `run[-1].plot()`, `for sample in run`; shards are read as they are asked for.

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

    @cached_property
    def samples(self) -> Samples:
        """The samples; those of a run in a bucket are copied once, see `Samples`."""
        return Samples(self.address)

    @property
    def class_names(self) -> dict[int, str]:
        """Class id to name."""
        return self.samples.class_names

    def labels(self) -> Iterator[SampleLabels]:
        """Yield the labels of every sample that was not quarantined, in the order of the plan."""
        return read_labels(self.address)

    def to_pandas(self, statuses: str = "accepted,review,rejected") -> Any:
        """Return a pandas.DataFrame with a row for each label, of all statuses by default.

        Raises:
            RequestError: `extra.missing` without pandas.
        """
        pandas = library("pandas", "to_pandas()")
        pictures = [picture.only(statuses) for sample in self for picture in sample]
        found = [row for picture in pictures for row in picture.rows()]
        return pandas.DataFrame(found, columns=list(COLUMNS))

    def to_fiftyone(self, name: str = "", statuses: str = ACCEPTED) -> Any:
        """Return a fiftyone.Dataset: a sample for each picture, with masks in its "labels".

        Args:
            name: Of the dataset, which FiftyOne keeps; "" for one that goes with the process.
            statuses: Which labels it has.

        Raises:
            RequestError: `extra.missing` without FiftyOne; `source.bucket` for pictures in a
                bucket.
        """
        fo = library("fiftyone", "to_fiftyone()")
        found = [picture.to_fiftyone(fo, statuses) for sample in self for picture in sample]
        dataset = fo.Dataset(name or None, persistent=bool(name))
        dataset.add_samples(found)
        return dataset

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.samples)

    @overload
    def __getitem__(self, chosen: int) -> SampleView: ...
    @overload
    def __getitem__(self, chosen: slice) -> tuple[SampleView, ...]: ...
    def __getitem__(self, chosen: int | slice) -> SampleView | tuple[SampleView, ...]:
        """Return a sample by its number."""
        return self.samples[chosen]

    def __iter__(self) -> Iterator[SampleView]:
        """Yield all samples."""
        return iter(self.samples)

    def __repr__(self) -> str:
        """Say where it is and what it has."""
        return f"Run({self.address!r}: {self._said()})"

    def _said(self) -> str:
        samples, found = self.counts["samples"], self.counts["statuses"]
        listed = [f"{found.get(s.name.lower(), 0)} {s.name.lower()}" for s in Status]
        refused = f" ({samples['quarantined']} quarantined)" if samples["quarantined"] else ""
        return f"{samples['input']} samples{refused}; labels: {', '.join(listed)}"

    def _repr_html_(self) -> str:
        said = html.escape(f"{self.address}: {self._said()}")
        places = sorted({round(i * (len(self) - 1) / (SHOWN - 1)) for i in range(SHOWN)})
        shown = [picture for place in places if len(self) for picture in self[place][:SHOWN]]
        return f"<p>{said}</p>" + "".join(map(thumbnail, shown[:SHOWN]))


def open_run(path: Path | str) -> Run:
    """Open a finished run.

    Args:
        path: Its folder, or its address in a bucket.

    Raises:
        RequestError: `run.damaged` for what is no run, `run.incomplete`, `bucket.*`.
    """
    with store.reading_state(path) as place:
        counts = folder.read_counts(place)
        address = store.beside(path, 1)
        return Run(Path(path), counts, address, refusals=first_refusals(place))


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
