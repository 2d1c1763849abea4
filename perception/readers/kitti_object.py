"""The KITTI object benchmark: single frames with one sweep each.

    ROOT[/training]/image_2/000000.png
    ROOT[/training]/calib/000000.txt
    ROOT[/training]/velodyne/000000.bin, else velodyne_reduced/000000.bin (cropped to the image)
    ROOT[/training]/label_2/000000.txt, optional

Images differ in size. Where a folder exists, each frame should have its file there: it is planned,
and loading says what is missing. Without a folder there is no sweep, or no camera.
"""

from pathlib import Path, PurePosixPath

import numpy as np

from perception.clouds import read_points
from perception.errors import RequestError
from perception.geometry import rigid
from perception.readers import frame_images, object_camera, read_calibration
from perception.types import EMPTY_SCENE, Float64, PictureRef, SampleRef, Scene

CAMERA = "image_2"
SWEEPS = ("velodyne", "velodyne_reduced")  # in the order of preference
COLUMNS = 4  # x, y, z in metres, reflectance


def find(root: Path) -> tuple[SampleRef, ...]:
    """Plan the frames of a dataset, sorted by frame number; opens no image.

    Raises:
        RequestError: `source.invalid`, `source.empty`, `source.duplicate`, `path.outside_root`.
    """
    root = root.resolve()
    split = next((name for name in (".", "training") if (root / name / CAMERA).is_dir()), None)
    if split is None:
        raise RequestError(
            "source.invalid", f"{root}: expected a folder {CAMERA} in it or in its folder training"
        )
    base = root / split
    sweeps = _sweeps(root, base)
    has_calib = (base / "calib").is_dir()
    refs = []
    for frame, name in frame_images(root, base / CAMERA).items():
        where = PurePosixPath(split)
        folder = next((name for name in sweeps if frame in sweeps[name]), next(iter(sweeps), ""))
        refs.append(
            SampleRef(
                id=frame,
                layout="kitti",
                root=str(root),
                pictures=(PictureRef(CAMERA, str(where / CAMERA / name)),),
                sweep_file=str(where / folder / f"{frame}.bin") if folder else "",
                calib_files=(str(where / "calib" / f"{frame}.txt"),) if has_calib else (),
            )
        )
    return tuple(refs)


def load_scene(ref: SampleRef) -> Scene:
    """Read the camera and the points of a frame.

    Raises:
        SampleError: `calib.invalid`, `cloud.malformed`, `io.not_found`, `io.denied`.
    """
    root = Path(ref.root)
    cameras = tuple(object_camera(root / name, CAMERA) for name in ref.calib_files)
    points = EMPTY_SCENE.points_lidar
    if ref.sweep_file:
        points = read_points(root / ref.sweep_file, COLUMNS)
    return Scene(cameras=cameras, points_lidar=points)


def rect_from_lidar(ref: SampleRef) -> Float64:
    """Return the way from the LiDAR to the rectified frame of camera 0, in which labels stand.

    Raises:
        SampleError: `calib.invalid`, `io.not_found`, `io.denied`.
    """
    values = read_calibration(Path(ref.root) / ref.calib_files[0])
    velo = values["Tr_velo_to_cam"].reshape(3, 4)
    T_rect_from_cam0 = rigid(values["R0_rect"].reshape(3, 3), np.zeros(3))
    return T_rect_from_cam0 @ rigid(velo[:, :3], velo[:, 3])


def label_file(ref: SampleRef) -> str:
    """Return where the labels of a frame stand, relative to the root; the file may be missing."""
    image = PurePosixPath(ref.pictures[0].file_name)
    return str(image.parent.parent / "label_2" / f"{ref.id}.txt")


def _sweeps(root: Path, base: Path) -> dict[str, frozenset[str]]:
    """List the frames of each folder of sweeps that exists, in the order of preference."""
    found = {}
    for name in SWEEPS:
        if (base / name).is_dir():
            found[name] = frozenset(path.stem for path in (base / name).glob("*.bin"))
    return found
