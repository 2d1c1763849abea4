"""PLY, the Stanford polygon files: the places of the element `vertex`, ascii or binary.

Source: http://paulbourke.net/dataformats/ply.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from perception.core.errors import SampleError

_MAX_HEADER = 1 << 16
_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2"},
    **{"int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8"},
}
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_AXES = ("x", "y", "z")


@dataclass
class _Element:
    """An element while its header is read: how many, and its properties (name, type)."""

    name: str
    count: int
    properties: list[tuple[str, str]] = field(default_factory=list)
    has_lists: bool = False


def begins(data: bytes) -> bool:
    """Tell whether a file begins as a PLY."""
    return data.startswith((b"ply\n", b"ply\r"))


def read(data: bytes, path: Path) -> npt.NDArray[np.floating]:
    """Return (P, 3) places.

    Raises:
        SampleError: `cloud.malformed`.
    """
    end = data.find(b"end_header", 0, _MAX_HEADER)
    body = data.find(b"\n", end, end + 20) + 1
    if end < 0 or not body or not data[:end].isascii():
        raise _malformed(path, "begins as a PLY, but its header does not end")
    form, elements = _parse(data[:end].decode("ascii").splitlines()[1:], path)
    number = next((i for i, e in enumerate(elements) if e.name == "vertex"), None)
    if number is None:
        raise _malformed(path, "has no element vertex")
    vertex, before = elements[number], elements[:number]
    if vertex.has_lists or any(element.has_lists for element in before):
        raise _malformed(path, "has lists before or in its vertices, expected plain numbers")
    names = [name for name, _ in vertex.properties]
    if not set(_AXES) <= set(names) or len(set(names)) < len(names):
        raise _malformed(path, f"its vertices have {', '.join(names)}, expected x, y and z")
    if form == "ascii":
        return _ascii(data[body:], before, vertex, path)
    skipped = sum(_row(element, form).itemsize * element.count for element in before)
    row = _row(vertex, form)
    if len(data) - body - skipped < vertex.count * row.itemsize:
        raise _malformed(
            path,
            f"{len(data) - body} bytes after its header, expected {vertex.count} vertices of "
            f"{row.itemsize} bytes: is the file whole?",
        )
    table = np.frombuffer(data, row, vertex.count, body + skipped)
    return np.stack([table[str(names.index(axis))].astype(np.float64) for axis in _AXES], axis=1)


def _parse(lines: list[str], path: Path) -> tuple[str, list[_Element]]:
    form, elements = "", list[_Element]()
    for line in lines:
        match line.split():
            case ["format", form, "1.0"] if form in _ORDERS:
                pass
            case ["element", name, count] if count.isdigit() and len(count) <= 10:
                elements.append(_Element(name, int(count)))
            case ["property", "list", *_] if elements:
                elements[-1].has_lists = True
            case ["property", kind, name] if elements and kind in _TYPES:
                elements[-1].properties.append((name, _TYPES[kind]))
            case [] | ["comment", *_] | ["obj_info", *_]:
                pass
            case _:
                raise _malformed(path, f"its header has the line {line[:60]!r}")
    if form not in _ORDERS:
        raise _malformed(
            path, f"its header has no line format, expected one of {', '.join(_ORDERS)}"
        )
    return form, elements


def _row(element: _Element, form: str) -> np.dtype[np.void]:
    order = _ORDERS[form]
    return np.dtype([(str(i), order + kind) for i, (_, kind) in enumerate(element.properties)])


def _ascii(
    body: bytes, before: list[_Element], vertex: _Element, path: Path
) -> npt.NDArray[np.floating]:
    width = len(vertex.properties)
    skipped = sum(element.count * len(element.properties) for element in before)
    words = body.split(maxsplit=skipped + vertex.count * width)[skipped:]
    words = words[: vertex.count * width]
    if len(words) < vertex.count * width:
        raise _malformed(path, f"{len(words)} values, expected {vertex.count} vertices of {width}")
    names = [name for name, _ in vertex.properties]
    try:
        if b"_" in body:
            raise ValueError("a value with _ in it")
        columns = [[float(word) for word in words[names.index(axis) :: width]] for axis in _AXES]
    except ValueError as error:
        raise _malformed(path, f"holds what is no number: {error}") from error
    return np.array(columns).T


def _malformed(path: Path, message: str) -> SampleError:
    return SampleError("cloud.malformed", f"{path}: {message}")
