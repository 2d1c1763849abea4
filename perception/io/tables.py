"""Tables kept as JSON lists of objects: read row by row, their fields checked.

A table may be larger than the memory, and may come from anyone: what is not there, of another type
or stands twice is told with its place.
"""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from perception.core.errors import RequestError, SampleError
from perception.io.files import opened

_CHUNK, _MAX_ROW = 1 << 20, 1 << 20  # characters
JsonObject = dict[str, Any]
LARGEST = 1 << 53  # whole numbers up to here are floats as well; microseconds of 285 years


@dataclass(frozen=True)
class Row:
    """A row of a table, its fields checked as they are asked for.

    Attributes:
        fields: As they are in the file.
        token: Its key.
        where: File and row, for messages.
    """

    fields: JsonObject
    token: str
    where: str

    def text(self, name: str) -> str:
        """Return a text; raise `source.invalid` for anything else, as the methods below do."""
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise self.fault(name, "text")
        return value

    def integer(self, name: str, default: int | None = None) -> int:
        """Return an integer of at most `LARGEST`; `default` where the field is missing."""
        value: Any = self.fields.get(name, default)
        if not _is_number(value) or not abs(value) <= LARGEST or value != int(value):
            raise self.fault(name, f"an integer of at most {LARGEST}")
        return int(value)

    def numbers(self, name: str, count: int | None) -> tuple[float, ...]:
        """Return a list of so many numbers; None: of any number of them, or none at all."""
        value: Any = self.fields.get(name, [] if count is None else None)
        if not _are_numbers(value) or (count is not None and len(value) != count):
            raise self.fault(name, f"a list of {'' if count is None else f'{count} '}numbers")
        return tuple(float(number) for number in value)

    def matrix(self, name: str) -> tuple[tuple[float, ...], ...]:
        """Return a list of lists of numbers; none where the field is missing."""
        value = self.fields.get(name, [])
        if not isinstance(value, list) or not all(_are_numbers(line) for line in value):
            raise self.fault(name, "a list of lists of numbers")
        return tuple(tuple(float(number) for number in line) for line in value)

    def fault(self, name: str, expected: str) -> RequestError:
        """Return the error of a field that is not as expected."""
        found = f"{self.fields.get(name)!r:.60}" if name in self.fields else "missing"
        return RequestError(
            "source.invalid", f"{self.where}: {name} is {found}, expected {expected}"
        )


def _are_numbers(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    """Tell whether a value is a number that a float holds; whole numbers of JSON may be longer."""
    if isinstance(value, bool):
        return False
    return isinstance(value, float) or (isinstance(value, int) and abs(value) <= LARGEST)


def read_table(
    path: Path, keep: Callable[[JsonObject], bool] = lambda fields: True
) -> Iterator[Row]:
    """Yield the rows of a table that `keep` wants; no two of them have one `token`.

    Raises:
        RequestError: `source.invalid`, `source.duplicate`, `io.not_found`, `io.denied`,
            `io.failed`.
    """
    seen: set[str] = set()
    for number, fields in enumerate(_rows(path), start=1):
        if not keep(fields):
            continue
        row = Row(fields, str(fields.get("token")), f"{path}: row {number}")
        token = row.text("token")
        if token in seen:
            raise RequestError("source.duplicate", f"{path}: token {token} stands there twice")
        seen.add(token)
        yield row


def _rows(path: Path) -> Iterator[JsonObject]:
    """Yield the objects of a JSON list, one at a time."""
    try:
        with opened(path) as stream, io.TextIOWrapper(stream, "utf-8-sig") as text:
            yield from _objects(text, path)
    except SampleError as error:
        raise RequestError(error.code, error.message) from error
    except UnicodeDecodeError as error:
        raise RequestError("source.invalid", f"{path}: is not UTF-8 text: {error}") from error


def _objects(text: TextIO, path: Path) -> Iterator[JsonObject]:
    decoder, buffer, at, number, expected = json.JSONDecoder(), "", 0, 1, "["
    while True:
        while at < len(buffer) and buffer[at] in " \t\r\n":
            at += 1
        if at == len(buffer):
            buffer, at = text.read(_CHUNK), 0
            if not buffer:
                raise _damaged(path, number, "nothing", expected)
            continue
        character = buffer[at]
        if character not in expected:
            raise _damaged(path, number, repr(character), expected)
        if character == "]":
            return
        if character == "{":
            try:
                row, at = decoder.raw_decode(buffer, at)
            except (ValueError, RecursionError) as error:
                more = text.read(_CHUNK)
                if not more or len(buffer) - at > _MAX_ROW:
                    raise _damaged(path, number, f"{buffer[at : at + 40]!r}", "{") from error
                buffer, at = buffer[at:] + more, 0
                continue
            yield row
            number, expected = number + 1, ",]"
        else:
            at, expected = at + 1, "{]" if character == "[" else "{"


def _damaged(path: Path, number: int, found: str, expected: str) -> RequestError:
    signs = " or ".join("an object" if sign == "{" else repr(sign) for sign in expected)
    return RequestError(
        "source.invalid",
        f"{path}: row {number}: found {found}, expected {signs}: a list of objects of at most "
        f"{_MAX_ROW} characters; is the file whole?",
    )
