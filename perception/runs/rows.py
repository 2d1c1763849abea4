"""The rows of a shard, held to what was promised before anything is made of them.

A run folder may come from somebody else: values that are missing, not finite, negative or out of
the picture, rows in another order and samples that the plan does not have are damage, and named.
Whole columns are looked at, so that this costs little beside turning them into objects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from perception.core import masks as masks_
from perception.core.errors import RequestError, SampleError
from perception.core.limits import MOST_MEGAPIXELS
from perception.core.types import Masks, SampleRef
from perception.runs import records, shards

SAMPLE, PICTURE, INSTANCE = KINDS = ("sample", "picture", "instance")
MAX_PIXELS = MOST_MEGAPIXELS << 20  # of a picture
LARGEST = float(np.finfo(np.float32).max)
MOST = float(np.iinfo(np.int32).max)


@dataclass(frozen=True)
class Rule:
    """What a column must hold in the rows of one kind, where no value may be missing.

    Attributes:
        kind: Of the rows; in others nobody reads it.
        low: Least number, or least count.
        high: Largest.
        unknown: Whether NaN says that a value is not known.
    """

    kind: str
    low: float = -LARGEST
    high: float = LARGEST
    unknown: bool = False


Rules = Mapping[str, Rule]
COMMON: Rules = {
    **{name: Rule(SAMPLE) for name, _ in shards.SAMPLE_FIELDS[1:]},
    **{name: Rule(PICTURE, 1, MAX_PIXELS) for name, _ in shards.PICTURE_FIELDS},
    **{name: Rule(INSTANCE, 0, MAX_PIXELS) for name, _ in shards.MASK_FIELDS},
    "box_xyxy": Rule(INSTANCE, 0, MAX_PIXELS),
}


@dataclass(frozen=True, eq=False)
class _Part:
    """The rows of one kind: their places in the shard, and their columns."""

    places: npt.NDArray[np.int64]
    chosen: pa.Array
    table: pa.Table

    def column(self, name: str) -> pa.Array:
        return self.table.column(name).filter(self.chosen).combine_chunks()

    def first_missing(self, name: str) -> int | None:
        """Return the first row without a value; bytes and texts are not copied for that."""
        there = _flags(self.table.column(name).is_valid())[self.places]
        return None if there.all() else int(np.flatnonzero(~there)[0])


def read(
    folder: Path, index: int, schema: pa.Schema, rules: Rules, refs: Sequence[SampleRef]
) -> list[shards.Row]:
    """Return the rows of a shard.

    Args:
        folder: The evidence folder or a label set.
        index: Number of the shard.
        schema: Of the Parquet file.
        rules: What each column must hold.
        refs: The samples that the plan has there.

    Raises:
        RequestError: `run.damaged`, naming file, row, field, what was found and what was expected.
    """
    table = shards.read_table(folder, index, schema)
    path = folder / f"{shards.shard_name(index)}.parquet"
    codes = _kinds(table, path)
    parts = {kind: _part(table, codes == code) for code, kind in enumerate(KINDS)}
    for name, rule in rules.items():
        part = parts[rule.kind]
        missing = part.first_missing(name)
        if missing is not None:
            raise _damaged(path, int(part.places[missing]), name, None, "a value")
        fault = _fault(part, name, rule)
        if fault is not None:
            row, found, expected = fault
            raise _damaged(path, int(part.places[row]), name, found, expected)
    _check_samples(parts[SAMPLE], parts[PICTURE], refs, path)
    _check_boxes(parts[PICTURE], parts[INSTANCE], path)
    rows: list[shards.Row] = table.to_pylist()
    return rows


def _damaged(path: Path, row: int, name: str, found: object, expected: str) -> RequestError:
    return records.damaged(path, f"row {row}: {name}", found, expected, shards.DELETE)


def _kinds(table: pa.Table, path: Path) -> npt.NDArray[np.int64]:
    """Return the place in `KINDS` of each row's kind."""
    column = table.column("kind").combine_chunks()
    codes = pc.index_in(column, pa.array(KINDS)).fill_null(-1).to_numpy(zero_copy_only=False)
    before = np.concatenate([[-1], codes[:-1]])
    wrong = np.flatnonzero(
        (codes < 0) | ((codes == 1) & (before < 0)) | ((codes == 2) & (before < 1))
    )
    if len(wrong):
        row = int(wrong[0])
        expected = "sample, then picture, then its instances, in this order"
        raise _damaged(path, row, "kind", column[row].as_py(), expected)
    return np.asarray(codes, np.int64)


def _part(table: pa.Table, chosen: npt.NDArray[np.bool_]) -> _Part:
    return _Part(np.flatnonzero(chosen), pa.array(chosen), table)


def _fault(part: _Part, name: str, rule: Rule) -> tuple[int, object, str] | None:
    """Return the first row that breaks a rule, what it has, and what was expected."""
    kind = part.table.schema.field(name).type
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        column = part.column(name)
        inner = column.flatten()
        owners = np.repeat(np.arange(len(column)), _lengths(column))
        counts = inner.field("count") if pa.types.is_struct(inner.type) else inner
        columns = [inner, inner.field("name"), counts] if counts is not inner else [inner]
        for each in columns:
            if each.null_count:
                row = int(owners[np.flatnonzero(_flags(each.is_null()))[0]])
                return row, column[row].as_py(), "no value missing in it"
        fault = _out_of_bounds(counts, rule)
        if fault is None:
            return None
        row = int(owners[fault[0]])
        return row, column[row].as_py(), fault[2]
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _out_of_bounds(part.column(name), rule)
    return None


def _out_of_bounds(column: pa.Array, rule: Rule) -> tuple[int, object, str] | None:
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return None
    values = column.to_numpy(zero_copy_only=False)
    fine = (values >= rule.low) & (values <= rule.high)
    if rule.unknown:
        fine |= np.isnan(values)
    if fine.all():
        return None
    row = int(np.flatnonzero(~fine)[0])
    bounds = "a finite number" if rule.high == LARGEST else f"{rule.low:g} to {rule.high:g}"
    return row, values[row].item(), bounds


def _lengths(column: pa.Array) -> npt.NDArray[np.int64]:
    if pa.types.is_fixed_size_list(column.type):
        return np.full(len(column), column.type.list_size)
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    return np.asarray(lengths, np.int64)


def _flags(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(array.to_numpy(zero_copy_only=False), bool)


def _check_samples(samples: _Part, pictures: _Part, refs: Sequence[SampleRef], path: Path) -> None:
    """Hold samples and pictures to the plan: names from outside are checked there."""
    ids = samples.column("sample_id").to_pylist()
    if ids != [ref.id for ref in refs]:
        raise RequestError(
            records.DAMAGED,
            f"{path}: sample_id: holds {len(ids)} samples, not the plan's {len(refs)} in their "
            f"order; {shards.DELETE}",
        )
    statuses, codes = (samples.column(name).to_pylist() for name in ("status", "code"))
    names = zip(
        *(pictures.column(name).to_pylist() for name in ("camera", "file_name")), strict=True
    )
    found: list[list[tuple[str, str]]] = [[] for _ in ids]
    owners = np.searchsorted(samples.places, pictures.places) - 1
    for owner, name in zip(owners.tolist(), names, strict=True):
        found[owner].append(name)
    for i, ref in enumerate(refs):
        row = int(samples.places[i])
        if statuses[i] not in shards.STATUSES:
            raise _damaged(path, row, "status", statuses[i], f"one of {shards.STATUSES}")
        left_out = statuses[i] == "quarantined"
        if left_out != bool(codes[i]):
            raise _damaged(path, row, "code", codes[i], "one where a sample is quarantined alone")
        planned = [] if left_out else [(one.camera, one.file_name) for one in ref.pictures]
        if found[i] != planned:
            raise _damaged(path, row, "pictures", found[i], f"the plan's {len(planned)}")


def _check_boxes(pictures: _Part, instances: _Part, path: Path) -> None:
    """Hold sizes to what may be decoded, and boxes to their picture."""
    height, width = (
        pictures.column(name).to_numpy(zero_copy_only=False).astype(np.int64)
        for name in ("height", "width")
    )
    large = np.flatnonzero(height * width > MAX_PIXELS)
    if len(large):
        row = int(large[0])
        found = (int(width[row]), int(height[row]))
        most = f"at most {MAX_PIXELS} pixels"
        raise _damaged(path, int(pictures.places[row]), "width, height", found, most)
    owners = np.searchsorted(pictures.places, instances.places) - 1
    boxes = instances.column("box_xyxy").flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
    edges = np.column_stack([width[owners], height[owners]])
    wrong = (boxes[:, :2] > boxes[:, 2:]).any(axis=1) | (boxes[:, 2:] > edges).any(axis=1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        expected = f"x0 <= x1 and y0 <= y1 in a picture of {tuple(edges[row].tolist())}"
        raise _damaged(path, int(instances.places[row]), "box_xyxy", boxes[row].tolist(), expected)


def masks(rows: Sequence[shards.Row], size_hw: tuple[int, int], path: Path) -> Masks:
    """Return the masks of a picture's instances, checked before anything decodes them.

    Raises:
        RequestError: `run.damaged`.
    """
    boxes = np.array([row["mask_xyxy"] for row in rows], np.int32).reshape(-1, 4)
    found = Masks(boxes, tuple(row["mask_counts"] for row in rows), size_hw)
    try:
        return masks_.checked(found)
    except SampleError as error:
        raise RequestError(
            records.DAMAGED, f"{path}: mask_counts: {error.message}; {shards.DELETE}"
        ) from error
