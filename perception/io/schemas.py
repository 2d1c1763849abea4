"""JSON from outside: held to a model before anything uses it.

Types are strict: no text is a number, be it "12", "1_000" or digits of another script; nor is true.
pydantic's parser nests 200 levels deep and no further, so depth needs no check of its own; whoever
reads the file bounds its size.
"""

import reprlib
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from perception.core.errors import RequestError

Parsed = TypeVar("Parsed")
_SHOWN = 120  # characters of a key or a message that came from outside


def parse(kind: TypeAdapter[Parsed], data: bytes, where: str, code: str, fix: str) -> Parsed:
    """Return the value that JSON holds.

    Args:
        kind: What it must be.
        data: The JSON.
        where: The file, for messages.
        code: Of the error.
        fix: What a person can do about it.

    Raises:
        RequestError: `code`, naming file, field, what was found and what was expected.
    """
    try:
        return kind.validate_json(data, strict=True)
    except ValidationError as error:
        raise RequestError(code, f"{where}: {fault_of(error)}; {fix}") from error


def fault_of(error: ValidationError) -> str:
    """Say the first fault of a value: field, what was found and what was expected."""
    fault = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in fault["loc"])[:_SHOWN] or "the whole"
    message = fault["msg"].removeprefix("Value error, ")[: 4 * _SHOWN]
    match fault["type"]:
        case "json_invalid":
            return f"is not JSON: {message.removeprefix('Invalid JSON: ')}"
        case "missing":
            return f"{field}: found nothing, expected a value"
        case "extra_forbidden":
            return f"{field}: found {shown(fault['input'])}, expected no such key"
        case "value_error":
            return f"{field}: {message}" if fault["loc"] else message
    expected = message.removeprefix("Input should be ")
    return f"{field}: found {shown(fault['input'])}, expected {expected}"


def shown(value: object) -> str:
    """Return a value from outside as it may stand in a message: short, on one line."""
    return reprlib.repr(value)[:_SHOWN]
