"""What options choose between, and how they become settings; the command line begins with it.

Apart from `config.py`, whose models take a tenth of a second to build: `--help` needs none.
"""

from collections.abc import Mapping
from typing import Any, Literal

Mode = Literal["detail", "exact", "fast"]
Backend = Literal["auto", "openvino", "torch"]
Precision = Literal["auto", "fp32", "mixed", "bf16"]


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn {"a.b": 1, "a.c": None} into {"a": {"b": 1}}."""
    nested: dict[str, Any] = {}
    for dotted, value in values.items():
        *parents, last = dotted.split(".")
        if value is None:
            continue
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return nested
