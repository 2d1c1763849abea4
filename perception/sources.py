"""Sources: from what a person types to a run's plan, and from a line of the plan to a sample.

parse_source("kitti:/data/kitti") -> Source;  find -> SampleRef, ...;  load_sample -> Sample
"""

import pkgutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import Field, ValidationError

from perception.config import Settings, load_yaml
from perception.errors import RequestError, SampleError
from perception.images import decode_image
from perception.ontology import data_folder
from perception.synthetic.read import DRIVE_LICENCE, is_drive
from perception.types import Picture, Sample, SampleRef, Scene

LAYOUTS: dict[str, str] = {
    "images": "perception.readers.images",
    "kitti": "perception.readers.kitti_object",
    "kitti-raw": "perception.readers.kitti_raw",
    "nuscenes": "perception.readers.nuscenes",
    "semantic-kitti": "perception.readers.semantic_kitti",
}


class Reader(Protocol):
    """What a module of `perception.readers` offers."""

    def find(self, root: Path) -> tuple[SampleRef, ...]:
        """Plan the samples of a dataset, sorted by id, without opening images."""
        ...

    def load_scene(self, ref: SampleRef) -> Scene:
        """Read the cameras and the points of a sample."""
        ...


class Manifest(Settings):
    """A dataset manifest (dataset.yaml): what a dataset is, and where.

    Attributes:
        name: The dataset's name.
        layout: Key of `LAYOUTS`.
        root: The dataset's root, relative to the manifest; "" in the manifests that ship with the
            package, which describe a layout.
        licence: Of the data: an SPDX name, or words.
        homepage: Where the data comes from.
        split: A list file, relative to the manifest: one sample id per line, # for comments; ""
            for all samples.
        classes: The classes that the dataset's own labels know.
        sensors: What its samples hold, by the names of cameras and sweeps.
        splits: The dataset's customary parts, in words.
    """

    name: str
    layout: str
    root: str = ""
    licence: str
    homepage: str
    split: str = ""
    classes: tuple[str, ...] = ()
    sensors: dict[str, str] = Field(default_factory=dict)
    splits: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A dataset that a run reads.

    Attributes:
        name: For people: the manifest's name, or the layout's.
        layout: Key of `LAYOUTS`.
        root: What the layout's `find` takes.
        licence: Of the data.
        split_file: List of the sample ids to take; "" for all.
    """

    name: str
    layout: str
    root: Path
    licence: str
    split_file: str = ""


def parse_source(text: str) -> Source:
    """Understand "LAYOUT:ROOT", a path to a manifest (*.yaml), or a path to images.

    A path that exists wins over a layout of the same spelling.

    Raises:
        RequestError: `source.unknown` for a layout that is not known, `source.invalid`,
            `config.invalid`, `config.unsafe`, `io.not_found`.
    """
    prefix, colon, rest = text.partition(":")
    if not text or "\0" in text:
        raise RequestError("source.invalid", f"source {text!r}: expected LAYOUT:ROOT or a path")
    if colon and "/" not in prefix and not Path(text).exists():
        if not rest:
            raise RequestError(
                "source.invalid", f"source {text!r}: expected a path after the colon"
            )
        return _of_layout(prefix, Path(rest))
    if Path(text).suffix.lower() in {".yaml", ".yml"}:
        return _of_manifest(Path(text))
    return _of_layout("images", Path(text))


def find(source: Source) -> tuple[SampleRef, ...]:
    """Plan the samples of a source, sorted by id; opens no image.

    Raises:
        RequestError: `source.duplicate` naming ids that are not unique, `source.empty`,
            `source.invalid` for a split that names unknown samples; see the readers for more.
    """
    refs = _reader(source.layout).find(source.root)
    repeated = [name for name, count in Counter(ref.id for ref in refs).items() if count > 1]
    if repeated:
        raise RequestError(
            "source.duplicate", f"{source.root}: ids are not unique: {', '.join(repeated[:5])}"
        )
    if source.split_file:
        refs = _split(refs, Path(source.split_file))
    return tuple(sorted(refs, key=lambda ref: ref.id))


def load_scene(ref: SampleRef) -> Scene:
    """Read the cameras and the points of a sample.

    Raises:
        SampleError: `path.outside_root`, `calib.invalid`, `cloud.malformed`, `size.mismatch`,
            `io.not_found`, `io.denied`, `io.failed`.
    """
    if ref.sweep_file:
        _confined(ref, ref.sweep_file)
    for name in ref.calib_files:
        _confined(ref, name, above=1)  # raw drives of one date share a calibration beside them
    for picture in ref.pictures:
        _confined(ref, picture.file_name)
    return _reader(ref.layout).load_scene(ref)


def load_sample(ref: SampleRef) -> Sample:
    """Load a sample: its images decoded, its scene read.

    Raises:
        SampleError: as `load_scene`; `image.*`, see `decode_image`.
    """
    pictures = tuple(
        Picture(
            camera=picture.camera,
            file_name=picture.file_name,
            image_rgb=decode_image(_confined(ref, picture.file_name)),
        )
        for picture in ref.pictures
    )
    return Sample(id=ref.id, pictures=pictures, scene=load_scene(ref))


def load_manifest(path: Path) -> Manifest:
    """Read a dataset manifest.

    Raises:
        RequestError: `config.invalid` naming the file and the key, `config.unsafe`, `io.not_found`.
    """
    values = load_yaml(path)
    if isinstance(values, dict) and "download" in values:  # others' tools execute it
        raise RequestError("config.unsafe", f"{path}: `download` is not accepted; remove the key")
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"]) or "manifest"
        raise RequestError("config.invalid", f"{path}: {key}: {fault['msg']}") from error


def _of_layout(layout: str, root: Path) -> Source:
    _reader(layout)
    folder = LAYOUTS[layout].rpartition(".")[2]
    manifest = load_manifest(data_folder() / folder / "dataset.yaml")
    licence = DRIVE_LICENCE if is_drive(root) else manifest.licence  # KITTI's layout, not its data
    return Source(name=manifest.name, layout=layout, root=root, licence=licence)


def _of_manifest(path: Path) -> Source:
    manifest = load_manifest(path)
    _reader(manifest.layout)
    if not manifest.root:
        raise RequestError(
            "source.invalid",
            f"{path}: has no `root`; it describes a layout: give {manifest.layout}:ROOT",
        )
    return Source(
        name=manifest.name,
        layout=manifest.layout,
        root=path.parent / manifest.root,
        licence=manifest.licence,
        split_file=str(path.parent / manifest.split) if manifest.split else "",
    )


def _reader(layout: str) -> Reader:
    if layout not in LAYOUTS:
        raise RequestError(
            "source.unknown", f"no layout {layout!r}; there are {', '.join(LAYOUTS)} (LAYOUT:ROOT)"
        )
    reader: Reader = pkgutil.resolve_name(LAYOUTS[layout])
    return reader


def _split(refs: tuple[SampleRef, ...], path: Path) -> tuple[SampleRef, ...]:
    """Return the samples that a list file names."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError as error:
        raise RequestError("io.not_found", f"{path}: no such split file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(
            "source.invalid", f"{path}: cannot be read as UTF-8 text: {error}"
        ) from error
    wanted = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    unknown = sorted(set(wanted) - {ref.id for ref in refs})
    if unknown:
        raise RequestError(
            "source.invalid", f"{path}: {len(unknown)} ids are not in the dataset: {unknown[:5]}"
        )
    repeated = [name for name, count in Counter(wanted).items() if count > 1]
    if repeated:
        raise RequestError("source.duplicate", f"{path}: named twice: {', '.join(repeated[:5])}")
    if not wanted:
        raise RequestError("source.empty", f"{path}: names no sample")
    return tuple(ref for ref in refs if ref.id in set(wanted))


def _confined(ref: SampleRef, name: str, above: int = 0) -> Path:
    """Return the path of a file of the dataset.

    Args:
        ref: The sample.
        name: POSIX path relative to the root.
        above: How many folders above the root still count as the dataset.

    Raises:
        SampleError: `path.outside_root` for what is absolute, climbs out by `..`, or is a symlink
            that leads out.
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
    if not found.is_relative_to(limit):
        raise SampleError(
            "path.outside_root", f"{name!r} leads to {found}, outside the root {limit}"
        )
    return root / name
