"""PCD, the Point Cloud Library's files: ascii, binary, and binary_compressed by LZF.

Source: https://pointclouds.org/documentation/tutorials/pcd_file_format.html.

- Fields have SIZE bytes, a TYPE of F, I or U, and COUNT values; `_` is padding, and may have COUNT
  0. Files of before 0.6 say COLUMNS in place of FIELDS.
- Compressed, the fields come one after the other, each with the values of all points.
- VIEWPOINT says where the sensor was; the points stand in its frame as they are.
- A cloud of HEIGHT over 1 is an image of points, row by row; NaN where nothing was seen.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from perception.core.errors import SampleError
from perception.io.clouds.lzf import decompress

_MAX_HEADER = 1 << 16
_MAX_BYTES = 1 << 31  # of the points, unpacked
_TYPES = {"F": (4, 8), "I": (1, 2, 4, 8), "U": (1, 2, 4, 8)}
_AXES = ("x", "y", "z")


@dataclass(frozen=True)
class _Field:
    """A field: its name, one value's type, how many values, and bytes before it in a point."""

    name: str
    kind: np.dtype[np.generic]
    count: int
    offset: int

    @property
    def size_bytes(self) -> int:
        return self.kind.itemsize * self.count


def begins(data: bytes) -> bool:
    """Tell whether a file begins as a PCD."""
    return data.startswith((b"# .PCD", b"#.PCD", b"VERSION "))


def read(data: bytes, path: Path) -> npt.NDArray[np.floating]:
    """Return (P, 3) places.

    Raises:
        SampleError: `cloud.malformed`.
    """
    header, body = _header(data, path)
    fields = _fields(header, path)
    count = _count(header, path)
    places = {field.name: field for field in fields if field.name in _AXES}
    for axis in _AXES:
        if axis not in places or places[axis].count != 1:
            raise _malformed(
                path, f"FIELDS {header['FIELDS']}: expected x, y and z, one value each"
            )
    point_bytes = sum(field.size_bytes for field in fields)
    if count * point_bytes > _MAX_BYTES:
        raise _malformed(path, f"POINTS {count} of {point_bytes} bytes, at most {_MAX_BYTES}")
    columns = [places[axis] for axis in _AXES]
    how = header["DATA"].strip().lower()
    if how == "ascii":
        return _ascii(body, fields, columns, count, path)
    if how == "binary":
        return _binary(body, columns, count, point_bytes, path)
    if how == "binary_compressed":
        return _compressed(body, columns, count, point_bytes, path)
    raise _malformed(path, f"DATA {how:.20}, expected ascii, binary or binary_compressed")


def _header(data: bytes, path: Path) -> tuple[dict[str, str], bytes]:
    """Return the header by its keys, and what follows it."""
    header: dict[str, str] = {}
    at = 0
    while at < min(len(data), _MAX_HEADER):
        end = data.find(b"\n", at, at + _MAX_HEADER)
        line = data[at : end if end >= 0 else at + 200]
        at = end + 1 if end >= 0 else len(data)
        if not line.isascii():
            break
        key, _, rest = line.decode("ascii").strip().partition(" ")
        if key and not key.startswith("#"):
            header["FIELDS" if key == "COLUMNS" else key] = rest.strip()
        if key == "DATA":
            return header, data[at:]
    raise _malformed(path, "begins as a PCD, but its header has no line DATA")


def _fields(header: dict[str, str], path: Path) -> tuple[_Field, ...]:
    for key in ("FIELDS", "SIZE", "TYPE"):
        if key not in header:
            raise _malformed(path, f"its header has no {key}")
    names = header["FIELDS"].split()
    sizes, types = header["SIZE"].split(), header["TYPE"].split()
    counts = header.get("COUNT", " ".join("1" for _ in names)).split()
    if not len(names) == len(sizes) == len(types) == len(counts):
        raise _malformed(
            path,
            f"{len(names)} FIELDS, {len(sizes)} SIZE, {len(types)} TYPE, {len(counts)} COUNT, "
            "expected as many of each",
        )
    fields, offset = list[_Field](), 0
    for name, size, kind, number in zip(names, sizes, types, counts, strict=True):
        if kind not in _TYPES or size not in map(str, _TYPES[kind]) or not _is_count(number):
            raise _malformed(
                path,
                f"field {name}: SIZE {size} TYPE {kind} COUNT {number}, expected F of 4 or 8 "
                "bytes, I or U of 1, 2, 4 or 8",
            )
        field = _Field(name, np.dtype(f"<{kind.lower()}{size}"), int(number), offset)
        fields.append(field)
        offset += field.size_bytes
    return tuple(fields)


def _count(header: dict[str, str], path: Path) -> int:
    width, height = header.get("WIDTH", ""), header.get("HEIGHT", "1")
    points = header.get("POINTS", "")
    numbers = [text for text in (width, points) if text]
    if not numbers or not all(map(_is_count, [*numbers, height])):
        raise _malformed(
            path, f"WIDTH {width} HEIGHT {height} POINTS {points}, expected whole numbers"
        )
    count = int(points or int(width) * int(height))
    if width and int(width) * int(height) != count:
        raise _malformed(path, f"POINTS {count}, expected WIDTH {width} x HEIGHT {height}")
    return count


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10


def _ascii(
    body: bytes, fields: tuple[_Field, ...], columns: list[_Field], count: int, path: Path
) -> npt.NDArray[np.floating]:
    words = body.split()
    starts = np.cumsum([0, *(field.count for field in fields)]).tolist()
    if len(words) != count * starts[-1]:
        raise _malformed(
            path, f"{len(words)} values, expected POINTS {count} of {starts[-1]} values"
        )
    chosen = [starts[fields.index(column)] for column in columns]
    try:
        if b"_" in body:
            raise ValueError("a value with _ in it")
        return np.array([[float(word) for word in words[at :: starts[-1]]] for at in chosen]).T
    except ValueError as error:
        raise _malformed(path, f"holds what is no number: {error}") from error


def _binary(
    body: bytes, columns: list[_Field], count: int, point_bytes: int, path: Path
) -> npt.NDArray[np.floating]:
    size_bytes = count * point_bytes
    if len(body) < size_bytes or body[size_bytes:].strip(b"\0\r\n\t "):
        raise _malformed(
            path,
            f"{len(body)} bytes after its header, expected POINTS {count} of {point_bytes} bytes: "
            "is the file whole, and do SIZE and COUNT say what it holds?",
        )
    row = np.dtype(
        {
            "names": list(_AXES),
            "formats": [column.kind for column in columns],
            "offsets": [column.offset for column in columns],
            "itemsize": point_bytes,
        }
    )
    table = np.frombuffer(body, row, count)
    return np.stack([table[axis].astype(np.float64) for axis in _AXES], axis=1)


def _compressed(
    body: bytes, columns: list[_Field], count: int, point_bytes: int, path: Path
) -> npt.NDArray[np.floating]:
    packed_bytes, size_bytes = struct.unpack("<II", body[:8]) if len(body) >= 8 else (0, 0)
    if size_bytes != count * point_bytes or packed_bytes > len(body) - 8:
        raise _malformed(
            path,
            f"{max(len(body) - 8, 0)} bytes of {packed_bytes}, which unpack to {size_bytes}; "
            f"expected POINTS {count} of {point_bytes} bytes: is the file whole?",
        )
    last = max(column.offset + column.size_bytes for column in columns) * count
    try:
        unpacked = decompress(body[8 : 8 + packed_bytes], last)
    except ValueError as error:
        raise _malformed(path, f"its LZF data {error}") from error
    if len(unpacked) < last:
        raise _malformed(path, f"unpacks to {len(unpacked)} bytes, expected {last} or more")
    return np.stack(
        [
            np.frombuffer(unpacked, column.kind, count, column.offset * count).astype(np.float64)
            for column in columns
        ],
        axis=1,
    )


def _malformed(path: Path, message: str) -> SampleError:
    return SampleError("cloud.malformed", f"{path}: {message}")
