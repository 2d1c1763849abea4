"""Links that lead out of a dataset's root: named in the plan, or not followed.

Data sets are often folders of links: mmdetection3d's, Hugging Face's cache, our own YOLO export.
So a link may lead out of the root, and the plan names the file that it leads to; people are told
before any work. What is opened later is what the plan names, or inside the root: a link that is
changed meanwhile leads nowhere. And a link leads to a file of its own kind: `a.png` to a picture,
`a.bin` to a .bin. A folder that somebody sent, with a link to /etc/passwd or a key in it, is
refused, and so is a name with `..` or an absolute one.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePath

from perception.core.errors import RequestError, SampleError
from perception.core.types import SampleRef
from perception.io.images import is_read

SHOWN = 3  # folders that a notice names
# Stores that name files by their content: Hugging Face, DVC, git-annex.
_CONTENT_NAME = re.compile(r"[0-9a-f]{30,128}")


def named(refs: Iterable[SampleRef]) -> tuple[tuple[SampleRef, ...], tuple[str, ...]]:
    """Name in each sample the files that its links lead to, out of its root.

    Returns:
        The samples, and a sentence for people where there are such files.

    Raises:
        RequestError: `path.outside_root` for a link to a file of another kind.
    """
    folders = dict[str, str]()  # as named, to where it really is
    places = dict[str, None]()
    count, found = 0, []
    for ref in refs:
        outside = tuple(dict.fromkeys(_leading_out(ref, folders)))
        if outside:
            ref = replace(ref, outside=outside)
            places.update(dict.fromkeys(os.path.dirname(path) for path in outside))  # noqa: PTH120
            count += len(outside)
        found.append(ref)
    if not count:
        return tuple(found), ()
    more = f" and {len(places) - SHOWN} more folders" if len(places) > SHOWN else ""
    files = "1 file" if count == 1 else f"{count} files"
    notice = (
        f"links lead out of the source to {files}, in {', '.join([*places][:SHOWN])}{more}; "
        "plan.jsonl names each"
    )
    return tuple(found), (notice,)


def _leading_out(ref: SampleRef, folders: dict[str, str]) -> Iterator[str]:
    """Yield the files outside its root that a sample's links lead to."""
    for name, above in _names(ref):
        if name.startswith("/") or ".." in name.split("/"):  # no link: `confined` judges it
            continue
        folder, _, last = f"{ref.root}/{name}".rpartition("/")
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        path = f"{folders[folder]}/{last}"
        if os.path.islink(path):  # noqa: PTH114 - 100,000 times
            path = os.path.realpath(path)
        if ref.root not in folders:
            folders[ref.root] = os.path.realpath(ref.root)
        if _is_below(path, folders[ref.root], above):
            continue
        if not _is_of_its_kind(name, path):
            raise RequestError(
                "path.outside_root",
                f"{name!r} leads to {path}, outside the root {ref.root}, and that is no such file; "
                "remove the link, or copy the file",
            )
        yield path


def _names(ref: SampleRef) -> Iterator[tuple[str, int]]:
    """Yield the files of a sample, and how many folders above the root still count as its own."""
    for picture in ref.pictures:
        yield picture.file_name, 0
    if ref.sweep_file:
        yield ref.sweep_file, 0
    for name in ref.calib_files:  # raw drives of one date share a calibration beside them
        yield name, 1


def _is_below(path: str, root: str, above: int) -> bool:
    for _ in range(above):
        root = os.path.dirname(root)  # noqa: PTH120
    return path == root or path.startswith(root.rstrip("/") + "/")


def _is_of_its_kind(name: str, target: str) -> bool:
    ours, theirs = PurePath(name).suffix.lower(), PurePath(target).suffix.lower()
    same = ours == theirs or (is_read(name) and is_read(target))
    return same or _CONTENT_NAME.fullmatch(PurePath(target).name) is not None


def confined(ref: SampleRef, name: str, above: int = 0) -> Path:
    """Return the path of a file of the dataset.

    Args:
        ref: The sample.
        name: POSIX path relative to the root.
        above: How many folders above the root still count as the dataset.

    Raises:
        SampleError: `path.outside_root` for what is absolute, climbs out by `..`, or is a link that
            leads out to what the plan does not name.
    """
    root = Path(ref.root)
    try:
        limit = root.resolve()
        for _ in range(above):
            limit = limit.parent
        found = (root / name).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of symlinks, a NUL
        raise SampleError(
            "io.not_found", f"{root}: {name!r} is no path of a file: {error}"
        ) from error
    if not found.is_relative_to(limit) and str(found) not in ref.outside:
        raise SampleError(
            "path.outside_root",
            f"{name!r} leads to {found}, outside the root {limit}, which the plan does not name",
        )
    return root / name
