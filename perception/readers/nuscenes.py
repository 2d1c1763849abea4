"""nuScenes: key frames of several cameras and one LiDAR.

    ROOT/v1.0-mini/*.json                     tables; ROOT/v1.0-mini may be given as the root
    ROOT/samples/CAM_FRONT/*.jpg              images of the key frames
    ROOT/samples/LIDAR_TOP/*.pcd.bin          float32 x, y, z, intensity, ring

A sample is a key frame, its id the token of the table `sample`. Camera and LiDAR look at different
moments, and the car drives on between them, so a point goes through the world:

    LiDAR -> ego at the sweep -> world -> ego at the image -> camera

as in `map_pointcloud_to_image` of the devkit. Quaternions are w, x, y, z. Images come undistorted;
what nuImages and others keep as `camera_distortion` is read where it stands: 5 or 8 numbers are
OpenCV's radial and tangential coefficients, 4 those of its fisheye. Radar is not read.

nuImages has the same tables, without scenes and sweeps: its key frames are pictures.

The tables of the whole set hold gigabytes: they are read once, for the plan, row by row, and only
key frames are kept. The plan carries what they say of each sample, and no worker reads them.
Source: https://github.com/nutonomy/nuscenes-devkit, docs/schema_nuscenes.md.
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from pydantic import TypeAdapter, ValidationError

from perception.core.errors import RequestError, SampleError
from perception.core.geometry import (
    intrinsics_fault,
    inverse,
    quaternion_fault,
    rigid,
    rotation_of_quaternion,
)
from perception.core.types import EMPTY_SCENE, Camera, Float64, Lens, PictureRef, SampleRef, Scene
from perception.io import schemas
from perception.io.clouds import read_sweep
from perception.io.tables import JsonObject, read_table
from perception.readers import check_name
from perception.readers.known_layouts import hint_for
from perception.readers.layout import Layout

SWEEP = "LIDAR_TOP"
COLUMNS = 5  # x, y, z in metres, intensity, ring
# Key frames are half a second apart: an image farther than this from its sweep belongs to another.
MAX_GAP_S = 0.25
LENSES = {0: Lens.PINHOLE, 4: Lens.FISHEYE, 5: Lens.RADTAN, 8: Lens.RADTAN}
VERSIONS, SAMPLES = "v1.0-", "sample.json"  # how folders of tables begin, and what is in each
TABLES = ("sensor.json", "calibrated_sensor.json", SAMPLES, "sample_data.json", "ego_pose.json")
_SHOWN = 5  # offenders that an error names
_TOKEN = re.compile(r"\w[\w.-]*", re.ASCII)


@dataclass(frozen=True)
class _Mount:
    """A row of `calibrated_sensor`, with the sensor's channel and modality."""

    channel: str
    modality: str
    translation_m: tuple[float, ...]
    rotation_wxyz: tuple[float, ...]
    K: tuple[tuple[float, ...], ...]
    distortion: tuple[float, ...]


@dataclass(frozen=True)
class _Shot:
    """A key frame of one sensor: a row of `sample_data`."""

    token: str
    file_name: str
    mount: _Mount
    pose: str
    stamp_us: int
    size_hw: tuple[int, int]


@dataclass(frozen=True)
class _Pose:
    """A row of `ego_pose`."""

    translation_m: tuple[float, ...]
    rotation_wxyz: tuple[float, ...]
    stamp_us: int


@dataclass(frozen=True)
class _Index:
    """What the tables say of the key frames.

    Attributes:
        shots: Sample token to channel to key frame.
        poses: Those of the key frames; one may be missing.
        twins: Sample token to another of its scene with the same time stamp.
    """

    shots: dict[str, dict[str, _Shot]]
    poses: dict[str, _Pose]
    twins: dict[str, str]


@dataclass(frozen=True)
class _Frame:
    """What the tables say of one sample, as a plan carries it.

    Attributes:
        version: Folder of the tables: "v1.0-mini".
        shots: Channel to key frame.
        poses: Theirs, by token; one may be missing.
        twin: Another sample of its scene with the same time stamp; "" for none.
    """

    version: str
    shots: dict[str, _Shot]
    poses: dict[str, _Pose]
    twin: str


_FRAMES = TypeAdapter(_Frame)


def find(root: Path) -> tuple[SampleRef, ...]:
    """Plan the key frames of a dataset, sorted by token; opens no image.

    Raises:
        RequestError: `source.invalid` for tables that are not what they should be,
            `source.duplicate` for tokens that stand twice and for two images of one camera in a
            sample, `source.empty`, `path.outside_root`, `path.invalid`, `io.not_found`,
            `io.denied`.
    """
    root, version = _version(root.resolve())
    missing = [name for name in TABLES if not (root / version / name).is_file()]
    if missing:
        raise RequestError(
            "io.not_found",
            f"{root / version}: has no {', '.join(missing)}; expected all of {', '.join(TABLES)}: "
            "unpack the archive of metadata whole",
        )
    index = _read_index(root / version)
    if not index.shots:
        raise RequestError("source.empty", f"{root / version}: no key frame of a camera or {SWEEP}")
    refs = []
    for token, shots in sorted(index.shots.items()):
        cameras = [shots[channel] for channel in sorted(shots) if channel != SWEEP]
        known = {shot.pose for shot in shots.values()} & index.poses.keys()
        poses = {pose: index.poses[pose] for pose in known}
        frame = _Frame(version, shots, poses, index.twins.get(token, ""))
        for shot in shots.values():
            check_name(shot.file_name, root / version / "sample_data.json")
        refs.append(
            SampleRef(
                id=token,
                layout="nuscenes",
                root=str(root),
                pictures=tuple(PictureRef(s.mount.channel, s.file_name) for s in cameras),
                sweep_file=shots[SWEEP].file_name if SWEEP in shots else "",
                calibration=json.dumps(asdict(frame), sort_keys=True, separators=(",", ":")),
            )
        )
    return tuple(refs)


def load_scene(ref: SampleRef) -> Scene:
    """Read the cameras and the points of a key frame.

    Raises:
        SampleError: `calib.invalid`, `sync.gap` for a pose that is missing and times that do not
            belong together, `cloud.malformed`, `io.not_found`, `io.denied`.
    """
    root, frame = Path(ref.root), _frame_of(ref)
    where = root / frame.version
    if frame.twin:
        raise SampleError(
            "sync.gap",
            f"{where / SAMPLES}: {ref.id} and {frame.twin} of one scene have the same "
            "timestamp: 0 s apart, expected more",
        )
    if SWEEP not in frame.shots:
        return EMPTY_SCENE
    sweep = frame.shots[SWEEP]
    T_world_from_lidar = _T_world_from_sensor(sweep, frame, where)
    cameras = tuple(
        _camera(frame.shots[picture.camera], sweep, T_world_from_lidar, frame, root)
        for picture in ref.pictures
    )
    found = read_sweep(root / ref.sweep_file, ref.columns or COLUMNS)
    return Scene(cameras, found.points_lidar, ahead=1, remarks=found.remarks)


def version_of(ref: SampleRef) -> str:
    """Return the name of the folder of tables: "v1.0-mini"."""
    return _frame_of(ref).version


def sweep_token(ref: SampleRef) -> str:
    """Return the token of the sweep in `sample_data`; label files are named by it."""
    frame = _frame_of(ref)
    if SWEEP not in frame.shots:
        raise RequestError(
            "source.invalid",
            f"{ref.root}/{frame.version}: sample {ref.id} has no {SWEEP} key frame",
        )
    return frame.shots[SWEEP].token


def T_world_from_lidar(ref: SampleRef) -> Float64:
    """Return where the LiDAR was at the moment of its key frame."""
    frame = _frame_of(ref)
    where = Path(ref.root) / frame.version
    if SWEEP not in frame.shots:
        raise SampleError("io.not_found", f"{where}: sample {ref.id} has no {SWEEP}")
    return _T_world_from_sensor(frame.shots[SWEEP], frame, where)


def _frame_of(ref: SampleRef) -> _Frame:
    if not ref.calibration:
        raise SampleError(
            "calib.invalid",
            f"{ref.root}: the plan has no calibration of sample {ref.id}, expected what the tables "
            "say: it was made by an earlier version; label again into another folder",
        )
    try:
        frame = _FRAMES.validate_json(ref.calibration, strict=True)
    except ValidationError as error:
        raise _strange(ref, schemas.fault_of(error)) from error
    if PurePosixPath(frame.version).parts != (frame.version,) or frame.version in {"/", ".."}:
        raise _strange(ref, f"version: found {frame.version!r}, expected the name of a folder")
    named = {picture.camera: picture.file_name for picture in ref.pictures}
    named |= {SWEEP: ref.sweep_file} if ref.sweep_file else {}
    held = {channel: shot.file_name for channel, shot in frame.shots.items()}
    if named != held:
        raise _strange(ref, f"shots: found {sorted(held)}, expected the plan's {sorted(named)}")
    return frame


def _strange(ref: SampleRef, fault: str) -> SampleError:
    return SampleError(
        "calib.invalid",
        f"{ref.root}: the plan's calibration of sample {ref.id!r}: {fault}; label again",
    )


def _camera(
    shot: _Shot, sweep: _Shot, T_world_from_lidar: Float64, frame: _Frame, root: Path
) -> Camera:
    where = root / frame.version
    gap_s = (shot.stamp_us - sweep.stamp_us) / 1e6
    if abs(gap_s) > MAX_GAP_S:
        raise SampleError(
            "sync.gap",
            f"{where / 'sample_data.json'}: {shot.mount.channel} ({shot.token}) was taken "
            f"{gap_s:+.3f} s from the sweep ({sweep.token}), expected at most {MAX_GAP_S} s",
        )
    calibration = where / "calibrated_sensor.json"
    K = np.array(shot.mount.K, np.float64)
    if fault := intrinsics_fault(K):
        raise SampleError("calib.invalid", f"{calibration}: {shot.mount.channel}: {fault}")
    lens = LENSES.get(len(shot.mount.distortion))
    if lens is None or not np.isfinite(shot.mount.distortion).all():
        raise SampleError(
            "calib.invalid",
            f"{calibration}: {shot.mount.channel}: camera_distortion is "
            f"{list(shot.mount.distortion)}, expected none, 5 or 8 finite numbers, 4 of a fisheye",
        )
    T_world_from_cam = _T_world_from_sensor(shot, frame, where)
    return Camera(
        name=shot.mount.channel,
        K=K,
        T_cam_from_lidar=inverse(T_world_from_cam) @ T_world_from_lidar,
        lens=lens,
        distortion=np.array(shot.mount.distortion, np.float64),
        time_gap_s=gap_s,
        size_hw=shot.size_hw,
    )


def _T_world_from_sensor(shot: _Shot, frame: _Frame, where: Path) -> Float64:  # noqa: N802
    """Return where a sensor was at the moment of its key frame."""
    pose = frame.poses.get(shot.pose)
    if pose is None:
        raise SampleError(
            "sync.gap",
            f"{where / 'ego_pose.json'}: has no pose {shot.pose}, which {shot.mount.channel} "
            f"({shot.token}) names: where the car was then is not known",
        )
    late_s = (pose.stamp_us - shot.stamp_us) / 1e6
    if abs(late_s) > MAX_GAP_S:
        raise SampleError(
            "sync.gap",
            f"{where / 'ego_pose.json'}: pose {shot.pose} is {late_s:+.3f} s from its "
            f"{shot.mount.channel} ({shot.token}), expected at most {MAX_GAP_S} s",
        )
    mount = shot.mount
    T_world_from_ego = _rigid(
        pose.rotation_wxyz, pose.translation_m, f"{where / 'ego_pose.json'}: {shot.pose}"
    )
    T_ego_from_sensor = _rigid(
        mount.rotation_wxyz,
        mount.translation_m,
        f"{where / 'calibrated_sensor.json'}: {mount.channel}",
    )
    return T_world_from_ego @ T_ego_from_sensor


def _rigid(rotation_wxyz: tuple[float, ...], translation_m: tuple[float, ...], who: str) -> Float64:
    quaternion, translation = np.array(rotation_wxyz), np.array(translation_m)
    if fault := quaternion_fault(quaternion):
        raise SampleError("calib.invalid", f"{who}: rotation {list(rotation_wxyz)} {fault}")
    if not np.isfinite(translation).all():
        raise SampleError("calib.invalid", f"{who}: translation {list(translation_m)}, not finite")
    return rigid(rotation_of_quaternion(quaternion), translation)


def _version(root: Path) -> tuple[Path, str]:
    """Return the root and the name of its folder of tables."""
    if root.name.startswith(VERSIONS) and (root / SAMPLES).is_file():
        return root.parent, root.name
    found = sorted(path.parent.name for path in root.glob(f"{VERSIONS}*/{SAMPLES}"))
    if len(found) == 1:
        return root, found[0]
    if found:
        raise RequestError(
            "source.invalid", f"{root}: holds {', '.join(found)}; give one, as {root / found[0]}"
        )
    raise RequestError(
        "source.invalid",
        f"{root}: expected a folder such as v1.0-mini with sample.json in it{hint_for(root)}",
    )


def _read_index(where: Path) -> _Index:
    moments = _moments(where / SAMPLES)
    shots = _shots(where / "sample_data.json", _mounts(where), frozenset(moments))
    bare = [token for token in moments if token not in shots]
    _refuse(bare, where / SAMPLES, "have no key frame in sample_data.json")
    wanted = {shot.pose for mine in shots.values() for shot in mine.values()}
    rows = read_table(where / "ego_pose.json", lambda fields: fields.get("token") in wanted)
    poses = {
        row.token: _Pose(
            row.numbers("translation", 3), row.numbers("rotation", 4), row.integer("timestamp")
        )
        for row in rows
    }
    return _Index(shots, poses, _twins(moments))


def _moments(path: Path) -> dict[str, tuple[str, int]]:
    """Return the scene and the time stamp of each sample; nuImages has no scenes: each its own."""
    moments: dict[str, tuple[str, int]] = {}
    has_scenes = True
    for row in read_table(path):
        if not _TOKEN.fullmatch(row.token):
            raise row.fault("token", "letters, digits, . and -")  # label files are named by it
        if not moments:
            has_scenes = "scene_token" in row.fields
        scene = row.text("scene_token") if has_scenes else row.token
        moments[row.token] = (scene, row.integer("timestamp"))
    return moments


def _shots(
    path: Path, mounts: dict[str, _Mount], samples: frozenset[str]
) -> dict[str, dict[str, _Shot]]:
    """Return the key frames of cameras and the LiDAR: sample token to channel to key frame."""
    shots: dict[str, dict[str, _Shot]] = {}
    lost: list[str] = []
    for row in read_table(path, _is_key_frame):
        if row.fields.get("is_key_frame") is not True:
            raise row.fault("is_key_frame", "true or false")
        mount, sample = mounts.get(row.text("calibrated_sensor_token")), row.text("sample_token")
        if mount is None or sample not in samples:
            lost.append(row.token)
            continue
        is_camera = mount.modality == "camera"
        if not is_camera and mount.channel != SWEEP:
            continue
        mine = shots.setdefault(sample, {})
        if mount.channel in mine:
            raise RequestError(
                "source.duplicate",
                f"{path}: sample {sample} has two key frames of {mount.channel}: "
                f"{mine[mount.channel].token} and {row.token}; expected one",
            )
        mine[mount.channel] = _Shot(
            token=row.token,
            file_name=row.text("filename"),
            mount=mount,
            pose=row.text("ego_pose_token"),
            stamp_us=row.integer("timestamp"),
            size_hw=(row.integer("height"), row.integer("width")) if is_camera else (0, 0),
        )
    _refuse(lost, path, "name a calibrated_sensor_token or sample_token that no table has")
    return shots


def _is_key_frame(fields: JsonObject) -> bool:
    """Pass over what lies between key frames; what is neither is told when it is read."""
    return fields.get("is_key_frame") is not False


def _twins(moments: dict[str, tuple[str, int]]) -> dict[str, str]:
    first: dict[tuple[str, int], str] = {}
    twins = {}
    for token, moment in moments.items():
        other = first.setdefault(moment, token)
        if other != token:
            twins[token], twins[other] = other, token
    return twins


def _mounts(where: Path) -> dict[str, _Mount]:
    sensors = {
        row.token: (row.text("channel"), row.text("modality"))
        for row in read_table(where / "sensor.json")
    }
    mounts, lost = {}, []
    for row in read_table(where / "calibrated_sensor.json"):
        sensor = row.text("sensor_token")
        if sensor not in sensors:
            lost.append(row.token)
            continue
        mounts[row.token] = _Mount(
            *sensors[sensor],
            translation_m=row.numbers("translation", 3),
            rotation_wxyz=row.numbers("rotation", 4),
            K=row.matrix("camera_intrinsic"),
            distortion=row.numbers("camera_distortion", None),
        )
    _refuse(lost, where / "calibrated_sensor.json", "name a sensor_token that sensor.json lacks")
    return mounts


def _refuse(lost: list[str], path: Path, what: str) -> None:
    if lost:
        shown = ", ".join(lost[:_SHOWN])
        raise RequestError("source.invalid", f"{path}: {len(lost)} rows {what}: {shown}")


LAYOUT = Layout("nuscenes", sweep_token=sweep_token, tables_version=version_of)
