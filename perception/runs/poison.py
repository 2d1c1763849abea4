"""`poison/000123-0004.json`: a sample that killed its worker twice, by its place in its shard."""

import re
from pathlib import Path

from pydantic import TypeAdapter

from perception.core.config import Settings
from perception.runs import records, shards

FOLDER = "poison"
_NAME = re.compile(r"[0-9]{6,}-([0-9]{4,})\.json", re.ASCII)


class Death(Settings):
    """How a worker died of a sample."""

    how: str


_DEATHS = TypeAdapter(Death)


def name_of(index: int, place: int) -> str:
    """Return the name of a sample's record, relative to the run."""
    return f"{FOLDER}/{shards.shard_name(index)}-{place:04d}.json"


def write(run: Path, index: int, place: int, how: str) -> str:
    """Remember a sample; return the file's name, relative to the run."""
    name = name_of(index, place)
    records.write_json(run / name, {"how": how})
    return name


def places(run: Path, index: int) -> set[int]:
    """Return the places of the samples of a shard that killed their workers.

    Raises:
        RequestError: `run.damaged` for a record that says nothing.
    """
    found = set()
    for path in sorted((run / FOLDER).glob(f"{shards.shard_name(index)}-*")):
        named = _NAME.fullmatch(path.name)
        if named:
            records.read(path, _DEATHS, f"delete it, then {records.AGAIN}")
            found.add(int(named[1]))
    return found
