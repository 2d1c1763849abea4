"""One sample for the browser: what `web/picture_view.js` and `web/point_view.js` draw."""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from perception.core.ontology import Ontology
from perception.core.types import Camera, PictureLabels, Sample, SampleLabels, Scene, Status
from perception.review import words
from perception.review.sweeps import pack_sweep
from perception.visualization import drawing, solids
from perception.visualization.outlines import outlines

BEHIND = -0.25  # cosine of a camera's direction: 104 degrees and more off the front look back


@dataclass(frozen=True)
class Frame:
    """One sample on the page.

    Attributes:
        name: The sample's id.
        accepted: Labels that are accepted.
        file: Its script below the page's folder; "" where there is nothing to draw.
        picture: Its first picture below the page's folder; "" without one.
        note: Why there is nothing to see; "" if there is.
    """

    name: str
    accepted: int = 0
    file: str = ""
    picture: str = ""
    note: str = ""


def pack(
    number: int, loaded: Sample, labels: SampleLabels, ontology: Ontology, files: tuple[str, ...]
) -> dict[str, Any]:
    """Pack one sample.

    Args:
        number: Of the frame on the page.
        loaded: The sample.
        labels: What was decided of it.
        ontology: Of the run.
        files: Of its pictures, below the page's folder.

    Returns:
        `rows`: pictures as the cameras stand on the car, see `camera_rows`, each with its `labels`;
        `sweep`: as `pack_sweep`, None without points; `solids`: 3D boxes, ten corners each as
        `solids.corners`, centimetres.
    """
    scene = loaded.scene
    cameras = {camera.name: camera for camera in scene.cameras}
    places = {entry.id: place for place, entry in enumerate(ontology.classes)}
    points = dict(zip(*np.unique(labels.points.instance_ids, return_counts=True), strict=True))
    pictures = [
        {
            "name": own.file_name if len(files) == 1 else own.camera,
            "file": file,
            "size_wh": own.size_hw[::-1],
            "labels": _labels(own, labels, cameras.get(own.camera), places, points, ontology),
        }
        for own, file in zip(labels.pictures, files, strict=True)
    ]
    rows = camera_rows([own.camera for own in labels.pictures], scene)
    sweep = pack_sweep(scene.points_drawn, labels, ontology) if len(scene.points_lidar) else None
    corners_m = solids.corners(labels.cuboids, scene.ahead)
    return {
        "number": number,
        "rows": [[pictures[place] for place in row] for row in rows],
        "sweep": sweep,
        "solids": [
            {"id": int(row_id), "corners_cm": np.round(own * 100).astype(int).ravel().tolist()}
            for row_id, own in zip(labels.cuboids.instance_ids, corners_m, strict=True)
        ],
    }


def camera_rows(names: list[str], scene: Scene) -> list[list[int]]:
    """Return places of pictures, in rows from front to back, each from left to right.

    The car is seen from above, looking up: a camera that looks back and to the left stands left.
    Where a camera has no calibration all stay in one row, in the order given.
    """
    cameras = {camera.name: camera for camera in scene.cameras}
    if len(names) < 2 or not all(name in cameras for name in names):
        return [list(range(len(names)))]
    looks = [cameras[name].T_cam_from_lidar[2, :3] for name in names]  # its z, in LiDAR axes
    forward = [look[1] if scene.ahead else look[0] for look in looks]
    left = [-look[0] if scene.ahead else look[1] for look in looks]
    level = [max(math.hypot(f, side), 1e-9) for f, side in zip(forward, left, strict=True)]
    order = sorted(range(len(names)), key=lambda place: -left[place])
    is_back = [f / all_ < BEHIND for f, all_ in zip(forward, level, strict=True)]
    rows = [[place for place in order if is_back[place] == back] for back in (False, True)]
    return [row for row in rows if row]


def frame_js(packed: dict[str, Any]) -> str:
    """Return a frame's script, since a page from disk may not read JSON files."""
    return f"addFrame({json.dumps(packed, separators=(',', ':'))});\n"


def _labels(
    own: PictureLabels,
    labels: SampleLabels,
    camera: Camera | None,
    places: dict[int, int],
    points: dict[int, int],
    ontology: Ontology,
) -> list[dict[str, Any]]:
    instances = own.instances
    solid_rows = {int(one): row for row, one in enumerate(labels.cuboids.instance_ids)}
    packed = []
    for row in range(len(instances)):
        instance_id, score = int(instances.instance_ids[row]), float(instances.scores[row])
        name = ontology.by_id(int(instances.class_ids[row])).name
        status = Status(int(instances.statuses[row])).name.lower()
        solid_row = solid_rows.get(instance_id)
        edges = (
            solids.in_picture(labels.cuboids, solid_row, camera, own.size_hw).round(1).tolist()
            if camera is not None and solid_row is not None
            else []
        )
        packed.append(
            {
                "id": instance_id,
                "class": places[int(instances.class_ids[row])],
                "status": status,
                "text": drawing.caption(name, score),
                "box": [round(float(side), 1) for side in instances.boxes_xyxy[row]],
                "outlines": outlines(instances.masks, row) if status != "rejected" else [],
                "solid": edges,
                "words": words.story(
                    instances, row, labels.cuboids, solid_row, points.get(instance_id, 0)
                ),
            }
        )
    return packed
