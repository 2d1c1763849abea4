"""Benchmarks: quality on real data, memory, size. Each prints what BENCHMARKS.md states."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from perception.core import masks
from perception.core.config import DecideConfig, Mode, ObserveConfig
from perception.core.errors import RequestError
from perception.core.geometry import points_in_view
from perception.core.ontology import load_class_map, load_ontology
from perception.core.types import Bool, Sample, SampleRef
from perception.evaluation.kitti import sweep_in_boxes
from perception.formats import kitti_label
from perception.io.images import decode_image
from perception.labeling import pipeline
from perception.labeling.pipeline import Models, Rules
from perception.models import given_boxes, registry
from perception.models.protocols import Segmenter
from perception.readers import sources
from perception.runs import evidence, folder
from perception.runs.timings import peak_bytes

# Cityscapes: ids of things with instances (cityscapesscripts, helpers/labels.py).
THING_IDS = range(24, 34)
MIN_OBJECT_PX = 400
MIN_OBJECT_POINTS = 10
POINT_TYPES = ("Car", "Van", "Truck", "Tram", "Pedestrian", "Person_sitting", "Cyclist")


@dataclass(frozen=True)
class Score:
    """How well one true object was found.

    Attributes:
        sample: Where it is.
        kind: Its class, as its dataset names it.
        size: True pixels or true points.
        overlap: Pixels (points) in both.
        union: Pixels (points) in either.
    """

    sample: str
    kind: str
    size: int
    overlap: int
    union: int

    @property
    def iou(self) -> float:
        """Intersection over union; 0 if nothing was found."""
        return self.overlap / self.union if self.union else 0.0


def load_segmenter(text: str, threads: int, mode: Mode = "detail") -> Segmenter:
    """Load what `--segmenter` names."""
    choice = registry.choose_segmenter(text)
    settings = ObserveConfig(threads=threads, mode=mode)
    return registry.load_segmenter(choice.spec.kind, choice.path, settings)


def cityscapes_masks(
    root: Path, segmenter: Segmenter, done: Callable[[int, int], None]
) -> tuple[Score, ...]:
    """Segment the true boxes of Cityscapes' things and compare with their true masks.

    A box is the bounds of its mask. Things are ids 24 to 33 with instance numbers; groups (plain
    ids) and objects under 400 pixels are left out.

    Args:
        root: A folder with *_leftImg8bit.png and *_gtFine_instanceIds.png, at any depth.
        segmenter: What to measure.
        done: Called with images done and in all.
    """
    truths = sorted(root.rglob("*_gtFine_instanceIds.png"))
    if not truths:
        raise RequestError("source.empty", f"{root}: holds no *_gtFine_instanceIds.png")
    images = {path.name: path for path in root.rglob("*_leftImg8bit.png")}
    scores: list[Score] = []
    for number, truth in enumerate(truths, start=1):
        image = images[truth.name.replace("gtFine_instanceIds", "leftImg8bit")]
        instance_ids = np.asarray(cv2.imread(str(truth), cv2.IMREAD_UNCHANGED), np.int64)
        ids, sizes = np.unique(instance_ids, return_counts=True)
        kept = [
            int(i)
            for i, n in zip(ids, sizes, strict=True)
            if i >= 1000 and i // 1000 in THING_IDS and n >= MIN_OBJECT_PX
        ]
        bitmaps = [np.asarray(instance_ids == i) for i in kept]
        boxes = np.array([masks.encode_one(bitmap)[0] for bitmap in bitmaps], np.float32)
        found = segmenter(decode_image(image), boxes.reshape(-1, 4)).masks
        for row, (i, bitmap) in enumerate(zip(kept, bitmaps, strict=True)):
            scores.append(_score(image.name, str(i // 1000), bitmap, masks.decode_one(found, row)))
        done(number, len(truths))
    return _some(scores, f"{root}: no thing of {MIN_OBJECT_PX} pixels or more")


def kitti_points(
    root: Path, segmenter: Segmenter, done: Callable[[int, int], None]
) -> tuple[Score, ...]:
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
                scores.append(_score(ref.id, objects.types[row], inside, found))
        done(number, len(labelled))
    return _some(scores, f"{root}: label_2 has no 3D box with {MIN_OBJECT_POINTS} points or more")


def _some(scores: list[Score], missing: str) -> tuple[Score, ...]:
    """Return the scores; figures of no object would read as failures."""
    if not scores:
        raise RequestError("truth.empty", f"{missing}: there is nothing to compare with")
    return tuple(scores)


def _true_points(ref: SampleRef, sample: Sample, objects: kitti_label.KittiObjects) -> Bool:
    """Return (N, P): the points that the camera sees inside each object's 3D box."""
    points_lidar = sample.scene.points_lidar
    seen = np.zeros(len(points_lidar), bool)
    size_hw = sample.pictures[0].size_hw
    seen[points_in_view(sample.scene.cameras[0], points_lidar, size_hw)[0]] = True
    return sweep_in_boxes(ref, points_lidar, objects) & seen


def _score(sample: str, kind: str, truth: Bool, found: Bool) -> Score:
    size, overlap, union = (int(bits.sum()) for bits in (truth, truth & found, truth | found))
    return Score(sample, kind, size, overlap, union)


def score_lines(scores: tuple[Score, ...], unit: str) -> list[str]:
    """Return a table of scores and its summary."""
    lines = [f"{s.sample:40} {s.kind:16} {s.size:8} {unit}  IoU {s.iou:.3f}" for s in scores]
    summary = summarise(scores)
    return [*lines, ", ".join(f"{name} {value:.4g}" for name, value in summary.items())]


def summarise(scores: tuple[Score, ...]) -> dict[str, float]:
    """Return the number of objects, pooled, mean and least IoU."""
    ious = [score.iou for score in scores]
    union = sum(score.union for score in scores)
    return {
        "objects": len(scores),
        "pooled_iou": sum(score.overlap for score in scores) / union if union else 0.0,
        "mean_iou": float(np.mean(ious)) if ious else 0.0,
        "min_iou": min(ious, default=0.0),
    }


def segment_memory(segmenter: str, boxes: int, width: int, height: int) -> dict[str, float]:
    """Segment many boxes on one large image in a process of its own.

    Returns:
        Peak memory of that process in GB, before and after, and the seconds of the segmenting.
    """
    job = f"{segmenter}\n{boxes}\n{width}\n{height}"
    done = subprocess.run(
        [sys.executable, "-c", "from perception.benchmarks.masks import measure; measure()"],
        input=job,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RequestError("bench.failed", done.stderr.strip().splitlines()[-1])
    before, peak, seconds = (float(word) for word in done.stdout.split()[-3:])
    return {"loaded_gb": before, "peak_gb": peak, "seconds": seconds}


def measure() -> None:
    """Be the process that `segment_memory` starts: job on stdin, figures on stdout."""
    text, boxes, width, height = sys.stdin.read().split("\n")
    segmenter = load_segmenter(text, threads=2)
    rng = np.random.default_rng(0)
    image = cv2.resize(
        rng.integers(0, 256, (int(height) // 40, int(width) // 40, 3), np.uint8),
        (int(width), int(height)),
        interpolation=cv2.INTER_CUBIC,
    )
    corners = rng.uniform(0, 0.8, (int(boxes), 2)) * [int(width), int(height)]
    sides = rng.uniform(20, 0.2 * int(height), (int(boxes), 2))
    prompts_xyxy = np.concatenate([corners, corners + sides], axis=1).astype(np.float32)
    before, started = peak_bytes(), time.perf_counter()
    segmenter(np.asarray(image, np.uint8), prompts_xyxy)
    seconds = time.perf_counter() - started
    sys.stdout.write(f"\n{before / 1e9:.3f} {peak_bytes() / 1e9:.3f} {seconds:.2f}\n")


def evidence_size(run: Path) -> dict[str, float]:
    """Measure what a run's evidence takes.

    Returns:
        Instances, the median and the largest bytes of one (mask, logits and 64 bytes of numbers),
        and the bytes of all files divided by the instances.
    """
    plan = folder.read_plan(run, folder.read_spec(run))
    sizes: list[int] = []
    for index in range(len(plan)):
        for _, pictures in evidence.read(run, index, plan.shard(index)):
            for seen in pictures:
                masks_of, logits = seen.segments.masks.counts, seen.segments.logits.data
                pairs = zip(masks_of, logits, strict=True)
                sizes += [len(counts) + len(data) + 64 for counts, data in pairs]
    files = sum(path.stat().st_size for path in evidence.folder_of(run).iterdir())
    return {
        "instances": len(sizes),
        "median_bytes": float(np.median(sizes)) if sizes else 0.0,
        "largest_bytes": max(sizes, default=0),
        "file_bytes_per_instance": files / max(len(sizes), 1),
    }
