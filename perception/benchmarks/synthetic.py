"""How hard a drive is: baselines with true boxes as prompts, to compare with real data.

On real data the order of pooled point IoU is box, mask, its depth mode, what is grown from that,
and mean mask IoU rises with size. A scene on which masks alone exceed 0.80, or plain boxes a mask
IoU of 0.70, is too easy.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from perception.benchmarks.harness.measurement import Measurement, rows_of
from perception.core import masks as masks_
from perception.core.config import LiftConfig
from perception.core.geometry import points_in_view
from perception.core.sizes import SIZES_PX
from perception.core.types import Bool, Float32, Int32, Masks
from perception.labeling.lift import View as LiftView
from perception.labeling.lift import lift
from perception.labeling.quality.merge import nearness_keys, settle_overlaps
from perception.models.protocols import Segmenter
from perception.synthetic.constants import TRUTH
from perception.synthetic.drive import Frame, Renderer, View
from perception.synthetic.rays import Caster
from perception.synthetic.rig import kitti_rig
from perception.synthetic.world import make_world

MIN_POINTS = 10
DEPTH_MODE = LiftConfig(ground_m=0, feet_m=0, occlusion=False, go_on=False, growth_share=0)


@dataclass
class _Tally:
    """Sums over frames."""

    points: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    ious: dict[str, list[float]] = field(default_factory=dict)
    pixels: list[int] = field(default_factory=list)


def streets(caster: Caster, frames: int, seed: int) -> Iterator[Frame]:
    """Yield one frame of each of `frames` worlds, with seeds from `seed` on."""
    for number in range(frames):
        yield Renderer(make_world(seed + number), kitti_rig(), caster)(0)


def report(figures: dict[str, float]) -> Measurement:
    """Return the figures of `measure`, and how they are told."""
    lines = [f"{name:24} {value:.4g}" for name, value in figures.items()]
    known = {name: value for name, value in figures.items() if not name.startswith("mask/truth")}
    return Measurement(rows_of(known), lines, figures)


def measure(frames: Iterable[Frame], segmenter: Segmenter | None) -> dict[str, float]:
    """Return pooled point IoUs and mean mask IoUs of the baselines.

    Point truth are the points of an object that fall into the picture, if there are ten or more.

    Args:
        frames: What to measure on; first views only.
        segmenter: Prompted with the true boxes; None leaves its rows out.
    """
    tally = _Tally()
    for frame in frames:
        _frame(frame, frame.views[0], segmenter, tally)
    result: dict[str, float] = {"objects": len(tally.pixels)}
    for name, pairs in tally.points.items():
        overlap, union = np.sum(pairs, axis=0)
        result[f"points/{name}"] = float(overlap / max(union, 1))
    pixels = np.array(tally.pixels)
    for name, values in tally.ious.items():
        result[f"mask/{name}"] = float(np.mean(values))
        for size, (low, high) in SIZES_PX.items():
            chosen = np.array(values)[(pixels >= low) & (pixels < high)]
            result[f"mask/{name}/{size}"] = float(chosen.mean()) if len(chosen) else 0.0
    return result


def _frame(frame: Frame, view: View, segmenter: Segmenter | None, tally: _Tally) -> None:
    areas = masks_.areas(view.visible)
    rows = np.flatnonzero(areas >= TRUTH.min_visible_px)
    truth, ids = view.visible[rows], frame.objects.ids[rows]
    height, width = truth.size_hw
    boxes = truth.boxes_xyxy
    filled = masks_.join(
        tuple(
            masks_.encode_one(np.ones((y1 - y0, x1 - x0), bool), (x0, y0))
            for x0, y0, x1, y1 in boxes.tolist()
        ),
        (height, width),
    )
    sources = {"box": filled, "truth": truth}
    if segmenter is not None:
        answer = segmenter(view.image_rgb, boxes.astype(np.float32))
        sources["sam"] = answer.masks
        order = np.lexsort(nearness_keys(boxes.astype(np.float32), answer.masks))
        sources["sam settled"] = settle_overlaps(answer.masks, order.tolist())
    tally.pixels += areas[rows].tolist()
    for name, masks in sources.items():
        tally.ious.setdefault(name, []).extend(masks_.paired_ious(masks, truth).tolist())
    _points(frame, view, ids, sources, tally)


def _points(frame: Frame, view: View, ids: Int32, sources: dict[str, Masks], tally: _Tally) -> None:
    points = frame.sweep.points_lidar
    rows, uv, _ = points_in_view(view.camera, points, view.visible.size_hw)
    u, v = np.floor(uv + 0.5).astype(np.int64).T
    of = frame.sweep.ids[rows]
    whole = {"box": sources["box"], "truth": sources["truth"], "sam settled": sources.get("sam")}
    for name, masks in whole.items():
        if masks is None:
            continue
        boxes = sources["box"].boxes_xyxy.astype(np.float32)
        lifted = _lifted(view, sources[name], masks, ids, boxes)
        depth = lift([lifted], points, DEPTH_MODE).labels.instance_ids[rows]
        full = lift([lifted], points, LiftConfig()).labels.instance_ids[rows]
        for row, number in enumerate(ids):
            truth = of == number
            if truth.sum() >= MIN_POINTS:
                under = masks_.decode_one(sources[name], row)[v, u]
                for label, found in (
                    (name, under),
                    (f"{name} + depth", depth == number),
                    (f"{name} + lift", full == number),
                ):
                    tally.points.setdefault(label, []).append(_pair(truth, found))


def _lifted(view: View, masks: Masks, whole: Masks, ids: Int32, boxes: Float32) -> LiftView:
    return LiftView(
        camera=view.camera,
        masks=masks,
        whole=whole,
        instance_ids=ids,
        class_ids=np.ones(len(ids), np.int32),
        statuses=np.zeros(len(ids), np.uint8),
        boxes_xyxy=boxes,
        order=tuple(np.lexsort(nearness_keys(boxes, whole)).tolist()),
        usual_m=np.full((len(ids), 3), np.nan),
        most_m=np.full((len(ids), 3), np.inf),
    )


def _pair(truth: Bool, found: Bool) -> tuple[int, int]:
    return int((truth & found).sum()), int((truth | found).sum())
