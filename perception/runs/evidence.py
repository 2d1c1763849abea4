"""Evidence shards: what the models saw; what they saw of a sample is never seen again.

A shard that was left half-way (a signal, a sample that was mended) has what was seen so far in
`evidence/partial`, until it is whole.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from perception.core.types import (
    Detections,
    Evidence,
    ImageStatistics,
    LogitCrops,
    SampleRef,
    Segments,
)
from perception.runs import rows as rows_
from perception.runs import sanity, shards
from perception.runs.rows import COMMON, INSTANCE, MOST, PICTURE, Rule, Rules
from perception.runs.shards import Outcome, Row, Tallies

_STATISTICS = {"brightness": "brightness", "contrast": "contrasts", "second_iou": "second_ious"}
SCHEMA = pa.schema(
    [
        *shards.SAMPLE_FIELDS,
        *shards.PICTURE_FIELDS,
        ("dropped", shards.COUNTS),
        ("mended", shards.COUNTS),
        ("changes", pa.list_(pa.string())),
        ("class_name", pa.string()),
        ("score", pa.float32()),
        ("box_xyxy", pa.list_(pa.float32(), 4)),
        ("predicted_iou", pa.float32()),
        ("stability", pa.float32()),
        *shards.MASK_FIELDS,
        ("cells_xyxy", pa.list_(pa.int32(), 4)),
        ("cells_origin_xy", pa.list_(pa.float32(), 2)),
        ("cells_per_px_xy", pa.list_(pa.float64(), 2)),
        ("logits", pa.binary()),
        ("wobble", pa.float32()),
        ("consensus_iou", pa.float32()),
        *((name, pa.float32()) for name in _STATISTICS),
    ]
)

_SHARE = Rule(INSTANCE, unknown=True)
RULES: Rules = {
    **COMMON,
    "dropped": Rule(PICTURE, 0, MOST),
    "mended": Rule(PICTURE, 0, MOST),
    "changes": Rule(PICTURE),
    "class_name": Rule(INSTANCE),
    "score": Rule(INSTANCE),
    "cells_xyxy": Rule(INSTANCE, 0, MOST),
    "cells_origin_xy": Rule(INSTANCE),
    "cells_per_px_xy": Rule(INSTANCE),
    "logits": Rule(INSTANCE),
    **{
        name: _SHARE
        for name in ("predicted_iou", "stability", "wobble", "consensus_iou", *_STATISTICS)
    },
}


def folder_of(run: Path) -> Path:
    """Return where a run keeps its evidence."""
    return run / "evidence"


def partial_folder_of(run: Path) -> Path:
    """Return where a run keeps what was seen of shards that were left half-way."""
    return folder_of(run) / "partial"


def write(
    run: Path,
    index: int,
    samples: list[tuple[Outcome, tuple[Evidence, ...]]],
    *,
    partial: bool = False,
) -> None:
    """Write one shard: all its samples, the quarantined ones too; or what was seen of it."""
    rows: list[Row] = []
    counts: Tallies = {"boxes_dropped": {}, "boxes_mended": {}}
    for outcome, pictures in samples:
        rows.append(shards.sample_row(outcome))
        for evidence in pictures:
            rows.extend(_picture_rows(evidence))
            dropped, mended = dict(evidence.dropped), dict(evidence.detections.mended)
            shards.add_tallies(counts, {"boxes_dropped": dropped, "boxes_mended": mended})
            shards.add_tallies(counts, sanity.tally(evidence))
            if evidence.changes:
                shards.add_tallies(counts, {"pictures_changed": Counter(evidence.changes)})
    folder = partial_folder_of(run) if partial else folder_of(run)
    shards.write_shard(folder, index, rows, SCHEMA, counts)


def read(
    run: Path, index: int, refs: Sequence[SampleRef]
) -> Iterator[tuple[Outcome, tuple[Evidence, ...]]]:
    """Yield the samples of one shard.

    Args:
        run: The run folder.
        index: Number of the shard.
        refs: The samples that the plan has there.

    Raises:
        RequestError: `run.damaged` for bytes that are not those of its hash, values that are not
            what they should be, and samples or pictures that are not the plan's.
    """
    yield from _read(folder_of(run), index, refs)


def _read(
    folder: Path, index: int, refs: Sequence[SampleRef]
) -> Iterator[tuple[Outcome, tuple[Evidence, ...]]]:
    path = folder / f"{shards.shard_name(index)}.parquet"
    found = rows_.read(folder, index, SCHEMA, RULES, refs)
    for outcome, pictures, _ in shards.grouped(found):
        yield outcome, tuple(_evidence(picture, instances, path) for picture, instances in pictures)


def read_partial(
    run: Path, index: int, refs: Sequence[SampleRef]
) -> dict[str, tuple[Outcome, tuple[Evidence, ...]]]:
    """Return what was seen of a shard that was left half-way, by sample; nothing where it is torn.

    Args:
        run: The run folder.
        index: Number of the shard.
        refs: The samples that the plan has there.

    Raises:
        RequestError: as `read`.
    """
    folder = partial_folder_of(run)
    if not shards.shard_is_whole(folder, index):
        return {}
    table = shards.read_table(folder, index, SCHEMA)
    kinds, ids = table.column("kind").to_pylist(), table.column("sample_id").to_pylist()
    named = {name for kind, name in zip(kinds, ids, strict=True) if kind == "sample"}
    seen = [ref for ref in refs if ref.id in named]
    return {outcome.sample_id: (outcome, found) for outcome, found in _read(folder, index, seen)}


def _picture_rows(evidence: Evidence) -> Iterator[Row]:
    yield {
        "kind": "picture",
        "camera": evidence.camera,
        "file_name": evidence.file_name,
        "height": evidence.size_hw[0],
        "width": evidence.size_hw[1],
        "dropped": shards.counts_to_rows(evidence.dropped),
        "mended": shards.counts_to_rows(evidence.detections.mended),
        "changes": list(evidence.changes),
    }
    found, segments, logits = evidence.detections, evidence.segments, evidence.segments.logits
    for i in range(len(found)):
        yield {
            "kind": "instance",
            "class_name": found.class_names[found.class_ids[i]],
            "score": float(found.scores[i]),
            "box_xyxy": found.boxes_xyxy[i].tolist(),
            "predicted_iou": float(segments.predicted_ious[i]),
            "stability": float(segments.stabilities[i]),
            "mask_xyxy": segments.masks.boxes_xyxy[i].tolist(),
            "mask_counts": segments.masks.counts[i],
            "cells_xyxy": logits.cells_xyxy[i].tolist(),
            "cells_origin_xy": logits.origins_xy[i].tolist(),
            "cells_per_px_xy": logits.cells_per_px_xy[i].tolist(),
            "logits": logits.data[i],
            "wobble": float(segments.wobbles[i]),
            "consensus_iou": float(segments.consensus_ious[i]),
            **{
                name: float(getattr(evidence.statistics, field)[i])
                for name, field in _STATISTICS.items()
            },
        }


def _evidence(picture: Row, rows: list[Row], path: Path) -> Evidence:
    size_hw = (picture["height"], picture["width"])
    names = tuple(sorted({row["class_name"] for row in rows}))
    return Evidence(
        camera=picture["camera"],
        file_name=picture["file_name"],
        size_hw=size_hw,
        detections=Detections(
            boxes_xyxy=_column(rows, "box_xyxy", np.float32).reshape(-1, 4),
            scores=_column(rows, "score", np.float32),
            class_ids=np.array([names.index(row["class_name"]) for row in rows], np.int32),
            class_names=names,
            mended=shards.counts_from_rows(picture["mended"]),
        ),
        segments=Segments(
            masks=rows_.masks(rows, size_hw, path),
            predicted_ious=_column(rows, "predicted_iou", np.float32),
            stabilities=_column(rows, "stability", np.float32),
            logits=LogitCrops(
                cells_xyxy=_column(rows, "cells_xyxy", np.int32).reshape(-1, 4),
                data=tuple(row["logits"] for row in rows),
                origins_xy=_column(rows, "cells_origin_xy", np.float32).reshape(-1, 2),
                cells_per_px_xy=_column(rows, "cells_per_px_xy", np.float64).reshape(-1, 2),
            ),
            wobbles=_column(rows, "wobble", np.float32),
            consensus_ious=_column(rows, "consensus_iou", np.float32),
        ),
        statistics=ImageStatistics(
            **{field: _column(rows, name, np.float32) for name, field in _STATISTICS.items()}
        ),
        dropped=shards.counts_from_rows(picture["dropped"]),
        changes=tuple(picture["changes"]),
    )


def _column(rows: list[Row], name: str, dtype: type) -> npt.NDArray[Any]:
    return np.array([row[name] for row in rows], dtype)
