"""`perception segment`: one image, prompts of a person, masks."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from perception.core.boxes import paired_ious
from perception.core.config import EverythingConfig, ObserveConfig
from perception.core.errors import RequestError
from perception.core.masks import areas
from perception.core.ontology import Target
from perception.core.types import (
    Instances,
    PictureLabels,
    Prompt,
    SampleLabels,
    Segments,
    Status,
)
from perception.formats import coco
from perception.io.files import discard_made, refuse_occupied, write_bytes
from perception.io.images import decode_image
from perception.models import registry
from perception.models.everything import everything
from perception.runs.labels import NO_POINTS
from perception.visualization import drawing

POINT = re.compile(r"(?:(\d{1,6}):)?([^,:]+),([^,:]+)(?:,([^,:]+))?")


@dataclass(frozen=True)
class SegmentRequest:
    """A request to segment one image.

    Attributes:
        image: JPEG, PNG, BMP or WebP.
        segmenter: A SAM checkpoint.
        out: Folder for overlay.png, masks.json and cut-outs; must not hold anything.
        prompts: One for each object; none where `grid` is given.
        grid: Segment everything that this grid of points finds.
        masks_each: 1, or 3 where a prompt may mean a whole, a part or a part of that.
        cutouts: Write each object as a transparent PNG.
        observe: Device, threads, engine.
        overwrite: Discard what an earlier call wrote into `out`.
    """

    image: Path
    segmenter: str
    out: Path
    prompts: tuple[Prompt, ...] = ()
    grid: EverythingConfig | None = None
    masks_each: int = 1
    cutouts: bool = False
    observe: ObserveConfig = field(default_factory=ObserveConfig)
    overwrite: bool = False


def segment(request: SegmentRequest) -> list[dict[str, Any]]:
    """Write what was found, and return a row for each mask; prompt by prompt, or surest first.

    Raises:
        RequestError: `prompt.invalid`, `output.exists`, `weights.*`, `extra.missing`.
        SampleError: for an image that cannot be read.
    """
    if bool(request.prompts) == bool(request.grid):
        raise RequestError(
            "prompt.invalid", "give --box or --point for each object, or --everything alone"
        )
    if not request.overwrite:
        refuse_occupied(request.out)
    image = decode_image(request.image)
    cores = request.observe.threads or len(os.sched_getaffinity(0))
    config = request.observe.model_copy(update={"threads": cores})
    model = registry.load_promptable(request.segmenter, config)
    if request.overwrite:  # now that all that may be refused was read
        discard_made(request.out, ("masks.json",))
        refuse_occupied(request.out)
    if request.grid:
        segments, prompts = everything(model, image, request.grid), tuple[Prompt, ...]()
    else:
        prompts = request.prompts
        segments = model.embed(image)(prompts, request.masks_each).segments
    write_bytes(
        request.out / "overlay.png",
        drawing.to_png(drawing.draw_segments(image, segments.masks, prompts)),
    )
    _write_coco(request, segments, prompts)
    if request.cutouts:
        for row in np.flatnonzero(areas(segments.masks)):
            png = drawing.to_png(drawing.cutout(image, segments.masks, int(row)))
            write_bytes(request.out / f"cutout-{row + 1:03d}.png", png)
    return _rows(segments, request.masks_each if prompts else 1)


def _rows(segments: Segments, masks_each: int) -> list[dict[str, Any]]:
    sizes = areas(segments.masks)
    return [
        {
            "instance_id": row + 1,
            "object": row // masks_each + 1,
            "area_px": int(sizes[row]),
            "box_xyxy": segments.masks.boxes_xyxy[row].tolist(),
            "predicted_iou": round(float(segments.predicted_ious[row]), 4),
            "stability": round(float(segments.stabilities[row]), 4),
        }
        for row in range(len(segments))
    ]


def _write_coco(request: SegmentRequest, segments: Segments, prompts: Sequence[Prompt]) -> None:
    """Write masks.json; what only a detector can say is left at its neutral value."""
    count = len(segments)
    bounds = segments.masks.boxes_xyxy.astype(np.float32)
    boxes = bounds.copy()
    for row in range(count if prompts else 0):
        box = prompts[row // request.masks_each].box_xyxy
        if box:
            boxes[row] = box
    instances = replace(
        Instances.blank(count, segments.masks.size_hw),
        instance_ids=np.arange(1, count + 1, dtype=np.int32),
        prompt_ids=np.arange(1, count + 1, dtype=np.int32),
        statuses=np.full(count, Status.ACCEPTED, np.uint8),
        predicted_ious=segments.predicted_ious,
        stabilities=segments.stabilities,
        box_ious=paired_ious(bounds, boxes).astype(np.float32),
        boxes_xyxy=boxes,
        masks=segments.masks,
    )
    name = request.image.name
    picture = PictureLabels("", name, segments.masks.size_hw, instances, ignored=())
    coco.write(
        [SampleLabels(name, (picture,), NO_POINTS)],
        request.out / "masks.json",
        Target(ids={0: 1}, names={1: "object"}),
        statuses=frozenset({Status.ACCEPTED}),
    )


def parse_prompts(boxes: Sequence[str], points: Sequence[str]) -> tuple[Prompt, ...]:
    """Understand `--box x0,y0,x1,y1` and `--point [OBJECT:]x,y[,LABEL]`.

    Each box is an object, numbered from 1 in the order given. A point says which object it belongs
    to; it need not where there is at most one box: then all such points are of object 1. Objects
    after the boxes have points only. LABEL is 1 on the object, by default, or 0 not on it.

    Raises:
        RequestError: `prompt.invalid`.
    """
    corners = [_numbers("--box", text, text.split(","), 4) for text in boxes]
    of_object: dict[int, list[tuple[float, float, int]]] = {}
    for text in points:
        matched = POINT.fullmatch(text.replace(" ", ""))
        if matched is None:
            raise RequestError("prompt.invalid", f"--point {text}: expected [OBJECT:]x,y[,LABEL]")
        number, x, y, label = matched.groups()
        if number is None and len(corners) > 1:
            raise RequestError(
                "prompt.invalid",
                f"--point {text}: which of the {len(corners)} boxes it belongs to is not said; "
                f"write --point 1:{text} for the first, or a number after "
                f"{len(corners)} for an object without a box",
            )
        row = int(number or 1)
        if not 1 <= row <= len(corners) + len(points):
            raise RequestError("prompt.invalid", f"--point {text}: objects are counted from 1")
        if label not in (None, "0", "1"):
            raise RequestError(
                "prompt.invalid",
                f"--point {text}: the label is {label}, expected 1 (on the object) or 0 (not)",
            )
        place = _numbers("--point", text, (x, y), 2)
        of_object.setdefault(row, []).append((place[0], place[1], int(label or 1)))
    count = max([len(corners), *of_object])
    missing = [row for row in range(len(corners) + 1, count + 1) if row not in of_object]
    if missing:
        raise RequestError(
            "prompt.invalid", f"object {missing[0]} of {count} has neither a box nor a point"
        )
    return tuple(
        Prompt(corners[row] if row < len(corners) else (), tuple(of_object.get(row + 1, ())))
        for row in range(count)
    )


def _numbers(option: str, text: str, parts: Sequence[str], count: int) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in parts)
    except ValueError:
        values = ()
    if len(values) != count:
        raise RequestError("prompt.invalid", f"{option} {text}: expected {count} numbers")
    return values
