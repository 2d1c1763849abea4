"""Names of a detector's classes as people and exporters write them: in the order of the numbers.

In metadata: `{0: 'person', 1: 'car'}` as Python writes it, the same or a list as JSON, or one name
a line. In files: one name a line (classes.txt, obj.names), JSON, or YAML with `names`.
"""

import ast
import codecs
import json
import re
from pathlib import Path
from typing import Any

from perception.core.config import load_yaml
from perception.core.errors import RequestError
from perception.io.json_files import json_of

MAX_BYTES = 1 << 20
_KEYS = ("names", "id2label")  # of a JSON or YAML file: ultralytics', Hugging Face's
_NUMBERED = re.compile(r"(\d+)\s*[:,;\t ]\s*(.+)")
_STRUCTURE = re.compile(r"[\[\](){}=]")
# What may lie beside weights and hold the names of their classes.
_USUAL = ("classes.txt", "labels.txt", "obj.names", "coco.names", "data.yaml", "dataset.yaml")


def parse_names(text: str) -> tuple[str, ...]:
    """Read names out of a text, such as a value of metadata; () for none.

    Raises:
        ValueError: for numbers with gaps, and for what is no list of names.
    """
    text = text.strip()
    if not text:
        return ()
    if text[0] in "[{(":
        return names_of(_literal(text))
    lines = [line.strip() for line in text.splitlines()]
    if len(lines) == 1 and _STRUCTURE.search(text):
        raise ValueError(f"{text[:80]!r} is no list of class names")
    if "" in lines:
        raise ValueError(f"line {lines.index('') + 1} of the class names is empty")
    return _without_numbers(lines)


def names_of(value: Any) -> tuple[str, ...]:
    """Return names given as a list, or by number: {0: name, 1: name}, numbers as text too.

    Raises:
        ValueError: see `parse_names`.
    """
    if isinstance(value, dict):
        by_number = {_number(key): name for key, name in value.items()}
        if sorted(by_number) != list(range(len(value))):
            raise ValueError(f"class ids are not 0..N-1: {sorted(map(str, value))[:5]}")
        value = [by_number[number] for number in range(len(by_number))]
    if not isinstance(value, list | tuple):
        raise ValueError(f"class names are {str(value)[:80]!r}, expected a list of texts")
    for name in value:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(
                f"a class name is {str(name)[:80]!r}, expected a text; put quotes around names "
                "that YAML takes for something else (no, 1)"
            )
    return tuple(name.strip() for name in value)


def read_names(path: Path) -> tuple[str, ...]:
    """Read a file of class names: .yaml, JSON, or text with one name a line.

    Raises:
        RequestError: `io.not_found`, `names.invalid`; those of `load_yaml`.
    """
    if not path.is_file():
        raise RequestError("io.not_found", f"{path}: no such file")
    try:
        if path.suffix.lower() in {".yaml", ".yml"}:
            names = names_of(_under_key(load_yaml(path)))
        else:
            text = _text(path)
            is_json = path.suffix.lower() == ".json" or text.lstrip()[:1] in ("[", "{")
            names = (
                names_of(_under_key(json_of(text, str(path), "names.invalid")))
                if is_json
                else parse_names(text)
            )
    except ValueError as error:
        raise RequestError("names.invalid", f"{path}: {error}") from error
    if not names:
        raise RequestError("names.invalid", f"{path}: holds no class name, expected one a line")
    return names


def usual_files(weights: Path) -> tuple[str, ...]:
    """Return the files beside weights that by their names may hold those of their classes."""
    own = [f"{weights.stem}{suffix}" for suffix in (".names", ".txt", ".yaml", ".json")]
    return tuple(name for name in (*own, *_USUAL) if (weights.parent / name).is_file())


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"{text[:80]!r} is no list of class names") from error


def _number(key: Any) -> int:
    if isinstance(key, int) and not isinstance(key, bool):
        return key
    if isinstance(key, str) and key.isascii() and key.isdigit():
        return int(key)
    raise ValueError(f"{str(key)[:80]!r} is no number of a class")


def _under_key(value: Any) -> Any:
    found = [value[key] for key in _KEYS if key in value] if isinstance(value, dict) else []
    return found[0] if found else value


def _without_numbers(lines: list[str]) -> tuple[str, ...]:
    """Return names without the numbers before them, where every line has its own."""
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    if all(found and int(found[1]) == row for row, found in enumerate(numbered)):
        return tuple(found[2] for found in numbered if found)
    return tuple(lines)


def _text(path: Path) -> str:
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path.stat().st_size} bytes, expected at most {MAX_BYTES}")
    data = path.read_bytes()
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if wide else "utf-8-sig")
