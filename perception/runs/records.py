"""JSON as a run keeps it: canonical, so that equal values are equal bytes."""

import hashlib
import json
from pathlib import Path
from typing import Any

from perception.errors import RequestError
from perception.files import write_bytes


def to_json(value: Any) -> bytes:
    """Return canonical, readable JSON: sorted keys, no NaN, a newline at the end."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def write_json(path: Path, value: Any) -> None:
    """Write canonical JSON, whole or not at all."""
    write_bytes(path, to_json(value))


def read_json(path: Path) -> Any:
    """Read JSON that this package wrote.

    Raises:
        RequestError: `run.damaged` if the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise RequestError("run.damaged", f"{path}: no such file; is this a run folder?") from error
    except ValueError as error:
        raise RequestError("run.damaged", f"{path}: is not JSON: {error}") from error


def sha256(data: bytes) -> str:
    """Return the hex digest."""
    return hashlib.sha256(data).hexdigest()
