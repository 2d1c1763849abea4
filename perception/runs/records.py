"""JSON as a run keeps it: canonical, so that equal values are equal bytes; read as from outside."""

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from perception.core.errors import RequestError, SampleError
from perception.io import schemas
from perception.io.files import opened, write_bytes

Parsed = TypeVar("Parsed")
SMALL_BYTES = 1 << 24  # of a JSON file that is not about every sample
DAMAGED = "run.damaged"
AGAIN = "run `label` again"
_ANY = TypeAdapter[Any](Any)


def to_json(value: Any) -> bytes:
    """Return canonical, readable JSON: sorted keys, no NaN, a newline at the end."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def write_json(path: Path, value: Any) -> None:
    """Write canonical JSON, whole or not at all."""
    write_bytes(path, to_json(value))


def damaged(path: Path | str, field: str, found: object, expected: str, fix: str) -> RequestError:
    """Return the error for a file of a run that is not what it should be."""
    return RequestError(
        DAMAGED, f"{path}: {field}: found {schemas.shown(found)}, expected {expected}; {fix}"
    )


def read_bytes(path: Path, limit: int = SMALL_BYTES, fix: str = AGAIN) -> bytes:
    """Read a file of a run.

    Raises:
        RequestError: `run.damaged` for what is no file, cannot be read, or has more bytes than
            `limit`.
    """
    try:
        with opened(path) as stream:
            data = stream.read(limit + 1)
    except SampleError as error:
        raise RequestError(DAMAGED, f"{error.message}; {fix}") from error
    if len(data) > limit:
        raise damaged(path, "size", f"more than {limit} bytes", f"at most {limit}", fix)
    return data


def read(path: Path, kind: TypeAdapter[Parsed], fix: str = AGAIN) -> Parsed:
    """Read JSON of a run.

    Args:
        path: The file.
        kind: What it must hold.
        fix: What a person can do where it does not.

    Raises:
        RequestError: `run.damaged`, naming file, field, what was found and what was expected.
    """
    return schemas.parse(kind, read_bytes(path, fix=fix), str(path), DAMAGED, fix)


def read_json(path: Path) -> Any:
    """Read JSON of any form that this package wrote; raises as `read`."""
    return read(path, _ANY)


def sha256(data: bytes) -> str:
    """Return the hex digest."""
    return hashlib.sha256(data).hexdigest()
