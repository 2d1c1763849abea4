"""Folders that a page is written into: what may be replaced, and nothing else."""

import os
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from perception.core.errors import RequestError
from perception.io import files

# Every file that `show` and `review` write, now or in older versions, besides those of web/.
_WRITTEN = re.compile(
    r"(index\.html|data\.js|recording\.rrd|three_LICENSE\.txt|three\.min\.js"
    r"|(style|show|review)\.css|(show|review|captions|picture_view|point_view)\.js"
    r"|pictures/\d{3,}-\d+\.jpg|frames/\d{3,}\.js|points/\d{6,}\.js"
    r"|crops/\d{6,}-(now|before|after)\.jpg|examples/(best|worst|random)-\d+\.jpg"
    rf"|([a-z]+/)?{re.escape(files.TEMPORARY)}[0-9a-f]{{16}})"
)
_SIGNS = ("style.css", "point_view.js")  # of a page of ours, half a page that was killed included


def refuse_occupied(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds anything; with `overwrite`, anything but a page of ours.

    Raises:
        RequestError: `output.exists`, naming a file that would be lost.
    """
    if not overwrite or not out.is_dir() or not any(out.iterdir()):
        try:
            files.refuse_occupied(out)
        except RequestError as error:
            if not _is_page(out):
                raise
            raise RequestError(
                "output.exists", f"{out}: holds a page; --overwrite replaces it, or choose another"
            ) from error
        return
    strange = next((name for name in _names(out) if not _WRITTEN.fullmatch(name)), "")
    if strange or not _is_page(out):
        what = f"holds {strange}, which is not" if strange else "is not"
        raise RequestError(
            "output.exists", f"{out}: {what} part of a page that show wrote; choose another --out"
        )


def begin(out: Path, web: Sequence[str], keep: str = "") -> None:
    """Remove the page that is there, and begin another; only after `refuse_occupied` allowed it.

    Args:
        out: The folder.
        web: Files of web/ that the page needs. They come first: they are signs of a page.
        keep: A file that was begun before.
    """
    for name in _names(out):
        if _WRITTEN.fullmatch(name) and name != keep:
            (out / name).unlink()
    source = resources.files("perception.review") / "web"
    for name in web:
        files.write_bytes(out / name, (source / name).read_bytes())


def _is_page(out: Path) -> bool:
    return all((out / name).is_file() for name in _SIGNS)


def _names(out: Path) -> list[str]:
    """Return the files below a folder, as POSIX paths; links are not followed."""
    return [
        Path(parent, name).relative_to(out).as_posix()
        for parent, folders, names in os.walk(out)
        for name in [*names, *(one for one in folders if Path(parent, one).is_symlink())]
    ]
