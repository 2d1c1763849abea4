"""Sources: from what a person types to a run's plan, and from a line of the plan to a sample.

parse_source("kitti:/data/kitti") -> Source;  find -> SampleRef, ...
load_pictures -> Picture, ... for the models;  load_scene -> Scene for the decisions
"""

import atexit
import pkgutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from pydantic import Field, ValidationError

from perception.core.config import Settings, load_yaml
from perception.core.errors import COPY_OF, RequestError, SampleError
from perception.core.geometry import refuse_other_size
from perception.core.limits import MAX_MEGAPIXELS
from perception.core.ontology import data_folder
from perception.core.types import Picture, PictureRef, Sample, SampleRef, Scene
from perception.io import buckets, scratch
from perception.io.buckets import Bucket
from perception.io.files import storage_faults
from perception.io.images import Reading, probe_image, read_image
from perception.readers import images, links, nuscenes
from perception.readers.layout import Layout
from perception.synthetic.read import DRIVE_FILES, DRIVE_LICENCE, is_drive

LAYOUTS: dict[str, str] = {
    "images": "perception.readers.images",
    "kitti": "perception.readers.kitti_object",
    "kitti-raw": "perception.readers.kitti_raw",
    "kitti-tracking": "perception.readers.kitti_tracking",
    "nuscenes": "perception.readers.nuscenes",
    "semantic-kitti": "perception.readers.semantic_kitti",
    "sustech": "perception.readers.sustech",
}
LABEL_FOLDERS = {"label_2", "label_02"}  # of KITTI object and tracking
WILDCARDS = "*?["
UPRIGHT = Reading(upright=True)


class Reader(Protocol):
    """What a module of `perception.readers` offers."""

    @property
    def LAYOUT(self) -> Layout:  # noqa: N802 - of a module it is a constant
        """What is true of its layout."""
        ...

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


class Found(NamedTuple):
    """The samples of a source, and what people should know of them: one sentence each."""

    refs: tuple[SampleRef, ...]
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A dataset that a run reads.

    Attributes:
        name: For people: the manifest's name, or the layout's.
        layout: Key of `LAYOUTS`.
        root: What the layout's `find` takes.
        licence: Of the data.
        split_file: List of the sample ids to take; "" for all.
        bucket: The root, where it lies in a bucket: `root` does not count then.
    """

    name: str
    layout: str
    root: Path
    licence: str
    split_file: str = ""
    bucket: Bucket | None = None

    def __str__(self) -> str:
        """Return the root."""
        return str(self.bucket or self.root)


def parse_source(text: str) -> Source:
    """Understand "LAYOUT:ROOT", a path to a manifest (*.yaml), or a path to images.

    A path that exists wins over a layout of the same spelling. A root may lie in a bucket.

    Raises:
        RequestError: `source.unknown` for a layout that is not known, `source.invalid`,
            `config.invalid`, `config.unsafe`, `io.not_found`; `bucket.*`.
    """
    if buckets.is_bucket(text):
        return _of_layout("images", text)
    prefix, colon, rest = text.partition(":")
    if not text or "\0" in text:
        raise RequestError("source.invalid", f"source {text!r}: expected LAYOUT:ROOT or a path")
    if colon and "/" not in prefix and not Path(text).exists():
        if not rest:
            raise RequestError(
                "source.invalid", f"source {text!r}: expected a path after the colon"
            )
        return _of_layout(prefix, rest)
    if Path(text).suffix.lower() in {".yaml", ".yml"}:
        return _of_manifest(Path(text))
    return _of_layout("images", text)


def traits(layout: str) -> Layout:
    """Return what is true of a layout; raises as `parse_source` for one that is not known."""
    return _reader(layout).LAYOUT


def find(source: Source) -> tuple[SampleRef, ...]:
    """Return the samples of a source; see `survey`."""
    return survey(source).refs


def survey(source: Source, reading: Reading = UPRIGHT) -> Found:
    """Plan the samples of a source, sorted by id; opens no image.

    Args:
        source: The dataset.
        reading: How its pictures are to be read; those of a layout with calibration, which refers
            to the stored pixels, are never turned.

    Raises:
        RequestError: `source.duplicate` naming ids that are not unique, `source.empty`,
            `source.invalid` for a split that names unknown samples, `path.outside_root`; see the
            readers for more.
    """
    if source.bucket is not None:
        refs, notices = _find_in_bucket(source.layout, source.bucket)
    elif source.layout == "images":
        refs, notices = images.survey(source.root)
    else:
        refs, notices = _reader(source.layout).find(source.root), ()
    repeated = [name for name, count in Counter(ref.id for ref in refs).items() if count > 1]
    if repeated:
        raise RequestError(
            "source.duplicate", f"{source}: ids are not unique: {', '.join(repeated[:5])}"
        )
    if source.split_file:
        refs = _split(refs, Path(source.split_file))
    upright = reading.upright and source.layout == "images"
    if upright or reading.max_megapixels != MAX_MEGAPIXELS:
        limit = reading.max_megapixels
        refs = tuple(replace(ref, upright=upright, max_megapixels=limit) for ref in refs)
    if source.bucket is None:
        refs, told = links.named(refs)
        notices += told
    return Found(tuple(sorted(refs, key=lambda ref: ref.id)), notices)


@contextmanager
def at_hand(ref: SampleRef, names: Sequence[str]) -> Iterator[SampleRef]:
    """Give a sample with local files: itself, or a copy of some files that goes at the end.

    Args:
        ref: The sample.
        names: The files that are wanted, relative to its root.

    Raises:
        BucketError: `bucket.*`. Objects that are missing are missing in the copy too.
    """
    if not buckets.is_bucket(ref.root):
        yield ref
        return
    with buckets.fetched(buckets.parse(ref.root), list(names)) as root:
        yield replace(ref, root=str(root))


def load_scene(ref: SampleRef) -> Scene:
    """Read the cameras and the points of a sample.

    Raises:
        SampleError: `path.outside_root`, `calib.invalid`, `cloud.malformed`, `sync.gap`,
            `io.not_found`, `io.denied`, `io.failed`.
        BucketError: `bucket.*`.
    """
    sweeps = [ref.sweep_file] if ref.sweep_file else []
    with at_hand(ref, [*sweeps, *ref.calib_files]) as here:
        for name in sweeps:
            links.confined(here, name)
        for name in ref.calib_files:
            links.confined(here, name, above=1)  # drives of one date share a calibration beside
        return _reader(ref.layout).load_scene(here)


def with_columns(refs: tuple[SampleRef, ...], columns: int) -> tuple[SampleRef, ...]:
    """Say in each sample how many numbers a point of its sweep has; 0 leaves it to the layout."""
    return tuple(replace(ref, columns=columns) for ref in refs) if columns else refs


def remarks(refs: Sequence[SampleRef]) -> tuple[str, ...]:
    """Say what is odd about sweeps and calibration, by the first, the middle and the last sample.

    What cannot be read is told too: the run will quarantine such samples.
    """
    chosen = dict.fromkeys((0, len(refs) // 2, len(refs) - 1)) if refs else {}
    said: dict[str, None] = {}
    for ref in (refs[place] for place in chosen):
        if not (ref.sweep_file or ref.calib_files or ref.calibration):
            continue
        try:
            scene = load_scene(ref)
            _probe_sizes(ref, scene)
            said.update(dict.fromkeys(scene.remarks))
        except SampleError as error:
            said[f"sample {ref.id} will be quarantined: {error}"] = None
    return tuple(said)


def _probe_sizes(ref: SampleRef, scene: Scene) -> None:
    """Read the headers of pictures whose size the calibration states, and compare."""
    stated = {camera.name: camera for camera in scene.cameras if any(camera.size_hw)}
    chosen = [picture for picture in ref.pictures if picture.camera in stated]
    with at_hand(ref, [picture.file_name for picture in chosen]) as here:
        for picture in chosen:
            size_hw = probe_image(links.confined(here, picture.file_name))
            refuse_other_size(stated[picture.camera], picture.file_name, size_hw)


def load_pictures(ref: SampleRef) -> tuple[Picture, ...]:
    """Decode the images of a sample: what the models see.

    Raises:
        SampleError: `path.outside_root`, `io.*`; `image.*`, see `read_image`.
        BucketError: `bucket.*`.
    """
    reading = reading_of(ref)
    with at_hand(ref, [picture.file_name for picture in ref.pictures]) as here:
        return tuple(_load_picture(here, picture, reading) for picture in here.pictures)


def load_sample(ref: SampleRef) -> Sample:
    """Load a sample, images and scene; raises as `load_pictures` and `load_scene`."""
    return Sample(ref.id, load_pictures(ref), load_scene(ref))


def reading_of(ref: SampleRef) -> Reading:
    """Return how the pictures of a sample are read."""
    return Reading(ref.upright, ref.max_megapixels)


def _load_picture(ref: SampleRef, picture: PictureRef, reading: Reading) -> Picture:
    decoded = read_image(links.confined(ref, picture.file_name), reading)
    return Picture(picture.camera, picture.file_name, decoded.image_rgb, decoded.changes)


@lru_cache(maxsize=1)
def _label_copies(root: str) -> Path:
    """Copy a bucket's folders of labels: small files, needed while the process lives."""
    bucket = buckets.parse(root)
    copies = scratch.make(f"{COPY_OF}{bucket.scheme}")
    atexit.register(scratch.remove, copies)
    names = [name for name in bucket.sizes() if PurePosixPath(name).parent.name in LABEL_FOLDERS]
    buckets.fetch_all(bucket, names, copies / bucket.path)
    return copies


def label_root(root: str) -> Path:
    """Return a root whose folders of labels are local: the root itself, or a copy of them alone."""
    if not buckets.is_bucket(root):
        return Path(root)
    return _label_copies(root) / buckets.parse(root).path


def _find_in_bucket(layout: str, root: Bucket) -> Found:
    """Plan a dataset by the names of its objects."""
    if layout == "nuscenes":
        return Found(_find_by_tables(root), ())
    parts = root.path.split("/")
    wild = next((i for i, part in enumerate(parts) if set(part) & set(WILDCARDS)), len(parts))
    listed = root.beside("/".join(parts[:wild]))
    names = {"": 0} if wild == len(parts) and root.has("") else listed.sizes()
    if not names:
        raise RequestError("io.not_found", f"{root}: holds no object; expected a dataset")
    if layout == "kitti-raw" and "/" in root.path:  # its calibration may lie beside it
        above = root.beside(root.path.rpartition("/")[0])
        names |= {f"../{name}": size for name, size in above.sizes(deep=False).items()}
    with buckets.skeleton(listed, names) as place:
        if names == {"": 0} and root.path.endswith(".txt"):  # a list of images
            place.write_bytes(listed.beside("/".join(parts[:-1])).read(parts[-1]) or b"")
        here = place.joinpath(*parts[wild:])
        if layout == "images":
            refs, notices = images.survey(here, local=False)
        else:
            refs, notices = _reader(layout).find(here), ()
        return Found(_moved(refs, listed, place), notices)


def _find_by_tables(root: Bucket) -> tuple[SampleRef, ...]:
    """Plan nuScenes by its tables, which are copied while that lasts; its objects are not listed.

    Raises:
        RequestError: `disk.full` where there is no room for the tables; see `nuscenes.find`.
    """
    versions = [f"{name}/" for name in root.folders() if name.startswith(nuscenes.VERSIONS)]
    versions = [""] if root.has(nuscenes.SAMPLES) else versions
    wanted = nuscenes.TABLES if len(versions) == 1 else (nuscenes.SAMPLES,)  # else it is refused
    with buckets.scratch(root) as place:
        for name in (version + table for version in versions for table in wanted):
            with storage_faults(place / name):
                root.fetch(name, place / name, whole=True)
        return _moved(nuscenes.find(place), root, place)


def _moved(refs: Iterable[SampleRef], bucket: Bucket, place: Path) -> tuple[SampleRef, ...]:
    """Return samples with the bucket's addresses in place of a scratch folder's."""
    return tuple(
        replace(ref, root=buckets.address_of(bucket, place, Path(ref.root))) for ref in refs
    )


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


def _of_layout(layout: str, root: str) -> Source:
    _reader(layout)
    folder = LAYOUTS[layout].rpartition(".")[2]
    manifest = load_manifest(data_folder() / folder / "dataset.yaml")
    bucket = buckets.parse(root) if buckets.is_bucket(root) else None
    synthetic = all(map(bucket.has, DRIVE_FILES)) if bucket else is_drive(Path(root))
    licence = DRIVE_LICENCE if synthetic else manifest.licence  # KITTI's layout, not its data
    here = Path() if bucket else Path(root)
    return Source(manifest.name, layout, here, licence, bucket=bucket)


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
        bucket=buckets.parse(manifest.root) if buckets.is_bucket(manifest.root) else None,
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
