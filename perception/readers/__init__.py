"""Readers: one file per dataset layout, each with `find(root)` and `load_scene(ref)`.

Here stands what the KITTI layouts share: names of frames, and calibration. A camera is stored as K
and a rigid transform, KITTI gives a 3x4 projection: with P = [K | p] and X in the rectified frame,

    P (X, 1) = K X + p = K (X + K^-1 p),

so K = P[:, :3] and T_cam_from_rect = translation by K^-1 p: nothing of P is lost, its third row
(0.00498 in 000000.txt) included. Sources: the readme of the object devkit; Geiger et al., "Vision
meets Robotics", IJRR 2013, equations 4-8.
"""

from pathlib import Path

import numpy as np

from perception.errors import RequestError, SampleError
from perception.files import opened
from perception.geometry import rigid, rotation_fault
from perception.types import Camera, Float64

MAX_CALIBRATION_BYTES = 1 << 20
TEXT_KEYS = frozenset({"calib_time"})  # the raw files' date
OBJECT_VARIANT = "the object benchmark's calib (P2, R0_rect, Tr_velo_to_cam)"


def check_name(file_name: str, where: Path) -> None:
    """Refuse a name that no text file of ours could hold.

    Raises:
        RequestError: `path.invalid` for a line break, a NUL or bytes that are not UTF-8.
    """
    try:
        file_name.encode()
        if not any(character in file_name for character in "\n\r\0"):
            return
    except UnicodeEncodeError:
        pass
    raise RequestError(
        "path.invalid", f"{where}: {file_name!r} holds a line break, NUL or no UTF-8; rename it"
    )


def inside(root: Path, path: Path) -> bool:
    """Tell whether `path`, symlinks followed, lies in `root` (resolved)."""
    try:
        return path.resolve().is_relative_to(root)
    except RuntimeError:  # a loop of symlinks leads nowhere; opening it fails
        return True


def frame_images(root: Path, folder: Path) -> dict[str, str]:
    """List the frames of a folder of images: frame name to file name, sorted.

    Raises:
        RequestError: `source.duplicate` for a frame with two images, `source.empty`,
            `path.invalid`.
    """
    frames: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in {".png", ".jpg"}:
            continue
        check_name(path.name, folder)
        if path.stem in frames:
            raise RequestError(
                "source.duplicate", f"{folder}: {frames[path.stem]} and {path.name} are one frame"
            )
        frames[path.stem] = path.name
    if not frames:
        raise RequestError("source.empty", f"{folder} holds no .png or .jpg")
    return dict(sorted(frames.items()))


def read_calibration(path: Path) -> dict[str, Float64]:
    """Read lines of `key: numbers`.

    Raises:
        SampleError: `calib.invalid` naming the file, the line or the key; `io.not_found`,
            `io.denied`.
    """
    with opened(path) as stream:
        data = stream.read(MAX_CALIBRATION_BYTES + 1)
    if len(data) > MAX_CALIBRATION_BYTES:
        raise _invalid(path, f"more than {MAX_CALIBRATION_BYTES} bytes, expected calibration text")
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError:
        raise _invalid(path, "is not text, expected lines of `key: numbers`") from None
    values: dict[str, Float64] = {}
    for number, line in enumerate(lines, start=1):
        key, colon, text = line.partition(":")
        key = key.strip()
        if not line.strip() or key in TEXT_KEYS:
            continue
        if not colon:  # the tracking benchmark's `R_rect` and `Tr_velo_cam`
            raise _invalid(path, f"line {number} is {line[:40]!r}, expected `key: numbers`")
        if key in values:
            raise _invalid(path, f"{key} stands there twice")
        try:
            values[key] = np.array([float(word) for word in text.split()])
        except ValueError as error:
            raise _invalid(path, f"{key}: {error}") from None
    return values


def calibration_matrix(
    values: dict[str, Float64], key: str, shape: tuple[int, ...], path: Path, variant: str
) -> Float64:
    """Return one entry of a calibration file in its shape, row-major.

    Raises:
        SampleError: `calib.invalid` naming the file, the key and the variant of file expected.
    """
    expected = f"expected {variant}"
    if key not in values:
        raise _invalid(path, f"has no {key}, {expected}; found {_variant_of(values)}")
    entry = values[key]
    if entry.size != np.prod(shape):
        dimensions = "x".join(str(length) for length in shape)
        raise _invalid(path, f"{key} has {entry.size} numbers, not {dimensions}; {expected}")
    if not np.isfinite(entry).all():
        raise _invalid(path, f"{key} has numbers that are not finite")
    return entry.reshape(shape)


def rotation_matrix(values: dict[str, Float64], key: str, path: Path, variant: str) -> Float64:
    """Return one (3, 3) entry of a calibration file that is a rotation.

    Raises:
        SampleError: `calib.invalid`.
    """
    R = calibration_matrix(values, key, (3, 3), path, variant)
    _check_rotation(R, key, path)
    return R


def intrinsics_fault(K: Float64) -> str:
    """Say why `K` holds no intrinsics of a camera; "" if it does."""
    if K.shape != (3, 3):
        return f"intrinsics of shape {K.shape}, expected (3, 3)"
    if not np.isfinite(K).all():
        return "intrinsics that are not finite"
    if K[0, 0] <= 0 or K[1, 1] <= 0:
        return f"has focal lengths {K[0, 0]:g}, {K[1, 1]:g} px, expected > 0"
    if not np.allclose(K[2], [0, 0, 1]) or K[1, 0] != 0:
        return f"is no projection: in place of intrinsics stands {K.tolist()}"
    return ""


def camera_of_projection(
    name: str, P: Float64, T_rect_from_lidar: Float64, key: str, path: Path
) -> Camera:
    """Split a (3, 4) projection of the rectified frame, as the head of this file shows.

    Raises:
        SampleError: `calib.invalid` if the left part of P is no camera matrix.
    """
    K = P[:, :3]
    if fault := intrinsics_fault(K):
        raise _invalid(path, f"{key} {fault}")
    translation_m: Float64 = np.linalg.solve(K, P[:, 3]).astype(np.float64)
    T_cam_from_rect = rigid(np.eye(3), translation_m)
    return Camera(name=name, K=K, T_cam_from_lidar=T_cam_from_rect @ T_rect_from_lidar)


def object_camera(path: Path, name: str) -> Camera:
    """Read the left colour camera of an object-style calibration file.

    Raises:
        SampleError: `calib.invalid`, `io.not_found`, `io.denied`.
    """
    values = read_calibration(path)
    P = calibration_matrix(values, "P2", (3, 4), path, OBJECT_VARIANT)
    R = rotation_matrix(values, "R0_rect", path, OBJECT_VARIANT)
    velo = calibration_matrix(values, "Tr_velo_to_cam", (3, 4), path, OBJECT_VARIANT)
    _check_rotation(velo[:, :3], "Tr_velo_to_cam", path)
    T_rect_from_ref = rigid(R, np.zeros(3))
    T_ref_from_lidar = rigid(velo[:, :3], velo[:, 3])
    return camera_of_projection(name, P, T_rect_from_ref @ T_ref_from_lidar, "P2", path)


def _check_rotation(R: Float64, key: str, path: Path) -> None:
    if fault := rotation_fault(R):
        raise _invalid(path, f"the rotation of {key} {fault}")


def _variant_of(values: dict[str, Float64]) -> str:
    if "P_rect_02" in values:
        return "a raw drive's calib_cam_to_cam.txt"
    if {"R", "T"} <= values.keys():
        return "a raw drive's calib_velo_to_cam.txt or calib_imu_to_velo.txt"
    if "Tr" in values:
        return "an odometry file (`Tr`, with the rectification folded in)"
    if "Tr_velo_cam" in values:
        return "a tracking file (`R_rect`, `Tr_velo_cam`)"
    return f"the keys {', '.join(sorted(values)[:12]) or 'none'}"


def _invalid(path: Path, message: str) -> SampleError:
    return SampleError("calib.invalid", f"{path}: {message}")
