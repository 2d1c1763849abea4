"""How hard a drive is: baselines with true boxes as prompts, to compare with real data.

On KITTI the order of pooled point IoU is box < mask (0.73) < its depth mode (0.82) < a cluster
grown from that (0.88); MobileSAM's mean mask IoU grows with size (0.53, 0.67, 0.84 on Cityscapes).
A scene on which masks alone exceed 0.80, or plain boxes a mask IoU of 0.70, is too easy.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from perception import masks as masks_
from perception.config import LiftConfig
from perception.geometry import points_in_view
from perception.lift import View as LiftView
from perception.lift import lift
from perception.ports import Segmenter
from perception.quality.merge import nearness_keys, settle_overlaps
from perception.synthetic.constants import TRUTH
from perception.synthetic.drive import Frame, Renderer, View
from perception.synthetic.rays import Caster
from perception.synthetic.rig import kitti_rig
from perception.synthetic.world import make_world
from perception.types import Bool, Float32, Float64, Int32, Masks

MIN_POINTS = 10
GROUND_M = 0.1  # as on the real frames: lower points above the plane are ground
NEIGHBOUR_M = 0.5  # points this near are of one cluster
OWN_SHARE = 0.5  # of a cluster that an object must have for the rest to join it
SIZES = (("small", 0, 32**2), ("medium", 32**2, 96**2), ("large", 96**2, 1 << 30))


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
        for size, low, high in SIZES:
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
        tally.ious.setdefault(name, []).extend(_ious(truth, masks))
    _points(frame, view, ids, sources, tally)


def _ious(truth: Masks, masks: Masks) -> list[float]:
    values = []
    for row in range(len(truth)):
        ours, theirs = masks_.decode_one(masks, row), masks_.decode_one(truth, row)
        values.append(float((ours & theirs).sum() / max((ours | theirs).sum(), 1)))
    return values


def _points(frame: Frame, view: View, ids: Int32, sources: dict[str, Masks], tally: _Tally) -> None:
    points = frame.sweep.points_lidar
    rows, uv, _ = points_in_view(view.camera, points, view.visible.size_hw)
    u, v = np.floor(uv + 0.5).astype(np.int64).T
    of = frame.sweep.ids[rows]
    raised = heights_m(points)[rows] >= GROUND_M
    for name, masks in sources.items():
        if name == "sam":
            continue
        found = lift([_lifted(view, masks, ids)], points, LiftConfig()).instance_ids[rows]
        for row, number in enumerate(ids):
            truth = of == number
            if truth.sum() >= MIN_POINTS:
                under = masks_.decode_one(masks, row)[v, u]
                tally.points.setdefault(name, []).append(_pair(truth, under))
                tally.points.setdefault(f"{name} + depth", []).append(_pair(truth, found == number))
                x0, y0, x1, y1 = masks.boxes_xyxy[row]
                near = (u >= x0) & (u < x1) & (v >= y0) & (v < y1) & raised
                near &= (found == 0) | (found == number)  # no one's, or its own
                chosen = np.zeros(len(rows), bool)
                chosen[near] = grown(points[rows[near]], found[near] == number)
                tally.points.setdefault(f"{name} + cluster", []).append(_pair(truth, chosen))


def heights_m(points_lidar: Float32) -> Float64:
    """Return the (P,) heights over a plane through the ground.

    Least squares on what lies near the plane, begun level at the lowest tenth and repeated.
    """
    points = points_lidar.astype(np.float64)
    if len(points) == 0:
        return np.zeros(0)
    terms = np.column_stack([points[:, :2], np.ones(len(points))])
    plane = np.array([0.0, 0.0, np.quantile(points[:, 2], 0.1)])
    for _ in range(10):
        ground = np.abs(points[:, 2] - terms @ plane) < 2 * GROUND_M
        plane = np.linalg.lstsq(terms[ground], points[ground, 2])[0]
    return np.asarray(points[:, 2] - terms @ plane, np.float64)


def grown(points_lidar: Float32, own: Bool) -> Bool:
    """Let an object's points grow into the clusters that are mostly its own.

    Args:
        points_lidar: (P, 3) where it may grow, without ground.
        own: (P,) booleans: where it begins.

    Returns:
        (P,) booleans, of `own` and of what joins.
    """
    if not own.any():
        return own
    pairs = cKDTree(points_lidar).query_pairs(NEIGHBOUR_M, output_type="ndarray")
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (len(own),) * 2)
    _, cluster = connected_components(links, directed=False)
    joined = np.bincount(cluster, own) >= OWN_SHARE * np.bincount(cluster)
    return np.asarray(own | joined[cluster], bool)


def _lifted(view: View, masks: Masks, ids: Int32) -> LiftView:
    none: npt.NDArray[np.uint8] = np.zeros(len(ids), np.uint8)
    return LiftView(view.camera, masks, ids, np.ones(len(ids), np.int32), none)


def _pair(truth: Bool, found: Bool) -> tuple[int, int]:
    return int((truth & found).sum()), int((truth | found).sum())
