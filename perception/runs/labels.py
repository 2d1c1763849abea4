"""Label sets: what was decided. One folder per setting, named by the hash of the settings."""

from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from perception import masks as masks_
from perception.errors import RequestError
from perception.runs import offsets, shards
from perception.runs.shards import Outcome, Row, Tallies
from perception.types import (
    BoxOffset,
    Cuboids,
    Float32,
    Instances,
    Masks,
    PictureLabels,
    PointLabels,
    PointState,
    SampleLabels,
    Signals,
    Status,
)

NO_POINTS = PointLabels(
    states=np.zeros(0, np.uint8),
    class_ids=np.zeros(0, np.int32),
    instance_ids=np.zeros(0, np.int32),
    trusts=np.zeros(0, np.uint8),
)
_SCALARS = {
    "instance_id": ("instance_ids", np.int32),
    "prompt_id": ("prompt_ids", np.int32),
    "class_id": ("class_ids", np.int32),
    "instance_status": ("statuses", np.uint8),
    "score": ("scores", np.float32),
    "predicted_iou": ("predicted_ious", np.float32),
    "stability": ("stabilities", np.float32),
    "box_iou": ("box_ious", np.float32),
    "outside_share": ("outside_shares", np.float32),
    "trust": ("trusts", np.float32),
    "by_human": ("by_human", np.bool_),
}
_SIGNALS = tuple(field.name for field in fields(Signals))
SCHEMA = pa.schema(
    [
        *shards.SAMPLE_FIELDS,
        ("points", pa.int64()),
        ("point_states", pa.binary()),
        ("point_class_ids", pa.binary()),
        ("point_instance_ids", pa.binary()),
        ("point_trusts", pa.binary()),
        ("cuboid_instance_ids", pa.binary()),
        ("cuboid_values", pa.binary()),
        *shards.PICTURE_FIELDS,
        ("ignored", shards.COUNTS),
        ("offset_right_px", pa.float64()),
        ("offset_down_px", pa.float64()),
        ("offset_objects", pa.int32()),
        ("offset_alarm", pa.bool_()),
        *((name, pa.from_numpy_dtype(dtype)) for name, (_, dtype) in _SCALARS.items()),
        *((name, pa.float32()) for name in _SIGNALS),
        ("reasons", pa.list_(pa.string())),
        ("box_xyxy", pa.list_(pa.float32(), 4)),
        *shards.MASK_FIELDS,
    ]
)


def folder_of(run: Path, label_set: str) -> Path:
    """Return where a run keeps one label set."""
    return run / "labels" / label_set


def write(
    run: Path,
    label_set: str,
    index: int,
    samples: list[tuple[Outcome, SampleLabels]],
    class_names: dict[int, str],
) -> None:
    """Write one shard of a label set.

    Args:
        run: The run folder.
        label_set: Name of the set.
        index: Number of the shard.
        samples: All samples of the shard, the quarantined ones too.
        class_names: Class id to name, for the counts.
    """
    rows: list[Row] = []
    counts: Tallies = {"statuses": {}, "reasons": {}, "classes_accepted": {}, "classes_ignored": {}}
    for outcome, labels in samples:
        shards.add_tallies(counts, _tallies(labels, class_names))
        points = labels.points
        rows.append(
            {
                **shards.sample_row(outcome),
                "points": len(points),
                "point_states": points.states.astype("<u1").tobytes(),
                "point_class_ids": points.class_ids.astype("<i4").tobytes(),
                "point_instance_ids": points.instance_ids.astype("<i4").tobytes(),
                "point_trusts": points.trusts.astype("<u1").tobytes(),
                "cuboid_instance_ids": labels.cuboids.instance_ids.astype("<i4").tobytes(),
                "cuboid_values": _cuboid_values(labels.cuboids).tobytes(),
            }
        )
        for picture in labels.pictures:
            rows.extend(_picture_rows(picture))
    shards.write_shard(folder_of(run, label_set), index, rows, SCHEMA, counts)


def _tallies(labels: SampleLabels, class_names: dict[int, str]) -> Tallies:
    tallies: Tallies = {}
    for picture in labels.pictures:
        instances = picture.instances
        shards.add_tallies(tallies, {"classes_ignored": dict(picture.ignored)})
        shards.add_tallies(tallies, offsets.tally(picture))
        for i, status in enumerate(instances.statuses):
            name = class_names[int(instances.class_ids[i])]
            kinds = {
                reason.split(".")[0] if "_of." in reason else reason
                for reason in instances.reasons[i]
            }
            shards.add_tallies(
                tallies,
                {
                    "statuses": {Status(status).name.lower(): 1},
                    "reasons": dict.fromkeys(kinds, 1),
                    "classes_accepted": {name: 1} if status == Status.ACCEPTED else {},
                },
            )
    points = labels.points.states
    if len(points):
        tallies["points"] = {
            state.name.lower(): int(np.count_nonzero(points == state)) for state in PointState
        }
    return tallies


def read(run: Path, label_set: str, index: int) -> Iterator[tuple[Outcome, SampleLabels]]:
    """Yield the samples of one shard, the quarantined ones without labels."""
    folder = folder_of(run, label_set)
    for outcome, pictures, own in shards.grouped(shards.read_shard(folder, index, SCHEMA)):
        labels = SampleLabels(
            id=outcome.sample_id,
            pictures=tuple(_picture(picture, instances) for picture, instances in pictures),
            points=_points(own, folder),
            cuboids=_cuboids(own, folder),
        )
        yield outcome, labels


def read_outcomes(run: Path, label_set: str, index: int) -> Iterator[Outcome]:
    """Yield how far each sample of one shard came, without its labels."""
    rows = shards.read_shard(folder_of(run, label_set), index, SCHEMA)
    for outcome, _, _ in shards.grouped(rows):
        yield outcome


def no_labels(sample_id: str) -> SampleLabels:
    """Return the labels of a sample that was quarantined."""
    return SampleLabels(id=sample_id, pictures=(), points=NO_POINTS)


def _points(row: Row, folder: Path) -> PointLabels:
    columns = [
        np.frombuffer(row[name], dtype)
        for name, dtype in (
            ("point_states", "<u1"),
            ("point_class_ids", "<i4"),
            ("point_instance_ids", "<i4"),
            ("point_trusts", "<u1"),
        )
    ]
    if any(len(column) != row["points"] for column in columns):
        raise RequestError(
            "run.damaged", f"{folder}: sample {row['sample_id']} states {row['points']} points"
        )
    return PointLabels(*columns)


def _cuboid_values(cuboids: Cuboids) -> Float32:
    """Return (N, 8): centre, sizes, yaw, confidence."""
    return np.column_stack(
        [cuboids.centres_m, cuboids.sizes_lwh_m, cuboids.yaws_rad, cuboids.confidences]
    ).astype("<f4")


def _cuboids(row: Row, folder: Path) -> Cuboids:
    ids = np.frombuffer(row["cuboid_instance_ids"], "<i4")
    values = np.frombuffer(row["cuboid_values"], "<f4")
    if len(values) != 8 * len(ids):
        raise RequestError(
            "run.damaged",
            f"{folder}: sample {row['sample_id']} has {len(ids)} boxes of {len(values)} numbers, "
            "expected 8 each",
        )
    values = values.reshape(-1, 8)
    return Cuboids(ids, values[:, :3], values[:, 3:6], values[:, 6], values[:, 7])


def _picture_rows(picture: PictureLabels) -> Iterator[Row]:
    yield {
        "kind": "picture",
        "camera": picture.camera,
        "file_name": picture.file_name,
        "height": picture.size_hw[0],
        "width": picture.size_hw[1],
        "ignored": shards.counts_to_rows(picture.ignored),
        **{f"offset_{name}": value for name, value in asdict(picture.offset).items()},
    }
    instances = picture.instances
    for i in range(len(instances)):
        yield {
            "kind": "instance",
            **{name: getattr(instances, field)[i].item() for name, (field, _) in _SCALARS.items()},
            **{name: float(getattr(instances.signals, name)[i]) for name in _SIGNALS},
            "reasons": list(instances.reasons[i]),
            "box_xyxy": instances.boxes_xyxy[i].tolist(),
            "mask_xyxy": instances.masks.boxes_xyxy[i].tolist(),
            "mask_counts": instances.masks.counts[i],
        }


def _picture(picture: Row, rows: list[Row]) -> PictureLabels:
    size_hw = (picture["height"], picture["width"])
    scalars: dict[str, Any] = {
        field: np.array([row[name] for row in rows], dtype)
        for name, (field, dtype) in _SCALARS.items()
    }
    return PictureLabels(
        camera=picture["camera"],
        file_name=picture["file_name"],
        size_hw=size_hw,
        instances=Instances(
            **scalars,
            reasons=tuple(tuple(row["reasons"]) for row in rows),
            boxes_xyxy=np.array([row["box_xyxy"] for row in rows], np.float32).reshape(-1, 4),
            masks=masks_.checked(
                Masks(
                    boxes_xyxy=np.array([r["mask_xyxy"] for r in rows], np.int32).reshape(-1, 4),
                    counts=tuple(row["mask_counts"] for row in rows),
                    size_hw=size_hw,
                )
            ),
            signals=Signals(
                **{name: np.array([row[name] for row in rows], np.float32) for name in _SIGNALS}
            ),
        ),
        ignored=shards.counts_from_rows(picture["ignored"]),
        offset=BoxOffset(**{name: picture[f"offset_{name}"] for name in asdict(BoxOffset())}),
    )
