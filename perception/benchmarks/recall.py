"""What a detector finds on real streets, by size of the object, with tiles and without.

The size of an object is the side of a square as large as its true box. Boxes count from the score
on at which a label is accepted. A box is right that overlaps an object of its class by half
or more, which no better box has found; one that lies in a crowd or in void does not count. To a
detector of COCO's classes a rider is a person.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from perception.benchmarks.harness.measurement import Measurement, Row, rows_of
from perception.benchmarks.harness.streets import Streets, open_streets
from perception.core import boxes, masks
from perception.core.config import JudgeConfig, ObserveConfig
from perception.core.errors import RequestError
from perception.core.ontology import ClassMap, Ontology, load_class_map, load_ontology
from perception.core.progress import Progress
from perception.core.statistics import Figure
from perception.core.text import text_table
from perception.core.types import Bool, Detections, Float64, Picture
from perception.evaluation import Truth
from perception.evaluation.instances import (
    IGNORED_SHARE,
    Comparison,
    Labels,
    cross_overlaps,
    ignored_shares,
    match,
)
from perception.evaluation.truth import NOT_JUDGED
from perception.io.images import decode_image
from perception.models import registry
from perception.models.backends import detector_resolved
from perception.models.fakes import BoxFiller
from perception.models.protocols import Detector

FOUND_IOU = 0.5
SIZES_PX = {"under 16": (0, 16), "16-32": (16, 32), "32-96": (32, 96), "over 96": (96, np.inf)}
RIDERS = {"bicyclist": "person", "motorcyclist": "person"}
CLASS_MAP = "coco80-to-road"
TILES = ("off", "native")
SHARES = ("recall", "precision")


@dataclass(frozen=True)
class Found:
    """What one detector came to on one set.

    Attributes:
        streets: Name of the set.
        detector: File of the weights.
        tiles: As `observe.detect_tiles`.
        sides_px: (M,) size of each true object.
        found: (M,) whether it was found.
        right: Boxes that found an object.
        wrong: Boxes that count and found none.
    """

    streets: str
    detector: str
    tiles: str
    sides_px: Float64
    found: Bool
    right: int
    wrong: int

    def of_size(self, name: str) -> tuple[int, int]:
        """Return how many objects of a size were found, and how many there are."""
        low, high = SIZES_PX[name]
        rows = (self.sides_px >= low) & (self.sides_px < high)
        return int(self.found[rows].sum()), int(rows.sum())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; null where there is neither an object nor a box."""
        boxes = self.right + self.wrong
        return {
            "set": self.streets,
            "detector": self.detector,
            "tiles": self.tiles,
            "recall": float(self.found.mean()) if len(self.found) else None,
            "precision": self.right / max(boxes, 1) if boxes or len(self.found) else None,
            "objects": len(self.found),
            "boxes": boxes,
            "found_by_size": {name: self.of_size(name) for name in SIZES_PX},
        }


def measure(
    roots: Sequence[Path], detectors: Sequence[str], threads: int, done: Progress
) -> tuple[Found, ...]:
    """Let each detector look at each set, with tiles and without.

    Args:
        roots: As for `streets.open_streets`.
        detectors: Weights of COCO's 80 classes, as for `label`; .pt files must be known.
        threads: Of the detector.
        done: Called with looks done and in all.
    """
    ontology, class_map = load_ontology(), load_class_map(CLASS_MAP)
    sets = [open_streets(root, ontology) for root in roots]
    jobs = [(text, tiles, streets) for text in detectors for tiles in TILES for streets in sets]
    results = []
    for number, (text, tiles, streets) in enumerate(jobs, start=1):
        choice = registry.choose_detector(text, trust_weights=False)
        settings = ObserveConfig.model_validate({"threads": threads, "detect_tiles": tiles})
        settings = detector_resolved(settings, choice.can)
        detector = registry.load_detector(choice.spec.kind, choice.path, settings)
        class_map.check_names(detector.class_names)
        results.append(_look(streets, detector, choice.spec.file_name, tiles, ontology, class_map))
        done(number, len(jobs))
    return tuple(results)


def _look(
    streets: Streets,
    detector: Detector,
    file_name: str,
    tiles: str,
    ontology: Ontology,
    class_map: ClassMap,
) -> Found:
    sides, found, right, wrong = [np.zeros(0)], [np.zeros(0, bool)], 0, 0
    for path in streets.images:
        seen = detector(Picture("", path.name, decode_image(path)))
        one = compare(seen, path.name, streets.truth, ontology, class_map)
        matched = match(one, one.labels.accepted, FOUND_IOU)
        excused = (matched < 0) & (ignored_shares(one) > IGNORED_SHARE)
        objects = ~one.truth.ignored
        sides.append(np.sqrt(boxes.areas(one.truth.boxes_xyxy[objects])))
        found.append(np.isin(np.flatnonzero(objects), matched))
        right += int((matched >= 0).sum())
        wrong += int(((matched < 0) & ~excused).sum())
    return Found(
        streets.name,
        file_name,
        tiles,
        np.concatenate(sides),
        np.concatenate(found),
        right,
        wrong,
    )


def compare(
    seen: Detections, file_name: str, truth: Truth, ontology: Ontology, class_map: ClassMap
) -> Comparison:
    """Put the boxes of an image, those of accepted score, beside its truth.

    Raises:
        RequestError: `truth.missing` for an image that the truth does not know.
    """
    objects = truth.find_picture(file_name)
    if objects is None:
        raise RequestError("truth.missing", f"{truth.name}: knows no image {file_name}")
    as_person = {ontology.id_of(name): ontology.id_of(to) for name, to in RIDERS.items()}
    true_ids = [as_person.get(int(number), int(number)) for number in objects.class_ids]
    objects = replace(objects, class_ids=np.array(true_ids, np.int32))
    names = [class_map(seen.class_names[number]) for number in seen.class_ids]
    ids = np.array([ontology.id_of(name) if name else -1 for name in names], np.int32)
    judged = truth.picture_classes(ids)
    counts = (judged != NOT_JUDGED) & (seen.scores >= JudgeConfig().min_score)
    chosen = seen[counts]
    drawn = BoxFiller()(np.zeros((*objects.size_hw, 3), np.uint8), chosen.boxes_xyxy).masks
    return Comparison(
        scene=0,
        truth=objects,
        labels=Labels(
            instance_ids=np.arange(1, len(chosen) + 1, dtype=np.int32),
            masks=drawn,
            boxes_xyxy=chosen.boxes_xyxy,
            class_ids=judged[counts],
            scores=chosen.scores,
            trusts=np.full(len(chosen), np.nan, np.float32),
            accepted=np.ones(len(chosen), bool),
            ranges_m=np.full(len(chosen), np.nan, np.float32),
        ),
        label_areas=masks.areas(drawn),
        true_areas=masks.areas(objects.masks),
        overlaps=cross_overlaps(drawn, objects.masks),
        ious=boxes.ious(chosen.boxes_xyxy, objects.boxes_xyxy),
        boundary_ious=np.zeros((len(chosen), len(objects))),
        not_judged=int((judged == NOT_JUDGED).sum()),
    )


def report(results: Sequence[Found]) -> Measurement:
    """Return the figures, and the table: recall, precision, and objects found of each size."""
    head = ["set, detector, tiles", *SHARES, "boxes", *(f"{s} px" for s in SIZES_PX)]
    cells, rows = [head], list[Row]()
    for one in results:
        stated = one.to_dict()
        sizes = ["{} of {}".format(*one.of_size(name)) for name in SIZES_PX]
        shares = ["-" if stated[of] is None else f"{stated[of]:.3f}" for of in SHARES]
        name = f"{one.streets}, {one.detector}, {one.tiles}"
        cells.append([name, *shares, str(stated["boxes"]), *sizes])
        rows += rows_of({of: stated[of] for of in (*SHARES, "objects", "boxes")}, name)
        for size in SIZES_PX:
            found, there = one.of_size(size)
            rows.append(Row(f"{name}: {size} px", Figure(found), f"of {there}"))
    return Measurement(rows, text_table(cells), {"results": [one.to_dict() for one in results]})
