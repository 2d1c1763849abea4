"""One drive of the KITTI raw data, synchronised and rectified: images and sweeps at 10 Hz.

    DRIVE/image_02/data/0000000000.png
    DRIVE/velodyne_points/data/0000000000.bin

Calibration is the drive's own pair calib_cam_to_cam.txt and calib_velo_to_cam.txt, looked for in
the drive, in the folder of the date above it, and in raw_calib*/ of the drive; where neither file
of the pair is found, an object-style calib.txt in the drive. The pair wins: it states the size of
the image too. Frames whose sweep KITTI dropped are planned, and loading says what is missing.
"""

from pathlib import Path

import numpy as np

from perception.clouds import read_points
from perception.errors import RequestError, SampleError
from perception.geometry import rigid
from perception.images import probe_image
from perception.readers import (
    calibration_matrix,
    camera_of_projection,
    frame_images,
    object_camera,
    read_calibration,
    rotation_matrix,
)
from perception.types import EMPTY_SCENE, Camera, PictureRef, SampleRef, Scene

CAMERA = "image_02"
SWEEPS = "velodyne_points/data"
COLUMNS = 4  # x, y, z in metres, reflectance
CAM_TO_CAM, VELO_TO_CAM = "calib_cam_to_cam.txt", "calib_velo_to_cam.txt"
CAM_VARIANT = "a raw drive's calib_cam_to_cam.txt (P_rect_02, R_rect_00, S_rect_02)"
VELO_VARIANT = "a raw drive's calib_velo_to_cam.txt (R, T)"


def find(root: Path) -> tuple[SampleRef, ...]:
    """Plan the frames of a drive, sorted by frame number; opens no image.

    Raises:
        RequestError: `source.invalid`, `source.empty`, `source.duplicate`, `path.outside_root`.
    """
    root = root.resolve()
    if not (root / CAMERA / "data").is_dir():
        raise RequestError("source.invalid", f"{root}: expected a drive, with {CAMERA}/data in it")
    has_sweeps = (root / SWEEPS).is_dir()
    calib_files = _calib_files(root)
    return tuple(
        SampleRef(
            id=frame,
            layout="kitti-raw",
            root=str(root),
            pictures=(PictureRef(CAMERA, f"{CAMERA}/data/{name}"),),
            sweep_file=f"{SWEEPS}/{frame}.bin" if has_sweeps else "",
            calib_files=calib_files,
        )
        for frame, name in frame_images(root, root / CAMERA / "data").items()
    )


def load_scene(ref: SampleRef) -> Scene:
    """Read the camera and the points of a frame; of the image, its header.

    Raises:
        SampleError: `calib.invalid`, `size.mismatch`, `cloud.malformed`, `io.not_found`,
            `io.denied`; `image.*` where the size of the image is checked and cannot be read.
    """
    root = Path(ref.root)
    _check_size(ref)
    points = EMPTY_SCENE.points_lidar
    if ref.sweep_file:
        points = read_points(root / ref.sweep_file, COLUMNS)
    return Scene(cameras=_cameras(root, ref.calib_files), points_lidar=points)


def expected_size(ref: SampleRef) -> tuple[int, int] | None:
    """Return the (height, width) that the calibration is for; None where it does not say.

    Raises:
        SampleError: `calib.invalid`, `io.not_found`, `io.denied`.
    """
    if len(ref.calib_files) < 2:
        return None
    path = Path(ref.root) / ref.calib_files[0]
    width, height = calibration_matrix(read_calibration(path), "S_rect_02", (2,), path, CAM_VARIANT)
    return int(height), int(width)


def _check_size(ref: SampleRef) -> None:
    expected = expected_size(ref)
    if expected is None:
        return
    path = Path(ref.root) / ref.pictures[0].file_name
    found = probe_image(path)
    if found != expected:
        raise SampleError(
            "size.mismatch",
            f"{path} is {found[1]} x {found[0]} px, the calibration {ref.calib_files[0]} is for "
            f"{expected[1]} x {expected[0]} (S_rect_02); use the calibration of the drive's date",
        )


def _calib_files(root: Path) -> tuple[str, ...]:
    """Return the pair, an object-style file or nothing; relative to the root, `../` included."""
    folders = [".", "..", *sorted(path.name for path in root.glob("raw_calib*") if path.is_dir())]
    for folder in folders:
        if any((root / folder / name).is_file() for name in (CAM_TO_CAM, VELO_TO_CAM)):
            prefix = "" if folder == "." else f"{folder}/"
            return f"{prefix}{CAM_TO_CAM}", f"{prefix}{VELO_TO_CAM}"
    return ("calib.txt",) if (root / "calib.txt").is_file() else ()


def _cameras(root: Path, calib_files: tuple[str, ...]) -> tuple[Camera, ...]:
    if len(calib_files) < 2:
        return tuple(object_camera(root / name, CAMERA) for name in calib_files)
    cam_path, velo_path = (root / name for name in calib_files)
    cam, velo = read_calibration(cam_path), read_calibration(velo_path)
    P = calibration_matrix(cam, "P_rect_02", (3, 4), cam_path, CAM_VARIANT)
    # Points come through camera 0: its rectifying rotation, never that of camera 2.
    rectification = rotation_matrix(cam, "R_rect_00", cam_path, CAM_VARIANT)
    R = rotation_matrix(velo, "R", velo_path, VELO_VARIANT)
    translation_m = calibration_matrix(velo, "T", (3,), velo_path, VELO_VARIANT)
    T_rect_from_ref, T_ref_from_lidar = rigid(rectification, np.zeros(3)), rigid(R, translation_m)
    T_rect_from_lidar = T_rect_from_ref @ T_ref_from_lidar
    return (camera_of_projection(CAMERA, P, T_rect_from_lidar, "P_rect_02", cam_path),)
