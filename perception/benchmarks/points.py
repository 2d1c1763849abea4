"""Labelled points of true boxes beside the points in true 3D boxes: `perception bench points`."""

from pathlib import Path

import numpy as np

from perception.benchmarks.harness.scores import Score, score, some
from perception.core.config import DecideConfig
from perception.core.errors import RequestError
from perception.core.geometry import points_in_view
from perception.core.ontology import load_class_map, load_ontology
from perception.core.progress import Progress
from perception.core.types import Bool, Sample, SampleRef
from perception.evaluation.kitti import sweep_in_boxes
from perception.formats import kitti_label
from perception.labeling import pipeline
from perception.labeling.pipeline import Models, Rules
from perception.models import given_boxes
from perception.models.protocols import Segmenter
from perception.readers import sources

MIN_OBJECT_POINTS = 10
POINT_TYPES = ("Car", "Van", "Truck", "Tram", "Pedestrian", "Person_sitting", "Cyclist")


def compare(root: Path, segmenter: Segmenter, done: Progress) -> tuple[Score, ...]:
    """Lift masks of label_2 boxes onto KITTI sweeps and compare with the points in the 3D boxes.

    Truth: points in front of the camera, inside the image and inside the 3D box with sides and top
    moved out 0.1 m. Prediction: the points of the instance that the object's box prompted, whatever
    its status. Objects with fewer than 10 true points are left out, and frames without label_2.

    Args:
        root: As in kitti:ROOT.
        segmenter: What to measure.
        done: Called with frames done and in all.
    """
    refs = sources.find(sources.parse_source(f"kitti:{root}"))
    boxes = given_boxes.KittiBoxes(root, None)
    rules = Rules(DecideConfig(), load_ontology(), load_class_map("kitti-to-road"))
    labelled = [ref for ref in refs if boxes.label_file(ref.pictures[0].file_name).is_file()]
    scores: list[Score] = []
    for number, ref in enumerate(labelled, start=1):
        sample = sources.load_sample(ref)
        labels = pipeline.label_sample(sample, Models(boxes, segmenter), rules)
        objects = kitti_label.read(boxes.label_file(ref.pictures[0].file_name))
        objects = objects[np.array([kind != kitti_label.DONT_CARE for kind in objects.types], bool)]
        if len(labels.pictures[0].instances) != len(objects):
            raise RequestError("boxes.invalid", f"{ref.id}: a box of label_2 cannot be prompted")
        for row, inside in enumerate(_true_points(ref, sample, objects)):
            if objects.types[row] in POINT_TYPES and inside.sum() >= MIN_OBJECT_POINTS:
                found = labels.points.instance_ids == row + 1
                scores.append(score(ref.id, objects.types[row], inside, found))
        done(number, len(labelled))
    return some(scores, f"{root}: label_2 has no 3D box with {MIN_OBJECT_POINTS} points or more")


def _true_points(ref: SampleRef, sample: Sample, objects: kitti_label.KittiObjects) -> Bool:
    """Return (N, P): the points that the camera sees inside each object's 3D box."""
    points_lidar = sample.scene.points_lidar
    seen = np.zeros(len(points_lidar), bool)
    size_hw = sample.pictures[0].size_hw
    seen[points_in_view(sample.scene.cameras[0], points_lidar, size_hw)[0]] = True
    return sweep_in_boxes(ref, points_lidar, objects) & seen
