"""Label formats: one file each, with `write` and `read`; no format knows another.

Here stands only what every writer needs: where it may write, how a file appears whole or not at
all, and which instances become labels.
"""

import filecmp
import itertools
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from perception.core import masks as rle
from perception.core.box_rows import parse_number as parse_number  # a number is the same everywhere
from perception.core.errors import RequestError, SampleError
from perception.core.ontology import Target
from perception.core.shapes import mask_of_polygons as mask_of_polygons  # the formats fill with it
from perception.core.text import text_of
from perception.core.types import (
    Bool,
    ExportSummary,
    Float32,
    Instances,
    Int32,
    Masks,
    PictureLabels,
    PointState,
    RowAligned,
    SampleLabels,
    Status,
)
from perception.io.files import opened, replacing

MAX_TEXT_BYTES = 1 << 24  # a label file of one picture
MAX_INDEX_BYTES = 1 << 29  # a file about all pictures of an export
LABEL = ""  # the fate of an instance that is written as a label


@dataclass(frozen=True, eq=False, repr=False)
class Objects(RowAligned):
    """N objects of one picture, as a file from outside holds them.

    Attributes:
        instance_ids: (N,) int32, ours; 0 where the file has none.
        class_names: N names of the format.
        scores: (N,) float32; NaN where the file has none.
        ignored: (N,) bool, regions that a trainer leaves out.
        masks: (N) masks.
    """

    instance_ids: Int32
    class_names: tuple[str, ...]
    scores: Float32
    ignored: Bool
    masks: Masks


@dataclass(frozen=True, eq=False)
class PictureObjects:
    """One picture of a file from outside.

    Attributes:
        file_name: POSIX path, as in `PictureLabels`.
        size_hw: Height and width of the picture.
        objects: (N) objects; there may be none.
        skipped: (("polyline", 2), ...): shapes without an area, counted by kind.
    """

    file_name: str
    size_hw: tuple[int, int]
    objects: Objects
    skipped: tuple[tuple[str, int], ...] = ()


def objects_of(
    rows: Iterable[tuple[int, str, float, bool, tuple[Int32, bytes]]], size_hw: tuple[int, int]
) -> Objects:
    """Put rows of `Objects` together: id, class name, score, ignored, encoded mask."""
    table = list(rows)
    return Objects(
        instance_ids=np.array([row[0] for row in table], np.int32),
        class_names=tuple(row[1] for row in table),
        scores=np.array([row[2] for row in table], np.float32),
        ignored=np.array([row[3] for row in table], bool),
        masks=rle.join(tuple(row[4] for row in table), size_hw),
    )


def pictures_of(
    samples: Iterable[SampleLabels], tally: "Tally"
) -> Iterator[tuple[SampleLabels, PictureLabels, str]]:
    """Yield every picture with its sample and its owner for messages; count the samples.

    Raises:
        RequestError: `export.collision` for a file name that comes twice, `path.outside_root`.
    """
    owners: dict[str, str] = {}
    for sample in samples:
        tally.samples += 1
        for picture in sample.pictures:
            owner = f"sample {sample.id!r}, {picture.file_name!r}"
            relative_name(picture.file_name, f"sample {sample.id!r}")
            if picture.file_name in owners:
                raise RequestError(
                    "export.collision",
                    f"sample {owners[picture.file_name]!r} and sample {sample.id!r} both have a "
                    f"picture {picture.file_name!r}, expected each file once",
                )
            owners[picture.file_name] = sample.id
            yield sample, picture, owner


def number_or_none(value: Any) -> float | None:
    """Return a number as JSON can hold it, which has neither NaN nor infinity."""
    return float(value) if math.isfinite(value) else None


def known_of(instances: Instances, row: int) -> dict[str, Any]:
    """Return what we know of an instance besides class and mask, for keys of our own."""
    x0, y0, x1, y1 = (float(side) for side in instances.boxes_xyxy[row])
    return {
        "score": number_or_none(instances.scores[row]),
        "instance_id": int(instances.instance_ids[row]),
        "trust": number_or_none(instances.trusts[row]),
        "status": Status(int(instances.statuses[row])).name.lower(),
        "by_human": bool(instances.by_human[row]),
        "reasons": list(instances.reasons[row]),
        "predicted_iou": number_or_none(instances.predicted_ious[row]),
        "stability": number_or_none(instances.stabilities[row]),
        "box_iou": number_or_none(instances.box_ious[row]),
        "prompt_box": [number_or_none(value) for value in (x0, y0, x1 - x0, y1 - y0)],
    }


def relative_name(name: str, owner: str) -> PurePosixPath:
    """Return a name from outside as a relative path.

    Raises:
        RequestError: `path.outside_root` for names that are absolute or lead upwards.
    """
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise RequestError(
            "path.outside_root",
            f"{owner}: name {name!r}, expected a path relative to the dataset's root, without '..'",
        )
    return path


class Stems:
    """Names of pictures without their ending, each name once.

    Where two pictures share one, as street.jpg and street.png, both keep their ending in it:
    street_jpg and street_png; a name that is still taken gets a number: street_jpg-2. It depends on
    all names together, not on their order. A name that nobody gave is cut as it is.
    """

    def __init__(
        self, file_names: Iterable[str] = (), spell: Callable[[str], str] = lambda name: name
    ) -> None:
        """Find names for pictures.

        Args:
            file_names: All that are written, as in `PictureLabels`.
            spell: How the format writes a name.
        """
        self._spell = spell
        paths = {name: PurePosixPath(spell(name)) for name in sorted(set(file_names))}
        shared = Counter(path.with_suffix("") for path in paths.values())
        taken = {stem for stem, count in shared.items() if count == 1}
        self.renamed: dict[str, PurePosixPath] = {}
        for name, path in paths.items():
            if shared[path.with_suffix("")] > 1:
                wanted = "_".join(part for part in (path.stem, path.suffix[1:]) if part)
                numbered = (f"{wanted}-{number}" for number in itertools.count(2))
                free = map(path.with_name, itertools.chain([wanted], numbered))
                self.renamed[name] = next(stem for stem in free if stem not in taken)
                taken.add(self.renamed[name])

    def __call__(self, file_name: str, owner: str) -> PurePosixPath:
        """Return the name of a picture.

        Raises:
            RequestError: as `relative_name`.
        """
        relative_name(file_name, owner)
        found = self.renamed.get(file_name)
        return found or PurePosixPath(self._spell(file_name)).with_suffix("")


PLAIN = Stems()


class Outputs:
    """The files of one export: all inside `out`, each claimed once."""

    def __init__(self, out: Path) -> None:
        """Export into folder `out`, which need not exist."""
        self._out = out
        self._root = out.resolve()
        self._owners: dict[PurePosixPath, str] = {}
        self._inside: set[Path] = set()

    def claim(self, relative: PurePosixPath, owner: str) -> Path:
        """Return where `owner` writes `relative`.

        Raises:
            RequestError: `export.collision` if another owner has it, `path.outside_root` if a link
                inside `out` leads elsewhere.
        """
        path = self._out / relative
        if relative in self._owners:
            raise RequestError(
                "export.collision",
                f"{path}: {self._owners[relative]} and {owner} would both write it; export them "
                "into two folders, or give the files different names",
            )
        self._owners[relative] = owner
        if path.parent not in self._inside:
            parent = path.parent.resolve()
            if not parent.is_relative_to(self._root):
                raise RequestError(
                    "path.outside_root",
                    f"{owner}: {path} leads to {parent}, outside {self._root}; remove the link",
                )
            self._inside.add(path.parent)
        return path


def link_to(link: Path, source: Path, owner: str) -> None:
    """Make `link` lead to a picture of the dataset.

    Raises:
        RequestError: `io.not_found`; `export.collision` if something else than a link is there.
    """
    if not source.is_file():
        raise RequestError(
            "io.not_found", f"{owner}: {source} does not exist; check the image root"
        )
    if link.is_symlink() and link.readlink() == source:
        return
    if link.exists() and not link.is_symlink():
        raise RequestError(
            "export.collision", f"{link}: is a file, not a link; use an empty folder"
        )
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(source)


def copy_to(path: Path, source: Path, owner: str) -> None:
    """Put the bytes of a picture of the dataset at `path`.

    Raises:
        RequestError: `io.*`; `export.collision` if another file is there; `disk.*`.
    """
    try:
        with opened(source) as stream:
            if path.is_file() and not path.is_symlink():
                if filecmp.cmp(source, path, shallow=False):
                    return
                raise RequestError(
                    "export.collision",
                    f"{path}: is another file than {source}; use an empty folder",
                )
            with replacing(path, source.stat().st_size) as target:
                shutil.copyfileobj(stream, target)
    except SampleError as error:
        raise RequestError(error.code, f"{owner}: {error.message}; check the image root") from error


def read_bytes(path: Path, limit: int) -> bytes:
    """Read a file of one sample.

    Raises:
        SampleError: `io.not_found`, `io.denied`, or `label.invalid` if it is larger than `limit`.
    """
    with opened(path) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        size = path.stat().st_size
        raise SampleError("label.invalid", f"{path}: {size} bytes, expected at most {limit}")
    return data


def read_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return the words of every line that is not blank, with its number from 1.

    Raises:
        SampleError: as `read_bytes`, and `label.invalid` if the file is not text.
    """
    try:
        text = text_of(read_bytes(path, MAX_TEXT_BYTES))
    except UnicodeError as error:
        raise SampleError(
            "label.invalid", f"{path}: is not UTF-8 text: {error}; save it as UTF-8"
        ) from error
    lines = enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1)
    return [(number, words) for number, line in lines if (words := line.split())]


def fates(
    instances: Instances, target: Target, statuses: frozenset[Status]
) -> tuple[tuple[int, str], ...]:
    """Return (row, fate): `LABEL`, or why the instance is none.

    The reasons are "mask.empty", "class.ignored" (not in `target`) and the name of a status that is
    not among `statuses`, in this order of precedence.
    """
    rows = []
    for row in range(len(instances)):
        status = Status(int(instances.statuses[row]))
        if not instances.masks.counts[row]:
            fate = "mask.empty"
        elif int(instances.class_ids[row]) not in target.ids:
            fate = "class.ignored"
        else:
            fate = LABEL if status in statuses else status.name.lower()
        rows.append((row, fate))
    return tuple(rows)


@dataclass
class Tally:
    """Counts while an export runs; see `ExportSummary`."""

    samples: int = 0
    labels: int = 0
    ignored: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def summary(self) -> ExportSummary:
        """Return the counts so far, reasons in alphabetical order."""
        left_out = tuple(sorted((reason, n) for reason, n in self.left_out.items() if n))
        return ExportSummary(self.samples, self.labels, self.ignored, left_out)


@dataclass(frozen=True, eq=False)
class PointIds:
    """What a point format writes for the P points of a sample.

    Attributes:
        classes: (P,) int64 class ids of the format; 0 where a point is no label.
        instances: (P,) int64 instance ids; 0 where a point is no label.
    """

    classes: npt.NDArray[np.int64]
    instances: npt.NDArray[np.int64]


def point_ids(
    sample: SampleLabels,
    target: Target,
    statuses: frozenset[Status],
    tally: Tally,
    *,
    max_class: int,
    max_instance: int,
) -> PointIds:
    """Return the ids of a sample's points in a format, and count them.

    Points whose instance has another status count as ignored; classes that the target lacks and
    instances that no picture has are left out.

    Raises:
        RequestError: `id.overflow` for an id that the format cannot hold; nothing is counted.
    """
    points = sample.points
    labelled = points.states == PointState.LABELLED
    mapped = labelled & np.isin(points.class_ids, list(target.ids))
    known, chosen = _known_and_chosen(sample, statuses)
    label = mapped & chosen
    classes = np.zeros(len(points), np.int64)
    for class_id in np.unique(points.class_ids[label]):
        classes[label & (points.class_ids == class_id)] = target.ids[int(class_id)]
    instances = np.where(label, points.instance_ids, 0).astype(np.int64)
    check_ids(instances, max_instance, "instance", sample.id)
    check_ids(classes, max_class, "class", sample.id)
    tally.labels += int(label.sum())
    tally.ignored += int((mapped & known & ~chosen).sum())
    tally.left_out["class.ignored"] += int((labelled & ~mapped).sum())
    tally.left_out["instance.unknown"] += int((mapped & ~known).sum())
    return PointIds(classes, instances)


def check_ids(ids: npt.NDArray[np.int64], largest: int, noun: str, sample_id: str) -> None:
    """Refuse ids that a format cannot hold.

    Raises:
        RequestError: `id.overflow`, naming the sample, the id and the largest one.
    """
    wrong = ids[(ids < 0) | (ids > largest)]
    if len(wrong):
        raise RequestError(
            "id.overflow",
            f"sample {sample_id!r}: {noun} id {int(wrong[0])}, expected 0 to {largest}, which is "
            "what the format holds; nothing was written for this sample",
        )


def _known_and_chosen(sample: SampleLabels, statuses: frozenset[Status]) -> tuple[Bool, Bool]:
    """Say per point whether a picture has its instance, and whether that has a wanted status."""
    ids, wanted = list[Int32](), list[Bool]()
    for picture in sample.pictures:
        ids.append(picture.instances.instance_ids)
        wanted.append(np.isin(picture.instances.statuses, [int(status) for status in statuses]))
    if not ids:
        nowhere = np.zeros(len(sample.points), bool)
        return nowhere, nowhere
    all_ids = np.concatenate(ids)
    known = np.isin(sample.points.instance_ids, all_ids)
    return known, np.isin(sample.points.instance_ids, all_ids[np.concatenate(wanted)])
