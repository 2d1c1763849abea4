"""Label sets: what was decided. One folder per setting, named by the hash of the settings."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from perception.core.types import (
    BoxOffset,
    Cuboids,
    Float32,
    Instances,
    PictureLabels,
    PointLabels,
    PointState,
    SampleLabels,
    SampleRef,
    Signals,
    Status,
)
from perception.runs import offsets, records, shards
from perception.runs import rows as rows_
from perception.runs.rows import COMMON, INSTANCE, MOST, PICTURE, SAMPLE, Rule, Rules
from perception.runs.shards import Outcome, Row, Tallies

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

_SHARE = Rule(INSTANCE, unknown=True)
RULES: Rules = {
    **COMMON,
    "points": Rule(SAMPLE, 0, MOST),
    **{
        name: Rule(SAMPLE)
        for name in (
            *("point_states", "point_class_ids", "point_instance_ids", "point_trusts"),
            *("cuboid_instance_ids", "cuboid_values"),
        )
    },
    "ignored": Rule(PICTURE, 0, MOST),
    "offset_right_px": Rule(PICTURE),
    "offset_down_px": Rule(PICTURE),
    "offset_objects": Rule(PICTURE, 0, MOST),
    "offset_alarm": Rule(PICTURE),
    **dict.fromkeys((*_SCALARS, *_SIGNALS), _SHARE),
    "instance_id": Rule(INSTANCE, 1, MOST),
    "prompt_id": Rule(INSTANCE, 1, MOST),
    "class_id": Rule(INSTANCE, 0, MOST),
    "instance_status": Rule(INSTANCE, min(Status), max(Status)),
    "score": Rule(INSTANCE),
    "trust": Rule(INSTANCE, 0, 1, unknown=True),
    "reasons": Rule(INSTANCE),
}


def folder_of(run: Path, label_set: str) -> Path:
    """Return where a run keeps one label set."""
    return run / "labels" / label_set


def sets(run: Path) -> list[Path]:
    """Return the folders of all label sets of a run."""
    return sorted(path for path in (run / "labels").glob("*") if path.is_dir())


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


def read(
    run: Path, label_set: str, index: int, refs: Sequence[SampleRef], class_ids: frozenset[int]
) -> Iterator[tuple[Outcome, SampleLabels]]:
    """Yield the samples of one shard, the quarantined ones without labels.

    Args:
        run: The run folder.
        label_set: Name of the set.
        index: Number of the shard.
        refs: The samples that the plan has there.
        class_ids: Of the run's ontology.

    Raises:
        RequestError: `run.damaged` for bytes that are not those of its hash, values that are not
            what they should be, and samples, pictures or classes that the run does not have.
    """
    folder = folder_of(run, label_set)
    path = folder / f"{shards.shard_name(index)}.parquet"
    found = rows_.read(folder, index, SCHEMA, RULES, refs)
    for row in found:
        if row["kind"] == INSTANCE and row["class_id"] not in class_ids:
            raise records.damaged(
                path, "class_id", row["class_id"], "one of the ontology in run.json", shards.DELETE
            )
    for outcome, pictures, own in shards.grouped(found):
        labels = SampleLabels(
            id=outcome.sample_id,
            pictures=tuple(_picture(picture, instances, path) for picture, instances in pictures),
            points=_points(own, class_ids, path),
            cuboids=_cuboids(own, path),
        )
        yield outcome, labels


def read_outcomes(
    run: Path, label_set: str, index: int, refs: Sequence[SampleRef]
) -> Iterator[Outcome]:
    """Yield how far each sample of one shard came, without its labels; raises as `read`."""
    rows = rows_.read(folder_of(run, label_set), index, SCHEMA, RULES, refs)
    for outcome, _, _ in shards.grouped(rows):
        yield outcome


def no_labels(sample_id: str) -> SampleLabels:
    """Return the labels of a sample that was quarantined."""
    return SampleLabels(id=sample_id, pictures=(), points=NO_POINTS)


def _points(row: Row, class_ids: frozenset[int], path: Path) -> PointLabels:
    columns = [
        _array(row, name, dtype, row["points"], path)
        for name, dtype in (
            ("point_states", "<u1"),
            ("point_class_ids", "<i4"),
            ("point_instance_ids", "<i4"),
            ("point_trusts", "<u1"),
        )
    ]
    points = PointLabels(*columns)
    labelled = points.states == PointState.LABELLED
    known = sum(np.count_nonzero(points.class_ids == number) for number in class_ids)
    if (
        known != np.count_nonzero(labelled)
        or ((points.class_ids == -1) == labelled).any()
        or ((points.instance_ids != 0) & ~labelled).any()
        or points.states.max(initial=0) > max(PointState)
    ):
        raise records.damaged(
            path,
            f"sample {row['sample_id']!r}: points",
            "a state that is none, or a class or an instance that does not go with it",
            "a class of the ontology where a point is labelled, else -1 and instance 0",
            shards.DELETE,
        )
    return points


def _array(row: Row, name: str, dtype: str, count: int, path: Path) -> npt.NDArray[Any]:
    """Return the numbers that a value of bytes holds, `count` of them."""
    found, width = len(row[name]), np.dtype(dtype).itemsize
    if found != width * count:
        where = f"sample {row['sample_id']!r}: {name}"
        expected = f"{width * count}: {count} numbers"
        raise records.damaged(path, where, f"{found} bytes", expected, shards.DELETE)
    return np.frombuffer(row[name], dtype)


def _cuboid_values(cuboids: Cuboids) -> Float32:
    """Return (N, 8): centre, sizes, yaw, confidence."""
    return np.column_stack(
        [cuboids.centres_m, cuboids.sizes_lwh_m, cuboids.yaws_rad, cuboids.confidences]
    ).astype("<f4")


def _cuboids(row: Row, path: Path) -> Cuboids:
    count = len(row["cuboid_instance_ids"]) // 4
    ids = _array(row, "cuboid_instance_ids", "<i4", count, path)
    values = _array(row, "cuboid_values", "<f4", 8 * count, path).reshape(-1, 8)
    if not np.isfinite(values).all() or (values[:, 3:6] < 0).any():
        raise records.damaged(
            path,
            f"sample {row['sample_id']!r}: cuboid_values",
            "values that are not finite, or sizes below 0",
            "neither",
            shards.DELETE,
        )
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


def _picture(picture: Row, rows: list[Row], path: Path) -> PictureLabels:
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
            masks=rows_.masks(rows, size_hw, path),
            signals=Signals(
                **{name: np.array([row[name] for row in rows], np.float32) for name in _SIGNALS}
            ),
        ),
        ignored=shards.counts_from_rows(picture["ignored"]),
        offset=BoxOffset(**{name: picture[f"offset_{name}"] for name in asdict(BoxOffset())}),
    )
