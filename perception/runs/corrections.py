"""What people decided in a run: one file, named by its content, that the settings point to."""

from pathlib import Path

from pydantic import ValidationError

from perception.errors import RequestError
from perception.files import write_bytes
from perception.quality.correct import Correction
from perception.runs import records

Corrections = tuple[Correction, ...]


def path_of(run: Path, sha256: str) -> Path:
    """Return where a run keeps corrections."""
    return run / "corrections" / f"{sha256[:12]}.json"


def write(run: Path, corrections: Corrections) -> str:
    """Write corrections, in the order of samples and ids, and return their sha256; "" for none."""
    if not corrections:
        return ""
    ordered = sorted(corrections, key=lambda one: (one.sample, one.instance))
    data = records.to_json([one.model_dump(mode="json") for one in ordered])
    sha256 = records.sha256(data)
    write_bytes(path_of(run, sha256), data)
    return sha256


def read(run: Path, sha256: str) -> Corrections:
    """Read the corrections that a run's settings point to.

    Raises:
        RequestError: `run.damaged` if they are missing or not what the settings say.
    """
    if not sha256:
        return ()
    path = path_of(run, sha256)
    try:
        if records.sha256(path.read_bytes()) != sha256:
            raise ValueError("its sha256 is not the one that run.json states")
        return tuple(Correction.model_validate(row) for row in records.read_json(path))
    except (OSError, ValueError, ValidationError) as error:
        raise RequestError(
            "run.damaged", f"{path}: cannot be read as this run's corrections: {error}"
        ) from error
