"""Arrays with one row an object: checked, sliced together, read-only."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from perception.core.errors import ShapeError

Bool = npt.NDArray[np.bool_]
UInt8 = npt.NDArray[np.uint8]
Int32 = npt.NDArray[np.int32]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Counts = tuple[tuple[str, int], ...]  # name and count, in alphabetical order


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a view that nobody can write through."""
    view = array.view()
    view.setflags(write=False)
    return view


@cache  # a frame makes hundreds of containers
def _names_of(kind: Any) -> tuple[str, ...]:
    return tuple(column.name for column in fields(kind))


@dataclass(frozen=True, eq=False, repr=False)
class RowAligned:
    """N rows in several columns: numpy arrays and tuples, but for the fields named in `shared`.

    Indexing by an array of booleans or integers, by a slice or by an integer gives the same type
    with those rows: `masks[0]` has one row.

    Raises:
        ShapeError: if the columns disagree on N.
    """

    shared: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        """Check the row counts and make every array read-only."""
        counts = {name: len(getattr(self, name)) for name in self._columns()}
        if len(set(counts.values())) > 1:
            raise ShapeError(f"{type(self).__name__} fields disagree on N: {counts}")
        for name in self._names():
            value = getattr(self, name)
            if isinstance(value, np.ndarray):
                object.__setattr__(self, name, read_only(value))

    @classmethod
    def _names(cls) -> tuple[str, ...]:
        kind: Any = cls  # which mypy takes for unhashable
        return _names_of(kind)

    def _columns(self) -> list[str]:
        return [name for name in self._names() if name not in self.shared]

    def __len__(self) -> int:
        """Number of rows."""
        return len(getattr(self, self._columns()[0]))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of one part or more, in their order; `shared` is the first part's."""
        changed: dict[str, Any] = {}
        for name in parts[0]._columns():
            values = [getattr(part, name) for part in parts]
            if isinstance(values[0], np.ndarray):
                changed[name] = np.concatenate(values)
            elif isinstance(values[0], RowAligned):
                changed[name] = type(values[0]).joined(values)
            else:
                changed[name] = tuple(value for column in values for value in column)
        return replace(parts[0], **changed)

    def __repr__(self) -> str:
        """Say how many rows there are; notebooks show it."""
        return f"{type(self).__name__}({len(self)} {'row' if len(self) == 1 else 'rows'})"

    def __getitem__(self, rows: npt.NDArray[Any] | slice | int) -> Self:
        """Return the chosen rows, in the order asked for."""
        index = np.atleast_1d(np.arange(len(self))[rows])
        changed: dict[str, Any] = {}
        for name in self._columns():
            value = getattr(self, name)
            if isinstance(value, np.ndarray | RowAligned):
                changed[name] = value[index]
            else:
                changed[name] = tuple(value[i] for i in index)
        return replace(self, **changed)
