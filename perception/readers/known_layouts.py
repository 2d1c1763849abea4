"""What a folder looks like that is not the layout asked for, and what to give instead."""

from collections.abc import Iterator
from pathlib import Path

_SPLITS = ("", "training", "testing")
_MOST_ENTRIES = 200  # folders looked into


def hint_for(root: Path) -> str:
    """Return "; it looks like ...: give ..." for a layout that is known, else ""."""
    found = next(_seen(root), "")
    return f"; it looks like {found}" if found else ""


def _seen(root: Path) -> Iterator[str]:
    for base in (root / split for split in _SPLITS):
        if (base / "image_2").is_dir():
            yield f"KITTI's object benchmark: give kitti:{root}"
        if sequences(base / "image_02"):
            yield f"KITTI tracking: give kitti-tracking:{root}"
    if (root / "image_02" / "data").is_dir():
        yield f"a drive of KITTI's raw data: give kitti-raw:{root}"
    for pattern in ("*/image_02/data", "*/*/image_02/data"):
        for path in sorted(root.glob(pattern))[:1]:
            yield f"drives of KITTI's raw data: give one, as kitti-raw:{path.parent.parent}"
    if any((root / part / "sequences").is_dir() for part in ("", "dataset")):
        yield f"KITTI odometry or SemanticKITTI: give semantic-kitti:{root}"
    yield from _kitti_360(root)
    yield from _tables(root)
    for path in _folders(root):
        if any((path / split / "image_2").is_dir() for split in _SPLITS):
            yield f"a folder around KITTI's object benchmark: give kitti:{path}"


def _kitti_360(root: Path) -> Iterator[str]:
    drives = [root, *_folders(root / "data_2d_raw"), *_folders(root)]
    for drive in drives[:_MOST_ENTRIES]:
        for folder in (drive / "image_00" / "data_rect", drive / "data_rect"):
            if folder.is_dir():
                yield (
                    "KITTI-360, whose sweeps and calibration are not read: its pictures can be "
                    f"labelled without them, give images:{folder}"
                )


def _tables(root: Path) -> Iterator[str]:
    for path in (root, *_folders(root), *(p for f in _folders(root) for p in _folders(f))):
        if not (path / "sample.json").is_file():
            continue
        if path.name.startswith("v1.0-"):
            yield f"nuScenes: give nuscenes:{path}"
        else:
            yield (
                "Lyft Level 5 or another set with nuScenes' tables, whose sweeps and calibration "
                "are not read: its pictures can be labelled without them, give images: and their "
                "folder"
            )


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir())[:_MOST_ENTRIES]


def sequences(folder: Path) -> list[Path]:
    """Return the folders in a folder that are named by a number, as KITTI tracking's are."""
    return [path for path in _folders(folder) if path.name.isascii() and path.name.isdigit()]
