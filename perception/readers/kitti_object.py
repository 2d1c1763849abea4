"""The KITTI object benchmark: single frames with one sweep each.

    ROOT[/training]/image_2/000000.png
    ROOT[/training]/calib/000000.txt
    ROOT[/training]/velodyne/000000.bin, .npy, .pcd, .ply or .txt; else of velodyne_reduced, cropped
                                          to the image
    ROOT[/training]/label_2/000000.txt, optional

Images differ in size. Where a folder exists, each frame should have its file there: it is planned,
and loading says what is missing. Without a folder there is no sweep, or no camera.
"""

from pathlib import Path, PurePosixPath

from perception.core.errors import RequestError
from perception.core.types import Float64, PictureRef, SampleRef, Scene
from perception.io.clouds import NO_SWEEP, read_sweep
from perception.readers import frame_images, frame_sweeps
from perception.readers.kitti_calib import object_camera, read_calibration
from perception.readers.kitti_calib import rect_from_lidar as rect_from_lidar_of
from perception.readers.known_layouts import hint_for
from perception.readers.layout import Layout

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
            "source.invalid",
            f"{root}: expected a folder {CAMERA} in it or in its folder training{hint_for(root)}",
        )
    base = root / split
    images = frame_images(base / CAMERA)
    sweeps = {name: frame_sweeps(base / name, images) for name in SWEEPS if (base / name).is_dir()}
    has_calib = (base / "calib").is_dir()
    refs = []
    for frame, name in images.items():
        where = PurePosixPath(split)
        folder = next((name for name in sweeps if frame in sweeps[name]), next(iter(sweeps), ""))
        sweep = sweeps.get(folder, {}).get(frame, f"{frame}.bin")
        refs.append(
            SampleRef(
                id=frame,
                layout="kitti",
                root=str(root),
                pictures=(PictureRef(CAMERA, str(where / CAMERA / name)),),
                sweep_file=str(where / folder / sweep) if folder else "",
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
    sweep = NO_SWEEP
    if ref.sweep_file:
        sweep = read_sweep(root / ref.sweep_file, ref.columns or COLUMNS)
    if not ref.calib_files:
        return Scene((), sweep.points_lidar, remarks=sweep.remarks)
    camera, remarks = object_camera(root / ref.calib_files[0], CAMERA)
    return Scene((camera,), sweep.points_lidar, remarks=remarks + sweep.remarks)


def rect_from_lidar(ref: SampleRef) -> Float64:
    """Return the way from the LiDAR to the rectified frame of camera 0, in which labels stand.

    Raises:
        SampleError: `calib.invalid`, `io.not_found`, `io.denied`.
    """
    return rect_from_lidar_of(read_calibration(Path(ref.root) / ref.calib_files[0]))[0]


def label_file(ref: SampleRef) -> str:
    """Return where the labels of a frame stand, relative to the root; the file may be missing."""
    image = PurePosixPath(ref.pictures[0].file_name)
    return str(image.parent.parent / "label_2" / f"{ref.id}.txt")


LAYOUT = Layout("kitti", frame_numbers=True, own_boxes="label_2", rect_from_lidar=rect_from_lidar)
