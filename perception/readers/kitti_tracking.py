"""The KITTI tracking benchmark: sequences of frames with one sweep each.

    ROOT[/training]/image_02/0000/000000.png
    ROOT[/training]/velodyne/0000/000000.bin, .npy, .pcd, .ply or .txt
    ROOT[/training]/calib/0000.txt      one for a sequence; `R_rect` and `Tr_velo_cam`, no colons
    ROOT[/training]/label_02/0000.txt   rows of all frames of a sequence; not read here

A sample is a frame, its id "0000/000000". Where a folder of sweeps exists, each frame should have
its file there: it is planned, and loading says what is missing (sequence 0001 lacks four).
Source: the readme of the tracking devkit.
"""

from pathlib import Path, PurePosixPath

from perception.core.errors import RequestError
from perception.core.types import PictureRef, SampleRef, Scene
from perception.io.clouds import NO_SWEEP, read_sweep
from perception.readers import frame_images, frame_sweeps
from perception.readers.kitti_calib import object_camera
from perception.readers.known_layouts import hint_for, sequences
from perception.readers.layout import Layout

CAMERA = "image_02"
SWEEPS = "velodyne"
COLUMNS = 4  # x, y, z in metres, reflectance


def find(root: Path) -> tuple[SampleRef, ...]:
    """Plan the frames of all sequences, sorted by id; opens no image.

    Raises:
        RequestError: `source.invalid`, `source.empty`, `source.duplicate`, `path.invalid`.
    """
    root = root.resolve()
    split = next((name for name in (".", "training") if sequences(root / name / CAMERA)), None)
    if split is None:
        raise RequestError(
            "source.invalid",
            f"{root}: expected folders such as {CAMERA}/0000 in it or in its folder training"
            f"{hint_for(root)}",
        )
    found: list[SampleRef] = []
    for folder in sequences(root / split / CAMERA):
        found += _sequence(root, PurePosixPath(split), folder.name)
    return tuple(found)


def _sequence(root: Path, split: PurePosixPath, name: str) -> list[SampleRef]:
    images = frame_images(root / split / CAMERA / name)
    place = split / SWEEPS / name
    has_sweeps = (root / place).is_dir()
    sweeps = frame_sweeps(root / place, images)
    calib = split / "calib" / f"{name}.txt"
    return [
        SampleRef(
            id=f"{name}/{frame}",
            layout="kitti-tracking",
            root=str(root),
            pictures=(PictureRef(CAMERA, str(split / CAMERA / name / image)),),
            sweep_file=str(place / sweeps.get(frame, f"{frame}.bin")) if has_sweeps else "",
            calib_files=(str(calib),) if (root / calib).is_file() else (),
        )
        for frame, image in images.items()
    ]


def load_scene(ref: SampleRef) -> Scene:
    """Read the camera and the points of a frame.

    Raises:
        SampleError: `calib.invalid`, `cloud.malformed`, `io.not_found`, `io.denied`.
    """
    root, sweep = Path(ref.root), NO_SWEEP
    if ref.sweep_file:
        sweep = read_sweep(root / ref.sweep_file, ref.columns or COLUMNS)
    if not ref.calib_files:
        return Scene((), sweep.points_lidar, remarks=sweep.remarks)
    camera, remarks = object_camera(root / ref.calib_files[0], CAMERA)
    return Scene((camera,), sweep.points_lidar, remarks=remarks + sweep.remarks)


LAYOUT = Layout("kitti-tracking", is_recording=True, own_boxes="label_02")
