"""What an ONNX file says of itself, read without the package onnx and without its tensors.

Source: onnx.proto3 (numbers of the fields) and protobuf's encoding. The file is read field by field
and numbers are stepped over, so that a gigabyte of weights costs no memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from perception.core.errors import RequestError
from perception.models.weights.opened import opened

_METADATA_FIELD = 14
_MAX_METADATA_BYTES = 1 << 20
_MAX_NAME_BYTES = 1 << 12  # of an operator, of a file
_MAX_DEPTH = 64  # of graphs in graphs: loops and branches
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
# Message -> field -> the message that lies in it; what is not listed holds nothing to find.
_MODEL, _GRAPH, _FUNCTION, _NODE = "model", "graph", "function", "node"
_ATTRIBUTE, _TENSOR, _SPARSE, _ENTRY = "attribute", "tensor", "sparse tensor", "entry"
_INSIDE = {
    _MODEL: {7: _GRAPH, 25: _FUNCTION},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _FUNCTION: {7: _NODE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _TENSOR: {13: _ENTRY},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
}
_OPERATOR_FIELD = 4  # of a node
_KEY_FIELD, _VALUE_FIELD = 1, 2  # of an entry


@dataclass(frozen=True)
class Parts:
    """What a model is made of.

    Attributes:
        operators: Names of all operators, such as "Conv".
        locations: Files that hold tensors, as the model names them, in alphabetical order.
    """

    operators: frozenset[str]
    locations: tuple[str, ...]


def onnx_metadata(path: Path) -> dict[str, str]:
    """Return what an ONNX file says of itself: exporters leave the task and the class names there.

    Raises:
        RequestError: `weights.invalid` for what is no ONNX file, or cut off.
    """
    found: dict[str, str] = {}
    try:
        with opened(path) as file:
            for field, size in _fields(file, _end(file)):
                if field != _METADATA_FIELD:
                    file.seek(size, 1)
                    continue
                key, value = _entry(file, size, _MAX_METADATA_BYTES)
                found[key] = value
    except ValueError as error:
        raise _invalid(path, error) from error
    return found


def onnx_parts(path: Path) -> Parts:
    """Return the operators of a model and the files that its tensors lie in.

    Raises:
        RequestError: `weights.invalid` for what is no ONNX file, or cut off.
    """
    operators: set[str] = set()
    locations: set[str] = set()
    try:
        with opened(path) as file:
            for message, text in _walk(file, _end(file), _MODEL, 0):
                (operators if message == _NODE else locations).add(text)
    except ValueError as error:
        raise _invalid(path, error) from error
    return Parts(frozenset(operators), tuple(sorted(locations)))


def external_files(path: Path) -> tuple[Path, ...]:
    """Return the files beside a model that hold its tensors; none where it holds them itself.

    Raises:
        RequestError: `weights.invalid` for a damaged model, and for a name that leads out of the
            model's folder; `weights.missing` for a file that is not there.
    """
    files = []
    for location in onnx_parts(path).locations:
        parts = PurePosixPath(location).parts
        if not location or "\\" in location or ".." in parts or PurePosixPath(location).root:
            raise RequestError(
                "weights.invalid",
                f"{path}: keeps tensors in {location!r}, expected a file in its own folder",
            )
        file = path.parent / location
        if not file.is_file():
            raise RequestError(
                "weights.missing",
                f"{path}: keeps its weights in {location}, which is not beside it; copy both files",
            )
        files.append(file)
    return tuple(files)


def _invalid(path: Path, error: ValueError) -> RequestError:
    return RequestError("weights.invalid", f"{path}: is no ONNX file, or damaged: {error}")


def _walk(file: BinaryIO, end: int, message: str, depth: int) -> Iterator[tuple[str, str]]:
    """Yield (_NODE, operator) and (_ENTRY, location) for all that a message holds."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"graphs lie {_MAX_DEPTH} deep in each other")
    for field, size in _fields(file, end):
        inside = _INSIDE[message].get(field)
        after = file.tell() + size
        if inside == _ENTRY:
            key, value = _entry(file, size, _MAX_NAME_BYTES)
            if key == "location":
                yield _ENTRY, value
        elif inside is not None:
            yield from _walk(file, after, inside, depth + 1)
        elif message == _NODE and field == _OPERATOR_FIELD:
            yield _NODE, file.read(min(size, _MAX_NAME_BYTES)).decode()
        file.seek(after)


def _entry(file: BinaryIO, size: int, most: int) -> tuple[str, str]:
    """Read a StringStringEntryProto; one of more than `most` bytes is refused."""
    if size > most:
        raise ValueError(f"a text takes {size} bytes, expected at most {most}")
    texts = {field: file.read(n) for field, n in _fields(file, file.tell() + size)}
    return texts.get(_KEY_FIELD, b"").decode(), texts.get(_VALUE_FIELD, b"").decode()


def _end(file: BinaryIO) -> int:
    end = file.seek(0, 2)
    file.seek(0)
    return end


def _fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """Yield the number and length of each field that has a length; the caller moves past it."""
    while file.tell() < end:
        tag = _varint(file)
        kind = tag & 7
        if kind == _VARINT:
            _varint(file)
        elif kind == _EIGHT_BYTES:
            file.seek(8, 1)
        elif kind == _FOUR_BYTES:
            file.seek(4, 1)
        elif kind == _LENGTH:
            size = _varint(file)
            if file.tell() + size > end:
                raise ValueError(f"a field of {size} bytes ends behind byte {end}")
            yield tag >> 3, size
        else:  # groups, which proto3 does not have
            raise ValueError(f"unknown kind of field {kind} at byte {file.tell()}")


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("it ends in a number")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("a number takes more than ten bytes")
