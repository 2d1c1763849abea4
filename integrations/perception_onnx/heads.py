"""What the numbers of a network's output mean: three layouts, told apart by shape and metadata.

YOLO         (4 + C + K, A)  centre x, y, width, height in input pixels, C class scores, and K mask
                             coefficients where it segments; one column per cell of the grids
YOLOX        (A, 5 + C)      the same, as offsets in cells and logarithms, with an objectness; one
                             row per cell. Source: Ge et al., YOLOX, 2021, and its ONNX demo
end to end   (R, 6 + K)      corners, score, class: the file has chosen among the cells itself

The grids have strides of 8, 16 and 32 pixels, and follow each other row by row.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from perception.errors import RequestError
from perception.types import Float32, Int32

STRIDES_PX = (8, 16, 32)

Candidates = tuple[Float32, Float32, Int32]  # (N, 4) corners in input pixels, scores, class ids


@dataclass(frozen=True)
class Head:
    """How a network wants its input, and how its output is read.

    Attributes:
        classes: Number of classes.
        centred: Whether the image stands in the middle of the input.
        raw_bgr: Pixels as blue, green, red from 0 to 255; else as red, green, blue from 0 to 1.
        read: From the output for one image, and the height and width of the input, to boxes.
    """

    classes: int
    centred: bool
    raw_bgr: bool
    read: Callable[[Float32, tuple[int, int]], Candidates]


def cells(input_hw: tuple[int, int]) -> tuple[Float32, Float32]:
    """Return (A, 2) x, y of the cells of all grids, in cells, and (A, 1) their strides."""
    places, strides = [], []
    for stride in STRIDES_PX:
        rows, columns = input_hw[0] // stride, input_hw[1] // stride
        y, x = np.mgrid[:rows, :columns]
        places.append(np.column_stack([x.ravel(), y.ravel()]))
        strides.append(np.full((rows * columns, 1), stride))
    return np.concatenate(places).astype(np.float32), np.concatenate(strides).astype(np.float32)


def tell(
    probe: Float32, input_hw: tuple[int, int], names: int, end_to_end: bool, where: str
) -> Head:
    """Tell what a network is by its output for some image.

    Args:
        probe: The output for one image, without the batch.
        input_hw: Height and width of that input.
        names: Number of class names in the file; 0 if it has none.
        end_to_end: What the file says of itself.
        where: The file, for the message.

    Raises:
        RequestError: `weights.invalid` for any other output.
    """
    count = len(cells(input_hw)[0])
    if probe.ndim == 2 and end_to_end and probe.shape[1] >= 6 and names:
        return Head(names, True, False, read_end_to_end)
    if probe.ndim == 2 and probe.shape[1] == count and probe.shape[0] >= 4 + max(names, 1):
        classes = names or len(probe) - 4
        return Head(classes, True, False, lambda found, _: read_yolo(found, classes))
    if probe.ndim == 2 and len(probe) == count and probe.shape[1] == 5 + (names or 80):
        # Some exports have done the arithmetic: their centres spread over all of the input.
        done = np.ptp(probe[:, 0]) > input_hw[1] / 2
        return Head(probe.shape[1] - 5, False, True, read_yolox_boxes if done else read_yolox)
    raise RequestError(
        "weights.invalid",
        f"{where}: its output for {input_hw[1]} x {input_hw[0]} pixels has the shape "
        f"{probe.shape} and it names {names} classes; expected YOLO (4 + classes, {count}) or "
        f"YOLOX ({count}, 5 + classes)",
    )


def read_yolo(found: Float32, classes: int) -> Candidates:
    """Read (4 + C + K, A) numbers of YOLO."""
    by_class = found[4 : 4 + classes]
    return _corners(found[:2].T, found[2:4].T), by_class.max(axis=0), _best(by_class.T)


def read_yolox(found: Float32, input_hw: tuple[int, int]) -> Candidates:
    """Read (A, 5 + C) raw numbers of YOLOX."""
    places, strides_px = cells(input_hw)
    centres = (found[:, :2] + places) * strides_px
    sides = np.exp(found[:, 2:4]) * strides_px
    return read_yolox_boxes(np.concatenate([centres, sides, found[:, 4:]], axis=1), input_hw)


def read_yolox_boxes(found: Float32, input_hw: tuple[int, int]) -> Candidates:
    """Read (A, 5 + C) numbers of YOLOX whose boxes are in pixels."""
    by_class = found[:, 4:5] * found[:, 5:]
    return _corners(found[:, :2], found[:, 2:4]), by_class.max(axis=1), _best(by_class)


def read_end_to_end(found: Float32, input_hw: tuple[int, int]) -> Candidates:
    """Read (R, 6 + K) numbers of a network that suppresses by itself."""
    return found[:, :4], found[:, 4], found[:, 5].astype(np.int32)


def _corners(centres: Float32, sides: Float32) -> Float32:
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)


def _best(by_class: Float32) -> Int32:
    return np.asarray(by_class.argmax(axis=1), np.int32)
