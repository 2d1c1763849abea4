"""A synthetic drive as truth, in the layout of KITTI or of nuScenes, as `synthesize` writes them.

truth.json                              COCO instances of the visible masks
training/label_2/000000.txt             where the objects' ranges come from, optional
training/labels/000000.label            SemanticKITTI ids per point, optional
training/seen/000000.bin                uint8 per point: a camera sees it; optional

objects.jsonl                           where the objects' ranges come from
panoptic/v1.0-synthetic/*_panoptic.npz  Panoptic nuScenes ids per point
seen/v1.0-synthetic/*_seen.bin          uint8 per point: a camera sees it; optional
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from perception.core import boxes as boxes_
from perception.core.errors import SampleError
from perception.core.geometry import inverse, transform
from perception.core.ontology import Ontology, load_class_map
from perception.core.types import Cuboids
from perception.evaluation.truth import (
    BACKGROUND,
    TruePicture,
    TruePoints,
    Truth,
    vocabulary_of,
    vocabulary_through,
)
from perception.formats import kitti_label, nuscenes, read_bytes, semantic_kitti
from perception.io.json_files import json_of
from perception.synthetic.read import (
    NUSCENES_VERSION,
    in_nuscenes_layout,
    read_scenes,
    seen_file,
    sweep_token,
)
from perception.synthetic.rig import kitti_rig

SAME_BOX_IOU = 0.5  # a row of label_2 is the object whose box it overlaps this much
_MAX_BYTES = 1 << 30
Ids = npt.NDArray[np.integer]


def drive_truth(root: Path, plain: Truth, ontology: Ontology) -> Truth:
    """Open a synthetic drive. Its world is known whole, so every class of the ontology is judged.

    Points of classes that no class of the ontology stands for (0 included: nothing is unlabelled
    there) are background. The run may have been made from the drive or from its folder `training`.

    Args:
        root: The drive's folder.
        plain: The truth of its truth.json.
        ontology: The classes of the run.
    """
    if in_nuscenes_layout(root):
        return _in_nuscenes_layout(root, plain, ontology)
    base = root / "training"
    points, stands_for = vocabulary_through(ontology, load_class_map("road-to-semantic-kitti"))

    def find_picture(name: str) -> TruePicture | None:
        picture = plain.find_picture(name) or plain.find_picture(f"training/{name}")
        if picture is None:
            return None
        objects = base / "label_2" / f"{PurePosixPath(name).stem}.txt"
        return _with_ranges(picture, objects) if objects.is_file() else picture

    return Truth(
        name=str(root),
        picture_classes=vocabulary_of(ontology),
        point_classes=points,
        find_picture=find_picture,
        find_points=_drive_points(base, stands_for),
        scene_of=_scenes_of(root / "card.json"),
        find_cuboids=_cuboids_of(base / "objects.jsonl"),
    )


def _in_nuscenes_layout(root: Path, plain: Truth, ontology: Ontology) -> Truth:
    points, stands_for = vocabulary_through(ontology, load_class_map("road-to-nuscenes"))
    ranges_m = _ranges_of(root / "objects.jsonl")

    def find_picture(name: str) -> TruePicture | None:
        picture = plain.find_picture(name)
        if picture is None:
            return None
        sample_id = PurePosixPath(name).name.partition("__")[0]
        known = [ranges_m.get((sample_id, int(i)), np.nan) for i in picture.instance_ids]
        return replace(picture, ranges_m=np.array(known, np.float32))

    def find_points(sample_id: str, count: int) -> TruePoints | None:
        token = sweep_token(sample_id)
        path = root / nuscenes.label_file(nuscenes.PANOPTIC, NUSCENES_VERSION, token)
        if not path.is_file():
            return None
        return _true_points(
            *nuscenes.read_panoptic(path, count), stands_for, root / seen_file(token)
        )

    return Truth(
        name=str(root),
        picture_classes=vocabulary_of(ontology),
        point_classes=points,
        find_picture=find_picture,
        find_points=find_points,
        scene_of=_scenes_of(root / "card.json"),
    )


def _cuboids_of(path: Path) -> Callable[[str], Cuboids | None]:
    """Return what finds a sample's boxes in a drive of KITTI's layout."""
    frames = (
        {frame["frame"]: frame["objects"] for frame in _frames_of(path)} if path.is_file() else {}
    )
    T_lidar_from_ego = inverse(kitti_rig().T_ego_from_lidar)

    def find(sample_id: str) -> Cuboids | None:
        if sample_id not in frames:
            return None
        rows = frames[sample_id]
        sizes = np.array([row["size_lwh_m"] for row in rows], np.float32).reshape(-1, 3)
        places = np.array([row["place_ego_m"] for row in rows], np.float64).reshape(-1, 3)
        places[:, 2] += sizes[:, 2] / 2  # they stand on the ground
        return Cuboids(
            instance_ids=np.array([row["id"] for row in rows], np.int32),
            centres_m=transform(T_lidar_from_ego, places).astype(np.float32),
            sizes_lwh_m=sizes,
            yaws_rad=np.array([row["heading_rad"] for row in rows], np.float32),
            confidences=np.ones(len(rows), np.float32),
        )

    return find


def _ranges_of(path: Path) -> dict[tuple[str, int], float]:
    """Return the distance on the ground of each object, by sample and id."""
    return {
        (frame["frame"], row["id"]): float(np.hypot(*row["place_ego_m"][:2]))
        for frame in _frames_of(path)
        for row in frame["objects"]
    }


def _frames_of(path: Path) -> list[dict[str, Any]]:
    """Return what a drive says of the objects of each frame."""
    lines = read_bytes(path, _MAX_BYTES).splitlines()
    return [json_of(line, f"{path}:{n}", "truth.invalid") for n, line in enumerate(lines, 1)]


def _scenes_of(card: Path) -> Callable[[str], str]:
    """Return what maps a frame of a drive to the first frame of its scene."""
    if not card.is_file():
        return str
    firsts = read_scenes(card.parent)
    return lambda sample_id: max((f for f in firsts if f <= sample_id), default=sample_id)


def _drive_points(
    base: Path, stands_for: dict[int, int]
) -> Callable[[str, int], TruePoints | None]:
    def find_points(sample_id: str, count: int) -> TruePoints | None:
        path = base / "labels" / f"{sample_id}.label"
        if not path.is_file():
            return None
        kinds, instance_ids = semantic_kitti.read(path, count)
        return _true_points(kinds, instance_ids, stands_for, base / "seen" / f"{sample_id}.bin")

    return find_points


def _true_points(
    kinds: Ids, instance_ids: Ids, stands_for: dict[int, int], seen_path: Path
) -> TruePoints:
    """Return the truth of points from a format's ids, and the flags of what cameras see."""
    count = len(kinds)
    class_ids = np.full(count, BACKGROUND, np.int32)
    for kind, class_id in stands_for.items():
        class_ids[kinds == kind] = class_id
    seen = np.ones(count, bool)
    if seen_path.is_file():
        flags = np.frombuffer(read_bytes(seen_path, _MAX_BYTES), np.uint8)
        if len(flags) != count:
            raise SampleError(
                "label.count_mismatch",
                f"{seen_path}: {len(flags)} bytes, expected {count}, one for each point",
            )
        seen = flags != 0
    objects = np.where(class_ids > 0, instance_ids, 0).astype(np.int32)
    return TruePoints(class_ids, objects, seen, has_seen=seen_path.is_file())


def _with_ranges(picture: TruePicture, path: Path) -> TruePicture:
    """Return the picture with the ranges of label_2, whose rows are matched by their boxes."""
    objects = kitti_label.read(path)
    ious = boxes_.ious(picture.boxes_xyxy, objects.boxes_xyxy)
    ranges_m = picture.ranges_m.copy()
    for row, column in zip(*linear_sum_assignment(-ious), strict=True):
        if ious[row, column] >= SAME_BOX_IOU and objects.types[column] != kitti_label.DONT_CARE:
            x, _, z = objects.locations_cam_m[column]
            ranges_m[row] = np.hypot(x, z)
    return replace(picture, ranges_m=ranges_m)
