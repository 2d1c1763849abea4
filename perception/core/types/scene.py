"""What a dataset holds: cameras, pictures, sweeps, and where they are on disk."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import numpy as np

from perception.core.errors import ShapeError
from perception.core.limits import MAX_MEGAPIXELS
from perception.core.types.rows import Float32, Float64, UInt8, read_only


class Lens(StrEnum):
    """How a camera bends what a pinhole would see; coefficients in OpenCV's order."""

    PINHOLE = "pinhole"  # rectified images: no coefficients
    RADTAN = "radtan"  # k1 k2 p1 p2 [k3 [k4 k5 k6]]: radial (rational with 8) and tangential
    FISHEYE = "fisheye"  # k1 k2 k3 k4 of Kannala and Brandt, in powers of the angle


LENS_COEFFICIENTS = {Lens.PINHOLE: (0,), Lens.RADTAN: (4, 5, 8), Lens.FISHEYE: (4,)}


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
        size_hw: Height and width in pixels of the images that K is for; (0, 0) where the
            calibration does not say.
    """

    name: str
    K: Float64
    T_cam_from_lidar: Float64
    lens: Lens = Lens.PINHOLE
    distortion: Float64 = field(default_factory=lambda: np.zeros(0))
    time_gap_s: float = 0.0
    size_hw: tuple[int, int] = (0, 0)

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
            object.__setattr__(self, name, read_only(getattr(self, name)))


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
    image_rgb: UInt8 = field(repr=False)
    changes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Make the pixels read-only."""
        object.__setattr__(self, "image_rgb", read_only(self.image_rgb))

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
    points_lidar: Float32 = field(repr=False)
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
        object.__setattr__(self, "points_lidar", read_only(self.points_lidar))


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
