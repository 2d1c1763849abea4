"""Where truth comes from: a COCO file, a synthetic drive, a folder of Cityscapes or KITTI.

read_truth("truth.json", ontology)          COCO instances, see `coco_instances`
read_truth("drive", ontology)               a synthetic drive, see `drives`
read_truth("cityscapes:gtFine", ontology)   *_gtFine_instanceIds.png, matched by the stem
read_truth("kitti:ROOT", ontology)          label_2, see `kitti`
read_truth("nuscenes:ROOT", ontology)       3D boxes of key frames, see `nuscenes`
read_truth("semantic-kitti:ROOT", ontology) points, see `semantic_kitti`
read_truth("nuscenes-lidarseg:ROOT", ontology)              points, see `lidarseg`
read_truth("coco-panoptic:p.json", ontology, class_map)     things of COCO's panoptic files
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import numpy.typing as npt

from perception.core import masks as masks_
from perception.core.errors import RequestError
from perception.core.ontology import ClassMap, Ontology, load_class_map
from perception.core.types import Int32, Masks
from perception.evaluation import coco_panoptic, kitti, lidarseg, nuscenes, semantic_kitti
from perception.evaluation.coco_instances import coco_truth
from perception.evaluation.drives import drive_truth
from perception.evaluation.truth import (
    ANY_CLASS,
    TruePicture,
    Truth,
    no_points,
    vocabulary_of,
    vocabulary_through,
)
from perception.formats import read_bytes
from perception.synthetic.read import is_drive

CITYSCAPES = "cityscapes:"
INSTANCE_IDS = "_gtFine_instanceIds.png"
IMAGE_SUFFIX = "_leftImg8bit"
PER_CLASS = 1000  # instanceIds: class id * 1000 + n; plain class ids are stuff and groups
# helpers/labels.py: ignoreInEval, but trailer (30), which our class map knows; 29 is a caravan
CITYSCAPES_VOID = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29)
CITYSCAPES_THINGS = frozenset(range(24, 34))
_MAX_BYTES = 1 << 30


def read_truth(
    text: str,
    ontology: Ontology,
    class_map: ClassMap | None = None,
    planned: Iterable[str] | None = None,
    columns: int = 0,
) -> Truth:
    """Open a truth: a COCO file, a drive's folder, "cityscapes:FOLDER", "kitti:ROOT", ...

    Args:
        text: What a person types.
        ontology: The classes of the run.
        class_map: From the class names of a COCO file to the ontology; without it they must be
            names of the ontology.
        planned: Names of the run's images, which a COCO file may write in other ways; without them
            its images are known by its own names.
        columns: Numbers per point of the run's sweeps, where they are not the layout's own; else 0.

    Raises:
        RequestError: `truth.unknown` for what is none of these, `truth.invalid`, `truth.empty`,
            `class.unknown`, `io.not_found`; see `coco.read` for more.
    """
    if text.startswith(CITYSCAPES):
        return cityscapes_truth(Path(text.removeprefix(CITYSCAPES)), ontology)
    if text.startswith(coco_panoptic.PREFIX):
        path = Path(text.removeprefix(coco_panoptic.PREFIX))
        return coco_panoptic.panoptic_truth(path, ontology, class_map)
    if text.startswith(kitti.PREFIX):
        root = Path(text.removeprefix(kitti.PREFIX))
        return _with_exact(kitti.kitti_truth(root, ontology, columns), root, ontology)
    if text.startswith(nuscenes.PREFIX):
        root = Path(text.removeprefix(nuscenes.PREFIX))
        return _with_exact(nuscenes.nuscenes_truth(root, ontology, columns), root, ontology)
    if text.startswith(semantic_kitti.PREFIX):
        root = Path(text.removeprefix(semantic_kitti.PREFIX))
        return semantic_kitti.semantic_kitti_truth(root, ontology, columns)
    if text.startswith(lidarseg.PREFIX):
        return lidarseg.lidarseg_truth(Path(text.removeprefix(lidarseg.PREFIX)), ontology, columns)
    path = Path(text)
    if path.suffix.lower() == ".json":
        return coco_truth(path, ontology, class_map, planned)
    if _drive_file(path).is_file():
        return drive_truth(path, coco_truth(_drive_file(path), ontology), ontology)
    raise RequestError(
        "truth.unknown",
        f"{text}: expected a COCO instances file (.json), a drive's folder with truth.json, or "
        "cityscapes:FOLDER, kitti:ROOT, nuscenes:ROOT, semantic-kitti:ROOT, "
        "nuscenes-lidarseg:ROOT or coco-panoptic:FILE.json",
    )


def no_image_in_common(truth: Truth, images: tuple[str, ...]) -> RequestError:
    """Return what to raise for a truth that knows none of a run's images."""
    return _nothing_in_common(truth, "images", images)


def no_sweep_in_common(truth: Truth, samples: tuple[str, ...], has_points: bool) -> RequestError:
    """Return what to raise for a truth of points that knows no sweep of a run."""
    if has_points:
        return _nothing_in_common(truth, "samples", samples)
    return RequestError(
        "truth.mismatch",
        f"{truth.name}: is a truth of points, and the run has none: label a source with sweeps",
    )


def _nothing_in_common(truth: Truth, what: str, names: tuple[str, ...]) -> RequestError:
    return RequestError(
        "truth.mismatch",
        f"{truth.name}: knows none of the run's {len(names)} {what}: {_some(names)} in the run, "
        f"{_some(truth.image_names)} in the truth",
    )


def _some(names: tuple[str, ...]) -> str:
    return (", ".join(names[:3]) or "none") + (", ..." if len(names) > 3 else "")


def _with_exact(boxed: Truth, root: Path, ontology: Ontology) -> Truth:
    """Let the exact truth of a synthetic drive be the ceiling of its boxes."""
    if not is_drive(root):
        return boxed
    exact = drive_truth(root, coco_truth(_drive_file(root), ontology), ontology)
    return replace(boxed, find_best=exact.find_points)


def _drive_file(root: Path) -> Path:
    inside = root / "training" / "truth.json"
    return inside if inside.is_file() else root / "truth.json"


def cityscapes_truth(folder: Path, ontology: Ontology) -> Truth:
    """Open the instance files of Cityscapes, at any depth of a folder.

    Groups (plain ids of things) are crowds of their class; what Cityscapes does not evaluate
    (helpers/labels.py: ignoreInEval) is void. Traffic lights and signs have no instances there and
    are not judged. Source: https://github.com/mcordts/cityscapesScripts.
    """
    files = sorted(folder.rglob(f"*{INSTANCE_IDS}"))
    by_stem = {path.name.removesuffix(INSTANCE_IDS): path for path in files}
    if not files or len(by_stem) != len(files):
        problem = "a file name comes twice" if files else f"holds no *{INSTANCE_IDS}"
        raise RequestError("truth.invalid", f"{folder}: {problem}")
    class_map = load_class_map("road-to-cityscapes")
    classes, stands_for = vocabulary_through(ontology, class_map, CITYSCAPES_THINGS)

    def find_picture(name: str) -> TruePicture | None:
        path = by_stem.get(PurePosixPath(name).stem.removesuffix(IMAGE_SUFFIX))
        return _cityscapes_picture(name, path, stands_for) if path else None

    return Truth(
        name=f"{CITYSCAPES}{folder}",
        picture_classes=classes,
        point_classes=vocabulary_of(ontology, ()),
        find_picture=find_picture,
        find_points=no_points,
        image_names=tuple(by_stem),
    )


def _cityscapes_picture(name: str, path: Path, stands_for: dict[int, int]) -> TruePicture:
    pixels = _grey_pixels(path)
    kinds = np.where(pixels >= PER_CLASS, pixels // PER_CLASS, pixels)
    rows, class_ids, ignored = (
        [masks_.encode_one(np.isin(kinds, CITYSCAPES_VOID))],
        [ANY_CLASS],
        [True],
    )
    for value in np.unique(pixels):
        kind = int(value) // PER_CLASS or int(value)
        if kind in stands_for:
            rows.append(masks_.encode_one(np.asarray(pixels == value)))
            class_ids.append(stands_for[kind])
            ignored.append(int(value) < PER_CLASS)
    masks = masks_.join(tuple(rows), (pixels.shape[0], pixels.shape[1]))
    kept = np.array([bool(counts) for counts in masks.counts], bool)
    return _plain_picture(
        name, masks[kept], np.array(class_ids, np.int32)[kept], np.array(ignored)[kept]
    )


def _plain_picture(
    name: str, masks: Masks, class_ids: Int32, ignored: npt.NDArray[np.bool_]
) -> TruePicture:
    return TruePicture(
        file_name=name,
        size_hw=masks.size_hw,
        masks=masks,
        boxes_xyxy=masks.boxes_xyxy.astype(np.float32),
        class_ids=class_ids,
        ignored=ignored,
        instance_ids=np.zeros(len(masks), np.int32),
        ranges_m=np.full(len(masks), np.nan, np.float32),
    )


def _grey_pixels(path: Path) -> Int32:
    data = np.frombuffer(read_bytes(path, _MAX_BYTES), np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    if pixels is None or pixels.ndim != 2 or pixels.dtype != np.uint16:
        raise RequestError("truth.invalid", f"{path}: is no 16-bit grey PNG, or damaged")
    return pixels.astype(np.int32)
