"""Write a drive with six cameras as nuScenes is on disk, exact truth beside it.

    OUT/samples/CAM_FRONT/000000__CAM_FRONT.png           pictures; PNG, nuScenes has JPEG
    OUT/samples/LIDAR_TOP/000000__LIDAR_TOP.pcd.bin       float32 x, y, z, intensity, ring
    OUT/v1.0-synthetic/*.json                             all tables that nuscenes-devkit loads
    OUT/lidarseg/v1.0-synthetic/000000-LIDAR_TOP_lidarseg.bin    class per point; 0 is neither noise
                                                          nor unlabelled here but no road user
    OUT/panoptic/v1.0-synthetic/000000-LIDAR_TOP_panoptic.npz    class * 1000 + object per point
    OUT/seen/v1.0-synthetic/000000-LIDAR_TOP_seen.bin     uint8 per point: bit k is set where camera
                                                          k of the card sees it
    OUT/objects.jsonl                                     per frame: ids, classes, boxes, and what
                                                          each camera has of them
    OUT/truth.json, OUT/whole.json, OUT/card.json         as in KITTI's layout, see `write`

Source of the tables: https://github.com/nutonomy/nuscenes-devkit, docs/schema_nuscenes.md.

- A sample is a frame, and its token the frame's number. Every row is a key frame.
- The ego drives on between the sweep and a picture: each has a pose of its own.
- The LiDAR has x to the right and y ahead. Ring 0 is the lowest beam; intensity ends at 255.
- Boxes give width, length, height and their centre, in the scene's world, at the moment of the
  sweep. Each scene has a world, and so a log, of its own.
- There are no attributes, and the map that the devkit asks for is black.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from perception.core import masks as masks_
from perception.core.geometry import inverse, rigid, transform
from perception.core.ontology import load_class_map, load_ontology, target_of
from perception.core.types import Float64
from perception.formats import Tally, nuscenes, point_ids
from perception.io.files import write_bytes
from perception.synthetic.constants import LIDAR
from perception.synthetic.drive import Frame
from perception.synthetic.read import NUSCENES_VERSION, SWEEP, seen_file, sweep_token
from perception.synthetic.rig import RING_HW, ring_rig
from perception.synthetic.write import (
    ALL,
    FrameTruth,
    kept,
    of_object,
    png,
    sample_labels,
    write_lines,
    write_masks,
)

START_US, SCENE_US = 10**15, 10**9  # of the first scene, and from one scene to the next
T_LIDAR_FROM_NUSCENES = rigid(np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]), np.zeros(3))
VISIBILITIES = ("v0-40", "v40-60", "v60-80", "v80-100")  # percent of an object in all pictures
MAP_FILE = "maps/none.png"
Rows = list[dict[str, Any]]


def picture_file(name: str, channel: str) -> str:
    """Return where a picture stands, relative to the drive."""
    return f"samples/{channel}/{name}__{channel}.png"


def sweep_file(name: str) -> str:
    """Return where a sweep stands, relative to the drive."""
    return f"samples/{SWEEP}/{name}__{SWEEP}.pcd.bin"


def write_frame(out: Path, name: str, frame: Frame) -> FrameTruth:
    """Write the files of one frame and return what the whole drive needs.

    Args:
        out: The drive's folder.
        name: The frame's number in the drive ("000012").
        frame: What to write; views of `ring_rig`.
    """
    sweep, token = frame.sweep, sweep_token(name)
    files = [picture_file(name, view.camera.name) for view in frame.views]
    for view, file_name in zip(frame.views, files, strict=True):
        write_bytes(out / file_name, png(view.image_rgb[..., ::-1]))
    x, y, z = sweep.points_lidar.T
    rings = LIDAR.beams - 1 - sweep.beams.astype(np.float32)
    columns = np.column_stack([-y, x, z, (sweep.reflectances * 255).round(), rings])
    write_bytes(out / sweep_file(name), columns.astype("<f4").tobytes())
    bits = [view.seen.astype(np.uint8) << row for row, view in enumerate(frame.views)]
    write_bytes(out / seen_file(token), np.sum(bits, axis=0, dtype=np.uint8).tobytes())
    labels = sample_labels(frame, name, files)
    target = target_of(load_ontology(), load_class_map("road-to-nuscenes"))
    for kind in (nuscenes.LIDARSEG, nuscenes.PANOPTIC):
        ids = point_ids(
            labels,
            target,
            ALL,
            Tally(),
            max_class=nuscenes.MAX_CLASS,
            max_instance=nuscenes.PER_CLASS - 1,
        )
        path = out / nuscenes.label_file(kind, NUSCENES_VERSION, token)
        write_bytes(path, nuscenes.to_bytes(kind, ids, name))
    return kept(frame, labels)


def write_truth(out: Path, truths: Sequence[FrameTruth]) -> None:
    """Write the files that span a drive, but for its card."""
    write_masks(out, truths)
    write_lines(out / "objects.jsonl", [json.dumps(_objects_line(truth)) for truth in truths])
    write_bytes(out / MAP_FILE, png(np.zeros((8, 8), np.uint8)))
    for name, rows in {**_fixed_tables(), **_tables(truths)}.items():
        data = json.dumps(rows, indent=0) + "\n"
        write_bytes(out / NUSCENES_VERSION / f"{name}.json", data.encode())


def _fixed_tables() -> dict[str, Rows]:
    """Return what is the same for every drive."""
    rig = ring_rig()
    mounts = [(camera.name, inverse(camera.T_cam_from_ego), camera.K) for camera in rig.cameras]
    lidar = (SWEEP, rig.T_ego_from_lidar @ T_LIDAR_FROM_NUSCENES, np.zeros((0, 3)))
    ids = target_of(load_ontology(), load_class_map("road-to-nuscenes")).names
    return {
        "sensor": [
            {
                "token": channel,
                "channel": channel,
                "modality": "lidar" if channel == SWEEP else "camera",
            }
            for channel, *_ in (lidar, *mounts)
        ],
        "calibrated_sensor": [
            {
                "token": channel,
                "sensor_token": channel,
                **_placed(T_ego_from_sensor),
                "camera_intrinsic": K.tolist(),
            }
            for channel, T_ego_from_sensor, K in (lidar, *mounts)
        ],
        "category": [
            {"token": name, "name": name, "description": "", "index": index}
            for index, name in sorted({0: "noise", **ids}.items())
        ],
        "attribute": [],
        "visibility": [
            {"token": str(number), "level": level, "description": ""}
            for number, level in enumerate(VISIBILITIES, start=1)
        ],
    }


def _tables(truths: Sequence[FrameTruth]) -> dict[str, Rows]:
    """Return what grows with the frames."""
    names = ("sample", "sample_data", "ego_pose", "sample_annotation", "scene", "log", "instance")
    tables: dict[str, Rows] = {name: [] for name in names}
    for truth in truths:
        if truth.frame.number == 0:
            _begin_scene(truth, tables)
        scene = tables["scene"][-1]
        scene["nbr_samples"] += 1
        scene["last_sample_token"] = truth.visible.id
        start_us = START_US + (len(tables["scene"]) - 1) * SCENE_US
        _add_shots(truth, start_us, tables)
        _add_boxes(truth, str(scene["token"]), tables)
    shots = tables["sample_data"]
    tables["lidarseg"], tables["panoptic"] = (
        [
            {
                "token": row["token"],
                "sample_data_token": row["token"],
                "filename": nuscenes.label_file(kind, NUSCENES_VERSION, str(row["token"])),
            }
            for row in shots
            if row["calibrated_sensor_token"] == SWEEP
        ]
        for kind in (nuscenes.LIDARSEG, nuscenes.PANOPTIC)
    )
    logs = [row["token"] for row in tables["log"]]
    tables["map"] = [
        {"token": "map", "log_tokens": logs, "category": "semantic_prior", "filename": MAP_FILE}
    ]
    _link(tables["sample"], ("scene_token",))
    _link(shots, ("calibrated_sensor_token", "scene_token"))
    for row in shots:
        del row["scene_token"]  # only samples have it
    _link(tables["sample_annotation"], ("instance_token",))
    tables["instance"] = _instances(tables["sample_annotation"], tables["instance"])
    return tables


def _begin_scene(truth: FrameTruth, tables: dict[str, Rows]) -> None:
    token = f"scene-{truth.visible.id}"
    tables["scene"].append(
        {
            "token": token,
            "log_token": token,
            "nbr_samples": 0,
            "first_sample_token": truth.visible.id,
            "last_sample_token": "",
            "name": token,
            "description": "a synthetic street",
        }
    )
    tables["log"].append(
        {
            "token": token,
            "logfile": token,
            "vehicle": "synthetic",
            "date_captured": "2001-09-09",  # that of `START_US`
            "location": token,
        }
    )


def _add_shots(truth: FrameTruth, start_us: int, tables: dict[str, Rows]) -> None:
    """Add a sample, its sweep and its pictures, each with the ego's pose."""
    name, frame, scene = truth.visible.id, truth.frame, tables["scene"][-1]["token"]
    stamp_us = start_us + frame.stamp_ns // 1000
    tables["sample"].append({"token": name, "timestamp": stamp_us, "scene_token": scene})
    shots = [(SWEEP, sweep_file(name), stamp_us, frame.T_world_from_ego, (0, 0))]
    for view in frame.views:
        channel, at_us = view.camera.name, start_us + view.stamp_ns // 1000
        file_name = picture_file(name, channel)
        shots.append((channel, file_name, at_us, view.T_world_from_ego, RING_HW))
    for channel, file_name, at_us, T_world_from_ego, (height, width) in shots:
        token = f"{name}-{channel}"
        tables["ego_pose"].append({"token": token, "timestamp": at_us, **_placed(T_world_from_ego)})
        tables["sample_data"].append(
            {
                "token": token,
                "sample_token": name,
                "ego_pose_token": token,
                "calibrated_sensor_token": channel,
                "timestamp": at_us,
                "fileformat": "pcd" if channel == SWEEP else "png",
                "is_key_frame": True,
                "height": height,
                "width": width,
                "filename": file_name,
                "scene_token": scene,
            }
        )


def _add_boxes(truth: FrameTruth, scene: str, tables: dict[str, Rows]) -> None:
    """Add the 3D boxes of what a camera shows or the LiDAR meets."""
    objects, T_world_from_ego = truth.frame.objects, truth.frame.T_world_from_ego
    ontology = load_ontology()
    target = target_of(ontology, load_class_map("road-to-nuscenes"))
    turn_rad = float(np.arctan2(T_world_from_ego[1, 0], T_world_from_ego[0, 0]))
    half = objects.sizes_lwh_m[:, 2] / 2
    centres_ego_m = objects.places_ego_m + half[:, None] * [0.0, 0.0, 1.0]
    centres_m = transform(T_world_from_ego, centres_ego_m)
    for row, number in enumerate(objects.ids):
        instance = f"{scene}-{number:03d}"
        length, width, height = objects.sizes_lwh_m[row].tolist()
        heading_rad = float(objects.headings_rad[row]) + turn_rad
        kind = target.names[target.ids[ontology.id_of(objects.class_names[row])]]
        tables["sample_annotation"].append(
            {
                "token": f"{truth.visible.id}-{number:03d}",
                "sample_token": truth.visible.id,
                "instance_token": instance,
                "visibility_token": str(_visibility(truth, row)),
                "attribute_tokens": [],
                "translation": centres_m[row].tolist(),
                "size": [width, length, height],
                "rotation": [np.cos(heading_rad / 2), 0.0, 0.0, np.sin(heading_rad / 2)],
                "num_lidar_pts": int(truth.points[row]),
                "num_radar_pts": 0,
            }
        )
        tables["instance"].append({"token": instance, "category_token": kind})


def _visibility(truth: FrameTruth, row: int) -> int:
    """Return the token of `VISIBILITIES` of an object, over all pictures."""
    visible = whole = 0
    for view in truth.frame.views:
        if view.whole.counts[row]:
            visible += int(masks_.areas(view.visible[row : row + 1])[0])
            whole += int(masks_.areas(view.whole[row : row + 1])[0])
    return 1 + int(np.digitize(visible / max(whole, 1), [0.4, 0.6, 0.8]))


def _link(rows: Rows, keys: tuple[str, ...]) -> None:
    """Set `prev` and `next` among the rows that agree in `keys`; rows are in the order of time."""
    last: dict[tuple[object, ...], dict[str, Any]] = {}
    for row in rows:
        before = last.get(tuple(row[key] for key in keys))
        row["prev"], row["next"] = before["token"] if before else "", ""
        if before:
            before["next"] = row["token"]
        last[tuple(row[key] for key in keys)] = row


def _instances(annotations: Rows, seen: Rows) -> Rows:
    """Return one row for each object of a scene."""
    tokens: dict[str, list[str]] = {}
    for row in annotations:
        tokens.setdefault(row["instance_token"], []).append(row["token"])
    kinds = {row["token"]: row["category_token"] for row in seen}
    return [
        {
            "token": instance,
            "category_token": kinds[instance],
            "nbr_annotations": len(mine),
            "first_annotation_token": mine[0],
            "last_annotation_token": mine[-1],
        }
        for instance, mine in tokens.items()
    ]


def _placed(T_dst_from_src: Float64) -> dict[str, list[float]]:
    """Return a pose as tables have it; rotations are w, x, y, z."""
    x, y, z, w = Rotation.from_matrix(T_dst_from_src[:3, :3]).as_quat().tolist()
    return {"translation": T_dst_from_src[:3, 3].tolist(), "rotation": [w, x, y, z]}


def _objects_line(truth: FrameTruth) -> dict[str, object]:
    areas = [masks_.areas(view.visible) for view in truth.frame.views]
    rows = [
        {
            **of_object(truth.frame.objects, row),
            "points": int(truth.points[row]),
            "points_seen": int(truth.points_seen[row]),
            "cameras": {
                view.camera.name: {
                    "visible_px": int(area[row]),
                    "hidden": round(float(view.hidden_shares[row]), 4),
                    "truncated": round(float(view.truncated_shares[row]), 4),
                }
                for view, area in zip(truth.frame.views, areas, strict=True)
                if area[row]
            },
        }
        for row in range(len(truth.frame.objects))
    ]
    return {"frame": truth.visible.id, "stamp_ns": truth.frame.stamp_ns, "objects": rows}
