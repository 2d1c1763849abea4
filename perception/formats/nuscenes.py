"""nuScenes-lidarseg and Panoptic nuScenes: one label per point of a key frame's sweep.

    OUT/lidarseg/v1.0-mini/<token>_lidarseg.bin     uint8 per point: the class
    OUT/v1.0-mini/lidarseg.json                     {token, sample_data_token, filename}
    OUT/panoptic/v1.0-mini/<token>_panoptic.npz     `data`, uint16: class * 1000 + instance
    OUT/v1.0-mini/panoptic.json                     the same columns

Source: https://github.com/nutonomy/nuscenes-devkit, docs/instructions_lidarseg.md and
schema_nuscenes.md, nuscenes/utils/data_io.py.

- Files are named by the token of the sweep in `sample_data`, not by that of the sample.
- Class ids are the 32 general ones (17 is vehicle.car), as in the ground truth; 0 is noise, which
  the challenge ignores: points without a label are 0. The challenge's own 1 to 16 are no labels of
  ours: they know no unlabelled point.
- Stuff (ids from 24) has no instances; the instances of things are 1 to 999, unique in the sample.
- `category.json` with its `index` comes with nuScenes-lidarseg itself and is not written.
- Neither file says how many points it is for beyond its own length.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from perception.core.errors import SampleError
from perception.core.ontology import Target
from perception.core.types import ExportSummary, SampleLabels, Status, UInt8
from perception.formats import (
    Outputs,
    PointIds,
    Tally,
    check_ids,
    point_ids,
    read_bytes,
    relative_name,
)
from perception.io.files import write_bytes

UInt16 = npt.NDArray[np.uint16]
LIDARSEG, PANOPTIC = "lidarseg", "panoptic"
# nuscenes/eval/lidarseg/utils.py: the 16 classes of the lidarseg challenge, each with the general
# classes that it holds; points of all others are left out.
CHALLENGE = {
    "barrier": ("movable_object.barrier",),
    "bicycle": ("vehicle.bicycle",),
    "bus": ("vehicle.bus.bendy", "vehicle.bus.rigid"),
    "car": ("vehicle.car",),
    "construction_vehicle": ("vehicle.construction",),
    "motorcycle": ("vehicle.motorcycle",),
    "pedestrian": (
        "human.pedestrian.adult",
        "human.pedestrian.child",
        "human.pedestrian.police_officer",
        "human.pedestrian.construction_worker",
    ),
    "traffic_cone": ("movable_object.trafficcone",),
    "trailer": ("vehicle.trailer",),
    "truck": ("vehicle.truck",),
    "driveable_surface": ("flat.driveable_surface",),
    "other_flat": ("flat.other",),
    "sidewalk": ("flat.sidewalk",),
    "terrain": ("flat.terrain",),
    "manmade": ("static.manmade",),
    "vegetation": ("static.vegetation",),
}
FIRST_CHALLENGE_STUFF = "driveable_surface"
PER_CLASS = 1000
FIRST_STUFF = 24  # nuscenes/panoptic/panoptic_utils.py: STUFF_START_CLASS_ID
MAX_CLASS = 0xFF
MAX_PANOPTIC = 0xFFFF
_MAX_BYTES = 1 << 30
_HEADER_BYTES = 1 << 12  # of an array in an .npz: more than numpy ever writes


def write_lidarseg(
    samples: Iterable[SampleLabels],
    out: Path,
    target: Target,
    *,
    statuses: frozenset[Status],
    version: str,
    token_of: Callable[[str], str],
) -> ExportSummary:
    """Write classes per point for every sample that has a sweep, and the table of the files.

    Args:
        samples: Labels.
        out: The folder.
        target: Class ids to write.
        statuses: Points of instances with these are labelled; the others become 0 and are counted
            as ignored.
        version: Name of the folder of tables ("v1.0-mini").
        token_of: From a sample's id to the token of its sweep in `sample_data`.

    Raises:
        RequestError: `id.overflow`, `export.collision`, `path.outside_root`.
    """
    return _write(samples, out, target, statuses, LIDARSEG, version, token_of)


def write_panoptic(
    samples: Iterable[SampleLabels],
    out: Path,
    target: Target,
    *,
    statuses: frozenset[Status],
    version: str,
    token_of: Callable[[str], str],
) -> ExportSummary:
    """Write classes and instances per point; see `write_lidarseg`."""
    return _write(samples, out, target, statuses, PANOPTIC, version, token_of)


def _write(
    samples: Iterable[SampleLabels],
    out: Path,
    target: Target,
    statuses: frozenset[Status],
    kind: str,
    version: str,
    token_of: Callable[[str], str],
) -> ExportSummary:
    tally, outputs, rows = Tally(), Outputs(out), []
    largest = MAX_CLASS if kind == LIDARSEG else MAX_PANOPTIC // PER_CLASS
    for sample in samples:
        owner = f"sample {sample.id!r}"
        if len(sample.points) == 0:
            tally.left_out["no_sweep"] += 1
            continue
        token = token_of(sample.id)
        name = label_file(kind, version, str(relative_name(token, owner)))
        path = outputs.claim(PurePosixPath(name), owner)
        ids = point_ids(
            sample,
            target,
            statuses,
            tally,
            max_class=largest,
            max_instance=PER_CLASS - 1 if kind == PANOPTIC else np.iinfo(np.int32).max,
        )
        write_bytes(path, to_bytes(kind, ids, sample.id))
        rows.append({"token": token, "sample_data_token": token, "filename": name})
        tally.samples += 1
    table = outputs.claim(PurePosixPath(version) / f"{kind}.json", "the table")
    write_bytes(table, (json.dumps(rows, indent=0) + "\n").encode())
    return tally.summary()


def label_file(kind: str, version: str, token: str) -> str:
    """Return where the labels of a sweep stand, relative to the root."""
    ending = "bin" if kind == LIDARSEG else "npz"
    return f"{kind}/{version}/{token}_{kind}.{ending}"


def to_bytes(kind: str, ids: PointIds, sample_id: str) -> bytes:
    """Return the bytes of a label file.

    Raises:
        RequestError: `id.overflow` for a class and instance that 16 bits do not hold together.
    """
    if kind == LIDARSEG:
        return ids.classes.astype(np.uint8).tobytes()
    things = (ids.classes > 0) & (ids.classes < FIRST_STUFF)
    values = ids.classes * PER_CLASS + np.where(things, ids.instances, 0)
    check_ids(values, MAX_PANOPTIC, "class * 1000 + instance", sample_id)
    stream = io.BytesIO()
    np.savez_compressed(stream, data=values.astype(np.uint16))  # its zip holds no clock
    return stream.getvalue()


def read_lidarseg(path: Path, expected_points: int) -> UInt8:
    """Return (P,) class ids.

    Raises:
        SampleError: `io.not_found`; `label.count_mismatch`, naming both counts.
    """
    data = read_bytes(path, _MAX_BYTES)
    _check_count(path, len(data), expected_points)
    return np.frombuffer(data, np.uint8)


def read_panoptic(path: Path, expected_points: int) -> tuple[UInt16, UInt16]:
    """Return (P,) class ids and (P,) instance ids.

    Raises:
        SampleError: `io.not_found`; `label.invalid` for what is no .npz with uint16 `data`, before
            anything large is unpacked; `label.count_mismatch`, naming both counts.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(read_bytes(path, _MAX_BYTES))) as archive:
            size_bytes = archive.getinfo("data.npy").file_size
            if size_bytes > 2 * expected_points + _HEADER_BYTES:
                _check_count(path, size_bytes // 2, expected_points)
            stream = io.BytesIO(archive.read("data.npy"))
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("not in numpy's format 1.0")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    except (zipfile.BadZipFile, KeyError, ValueError, NotImplementedError, EOFError) as error:
        raise SampleError(
            "label.invalid", f"{path}: is no .npz with an array `data`: {error}"
        ) from error
    if dtype != np.uint16 or len(shape) != 1:
        raise SampleError(
            "label.invalid", f"{path}: `data` is {dtype} of shape {shape}, expected uint16 of (P,)"
        )
    values = np.frombuffer(stream.read(), dtype)
    _check_count(path, len(values), expected_points)
    return values // PER_CLASS, values % PER_CLASS


def _check_count(path: Path, found: int, expected: int) -> None:
    if found != expected:
        raise SampleError(
            "label.count_mismatch",
            f"{path}: {found} labels, expected {expected}, one for each point of the sweep",
        )
