"""SUSTechPOINTS: scenes of an annotation tool, with any number of cameras and one LiDAR.

    ROOT[/SCENE]/camera/front/000965.jpg       a folder for each camera; `image` in older scenes
    ROOT[/SCENE]/lidar/000965.pcd              or .bin, .npy, .ply, .txt; `pcd` in older scenes
    ROOT[/SCENE]/calib/camera/front.json       {"extrinsic": 4 x 4, "intrinsic": 3 x 3}, by rows
    ROOT[/SCENE]/label/000965.json             3D boxes; not read here

`extrinsic` leads from the LiDAR to the camera, metres; pictures are rectified. Calibrations lie in
`calib` or `calib/image` in older scenes. A sample is a frame of all cameras that have it, its id
"SCENE/000965", or "000965" where ROOT is a scene. Where a folder of sweeps exists, each frame
should have its file there. A camera without calibration is a picture alone.
Source: https://github.com/naurril/SUSTechPOINTS, data/example; doc/data-format.md.
"""

import json
from pathlib import Path, PurePosixPath

import numpy as np

from perception.core.errors import RequestError, SampleError
from perception.core.geometry import intrinsics_fault, rigid, rotation_fault
from perception.core.types import Camera, Float64, PictureRef, SampleRef, Scene
from perception.io.clouds import NO_SWEEP, read_sweep
from perception.io.files import read_shared
from perception.readers import check_name, frame_images, frame_sweeps
from perception.readers.known_layouts import hint_for
from perception.readers.layout import Layout

PICTURES, SWEEPS = ("camera", "image"), ("lidar", "pcd")
CALIBRATIONS = ("calib/camera", "calib/image", "calib")
COLUMNS = 4  # of a .bin: x, y, z in metres, intensity
MAX_BYTES = 1 << 20

LAYOUT = Layout("sustech", is_recording=True)


def find(root: Path) -> tuple[SampleRef, ...]:
    """Plan the frames of all scenes, sorted by id; opens no picture.

    Raises:
        RequestError: `source.invalid`, `source.empty`, `source.duplicate`, `path.invalid`.
    """
    root = root.resolve()
    inside = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    scenes = [root] if _cameras(root) else [path for path in inside if _cameras(path)]
    if not scenes:
        raise RequestError(
            "source.invalid",
            f"{root}: expected a folder for each camera, such as camera/front, in it or in folders "
            f"of scenes{hint_for(root)}",
        )
    return tuple(ref for scene in scenes for ref in _scene(root, scene))


def _cameras(scene: Path) -> list[Path]:
    """Return the folders of a scene's cameras."""
    named = next((scene / name for name in PICTURES if (scene / name).is_dir()), None)
    return sorted(path for path in named.iterdir() if path.is_dir()) if named else []


def _scene(root: Path, scene: Path) -> list[SampleRef]:
    place = PurePosixPath(scene.relative_to(root).as_posix())
    check_name(str(place), root)
    frames = dict[str, list[PictureRef]]()
    calibrations = dict[str, str]()
    for folder in _cameras(scene):
        check_name(folder.name, folder.parent)
        for frame, name in frame_images(folder).items():
            file_name = str(place / folder.parent.name / folder.name / name)
            frames.setdefault(frame, []).append(PictureRef(folder.name, file_name))
        named = (place / path / f"{folder.name}.json" for path in CALIBRATIONS)
        calibrations[folder.name] = next((str(one) for one in named if (root / one).is_file()), "")
    kind = next((name for name in SWEEPS if (scene / name).is_dir()), "")
    sweeps = frame_sweeps(scene / kind, frames) if kind else {}
    return [
        SampleRef(
            id=str(place / frame),
            layout=LAYOUT.name,
            root=str(root),
            pictures=tuple(pictures),
            sweep_file=str(place / kind / sweeps.get(frame, f"{frame}.pcd")) if kind else "",
            calib_files=tuple(
                calibrations[picture.camera] for picture in pictures if calibrations[picture.camera]
            ),
        )
        for frame, pictures in sorted(frames.items())
    ]


def load_scene(ref: SampleRef) -> Scene:
    """Read the cameras and the points of a frame.

    Raises:
        SampleError: `calib.invalid`, `cloud.malformed`, `io.not_found`, `io.denied`.
    """
    root, sweep = Path(ref.root), NO_SWEEP
    if ref.sweep_file:
        sweep = read_sweep(root / ref.sweep_file, ref.columns or COLUMNS)
    cameras = tuple(_camera(root / name) for name in ref.calib_files)
    return Scene(cameras, sweep.points_lidar, remarks=sweep.remarks)


def _camera(path: Path) -> Camera:
    try:
        values = json.loads(read_shared(path, MAX_BYTES))
        K = _numbers(values["intrinsic"], 3)
        extrinsic = _numbers(values["extrinsic"], 4)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise SampleError(
            "calib.invalid",
            f"{path}: {error!r}; expected `intrinsic` (3 x 3) and `extrinsic` (4 x 4)",
        ) from error
    if fault := intrinsics_fault(K):
        raise SampleError("calib.invalid", f"{path}: intrinsic {fault}")
    if fault := rotation_fault(extrinsic[:3, :3]):
        raise SampleError("calib.invalid", f"{path}: the rotation of extrinsic {fault}")
    return Camera(path.stem, K, rigid(extrinsic[:3, :3], extrinsic[:3, 3]))


def _numbers(values: object, side: int) -> Float64:
    matrix = np.array(values, np.float64).reshape(side, side)
    if not np.isfinite(matrix).all():
        raise ValueError("holds numbers that are not finite")
    return matrix
