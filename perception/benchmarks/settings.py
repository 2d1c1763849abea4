"""What SAM's settings cost and give: masks of true objects, images per second, memory.

Prompts are the true objects' boxes (the bounds of their masks) or points in them, so that nothing
depends on a detector. Sizes are COCO's: true pixels under 32 x 32, under 96 x 96, more.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np

from perception.benchmarks.harness import timed_process
from perception.benchmarks.harness.measurement import Measurement, rows_of
from perception.benchmarks.harness.measurement import Row as KeptRow
from perception.benchmarks.harness.streets import Streets, open_streets
from perception.benchmarks.harness.timed_process import Task
from perception.core import masks
from perception.core.choices import Mode
from perception.core.config import ObserveConfig
from perception.core.errors import RequestError
from perception.core.ontology import load_ontology
from perception.core.sizes import SIZES_PX
from perception.core.statistics import Figure
from perception.core.text import text_table
from perception.core.types import Bool, Float32, Masks, Prompt, UInt8
from perception.io.images import decode_image
from perception.models import registry
from perception.models.backends import has_bf16

ENTRY = "perception.benchmarks.settings:measure_one"
PROMPTS = ("box", "1 point", "3 points", "box and point")
MIN_OBJECT_PX = 100  # smaller ones are drawn too coarsely to judge a mask by


@dataclass(frozen=True)
class Setting:
    """How SAM is run.

    Attributes:
        mode: As `observe.mode`.
        backend: As `observe.backend`, but for auto.
        precision: As `observe.precision`, but for auto.
        side_px: What the longest side of the images is scaled to before; 0 for not at all.
        prompt: One of `PROMPTS`.
    """

    mode: Mode
    backend: str
    precision: str
    side_px: int = 0
    prompt: str = "box"


@dataclass(frozen=True)
class Row:
    """What one setting came to.

    Attributes:
        setting: The setting.
        images_per_s: Of a second pass over the images, with everything loaded.
        peak_gb: Of its process.
        sizes_px: Of each true object.
        ious: Of the mask that it was given.
    """

    setting: Setting
    images_per_s: float
    peak_gb: float | None
    sizes_px: tuple[int, ...]
    ious: tuple[float, ...]

    def mean_iou(self, name: str = "") -> float | None:
        """Return the mean IoU of the objects of a size, of all for ""; None where there is none."""
        low, high = SIZES_PX[name] if name else (0, np.inf)
        pairs = zip(self.sizes_px, self.ious, strict=True)
        kept = [iou for size, iou in pairs if low <= size < high]
        return float(np.mean(kept)) if kept else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            **asdict(self.setting),
            "images_per_s": self.images_per_s,
            "peak_gb": self.peak_gb,
            "objects": len(self.ious),
            "mean_iou": self.mean_iou(),
            "mean_iou_by_size": {name: self.mean_iou(name) for name in SIZES_PX},
        }


def settings_of(sides_px: Sequence[int]) -> tuple[Setting, ...]:
    """Return every mode, backend and precision that this machine has, then every kind of prompt."""
    backends = [("openvino", "fp32"), ("torch", "fp32")]
    if has_bf16():
        backends[1:1] = [("openvino", "mixed"), ("openvino", "bf16")]
    ways = tuple(
        Setting(mode, backend, precision, side_px)
        for side_px in sides_px
        for mode in get_args(Mode)
        for backend, precision in backends
    )
    return ways + tuple(Setting("exact", "openvino", "fp32", 0, prompt) for prompt in PROMPTS)


def measure(
    root: Path, segmenter: str, sides_px: Sequence[int], scratch: Path, tell: Callable[[str], None]
) -> tuple[Row, ...]:
    """Measure every setting, each in a process of its own.

    Args:
        root: A folder as for `streets.open_streets`.
        segmenter: A SAM checkpoint.
        sides_px: As `Setting.side_px`.
        scratch: Folder for what the processes answer.
        tell: Hears what runs.

    Raises:
        RequestError: `bench.failed`, `bench.invalid`, `source.empty`; those of `weights`.
    """
    if min(sides_px, default=0) < 0:
        raise RequestError("bench.invalid", "--sides: expected pixels, or 0 for the image's own")
    path = registry.choose_segmenter(segmenter).path
    rows = []
    for number, setting in enumerate(settings_of(sides_px)):
        tell(" ".join(str(value) for value in asdict(setting).values()))
        out = scratch / f"{number}.json"
        task = Task(str(root.resolve()), str(out), "", str(path), extra=asdict(setting))
        _, peak_gb = timed_process.call(ENTRY, task)
        rows.append(Row(setting, peak_gb=peak_gb, **json.loads(out.read_bytes())))
    return tuple(rows)


def measure_one(task: Task) -> None:
    """Be the process of one setting: the answer goes to `task.out`."""
    setting = Setting(**task.extra)
    streets = open_streets(Path(task.images), load_ontology())
    asked = [_asked(streets, path, setting) for path in streets.images]
    look = _looker(task.segmenter, setting)
    found = [look(*one) for one in asked]  # what is loaded and compiled on the way does not count
    started = time.perf_counter()
    for one in asked:
        look(*one)
    seconds = time.perf_counter() - started
    pairs = [
        pair
        for path, answer in zip(streets.images, found, strict=True)
        for pair in _scores(_objects(streets, path), answer)
    ]
    Path(task.out).write_text(
        json.dumps(
            {
                "images_per_s": len(asked) / seconds,
                "sizes_px": [size for size, _ in pairs],
                "ious": [iou for _, iou in pairs],
            }
        )
    )


def _looker(segmenter: str, setting: Setting) -> Callable[[UInt8, list[Prompt]], Masks]:
    """Return what answers prompts with one mask each."""
    config = ObserveConfig.model_validate(
        {
            "mode": setting.mode,
            "backend": setting.backend,
            "precision": setting.precision,
            "threads": timed_process.cores(),
        }
    )
    if setting.prompt == "box":
        model = registry.load_segmenter("sam", Path(segmenter), config)

        def from_boxes(image_rgb: UInt8, prompts: list[Prompt]) -> Masks:
            boxes = np.array([prompt.box_xyxy for prompt in prompts], np.float32)
            return model(image_rgb, boxes.reshape(-1, 4)).masks

        return from_boxes
    promptable = registry.load_promptable(segmenter, config)
    return lambda image_rgb, prompts: promptable.embed(image_rgb)(prompts, 1).segments.masks


def _objects(streets: Streets, path: Path) -> Masks:
    """Return the true masks of an image that are judged."""
    picture = streets.truth.find_picture(path.name)
    if picture is None:
        raise RequestError("truth.mismatch", f"{streets.truth.name}: knows no {path.name}")
    return picture[~picture.ignored & (masks.areas(picture.masks) >= MIN_OBJECT_PX)].masks


def _asked(streets: Streets, path: Path, setting: Setting) -> tuple[UInt8, list[Prompt]]:
    """Return an image and the prompts of its true objects, both scaled."""
    image, objects = decode_image(path), _objects(streets, path)
    height, width = image.shape[:2]
    scale = setting.side_px / max(height, width) if setting.side_px else 1.0
    if scale < 1:
        size_wh = (round(width * scale), round(height * scale))
        image = np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    scale = min(scale, 1.0)
    return image, [prompt_of(objects, row, setting.prompt, scale) for row in range(len(objects))]


def prompt_of(objects: Masks, row: int, kind: str, scale: float) -> Prompt:
    """Return a prompt for a true object.

    Points are those of the mask that lie furthest inside; after one is taken, what is near it
    counts as outside, so that the next one lies elsewhere.
    """
    box = tuple(float(side) * scale for side in objects.boxes_xyxy[row])
    points = deepest_points(masks.decode_crop(objects, row), 3 if kind == "3 points" else 1)
    corner = objects.boxes_xyxy[row][:2]
    centres = tuple(
        (float((x + corner[0] + 0.5) * scale), float((y + corner[1] + 0.5) * scale), 1)
        for x, y in points
    )
    if kind == "box":
        return Prompt(box_xyxy=box)
    return Prompt(box_xyxy=box if kind == "box and point" else (), points=centres)


def deepest_points(bitmap: Bool, count: int) -> list[tuple[int, int]]:
    """Return up to `count` (x, y) pixels of a mask, the deepest inside first."""
    left = np.ascontiguousarray(np.pad(bitmap.astype(np.uint8), 1))
    found: list[tuple[int, int]] = []
    while len(found) < count and left.any():
        depth: Float32 = np.asarray(cv2.distanceTransform(left, cv2.DIST_L2, 3), np.float32)
        y, x = (int(place) for place in np.unravel_index(depth.argmax(), depth.shape))
        found.append((x - 1, y - 1))
        cv2.circle(left, (x, y), max(round(float(depth[y, x])), 1), 0, -1)
    return found


def _scores(objects: Masks, found: Masks) -> list[tuple[int, float]]:
    """Return size and IoU of each true object; what was scaled down is compared at full size."""
    answers = _scaled(found, objects.size_hw)
    pairs = zip(masks.areas(objects), masks.paired_ious(objects, answers), strict=True)
    return [(int(size), float(iou)) for size, iou in pairs]


def _scaled(found: Masks, size_hw: tuple[int, int]) -> Masks:
    if found.size_hw == size_hw:
        return found
    rows = []
    for bitmap in masks.decode(found).astype(np.uint8):
        bits = cv2.resize(bitmap, size_hw[::-1], interpolation=cv2.INTER_NEAREST)
        rows.append(masks.encode_one(bits.astype(bool)))
    return masks.join(tuple(rows), size_hw)


def report(rows: Sequence[Row]) -> Measurement:
    """Return the figures, and the table of settings."""
    kept: list[KeptRow] = []
    cells = [
        ["mode", "backend", "precision", "side", "prompt", "IoU", *SIZES_PX, "images/s", "peak GB"]
    ]
    for row in rows:
        one = row.setting
        figures = [row.mean_iou(), *(row.mean_iou(name) for name in SIZES_PX)]
        way = (one.mode, one.backend, one.precision, str(one.side_px or "own"), one.prompt)
        kept += rows_of({"mean IoU": row.mean_iou(), "images/s": row.images_per_s}, ", ".join(way))
        kept.append(KeptRow(f"{', '.join(way)}: peak memory", Figure(row.peak_gb), "GB"))
        cells.append(
            [
                *way,
                *("-" if figure is None else f"{figure:.3f}" for figure in figures),
                f"{row.images_per_s:.2f}",
                "-" if row.peak_gb is None else f"{row.peak_gb:.2f}",
            ]
        )
    counts = {
        name: sum(low <= size < high for size in rows[0].sizes_px)
        for name, (low, high) in SIZES_PX.items()
    }
    listed = ", ".join(f"{count} {name}" for name, count in counts.items())
    lines = [*text_table(cells), f"{len(rows[0].ious)} true objects: {listed}"]
    return Measurement(kept, lines, {"settings": [row.to_dict() for row in rows]})
