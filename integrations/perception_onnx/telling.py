"""Which layout a network has: told by names, metadata, sizes and what it answers to a picture.

A size alone says little: (A, 85) is YOLOX or YOLOv6, which want other pixels, and (A, 6) is one
class with an objectness, two classes, or corners, score and class. So each reading must agree with
the values that the network gave, and where not exactly one does the file is refused.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from perception.core.errors import RequestError
from perception.core.types import Float32
from perception_onnx import heads
from perception_onnx.heads import GRIDS, Head, is_share, is_whole, plain
from perception_onnx.sessions import Port

ASSUMED = 80  # classes of a file that names none: COCO's
BATCH_ROW = 7  # numbers
SHARE_MOST = 2.0  # boxes as shares of the input end about 1; in pixels they reach farther
EXPECTED = (
    "expected YOLOv3 to YOLO26, YOLOX, YOLO-NAS, or boxes that are chosen in the file: corners, "
    "score, class"
)
# Names of outputs by which exporters are known whose numbers are not read.
_DETR = ({"labels", "boxes", "scores"}, {"pred_logits", "pred_boxes"}, {"logits", "pred_boxes"})
_COUNTED = {
    "count": ("num_dets", "num_predictions", "num_detections", "num"),
    "boxes": ("det_boxes", "pred_boxes", "boxes", "bboxes"),
    "scores": ("det_scores", "pred_scores", "scores"),
    "classes": ("det_classes", "pred_classes", "classes", "labels", "det_labels"),
}


@dataclass(frozen=True)
class Said:
    """What is known of a network before it answers.

    Attributes:
        names: How many classes are named; 0 if none are.
        end_to_end: It suppresses by itself, its metadata say.
        segments: It segments, its metadata say.
        beside: Files beside the weights that may hold the names of the classes.
    """

    names: int = 0
    end_to_end: bool = False
    segments: bool = False
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Seen:
    """Outputs that may hold boxes, and what they are read by.

    Attributes:
        flat: Place and output, of those that are lists or tables.
        prototypes: Channels of the mask prototypes; 0 without.
        input_hw: Height and width of the input.
        said: See `Said`.
        strides_px: Of the grids that the network may have.
    """

    flat: tuple[tuple[int, Float32], ...]
    prototypes: int
    input_hw: tuple[int, int]
    said: Said
    strides_px: tuple[int, ...]

    def classes(self, numbers: int, before: int) -> int:
        """Return the classes in a row of so many numbers, `before` of them no class; 0: no fit."""
        names = self.said.names or ASSUMED
        return names if self.fits(numbers - before - names) else 0

    def fits(self, more: int) -> bool:
        """Tell whether a row may have so many numbers besides: coefficients of masks."""
        if self.said.segments and not self.prototypes:
            return more >= 0
        return more == self.prototypes

    def has_cells(self, rows: int, each: int = 1) -> bool:
        """Tell whether so many rows are those of the grids, with `each` rows a cell."""
        height, width = self.input_hw
        return rows == each * sum((height // s) * (width // s) for s in self.strides_px)


def tell(
    ports: Sequence[Port],
    answers: Sequence[Float32],
    input_hw: tuple[int, int],
    said: Said,
    where: str,
) -> Head:
    """Tell what a network is by its answers to `probe_picture`.

    Args:
        ports: Its outputs.
        answers: Their values, batch included.
        input_hw: Height and width of the input.
        said: What is known of it.
        where: The file, for the message.

    Raises:
        RequestError: `weights.invalid` for any other output, naming all outputs.
    """
    listed = ", ".join(
        f"{port.name} {tuple(answer.shape)}" for port, answer in zip(ports, answers, strict=True)
    )
    names = f"{said.names} class names" if said.names else "no class names"
    about = f"{where}: outputs {listed} for {input_hw[1]} x {input_hw[0]} pixels, {names}"
    tables, prototypes = _sorted(answers)
    refuse_known(ports, answers, about)
    port_names = [port.name for port in ports]
    readers: dict[int, Callable[[_Seen], Iterator[Head]]]
    readers = {1: _one, 2: _two, 4: partial(_counted, names=port_names)}
    read = readers.get(len(tables), _none)
    why = ""
    for strides_px in GRIDS:  # the usual ones first: of small inputs others have as many cells
        seen = _Seen(tables, prototypes, input_hw, said, strides_px)
        found = list(read(seen))
        if len(found) == 1:
            return found[0]
        if found:
            why = f"may be {' or '.join(sorted(head.layout for head in found))}; {EXPECTED}"
        why = why or _other_count(seen)
        if why:
            break
    raise RequestError("weights.invalid", f"{about}: {why or EXPECTED}")


def refuse_known(ports: Sequence[Port], answers: Sequence[Float32], about: str) -> None:
    """Refuse exports that are known by name, and not read.

    Raises:
        RequestError: `weights.invalid`.
    """
    names = {port.name for port in ports}
    rows = [answer.shape[-1] for answer in answers if answer.ndim > 1]
    if any(names >= detr for detr in _DETR) or ({"dets", "labels"} <= names and 4 in rows):
        raise RequestError("weights.invalid", f"{about}: DETR exports are not read yet")
    if {"dets", "labels"} <= names:
        raise RequestError("weights.invalid", f"{about}: MMDeploy's exports are not read")
    if any(name.startswith("detection_boxes") for name in names):
        raise RequestError("weights.invalid", f"{about}: TensorFlow's exports are not read")


def _sorted(answers: Sequence[Float32]) -> tuple[tuple[tuple[int, Float32], ...], int]:
    """Return the outputs that may hold boxes with their places, and the channels of prototypes.

    Left out are mask prototypes, (1, K, h, w), and the grids that YOLOv5 gives besides, of 5 axes.
    """
    tables: list[tuple[int, Float32]] = []
    prototypes = 0
    for place, answer in enumerate(answers):
        if answer.ndim == 4 and answer.shape[2] > 1:
            prototypes = min(answer.shape[1], answer.shape[3])
        elif answer.ndim < 5:
            tables.append((place, answer))
    return tuple(tables), prototypes


def _none(seen: _Seen) -> Iterator[Head]:
    """Read nothing."""
    return iter(())


def _one(seen: _Seen) -> Iterator[Head]:
    """Yield what a single table may be."""
    place, answer = seen.flat[0]
    if answer.ndim == 2 and answer.shape[1] == BATCH_ROW and not seen.has_cells(len(answer), 3):
        yield from _batch_rows(place, answer)
        return
    table = plain(answer)
    if table.ndim != 2:
        return
    chosen = list(_end_to_end(seen, place, table))
    if seen.said.end_to_end or (chosen and table[:, 4].any()):
        yield from chosen
        return
    found = [*_yolo(seen, place, table.T, True), *_yolo(seen, place, table, False)]
    found += _objectness(seen, place, table)
    yield from found or chosen


def _yolo(seen: _Seen, place: int, found: Float32, transposed: bool) -> Iterator[Head]:
    """Yield YOLO where (4 + C + K, A) numbers may be it."""
    numbers, rows = found.shape
    classes = seen.classes(numbers, 4)
    if not classes or not seen.has_cells(rows) or not is_share(found[4 : 4 + classes]):
        return
    boxes = found[:4].T
    # Every cell says where its box is; if none belies corners, they are.
    corners = bool(boxes.any(axis=1).mean() > 0.5) and are_corners(boxes, seen.input_hw)
    read = heads.read_yolo(classes, transposed, corners, are_shares(boxes))
    yield Head("YOLO", classes, (place,), read)


def _objectness(seen: _Seen, place: int, found: Float32) -> Iterator[Head]:
    """Yield YOLOv5, YOLOv6 or YOLOX where (A, 5 + C + K) numbers may be one of them."""
    rows, numbers = found.shape
    classes = seen.classes(numbers, 5)
    if not classes or not is_share(found[:, 4 : 5 + classes]):
        return
    boxes, one_each = found[:, :4], seen.has_cells(rows)
    decoded = heads.read_objectness(classes, are_shares(boxes))
    if seen.has_cells(rows, 3):
        yield Head("YOLOv5", classes, (place,), decoded)
    elif one_each and (found[:, 4] == 1).all():
        yield Head("YOLOv6", classes, (place,), decoded)
    elif one_each and not seen.prototypes:
        # Some exports have done the arithmetic: their centres spread over all of the input, and
        # their sides are no logarithms.
        done = np.ptp(boxes[:, 0]) > seen.input_hw[1] / 2 or boxes[:, 2:].max() > 20
        read = decoded if done else heads.read_yolox(classes, seen.strides_px)
        yield Head("YOLOX", classes, (place,), read, centred=False, raw_bgr=True)


def _end_to_end(seen: _Seen, place: int, found: Float32) -> Iterator[Head]:
    """Yield end to end where (R, 6 + K) numbers may be it: whole classes, scores, corners."""
    if found.shape[1] < 6 or not seen.fits(found.shape[1] - 6):
        return
    boxes, scores, classes = found[:, :4], found[:, 4], found[:, 5]
    known = classes.max(initial=0) < (seen.said.names or ASSUMED)
    if known and is_whole(classes) and is_share(scores) and are_corners(boxes, seen.input_hw):
        yield Head("end to end", 0, (place,), heads.read_end_to_end(are_shares(boxes)))


def _batch_rows(place: int, found: Float32) -> Iterator[Head]:
    """Yield rows of all pictures; without rows, class before score, as in YOLOv7."""
    columns = [c for c in (5, 6) if is_whole(found[:, c]) and is_share(found[:, 11 - c])]
    if columns:
        yield Head("batch rows", 0, (place,), heads.read_batch_rows(columns[0]))


def _two(seen: _Seen) -> Iterator[Head]:
    """Yield boxes and scores where two tables may be them, in that order.

    Scores before boxes are DAMO-YOLO's, whose pixels are prepared otherwise.
    """
    (_, first), (_, second) = seen.flat
    boxes, scores = plain(first), plain(second)
    if boxes.ndim != 2 or scores.ndim != 2:
        return
    boxes_across = boxes.shape[1] != 4
    boxes = boxes.T if boxes_across else boxes
    rows = len(boxes)
    if boxes.shape[1] != 4 or not (seen.has_cells(rows) or seen.has_cells(rows, 3)):
        return
    scores_across = len(scores) != rows
    scores = scores.T if scores_across else scores
    classes = seen.said.names or ASSUMED
    if scores.shape != (rows, classes) or not is_share(scores):
        return
    corners = are_corners(boxes, seen.input_hw)
    read = heads.read_pair(boxes_across, scores_across, corners, are_shares(boxes))
    yield Head("two outputs", classes, (seen.flat[0][0], seen.flat[1][0]), read)


def _counted(seen: _Seen, names: Sequence[str]) -> Iterator[Head]:
    """Yield count, boxes, scores and classes, by the names of the outputs, else by their values."""
    tables = dict(seen.flat)
    by_name = {
        part: place
        for part, known in _COUNTED.items()
        for place in tables
        if names[place].rpartition("graph2_")[2] in known
    }
    order = [by_name[part] for part in _COUNTED] if len(by_name) == 4 else _by_values(tables)
    if len(set(order)) != 4 or tables[order[1]].shape[-1] != 4:
        return
    count, boxes, scores, classes = (tables[place] for place in order)
    rows = boxes.reshape(-1, 4)
    if count.size != len(boxes) or not scores.size == classes.size == len(rows):
        return
    if is_share(scores) and is_whole(np.maximum(classes, 0)) and are_corners(rows, seen.input_hw):
        yield Head("counted", 0, tuple(order), heads.read_counted(are_shares(rows)))


def _by_values(tables: dict[int, Float32]) -> list[int]:
    """Return the places of count, boxes, scores and classes; fewer where that cannot be told."""
    boxes = [place for place, table in tables.items() if table.ndim == 3 and table.shape[-1] == 4]
    counts = [place for place, table in tables.items() if table.size == len(table)]
    rest = {place: tables[place] for place in tables if place not in boxes + counts}
    whole = [place for place, table in rest.items() if is_whole(table)]
    shares = [place for place, table in rest.items() if is_share(table) and place not in whole]
    return [*counts, *boxes, *shares, *whole]


def _other_count(seen: _Seen) -> str:
    """Say how many classes a table would have room for; "" where it is of no known layout."""
    table = plain(seen.flat[0][1]) if len(seen.flat) == 1 else np.zeros(0, np.float32)
    if table.ndim != 2:
        return ""
    counts = set()
    for rows, numbers, before in (
        (table.shape[1], table.shape[0], (4,)),
        (table.shape[0], table.shape[1], (4, 5)),
    ):
        if seen.has_cells(rows):
            counts |= {numbers - n - seen.prototypes for n in before}
        elif seen.has_cells(rows, 3):
            counts.add(numbers - 5 - seen.prototypes)
    listed = " or ".join(str(count) for count in sorted(counts) if count > 0)
    if not listed:
        return ""
    if seen.said.names:
        return f"it knows {listed} classes, as many names are expected"
    lies = "".join(f"; {name} lies beside it" for name in seen.said.beside)
    return (
        f"it knows {listed} classes and does not name them; give --names FILE, one name a "
        f"line{lies}"
    )


def are_corners(boxes: Float32, input_hw: tuple[int, int]) -> bool:
    """Tell whether boxes are x0, y0, x1, y1: not where a tenth of them would be inside out.

    Of cells that see nothing some networks answer such boxes.
    """
    boxes = boxes[boxes.any(axis=1)]
    slack = 1e-3 if are_shares(boxes) else max(input_hw) / 200
    fine = (boxes[:, 2:] - boxes[:, :2] >= -slack).all(axis=1)
    return not len(boxes) or bool(fine.mean() > 0.9)


def are_shares(boxes: Float32) -> bool:
    """Tell whether boxes are shares of the input's sides; nothing found is as good as pixels."""
    return bool(0 < np.abs(boxes).max(initial=0) <= SHARE_MOST)
