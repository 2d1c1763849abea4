"""Truth from KITTI's label_2: 2D boxes on images, and the points inside the 3D boxes.

KITTI object has no masks. Its 2D boxes judge boxes; its 3D boxes stand in for instances of points,
with sides and top moved out 0.1 m and the bottom where it is, so that the road stays out.

- DontCare regions are ignored: labels there, and points that project there, do not count. Misc
  objects (trailers and whatever has no type) are ignored too: no class of ours is only that.
- Points inside two boxes, and those outside the image, where nobody annotated, are not known.
- An object without a 3D box (sizes of -1 or 0, as in label files made for images) is known on the
  image alone: its distance is not known, nor are the points that project into its 2D box. A sweep
  whose objects all lack one has no truth.
- Judged are the classes that KITTI has a type for. A van is no car here, as in label_2.

Source: http://www.cvlibs.net/datasets/kitti/eval_object.php (devkit readme).
"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np

from perception.core.geometry import points_in_view, transform
from perception.core.ontology import ClassMap, Ontology, load_class_map
from perception.core.types import Bool, Cuboids, Float32, Float64, Int32, SampleRef, Scene
from perception.evaluation.boxed import (
    BOX_MARGIN_M,
    no_masks,
    points_of,
    require_count,
    standing_in_sight,
)
from perception.evaluation.truth import (
    ANY_CLASS,
    VOID,
    TruePicture,
    TruePoints,
    Truth,
    vocabulary_of,
)
from perception.formats import kitti_label
from perception.formats.kitti_label import DONT_CARE, KittiObjects
from perception.io.images import probe_image
from perception.readers import kitti_object, sources

PREFIX = "kitti:"
OWN_ROOT = "kitti"  # the root that the run was made from
MISC = "Misc"


def kitti_truth(root: Path, ontology: Ontology, columns: int = 0) -> Truth:
    """Open a KITTI object folder; frames without a label file are not known.

    Args:
        root: The folder.
        ontology: The classes of the run.
        columns: Numbers per point of its sweeps; 0: as the layout has them.

    Raises:
        RequestError: as `sources.find`.
    """
    found = sources.find(sources.parse_source(f"{PREFIX}{root}"))
    refs = {ref.id: ref for ref in sources.with_columns(found, columns)}
    class_map = load_class_map("kitti-to-road")
    known = [class_map(kind) for kind in kitti_label.TYPES if kind not in {MISC, DONT_CARE}]
    classes = vocabulary_of(ontology, [name for name in known if name is not None])

    scene_of = lru_cache(maxsize=1)(sources.load_scene)  # asked for twice per sweep

    def labelled(frame: str) -> SampleRef | None:
        ref = refs.get(frame)
        return ref if ref is not None and label_path(ref).is_file() else None

    def find_picture(name: str) -> TruePicture | None:
        ref = labelled(PurePosixPath(name).stem)
        return _picture(name, ref, ontology, class_map) if ref else None

    def find_points(sample_id: str, count: int) -> TruePoints | None:
        ref = labelled(sample_id)
        if ref is None or not ref.calib_files or not ref.sweep_file:
            return None
        scene = scene_of(ref)
        require_count(ref, scene, count)
        objects = kitti_label.read(label_path(ref))
        real = ~_dont_care(objects)
        if real.any() and not _solid(objects).any():
            return None
        class_ids = _class_ids(objects, ontology, class_map)
        return _points(ref, scene, objects, class_ids)

    def find_best(sample_id: str, count: int) -> TruePoints | None:
        true = find_points(sample_id, count)
        if true is None:
            return None
        ref = refs[sample_id]
        return standing_in_sight(true, scene_of(ref), [image_size(ref)])

    def find_cuboids(sample_id: str) -> Cuboids | None:
        ref = labelled(sample_id)
        if ref is None or not ref.calib_files:
            return None
        objects = kitti_label.read(label_path(ref))
        boxes = kitti_label.cuboids_of(objects, kitti_object.rect_from_lidar(ref))
        return boxes[_solid(objects)]

    return Truth(
        name=f"{PREFIX}{root}",
        picture_classes=classes,
        point_classes=classes,
        find_picture=find_picture,
        find_points=find_points,
        has_masks=False,
        find_cuboids=find_cuboids,
        find_best=find_best,
        image_names=tuple(frame for frame in refs if labelled(frame)),
    )


def label_path(ref: SampleRef) -> Path:
    """Return where the label file of a frame stands; it may be missing."""
    return Path(ref.root) / kitti_object.label_file(ref)


def image_size(ref: SampleRef) -> tuple[int, int]:
    """Return the height and width of a frame's image."""
    return probe_image(Path(ref.root) / ref.pictures[0].file_name)


def points_in_boxes(objects: KittiObjects, points_rect: Float64) -> Bool:
    """Return (N, P) booleans: which points lie inside each 3D box, sides and top grown.

    Args:
        objects: Boxes as KITTI gives them: bottom centre in the rectified frame of camera 0, y
            down, turned about y.
        points_rect: (P, 3) metres, the same frame.
    """
    inside = np.zeros((len(objects), len(points_rect)), bool)
    for row, (height, width, length) in enumerate(objects.dimensions_hwl_m):
        offset = points_rect - objects.locations_cam_m[row]
        cosine, sine = np.cos(objects.rotations_y_rad[row]), np.sin(objects.rotations_y_rad[row])
        ahead = cosine * offset[:, 0] - sine * offset[:, 2]  # along the length
        aside = sine * offset[:, 0] + cosine * offset[:, 2]
        inside[row] = (
            (np.abs(ahead) <= length / 2 + BOX_MARGIN_M)
            & (np.abs(aside) <= width / 2 + BOX_MARGIN_M)
            & (offset[:, 1] <= 0)
            & (offset[:, 1] >= -height - BOX_MARGIN_M)
        )
    return inside


def sweep_in_boxes(ref: SampleRef, points_lidar: Float32, objects: KittiObjects) -> Bool:
    """Return (N, P): which points of a frame's sweep lie inside each object's 3D box.

    Args:
        ref: The frame, for its calibration.
        points_lidar: (P, 3) metres; points that are not finite lie in no box.
        objects: N objects, without DontCare.
    """
    points_rect = transform(kitti_object.rect_from_lidar(ref), points_lidar.astype(np.float64))
    return points_in_boxes(objects, points_rect)


def _class_ids(objects: KittiObjects, ontology: Ontology, class_map: ClassMap) -> Int32:
    names = [None if kind in {MISC, DONT_CARE} else class_map(kind) for kind in objects.types]
    ids = [ANY_CLASS if name is None else ontology.id_of(name) for name in names]
    return np.array(ids, np.int32)


def _picture(name: str, ref: SampleRef, ontology: Ontology, class_map: ClassMap) -> TruePicture:
    objects = kitti_label.read(label_path(ref))
    n, real, solid = len(objects), ~_dont_care(objects), _solid(objects)
    class_ids = _class_ids(objects, ontology, class_map)
    x_m, z_m = objects.locations_cam_m[:, 0], objects.locations_cam_m[:, 2]
    size_hw = image_size(ref)
    return TruePicture(
        file_name=name,
        size_hw=size_hw,
        masks=no_masks(n, size_hw),
        boxes_xyxy=objects.boxes_xyxy,
        class_ids=class_ids,
        ignored=class_ids == ANY_CLASS,
        instance_ids=np.where(real, np.arange(1, n + 1), 0).astype(np.int32),
        ranges_m=np.where(solid, np.hypot(x_m, z_m), np.nan).astype(np.float32),
    )


def _dont_care(objects: KittiObjects) -> Bool:
    return np.array([kind == DONT_CARE for kind in objects.types], bool)


def _solid(objects: KittiObjects) -> Bool:
    """Return (N,): which objects have a 3D box."""
    return ~_dont_care(objects) & (objects.dimensions_hwl_m > 0).all(axis=1)


def _points(ref: SampleRef, scene: Scene, objects: KittiObjects, class_ids: Int32) -> TruePoints:
    """Return the truth of a sweep; instance ids are 1 + the row in the label file."""
    size_hw = image_size(ref)
    rows, uv, _ = points_in_view(scene.cameras[0], scene.points_lidar, size_hw)
    known = np.zeros(len(scene.points_lidar), bool)
    known[rows] = True
    solid = _solid(objects)
    for x0, y0, x1, y1 in objects.boxes_xyxy[~solid]:
        here = (uv[:, 0] >= x0) & (uv[:, 0] < x1) & (uv[:, 1] >= y0) & (uv[:, 1] < y1)
        known[rows[here]] = False
    inside = np.zeros((len(objects), len(scene.points_lidar)), bool)
    inside[solid] = sweep_in_boxes(ref, scene.points_lidar, objects[solid])
    found = points_of(inside, class_ids, scene, [size_hw])
    in_a_box = inside.any(axis=0)
    return replace(
        found,
        class_ids=np.where(known | in_a_box, found.class_ids, VOID).astype(np.int32),
    )
