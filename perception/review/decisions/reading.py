"""Which kind of file people's decisions are in."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from perception.core.errors import RequestError
from perception.core.ontology import ClassMap
from perception.formats import coco_edited, cvat
from perception.io.json_files import read_object
from perception.review.decisions import page
from perception.review.decisions.changes import Changes, Seen
from perception.review.decisions.edited import changes_of
from perception.runs import folder


def read_corrections(
    run: Path, path: Path, *, class_map: ClassMap | None = None, all_checked: bool = False
) -> Changes:
    """Read what people decided of a finished run.

    Args:
        run: The run folder.
        path: A decisions file, a COCO instances file, a CVAT file, or the folder with one of them.
        class_map: From the names of classes in an edited file to the run's; None where they are the
            same.
        all_checked: Whether everything in an edited file was looked at: what was left as it is,
            was kept by a person.

    Raises:
        RequestError: `corrections.invalid` for a file of another run or of no known kind; for a
            review page's, a label that is decided twice or is none of the run's, or a class that
            the run does not know; see `coco_edited.read_edited` and `cvat.read_edited` for more.
    """
    file = _file_of(path)
    spec = folder.read_spec(run)
    if file.suffix.lower() == ".xml":
        edited = cvat.read_edited(file)
    else:
        document = read_object(file, "corrections.invalid", nan=True)
        if "decisions" in document:
            label_set = page.label_set_of(document, run, file)
            seen = read_seen(run, label_set)
            rows = page.decided(document, seen, spec.ontology, file)
            return _signed(Changes(rows, seen), file, checked=True)
        if "annotations" not in document:
            raise RequestError(
                "corrections.invalid",
                f"{file}: has the keys {', '.join(sorted(document)[:8])}, expected `decisions` of "
                "a review page, or a COCO file with `annotations`",
            )
        edited = coco_edited.read_edited(document, file)
    seen = read_seen(run, spec.label_set())
    changes = changes_of(edited, run, seen, file, class_map=class_map, all_checked=all_checked)
    return _signed(changes, file, checked=all_checked)


def _signed(changes: Changes, file: Path, *, checked: bool) -> Changes:
    """Return changes with the hash of the file that they are from."""
    source = sha256(file.read_bytes()).hexdigest()[:12]
    noted = {"source": source, "checked": checked}
    rows = tuple(one.model_copy(update=noted) for one in changes.corrections)
    return replace(changes, corrections=rows)


def _file_of(path: Path) -> Path:
    """Return the file of labels in a folder: that of CVAT's and Roboflow's archives."""
    if not path.is_dir():
        return path
    if (path / cvat.XML).is_file():
        return path / cvat.XML
    found = sorted(one for one in (*path.glob("*.json"), *path.glob("annotations/*.json")))
    if len(found) != 1:
        names = ", ".join(one.relative_to(path).as_posix() for one in found[:3]) or "no .json"
        raise RequestError(
            "corrections.invalid",
            f"{path}: holds {names} and no {cvat.XML}; give the file itself",
        )
    return found[0]


def read_seen(run: Path, label_set: str) -> Seen:
    """Return the pictures of a label set, each with the id of its sample."""
    spec = folder.read_spec(run)
    samples = folder.read_plan(run, spec)
    return [
        (sample.id, picture)
        for index in range(len(samples))
        for outcome, sample in folder.read_shard(run, spec, samples, index, label_set)
        if outcome.status != "quarantined"
        for picture in sample.pictures
    ]
