"""JSON from outside, read in one place: bounded, decoded, and refused with errors of ours.

What is to be held to a model is read with `schemas.parse` instead. Of a key that comes twice the
last one counts, as everywhere in Python.
"""

import json
import os
from pathlib import Path
from typing import Any, NoReturn

from perception.core.errors import RequestError, SampleError
from perception.core.text import text_of
from perception.io.files import opened
from perception.io.schemas import shown

MAX_JSON_BYTES = 1 << 29  # COCO's own train2017 has 450 MB; Python needs ten times that in memory
_AROUND = 20  # characters of a file that a message shows


def read_json(
    path: Path,
    code: str,
    *,
    limit: int = MAX_JSON_BYTES,
    too_large: str = "",
    nan: bool = False,
) -> Any:
    """Read a JSON file from outside.

    Args:
        path: The file.
        code: Of the error for what is no JSON.
        limit: The most bytes that are read; a larger file is refused unread.
        too_large: Of the error for a larger file; "" for `code`.
        nan: Whether NaN and Infinity pass, which JSON does not know and Python's `json` writes: for
            readers that leave out a row with one, not the file.

    Raises:
        RequestError: `code`; `too_large`; `io.not_found`, `io.denied`, `io.failed`.
    """
    try:
        with opened(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > limit:
                raise RequestError(
                    too_large or code,
                    f"{path}: {size} bytes, expected at most {limit}; split it",
                )
            data = stream.read(limit)
    except SampleError as error:
        raise RequestError(error.code, error.message) from error
    return json_of(data, str(path), code, nan=nan)


def read_object(path: Path, code: str, *, nan: bool = False) -> dict[str, Any]:
    """Read a JSON file from outside whose top level is an object.

    Raises:
        RequestError: as `read_json`; `code` for another top level.
    """
    document = read_json(path, code, nan=nan)
    if not isinstance(document, dict):
        raise RequestError(
            code,
            f"{path}: holds a {type(document).__name__}, expected an object; give another file",
        )
    return document


def json_of(data: bytes | str, where: str, code: str, *, nan: bool = False) -> Any:
    """Return the value that JSON from outside holds.

    Args:
        data: UTF-8, a byte order mark or not, or UTF-16 with one; or text that was decoded.
        where: The file, for messages.
        code: Of the error.
        nan: As in `read_json`.

    Raises:
        RequestError: `code`, naming the file, what was found and the fix.
    """

    def refuse(constant: str) -> NoReturn:
        raise RequestError(
            code, f"{where}: holds {constant}, which JSON does not know; write null or a number"
        )

    if isinstance(data, bytes) and data.startswith(b"PK"):
        raise RequestError(
            code, f"{where}: is an archive; unpack it and give the folder or the file in it"
        )
    try:
        text = data if isinstance(data, str) else text_of(data)
        return json.loads(text, parse_constant=None if nan else refuse)
    except json.JSONDecodeError as error:
        found = shown(error.doc[error.pos : error.pos + _AROUND]) if error.doc else "an empty file"
        fault = f"{error.msg} at line {error.lineno} column {error.colno}, found {found}"
    except RecursionError:
        fault = "it nests too deeply"
    except UnicodeError as error:
        fault = f"it is no UTF-8 text: {error}"
    except ValueError as error:  # a number of more digits than Python reads
        fault = str(error)
    raise RequestError(code, f"{where}: is not JSON: {fault}; export it again")
