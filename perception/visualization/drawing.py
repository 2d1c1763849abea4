"""Pictures of what was decided: overlays on images, points from above. Arrays in, arrays out."""

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np

from perception.core import masks as masks_
from perception.core.errors import PerceptionError
from perception.core.types import (
    Cuboids,
    Float32,
    Masks,
    PictureLabels,
    PointLabels,
    PointState,
    Prompt,
    Status,
    UInt8,
    no_cuboids,
)
from perception.visualization import captions, solids

FILL = 0.45  # opacity of an accepted mask
PATTERN = {Status.ACCEPTED: "solid", Status.REVIEW: "dashed", Status.REJECTED: "dotted"}
DASHES = {Status.ACCEPTED: (1, 0), Status.REVIEW: (9, 5), Status.REJECTED: (2, 4)}  # drawn, gap
PLATE_RGB = (20, 20, 20)
STATUS_RGB = {
    Status.ACCEPTED: (255, 255, 255),
    Status.REVIEW: (255, 200, 0),
    Status.REJECTED: (230, 40, 40),
}
# Of a caption's text and plate.
CHIP_RGB = {
    Status.ACCEPTED: ((255, 255, 255), PLATE_RGB),
    Status.REVIEW: ((0, 0, 0), STATUS_RGB[Status.REVIEW]),
}
AHEAD_M, ASIDE_M, PX_PER_M = 60.0, 30.0, 10  # what the view from above shows
POINT_RGB = {PointState.UNKNOWN: (60, 60, 75), PointState.BACKGROUND: (120, 120, 120)}
POINT_KIND_RGB = ((220, 30, 30), (30, 200, 60))  # of a prompt's points: not on the object, on it
JPEG_QUALITY = 90
NO_CUBOIDS = no_cuboids()
FAR_PX = 10_000  # a line to further away may overflow


def class_rgb(class_id: int) -> tuple[int, int, int]:
    """Return a colour per class; the hues of neighbouring ids lie far apart."""
    r, g, b = colorsys.hsv_to_rgb(class_id * 6 / 13 % 1, 0.7, 1.0)
    return int(255 * r), int(255 * g), int(255 * b)


def overlay(image_rgb: UInt8, labels: PictureLabels, names: dict[int, str]) -> UInt8:
    """Draw masks, boxes, classes and statuses over an image.

    Accepted masks are filled, their box is solid; masks for review have a yellow edge and a dashed
    box; rejected ones have a dotted red box only. A legend says so where there is room and more
    than accepted labels are shown. Captions cover no other caption; boxes that are lower than two
    lines of text have none. A score of 1, as of boxes that people gave, is not written.

    Args:
        image_rgb: (H, W, 3); not changed.
        labels: The labels of that image.
        names: Class id to name.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    canvas = image_rgb.copy()
    instances = labels.instances
    order = np.lexsort((instances.scores, -instances.statuses.astype(int)))
    for row in order:
        status = Status(instances.statuses[row])
        if status != Status.REJECTED:
            _paint_mask(canvas, labels, row, status)
        _draw_box(canvas, instances.boxes_xyxy[row], status)
    lowest_px = captions.LINES * captions.letter_px(labels.size_hw)
    heights = instances.boxes_xyxy[:, 3] - instances.boxes_xyxy[:, 1]
    told = [
        int(row)
        for row in order[::-1]  # accepted before review, better scores first
        if instances.statuses[row] != Status.REJECTED and heights[row] >= lowest_px
    ]
    legend = _legend(canvas, {Status(status) for status in instances.statuses})
    texts = [caption(names[int(instances.class_ids[r])], instances.scores[r]) for r in told]
    chips = captions.place(texts, instances.boxes_xyxy[told], labels.size_hw, legend)
    for row, chip in zip(told, chips, strict=True):
        if chip is not None:
            status = Status(instances.statuses[row])
            captions.draw(canvas, chip, *CHIP_RGB[status])
    return canvas


def caption(name: str, score: float) -> str:
    """Say class and score; a score of 1, as of boxes that people gave, is not written."""
    return name if score >= 1 else f"{name} {score:.2f}"


def _legend(canvas: UInt8, statuses: set[Status]) -> tuple[captions.Chip, ...]:
    """Draw what the patterns mean into a lower corner, if there is something to tell, and room."""
    shown = sorted(statuses) if statuses - {Status.ACCEPTED} else []
    letters_px, x0 = captions.letter_px(canvas.shape[:2]), 0
    chips = []
    for status in shown:
        text = f"{PATTERN[status]}: {status.name.lower()}"
        width, height = captions.chip_size(text, letters_px)
        chips.append(captions.Chip(text, x0, canvas.shape[0] - height, width, height, letters_px))
        x0 += width
    if x0 > canvas.shape[1] / 2 or any(chip.y0 < canvas.shape[0] / 2 for chip in chips):
        return ()
    for status, chip in zip(shown, chips, strict=True):
        captions.draw(canvas, chip, STATUS_RGB[status], PLATE_RGB)
    return tuple(chips)


def _draw_box(canvas: UInt8, box_xyxy: Float32, status: Status) -> None:
    """Draw a box, solid, dashed or dotted: a light line on a dark one reads on any background."""
    x0, y0, x1, y1 = (int(v) for v in box_xyxy.round())
    layer = np.zeros(canvas.shape[:2], np.uint8)
    cv2.rectangle(layer, (x0, y0), (x1, y1), 1, 2, cv2.LINE_AA)
    cv2.rectangle(layer, (x0, y0), (x1, y1), 2, 1, cv2.LINE_AA)
    drawn, gap = DASHES[status]
    ys, xs = np.nonzero(layer)
    along = np.where((abs(ys - y0) <= 1) | (abs(ys - y1) <= 1), xs - x0, ys - y0)
    kept = along % (drawn + gap) < drawn
    ys, xs = ys[kept], xs[kept]
    light = layer[ys, xs] == 2
    canvas[ys[~light], xs[~light]] = 0
    canvas[ys[light], xs[light]] = STATUS_RGB[status]


def _paint_mask(canvas: UInt8, labels: PictureLabels, row: int, status: Status) -> None:
    colour = np.array(class_rgb(int(labels.instances.class_ids[row])), np.float32)
    # Neighbours of one class differ in brightness.
    colour *= 0.7 + 0.3 * (int(labels.instances.instance_ids[row]) * 0.618034 % 1)
    edge = np.array(STATUS_RGB[status], np.float32) if status == Status.REVIEW else colour
    fill = FILL if status == Status.ACCEPTED else 0.0
    _blend(canvas, labels.instances.masks, row, colour, edge, fill)


def _blend(
    canvas: UInt8, masks: Masks, row: int, rgb: Float32, edge_rgb: Float32, fill: float
) -> None:
    x0, y0, x1, y1 = masks.boxes_xyxy[row]
    crop = masks_.decode_crop(masks, row)
    if not crop.any():
        return
    window = canvas[y0:y1, x0:x1]
    if fill:
        mixed = (1 - fill) * window[crop].astype(np.float32) + fill * rgb
        window[crop] = mixed.round().astype(np.uint8)
    padded = np.pad(crop, 1).astype(np.uint8)
    edge = (cv2.erode(padded, np.ones((3, 3), np.uint8)) != padded)[1:-1, 1:-1]
    window[edge] = edge_rgb.astype(np.uint8)


def draw_segments(image_rgb: UInt8, masks: Masks, prompts: Sequence[Prompt]) -> UInt8:
    """Draw masks and what was said to get them: boxes white, points green, red for "not this".

    Args:
        image_rgb: (H, W, 3); not changed.
        masks: N masks; small ones are painted over large ones.
        prompts: Any number.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    canvas = image_rgb.copy()
    for row in np.argsort(-masks_.areas(masks), kind="stable"):
        colour = np.array(class_rgb(int(row)), np.float32)
        _blend(canvas, masks, int(row), colour, colour, FILL)
    for prompt in prompts:
        if prompt.box_xyxy:
            x0, y0, x1, y1 = (round(side) for side in prompt.box_xyxy)
            for rgb, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
                cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), rgb, thickness, cv2.LINE_AA)
        for x, y, kind in prompt.points:
            place = int(x), int(y)
            cv2.circle(canvas, place, 5, (255, 255, 255), cv2.FILLED, cv2.LINE_AA)
            cv2.circle(canvas, place, 3, POINT_KIND_RGB[kind], cv2.FILLED, cv2.LINE_AA)
    return canvas


def cutout(image_rgb: UInt8, masks: Masks, row: int) -> UInt8:
    """Return the pixels in a mask's bounds, (h, w, 4) RGBA, transparent outside the mask."""
    x0, y0, x1, y1 = masks.boxes_xyxy[row]
    alpha = masks_.decode_crop(masks, row).astype(np.uint8) * 255
    return np.dstack([image_rgb[y0:y1, x0:x1], alpha])


def _write(canvas: UInt8, text: str, x: int, y: int, rgb: tuple[int, int, int]) -> None:
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
    x = max(0, min(x, canvas.shape[1] - width))
    y = y - 4 if y - height - 6 >= 0 else y + height + 6
    for shade, thickness in (((0, 0, 0), 3), (rgb, 1)):
        cv2.putText(
            canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, shade, thickness, cv2.LINE_AA
        )


def birds_eye(
    points_lidar: Float32,
    labels: PointLabels,
    names: dict[int, str],
    *,
    cuboids: Cuboids = NO_CUBOIDS,
    ahead: int = 0,
    all_round: bool = False,
) -> UInt8:
    """Draw a sweep from above: the car at the bottom, looking up; a ring every 10 m.

    Args:
        points_lidar: (P, 3) metres, x forward, y left.
        labels: (P) labels; labelled points in their class's colour, background grey, unknown dim.
        names: Class id to name, for the legend.
        cuboids: 3D boxes in the LiDAR's own axes, drawn in the colour of their class, with a line
            along their length. Front and back are not told apart, so it leaves the box at both.
        ahead: Which axis of the LiDAR points ahead, see `Scene`.
        all_round: The car is in the middle, for cameras that look to all sides.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = int(AHEAD_M * PX_PER_M), int(2 * ASIDE_M * PX_PER_M)
    canvas = np.full((height, width, 3), 12, np.uint8)
    bottom = height // 2 if all_round else height
    for ring_m in range(10, int(AHEAD_M) + 1, 10):
        cv2.circle(canvas, (width // 2, bottom), ring_m * PX_PER_M, (40, 40, 40), 1, cv2.LINE_AA)
    rows = np.flatnonzero(np.isfinite(points_lidar).all(axis=1))
    rows = rows[np.argsort(labels.states[rows], kind="stable")]  # labelled points on top
    x_m, y_m = points_lidar[rows, :2].astype(np.float64).T
    u, v = np.floor(width / 2 - y_m * PX_PER_M), np.floor(bottom - x_m * PX_PER_M)
    seen = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    u, v = u[seen].astype(np.int64), v[seen].astype(np.int64)  # cull first: 3e38 m fits no integer
    canvas[v, u] = point_rgb(labels)[rows[seen]]
    class_of = dict(zip(labels.instance_ids.tolist(), labels.class_ids.tolist(), strict=True))
    outlines_m, axes_m = solids.footprints(cuboids, ahead), solids.axes(cuboids, ahead)
    for row, corners_m in enumerate(np.concatenate([outlines_m, axes_m], axis=1)):
        corners_px = [width / 2, bottom] - PX_PER_M * corners_m[:, ::-1]
        if (np.abs(corners_px) > FAR_PX).any():
            continue
        rgb = class_rgb(class_of.get(int(cuboids.instance_ids[row]), 0))
        whole_px = corners_px.round().astype(np.int32)
        cv2.polylines(canvas, [whole_px[:4]], True, rgb, 1, cv2.LINE_AA)
        cv2.line(canvas, whole_px[4].tolist(), whole_px[5].tolist(), rgb, 1, cv2.LINE_AA)
    present = np.unique(labels.class_ids[labels.states == PointState.LABELLED])
    for line, class_id in enumerate(present):
        _write(canvas, names[int(class_id)], 8, 20 + 16 * line, class_rgb(int(class_id)))
    return canvas


def point_rgb(labels: PointLabels) -> UInt8:
    """Return (P, 3): labelled points in their class's colour, background grey, unknown dim."""
    colours = np.array([POINT_RGB.get(state, (0, 0, 0)) for state in PointState], np.uint8)
    result = colours[labels.states]
    for class_id in np.unique(labels.class_ids):
        if class_id >= 0:
            result[labels.class_ids == class_id] = class_rgb(int(class_id))
    return result


def to_jpeg(image_rgb: UInt8) -> bytes:
    """Return the bytes of a JPEG file."""
    return _encoded(".jpg", image_rgb, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def to_png(image_rgb: UInt8) -> bytes:
    """Return the bytes of a PNG file."""
    return _encoded(".png", image_rgb, [])


def _encoded(ending: str, image_rgb: UInt8, options: list[int]) -> bytes:
    order = [2, 1, 0, 3][: image_rgb.shape[2]]  # OpenCV's
    done, data = cv2.imencode(ending, np.ascontiguousarray(image_rgb[..., order]), options)
    if not done:
        raise PerceptionError(
            "image.unsupported", f"OpenCV cannot encode {image_rgb.shape} as {ending}"
        )
    return data.tobytes()
