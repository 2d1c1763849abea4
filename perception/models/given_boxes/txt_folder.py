"""A folder of txt files: YOLO's or KITTI's is told from the files of the planned pictures.

READMEs, lists of pictures and files of class names lie among labels, and one odd file must not
decide for all. So hundreds of files that pictures have are read, spread over the plan; what they
hold is decided for all, and each file is checked again when its picture is labelled.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from perception.core.errors import RequestError, SampleError
from perception.core.names import match_names
from perception.formats import parse_number, read_lines, yolo_rows
from perception.formats.yolo_rows import Fault, Lines, Row, Shape
from perception.models.given_boxes.kitti_folder import KittiBoxes
from perception.models.given_boxes.yolo_folder import YoloBoxes, label_file
from perception.models.given_boxes.yolo_meaning import understand
from perception.models.given_boxes.yolo_names import LOOKED_FOR, Names, find_names

READ = 300  # files that decide; every file is checked again when it is used
# Where no picture is planned: files that lie among labels and are none.
_NO_LABELS = re.compile(
    r"readme.*|(predefined_)?classes|labels|(train|val|valid|test|all|image_?list|imagesets?)"
    r"|requirements|licen[cs]e|notes?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _File:
    path: Path
    lines: Lines
    kind: str


def open_txt_folder(
    folder: Path, root: Path, file_names: Sequence[str], *, by_frame: bool
) -> YoloBoxes | KittiBoxes:
    """Open a folder of KITTI or YOLO txt files.

    Args:
        folder: The folder, absolute.
        root: Of the source.
        file_names: Of the planned pictures; without any, all txt files of the folder count.
        by_frame: The pictures are known by frame numbers of their own, as KITTI's.

    Raises:
        RequestError: `boxes.invalid` for a folder without a file for any picture, of rows that are
            neither, without names, or whose meaning stays unclear.
    """
    kitti = KittiBoxes(root, folder, parallel=not by_frame)
    found, matched = _planned_files(folder, file_names, kitti)
    files = list(islice(_read(found), READ))
    kinds = Counter(file.kind for file in files)
    kind = max(sorted(kinds), key=lambda name: kinds[name], default="")
    places = sorted({place for path in found for place in _between(path.parent, folder)})
    if kind == "neither":
        raise RequestError("boxes.invalid", _neither(files))
    names = None if kind == "kitti" else _names(folder, places, root)
    if kind == "kitti" or (not kind and names is None):
        notices = (f"boxes: read as KITTI rows, told from {_count(files)}",)
        return KittiBoxes(
            root,
            folder,
            parallel=not by_frame,
            file_names=file_names,
            notices=(*notices, *_others(files, "kitti", "KITTI")),
        )
    if names is None:
        looked = ", ".join(map(str, dict.fromkeys((*places, *folder.parents[:2], root))))
        raise RequestError(
            "boxes.invalid",
            f"{files[0].path}: looks like YOLO boxes, but no file says what the class numbers "
            f"mean; looked for {LOOKED_FOR} in {looked}",
        )
    return _yolo(folder, files, names, matched)


def _planned_files(
    folder: Path, file_names: Sequence[str], kitti: KittiBoxes
) -> tuple[list[Path], dict[str, Path]]:
    """Return some files of the planned pictures; all of them by picture if names had to be matched.

    Raises:
        RequestError: `boxes.invalid` if there is none.
    """

    def in_tree(name: str) -> Path:
        path = label_file(folder, name)
        return path if path.is_file() else kitti.label_file(name)

    matched = dict[str, Path]()
    if not file_names:
        paths = sorted(folder.rglob("*.txt"))
        found = [path for path in paths if not _NO_LABELS.fullmatch(path.stem)]
    else:
        found = _existing(file_names, in_tree)
        if not found:
            matched = _by_name(folder, file_names)
            found = _existing(list(matched), lambda name: matched[name])
    if not found:
        raise RequestError("boxes.invalid", _nothing(folder, file_names))
    return found, matched


def _by_name(folder: Path, file_names: Sequence[str]) -> dict[str, Path]:
    """Match pictures with files that do not lie in a tree like theirs, by the ends of the names.

    Raises:
        RequestError: `boxes.invalid` for a picture that several files could mean: without one, it
            would count as empty.
    """
    theirs = [path.relative_to(folder).as_posix() for path in folder.rglob("*.txt")]
    matches = match_names(file_names, sorted(theirs), by_stem=True)
    if matches.contested:
        ours, names = next(iter(matches.contested.items()))
        raise RequestError(
            "boxes.invalid",
            f"{folder}: {', '.join(names[:3])} could mean {ours} or another picture; put the files "
            "into folders named as those of the pictures",
        )
    return {ours: folder / name for ours, name in matches.theirs_of.items()}


def _existing(file_names: Sequence[str], place: Callable[[str], Path]) -> list[Path]:
    """Return up to 2 * READ files that are there, spread over the plan; empty ones tell nothing."""
    step = max(1, len(file_names) // READ)
    order = (i for start in range(step) for i in range(start, len(file_names), step))
    found = list[Path]()
    for i in order:
        path = place(file_names[i])
        if path.is_file():
            found.append(path)
            if len(found) == 2 * READ:
                break
    return found


def _nothing(folder: Path, file_names: Sequence[str]) -> str:
    there = sorted(path.relative_to(folder) for path in folder.rglob("*.txt"))
    if not there:
        return f"{folder}: holds no .txt file"
    shown = ", ".join(map(str, there[:3]))
    if not file_names:
        return f"{folder}: holds no label file, only {shown}"
    return (
        f"no image has a box file in {folder}; the first was looked for at "
        f"{label_file(folder, file_names[0])}; what is there: {shown} ({len(there)} .txt files)"
    )


def _between(place: Path, folder: Path) -> Iterator[Path]:
    """Yield the folders from a file's up to the one that was named."""
    while place != folder and folder in place.parents:
        yield place
        place = place.parent
    yield folder


def _names(folder: Path, places: Sequence[Path], root: Path) -> Names | None:
    """Find the class names beside the labels, else beside the pictures, if those lie elsewhere."""
    found = find_names(places, folder.parents[:2])
    return find_names([root]) if found is None and root not in folder.parents else found


def _read(paths: Sequence[Path]) -> Iterator[_File]:
    """Read files and tell what their rows look like; empty ones tell nothing.

    Raises:
        RequestError: `boxes.invalid` if none is text.
    """
    faults, texts = list[str](), 0
    for path in paths:
        try:
            lines = read_lines(path)
        except SampleError as error:
            faults.append(error.message)
            continue
        texts += 1
        kinds = Counter(_kind(words) for _, words in lines)
        if kinds:
            yield _File(path, lines, max(sorted(kinds), key=lambda name: kinds[name]))
    if faults and not texts:
        raise RequestError("boxes.invalid", faults[0])


def _kind(words: list[str]) -> str:
    """Tell the kind of a row: KITTI's are long and have a word among the first three."""
    is_number = [parse_number(word) == parse_number(word) for word in words]
    if len(words) >= 8 and not all(is_number[:3]):
        return "kitti"
    return "yolo" if is_number[0] else "neither"


def _neither(files: Sequence[_File]) -> str:
    file = next(file for file in files if file.kind == "neither")
    number, words = file.lines[0]
    hint = ""
    if "," in words[0]:
        hint = "; numbers are separated by spaces, not by commas"
    elif len(words) in (5, 6):
        hint = f"; {words[0]!r} stands where YOLO has the number of a class"
    return (
        f"{file.path}:{number}: {' '.join(words)[:60]!r} is no row of YOLO (a class number and "
        f"shares of the picture's sides) nor of KITTI (a type and 14 numbers){hint}"
    )


def _yolo(
    folder: Path, files: Sequence[_File], names: Names, matched: dict[str, Path]
) -> YoloBoxes:
    read = [
        row
        for file in files
        if file.kind == "yolo"
        for row in yolo_rows.rows_of(file.path, file.lines)
    ]
    rows = [row for row in read if isinstance(row, Row)]
    for row in rows:
        if row.class_id >= len(names.names):
            raise RequestError(
                "boxes.invalid",
                f"{row.where}: {yolo_rows.nameless(row, names.names)} in {names.files[0]}",
            )
    _refuse_pixels(rows)
    meaning = understand(rows, names.keypoints)
    shapes = [row if isinstance(row, Fault) else yolo_rows.shape_of(row, meaning) for row in read]
    faults = [shape for shape in shapes if isinstance(shape, Fault)]
    good = [shape for shape in shapes if isinstance(shape, Shape)]
    if len(faults) > len(good):
        raise RequestError(
            "boxes.invalid",
            f"{faults[0].text}; {len(faults)} of {len(read)} rows that were read give no box",
        )
    return YoloBoxes(
        folder,
        names.names,
        meaning,
        matched=matched,
        names_files=names.files,
        notices=(
            *_understood(files, good, names),
            *_matched(matched),
            *_doubted(good, faults, files[0].path if files else folder),
            *_others(files, "yolo", "YOLO"),
        ),
    )


def _refuse_pixels(rows: Sequence[Row]) -> None:
    """Refuse boxes in pixels: they may be those of a picture of another size."""
    large = [row for row in rows if len(row.values) >= 4 and max(row.values[:4]) > 2]
    if len(large) * 2 > len(rows):
        raise RequestError(
            "boxes.invalid",
            f"{large[0].where}: {max(large[0].values[:4]):g} is in pixels; YOLO rows hold shares "
            "of the picture's width and height, 0 to 1: divide them",
        )


def _understood(files: Sequence[_File], good: Sequence[Shape], names: Names) -> Iterator[str]:
    kinds = Counter(shape.kind for shape in good)
    counted = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    yield (
        f"boxes: read as YOLO rows: {counted or 'none'} in {_count(files)}; class names of "
        f"{names.files[0]}"
    )


def _count(files: Sequence[_File]) -> str:
    if len(files) == READ:
        return f"the first {READ} files that were read"
    return f"{len(files)} file{'' if len(files) == 1 else 's'}"


def _matched(matched: dict[str, Path]) -> Iterator[str]:
    for ours, path in islice(matched.items(), 1):
        yield (
            f"boxes: {len(matched)} pictures were matched by the ends of their names, such as "
            f"{ours} with {path}"
        )


def _others(files: Sequence[_File], kind: str, name: str) -> Iterator[str]:
    others = [file for file in files if file.kind != kind]
    if others:
        yield (
            f"boxes: {len(others)} of {len(files)} files hold no {name} rows, such as "
            f"{others[0].path}: their pictures are quarantined"
        )


def _doubted(good: Sequence[Shape], faults: Sequence[Fault], example: Path) -> Iterator[str]:
    """Yield what may be wrong with the rows.

    Raises:
        RequestError: `boxes.invalid` if most boxes lie as no centre, width and height can.
    """
    if faults:
        total = len(good) + len(faults)
        yield f"boxes: {len(faults)} of {total} rows give no box and are dropped: {faults[0].text}"
    outside = [shape for shape in good if _is_far_out(shape)]
    if len(outside) * 2 > len(good):
        raise RequestError(
            "boxes.invalid",
            f"{len(outside)} of {len(good)} boxes reach far out of their picture in files such as "
            f"{example}: YOLO rows hold the centre of a box, its width and its height; these "
            "look like corners",
        )
    if len(outside) * 10 > len(good):
        yield (
            f"boxes: {len(outside)} of {len(good)} reach far out of their picture: YOLO rows begin "
            "with the centre of a box; check that it is no corner"
        )


def _is_far_out(shape: Shape) -> bool:
    return min(shape.box_xyxy) < -0.05 or max(shape.box_xyxy) > 1.05
