"""Polygons: one ring around a mask, for formats without run-lengths, and rings from outside.

Parts and holes are joined by bridges there and back. Vertices stand just inside the outer edges
of their pixels, so that tools that round vertices down and paint outlines (ultralytics, OpenCV)
give back the same pixels: a mask of one part comes back whole.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from perception.core.types import Bool, Float64

MAX_SIDE_PX = 1 << 16  # pycocotools computes with 5 * coordinate in 32 bits
MAX_PERIMETER_PX = 1 << 22  # and stores every pixel of the outline, five times as fine
MAX_RINGS = 64  # of one mask; the smallest go first
_INSET_PX = (
    0.1  # distance of a vertex from the edge of its pixel: more than six decimals round away
)
_Points = npt.NDArray[np.int64]


def ring_around(bitmap: Bool) -> Float64:
    """Return one ring (V, 2) around a bitmap that is not empty, V >= 3, x y in pixels."""
    padded = np.pad(bitmap, 1)
    ring = _straightened(_joined(_rings(padded)))
    if len(ring) < 3:
        # A pixel, or a straight line of them: a slim box around it.
        (x0, y0), (x1, y1) = sorted((ring[0].tolist(), ring[-1].tolist()))
        near, far = _INSET_PX, 1 - _INSET_PX
        corners = [(x0 + near, y0 + near), (x0 + near, y0 + far)]
        return np.array([*corners, (x1 + far, y1 + far), (x1 + far, y1 + near)]) - 1
    x, y = ring.T
    offset_x = _offset(padded[y, x - 1], padded[y, x + 1])
    offset_y = _offset(padded[y - 1, x], padded[y + 1, x])
    return np.asarray(ring + np.column_stack([offset_x, offset_y]) - 1, np.float64)


def fill_ring(ring: Float64, size_hw: tuple[int, int]) -> tuple[Bool, tuple[int, int]]:
    """Fill a ring (V, 2) the way ultralytics, OpenCV and Pillow do: rounded down, outline painted.

    Returns:
        The (h, w) bitmap of the ring's bounds, and its offset x y in the image.
    """
    height, width = size_hw
    whole = np.clip(np.floor(ring), 0, (width - 1, height - 1)).astype(np.int32)
    low, high = whole.min(axis=0), whole.max(axis=0) + 1
    canvas = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
    cv2.fillPoly(canvas, [whole - low], 1)
    return canvas.astype(bool), (int(low[0]), int(low[1]))


def _offset(before: Bool, after: Bool) -> Float64:
    """Return where a vertex stands in its pixel, given which neighbours belong to the mask."""
    return np.where(before == after, 0.5, np.where(before, 1 - _INSET_PX, _INSET_PX))


@dataclass(frozen=True)
class _Ring:
    points: _Points  # (V, 2), a step of one pixel each
    parent: int  # the ring that this one is a hole of; -1 for the outline of a part
    area: float  # pixels


def _rings(padded: Bool) -> list[_Ring]:
    """Return outlines and holes, the largest outline first."""
    contours, hierarchy = cv2.findContours(
        padded.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    found = []
    for contour, links in zip(contours, hierarchy[0], strict=True):
        points = contour.reshape(-1, 2).astype(np.int64)
        area = cv2.contourArea(contour) + len(points) / 2 + 1  # Pick's theorem
        found.append(_Ring(points, int(links[3]), area))
    order = sorted(range(len(found)), key=lambda i: (found[i].parent >= 0, -found[i].area))
    outlines = [i for i in order if found[i].parent < 0][:MAX_RINGS]
    holes = [i for i in order if found[i].parent in outlines][:MAX_RINGS]
    place = {old: new for new, old in enumerate([*outlines, *holes])}
    return [
        _Ring(found[i].points, place.get(found[i].parent, -1), found[i].area)
        for i in (*outlines, *holes)
    ]


def _joined(rings: list[_Ring]) -> _Points:
    """Join rings to the first, the closest one next; leave out parts below their bridge."""
    path, joined = rings[0].points, {0}
    waiting = {i: _closest(path, rings[i].points) for i in range(1, len(rings))}
    while True:
        ready = {
            gap: i
            for i, (gap, _, _) in waiting.items()
            if rings[i].parent in joined or (rings[i].parent < 0 and gap - 1 <= rings[i].area)
        }
        if not ready:
            return path
        chosen = ready[min(ready)]
        _, anchor, start = waiting.pop(chosen)
        added = rings[chosen].points
        at = int(np.flatnonzero((path == anchor).all(axis=1))[0])
        loop = np.concatenate([added[start:], added[: start + 1]])
        path = np.concatenate([path[: at + 1], loop, path[at:]])
        joined.add(chosen)
        for i, link in waiting.items():
            waiting[i] = min(link, _closest(added, rings[i].points), key=lambda entry: entry[0])


def _closest(anchors: _Points, points: _Points) -> tuple[float, _Points, int]:
    """Return the smallest distance, the anchor and the index of the point."""
    best: tuple[float, _Points, int] = (np.inf, anchors[0], 0)
    for start in range(0, len(anchors), 256):
        part = anchors[start : start + 256]
        squares = ((part[:, None] - points[None]) ** 2).sum(axis=2)
        i, j = divmod(int(squares.argmin()), len(points))
        if squares[i, j] < best[0]:
            best = (float(squares[i, j]), part[i], j)
    return float(np.sqrt(best[0])), best[1], best[2]


def _straightened(ring: _Points) -> _Points:
    """Drop repeated vertices and those in the middle of a straight line."""
    ring = ring[(ring != np.roll(ring, 1, axis=0)).any(axis=1)] if len(ring) > 1 else ring
    if len(ring) < 3:
        return ring
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turn = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    bent: Bool = (turn != 0) | ((before * after).sum(axis=1) < 0)
    return np.asarray(ring[bent])


def polygon_fault(part: Any, size_hw: tuple[int, int]) -> str:
    """Say why a polygon from outside may not reach a C library; "" if it may.

    NaN and 1e9 crash pycocotools, and the process. Self-intersection is accepted.
    """
    if not isinstance(part, list) or len(part) < 6 or len(part) % 2:
        size = f"a list of {len(part)}" if isinstance(part, list) else type(part).__name__
        return f"is {size}, expected a flat list of x, y, at least 6 numbers, an even count"
    for value in part:
        if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > 1e9:
            return f"holds {str(value)[:40]!r}, expected finite numbers of pixels"
    points = np.array(part, np.float64).reshape(-1, 2)
    height, width = size_hw
    side = np.array([width, height])
    if not np.isfinite(points).all() or (points < -side).any() or (points > 2 * side).any():
        return (
            f"spans {points.min(axis=0)} to {points.max(axis=0)}, expected points within "
            f"{(-side).tolist()} to {(2 * side).tolist()}"
        )
    if np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum() > MAX_PERIMETER_PX:
        return f"is longer than {MAX_PERIMETER_PX} px"
    arms = points - points[0]
    far = arms[np.abs(arms).sum(axis=1).argmax()]
    if not (arms[:, 0] * far[1] - arms[:, 1] * far[0]).any():
        return "has no area: all its points lie on one line"
    return ""
