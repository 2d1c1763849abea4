"""Typed truth: the true objects and points, in the class ids of the run's ontology.

A truth seldom tells apart all classes of an ontology: to Cityscapes a van is a car, SemanticKITTI
has no vans either. So labels and truth are both brought to the classes that the truth can judge
(`Vocabulary`); predictions of other classes are left out and counted.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from perception.core.ontology import ClassMap, Ontology, target_of
from perception.core.types import Bool, Cuboids, Float32, Int32, Masks, RowAligned

ANY_CLASS = -1  # of an ignored region: labels of every class are left out in it
BACKGROUND = 0  # of a point: known to belong to no object
VOID = -1  # of a point: not known, left out
NOT_JUDGED = -2  # of a label: its class is none that the truth knows


@dataclass(frozen=True, eq=False, repr=False)
class TruePicture(RowAligned):
    """N true objects and ignored regions of one image.

    Attributes:
        file_name: As in the run: POSIX path relative to the dataset's root.
        size_hw: Height and width of the image.
        masks: (N) masks of what is visible.
        boxes_xyxy: (N, 4) float32, as the file gives them, else the bounds of the masks.
            A truth without masks has rows of empty masks.
        class_ids: (N,) int32 ids of the ontology; `ANY_CLASS` for void regions.
        ignored: (N,) bool, crowds and void: neither found nor missed; labels there do not count.
        instance_ids: (N,) int32, the object's id in `TruePoints`; 0 where that is not known.
        ranges_m: (N,) float32, distance on the ground; NaN where that is not known.
    """

    shared: ClassVar[frozenset[str]] = frozenset({"file_name", "size_hw"})

    file_name: str
    size_hw: tuple[int, int]
    masks: Masks
    boxes_xyxy: Float32
    class_ids: Int32
    ignored: Bool
    instance_ids: Int32
    ranges_m: Float32


@dataclass(frozen=True, eq=False, repr=False)
class TruePoints(RowAligned):
    """The truth of P LiDAR points, in the order of the file.

    Attributes:
        class_ids: (P,) int32 ids of the ontology, `BACKGROUND` or `VOID`.
        instance_ids: (P,) int32; 0 where a point belongs to no single object.
        seen: (P,) bool, whether a camera sees the point; all True where that is not known.
        has_seen: Whether that is known.
    """

    shared: ClassVar[frozenset[str]] = frozenset({"has_seen"})

    class_ids: Int32
    instance_ids: Int32
    seen: Bool
    has_seen: bool


@dataclass(frozen=True)
class Vocabulary:
    """Which classes a truth can tell apart.

    Attributes:
        names: Class id to name, in the order of the tables.
        judged_as: Class id of the ontology to a key of `names`; classes that the truth does not
            know are missing.
    """

    names: dict[int, str]
    judged_as: dict[int, int]

    def __call__(self, class_ids: Int32) -> Int32:
        """Return the ids that labels are judged as; `NOT_JUDGED` where there is none."""
        table = np.full(max(self.judged_as, default=0) + 2, NOT_JUDGED, np.int32)
        for class_id, judged in self.judged_as.items():
            table[class_id] = judged
        known = (class_ids >= 0) & (class_ids < len(table))
        return np.where(known, table[np.where(known, class_ids, 0)], NOT_JUDGED).astype(np.int32)


def vocabulary_of(ontology: Ontology, names: Iterable[str] | None = None) -> Vocabulary:
    """Return the vocabulary of a truth that knows these classes of the ontology; None for all."""
    wanted = {entry.name for entry in ontology.classes} if names is None else set(names)
    kept = {entry.id: entry.name for entry in ontology.classes if entry.name in wanted}
    return Vocabulary(names=kept, judged_as={class_id: class_id for class_id in kept})


def vocabulary_through(
    ontology: Ontology, class_map: ClassMap, judged_ids: frozenset[int] | None = None
) -> tuple[Vocabulary, dict[int, int]]:
    """Return the vocabulary of a truth in the ids of a format.

    Classes that the format does not tell apart are judged as the first of them; the tables call
    them by the name that the format has.

    Args:
        ontology: The classes of the run.
        class_map: From the ontology to the format, with ids.
        judged_ids: Ids of the format that the truth holds; None for all.

    Returns:
        The vocabulary, and the id of the format to the id that stands for it.
    """
    target = target_of(ontology, class_map)
    names, judged_as = dict[int, str](), dict[int, int]()
    stands_for = dict[int, int]()
    for entry in ontology.classes:
        format_id = target.ids.get(entry.id)
        if format_id is None or (judged_ids is not None and format_id not in judged_ids):
            continue
        first = stands_for.setdefault(format_id, entry.id)
        names.setdefault(first, target.names[format_id])
        judged_as[entry.id] = first
    return Vocabulary(names=names, judged_as=judged_as), stands_for


@dataclass(frozen=True, eq=False)
class Truth:
    """A source of truth, opened; pictures and sweeps are read when they are asked for.

    Attributes:
        name: For people.
        picture_classes: What can be judged on images.
        point_classes: What can be judged on points.
        find_picture: From the file name of a run's image to its truth; None where there is none.
        find_points: From the id of a sample and the number of its points to their truth; None where
            there is none.
        has_masks: False where objects are known by their boxes alone.
        scene_of: From the id of a sample to its scene: samples of one scene resemble each other.
        find_cuboids: From the id of a sample to its 3D boxes, with the ids of `TruePoints`; None
            where there are none.
        find_best: As `find_points`: the best labels that can be had where the truth is boxes, see
            `boxed`; None where it is exact.
        has_images: False where it judges points alone.
        benchmark_classes: Over how many classes the mean IoU of a benchmark is, those that no label
            of ours can have included; 0 where there is no such mean.
        notes: What a reader should know of this truth, sentences.
        image_names: What it calls its images, or its samples where it has no images, for messages.
    """

    name: str
    picture_classes: Vocabulary
    point_classes: Vocabulary
    find_picture: Callable[[str], TruePicture | None]
    find_points: Callable[[str, int], TruePoints | None]
    has_masks: bool = True
    scene_of: Callable[[str], str] = str  # each sample a scene of its own
    find_cuboids: Callable[[str], Cuboids | None] = lambda sample_id: None
    find_best: Callable[[str, int], TruePoints | None] = lambda sample_id, count: None
    has_images: bool = True
    benchmark_classes: int = 0
    notes: tuple[str, ...] = ()
    image_names: tuple[str, ...] = ()


def no_points(sample_id: str, count: int) -> TruePoints | None:
    """Find no truth: for sources that have no sweeps."""
    return None
