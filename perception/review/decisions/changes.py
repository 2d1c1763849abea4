"""What a file of people's decisions comes to: what was changed, and what could not be placed."""

from dataclasses import dataclass, field

from perception.core.types import PictureLabels
from perception.labeling.quality.correct import Correction

Seen = list[tuple[str, PictureLabels]]


@dataclass(frozen=True)
class Apart:
    """A row of an edited file that cannot be placed: kept apart, and never a reason to delete.

    Attributes:
        kind: What it is, for counting: "polyline", "class 'cow'", "picture of another size".
        where: Place in the file, and what is wrong.
    """

    kind: str
    where: str


@dataclass(frozen=True, eq=False)
class Changes:
    """What people changed or confirmed.

    Attributes:
        corrections: One entry for each label that was decided.
        seen: Labels as the run has them, or as the people saw them.
        untouched: Class name to the number of our labels that the file holds as they are.
        stays: Class name to the number of our labels that the file lacks, or holds in a row that
            was kept apart, and that stay as they are.
        reasons: Why they stay, counted.
        apart: Rows and pictures of the file that cannot be placed.
        rectangles: Labels whose mask is a rectangle that was drawn.
        pictures: Pictures of the file that are the run's, and all that the file names.
        emptied: Pictures of the file that hold nothing any more, and held labels.
    """

    corrections: tuple[Correction, ...]
    seen: Seen
    untouched: dict[str, int] = field(default_factory=dict)
    stays: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    apart: tuple[Apart, ...] = ()
    rectangles: int = 0
    pictures: tuple[int, int] = (0, 0)
    emptied: int = 0
