"""What people decided in a run: one file, named by its content, that the settings point to."""

from pathlib import Path

from pydantic import TypeAdapter

from perception.core.errors import RequestError
from perception.io import schemas
from perception.io.files import write_bytes
from perception.labeling.quality.correct import Correction
from perception.runs import records
from perception.runs.folder import RunSpec

Corrections = tuple[Correction, ...]
_CORRECTIONS = TypeAdapter[Corrections](Corrections)
MAX_BYTES = 1 << 30
FIX = "restore it from a copy of the run: nothing else knows what people decided"


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


def read(run: Path, spec: RunSpec) -> Corrections:
    """Read the corrections that a run's settings point to.

    Raises:
        RequestError: `run.damaged` if they are missing or not what the settings say, for a class
            that the run does not know, for a label that is decided twice.
    """
    if not spec.corrections:
        return ()
    path = path_of(run, spec.corrections)
    data = records.read_bytes(path, MAX_BYTES, FIX)
    if records.sha256(data) != spec.corrections:
        raise RequestError(
            records.DAMAGED, f"{path}: its sha256 is not the one that run.json states; {FIX}"
        )
    found = schemas.parse(_CORRECTIONS, data, str(path), records.DAMAGED, FIX)
    known = {entry.name for entry in spec.ontology.classes}
    seen: set[tuple[str, int]] = set()
    for row, one in enumerate(found):
        if one.kept and one.class_name not in known:
            field = f"{row}.class_name"
            raise records.damaged(path, field, one.class_name, "a class of the ontology", FIX)
        if (one.sample, one.instance) in seen:
            decided = (one.sample, one.instance)
            raise records.damaged(path, f"{row}", decided, "each label decided once", FIX)
        seen.add((one.sample, one.instance))
    return found
