"""What the numbers of a network's outputs mean: how each layout is read.

YOLO         (4 + C + K, A)  centre x, y, width, height in input pixels, C class scores, and K mask
                             coefficients where it segments; one column per cell of the grids.
                             Some exporters write (A, 4 + C + K)
YOLOv5       (3 A, 5 + C)    the same with an objectness before the classes, three rows per cell;
                             YOLOv3, v4 and v7 too
YOLOv6       (A, 5 + C)      the same, one row per cell; its objectness is always 1
YOLOX        (A, 5 + C)      the same as offsets in cells and logarithms, or decoded; it sees blue,
                             green, red from 0 to 255, the picture at the top left. Source: Ge et
                             al., YOLOX, 2021, and its ONNX demo
two outputs  (A, 4), (A, C)  corners, class scores: YOLO-NAS, PP-YOLOE
end to end   (R, 6 + K)      corners, score, class: the file has chosen among the cells itself
counted      4 outputs       how many, corners, scores, classes: YOLO-NAS, EfficientNMS
batch rows   (N, 7)          picture of the batch, corners, then class and score (YOLOv7) or score
                             and class (YOLO-NAS)

The grids have strides of 8, 16 and 32 pixels, or others of `GRIDS`, and follow each other row by
row. Which layout a file has is told in `telling`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from perception.core.types import Float32, Int32

USUAL_PX = (8, 16, 32)
GRIDS = (USUAL_PX, (8, 16, 32, 64), (16, 32), (4, 8, 16, 32))  # P6, tiny and P2 models have others

Candidates = tuple[Float32, Float32, Int32]  # (N, 4) corners in input pixels, scores, class ids
# From outputs, and the height and width of the input, to boxes.
Read = Callable[[Sequence[Float32], tuple[int, int]], Candidates]


@dataclass(frozen=True)
class Head:
    """How a network's input is prepared, and how its outputs are read.

    Attributes:
        layout: Name of the layout, see above.
        classes: Number of classes; 0 where the output does not tell.
        outputs: Places of the outputs that `read` takes.
        read: See `Read`.
        centred: Whether the image stands in the middle of the input.
        raw_bgr: Pixels as blue, green, red from 0 to 255; else as red, green, blue from 0 to 1.
    """

    layout: str
    classes: int
    outputs: tuple[int, ...]
    read: Read
    centred: bool = True
    raw_bgr: bool = False


def cells(
    input_hw: tuple[int, int], strides_px: tuple[int, ...] = USUAL_PX
) -> tuple[Float32, Float32]:
    """Return (A, 2) x, y of the cells of all grids, in cells, and (A, 1) their strides."""
    places, strides = [], []
    for stride in strides_px:
        rows, columns = input_hw[0] // stride, input_hw[1] // stride
        y, x = np.mgrid[:rows, :columns]
        places.append(np.column_stack([x.ravel(), y.ravel()]))
        strides.append(np.full((rows * columns, 1), stride))
    return np.concatenate(places).astype(np.float32), np.concatenate(strides).astype(np.float32)


def plain(output: Float32) -> Float32:
    """Return rows and columns of the first picture: without the batch, (A, 1, 4) as (A, 4)."""
    if output.ndim == 4 and output.shape[2] == 1:
        output = output[:, :, 0]
    return output[0] if output.ndim == 3 else output


def read_yolo(classes: int, transposed: bool, corners: bool, share: bool) -> Read:
    """Return what reads (4 + C + K, A) numbers, or those transposed.

    Args:
        classes: C.
        transposed: The rows are the cells.
        corners: The first four numbers are corners.
        share: They are shares of the input's sides, not pixels.
    """

    def read(outputs: Sequence[Float32], input_hw: tuple[int, int]) -> Candidates:
        found = plain(outputs[0])
        found = found.T if transposed else found
        boxes, by_class = found[:4].T, found[4 : 4 + classes]
        boxes = boxes if corners else corners_of(boxes)
        return in_pixels(boxes, input_hw, share), by_class.max(axis=0), _best(by_class.T)

    return read


def read_objectness(classes: int, share: bool) -> Read:
    """Return what reads (A, 5 + C + K) numbers whose boxes are decoded; see `read_yolo`."""

    def read(outputs: Sequence[Float32], input_hw: tuple[int, int]) -> Candidates:
        found = plain(outputs[0])
        by_class = found[:, 4:5] * found[:, 5 : 5 + classes]
        boxes = in_pixels(corners_of(found[:, :4]), input_hw, share)
        return boxes, by_class.max(axis=1), _best(by_class)

    return read


def read_yolox(classes: int, strides_px: tuple[int, ...]) -> Read:
    """Return what reads (A, 5 + C) raw numbers of YOLOX."""
    decoded = read_objectness(classes, share=False)

    def read(outputs: Sequence[Float32], input_hw: tuple[int, int]) -> Candidates:
        found = plain(outputs[0])
        places, strides = cells(input_hw, strides_px)
        centres = (found[:, :2] + places) * strides
        sides = np.exp(found[:, 2:4]) * strides
        return decoded([np.concatenate([centres, sides, found[:, 4:]], axis=1)], input_hw)

    return read


def read_pair(boxes_across: bool, scores_across: bool, corners: bool, share: bool) -> Read:
    """Return what reads boxes, (A, 4), and scores, (A, C).

    Args:
        boxes_across: The boxes are (4, A).
        scores_across: The scores are (C, A).
        corners: See `read_yolo`.
        share: See `read_yolo`.
    """

    def read(outputs: Sequence[Float32], input_hw: tuple[int, int]) -> Candidates:
        boxes, by_class = (plain(output) for output in outputs)
        boxes = boxes.T if boxes_across else boxes
        by_class = by_class.T if scores_across else by_class
        boxes = in_pixels(boxes if corners else corners_of(boxes), input_hw, share)
        return boxes, by_class.max(axis=1), _best(by_class)

    return read


def read_end_to_end(share: bool) -> Read:
    """Return what reads (R, 6 + K) numbers of a network that suppresses by itself."""

    def read(outputs: Sequence[Float32], input_hw: tuple[int, int]) -> Candidates:
        found = plain(outputs[0])
        boxes = in_pixels(found[:, :4], input_hw, share)
        return boxes, found[:, 4], found[:, 5].astype(np.int32)

    return read


def read_batch_rows(class_column: int) -> Read:
    """Return what reads (N, 7) numbers; the class stands in column 5 or 6, the score in the other.

    The file does not say which: a picture whose rows belie it is not read.
    """
    score_column = 11 - class_column

    def read(outputs: Sequence[Float32], input_hw: tuple[int, int]) -> Candidates:
        found = outputs[0].reshape(-1, 7)
        found = found[found[:, 0] == 0]  # the first picture of the batch
        if not (is_whole(found[:, class_column]) and is_share(found[:, score_column])):
            raise ValueError(
                f"column {class_column} of its rows is no class, or {score_column} no score"
            )
        return found[:, 1:5], found[:, score_column], found[:, class_column].astype(np.int32)

    return read


def read_counted(share: bool) -> Read:
    """Return what reads a count, boxes, scores and classes; rows behind the count are filling."""

    def read(outputs: Sequence[Float32], input_hw: tuple[int, int]) -> Candidates:
        count = int(outputs[0].ravel()[0])
        boxes, scores, classes = (output[0][:count] for output in outputs[1:])
        return (
            in_pixels(boxes.reshape(-1, 4), input_hw, share),
            scores.ravel(),
            classes.ravel().astype(np.int32),
        )

    return read


def in_pixels(boxes: Float32, input_hw: tuple[int, int], share: bool) -> Float32:
    """Return boxes in pixels of the input."""
    height, width = input_hw
    return boxes * np.array([width, height, width, height], np.float32) if share else boxes


def corners_of(boxes: Float32) -> Float32:
    """Return (N, 4) corners of (N, 4) centres and sides."""
    centres, sides = boxes[:, :2], boxes[:, 2:4]
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)


def is_whole(values: Float32) -> bool:
    """Tell whether all values may be numbers of classes."""
    return bool(((values >= 0) & (values == np.floor(values))).all())


def is_share(values: Float32) -> bool:
    """Tell whether all values may be scores; rounding to 16 bit may lead a little over 1."""
    return bool(((values >= -1e-3) & (values <= 1 + 1e-3)).all())


def _best(by_class: Float32) -> Int32:
    return np.asarray(by_class.argmax(axis=1), np.int32)
