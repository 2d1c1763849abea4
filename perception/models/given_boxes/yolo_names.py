"""Names of YOLO's class numbers, in the files that tools write beside the labels.

| file | written by |
|---|---|
| data.yaml, dataset.yaml, any YAML with `names` | ultralytics, Roboflow, CVAT |
| classes.txt, one name a line | labelImg, Label Studio |
| obj.names, and obj.data, which names it | darknet, CVAT's YOLO 1.1 |
| _darknet.labels | Roboflow's darknet |
| notes.json with `categories` | Label Studio |

Numbers count from 0. Files that disagree are refused: nothing says which of them the labels follow.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from perception.core.config import load_yaml
from perception.core.errors import RequestError, SampleError
from perception.core.text import text_of
from perception.formats import parse_number, read_bytes
from perception.formats.yolo import names_of
from perception.io.json_files import json_of

LOOKED_FOR = "data.yaml or another YAML with `names`, classes.txt, obj.names, obj.data, notes.json"
YAML = (".yaml", ".yml")
ALWAYS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")  # told if they are damaged
LISTS = ("classes.txt", "*.names", "*.labels")
MENU = "predefined_classes.txt"  # labelImg's, for all of its folders
MAX_BYTES = 1 << 20
MAX_FILES = 100  # of one kind in one folder: beyond, the folder is no data set's root


@dataclass(frozen=True)
class Names:
    """What class numbers mean.

    Attributes:
        names: In the order of the numbers.
        files: That say so, the nearest first.
        keypoints: `kpt_shape` of a YAML: (K, D); None where none has it.
    """

    names: tuple[str, ...]
    files: tuple[Path, ...]
    keypoints: tuple[int, int] | None = None


def find_names(places: Sequence[Path], above: Sequence[Path] = ()) -> Names | None:
    """Find the names of class numbers; None if no file has them.

    Args:
        places: Folders that hold labels.
        above: Folders around them, the nearest first. Above a YAML or an obj.data nothing is looked
            at: that is the root of a data set.

    Raises:
        RequestError: `boxes.invalid` for files that disagree; `config.invalid` for a YAML.
    """
    found = [names for place in places for names in _names_in(place)]
    for place in above:
        if any(names.files[0].suffix in (*YAML, ".data") for names in found):
            break
        found += _names_in(place)
    if not found:
        menus = (place / MENU for place in (*places, *above))
        found = [names for path in menus if path.is_file() for names in _list(path)]
    if not found:
        return None
    first = found[0]
    for other in found[1:]:
        if other.names != first.names:
            raise RequestError(
                "boxes.invalid",
                f"{first.files[0]} and {other.files[0]} name the classes differently: "
                f"{_shown(first.names)} and {_shown(other.names)}; remove the one that the labels "
                "do not follow",
            )
    shapes = {names.keypoints for names in found} - {None}
    if len(shapes) > 1:
        raise RequestError(
            "boxes.invalid", f"{first.files[0]} and others: kpt_shape is {sorted(map(str, shapes))}"
        )
    files = tuple(dict.fromkeys(path for names in found for path in names.files))
    return Names(first.names, files, next(iter(shapes), None))


def _shown(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f", ... ({len(names)})" if len(names) > 5 else "")


def _names_in(place: Path) -> Iterator[Names]:
    """Yield what the files of one folder say."""
    for suffix in YAML:
        for path in _some(place, f"*{suffix}"):
            yield from _yaml(path)
    for pattern in LISTS:
        for path in _some(place, pattern):
            yield from _list(path)
    for path in _some(place, "*.data"):
        yield from _darknet(path)
    yield from _label_studio(place / "notes.json")


def _some(place: Path, pattern: str) -> list[Path]:
    return sorted(path for path in place.glob(pattern) if path.is_file())[:MAX_FILES]


def _text(path: Path) -> str:
    """Return a file's text; "" for what is none, or too large to hold names."""
    try:
        return text_of(read_bytes(path, MAX_BYTES))
    except (SampleError, UnicodeError):
        return ""


def _yaml(path: Path) -> Iterator[Names]:
    if path.name not in ALWAYS and "names" not in _text(path):
        return
    try:
        values = load_yaml(path)
    except RequestError:
        if path.name in ALWAYS:
            raise
        return  # a YAML of something else
    if not isinstance(values, dict) or "names" not in values:
        return
    yield Names(names_of(values, path), (path,), _keypoints(values.get("kpt_shape"), path))


def _keypoints(value: Any, path: Path) -> tuple[int, int] | None:
    if value is None:
        return None
    whole = isinstance(value, list) and len(value) == 2 and all(type(v) is int for v in value)
    if not whole or not 0 <= value[0] <= 1000 or value[1] not in (2, 3):
        raise RequestError(
            "config.invalid", f"{path}: kpt_shape is {value!r}, expected [K, 2] or [K, 3]"
        )
    return value[0], value[1]


def _list(path: Path) -> Iterator[Names]:
    """Read one name a line.

    Raises:
        RequestError: `boxes.invalid` for what is no text, and for a gap: names count by line.
    """
    try:
        text = text_of(read_bytes(path, MAX_BYTES))
    except (SampleError, UnicodeError) as error:
        raise RequestError(
            "boxes.invalid", f"{path}: holds no names that can be read; save it as UTF-8: {error}"
        ) from error
    names = [line.strip() for line in text.rstrip().splitlines()]
    if not names or _is_label_file(names):
        return
    if "" in names:
        raise RequestError(
            "boxes.invalid",
            f"{path}:{names.index('') + 1}: is blank, expected a name a line: names count by line",
        )
    yield Names(tuple(names), (path,))


def _is_label_file(lines: list[str]) -> bool:
    """Tell the labels of a picture called `classes` from names."""
    words = lines[0].split()
    return len(words) >= 5 and all(parse_number(word) == parse_number(word) for word in words)


def _darknet(path: Path) -> Iterator[Names]:
    """Follow `names = PATH` of an obj.data: as written, or by the name alone, beside it."""
    for line in _text(path).splitlines():
        key, _, value = (part.strip() for part in line.partition("="))
        if key != "names" or not value:
            continue
        name = PurePosixPath(value.replace("\\", "/"))
        below = not name.is_absolute() and ".." not in name.parts
        for place in (path.parent / name, path.parent.parent / name) if below else ():
            if place.is_file():
                yield from (Names(n.names, (path, *n.files)) for n in _list(place))
                return
        if (path.parent / name.name).is_file():
            yield from (Names(n.names, (path, *n.files)) for n in _list(path.parent / name.name))
        return


def _label_studio(path: Path) -> Iterator[Names]:
    if not path.is_file():
        return
    try:
        categories = json_of(_text(path), str(path), "boxes.invalid").get("categories")
        by_id = {entry["id"]: entry["name"] for entry in categories}
    except (RequestError, AttributeError, TypeError, KeyError):
        return  # notes of something else
    if by_id and set(by_id) == set(range(len(categories))):
        yield Names(tuple(str(by_id[number]) for number in range(len(by_id))), (path,))
