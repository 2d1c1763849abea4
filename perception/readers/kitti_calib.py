"""KITTI's calibration files, and those that converters of own data write after them.

A camera is stored as K and a rigid transform, KITTI gives a 3x4 projection: with P = [K | p] and X
in the rectified frame,

    P (X, 1) = K X + p = K (X + K^-1 p),

so K = P[:, :3] and T_cam_from_rect = translation by K^-1 p: nothing of P is lost, its third row
(0.00498 in 000000.txt) included. Sources: the readme of the object devkit; Geiger et al., "Vision
meets Robotics", IJRR 2013, equations 4-8.

Only what is asked for is parsed: a fault in a line that nobody reads is no fault. Matrices may be
4x4, the tracking benchmark has other names and leaves out colons, and a transform that is given the
other way round is turned round and told.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perception.core.errors import SampleError
from perception.core.geometry import intrinsics_fault, inverse, rigid, rotation_fault
from perception.core.types import Camera, Float64
from perception.io.files import read_shared

MAX_CALIBRATION_BYTES = 1 << 20
OBJECT_VARIANT = "the object benchmark's calib (P2, R0_rect, Tr_velo_to_cam)"
RECTIFICATION = ("R0_rect", "R_rect", "R_rect_00", "R_rect_0")  # all of camera 0
LIDAR_TO_CAMERA = ("Tr_velo_to_cam", "Tr_velo_cam")
CAMERA_TO_LIDAR = ("Tr_cam_to_velo", "Tr_cam_velo")
_UPRIGHT = 0.5  # cosine: a camera's y points down within 60 degrees


@dataclass(frozen=True)
class Calibration:
    """The lines of a calibration file by their keys, unparsed.

    Attributes:
        path: The file, for messages.
        entries: Key to the text of each line that has it.
    """

    path: Path
    entries: dict[str, tuple[str, ...]]

    def numbers(self, key: str) -> Float64:
        """Return the numbers of an entry.

        Raises:
            SampleError: `calib.invalid` for a key that is missing or stands there twice, and for
                what is no finite number.
        """
        texts = self.entries.get(key, ())
        if len(texts) != 1:
            raise self.fault(f"{key} stands there twice" if texts else f"has no {key}")
        words = texts[0].split()
        try:
            if not all(word.isascii() and "_" not in word for word in words):
                raise ValueError(f"{texts[0][:40]!r} is not all numbers")
            values = np.array([float(word) for word in words], np.float64)
        except ValueError as error:
            raise self.fault(f"{key}: {error}") from None
        if not np.isfinite(values).all():
            raise self.fault(f"{key} has numbers that are not finite")
        return values

    def matrix(self, key: str, shape: tuple[int, ...], variant: str) -> Float64:
        """Return an entry in its shape, row-major; a 4x4 that holds no more is cut.

        Args:
            key: Its name.
            shape: (3, 4), (3, 3), or (n,).
            variant: What the file is expected to be, for messages.

        Raises:
            SampleError: `calib.invalid`.
        """
        if key not in self.entries:
            raise self.fault(f"has no {key}, expected {variant}; found {self._variant()}")
        values = self.numbers(key)
        if len(shape) == 2 and values.size == 16 and (values[12:] == [0, 0, 0, 1]).all():
            values = values[:12]
        if shape == (3, 3) and values.size == 12 and not values[3::4].any():
            values = values.reshape(3, 4)[:, :3].ravel()
        if values.size != np.prod(shape):
            dimensions = "x".join(str(length) for length in shape)
            raise self.fault(
                f"{key} has {values.size} numbers, not {dimensions}; expected {variant}"
            )
        return values.reshape(shape)

    def rotation(self, key: str, variant: str) -> Float64:
        """Return a (3, 3) entry that is a rotation; raises as `matrix`."""
        R = self.matrix(key, (3, 3), variant)
        if fault := rotation_fault(R):
            raise self.fault(f"the rotation of {key} {fault}")
        return R

    def pose(self, key: str, variant: str) -> Float64:
        """Return a (3, 4) entry as a rigid transform, (4, 4); raises as `matrix`."""
        velo = self.matrix(key, (3, 4), variant)
        if fault := rotation_fault(velo[:, :3]):
            raise self.fault(f"the rotation of {key} {fault}")
        return rigid(velo[:, :3], velo[:, 3])

    def first_of(self, keys: tuple[str, ...]) -> str:
        """Return the first of some names that the file has; "" for none."""
        return next((key for key in keys if key in self.entries), "")

    def fault(self, message: str) -> SampleError:
        """Return the error of this file."""
        return SampleError("calib.invalid", f"{self.path}: {message}")

    def _variant(self) -> str:
        keys = self.entries.keys()
        if "P_rect_02" in keys:
            return "a raw drive's calib_cam_to_cam.txt"
        if {"R", "T"} <= keys:
            return "a raw drive's calib_velo_to_cam.txt or calib_imu_to_velo.txt"
        if "Tr" in keys:
            return "an odometry file (`Tr`, with the rectification folded in)"
        shown = ", ".join(repr(key)[1:-1] for key in sorted(keys)[:12])
        return f"the keys {shown or 'none'}"


def read_calibration(path: Path) -> Calibration:
    """Read lines of `key: numbers`; the colon may be missing, # begins a comment.

    Raises:
        SampleError: `calib.invalid` for what is no text; `io.not_found`, `io.denied`.
    """
    data = read_shared(path, MAX_CALIBRATION_BYTES + 1)
    if len(data) > MAX_CALIBRATION_BYTES:
        raise SampleError(
            "calib.invalid",
            f"{path}: more than {MAX_CALIBRATION_BYTES} bytes, expected calibration text",
        )
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise SampleError(
            "calib.invalid", f"{path}: is not UTF-8 text, expected lines of `key: numbers`"
        ) from None
    entries: dict[str, tuple[str, ...]] = {}
    for line in lines:
        key, colon, text = line.partition(":")
        if not colon or len(key.split()) > 1:
            key, text = (*line.split(maxsplit=1), "", "")[:2]
        key = key.strip()
        if key and not key.startswith("#"):
            entries[key] = (*entries.get(key, ()), text)
    return Calibration(path, entries)


def camera_of_projection(
    name: str, P: Float64, T_rect_from_lidar: Float64, key: str, calibration: Calibration
) -> Camera:
    """Split a (3, 4) projection of the rectified frame, as the head of this file shows.

    Raises:
        SampleError: `calib.invalid` if the left part of P is no camera matrix.
    """
    K = P[:, :3]
    if fault := intrinsics_fault(K):
        raise calibration.fault(f"{key} {fault}")
    translation_m: Float64 = np.linalg.solve(K, P[:, 3]).astype(np.float64)
    T_cam_from_rect = rigid(np.eye(3), translation_m)
    return Camera(name=name, K=K, T_cam_from_lidar=T_cam_from_rect @ T_rect_from_lidar)


def object_camera(path: Path, name: str) -> tuple[Camera, tuple[str, ...]]:
    """Read the left colour camera of an object or tracking file, and what is odd about it.

    Raises:
        SampleError: `calib.invalid`, `io.not_found`, `io.denied`.
    """
    calibration = read_calibration(path)
    if "P2" not in calibration.entries and "P0" in calibration.entries:
        raise calibration.fault(
            f"has no P2, the camera of the pictures in {name}, but P0; expected {OBJECT_VARIANT}: "
            "if P0 is the camera of these pictures, name it P2"
        )
    P = calibration.matrix("P2", (3, 4), OBJECT_VARIANT)
    T_rect_from_lidar, remarks = rect_from_lidar(calibration)
    return camera_of_projection(name, P, T_rect_from_lidar, "P2", calibration), remarks


def rect_from_lidar(calibration: Calibration) -> tuple[Float64, tuple[str, ...]]:
    """Return the way from the LiDAR to the rectified frame of camera 0, and what is odd about it.

    Raises:
        SampleError: `calib.invalid`.
    """
    key = calibration.first_of(RECTIFICATION)
    if not key:
        other = calibration.first_of(("R_rect_02", "R2_rect"))
        hint = f"; its {other} is camera 2's own, points come through camera 0" if other else ""
        raise calibration.fault(
            f"has no R0_rect, expected {OBJECT_VARIANT}{hint}; if the pictures need no rectifying, "
            "add `R0_rect: 1 0 0 0 1 0 0 0 1`"
        )
    T_rect_from_cam0 = rigid(calibration.rotation(key, OBJECT_VARIANT), np.zeros(3))
    forward, backward = (calibration.first_of(k) for k in (LIDAR_TO_CAMERA, CAMERA_TO_LIDAR))
    if backward and not forward:
        T_cam0_from_lidar = inverse(calibration.pose(backward, OBJECT_VARIANT))
        remarks = (f"{calibration.path}: {backward} leads from the camera to the LiDAR: inverted",)
        return T_rect_from_cam0 @ T_cam0_from_lidar, remarks
    key = forward or LIDAR_TO_CAMERA[0]
    T_cam0_from_lidar = calibration.pose(key, OBJECT_VARIANT)
    refuse_inverse(T_cam0_from_lidar, key, calibration)
    return T_rect_from_cam0 @ T_cam0_from_lidar, ()


def refuse_inverse(T_cam_from_lidar: Float64, key: str, calibration: Calibration) -> None:
    """Refuse a transform that puts the camera on its side, and whose inverse sets it upright.

    Raises:
        SampleError: `calib.invalid`.
    """
    # Camera y points down, LiDAR z up: of an upright camera their cosine is near -1.
    if T_cam_from_lidar[1, 2] > -_UPRIGHT > T_cam_from_lidar[2, 1]:
        raise calibration.fault(
            f"{key} looks like the way from the camera to the LiDAR: the camera would lie on its "
            f"side; expected LiDAR to camera, write the inverse, or name it {CAMERA_TO_LIDAR[0]}"
        )
