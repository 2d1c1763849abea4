"""Plain images: a folder, a glob pattern, a list file or a single image. No geometry.

A sample is one image; its id is its path relative to the root, extension included, so that images
of one name in two folders stay apart. The root is the folder itself, the longest part of a pattern
without wildcards, or the folder of a list or a single image.

Symlinks: a link to a file inside the root is a sample of its own; a link to a folder inside the
root is passed over, for its images are found at their own place; a link out of it is an error.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from perception.errors import RequestError
from perception.readers import IMAGE_SUFFIXES, check_name, inside
from perception.types import EMPTY_SCENE, PictureRef, SampleRef, Scene

CAMERA = "camera"
WILDCARDS = "*?["


def find(root: Path) -> tuple[SampleRef, ...]:
    """Plan the images of a source, sorted by path; opens none of them.

    Args:
        root: A folder (searched with its sub-folders; hidden files and folders are skipped), a glob
            pattern ("a/**/*.png"), a list file (.txt: one path per line, relative to the file's
            folder; blank lines and lines that begin with # do not count), or an image.

    Raises:
        RequestError: `source.empty`, `source.invalid`, `source.duplicate`, `io.not_found`,
            `io.denied`, `path.outside_root` for what leads out of the root, `path.invalid` for
            names with line breaks, NUL or bytes that are not UTF-8.
    """
    base, names = _plan(root)
    if not names:
        raise RequestError(
            "source.empty", f"{root}: no images ({', '.join(sorted(IMAGE_SUFFIXES))})"
        )
    return tuple(
        SampleRef(id=name, layout="images", root=str(base), pictures=(PictureRef(CAMERA, name),))
        for name in sorted(names)
    )


def load_scene(ref: SampleRef) -> Scene:
    """Return the empty scene: nothing is known of the camera, and there is no sweep."""
    return EMPTY_SCENE


def _plan(root: Path) -> tuple[Path, list[str]]:
    """Return the root and the names below it."""
    if root.is_dir():
        base = root.resolve()
        return base, _checked(base, _walk(base))
    if root.is_file():
        base = root.parent.resolve()
        if root.suffix.lower() == ".txt":
            return base, _read_list(base, root)
        if root.suffix.lower() in IMAGE_SUFFIXES:
            return base, _checked(base, [root.name])
        raise RequestError(
            "source.invalid",
            f"{root}: expected a folder, a pattern, an image or a list file (.txt)",
        )
    if any(character in str(root) for character in WILDCARDS):
        return _glob(root)
    raise RequestError("io.not_found", f"{root}: no such folder or file")


def _walk(base: Path) -> Iterator[str]:
    """Yield the names of the images below `base`."""

    def refuse(error: OSError) -> None:
        raise RequestError("io.denied", f"{error.filename}: {error.strerror}") from error

    for folder, folders, files in os.walk(base, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in folders:
            path = Path(folder, name)
            if path.is_symlink() and not inside(base, path):
                raise _outside(base, path)
        for name in files:
            if _is_image(name):
                yield Path(folder, name).relative_to(base).as_posix()


def _glob(pattern: Path) -> tuple[Path, list[str]]:
    parts = pattern.parts
    first = next(i for i, part in enumerate(parts) if any(c in part for c in WILDCARDS))
    if ".." in parts[first:]:
        raise RequestError("path.outside_root", f"{pattern}: no .. after a wildcard")
    base = Path(*parts[:first]).resolve()
    if not base.is_dir():
        raise RequestError("io.not_found", f"{base}: no such folder")
    found = (path.relative_to(base) for path in base.glob(str(Path(*parts[first:]))))
    visible = (
        path.as_posix()
        for path in found
        if _is_image(path.name) and not any(part.startswith(".") for part in path.parts)
    )
    return base, _checked(base, dict.fromkeys(visible))


def _checked(base: Path, names: Iterable[str]) -> list[str]:
    """Check names found on disk; drop folders, and what was reached through a link to a folder."""
    checked = []
    direct: dict[Path, bool] = {}  # resolving every path of a million would take minutes
    for name in names:
        path = base / name
        if path.is_dir():
            continue
        check_name(name, base)
        if path.parent not in direct:
            if not inside(base, path.parent):
                raise _outside(base, path.parent)
            direct[path.parent] = path.parent.resolve() == path.parent
        if not direct[path.parent]:
            continue
        if path.is_symlink() and not inside(base, path):
            raise _outside(base, path)
        checked.append(name)
    return checked


def _read_list(base: Path, list_file: Path) -> list[str]:
    """Read a list file; blanks around a name do not count. Files that are missing are planned."""
    try:
        text = list_file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise RequestError("path.invalid", f"{list_file}: is not UTF-8") from None
    except PermissionError as error:
        raise RequestError("io.denied", f"{list_file}: no permission to read it") from error
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        where = Path(f"{list_file}:{number}")
        check_name(entry, where)
        name = _listed_name(base, entry, where)
        if name in lines:
            raise RequestError(
                "source.duplicate",
                f"{list_file}: {name} stands in lines {lines[name]} and {number}",
            )
        lines[name] = number
    return list(lines)


def _listed_name(base: Path, entry: str, where: Path) -> str:
    """Return an entry relative to the root, `..` and links to folders resolved."""
    path = base / entry
    if PurePosixPath(entry).name in {"", ".."}:
        raise RequestError("path.invalid", f"{where}: {entry!r} is no file name")
    if not inside(base, path.parent) or not inside(base, path):
        raise RequestError(
            "path.outside_root",
            f"{where}: {entry!r} lies outside the list's folder {base}; move the list file up",
        )
    return (path.parent.resolve() / path.name).relative_to(base).as_posix()


def _is_image(name: str) -> bool:
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _outside(base: Path, path: Path) -> RequestError:
    return RequestError(
        "path.outside_root",
        f"{path} leads to {path.resolve()}, outside the root {base}; copy it or take a higher root",
    )
