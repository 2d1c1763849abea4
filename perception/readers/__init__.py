"""Readers: one file per dataset layout, each with `find(root)` and `load_scene(ref)`.

Here stands what the KITTI layouts share: the frames of folders of images and of sweeps.
"""

from collections import Counter
from collections.abc import Container
from pathlib import Path

from perception.core.errors import RequestError
from perception.io.clouds import SUFFIXES
from perception.io.images import is_read, remedy_for, unread_suffix


def check_name(file_name: str, where: Path) -> None:
    """Refuse a name that no text file of ours could hold.

    Raises:
        RequestError: `path.invalid` for a line break, a NUL or bytes that are not UTF-8.
    """
    try:
        file_name.encode()
        if not any(character in file_name for character in "\n\r\0"):
            return
    except UnicodeEncodeError:
        pass
    raise RequestError(
        "path.invalid", f"{where}: {file_name!r} holds a line break, NUL or no UTF-8; rename it"
    )


def frame_images(folder: Path) -> dict[str, str]:
    """List the frames of a folder of images: frame name to file name, sorted.

    Raises:
        RequestError: `source.duplicate` for a frame with two images, `source.empty`,
            `path.invalid`.
    """
    frames: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not is_read(path.name):
            continue
        check_name(path.name, folder)
        if path.stem in frames:
            raise RequestError(
                "source.duplicate", f"{folder}: {frames[path.stem]} and {path.name} are one frame"
            )
        frames[path.stem] = path.name
    if not frames:
        unread = {unread_suffix(path.name) for path in folder.iterdir()} - {""}
        fixes = "".join(f"; {suffix}: {remedy_for(suffix)}" for suffix in sorted(unread))
        raise RequestError(
            "source.empty", f"{folder} holds no picture, such as .png or .jpg{fixes}"
        )
    return dict(sorted(frames.items()))


def frame_sweeps(folder: Path, frames: Container[str]) -> dict[str, str]:
    """List the sweeps of a folder: frame name to file name; of several of one frame the first kind.

    Args:
        folder: The folder; where it is missing there is no sweep.
        frames: Those of the images beside it.

    Raises:
        RequestError: `source.invalid` for a folder whose files are no sweeps, or for other frames.
    """
    if not folder.is_dir():
        return {}
    found: dict[str, tuple[int, str]] = {}
    others = Counter[str]()
    for path in folder.iterdir():
        suffix = path.suffix.lower()
        if path.name.startswith("."):
            continue
        if suffix not in SUFFIXES:
            others[suffix or path.name] += 1
            continue
        rank = (SUFFIXES.index(suffix), path.name)
        found[path.stem] = min(found.get(path.stem, rank), rank)
    read = ", ".join(SUFFIXES)
    if others and not found:
        listed = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items())[:5])
        raise RequestError(
            "source.invalid",
            f"{folder} holds {listed}, and no sweep that is read ({read}); convert them, or take "
            "the folder away to label the pictures alone",
        )
    if found and not any(frame in frames for frame in found):
        raise RequestError(
            "source.invalid",
            f"{folder}: no image has a sweep of its name: the first sweep is "
            f"{min(name for _, name in found.values())}; name images and sweeps alike",
        )
    return {frame: name for frame, (_, name) in found.items()}
