"""One drive of the KITTI raw data, synchronised and rectified: images and sweeps at 10 Hz.

    DRIVE/image_02/data/0000000000.png
    DRIVE/velodyne_points/data/0000000000.bin

Calibration is the drive's own pair calib_cam_to_cam.txt and calib_velo_to_cam.txt, looked for in
the drive, in the folder of the date above it, and in raw_calib*/ of the drive; where neither file
of the pair is found, an object-style calib.txt in the drive. The pair wins: it states the size of
the image too. Frames whose sweep KITTI dropped are planned, and loading says what is missing.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from perception.core.errors import RequestError
from perception.core.geometry import rigid
from perception.core.types import Camera, PictureRef, SampleRef, Scene
from perception.io.clouds import NO_SWEEP, read_sweep
from perception.readers import frame_images, frame_sweeps
from perception.readers.kitti_calib import (
    camera_of_projection,
    object_camera,
    read_calibration,
    refuse_inverse,
)
from perception.readers.known_layouts import hint_for
from perception.readers.layout import Layout

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
        raise RequestError(
            "source.invalid",
            f"{root}: expected a drive, with {CAMERA}/data in it{hint_for(root)}",
        )
    images = frame_images(root / CAMERA / "data")
    sweeps, has_sweeps = frame_sweeps(root / SWEEPS, images), (root / SWEEPS).is_dir()
    calib_files = _calib_files(root)
    return tuple(
        SampleRef(
            id=frame,
            layout="kitti-raw",
            root=str(root),
            pictures=(PictureRef(CAMERA, f"{CAMERA}/data/{name}"),),
            sweep_file=f"{SWEEPS}/{sweeps.get(frame, f'{frame}.bin')}" if has_sweeps else "",
            calib_files=calib_files,
        )
        for frame, name in images.items()
    )


def load_scene(ref: SampleRef) -> Scene:
    """Read the camera and the points of a frame.

    Raises:
        SampleError: `calib.invalid`, `cloud.malformed`, `io.not_found`, `io.denied`.
    """
    root = Path(ref.root)
    sweep = NO_SWEEP
    if ref.sweep_file:
        sweep = read_sweep(root / ref.sweep_file, ref.columns or COLUMNS)
    cameras, remarks = _cameras(root, ref.calib_files)
    return Scene(cameras, sweep.points_lidar, remarks=remarks + sweep.remarks)


def _calib_files(root: Path) -> tuple[str, ...]:
    """Return the pair, an object-style file or nothing; relative to the root, `../` included."""
    folders = [".", "..", *sorted(path.name for path in root.glob("raw_calib*") if path.is_dir())]
    for folder in folders:
        if any((root / folder / name).is_file() for name in (CAM_TO_CAM, VELO_TO_CAM)):
            prefix = "" if folder == "." else f"{folder}/"
            return f"{prefix}{CAM_TO_CAM}", f"{prefix}{VELO_TO_CAM}"
    return ("calib.txt",) if (root / "calib.txt").is_file() else ()


def _cameras(
    root: Path, calib_files: tuple[str, ...]
) -> tuple[tuple[Camera, ...], tuple[str, ...]]:
    """Return the camera, or none without calibration, and what is odd about it."""
    if not calib_files:
        return (), ()
    if len(calib_files) == 1:
        camera, remarks = object_camera(root / calib_files[0], CAMERA)
        return (camera,), remarks
    cam, velo = (read_calibration(root / name) for name in calib_files)
    P = cam.matrix("P_rect_02", (3, 4), CAM_VARIANT)
    # Points come through camera 0: its rectifying rotation, never that of camera 2.
    rectification = cam.rotation("R_rect_00", CAM_VARIANT)
    T_ref_from_lidar = rigid(velo.rotation("R", VELO_VARIANT), velo.matrix("T", (3,), VELO_VARIANT))
    refuse_inverse(T_ref_from_lidar, "R", velo)
    T_rect_from_lidar = rigid(rectification, np.zeros(3)) @ T_ref_from_lidar
    camera = camera_of_projection(CAMERA, P, T_rect_from_lidar, "P_rect_02", cam)
    width, height = cam.matrix("S_rect_02", (2,), CAM_VARIANT)
    return (replace(camera, size_hw=(int(height), int(width))),), ()


LAYOUT = Layout("kitti-raw", is_recording=True, frame_numbers=True)
