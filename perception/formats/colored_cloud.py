"""Coloured point clouds: PLY and PCD, binary, one vertex per point of the sweep, in its order.

Sources: http://paulbourke.net/dataformats/ply, https://pointclouds.org/documentation/tutorials/
pcd_file_format.html.

- PLY: float x, y, z; uchar red, green, blue; uchar state (0 unknown, 1 background, 2 labelled);
  int class and instance; uchar trust, 255ths, 0 unless labelled. Readers that know only places
  and colours, as Open3D, skip the others.
- PCD 0.7: the same; `rgb` is one uint32, 0xRRGGBB, where many files have the bits of a float.
- Points that are not finite stay, so that rows are those of the sweep. Little endian.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from perception.core.errors import SampleError
from perception.core.types import Float32, Int32, RowAligned, UInt8
from perception.formats import read_bytes
from perception.io.files import write_bytes

_MAX_BYTES = 1 << 31
_MAX_HEADER = 1 << 12
PLY_ROW = np.dtype(
    [
        *((name, "<f4") for name in "xyz"),
        *((name, "u1") for name in ("red", "green", "blue", "state")),
        ("class", "<i4"),
        ("instance", "<i4"),
        ("trust", "u1"),
    ]
)
PCD_ROW = np.dtype(
    [
        *((name, "<f4") for name in "xyz"),
        *(("rgb", "<u4"), ("state", "u1"), ("class", "<i4"), ("instance", "<i4"), ("trust", "u1")),
    ]
)
_PLY_TYPES = {"<f4": "float", "|u1": "uchar", "<i4": "int"}


@dataclass(frozen=True, eq=False, repr=False)
class ColoredCloud(RowAligned):
    """P points with colours and labels.

    Attributes:
        points_lidar: (P, 3) float32 metres.
        rgb: (P, 3) uint8.
        states: (P,) uint8, `PointState`.
        class_ids: (P,) int32 ids of the format; 0 where a point is no label.
        instance_ids: (P,) int32; 0 where a point is no label.
        trusts: (P,) uint8, 255ths; 0 where a point is no label.
    """

    points_lidar: Float32
    rgb: UInt8
    states: UInt8
    class_ids: Int32
    instance_ids: Int32
    trusts: UInt8


def write(cloud: ColoredCloud, path: Path) -> None:
    """Write a .ply or .pcd file, by the ending of its name."""
    row, head = (PLY_ROW, _ply_header) if path.suffix == ".ply" else (PCD_ROW, _pcd_header)
    table = np.zeros(len(cloud), row)
    for axis, name in enumerate("xyz"):
        table[name] = cloud.points_lidar[:, axis]
    if row is PLY_ROW:
        for channel, name in enumerate(("red", "green", "blue")):
            table[name] = cloud.rgb[:, channel]
    else:
        red, green, blue = cloud.rgb.astype(np.uint32).T
        table["rgb"] = red << 16 | green << 8 | blue
    table["state"], table["class"] = cloud.states, cloud.class_ids
    table["instance"], table["trust"] = cloud.instance_ids, cloud.trusts
    write_bytes(path, head(len(cloud)).encode() + table.tobytes())


def _ply_header(count: int) -> str:
    columns = (f"property {_PLY_TYPES[PLY_ROW[name].str]} {name}\n" for name in PLY_ROW.names or ())
    return (
        f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\n"
        f"{''.join(columns)}end_header\n"
    )


def _pcd_header(count: int) -> str:
    columns: list[tuple[str, np.dtype[np.void]]] = [
        (name, PCD_ROW[name]) for name in PCD_ROW.names or ()
    ]
    kinds = {"f": "F", "u": "U", "i": "I"}
    lines: Mapping[str, str] = {
        "VERSION": "0.7",
        "FIELDS": " ".join(name for name, _ in columns),
        "SIZE": " ".join(str(kind.itemsize) for _, kind in columns),
        "TYPE": " ".join(kinds[kind.kind] for _, kind in columns),
        "COUNT": " ".join("1" for _ in columns),
        "WIDTH": str(count),
        "HEIGHT": "1",
        "VIEWPOINT": "0 0 0 1 0 0 0",
        "POINTS": str(count),
        "DATA": "binary",
    }
    return "".join(f"{key} {value}\n" for key, value in lines.items())


def read(path: Path) -> ColoredCloud:
    """Read a file that `write` wrote.

    Raises:
        SampleError: `io.not_found`; `label.invalid` for another header, or a table that ends early.
    """
    data = read_bytes(path, _MAX_BYTES)
    is_ply = path.suffix == ".ply"
    row, head = (PLY_ROW, _ply_header) if is_ply else (PCD_ROW, _pcd_header)
    last = b"end_header\n" if is_ply else b"DATA binary\n"
    end = data.find(last, 0, _MAX_HEADER) + len(last)
    count, rest = divmod(len(data) - end, row.itemsize)
    if rest or count < 0 or data[:end] != head(count).encode():
        raise SampleError(
            "label.invalid", f"{path}: is no {path.suffix} file of {count} points as we write them"
        )
    table = np.frombuffer(data, row, offset=end)
    if is_ply:
        rgb = np.stack([table[name] for name in ("red", "green", "blue")], axis=1)
    else:
        rgb = np.stack([table["rgb"] >> shift & 0xFF for shift in (16, 8, 0)], axis=1)
    places: npt.NDArray[np.float32] = np.stack([table[name] for name in "xyz"], axis=1)
    return ColoredCloud(
        points_lidar=places,
        rgb=rgb.astype(np.uint8),
        states=table["state"].copy(),
        class_ids=table["class"].astype(np.int32),
        instance_ids=table["instance"].astype(np.int32),
        trusts=table["trust"].copy(),
    )
