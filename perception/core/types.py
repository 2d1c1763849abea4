"""Frozen, row-aligned containers: what flows between the stages.

Nothing here changes after construction: arrays are read-only views, because arrays that come out of
Ray's object store are read-only too, and code that writes into its input works on a laptop only.
Conventions (axes, pixel centres, box corners) stand once, in docs/concepts/conventions.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum, StrEnum
from functools import cache
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from perception.core.errors import ShapeError
from perception.core.limits import MAX_MEGAPIXELS

Bool = npt.NDArray[np.bool_]
UInt8 = npt.NDArray[np.uint8]
Int32 = npt.NDArray[np.int32]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Counts = tuple[tuple[str, int], ...]  # name and count, in alphabetical order


class Status(IntEnum):
    """What became of an instance; the order is the order of precedence for pixels."""

    ACCEPTED = 0
    REVIEW = 1
    REJECTED = 2


class PointState(IntEnum):
    """What is known of a LiDAR point."""

    UNKNOWN = 0
    BACKGROUND = 1
    LABELLED = 2


class Lens(StrEnum):
    """How a camera bends what a pinhole would see; coefficients in OpenCV's order."""

    PINHOLE = "pinhole"  # rectified images: no coefficients
    RADTAN = "radtan"  # k1 k2 p1 p2 [k3 [k4 k5 k6]]: radial (rational with 8) and tangential
    FISHEYE = "fisheye"  # k1 k2 k3 k4 of Kannala and Brandt, in powers of the angle


LENS_COEFFICIENTS = {Lens.PINHOLE: (0,), Lens.RADTAN: (4, 5, 8), Lens.FISHEYE: (4,)}


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view = array.view()
    view.setflags(write=False)
    return view


@cache  # a frame makes hundreds of containers
def _names_of(kind: Any) -> tuple[str, ...]:
    return tuple(column.name for column in fields(kind))


@dataclass(frozen=True, eq=False)
class RowAligned:
    """N rows in several columns: numpy arrays and tuples, but for the fields named in `shared`.

    Indexing by an array of booleans or integers, or by a slice, gives the same type with those
    rows.

    Raises:
        ShapeError: if the columns disagree on N.
    """

    shared: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        """Check the row counts and make every array read-only."""
        counts = {name: len(getattr(self, name)) for name in self._columns()}
        if len(set(counts.values())) > 1:
            raise ShapeError(f"{type(self).__name__} fields disagree on N: {counts}")
        for name in self._names():
            value = getattr(self, name)
            if isinstance(value, np.ndarray):
                object.__setattr__(self, name, _read_only(value))

    @classmethod
    def _names(cls) -> tuple[str, ...]:
        kind: Any = cls  # which mypy takes for unhashable
        return _names_of(kind)

    def _columns(self) -> list[str]:
        return [name for name in self._names() if name not in self.shared]

    def __len__(self) -> int:
        """Number of rows."""
        return len(getattr(self, self._columns()[0]))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of one part or more, in their order; `shared` is the first part's."""
        changed: dict[str, Any] = {}
        for name in parts[0]._columns():
            values = [getattr(part, name) for part in parts]
            if isinstance(values[0], np.ndarray):
                changed[name] = np.concatenate(values)
            elif isinstance(values[0], RowAligned):
                changed[name] = type(values[0]).joined(values)
            else:
                changed[name] = tuple(value for column in values for value in column)
        return replace(parts[0], **changed)

    def __getitem__(self, rows: npt.NDArray[Any] | slice) -> Self:
        """Return the chosen rows, in the order asked for."""
        index = np.arange(len(self))[rows]
        changed: dict[str, Any] = {}
        for name in self._columns():
            value = getattr(self, name)
            if isinstance(value, np.ndarray | RowAligned):
                changed[name] = value[index]
            else:
                changed[name] = tuple(value[i] for i in index)
        return replace(self, **changed)


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)
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
class Camera:
    """A camera and where it sits.

    Attributes:
        name: Matches `Picture.camera`.
        K: (3, 3) float64 intrinsics, pixels; pixel centres at integer coordinates.
        T_cam_from_lidar: (4, 4) float64 rigid transform, metres: from the LiDAR at the moment of
            the sweep to the camera at the moment of the image, the car's own motion included.
        lens: How its image is bent.
        distortion: (C,) float64 coefficients of `lens`; C is one of `LENS_COEFFICIENTS`.
        time_gap_s: When the image was taken, from the moment of the sweep; 0 where a dataset does
            not say. What moved by itself meanwhile is off by its speed times this.
    """

    name: str
    K: Float64
    T_cam_from_lidar: Float64
    lens: Lens = Lens.PINHOLE
    distortion: Float64 = field(default_factory=lambda: np.zeros(0))
    time_gap_s: float = 0.0

    def __post_init__(self) -> None:
        """Check shapes and make the arrays read-only."""
        if self.K.shape != (3, 3) or self.T_cam_from_lidar.shape != (4, 4):
            raise ShapeError(
                f"Camera {self.name}: K {self.K.shape} and T_cam_from_lidar "
                f"{self.T_cam_from_lidar.shape}, expected (3, 3) and (4, 4)"
            )
        counts = LENS_COEFFICIENTS[self.lens]
        if self.distortion.ndim != 1 or len(self.distortion) not in counts:
            raise ShapeError(
                f"Camera {self.name}: distortion {self.distortion.shape}, expected "
                f"{' or '.join(map(str, counts))} coefficients of a {self.lens} lens"
            )
        for name in ("K", "T_cam_from_lidar", "distortion"):
            object.__setattr__(self, name, _read_only(getattr(self, name)))


@dataclass(frozen=True, eq=False)
class Picture:
    """One decoded image of a sample.

    Attributes:
        camera: Name of the camera; unique within the sample.
        file_name: POSIX path relative to the dataset's root, extension included.
        image_rgb: (H, W, 3) uint8.
        changes: What was done to its pixels, see `images.Decoded`.
    """

    camera: str
    file_name: str
    image_rgb: UInt8
    changes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Make the pixels read-only."""
        object.__setattr__(self, "image_rgb", _read_only(self.image_rgb))

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image_rgb.shape[0], self.image_rgb.shape[1]


@dataclass(frozen=True, eq=False)
class Scene:
    """The geometry of a sample: what `decide` needs besides the evidence.

    Attributes:
        cameras: Calibrated cameras, each name once; none where a dataset has no calibration.
        points_lidar: (P, 3) float32, metres, LiDAR frame, in the order of the file; P may be 0.
            Points that are not finite stay in place: their state is unknown.
        ahead: Which axis of the LiDAR points ahead: 0 as in KITTI, 1 as in nuScenes, where x is to
            the right.
        remarks: What is odd about the sweep and the calibration, one sentence each.
    """

    cameras: tuple[Camera, ...]
    points_lidar: Float32
    ahead: Literal[0, 1] = 0
    remarks: tuple[str, ...] = ()

    @property
    def points_drawn(self) -> Float32:
        """(P, 3) the points for drawings: x forward, y left, z up in every dataset."""
        if self.ahead == 0:
            return self.points_lidar
        return self.points_lidar[:, [1, 0, 2]] * np.array([1, -1, 1], np.float32)

    def __post_init__(self) -> None:
        """Check names and shape, and make the points read-only."""
        names = [camera.name for camera in self.cameras]
        if len(set(names)) < len(names):
            raise ShapeError(f"Scene has two cameras of one name: {names}")
        if self.points_lidar.ndim != 2 or self.points_lidar.shape[1] != 3:
            raise ShapeError(f"points_lidar has shape {self.points_lidar.shape}, expected (P, 3)")
        object.__setattr__(self, "points_lidar", _read_only(self.points_lidar))


@dataclass(frozen=True)
class PictureRef:
    """An image on disk.

    Attributes:
        camera: Name of the camera; unique within the sample.
        file_name: POSIX path relative to the dataset's root, extension included.
    """

    camera: str
    file_name: str


@dataclass(frozen=True)
class SampleRef:
    """A sample on disk: names only, nothing opened yet. One line of a run's plan.

    Attributes:
        id: Dataset-relative POSIX path, or the dataset's own token (KITTI: the frame number).
        layout: Key of `perception.readers.sources.LAYOUTS`: who can load it.
        root: The dataset's root folder.
        pictures: The images.
        sweep_file: POSIX path of the point cloud relative to the root; "" where there is none.
        calib_files: POSIX paths of the calibration relative to the root.
        calibration: What the reader of the layout knows already, as text of its own; "" where it
            reads `calib_files`.
        upright: Whether its pictures are turned as their Orientation says; else they are as stored.
        max_megapixels: Larger pictures are refused.
        outside: Where links lead out of the root: the files that may be opened there, absolute.
        columns: Numbers per point of a sweep without a header, where people say it; 0: the layout's
            own.
    """

    id: str
    layout: str
    root: str
    pictures: tuple[PictureRef, ...]
    sweep_file: str = ""
    calib_files: tuple[str, ...] = ()
    calibration: str = ""
    upright: bool = False
    max_megapixels: int = MAX_MEGAPIXELS
    outside: tuple[str, ...] = ()
    columns: int = 0


EMPTY_SCENE = Scene(cameras=(), points_lidar=np.zeros((0, 3), np.float32))


@dataclass(frozen=True, eq=False)
class Sample:
    """One moment of a dataset, loaded: its images and its sweep.

    Attributes:
        id: Dataset-relative POSIX path, or the dataset's own token (KITTI: the frame number).
        pictures: The images; there may be none.
        scene: Cameras and points; `EMPTY_SCENE` for a folder of pictures.
    """

    id: str
    pictures: tuple[Picture, ...]
    scene: Scene


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


@dataclass(frozen=True, eq=False)
class Signals(RowAligned):
    """What speaks for or against N instances, besides the scores; NaN where it is not known.

    All (N,) float32. A new signal is a field here, filled in `decide`, and a row in
    `trust.features.FEATURES`.

    Attributes:
        wobbles: See `Segments`.
        consensus_ious: See `Segments`.
        second_ious: See `ImageStatistics`.
        brightness: See `ImageStatistics`.
        contrasts: See `ImageStatistics`.
        hole_shares: Share of the filled mask that is holes.
        fragment_shares: Share of the mask outside its largest piece.
        border_sides: Sides of the image that the mask touches, 0 to 4.
        lost_shares: Share of the mask that better claims own.
        crowding: Highest IoU of the prompt box with another one of the image.
        points_behind: 1 where all LiDAR points under the mask lie behind its object, else 0.
        point_reaches: How far its points reach, as a share of the most that its class does.
        depth_shares: Share of what the LiDAR sees through the mask that lies at its depth.
    """

    wobbles: Float32
    consensus_ious: Float32
    second_ious: Float32
    brightness: Float32
    contrasts: Float32
    hole_shares: Float32
    fragment_shares: Float32
    border_sides: Float32
    lost_shares: Float32
    crowding: Float32
    points_behind: Float32
    point_reaches: Float32
    depth_shares: Float32


def unknown_signals(n: int) -> Signals:
    """Return the signals of N instances of which nothing is known."""
    nothing = np.full(n, np.nan, np.float32)
    return Signals(**{field.name: nothing for field in fields(Signals)})


@dataclass(frozen=True, eq=False)
class Instances(RowAligned):
    """N labelled objects of one image.

    Attributes:
        instance_ids: (N,) int32, 1-based, unique within the sample: 1 + the row of the prompt box,
            counted over the sample's images, so that an id outlives every threshold. An object
            that several cameras show has one id.
        prompt_ids: (N,) int32, likewise, but never shared: what people's decisions are kept under.
        class_ids: (N,) int32 ids of the run's ontology.
        statuses: (N,) uint8, `Status`.
        reasons: N tuples of reason codes; empty for an accepted instance, but for "class.kept".
        scores: (N,) float32 detector score.
        predicted_ious: (N,) float32, see `Segments`.
        stabilities: (N,) float32, see `Segments`.
        box_ious: (N,) float32, IoU of the mask's bounds and the prompt box.
        outside_shares: (N,) float32, share of the mask outside the prompt box.
        boxes_xyxy: (N, 4) float32 prompt box, clipped to the image.
        masks: (N) masks after overlaps are settled: every pixel has one owner.
        signals: (N) what else speaks for or against each.
        trusts: (N,) float32, fitted probability that class and mask are right; NaN without a fit.
        by_human: (N,) bool, a person decided this label.
    """

    instance_ids: Int32
    prompt_ids: Int32
    class_ids: Int32
    statuses: UInt8
    reasons: tuple[tuple[str, ...], ...]
    scores: Float32
    predicted_ious: Float32
    stabilities: Float32
    box_ious: Float32
    outside_shares: Float32
    boxes_xyxy: Float32
    masks: Masks
    signals: Signals
    trusts: Float32
    by_human: Bool

    @classmethod
    def blank(cls, n: int, size_hw: tuple[int, int]) -> Self:
        """Return N rejected objects without pixels, of which nothing was measured.

        What a model or a box says is 1, as good as can be; `replace` sets what is known.
        """
        ones, zeros = np.ones(n, np.float32), np.zeros(n, np.float32)
        return cls(
            instance_ids=np.zeros(n, np.int32),
            prompt_ids=np.zeros(n, np.int32),
            class_ids=np.zeros(n, np.int32),
            statuses=np.full(n, Status.REJECTED, np.uint8),
            reasons=((),) * n,
            scores=ones,
            predicted_ious=ones,
            stabilities=ones,
            box_ious=ones,
            outside_shares=zeros,
            boxes_xyxy=np.zeros((n, 4), np.float32),
            masks=Masks(np.zeros((n, 4), np.int32), (b"",) * n, size_hw),
            signals=unknown_signals(n),
            trusts=np.full(n, np.nan, np.float32),
            by_human=np.zeros(n, bool),
        )


@dataclass(frozen=True)
class BoxOffset:
    """How far the prompt boxes of a picture lie from the objects that the LiDAR shows.

    Attributes:
        right_px: To the right; 0 if not judged.
        down_px: Downwards; 0 if not judged.
        objects: How many boxes agree on it; 0 if not judged.
        alarm: The calibration, or the time of one sensor, is off.
    """

    right_px: float = 0.0
    down_px: float = 0.0
    objects: int = 0
    alarm: bool = False


@dataclass(frozen=True, eq=False)
class PictureLabels:
    """The decided labels of one image.

    Attributes:
        camera: Name of the camera.
        file_name: As in `Picture`.
        size_hw: Height and width of the image.
        instances: Every prompted object of a mapped class, whatever its status.
        ignored: Objects of ignored classes, counted by source class name.
        offset: Of its boxes from the points.
    """

    camera: str
    file_name: str
    size_hw: tuple[int, int]
    instances: Instances
    ignored: tuple[tuple[str, int], ...]
    offset: BoxOffset = field(default_factory=BoxOffset)


@dataclass(frozen=True, eq=False)
class PointLabels(RowAligned):
    """One label per LiDAR point, in the order of the file.

    Attributes:
        states: (P,) uint8, `PointState`.
        class_ids: (P,) int32 ids of the run's ontology; -1 unless labelled.
        instance_ids: (P,) int32; 0 unless labelled.
        trusts: (P,) uint8, 255ths of full trust, see `lift.vote`: an order, no probability; 0
            unless labelled.
    """

    states: UInt8
    class_ids: Int32
    instance_ids: Int32
    trusts: UInt8


@dataclass(frozen=True, eq=False)
class Cuboids(RowAligned):
    """3D boxes of N objects, in the LiDAR's frame.

    Attributes:
        instance_ids: (N,) int32, those of the objects' points.
        centres_m: (N, 3) float32, the middle of the box.
        sizes_lwh_m: (N, 3) float32, length, width, height.
        yaws_rad: (N,) float32 in [-pi / 2, pi / 2): of the length, from x towards y. Front and back
            are not told apart.
        confidences: (N,) float32 in [0, 1): how much of its sides was measured, on how many points.
    """

    instance_ids: Int32
    centres_m: Float32
    sizes_lwh_m: Float32
    yaws_rad: Float32
    confidences: Float32


def no_cuboids() -> Cuboids:
    """Return no boxes."""
    none, places = np.zeros(0, np.float32), np.zeros((0, 3), np.float32)
    return Cuboids(np.zeros(0, np.int32), places, places, none, none)


@dataclass(frozen=True, eq=False)
class SampleLabels:
    """The decided labels of one sample.

    Attributes:
        id: As in `Sample`.
        pictures: One entry per image.
        points: One row per LiDAR point; none where there is no sweep.
        cuboids: Of the objects whose points tell enough, whatever their status.
    """

    id: str
    pictures: tuple[PictureLabels, ...]
    points: PointLabels
    cuboids: Cuboids = field(default_factory=no_cuboids)


@dataclass(frozen=True)
class ExportSummary:
    """What an export wrote, and what it could not.

    Attributes:
        samples: Samples written.
        labels: Objects (for point formats: labelled points) written as labels.
        ignored: Objects (points) written as regions that a trainer or an evaluation leaves out.
        left_out: (("review", 3), ("class.ignored", 1), ...): objects that the format cannot hold.
    """

    samples: int
    labels: int
    ignored: int
    left_out: tuple[tuple[str, int], ...]
