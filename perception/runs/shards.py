"""One shard on disk: a Parquet file, and beside it a small JSON file that says it is whole.

Both evidence and label sets are shards. The JSON file (size, sha256, counts, and a sha256 of these)
is written last: a shard exists when that file does and agrees with the Parquet file. Rows are flat
and of three kinds, in order: a "sample" row with the status, then for each image a "picture" row
and its "instance" rows. Plain types only: nothing in a shard can carry code.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, TypeAdapter

from perception.core.config import Settings
from perception.core.errors import RequestError, SampleError
from perception.io.files import opened, write_bytes
from perception.io.schemas import shown
from perception.runs import records

STATUSES = ("ok", "empty", "quarantined")
# Of one shard, unpacked: no run of ours comes near. pyarrow allocates what the file states.
MAX_BYTES = 1 << 33
MAX_ROWS = 1 << 24
AGAIN = records.AGAIN
DELETE = "delete it and the JSON file beside it, then `label` makes both again"


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
Count = Annotated[int, Field(ge=0, lt=1 << 53)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Tallies = dict[str, dict[str, int]]  # group -> name -> count


class Samples(Settings):
    """Samples of a shard by status."""

    ok: Count
    empty: Count
    quarantined: Count


class Stated(Settings):
    """What a shard's JSON file says.

    Attributes:
        bytes: Size of the Parquet file.
        sha256: Of it.
        samples: By status.
        counts: What `run.json` sums over the shards.
        own_sha256: Of the canonical form of all others: a flipped digit of a count must show too.
    """

    bytes: Count
    sha256: Digest
    samples: Samples
    counts: dict[str, dict[str, Annotated[int, Field(gt=-(1 << 53), lt=1 << 53)]]]
    own_sha256: Digest

    def digest(self) -> str:
        """Return what `own_sha256` must be."""
        stated = self.model_dump(mode="json", exclude={"own_sha256"})
        return records.sha256(records.to_json(stated))


_STATED = TypeAdapter(Stated)


def add_tallies(total: Tallies, more: Tallies) -> None:
    """Add counts to `total`, in place."""
    for group, names in more.items():
        bucket = total.setdefault(group, {})
        for name, count in names.items():
            bucket[name] = bucket.get(name, 0) + count


def stated_counts(folder: Path, index: int) -> tuple[dict[str, int], Tallies]:
    """Return the samples by status and the tallies that a shard's JSON file states.

    Raises:
        RequestError: `run.damaged`.
    """
    found = read_stated(folder, index)
    return found.samples.model_dump(), found.counts


def read_stated(folder: Path, index: int) -> Stated:
    """Return what a shard's JSON file states of it.

    Raises:
        RequestError: `run.damaged` if it is missing or damaged.
    """
    path = folder / f"{shard_name(index)}.json"
    found = records.read(path, _STATED)
    if found.own_sha256 != found.digest():
        raise records.damaged(
            path, "own_sha256", found.own_sha256, f"{found.digest()}, as its values give", AGAIN
        )
    return found


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
        "samples": {name: statuses.count(name) for name in STATUSES},
        "counts": counts,
    }
    own = records.sha256(records.to_json(stated))
    records.write_json(folder / f"{shard_name(index)}.json", {**stated, "own_sha256": own})


def shard_is_whole(folder: Path, index: int) -> bool:
    """Tell whether a shard exists and agrees with its JSON file; anything else is redone."""
    found = stated(folder, index)
    return found is not None and _read_checked(folder, index, found) is not None


def stated(folder: Path, index: int) -> Stated | None:
    """Return what a shard's JSON file states of it; None if it is missing or damaged."""
    try:
        return read_stated(folder, index)
    except RequestError:
        return None


def _read_checked(folder: Path, index: int, found: Stated) -> bytes | None:
    """Return the bytes of a Parquet file; None if they are not those that `found` states."""
    try:
        with opened(folder / f"{shard_name(index)}.parquet") as stream:
            if os.fstat(stream.fileno()).st_size != found.bytes:
                return None
            data = stream.read()
    except SampleError:
        return None
    return data if records.sha256(data) == found.sha256 else None


def read_table(folder: Path, index: int, schema: pa.Schema) -> pa.Table:
    """Return a shard as a table; its rows are not checked, see `rows`.

    Raises:
        RequestError: `run.damaged` if the shard is missing, torn or of another schema.
    """
    path = folder / f"{shard_name(index)}.parquet"
    found = read_stated(folder, index)
    data = _read_checked(folder, index, found)
    if data is None:
        raise RequestError(
            records.DAMAGED, f"{path}: missing or not what its JSON file says; {AGAIN}"
        )
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        _refuse_other(file.schema_arrow, schema, path)
        _refuse_large(file.metadata, path)
        table = file.read()
        table.validate(full=True)  # text that is no UTF-8, offsets that lead out
    except (pa.ArrowException, OSError, ValueError) as error:
        line = " ".join(str(error).split())
        raise RequestError(
            records.DAMAGED, f"{path}: cannot be read as Parquet: {shown(line)}; {DELETE}"
        ) from error
    return table


def _refuse_other(found: pa.Schema, expected: pa.Schema, path: Path) -> None:
    if found.remove_metadata() == expected:
        return
    columns = ", ".join(sorted({*found.names} ^ {*expected.names})) or "types"
    raise RequestError(
        records.DAMAGED,
        f"{path}: written by another version of this package (columns that differ: "
        f"{columns[:300]}); label again into another folder",
    )


def _refuse_large(stated: pq.FileMetaData, path: Path) -> None:
    size = sum(stated.row_group(i).total_byte_size for i in range(stated.num_row_groups))
    for field, found, most in (("rows", stated.num_rows, MAX_ROWS), ("size", size, MAX_BYTES)):
        if not 0 <= found <= most:
            raise records.damaged(path, field, found, f"at most {most}", DELETE)


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
