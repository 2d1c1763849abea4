"""Plain images: a folder, a glob pattern, a list file or a single image. No geometry.

A sample is one image; its id is its path relative to the root, extension included, so that images
of one name in two folders stay apart. The root is the folder itself, the longest part of a pattern
without wildcards, or the folder of a single image. Of a list it is the list's folder, or where that
does not hold them all, the longest folder that the listed images share.

What exists is taken literally: `photos [v2]` is a folder, and `photos [v2]/*.jpg` a pattern in it.

Links to files are samples of their own. Links to folders lead into the folder, unless it is in the
root: there its images are found at their own place. Whether a link may lead out of the root,
`sources` decides.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from perception.core.errors import RequestError
from perception.core.types import EMPTY_SCENE, PictureRef, SampleRef, Scene
from perception.io.images import is_read, link_as_text, read_suffixes, remedy_for, unread_suffix
from perception.readers import check_name
from perception.readers.layout import Layout

CAMERA = "camera"
WILDCARDS = "*?["
LOOKED_AT, MAX_LINK_BYTES = 100, 4096  # files of an empty folder that may be links as text


@dataclass
class _Seen:
    """Counts what a search passed over."""

    suffixes: Counter[str] = field(default_factory=Counter)
    links: list[str] = field(default_factory=list)

    def is_image(self, name: str) -> bool:
        """Tell whether a file is an image to read; count it if it looks like one and is not."""
        if name.startswith("."):
            return False
        if is_read(name):
            return True
        if suffix := unread_suffix(name):
            self.suffixes[suffix] += 1
        return False

    def notices(self) -> tuple[str, ...]:
        """Say what was passed over, one sentence a kind."""
        said = []
        if self.suffixes:
            said.append(f"passed over {self.suffixes.total()} pictures: {self._by_remedy()}")
        if self.links:
            more = f" and {len(self.links) - 3} more" if len(self.links) > 3 else ""
            said.append(
                f"passed over links to folders whose images are planned at another place, or that "
                f"lead around the source: {', '.join(self.links[:3])}{more}"
            )
        return tuple(said)

    def _by_remedy(self) -> str:
        groups: dict[str, list[str]] = {}
        for suffix, count in sorted(self.suffixes.items()):
            groups.setdefault(remedy_for(suffix), []).append(f"{count} {suffix}")
        return "; ".join(f"{', '.join(found)} ({fix})" for fix, found in groups.items())


def find(root: Path) -> tuple[SampleRef, ...]:
    """Plan the images of a source, sorted by path; opens none of them; see `survey`."""
    return survey(root)[0]


def survey(root: Path, *, local: bool = True) -> tuple[tuple[SampleRef, ...], tuple[str, ...]]:
    """Plan the images of a source, sorted by path; opens none of them.

    Args:
        root: A folder (searched with its sub-folders; hidden files and folders are skipped), a glob
            pattern ("a/**/*.png"), a list file (.txt: one path per line, relative to the file's
            folder, or where it is not there, to the working directory; blank lines and lines that
            begin with # do not count), or an image.
        local: Whether a list may name images outside its folder.

    Returns:
        The samples, and sentences for people about what was passed over.

    Raises:
        RequestError: `source.empty`, `source.invalid`, `source.duplicate`, `io.not_found`,
            `io.denied`, `path.outside_root`, `path.invalid` for names with line breaks, NUL or
            bytes that are not UTF-8.
    """
    seen = _Seen()
    base, names = _plan(root, seen, local)
    if not names:
        read = ", ".join(sorted(read_suffixes()))
        said = [f"{root}: no images ({read})", *seen.notices(), *_links_as_text(root)]
        raise RequestError("source.empty", "; ".join(said))
    refs = tuple(
        SampleRef(id=name, layout="images", root=str(base), pictures=(PictureRef(CAMERA, name),))
        for name in sorted(names)
    )
    return refs, seen.notices()


def load_scene(ref: SampleRef) -> Scene:
    """Return the empty scene: nothing is known of the camera, and there is no sweep."""
    return EMPTY_SCENE


def _plan(root: Path, seen: _Seen, local: bool) -> tuple[Path, list[str]]:
    """Return the root and the names below it."""
    if root.is_dir():
        base = root.resolve()
        return base, _checked(base, _walk(base, seen))
    if root.is_file():
        base = root.parent.resolve()
        if root.suffix.lower() == ".txt":
            return _read_list(base, root, local)
        if seen.is_image(root.name):
            return base, _checked(base, [root.name])
        fault = "expected a folder, a pattern, an image or a list file (.txt)"
        if suffix := unread_suffix(root.name):
            fault = f"{suffix} is not read: {remedy_for(suffix)}"
        raise RequestError("source.invalid", f"{root}: {fault}")
    if any(character in str(root) for character in WILDCARDS):
        return _glob(root, seen)
    raise RequestError("io.not_found", f"{root}: no such folder or file")


def _links_as_text(root: Path) -> list[str]:
    """Say what makes a folder of links empty where it was copied without them."""
    if not root.is_dir():
        return []
    small = [path for path in sorted(root.iterdir())[:LOOKED_AT] if path.is_file()]
    said = []
    for path in (path for path in small if path.stat().st_size <= MAX_LINK_BYTES):
        with path.open("rb") as stream:
            if fault := link_as_text(stream):
                said.append(f"{path.name} {fault}")
    return said[:1]


def _walk(base: Path, seen: _Seen) -> Iterator[str]:
    """Yield the names of the images below `base`, through links out of it too, each folder once."""

    def refuse(error: OSError) -> None:
        raise RequestError("io.denied", f"{error.filename}: {error.strerror}") from error

    root = str(base)
    outside = set[str]()  # folders that were entered through links, where they really are
    for folder, folders, files in os.walk(base, onerror=refuse, followlinks=True):
        here = os.path.realpath(folder) if outside else folder
        entered = []
        for name in sorted(folders):
            path = os.path.join(folder, name)  # noqa: PTH118 - a Path for each folder is slow
            is_link = os.path.islink(path)  # noqa: PTH114
            if name.startswith("."):
                continue
            if is_link or not _is_below(here, root):
                real = os.path.realpath(path)
                if _is_below(real, root) or _is_below(root, real) or real in outside:
                    seen.links.append(Path(path).relative_to(base).as_posix())
                    continue
                outside.add(real)
            entered.append(name)
        folders[:] = entered
        for name in files:
            if seen.is_image(name):
                yield Path(folder, name).relative_to(base).as_posix()


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _glob(pattern: Path, seen: _Seen) -> tuple[Path, list[str]]:
    parts = pattern.parts
    first = next(
        i
        for i, part in enumerate(parts)
        if any(c in part for c in WILDCARDS) and not Path(*parts[: i + 1]).is_dir()
    )
    if ".." in parts[first:]:
        raise RequestError("path.outside_root", f"{pattern}: no .. after a wildcard")
    base = Path(*parts[:first]).resolve()
    if not base.is_dir():
        raise RequestError("io.not_found", f"{base}: no such folder")
    found = (path.relative_to(base) for path in base.glob(str(Path(*parts[first:]))))
    visible = (
        path.as_posix()
        for path in found
        if not any(part.startswith(".") for part in path.parts) and seen.is_image(path.name)
    )
    return base, _checked(base, dict.fromkeys(visible))


def _checked(base: Path, names: Iterable[str]) -> list[str]:
    """Check names found on disk; drop folders, and what a link within the root leads to again."""
    checked = []
    again: dict[Path, bool] = {}  # resolving every path of a million would take minutes
    for name in names:
        path = base / name
        if path.is_dir():
            continue
        check_name(name, base)
        if path.parent not in again:
            real = path.parent.resolve()
            again[path.parent] = real != path.parent and real.is_relative_to(base)
        if not again[path.parent]:
            checked.append(name)
    return checked


def _read_list(base: Path, list_file: Path, local: bool) -> tuple[Path, list[str]]:
    """Read a list file; blanks around a name do not count.

    Some files may be missing, not all; in a bucket (`local` False) only reading them tells.
    """
    try:
        text = list_file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise RequestError("path.invalid", f"{list_file}: is not UTF-8") from None
    except PermissionError as error:
        raise RequestError("io.denied", f"{list_file}: no permission to read it") from error
    lines: dict[Path, int] = {}
    first, some_exist = "", False
    for number, line in enumerate(text.split("\n"), start=1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        where = Path(f"{list_file}:{number}")
        check_name(entry, where)
        path = _listed(base, entry, where, local)
        if path in lines:
            raise RequestError(
                "source.duplicate",
                f"{list_file}: {entry} stands in lines {lines[path]} and {number}",
            )
        lines[path] = number
        first, some_exist = first or entry, some_exist or os.path.lexists(path)
    if local and lines and not some_exist:
        raise RequestError(
            "io.not_found",
            f"{list_file}: none of its {len(lines)} entries is a file; the first is {first!r}: "
            f"expected paths of images, ending included, relative to {base} or the working folder",
        )
    return _shared_root(base, list_file, lines)


def _listed(base: Path, entry: str, where: Path, local: bool) -> Path:
    """Return where an entry is, `..` and links to folders resolved.

    Raises:
        RequestError: `path.invalid`; `path.outside_root` for what is no image and lies outside the
            list's folder.
    """
    if PurePosixPath(entry).name in {"", ".."}:
        raise RequestError("path.invalid", f"{where}: {entry!r} is no file name")
    spelled = dict.fromkeys([entry, entry.replace("\\", "/")])
    folders = [base, *([Path.cwd()] if local else [])]
    choices = [folder / name for name in spelled for folder in folders]
    path = next((choice for choice in choices if os.path.lexists(choice)), choices[0])
    path = path.parent.resolve() / path.name
    if not path.is_relative_to(base) and not (local and is_read(path.name)):
        raise RequestError(
            "path.outside_root",
            f"{where}: {entry!r} lies outside the list's folder {base} and is no image; "
            "expected paths of images",
        )
    return path


def _shared_root(base: Path, list_file: Path, lines: dict[Path, int]) -> tuple[Path, list[str]]:
    if any(not path.is_relative_to(base) for path in lines):
        base = Path(os.path.commonpath([path.parent for path in lines]))
        if base == Path(base.anchor):
            raise RequestError(
                "path.outside_root",
                f"{list_file}: its images have no folder in common but {base}; write a list each",
            )
    return base, [path.relative_to(base).as_posix() for path in lines]


LAYOUT = Layout("images")
