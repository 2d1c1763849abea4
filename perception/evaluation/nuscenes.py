"""Truth from nuScenes' 3D boxes: the points inside them, and what they look like on images.

Boxes stand in for instances of points as KITTI's do, see `boxed`. On an image an object is the
bounds of its corners that lie ahead, as in the devkit's export_2d_annotations_as_json.

- Categories that no class of ours stands for are ignored, with the points in their boxes. On images
  so are objects that neither LiDAR nor radar met: the devkit's benchmark leaves them out too.
- A box is where it was at the moment of the sweep. Boxes are all round the car, so all points are
  known, those that no camera sees included.

Source: https://github.com/nutonomy/nuscenes-devkit, docs/schema_nuscenes.md.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from perception.core.geometry import (
    inverse,
    quaternion_fault,
    rigid,
    rotation_of_quaternion,
    transform,
)
from perception.core.ontology import Ontology, load_class_map
from perception.core.types import (
    Bool,
    Camera,
    Cuboids,
    Float32,
    Float64,
    Int32,
    RowAligned,
    SampleRef,
)
from perception.evaluation.boxed import (
    BOX_MARGIN_M,
    no_masks,
    points_of,
    require_count,
    standing_in_sight,
)
from perception.evaluation.truth import (
    ANY_CLASS,
    TruePicture,
    TruePoints,
    Truth,
    Vocabulary,
    vocabulary_through,
)
from perception.io.images import probe_image
from perception.io.tables import Row, read_table
from perception.readers import nuscenes, sources

PREFIX = "nuscenes:"
OWN_ROOT = "nuscenes"  # the root that the run was made from
NEAR_M = 0.1  # corners nearer than this, or behind the camera, have no place on the image
# Signs of length, width and height of a box's corners.
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)


@dataclass(frozen=True, eq=False, repr=False)
class _Boxes(RowAligned):
    """The N boxes of a sample.

    Attributes:
        T_world_from_box: (N, 4, 4): x along the length, y along the width, z up from the middle.
        sizes_lwh_m: (N, 3).
        class_ids: (N,) int32, `ANY_CLASS` for ignored ones.
        met: (N,) bool, LiDAR or radar has points on it.
    """

    T_world_from_box: Float64
    sizes_lwh_m: Float64
    class_ids: Int32
    met: Bool

    def inside(self, points_lidar: Float32, T_world_from_lidar: Float64) -> Bool:
        """Return (N, P): which points lie in each box, sides and top grown."""
        found = np.zeros((len(self), len(points_lidar)), bool)
        for row, (T_world_from_box, sides_m) in enumerate(
            zip(self.T_world_from_box, self.sizes_lwh_m / 2, strict=True)
        ):
            T_box_from_lidar = inverse(T_world_from_box) @ T_world_from_lidar
            reach_m = np.linalg.norm(sides_m) + 2 * BOX_MARGIN_M
            centre_m = inverse(T_box_from_lidar)[:3, 3]
            near = np.flatnonzero((np.abs(points_lidar - centre_m) < reach_m).all(axis=1))
            x, y, z = transform(T_box_from_lidar, points_lidar[near].astype(np.float64)).T
            found[row, near] = (
                (np.abs(x) <= sides_m[0] + BOX_MARGIN_M)
                & (np.abs(y) <= sides_m[1] + BOX_MARGIN_M)
                & (z >= -sides_m[2])
                & (z <= sides_m[2] + BOX_MARGIN_M)
            )
        return found

    def cuboids(self, T_world_from_lidar: Float64) -> Cuboids:
        """Return them in the LiDAR's frame, numbered from 1."""
        T_lidar_from_box = inverse(T_world_from_lidar) @ self.T_world_from_box
        count = len(self)
        return Cuboids(
            instance_ids=np.arange(1, count + 1, dtype=np.int32),
            centres_m=T_lidar_from_box[:, :3, 3].astype(np.float32),
            sizes_lwh_m=self.sizes_lwh_m.astype(np.float32),
            yaws_rad=np.arctan2(T_lidar_from_box[:, 1, 0], T_lidar_from_box[:, 0, 0]).astype(
                np.float32
            ),
            confidences=np.ones(count, np.float32),
        )

    def on_image(
        self, camera: Camera, T_world_from_lidar: Float64, size_hw: tuple[int, int]
    ) -> Float32:
        """Return (N, 4) bounds on an image, xyxy; empty ones for what it does not show."""
        T_cam_from_world = camera.T_cam_from_lidar @ inverse(T_world_from_lidar)
        bounds = np.zeros((len(self), 4), np.float32)
        for row, T_world_from_box in enumerate(self.T_world_from_box):
            corners = CORNERS * self.sizes_lwh_m[row] / 2
            x, y, z = transform(T_cam_from_world @ T_world_from_box, corners).T
            ahead = z > NEAR_M
            if ahead.any():
                u = camera.K[0, 0] * x[ahead] / z[ahead] + camera.K[0, 2] + 0.5
                v = camera.K[1, 1] * y[ahead] / z[ahead] + camera.K[1, 2] + 0.5
                sides = np.array([u.min(), v.min(), u.max(), v.max()])
                bounds[row] = np.clip(sides, 0, [size_hw[1], size_hw[0]] * 2)
        return bounds


def nuscenes_truth(root: Path, ontology: Ontology, columns: int = 0) -> Truth:
    """Open the boxes of a nuScenes folder; samples without a row in sample_annotation have none.

    Args:
        root: The folder.
        ontology: The classes of the run.
        columns: Numbers per point of its sweeps; 0: as the layout has them.

    Raises:
        RequestError: as `sources.find`; `class.unknown` for a category that nuScenes does not have.
    """
    refs = sources.with_columns(sources.find(sources.parse_source(f"{PREFIX}{root}")), columns)
    by_id = {ref.id: ref for ref in refs}
    place = {picture.file_name: (ref, picture.camera) for ref in refs for picture in ref.pictures}
    to_format = load_class_map("road-to-nuscenes")
    stood_for = frozenset(
        to_format.ids[to_format.map[name]]
        for name in load_class_map("nuscenes-to-road").map.values()
    )
    classes, _ = vocabulary_through(ontology, to_format, stood_for)
    boxes = _read_boxes(refs, ontology, classes)

    scene_of = lru_cache(maxsize=1)(sources.load_scene)  # asked for once per image

    def find_picture(name: str) -> TruePicture | None:
        ref, camera_name = place.get(name, (None, ""))
        if ref is None or ref.id not in boxes or not ref.sweep_file:
            return None
        camera = {one.name: one for one in scene_of(ref).cameras}[camera_name]
        size_hw = probe_image(Path(ref.root) / name)
        return _picture(name, boxes[ref.id], camera, nuscenes.T_world_from_lidar(ref), size_hw)

    def find_points(sample_id: str, count: int) -> TruePoints | None:
        ref = by_id.get(sample_id)
        if ref is None or ref.id not in boxes or not ref.sweep_file:
            return None
        scene = scene_of(ref)
        require_count(ref, scene, count)
        own = boxes[ref.id]
        inside = own.inside(scene.points_lidar, nuscenes.T_world_from_lidar(ref))
        sizes = [probe_image(Path(ref.root) / picture.file_name) for picture in ref.pictures]
        return points_of(inside, own.class_ids, scene, sizes)

    def find_best(sample_id: str, count: int) -> TruePoints | None:
        true = find_points(sample_id, count)
        if true is None:
            return None
        ref = by_id[sample_id]
        sizes = [probe_image(Path(ref.root) / picture.file_name) for picture in ref.pictures]
        return standing_in_sight(true, scene_of(ref), sizes)

    def find_cuboids(sample_id: str) -> Cuboids | None:
        if sample_id not in boxes or not by_id[sample_id].sweep_file:
            return None
        return boxes[sample_id].cuboids(nuscenes.T_world_from_lidar(by_id[sample_id]))

    return Truth(
        name=f"{PREFIX}{root}",
        picture_classes=classes,
        point_classes=classes,
        find_picture=find_picture,
        find_points=find_points,
        has_masks=False,
        find_cuboids=find_cuboids,
        find_best=find_best,
        image_names=tuple(name for name, (ref, _) in place.items() if ref.id in boxes),
    )


def _picture(
    name: str,
    boxes: _Boxes,
    camera: Camera,
    T_world_from_lidar: Float64,
    size_hw: tuple[int, int],
) -> TruePicture:
    bounds = boxes.on_image(camera, T_world_from_lidar, size_hw)
    shown = np.flatnonzero((bounds[:, 2:] > bounds[:, :2]).all(axis=1))
    places = boxes.cuboids(T_world_from_lidar).centres_m[shown, :2].astype(np.float64)
    return TruePicture(
        file_name=name,
        size_hw=size_hw,
        masks=no_masks(len(shown), size_hw),
        boxes_xyxy=bounds[shown],
        class_ids=boxes.class_ids[shown],
        ignored=(boxes.class_ids[shown] == ANY_CLASS) | ~boxes.met[shown],
        instance_ids=(shown + 1).astype(np.int32),
        ranges_m=np.hypot(*places.T).astype(np.float32),
    )


def _read_boxes(
    refs: tuple[SampleRef, ...], ontology: Ontology, classes: Vocabulary
) -> dict[str, _Boxes]:
    """Return the boxes of each sample that has any."""
    where = Path(refs[0].root) / nuscenes.version_of(refs[0])
    kinds = {row.token: row.text("category_token") for row in read_table(where / "instance.json")}
    used = frozenset(kinds.values())  # lidarseg's classes stand in the same table
    names = {
        row.token: row.text("name")
        for row in read_table(where / "category.json", lambda fields: fields.get("token") in used)
    }
    class_map = load_class_map("nuscenes-to-road")
    class_map.check_names(tuple(names.values()))
    of_category = {
        token: ANY_CLASS
        if (own := class_map(name)) is None
        else classes.judged_as[ontology.id_of(own)]
        for token, name in names.items()
    }
    wanted = {ref.id for ref in refs}
    rows: dict[str, list[tuple[Float64, Float64, int, bool]]] = {}
    annotations = where / "sample_annotation.json"
    for row in read_table(annotations, lambda fields: fields.get("sample_token") in wanted):
        category = kinds.get(row.text("instance_token"))
        if category not in of_category:
            raise row.fault("instance_token", "an instance of a category that the tables have")
        met = row.integer("num_lidar_pts") + row.integer("num_radar_pts", 0) > 0
        width, length, height = row.numbers("size", 3)
        rows.setdefault(row.text("sample_token"), []).append(
            (_placed(row), np.array([length, width, height]), of_category[category], met)
        )
    return {sample: _stacked(found) for sample, found in rows.items()}


def _placed(row: Row) -> Float64:
    quaternion = np.array(row.numbers("rotation", 4))
    if quaternion_fault(quaternion):
        raise row.fault("rotation", "a unit quaternion w, x, y, z")
    return rigid(rotation_of_quaternion(quaternion), np.array(row.numbers("translation", 3)))


def _stacked(rows: list[tuple[Float64, Float64, int, bool]]) -> _Boxes:
    places, sizes, class_ids, met = zip(*rows, strict=True)
    return _Boxes(
        np.array(places), np.array(sizes), np.array(class_ids, np.int32), np.array(met, bool)
    )
