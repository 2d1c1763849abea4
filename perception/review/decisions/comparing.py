"""An edited file beside the labels of its pictures: what is the same, and where it comes from."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from perception.core.errors import RequestError
from perception.core.shapes import EditedFile, Shape, fill
from perception.core.types import Status
from perception.review.decisions.changes import Apart
from perception.review.decisions.matching import Match, Row, Version, match, tolerance_px
from perception.review.decisions.pictures import Placed
from perception.review.decisions.versions import Versions


@dataclass(frozen=True, eq=False)
class Compared:
    """A picture of an edited file, beside our labels of it.

    Attributes:
        placed: The picture.
        versions: Of our labels.
        rows: What the file holds there, as masks.
        matches: Place in `rows` to the label that it is.
        unusable: Shapes that could not become masks.
        apart: The same, for people.
    """

    placed: Placed
    versions: list[Version]
    rows: list[Row]
    matches: dict[int, Match]
    unusable: list[Shape]
    apart: list[Apart]

    @property
    def now(self) -> list[Version]:
        """Our labels that have a mask, as the run has them."""
        return [version for version in self.versions if version.now and version.mask[1]]

    def missing(self) -> list[Version]:
        """Return our labels that the file lacks, but for rejected ones."""
        held = {found.instance for found in self.matches.values()}
        return [
            version
            for version in self.now
            if version.instance not in held and version.status != Status.REJECTED
        ]


def compare(
    placed: list[Placed], versions: Versions, class_of: Callable[[str], str]
) -> tuple[list[Compared], list[Apart]]:
    """Find the label that each object of a file is.

    Args:
        placed: Pictures of the file.
        versions: Of the labels of these pictures.
        class_of: From the file's names of classes to the run's.

    Returns:
        The pictures, and those that turned out to be others of the same name.
    """
    found = [_compare(one, versions[one.ours.file_name], class_of) for one in placed]
    sure = {one.placed.folders for one in found if any(m.off_px for m in one.matches.values())}
    apart = []
    for one in found:
        folders = one.placed.folders
        if folders and folders not in sure:
            name = one.placed.edited.names[0]
            fault = f"{name!r} and {one.placed.ours.file_name!r} of the run have no label in common"
            apart.append(Apart("picture of another folder", fault))
    return [one for one in found if not one.placed.folders or one.placed.folders in sure], apart


def _compare(placed: Placed, versions: list[Version], class_of: Callable[[str], str]) -> Compared:
    rows, unusable, apart = list[Row](), list[Shape](), list[Apart]()
    for shape in placed.edited.shapes:
        try:
            rows.append(Row(shape, fill(shape, placed.ours.size_hw), class_of(shape.label)))
        except RequestError as error:
            unusable.append(_anywhere(shape, placed.ours.size_hw))
            apart.append(Apart(shape.kind, error.message))
    matches = match(rows, versions, placed.ours.size_hw)
    return Compared(placed, versions, rows, matches, unusable, apart)


def _anywhere(shape: Shape, size_hw: tuple[int, int]) -> Shape:
    """Return a shape without its place, if that is of a picture of another size."""
    x0, y0, x1, y1 = shape.bounds or (0, 0, 0, 0)
    inside = x0 >= 0 and y0 >= 0 and x1 <= size_hw[1] and y1 <= size_hw[0]
    return shape if inside and shape.runs is None else replace(shape, bounds=None)


@dataclass(frozen=True, eq=False)
class Origin:
    """What a file tells of where it comes from.

    Attributes:
        tolerances_px: Form of a row to how far its edge may be off, see `tolerance_px`.
        label_set: That it was exported from, as far as its labels tell.
        shown: Statuses whose labels are in it.
        class_names: Of the run, that the file knows.
    """

    tolerances_px: dict[str, int]
    label_set: str
    shown: frozenset[Status]
    class_names: frozenset[str]

    def same(self, row: Row, found: Match) -> tuple[Version, ...]:
        """Return the versions of its label that have a row's mask."""
        return found.same(self.tolerances_px[row.form])


def origin_of(
    file: EditedFile,
    compared: list[Compared],
    label_sets: tuple[str, ...],
    class_of: Callable[[str], str],
) -> Origin:
    """Find what a file comes from: the label set that it differs least from.

    Args:
        file: The edited file.
        compared: Its pictures.
        label_sets: Of the run, the present one first, which is taken where others are as near.
        class_of: From the file's names of classes to the run's.
    """
    off_px: dict[str, Counter[int]] = {}
    for one in compared:
        for row in one.rows:
            off_px.setdefault(row.form, Counter())
        for place, found in one.matches.items():
            drawn = any(not version.label_set for version, _ in found.off_px)
            if found.off_px and not drawn:  # what a person drew comes back as it was drawn
                off_px[one.rows[place].form][min(off for _, off in found.off_px)] += 1
    names = frozenset(map(class_of, file.class_names)) - {""}
    tolerances = {form: tolerance_px(form, counted) for form, counted in off_px.items()}
    origin = Origin(tolerances, label_sets[0], frozenset({Status.ACCEPTED}), names)
    differ = {name: _differences(compared, origin, name) for name in label_sets}
    label_set = min(label_sets, key=lambda name: differ[name])
    shown = {Status.ACCEPTED} | ({Status.REVIEW} if file.shows_review else set())
    shown |= {
        version.status
        for one in compared
        for place, found in one.matches.items()
        for version in origin.same(one.rows[place], found)
        if version.label_set == label_set and version.status != Status.REJECTED
    }
    return Origin(tolerances, label_set, frozenset(shown), names)


def _differences(compared: list[Compared], origin: Origin, label_set: str) -> int:
    """Count objects that are not in a label set as they are, and its labels that the file lacks."""
    count = 0
    for one in compared:
        held = {found.instance for found in one.matches.values()}
        count += sum(
            version.label_set == label_set
            and version.status == Status.ACCEPTED
            and version.instance not in held
            and bool(version.mask[1])
            for version in one.versions
        )
        for place, row in enumerate(one.rows):
            found = one.matches.get(place)
            count += found is None or not any(
                version.label_set == label_set
                and version.class_name == row.class_name
                and _says_status(row, version)
                for version in origin.same(row, found)
            )
    return count


def _says_status(row: Row, version: Version) -> bool:
    """Tell whether a row has the status of a version, or says nothing of it."""
    said = row.shape.status if row.shape.instance_id == version.instance_id else ""
    return said in ("", version.status.name.lower())
