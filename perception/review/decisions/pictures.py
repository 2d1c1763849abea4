"""Which picture of a run a picture of an edited file is."""

from dataclasses import dataclass
from pathlib import Path

from perception.core.errors import RequestError
from perception.core.names import match_names, parts_of
from perception.core.shapes import EditedFile, EditedPicture
from perception.core.types import PictureLabels
from perception.review.decisions.changes import Apart, Seen

SHOWN = 3  # names of each side in a refusal


@dataclass(frozen=True, eq=False)
class Placed:
    """A picture of an edited file that is one of the run's.

    Attributes:
        edited: In the file.
        sample: Id of the sample.
        ours: Our labels of it.
        folders: Their folder and ours where the two disagree: it may be another picture of the same
            name, until one of its labels is found in it. () where they agree.
    """

    edited: EditedPicture
    sample: str
    ours: PictureLabels
    folders: tuple[str, ...] = ()


def place(file: EditedFile, seen: Seen, path: Path) -> tuple[list[Placed], list[Apart]]:
    """Find the run's picture for each picture of a file, by the longest common end of their names.

    Args:
        file: The edited file.
        seen: Pictures of the run.
        path: For messages.

    Returns:
        What was found, and the pictures that are kept apart.

    Raises:
        RequestError: `corrections.invalid` where the file names pictures and none is the run's.
    """
    by_name = {picture.file_name: (sample, picture) for sample, picture in seen}
    matches = match_names(by_name, [picture.names[0] for picture in file.pictures])
    own = {theirs: planned for planned, theirs in matches.theirs_of.items()}
    folders = set(matches.elsewhere)
    before = {picture.names[-1]: picture.names[0] for picture in file.pictures}
    left = [name for name, now in before.items() if now in matches.unknown]
    free = set(by_name) - set(own.values())
    for planned, theirs in match_names(free, left).theirs_of.items():
        own[before[theirs]] = planned
    placed, apart = list[Placed](), list[Apart]()
    for picture in file.pictures:
        name = picture.names[0]
        where = f"{path}: image {name!r}"
        if name not in own:
            doubt = "is none of the run's"
            if name in matches.ambiguous:
                doubt = "is there twice, or could be several of the run's"
            apart.append(Apart(f"picture that {doubt}", f"{where}: {doubt}"))
            continue
        sample, ours = by_name[own[name]]
        if picture.size_hw not in (None, ours.size_hw):
            fault = f"(height, width) is {picture.size_hw}, the run's picture has {ours.size_hw}"
            apart.append(Apart("picture of another size", f"{where}: {fault}"))
            continue
        differ = own[name] in folders
        sides = tuple("/".join(parts_of(one)[:-1]) for one in (name, own[name])) if differ else ()
        placed.append(Placed(picture, sample, ours, sides))
    if not placed:
        _refuse(file, by_name, apart, path)
    return placed, apart


def _refuse(
    file: EditedFile, by_name: dict[str, tuple[str, PictureLabels]], apart: list[Apart], path: Path
) -> None:
    if not apart:
        raise RequestError("corrections.invalid", f"{path}: names no picture")
    if all(one.kind == "picture of another size" for one in apart):
        raise RequestError("size.mismatch", apart[0].where)
    if not any(one.kind == "picture that is none of the run's" for one in apart):
        raise RequestError("corrections.invalid", f"{apart[0].where}; name each picture once")
    theirs = ", ".join(repr(picture.names[0]) for picture in file.pictures[:SHOWN])
    ours = ", ".join(repr(name) for name in list(by_name)[:SHOWN])
    raise RequestError(
        "corrections.invalid",
        f"{path}: none of its {len(file.pictures)} pictures is one of the run's {len(by_name)}: it "
        f"has {theirs}, the run has {ours}; does it belong to another run?",
    )
