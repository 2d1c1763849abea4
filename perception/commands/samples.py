"""The samples of a finished run as a sequence: a shard is read when one of its samples is asked."""

import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import overload

from perception.commands.views import SampleView
from perception.core.ontology import Ontology
from perception.runs import folder, labels, records, shards, store


class Samples(Sequence[SampleView]):
    """The samples of a run's current label set that were not quarantined, in the plan's order.

    Of a run in a bucket a copy is made once, without evidence and previews; it goes when this goes.
    A run that is decided again meanwhile leaves this as it is: a label set is never rewritten.

    Raises:
        RequestError: `run.damaged`, `run.incomplete`, `bucket.*`.
    """

    def __init__(self, run: Path | str) -> None:
        held = ExitStack()
        self._place = held.enter_context(store.reading(run, evidence=False))
        weakref.finalize(self, held.close)
        self._spec = folder.read_spec(self._place)
        folder.read_counts(self._place)
        self._plan = folder.read_plan(self._place, self._spec)
        decided = labels.folder_of(self._place, self._spec.label_set())
        self._ends = tuple(
            accumulate(
                sum(count for status, count in by_status.items() if status != "quarantined")
                for by_status, _ in (
                    shards.stated_counts(decided, index) for index in range(len(self._plan))
                )
            )
        )
        self._last: tuple[int, tuple[SampleView, ...]] = (-1, ())

    @property
    def ontology(self) -> Ontology:
        """The classes of the run."""
        return self._spec.ontology

    @cached_property
    def class_names(self) -> dict[int, str]:
        """Class id to name."""
        return {entry.id: entry.name for entry in self._spec.ontology.classes}

    def _shard(self, index: int) -> tuple[SampleView, ...]:
        """Return the samples of a shard; the last one that was asked for is kept."""
        if self._last[0] != index:
            refs = self._plan.shard(index)
            rows = folder.read_shard(self._place, self._spec, self._plan, index)
            found = tuple(
                SampleView(sample, ref, self.class_names)
                for ref, (outcome, sample) in zip(refs, rows, strict=True)
                if outcome.status != "quarantined"
            )
            expected = self._ends[index] - self._start(index)
            if len(found) != expected:
                where = labels.folder_of(self._place, self._spec.label_set())
                raise records.damaged(
                    where / f"{shards.shard_name(index)}.json",
                    "samples",
                    expected,
                    f"{len(found)}, as the shard has",
                    shards.DELETE,
                )
            self._last = index, found
        return self._last[1]

    def _start(self, index: int) -> int:
        return self._ends[index - 1] if index else 0

    def __len__(self) -> int:
        """Number of samples; no shard is read."""
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, chosen: int) -> SampleView: ...
    @overload
    def __getitem__(self, chosen: slice) -> tuple[SampleView, ...]: ...
    def __getitem__(self, chosen: int | slice) -> SampleView | tuple[SampleView, ...]:
        """Return a sample by its number; negative ones count from the end."""
        if isinstance(chosen, slice):
            return tuple(self[place] for place in range(*chosen.indices(len(self))))
        place = chosen + len(self) if chosen < 0 else chosen
        if not 0 <= place < len(self):
            raise IndexError(f"sample {chosen}: the run has {len(self)}")
        index = next(i for i, end in enumerate(self._ends) if place < end)
        return self._shard(index)[place - self._start(index)]

    def __iter__(self) -> Iterator[SampleView]:
        """Yield all samples, shard by shard."""
        for index in range(len(self._plan)):
            yield from self._shard(index)

    def __repr__(self) -> str:
        """Say how many there are."""
        return f"Samples({len(self)})"
