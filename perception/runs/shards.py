"""One shard on disk: a Parquet file, and beside it a small JSON file that says it is whole.

Both evidence and label sets are shards. The JSON file (size, sha256, counts, and a sha256 of these)
is written last: a shard exists when that file does and agrees with the Parquet file. Rows are flat
and of three kinds, in order: a "sample" row with the status, then for each image a "picture" row
and its "instance" rows. Plain types only: nothing in a shard can carry code.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from perception.errors import RequestError
from perception.files import write_bytes
from perception.runs import records


@dataclass(frozen=True)
class Outcome:
    """How far a sample came: its status row.

    Attributes:
        sample_id: As in `Sample`.
        status: "ok", "empty" (processed, nothing found) or "quarantined".
        stage: "load", "observe", "decide" or "process"; "" unless quarantined.
        code: Reason code; "" unless quarantined.
        message: For people; "" unless quarantined.
    """

    sample_id: str
    status: str
    stage: str = ""
    code: str = ""
    message: str = ""


Row = dict[str, Any]
Tallies = dict[str, dict[str, int]]  # group -> name -> count


def add_tallies(total: Tallies, more: Tallies) -> None:
    """Add counts to `total`, in place."""
    for group, names in more.items():
        bucket = total.setdefault(group, {})
        for name, count in names.items():
            bucket[name] = bucket.get(name, 0) + count


def stated_counts(folder: Path, index: int) -> tuple[dict[str, int], Tallies]:
    """Return the samples by status and the tallies that a shard's JSON file states."""
    stated = records.read_json(folder / f"{shard_name(index)}.json")
    return stated["samples"], stated["counts"]


def shard_name(index: int) -> str:
    """Return the file stem of a shard."""
    return f"{index:06d}"


def write_shard(
    folder: Path, index: int, rows: list[Row], schema: pa.Schema, counts: Tallies
) -> None:
    """Write the Parquet file, then its JSON file.

    Args:
        folder: The evidence folder or a label set.
        index: Number of the shard.
        rows: Flat rows of the three kinds.
        schema: Of the Parquet file.
        counts: What `run.json` sums over the shards, by group and name.
    """
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist(rows, schema=schema)
    pq.write_table(table, sink, compression="zstd", compression_level=3)
    data: bytes = sink.getvalue().to_pybytes()
    statuses = [row["status"] for row in rows if row["kind"] == "sample"]
    write_bytes(folder / f"{shard_name(index)}.parquet", data)
    stated = {
        "bytes": len(data),
        "sha256": records.sha256(data),
        "samples": {name: statuses.count(name) for name in ("ok", "empty", "quarantined")},
        "counts": counts,
    }
    own = records.sha256(records.to_json(stated))  # a flipped digit of a count must show too
    records.write_json(folder / f"{shard_name(index)}.json", {**stated, "own_sha256": own})


def shard_is_whole(folder: Path, index: int) -> bool:
    """Tell whether a shard exists and agrees with its JSON file; anything else is redone."""
    return _read_checked(folder, index) is not None


def stated(folder: Path, index: int) -> dict[str, Any] | None:
    """Return what a shard's JSON file states of it; None if it is missing or damaged."""
    try:
        stated = records.read_json(folder / f"{shard_name(index)}.json")
        own = stated.pop("own_sha256", "") if isinstance(stated, dict) else ""
        return stated if own == records.sha256(records.to_json(stated)) else None
    except (RequestError, ValueError):  # ValueError: a NaN, half a surrogate
        return None


def _read_checked(folder: Path, index: int) -> bytes | None:
    data_path = folder / f"{shard_name(index)}.parquet"
    found = stated(folder, index)
    if found is None:
        return None
    try:
        if data_path.stat().st_size != found["bytes"]:
            return None
        data = data_path.read_bytes()
    except FileNotFoundError:
        return None
    return data if records.sha256(data) == found["sha256"] else None


def read_shard(folder: Path, index: int, schema: pa.Schema) -> list[Row]:
    """Return the rows of a shard.

    Raises:
        RequestError: `run.damaged` if the shard is missing, torn or of another schema.
    """
    data = _read_checked(folder, index)
    path = folder / f"{shard_name(index)}.parquet"
    if data is None:
        raise RequestError(
            "run.damaged", f"{path}: missing or not what its JSON file says; run `label` again"
        )
    table = pq.read_table(pa.BufferReader(data))
    if table.schema.remove_metadata() != schema:
        found, expected = set(table.schema.names), set(schema.names)
        columns = ", ".join(sorted(found ^ expected)) or "types"
        raise RequestError(
            "run.damaged",
            f"{path}: written by another version of this package (columns that differ: {columns}); "
            "label again into another folder",
        )
    rows: list[Row] = table.to_pylist()
    return rows


def grouped(rows: list[Row]) -> Iterator[tuple[Outcome, list[tuple[Row, list[Row]]], Row]]:
    """Yield each sample: its outcome, its pictures with their instances, its own row."""
    starts = [i for i, row in enumerate(rows) if row["kind"] == "sample"]
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        own = rows[start]
        pictures: list[tuple[Row, list[Row]]] = []
        for row in rows[start + 1 : end]:
            if row["kind"] == "picture":
                pictures.append((row, []))
            else:
                pictures[-1][1].append(row)
        outcome = Outcome(
            own["sample_id"], own["status"], own["stage"], own["code"], own["message"]
        )
        yield outcome, pictures, own


SAMPLE_FIELDS = [
    ("kind", pa.string()),
    ("sample_id", pa.string()),
    ("status", pa.string()),
    ("stage", pa.string()),
    ("code", pa.string()),
    ("message", pa.string()),
]
PICTURE_FIELDS = [
    ("camera", pa.string()),
    ("file_name", pa.string()),
    ("height", pa.int32()),
    ("width", pa.int32()),
]
MASK_FIELDS = [
    ("mask_xyxy", pa.list_(pa.int32(), 4)),
    ("mask_counts", pa.binary()),
]
COUNTS = pa.list_(pa.struct([("name", pa.string()), ("count", pa.int32())]))


def sample_row(outcome: Outcome) -> Row:
    """Return a sample's status row."""
    return {
        "kind": "sample",
        "sample_id": outcome.sample_id,
        "status": outcome.status,
        "stage": outcome.stage,
        "code": outcome.code,
        "message": outcome.message,
    }


def counts_to_rows(counts: tuple[tuple[str, int], ...]) -> list[Row]:
    """Return named counts as a Parquet value."""
    return [{"name": name, "count": count} for name, count in counts]


def counts_from_rows(rows: list[Row]) -> tuple[tuple[str, int], ...]:
    """Return named counts from a Parquet value."""
    return tuple((row["name"], row["count"]) for row in rows)
