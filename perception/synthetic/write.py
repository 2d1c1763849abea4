"""Write a drive with one camera as folders that the project's own readers read.

    OUT/training/image_2/000000.png       pictures
    OUT/training/velodyne/000000.bin      float32 x, y, z, reflectance
    OUT/training/calib/000000.txt         KITTI object calibration
    OUT/training/label_2/000000.txt       KITTI objects: what shows `TRUTH.min_visible_px` or more;
                                          what shows less is DontCare
    OUT/training/labels/000000.label      SemanticKITTI: class and instance per point; 0 is neither
                                          unknown nor unlabelled here but no road user
    OUT/training/seen/000000.bin          uint8 per point: 1 where the camera sees it
    OUT/training/instances/000000.png     uint16 per pixel: id of the road user, 0 for none
    OUT/training/poses.txt                3 x 4 per frame: camera 0 in the scene's world (KITTI
                                          odometry: row-major)
    OUT/training/times.txt                seconds since the scene began
    OUT/training/objects.jsonl            per frame: ids, classes, boxes, hidden shares
    OUT/truth.json                        COCO, visible masks; smaller ones are crowds (ignored)
    OUT/whole.json                        COCO, whole masks of the same objects
    OUT/card.json                         what this is; written last

Ids are those of the scene and stay over its frames; `card.json` says where scenes begin.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from perception.core import masks as masks_
from perception.core.errors import PerceptionError
from perception.core.geometry import transform
from perception.core.ontology import load_class_map, load_ontology, target_of
from perception.core.types import (
    Bool,
    Float64,
    Int32,
    PictureLabels,
    PointLabels,
    PointState,
    SampleLabels,
    Status,
)
from perception.formats import coco, kitti_label, semantic_kitti
from perception.formats.kitti_label import KittiObjects
from perception.io.files import refuse_occupied, write_bytes
from perception.synthetic.constants import TRUTH
from perception.synthetic.drive import Frame, Objects, View
from perception.synthetic.read import true_instances
from perception.synthetic.rig import T_RECT_FROM_EGO, kitti_calibration

ALL = frozenset(Status)
LABELLED = frozenset({Status.ACCEPTED})
PARTLY, LARGELY = 0.1, 0.5  # shares hidden at which KITTI's occlusion becomes 1 and 2


@dataclass(frozen=True, eq=False)
class FrameTruth:
    """What is kept of a frame once its own files are written: no pixels, no points.

    Attributes:
        frame: With views and a sweep of nothing: objects, poses, times.
        visible: Labels with visible masks.
        whole: The same with whole masks.
        points: (N,) points on each of the frame's objects.
        points_seen: (N,) those of them that a camera sees.
    """

    frame: Frame
    visible: SampleLabels
    whole: SampleLabels
    points: npt.NDArray[np.intp]
    points_seen: npt.NDArray[np.intp]


def prepare(out: Path) -> None:
    """Make the folder.

    Raises:
        RequestError: `output.exists` if it holds anything.
    """
    refuse_occupied(out)
    out.mkdir(parents=True, exist_ok=True)


def write_frame(out: Path, name: str, frame: Frame) -> FrameTruth:
    """Write the files of one frame, first camera only, and return what the whole drive needs.

    Args:
        out: The drive's folder.
        name: KITTI's frame number ("000012").
        frame: What to write.
    """
    base, view, sweep = out / "training", frame.views[0], frame.sweep
    columns = np.column_stack([sweep.points_lidar, sweep.reflectances])
    write_bytes(base / "image_2" / f"{name}.png", png(view.image_rgb[..., ::-1]))
    write_bytes(base / "velodyne" / f"{name}.bin", columns.astype("<f4").tobytes())
    write_bytes(base / "calib" / f"{name}.txt", calibration_text().encode())
    write_bytes(base / "seen" / f"{name}.bin", view.seen.astype(np.uint8).tobytes())
    write_bytes(base / "instances" / f"{name}.png", png(view.instance_ids.astype(np.uint16)))
    kitti_label.write(kitti_objects(frame), base / "label_2" / f"{name}.txt")
    visible = sample_labels(frame, name, [f"training/image_2/{name}.png"])
    target = target_of(load_ontology(), load_class_map("road-to-semantic-kitti"))
    semantic_kitti.write([visible], base / "labels", target, statuses=ALL)
    return kept(frame, visible)


def kept(frame: Frame, visible: SampleLabels) -> FrameTruth:
    """Return a frame without pixels and points, and its labels without points."""
    seen = np.any([view.seen for view in frame.views], axis=0)
    ids = frame.objects.ids
    slots = int(ids.max(initial=0)) + 1
    bare = tuple(
        replace(
            view,
            image_rgb=view.image_rgb[:0],
            instance_ids=view.instance_ids[:0],
            seen=view.seen[:0],
        )
        for view in frame.views
    )
    visible = replace(visible, points=visible.points[:0])
    whole = tuple(
        replace(picture, instances=replace(picture.instances, masks=view.whole))
        for picture, view in zip(visible.pictures, frame.views, strict=True)
    )
    return FrameTruth(
        frame=replace(frame, views=bare, sweep=frame.sweep[:0]),
        visible=visible,
        whole=replace(visible, pictures=whole),
        points=np.bincount(frame.sweep.ids, minlength=slots)[ids],
        points_seen=np.bincount(frame.sweep.ids[seen], minlength=slots)[ids],
    )


def write_truth(out: Path, truths: Sequence[FrameTruth]) -> None:
    """Write the files that span a drive, but for its card."""
    write_masks(out, truths)
    poses = [truth.frame.T_world_from_ego @ np.linalg.inv(T_RECT_FROM_EGO) for truth in truths]
    for name, lines in (
        ("poses.txt", [_numbers(T_world_from_rect[:3]) for T_world_from_rect in poses]),
        ("times.txt", [repr(truth.frame.stamp_ns / 1e9) for truth in truths]),
        ("objects.jsonl", [json.dumps(_objects_line(truth)) for truth in truths]),
    ):
        write_lines(out / "training" / name, lines)


def write_masks(out: Path, truths: Sequence[FrameTruth]) -> None:
    """Write the visible and the whole masks of a drive."""
    ontology = load_ontology()
    target = target_of(ontology, None)
    for name, samples in (
        ("truth.json", (truth.visible for truth in truths)),
        ("whole.json", (truth.whole for truth in truths)),
    ):
        coco.write(samples, out / name, target, statuses=LABELLED, ontology=ontology)


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write lines of text."""
    write_bytes(path, "".join(f"{line}\n" for line in lines).encode())


def is_labelled(view: View) -> Bool:
    """Return (N,) booleans: which objects show enough of themselves to be labelled."""
    return np.array([counts != b"" for counts in view.whole.counts], bool)


def sample_labels(frame: Frame, name: str, file_names: Sequence[str]) -> SampleLabels:
    """Return the truth of a frame as labels; what shows too little has status review.

    Args:
        frame: The frame.
        name: Id of the sample.
        file_names: Of the picture of each view.
    """
    ids, class_ids = frame.objects.ids, _class_ids(frame)
    pictures = []
    for view, file_name in zip(frame.views, file_names, strict=True):
        boxes = view.visible.boxes_xyxy.astype(np.float32)
        instances = true_instances(ids, class_ids, boxes, view.visible, is_labelled(view))
        size_hw = (view.image_rgb.shape[0], view.image_rgb.shape[1])
        pictures.append(PictureLabels(view.camera.name, file_name, size_hw, instances, ()))
    known = frame.sweep.ids > 0
    row = np.minimum(np.searchsorted(ids, frame.sweep.ids), max(len(ids) - 1, 0))
    of_point = class_ids[row] if len(ids) else np.full(len(known), -1)
    points = PointLabels(
        states=np.where(known, PointState.LABELLED, PointState.BACKGROUND).astype(np.uint8),
        class_ids=np.where(known, of_point, -1).astype(np.int32),
        instance_ids=frame.sweep.ids,
        trusts=np.where(known, 255, 0).astype(np.uint8),
    )
    return SampleLabels(id=name, pictures=tuple(pictures), points=points)


def _class_ids(frame: Frame) -> Int32:
    ontology = load_ontology()
    return np.array([ontology.id_of(name) for name in frame.objects.class_names], np.int32)


def kitti_objects(frame: Frame) -> KittiObjects:
    """Return what the first camera shows as rows of label_2; boxes are half-open."""
    view, objects = frame.views[0], frame.objects
    shown = np.array([counts != b"" for counts in view.visible.counts], bool)
    rows = np.flatnonzero(shown)
    care = is_labelled(view)[rows]
    to_kitti = load_class_map("road-to-kitti")
    types = [to_kitti(objects.class_names[row]) or "Misc" for row in rows]
    place = transform(T_RECT_FROM_EGO, objects.places_ego_m[rows])
    heading = objects.headings_rad[rows]
    # rect: x right is the ego's -y, z forward its x; KITTI turns from x towards -z
    rotation = np.arctan2(-np.cos(heading), -np.sin(heading))
    alpha = rotation - np.arctan2(place[:, 0], place[:, 2])
    hidden = view.hidden_shares[rows]
    occluded = (hidden >= PARTLY).astype(np.int32) + (hidden >= LARGELY)
    nowhere = np.full(len(rows), -1000.0)
    size = objects.sizes_lwh_m[rows]
    return KittiObjects(
        types=tuple(t if c else kitti_label.DONT_CARE for t, c in zip(types, care, strict=True)),
        truncated=np.where(care, view.truncated_shares[rows].round(2), -1),
        occluded=np.where(care, occluded, -1).astype(np.int32),
        alphas_rad=np.where(care, (alpha + np.pi) % (2 * np.pi) - np.pi, -10),
        boxes_xyxy=view.visible.boxes_xyxy[rows].astype(np.float32),
        dimensions_hwl_m=np.where(care[:, None], size[:, ::-1], -1.0),
        locations_cam_m=np.where(care[:, None], place, nowhere[:, None]),
        rotations_y_rad=np.where(care, rotation, -10),
        scores=np.ones(len(rows)),
    )


def calibration_text() -> str:
    """Return the calibration file, numbers such that reading gives them back exactly."""
    entries = kitti_calibration()
    return "".join(f"{key}: {_numbers(values)}\n" for key, values in entries.items())


def _numbers(values: Float64) -> str:
    return " ".join(repr(float(value)) for value in values.ravel())


def _objects_line(truth: FrameTruth) -> dict[str, object]:
    (view,) = truth.frame.views
    areas = masks_.areas(view.visible)
    rows = [
        {
            **of_object(truth.frame.objects, row),
            "visible_px": int(areas[row]),
            "hidden": round(float(view.hidden_shares[row]), 4),
            "truncated": round(float(view.truncated_shares[row]), 4),
            "points": int(truth.points[row]),
            "points_seen": int(truth.points_seen[row]),
        }
        for row in range(len(truth.frame.objects))
    ]
    return {"frame": truth.visible.id, "stamp_ns": truth.frame.stamp_ns, "objects": rows}


def of_object(objects: Objects, row: int) -> dict[str, object]:
    """Return what objects.jsonl says of an object, whatever sees it."""
    return {
        "id": int(objects.ids[row]),
        "class": objects.class_names[row],
        "size_lwh_m": objects.sizes_lwh_m[row].round(4).tolist(),
        "place_ego_m": objects.places_ego_m[row].round(4).tolist(),
        "heading_rad": round(float(objects.headings_rad[row]), 6),
        "speed_m_s": round(float(objects.speeds_m_s[row]), 4),
    }


def png(image: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    """Return an image of OpenCV's channel order as PNG."""
    done, data = cv2.imencode(".png", np.ascontiguousarray(image), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise PerceptionError("image.unsupported", f"OpenCV cannot encode {image.shape} as PNG")
    return data.tobytes()


def statistics(truths: Sequence[FrameTruth]) -> dict[str, float]:
    """Return what the card says about how full and how hidden the frames are.

    An object that several cameras show is counted once, as the one that shows most of it has it.
    """
    counts, shares = [], [np.zeros(0)]
    for truth in truths:
        views = truth.frame.views
        labelled = np.any([is_labelled(view) for view in views], axis=0)
        counts.append(np.count_nonzero(labelled))
        shares.append(np.min([view.hidden_shares for view in views], axis=0)[labelled])
    hidden = np.concatenate(shares)
    return {
        "road_users_per_frame": float(np.mean(counts)) if counts else 0.0,
        "share_more_than_a_quarter_hidden": float((hidden > 0.25).mean()) if len(hidden) else 0.0,
        "min_visible_px": float(TRUTH.min_visible_px),
    }
