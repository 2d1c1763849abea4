"""KITTI odometry and SemanticKITTI: sequences of frames with one sweep each.

    ROOT[/dataset]/sequences/08/image_2/000123.png      left colour images
    ROOT[/dataset]/sequences/08/velodyne/000123.bin     float32 x, y, z, remission
    ROOT[/dataset]/sequences/08/calib.txt               P0 to P3 and Tr; rectification is folded in
    ROOT[/dataset]/sequences/08/times.txt               seconds, one line a frame; optional
    ROOT[/dataset]/sequences/08/poses.txt               camera 0 in the first frame; not read here
    ROOT[/dataset]/sequences/08/labels/000123.label     SemanticKITTI; not read here

A sample is a frame, its id "08/000123". The images come from KITTI odometry (color), for the 22
sequences of both; SemanticKITTI has none of its own, and a sequence without images is passed over.
Sources: the readme of the odometry devkit; https://github.com/PRBonn/semantic-kitti-api.
"""

from pathlib import Path

from perception.core.errors import RequestError, SampleError
from perception.core.types import Camera, PictureRef, SampleRef, Scene
from perception.io.clouds import NO_SWEEP, read_sweep
from perception.io.files import read_shared
from perception.readers import frame_images, frame_sweeps
from perception.readers.kitti_calib import camera_of_projection, read_calibration, refuse_inverse
from perception.readers.known_layouts import hint_for
from perception.readers.layout import Layout

CAMERA = "image_2"
COLUMNS = 4  # x, y, z in metres, remission
CALIB, TIMES = "calib.txt", "times.txt"
MAX_TIMES_BYTES = 1 << 24
VARIANT = "an odometry file (P0 to P3 and Tr)"


def find(root: Path) -> tuple[SampleRef, ...]:
    """Plan the frames of all sequences that have images, sorted by id; opens no image.

    Raises:
        RequestError: `source.invalid`, `source.empty`, `source.duplicate`, `path.outside_root`,
            `path.invalid`.
    """
    root = root.resolve()
    prefix = next((p for p in ("", "dataset/") if (root / f"{p}sequences").is_dir()), None)
    if prefix is None:
        raise RequestError(
            "source.invalid",
            f"{root}: expected a folder sequences in it or in its folder dataset{hint_for(root)}",
        )
    refs = []
    for folder in sorted((root / f"{prefix}sequences").iterdir()):
        if (folder / CAMERA).is_dir():
            refs += _sequence(root, f"{prefix}sequences/{folder.name}")
    if not refs:
        raise RequestError(
            "source.empty", f"{root / prefix / 'sequences'}: no sequence has a folder {CAMERA}"
        )
    return tuple(refs)


def _sequence(root: Path, where: str) -> list[SampleRef]:
    images = frame_images(root / where / CAMERA)
    folder = root / where / "velodyne"
    sweeps, has_sweeps = frame_sweeps(folder, images), folder.is_dir()
    calib_files = tuple(
        f"{where}/{name}" for name in (CALIB, TIMES) if (root / where / name).is_file()
    )
    return [
        SampleRef(
            id=f"{Path(where).name}/{frame}",
            layout="semantic-kitti",
            root=str(root),
            pictures=(PictureRef(CAMERA, f"{where}/{CAMERA}/{name}"),),
            sweep_file=f"{where}/velodyne/{sweeps.get(frame, f'{frame}.bin')}"
            if has_sweeps
            else "",
            calib_files=calib_files,
        )
        for frame, name in images.items()
    ]


def load_scene(ref: SampleRef) -> Scene:
    """Read the camera and the points of a frame.

    Raises:
        SampleError: `calib.invalid`, `sync.gap` for a frame without a time of its own,
            `cloud.malformed`, `io.not_found`, `io.denied`.
    """
    root, cameras = Path(ref.root), []
    for name in ref.calib_files:
        if name.endswith(TIMES):
            _check_time(root / name, ref)
        else:
            cameras.append(_camera(root / name))
    sweep = NO_SWEEP
    if ref.sweep_file:
        sweep = read_sweep(root / ref.sweep_file, ref.columns or COLUMNS)
    return Scene(cameras=tuple(cameras), points_lidar=sweep.points_lidar, remarks=sweep.remarks)


def _camera(path: Path) -> Camera:
    calibration = read_calibration(path)
    P = calibration.matrix("P2", (3, 4), VARIANT)
    T_rect_from_lidar = calibration.pose("Tr", VARIANT)
    refuse_inverse(T_rect_from_lidar, "Tr", calibration)
    return camera_of_projection(CAMERA, P, T_rect_from_lidar, "P2", calibration)


def _check_time(path: Path, ref: SampleRef) -> None:
    """Refuse a frame that the times leave out, or that is no later than the one before it."""
    lines = read_shared(path, MAX_TIMES_BYTES).split()
    frame = ref.id.rpartition("/")[2]
    number = int(frame) if frame.isascii() and frame.isdigit() else len(lines)
    try:
        times_s = [float(line) for line in lines[max(number - 1, 0) : number + 1]]
    except ValueError as error:
        raise SampleError("calib.invalid", f"{path}: line {number + 1}: {error}") from error
    if number >= len(lines):
        raise SampleError("sync.gap", f"{path}: {len(lines)} times, none for frame {frame}")
    if number and not times_s[1] > times_s[0]:
        raise SampleError(
            "sync.gap",
            f"{path}: frame {frame} is {times_s[1] - times_s[0]:+.6f} s from the frame before it, "
            "expected more than 0 s",
        )


def _points_file(sample_id: str) -> str:
    """Return where semantic-kitti-api looks for the labels of "08/000123"."""
    sequence, _, frame = sample_id.rpartition("/")
    return f"sequences/{sequence}/predictions/{frame}"


LAYOUT = Layout("semantic-kitti", is_recording=True, points_file=_points_file)
