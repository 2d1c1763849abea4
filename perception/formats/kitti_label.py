"""KITTI object labels (label_2): one text row per object.

Source: http://www.cvlibs.net/datasets/kitti/eval_object.php (devkit readme).

- Columns: type truncated occluded alpha left top right bottom height width length x y z rotation_y
  and, in results only, a score. Ground truth has 15, results have 16.
- Sizes come before the place, in the order height, width, length. The place is the centre of the
  bottom face, not of the box, in the rectified camera frame (x right, y down, z forward).
- `DontCare` rows mark regions where objects were not labelled; their other columns are -1, -10 and
  -1000. They are no objects.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from perception.core.errors import RequestError, SampleError
from perception.core.geometry import inverse, transform
from perception.core.types import Cuboids, Float32, Float64, Int32, RowAligned
from perception.formats import parse_number, read_lines
from perception.io.files import write_bytes

TYPES = (
    "Car",
    "Van",
    "Truck",
    "Pedestrian",
    "Person_sitting",
    "Cyclist",
    "Tram",
    "Misc",
    "DontCare",
)
DONT_CARE = "DontCare"
_COLUMNS = (
    *("type", "truncated", "occluded", "alpha", "left", "top", "right", "bottom"),
    *("height", "width", "length", "x", "y", "z", "rotation_y", "score"),
)
_LARGEST = 1e9  # nothing in a label file is larger; float32 holds it


@dataclass(frozen=True, eq=False, repr=False)
class KittiObjects(RowAligned):
    """N rows of a label file, `DontCare` rows among them.

    Attributes:
        types: N words, see `TYPES`.
        truncated: (N,) float64 in [0, 1]; -1 where unknown.
        occluded: (N,) int32, 0 visible, 1 partly, 2 largely occluded, 3 unknown; -1 in DontCare.
        alphas_rad: (N,) float64, observation angle.
        boxes_xyxy: (N, 4) float32, pixels.
        dimensions_hwl_m: (N, 3) float64, height, width, length.
        locations_cam_m: (N, 3) float64, centre of the bottom face, rectified camera frame.
        rotations_y_rad: (N,) float64, about the camera's y axis.
        scores: (N,) float64; 1 where the column is missing.
    """

    types: tuple[str, ...]
    truncated: Float64
    occluded: Int32
    alphas_rad: Float64
    boxes_xyxy: Float32
    dimensions_hwl_m: Float64
    locations_cam_m: Float64
    rotations_y_rad: Float64
    scores: Float64


def read(path: Path) -> KittiObjects:
    """Read a label file; an empty file has no objects.

    Raises:
        SampleError: `io.not_found`; `label.invalid`, naming the line and the column.
    """
    types, rows = list[str](), list[list[float]]()
    for number, words in read_lines(path):
        if len(words) not in (len(_COLUMNS) - 1, len(_COLUMNS)):
            raise SampleError(
                "label.invalid",
                f"{path}:{number}: {len(words)} columns, expected 15, or 16 with a score",
            )
        types.append(words[0])
        values = [
            _value(word, name, f"{path}:{number}")
            for word, name in zip(words[1:], _COLUMNS[1:], strict=False)
        ]
        rows.append(values if len(words) == len(_COLUMNS) else [*values, 1.0])
    table = np.array(rows, np.float64).reshape(-1, len(_COLUMNS) - 1)
    return KittiObjects(
        types=tuple(types),
        truncated=table[:, 0],
        occluded=table[:, 1].astype(np.int32),
        alphas_rad=table[:, 2],
        boxes_xyxy=table[:, 3:7].astype(np.float32),
        dimensions_hwl_m=table[:, 7:10],
        locations_cam_m=table[:, 10:13],
        rotations_y_rad=table[:, 13],
        scores=table[:, 14],
    )


def _value(word: str, name: str, where: str) -> float:
    value = parse_number(word)
    if not abs(value) <= _LARGEST:
        raise SampleError("label.invalid", f"{where}: {name} is {word!r}, expected a finite number")
    if name == "occluded" and value not in (-1, 0, 1, 2, 3):
        raise SampleError(
            "label.invalid", f"{where}: {name} is {word!r}, expected -1, 0, 1, 2 or 3"
        )
    return value


def write(objects: KittiObjects, path: Path, *, with_scores: bool = False) -> None:
    """Write a label file; numbers have as many digits as reading them back exactly takes.

    Args:
        objects: The rows.
        path: The file.
        with_scores: True writes results (16 columns), False ground truth (15, no scores).

    Raises:
        RequestError: `label.invalid` for a type that is no single word and numbers that are not
            finite.
    """
    numbers = np.column_stack(
        [
            objects.truncated,
            objects.occluded,
            objects.alphas_rad,
            objects.boxes_xyxy,
            objects.dimensions_hwl_m,
            objects.locations_cam_m,
            objects.rotations_y_rad,
            objects.scores,
        ]
    ).astype(np.float64)
    lines = []
    for row, kind in enumerate(objects.types):
        if len(kind.split()) != 1 or not (np.abs(numbers[row]) <= _LARGEST).all():
            raise RequestError(
                "label.invalid",
                f"{path}: row {row} is {kind!r} {numbers[row].tolist()}, expected a type of one "
                "word and finite numbers",
            )
        words = [kind, *(_text(value) for value in numbers[row])]
        words[2] = str(int(objects.occluded[row]))
        words[4:8] = [_text(side) for side in objects.boxes_xyxy[row]]
        lines.append(" ".join(words if with_scores else words[:-1]) + "\n")
    write_bytes(path, "".join(lines).encode())


@dataclass(frozen=True, eq=False, repr=False)
class KittiBoxes(RowAligned):
    """N 3D boxes as label files have them; -1, -1000 and -10 where a box is not known.

    Attributes:
        alphas_rad: (N,) float64.
        dimensions_hwl_m: (N, 3) float64.
        locations_cam_m: (N, 3) float64.
        rotations_y_rad: (N,) float64.
    """

    alphas_rad: Float64
    dimensions_hwl_m: Float64
    locations_cam_m: Float64
    rotations_y_rad: Float64


def boxes_of(
    cuboids: Cuboids, rows: npt.NDArray[np.int64], T_rect_from_lidar: Float64
) -> KittiBoxes:
    """Return boxes in KITTI's terms.

    Args:
        cuboids: Boxes in the LiDAR's frame.
        rows: (N,) which of them; -1 for none.
        T_rect_from_lidar: To the rectified camera frame.
    """
    count, known = len(rows), np.flatnonzero(rows >= 0)
    of = cuboids[rows[known]]
    bottoms = of.centres_m.astype(np.float64)
    bottoms[:, 2] -= of.sizes_lwh_m[:, 2].astype(np.float64) / 2
    yaws = of.yaws_rad.astype(np.float64)
    ahead = np.column_stack([np.cos(yaws), np.sin(yaws), np.zeros(len(yaws))])
    ahead_cam = ahead @ T_rect_from_lidar[:3, :3].T
    dimensions, locations = np.full((count, 3), -1.0), np.full((count, 3), -1000.0)
    alphas, rotations = np.full(count, -10.0), np.full(count, -10.0)
    dimensions[known] = of.sizes_lwh_m[:, [2, 1, 0]]
    locations[known] = transform(T_rect_from_lidar, bottoms)
    rotations[known] = np.arctan2(-ahead_cam[:, 2], ahead_cam[:, 0])
    turned = rotations[known] - np.arctan2(locations[known, 0], locations[known, 2])
    alphas[known] = (turned + np.pi) % (2 * np.pi) - np.pi
    return KittiBoxes(alphas, dimensions, locations, rotations)


def cuboids_of(objects: KittiObjects, T_rect_from_lidar: Float64) -> Cuboids:
    """Return the boxes of N objects, none of them DontCare, in the LiDAR's frame.

    Ids are 1 + the row.
    """
    T_lidar_from_rect = inverse(T_rect_from_lidar)
    centres = transform(T_lidar_from_rect, objects.locations_cam_m)
    centres[:, 2] += objects.dimensions_hwl_m[:, 0] / 2
    turned = objects.rotations_y_rad
    ahead_cam = np.column_stack([np.cos(turned), np.zeros(len(turned)), -np.sin(turned)])
    ahead = ahead_cam @ T_lidar_from_rect[:3, :3].T
    yaws = np.arctan2(ahead[:, 1], ahead[:, 0])
    return Cuboids(
        instance_ids=np.arange(1, len(objects) + 1, dtype=np.int32),
        centres_m=centres.astype(np.float32),
        sizes_lwh_m=objects.dimensions_hwl_m[:, ::-1].astype(np.float32),
        yaws_rad=((yaws + np.pi / 2) % np.pi - np.pi / 2).astype(np.float32),
        confidences=np.ones(len(objects), np.float32),
    )


def _text(value: np.floating) -> str:
    text = str(value)  # the same digits, ten times as fast
    return np.format_float_positional(value, trim="0") if "e" in text else text
