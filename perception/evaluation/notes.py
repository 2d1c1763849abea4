"""What a reader should know of a comparison: above all, what the truth does not hold.

A figure whose truth is missing has no value, and a sentence here says why.
"""

import numpy as np

from perception.evaluation.instances import Comparison
from perception.evaluation.rows import LabelRows, ObjectRows
from perception.evaluation.truth import Truth

INTERVALS = (
    "Intervals draw scenes: those that the card of a synthetic drive names, elsewhere samples.",
    "Samples of one street resemble each other more than these know; one scene has no interval.",
)
CEILING = (
    "This truth has boxes for points. Rows `ceiling` are what the best labels reach against them: "
    "the exact truth of a synthetic drive; elsewhere the boxes' points without ground and hidden "
    "ones."
)
PAIRED = (
    "Differences are paired: those of figures by scene, those of the same objects by object. One "
    "whose interval holds 0 may be chance."
)
OTHER_SAMPLES = (
    "Not all runs were made from the same samples: between those there are differences of objects "
    "alone."
)
BOXES_ONLY = (
    "The truth holds boxes and no masks: boxes are compared, those around the labels' masks. "
    "Figures of masks have no value; there is no yield and no panoptic quality."
)
NO_INSTANCES = (
    "The truth has classes of points and no instances: there is no panoptic quality and no IoU of "
    "objects of points."
)
BENCHMARK_MEAN = (
    "The benchmark's mean takes classes that no label of ours can have (roads, trees), and those "
    "that are nowhere, as 0; row mIoU is over the classes that the truth has and labels can have."
)
NO_POINTS = "The run has no points: those of the truth are not compared."


def masks_are_boxes(comparisons: list[Comparison]) -> bool:
    """Tell whether every true mask fills its box, as masks made from boxes do."""
    filled = list[bool]()
    for found in comparisons:
        x0, y0, x1, y1 = found.truth.masks.boxes_xyxy.astype(np.int64).T
        objects = ~found.truth.ignored
        filled += (found.true_areas == (x1 - x0) * (y1 - y0))[objects].tolist()
    return bool(filled) and all(filled)


def on_truth(
    truth: Truth, comparisons: list[Comparison], labels: LabelRows, objects: ObjectRows
) -> tuple[str, ...]:
    """Return sentences on what the truth of the images holds.

    Args:
        truth: What the labels were compared with.
        comparisons: All images that it knows.
        labels: Accepted labels.
        objects: True objects.
    """
    notes = list(truth.notes)
    if comparisons and not truth.has_masks:
        notes.insert(0, BOXES_ONLY)
    elif masks_are_boxes(comparisons):
        notes.append(
            f"Every one of the {len(objects)} true masks fills its box: if they were made from "
            "boxes, read the figures of boxes and not those of masks."
        )
    if comparisons and not len(objects):
        notes.append(
            f"The truth has no object on the {len(comparisons)} images: every label there counts "
            "as false, and recall has no value."
        )
        return tuple(notes)
    without = ~np.isin(labels.class_ids, objects.class_ids) & ~labels.excused
    names = [truth.picture_classes.names[int(i)] for i in np.unique(labels.class_ids[without])]
    if names:
        notes.append(
            f"The truth has no {', no '.join(names)} on these images: {int(without.sum())} labels "
            "of such classes count as false, and recall of these classes has no value."
        )
    return tuple(notes)
