"""What the models saw in a picture, before any decision."""

from dataclasses import dataclass
from typing import ClassVar

from perception.core.errors import ShapeError
from perception.core.types.rows import Counts, Float32, Float64, Int32, RowAligned


@dataclass(frozen=True, eq=False, repr=False)
class Detections(RowAligned):
    """N boxes found in, or given for, one image.

    Attributes:
        boxes_xyxy: (N, 4) float32, pixels, half-open [x0, x1) x [y0, y1).
        scores: (N,) float32 in [0, 1]; 1 for boxes that a person gave.
        class_ids: (N,) int32, index into `class_names`.
        class_names: The names of the source (the detector's, or the box file's); not per row.
        dropped: Rows of a box file that gave no box, counted by reason: (("row.words", 2), ...);
            not per row.
        mended: Rows of a box file that were put right, counted by how: (("row.clipped", 1), ...);
            not per row.
    """

    shared: ClassVar[frozenset[str]] = frozenset({"class_names", "dropped", "mended"})

    boxes_xyxy: Float32
    scores: Float32
    class_ids: Int32
    class_names: tuple[str, ...]
    dropped: Counts = ()
    mended: Counts = ()


@dataclass(frozen=True, eq=False, repr=False)
class Masks(RowAligned):
    """N masks of one image, run-length encoded inside their bounding boxes.

    Attributes:
        boxes_xyxy: (N, 4) int32, tight half-open bounds of each mask; all zero for an empty mask.
        counts: N COCO run-length strings of the cropped box (column-major); b"" for an empty mask.
        size_hw: Height and width of the image.
    """

    shared: ClassVar[frozenset[str]] = frozenset({"size_hw"})

    boxes_xyxy: Int32
    counts: tuple[bytes, ...]
    size_hw: tuple[int, int]


@dataclass(frozen=True, eq=False, repr=False)
class LogitCrops(RowAligned):
    """N low-resolution mask logits, each cropped to its mask's cells and compressed.

    The centre of cell (i, j) of a row's grid lies at pixel origin + (j + 0.5, i + 0.5) /
    cells_per_px of the image, corners of pixels at whole numbers.

    Attributes:
        cells_xyxy: (N, 4) int32, half-open bounds of the crop in the grid; zeros where none is.
        data: N zlib strings of float16, row-major; b"" where none is.
        origins_xy: (N, 2) float32, where in the image each grid begins, pixels.
        cells_per_px_xy: (N, 2) float64, cells of each grid per pixel of the image.
    """

    cells_xyxy: Int32
    data: tuple[bytes, ...]
    origins_xy: Float32
    cells_per_px_xy: Float64


@dataclass(frozen=True, eq=False, repr=False)
class Segments(RowAligned):
    """What a segmenter answers to N boxes, in the order of the boxes.

    Attributes:
        masks: (N) masks at image size.
        predicted_ious: (N,) float32, the segmenter's own estimate; not a probability, may exceed 1.
        stabilities: (N,) float32 in [0, 1], IoU of the mask at two thresholds; 0 where undefined.
        logits: (N) low-resolution logits.
        wobbles: (N,) float32, mean IoU of the mask and those of jittered boxes, at low resolution;
            NaN where nobody jittered, or nothing was found.
        consensus_ious: (N,) float32, IoU of the mask and what most of these masks cover; NaN
            likewise.
    """

    masks: Masks
    predicted_ious: Float32
    stabilities: Float32
    logits: LogitCrops
    wobbles: Float32
    consensus_ious: Float32


@dataclass(frozen=True, eq=False, repr=False)
class ImageStatistics(RowAligned):
    """What else was seen of N masks while their image was open; NaN where it is not known.

    Attributes:
        brightness: (N,) float32 in [0, 1], mean grey under the mask.
        contrasts: (N,) float32 in [0, 1], distance of the mean colours under and around the mask.
        second_ious: (N,) float32, mask IoU with the answer of a second segmenter.
    """

    brightness: Float32
    contrasts: Float32
    second_ious: Float32


@dataclass(frozen=True)
class Prompt:
    """What is said of one object: a box, points, or both.

    Attributes:
        box_xyxy: (x0, y0, x1, y1) pixels, or () without a box.
        points: (x, y, kind) each: pixels, and 1 for a point on the object, 0 for one that is not.
    """

    box_xyxy: tuple[float, ...] = ()
    points: tuple[tuple[float, float, int], ...] = ()


@dataclass(frozen=True, eq=False)
class Answers:
    """What a promptable segmenter answers to N prompts with M masks each.

    Attributes:
        segments: (N * M) masks, those of one prompt side by side.
        low_logits: (N, M, 256, 256) float32; fed back, they refine the next answer.
    """

    segments: Segments
    low_logits: Float32


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the models saw in one image, before any decision; this is what a run stores.

    Attributes:
        camera: Name of the camera.
        file_name: As in `Picture`.
        size_hw: Height and width of the image.
        detections: (N) prompt boxes.
        segments: (N) answers, aligned with `detections`.
        statistics: (N) what the pixels and a second model say of these answers.
        dropped: Boxes that could not be prompts, counted by reason: (("box.nan", 2), ...); rows of
            a box file that gave no box are among them.
        changes: As in `Picture`; counted when it is written, and not kept.
    """

    camera: str
    file_name: str
    size_hw: tuple[int, int]
    detections: Detections
    segments: Segments
    statistics: ImageStatistics
    dropped: Counts
    changes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that every box has an answer."""
        if not len(self.detections) == len(self.segments) == len(self.statistics):
            raise ShapeError(
                f"{self.file_name}: {len(self.detections)} boxes, {len(self.segments)} answers, "
                f"{len(self.statistics)} statistics"
            )
