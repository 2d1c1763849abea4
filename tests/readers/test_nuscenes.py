"""nuScenes: both ego poses, tables that are not what they should be, and the real key frame."""

import json
import re
import tempfile
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from perception.commands.exports import export
from perception.commands.label import label
from perception.commands.request import LabelRequest
from perception.core.config import DecideConfig
from perception.core.errors import RequestError, SampleError
from perception.core.geometry import points_in_view
from perception.core.ontology import load_class_map, load_ontology
from perception.core.types import Float64, Lens, SampleRef
from perception.io import buckets
from perception.io.buckets import Bucket
from perception.labeling.pipeline import Models, Rules, label_sample
from perception.models.fakes import BoxFiller, BrightDetector
from perception.readers import nuscenes, sources

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "nuscenes"
Tables = dict[str, list[dict[str, Any]]]
Write = Callable[..., Path]


def planned(root: Path | str) -> tuple[SampleRef, ...]:
    return sources.find(sources.parse_source(f"nuscenes:{root}"))


def by_devkit(tables: Tables, sample: str, channel: str, points_lidar: Float64) -> Float64:
    """`map_pointcloud_to_image` of nuscenes-devkit 1.2.0 (nuscenes/nuscenes.py), step by step.

    In float64: the devkit keeps points in float32, and in world coordinates loses 0.1 mm.

    Returns:
        (P, 3) u, v, depth of every point, those behind the camera too.
    """
    table = {name: {row["token"]: row for row in rows} for name, rows in tables.items()}
    channel_of = {
        token: table["sensor"][row["sensor_token"]]["channel"]
        for token, row in table["calibrated_sensor"].items()
    }
    frames = {
        channel_of[row["calibrated_sensor_token"]]: row
        for row in tables["sample_data"]
        if row["sample_token"] == sample and row["is_key_frame"]
    }
    cam, pointsensor = frames[channel], frames["LIDAR_TOP"]

    def matrix(record: dict[str, Any]) -> Float64:
        w, x, y, z = record["rotation"]
        return np.asarray(Rotation.from_quat([x, y, z, w]).as_matrix(), np.float64)

    points = points_lidar.T.copy()
    for name, row in (
        ("calibrated_sensor", pointsensor["calibrated_sensor_token"]),
        ("ego_pose", pointsensor["ego_pose_token"]),
    ):
        record = table[name][row]
        points = matrix(record) @ points + np.array(record["translation"])[:, None]
    for name, row in (
        ("ego_pose", cam["ego_pose_token"]),
        ("calibrated_sensor", cam["calibrated_sensor_token"]),
    ):
        record = table[name][row]
        points = matrix(record).T @ (points - np.array(record["translation"])[:, None])
    K = np.array(table["calibrated_sensor"][cam["calibrated_sensor_token"]]["camera_intrinsic"])
    uvw = K @ points
    return np.stack([uvw[0] / uvw[2], uvw[1] / uvw[2], points[2]], axis=1)


def test_key_frames_are_planned_with_all_their_cameras(
    tmp_path: Path, nuscenes_tables: Tables, write_nuscenes: Write
) -> None:
    root = write_nuscenes(tmp_path, nuscenes_tables)
    refs = planned(root)
    assert [ref.id for ref in refs] == ["aaa", "bbb"]
    assert [(p.camera, p.file_name) for p in refs[1].pictures] == [
        ("CAM_BACK", "samples/CAM_BACK/n015__CAM_BACK__1532402927615000.png"),
        ("CAM_FRONT", "samples/CAM_FRONT/n015__CAM_FRONT__1532402927565000.png"),
    ]
    assert refs[1].sweep_file == "samples/LIDAR_TOP/n015__LIDAR_TOP__1532402927600000.pcd.bin"
    assert nuscenes.sweep_token(refs[1]) == "d-bbb-LIDAR_TOP-1"
    assert nuscenes.version_of(refs[1]) == "v1.0-mini"
    assert planned(root / "v1.0-mini") == refs


def test_a_point_is_seen_from_where_the_camera_was_when_it_looked(
    tmp_path: Path, nuscenes_tables: Tables, write_nuscenes: Write
) -> None:
    for row in nuscenes_tables["ego_pose"]:
        row["rotation"] = [1.0, 0.0, 0.0, 0.0]
    points = np.array([[0, 12, 0], [1, -8, 0.5]])
    ref = planned(write_nuscenes(tmp_path, nuscenes_tables, points))[0]
    scene = sources.load_scene(ref)
    back, front = scene.cameras
    # 12 m before a LiDAR 0.8 m behind the camera, which looked 35 ms, that is 0.35 m, earlier
    _, _, depth_m = points_in_view(front, scene.points_lidar, (90, 160))
    np.testing.assert_allclose(depth_m, [12 - 0.8 + 0.35])
    # 8 m behind a LiDAR 0.9 m before the camera, which was 0.15 m further on
    rows, uv, depth_m = points_in_view(back, scene.points_lidar, (90, 160))
    np.testing.assert_allclose(depth_m, [8 - 0.9 + 0.15])
    # 1 m to the right of the car is to the left in an image that looks back; 0.8 m up
    np.testing.assert_allclose(uv, [[79.6 - 126.6 / 7.25, 44.5 - 0.8 * 126.6 / 7.25]])
    assert rows.tolist() == [1]
    assert (back.time_gap_s, front.time_gap_s) == (0.015, -0.035)


def test_row_25_points_land_where_the_devkits_chain_has_them(
    tmp_path: Path, nuscenes_tables: Tables, write_nuscenes: Write
) -> None:
    points = np.random.default_rng(0).uniform(-40, 40, (3000, 3)).astype(np.float32)
    for ref in planned(write_nuscenes(tmp_path, nuscenes_tables, points)):
        for camera in sources.load_scene(ref).cameras:
            rows, uv, depth_m = points_in_view(camera, points, (90, 160))
            expected = by_devkit(nuscenes_tables, ref.id, camera.name, points.astype(np.float64))
            assert len(rows) > 100
            np.testing.assert_allclose(uv, expected[rows, :2], atol=1e-6)
            np.testing.assert_allclose(depth_m, expected[rows, 2], atol=1e-9)


def test_distortion_that_a_table_keeps_reaches_the_camera(
    tmp_path: Path, nuscenes_tables: Tables, write_nuscenes: Write
) -> None:
    front, back = nuscenes_tables["calibrated_sensor"][1:3]
    front["camera_distortion"] = [-0.1, 0.01, 0.001, 0.001, 0.0]
    back["camera_distortion"] = [0.01, 0.0, 0.0, 0.0]
    cameras = sources.load_scene(planned(write_nuscenes(tmp_path, nuscenes_tables))[0]).cameras
    assert [camera.lens for camera in cameras] == [Lens.FISHEYE, Lens.RADTAN]
    assert cameras[1].distortion.tolist() == front["camera_distortion"]


@pytest.fixture
def cars(
    tmp_path: Path, nuscenes_tables: Tables, write_nuscenes: Write, draw: Callable[..., Path]
) -> Path:
    """A car ahead and one behind, with a point each."""
    root = write_nuscenes(tmp_path / "root", nuscenes_tables, np.array([[0, 12, 0], [0, -8, 0.0]]))
    for row in nuscenes_tables["sample_data"]:
        if row["is_key_frame"] and row["filename"].endswith(".png") and "CAM" in row["filename"]:
            draw(root / row["filename"], (72, 30, 88, 50, 255), size_hw=(90, 160))
    return root


@pytest.mark.slow
def test_all_cameras_of_a_key_frame_are_labelled_together(tmp_path: Path, cars: Path) -> None:
    run = label(LabelRequest(f"nuscenes:{cars}", tmp_path / "run", "boxes", "bright"))
    assert run.counts["samples"]["ok"] == 2
    for labels in run.labels():
        assert [picture.camera for picture in labels.pictures] == ["CAM_BACK", "CAM_FRONT"]
        assert labels.points.instance_ids.tolist() == [2, 1]  # each camera's car has its point
    for to, ending in (("lidarseg", "bin"), ("panoptic", "npz")):
        (done,) = export(tmp_path / "run", f"nuscenes-{to}", tmp_path / to)
        assert (tmp_path / to / to / f"v1.0-mini/d-aaa-LIDAR_TOP-1_{to}.{ending}").is_file()
        assert (done.written.samples, done.read_back.labels) == (2, 4)


def _set(table: str, row: int, **fields: object) -> Callable[[Tables], None]:
    def change(tables: Tables) -> None:
        tables[table][row].update(fields)

    return change


def _drop(table: str, row: int, *names: str) -> Callable[[Tables], None]:
    def change(tables: Tables) -> None:
        for name in names:
            del tables[table][row][name]
        if not names:
            del tables[table][row]

    return change


def _repeat(table: str, row: int, **fields: object) -> Callable[[Tables], None]:
    return lambda tables: tables[table].append({**tables[table][row], **fields})


# Rows of `sample_data`: LIDAR_TOP, CAM_FRONT, CAM_BACK, RADAR_FRONT, a key frame and another each.
FRONT = 2


@pytest.mark.parametrize(
    ("change", "code", "match"),
    [
        (_repeat("sample", 0), "source.duplicate", "sample.json: token bbb"),
        (_repeat("sample_data", FRONT), "source.duplicate", "d-bbb-CAM_FRONT-1 stands there twice"),
        (_repeat("ego_pose", FRONT), "source.duplicate", "ego_pose.json: token d-bbb-CAM_FRONT-1"),
        (
            _repeat("sample_data", FRONT, token="other"),
            "source.duplicate",
            "sample bbb has two key frames of CAM_FRONT: d-bbb-CAM_FRONT-1 and other",
        ),
        (
            _set("calibrated_sensor", 2, sensor_token="s-CAM_FRONT"),
            "source.duplicate",
            "two key frames of CAM_FRONT",
        ),
        (
            _set("sample_data", FRONT, calibrated_sensor_token="gone"),
            "source.invalid",
            "1 rows name a calibrated_sensor_token .*: d-bbb-CAM_FRONT-1",
        ),
        (_set("sample_data", FRONT, sample_token="gone"), "source.invalid", "d-bbb-CAM_FRONT-1"),
        (_set("calibrated_sensor", 0, sensor_token="gone"), "source.invalid", "c-LIDAR_TOP"),
        (_drop("sample", 0), "source.invalid", "8 rows|4 rows"),
        (_repeat("sample", 0, token="ccc"), "source.invalid", "1 rows have no key frame .*: ccc"),
        (
            _set("sample_data", FRONT, timestamp="1532402927565000"),
            "source.invalid",
            r"row 3: timestamp is '1532402927565000', expected an integer",
        ),
        (_set("sample_data", FRONT, is_key_frame="true"), "source.invalid", "is_key_frame is 'tr"),
        (_set("sample_data", FRONT, filename=7), "source.invalid", "filename is 7, expected text"),
        (_set("sample_data", FRONT, width=None), "source.invalid", "width is None"),
        (_drop("sample_data", FRONT, "height"), "source.invalid", "height is missing"),
        (_drop("sample", 0, "token"), "source.invalid", "row 1: token is missing"),
        (_set("sample", 0, token="../x"), "source.invalid", r"token is '\.\./x'"),
        (_set("ego_pose", 0, rotation=[1, 0, 0]), "source.invalid", "a list of 4 numbers"),
        (_set("ego_pose", 0, translation=[1, "2", 0]), "source.invalid", "a list of 3 numbers"),
        (_set("calibrated_sensor", 1, camera_intrinsic=[1]), "source.invalid", "lists of numbers"),
        (_set("sample_data", FRONT, filename="a\nb"), "path.invalid", "line break"),
        (_set("ego_pose", 0, translation=[1, 10**300, 0]), "source.invalid", "3 numbers"),
        (_set("ego_pose", 0, rotation=[10**300, 0, 0, 0]), "source.invalid", "4 numbers"),
        (_set("ego_pose", 0, timestamp=10**300), "source.invalid", "timestamp is 1000"),
        (_set("sample", 0, timestamp=-(10**300)), "source.invalid", "timestamp is -1000"),
        (_set("sample", 0, timestamp=1.5), "source.invalid", "timestamp is 1.5"),
        (_set("sample", 0, timestamp=float("nan")), "source.invalid", "timestamp is nan"),
        (_set("sample", 0, timestamp=True), "source.invalid", "timestamp is True"),
        (_set("sample_data", FRONT, width=10**300), "source.invalid", "width is 1000"),
        (
            _set("calibrated_sensor", 1, camera_intrinsic=[[10**300, 0, 0]] * 3),
            "source.invalid",
            "camera_intrinsic",
        ),
        (
            _set("calibrated_sensor", 1, camera_distortion=[10**300]),
            "source.invalid",
            "camera_distortion",
        ),
        (_drop("sample", 1, "scene_token"), "source.invalid", "row 2: scene_token is missing"),
    ],
)
def test_row_27_tables_that_contradict_themselves_are_refused(
    tmp_path: Path,
    nuscenes_tables: Tables,
    write_nuscenes: Write,
    change: Callable[[Tables], None],
    code: str,
    match: str,
) -> None:
    write_nuscenes(tmp_path, nuscenes_tables)
    change(nuscenes_tables)
    for name, rows in nuscenes_tables.items():
        (tmp_path / "v1.0-mini" / f"{name}.json").write_text(json.dumps(rows))
    with pytest.raises(RequestError, match=match) as caught:
        planned(tmp_path)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[", "[1]", "[{}", "[{},]", '[{"token": "a"} {"token": "b"}]', "[[]]"),
        *('[{"token": "a"', "[" * 100_000, "null", '[{"a": ' + "[" * 100_000, "\x00"),
    ],
    ids=lambda text: text[:12] or "empty",
)
def test_tables_that_are_no_lists_of_objects_are_refused(
    tmp_path: Path, nuscenes_tables: Tables, write_nuscenes: Write, text: str
) -> None:
    write_nuscenes(tmp_path, nuscenes_tables)
    (tmp_path / "v1.0-mini" / "sample.json").write_text(text)
    with pytest.raises(RequestError, match=r"sample\.json: row \d") as caught:
        planned(tmp_path)
    assert caught.value.code == "source.invalid"


@pytest.mark.slow
def test_row_27_a_table_larger_than_the_memory_is_read_row_by_row(
    tmp_path: Path, nuscenes_tables: Tables, write_nuscenes: Write
) -> None:
    write_nuscenes(tmp_path, nuscenes_tables)
    path = tmp_path / "v1.0-mini" / "sample_data.json"
    between = json.dumps(nuscenes_tables["sample_data"][1])
    rows = [json.dumps(row) for row in nuscenes_tables["sample_data"]]
    path.write_text("[\n" + ",\n".join([*rows, *[between] * 50_000]) + "\n]")
    assert path.stat().st_size > 15e6
    tracemalloc.start()
    refs = planned(tmp_path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(refs) == 2 and peak_bytes < 10e6


@pytest.mark.parametrize(
    ("change", "code", "match"),
    [
        (_set("ego_pose", FRONT, rotation=[1.01, 0, 0, 0]), "calib.invalid", "norm is 1.01"),
        (_set("ego_pose", 0, rotation=[0, 0, 0, 0]), "calib.invalid", "ego_pose.json: d-bbb-LIDAR"),
        (
            _set("calibrated_sensor", 1, rotation=[float("nan")] * 4),
            "calib.invalid",
            "calibrated_sensor.json: CAM_FRONT: rotation",
        ),
        (_set("ego_pose", 0, translation=[float("inf"), 0, 0]), "calib.invalid", "not finite"),
        (_set("calibrated_sensor", 1, camera_intrinsic=[]), "calib.invalid", "CAM_FRONT: intrins"),
        (
            _set("calibrated_sensor", 1, camera_intrinsic=[[0, 0, 1], [0, 9, 1], [0, 0, 1]]),
            "calib.invalid",
            "focal lengths 0, 9 px",
        ),
        (
            _set(
                "calibrated_sensor", 1, camera_intrinsic=[[9, 0, 1, 0], [0, 9, 1, 0], [0, 0, 1, 0]]
            ),
            "calib.invalid",
            r"shape \(3, 4\)",
        ),
        (_set("calibrated_sensor", 1, camera_distortion=[0.1]), "calib.invalid", "5 or 8 finite"),
        (_drop("ego_pose", FRONT), "sync.gap", "has no pose d-bbb-CAM_FRONT-1"),
        (
            _set("sample_data", FRONT, timestamp=1_532_402_927_600_000 + 400_000),
            "sync.gap",
            r"CAM_FRONT .* was taken \+0\.400 s from the sweep",
        ),
        (
            _set("ego_pose", 0, timestamp=0),
            "sync.gap",
            "pose d-bbb-LIDAR_TOP-1 is -1532402927.600 s",
        ),
        (
            _set("sample", 1, timestamp=1_532_402_927_600_000),
            "sync.gap",
            "bbb and aaa .* 0 s apart",
        ),
        (
            _set("sample_data", FRONT, width=1600, height=900),
            "size.mismatch",
            "160 x 90 px.*1600 x",
        ),
        (_set("sample_data", FRONT, filename="../x.png"), "path.outside_root", "outside the root"),
        (_set("sample_data", FRONT, filename="samples/no.png"), "io.not_found", "no.png"),
        (_set("sample_data", 0, filename="samples/no.bin"), "io.not_found", "no.bin"),
    ],
)
def test_rows_24_to_26_a_key_frame_that_cannot_be_placed_is_quarantined(
    tmp_path: Path,
    nuscenes_tables: Tables,
    write_nuscenes: Write,
    change: Callable[[Tables], None],
    code: str,
    match: str,
) -> None:
    write_nuscenes(tmp_path, nuscenes_tables)
    change(nuscenes_tables)
    for name, rows in nuscenes_tables.items():
        (tmp_path / "v1.0-mini" / f"{name}.json").write_text(json.dumps(rows))
    refs = {ref.id: ref for ref in planned(tmp_path)}
    models = Models(BrightDetector(), BoxFiller())
    rules = Rules(DecideConfig(), load_ontology(), load_class_map("coco80-to-road"))
    with pytest.raises(SampleError, match=match) as caught:
        label_sample(sources.load_sample(refs["bbb"]), models, rules)
    assert caught.value.code == code


def test_the_plan_carries_what_the_tables_say(
    tmp_path: Path, nuscenes_tables: Tables, write_nuscenes: Write
) -> None:
    ref = planned(write_nuscenes(tmp_path, nuscenes_tables))[0]
    before = sources.load_scene(ref)
    mine = {f"d-aaa-{channel}-1" for channel in ("LIDAR_TOP", "CAM_FRONT", "CAM_BACK")}
    assert json.loads(ref.calibration)["poses"].keys() == mine  # and none of other samples
    for path in (tmp_path / "v1.0-mini").iterdir():
        path.unlink()
    after = sources.load_scene(ref)
    for one, other in zip(before.cameras, after.cameras, strict=True):
        assert one.T_cam_from_lidar.tobytes() == other.T_cam_from_lidar.tobytes()
        assert one.K.tobytes() == other.K.tobytes() and one.time_gap_s == other.time_gap_s
    with pytest.raises(SampleError, match="earlier version; label again") as caught:
        sources.load_scene(replace(ref, calibration=""))
    assert caught.value.code == "calib.invalid"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame.pop("poses"), "poses: found nothing"),
        (lambda frame: frame.update(version="../../x"), "version: found '../../x'"),
        (lambda frame: frame.update(version=".."), r"version: found '\.\.'"),
        (lambda frame: frame["shots"]["CAM_FRONT"].update(stamp_us="1_0"), "found '1_0', expected"),
        (lambda frame: frame["shots"]["CAM_FRONT"].update(file_name="/etc/x"), "shots: found"),
        (lambda frame: frame["shots"].pop("CAM_FRONT"), "shots: found"),
    ],
)
def test_row_42_what_a_plan_carries_is_checked_when_it_is_read(
    tmp_path: Path,
    nuscenes_tables: Tables,
    write_nuscenes: Write,
    change: Callable[[Any], object],
    words: str,
) -> None:
    ref = planned(write_nuscenes(tmp_path, nuscenes_tables))[0]
    frame = json.loads(ref.calibration)
    change(frame)
    for calibration in (json.dumps(frame), "[" * 9999):
        with pytest.raises(SampleError) as caught:
            sources.load_scene(replace(ref, calibration=calibration))
        assert caught.value.code == "calib.invalid"
        assert re.search(words if calibration[0] == "{" else "is not JSON", caught.value.message)


@pytest.mark.slow
def test_in_a_bucket_it_has_the_labels_and_exports_of_a_local_one(
    tmp_path: Path, cars: Path, put: Callable[..., str], snapshot: Callable[..., dict[str, bytes]]
) -> None:
    address = put(cars)
    for root, run in ((str(cars), tmp_path / "a"), (address, tmp_path / "b")):
        label(LabelRequest(f"nuscenes:{root}", run, "boxes", "bright"))
        export(run, "nuscenes-panoptic", tmp_path / f"{run.name}-out")
    local, away = snapshot(tmp_path / "a"), snapshot(tmp_path / "b")
    made = [name for name in local if name.startswith(("evidence/", "labels/", "preview/"))]
    assert len(made) > 8 and all(away[name] == local[name] for name in made)
    assert address in away["plan.jsonl"].decode() and b"copy-of" not in away["plan.jsonl"]
    exported = [
        {name: data for name, data in snapshot(tmp_path / f"{run}-out").items() if "/" in name}
        for run in "ab"
    ]
    assert exported[0] == exported[1] != {}


def test_in_a_bucket_tables_of_any_size_are_read_for_the_plan_alone(
    tmp_path: Path, cars: Path, put: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = put(cars)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    refs = planned(address)
    assert planned(f"{address}/v1.0-mini") == refs
    assert [replace(ref, root=str(cars)) for ref in refs] == list(planned(cars))
    with monkeypatch.context() as patched:
        patched.setattr(buckets, "MAX_BYTES", 10)
        patched.setattr(buckets, "PART_BYTES", 999)
        patched.setattr(Bucket, "sizes", None)  # a million objects are not listed
        assert planned(address) == refs
    fetched: list[str] = []
    plain = Bucket.fetch

    def fetch(self: Bucket, name: str, place: Path, **options: Any) -> bool:
        fetched.append(name)
        return plain(self, name, place, **options)

    monkeypatch.setattr(Bucket, "fetch", fetch)
    assert len(sources.load_sample(refs[0]).scene.points_lidar) == 2
    assert len(fetched) == 3 and not any(name.endswith(".json") for name in fetched)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_in_a_bucket_faults_are_told_by_their_addresses(
    cars: Path, put: Callable[..., str]
) -> None:
    address = put(cars)
    bucket = buckets.parse(address)
    bucket.remove("v1.0-mini/ego_pose.json")
    with pytest.raises(RequestError, match=f"{address}/v1.0-mini: has no ego_pose.json"):
        planned(address)
    bucket.write("v1.0-test/sample.json", b"[]")
    with pytest.raises(RequestError, match=f"{address}: holds v1.0-mini, v1.0-test; give one"):
        planned(address)


@pytest.mark.parametrize("size_bytes", [0, 16, 21])
def test_row_22_a_sweep_of_another_size_is_malformed(
    tmp_path: Path, nuscenes_tables: Tables, write_nuscenes: Write, size_bytes: int
) -> None:
    ref = planned(write_nuscenes(tmp_path, nuscenes_tables))[0]
    (tmp_path / ref.sweep_file).write_bytes(b"\0" * size_bytes)
    with pytest.raises(SampleError, match=rf"{size_bytes} bytes, expected N x 5") as caught:
        sources.load_scene(ref)
    assert caught.value.code == "cloud.malformed"


def test_without_a_sweep_the_images_are_labelled_alone(
    tmp_path: Path, nuscenes_tables: Tables, write_nuscenes: Write
) -> None:
    rows = nuscenes_tables["sample_data"]
    nuscenes_tables["sample_data"] = [row for row in rows if "LIDAR" not in row["filename"]]
    ref = planned(write_nuscenes(tmp_path, nuscenes_tables))[0]
    assert (ref.sweep_file, len(ref.pictures)) == ("", 2)
    scene = sources.load_scene(ref)
    assert (len(scene.cameras), len(scene.points_lidar)) == (0, 0)
    with pytest.raises(RequestError, match="has no LIDAR_TOP"):
        nuscenes.sweep_token(ref)


def test_a_root_must_hold_one_version(
    tmp_path: Path, nuscenes_tables: Tables, write_nuscenes: Write
) -> None:
    with pytest.raises(RequestError, match=r"expected a folder such as v1\.0-mini"):
        planned(tmp_path)
    write_nuscenes(tmp_path, nuscenes_tables)
    (tmp_path / "v1.0-test").mkdir()
    (tmp_path / "v1.0-test" / "sample.json").write_text("[]")
    with pytest.raises(RequestError, match=r"holds v1\.0-mini, v1\.0-test; give one"):
        planned(tmp_path)
    assert len(planned(tmp_path / "v1.0-mini")) == 2
    (tmp_path / "v1.0-mini" / "ego_pose.json").unlink()
    with pytest.raises(RequestError, match=r"ego_pose\.json") as caught:
        planned(tmp_path / "v1.0-mini")
    assert caught.value.code == "io.not_found"


def test_an_empty_table_of_samples_is_told(
    tmp_path: Path, nuscenes_tables: Tables, write_nuscenes: Write
) -> None:
    nuscenes_tables["sample"], nuscenes_tables["sample_data"] = [], []
    with pytest.raises(RequestError, match="no key frame") as caught:
        planned(write_nuscenes(tmp_path, nuscenes_tables))
    assert caught.value.code == "source.empty"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tables, dict[str, Any]]:
    """The real key frame as a nuScenes tree: its own poses, the image's from its `lidar2cam`."""
    if not DATA.is_dir():
        pytest.skip("needs ../shared/data/nuscenes")
    info = json.loads(next(DATA.glob("*_info_dev.json")).read_text())["data_list"][0]
    camera, lidar = info["images"]["CAM_FRONT"], info["lidar_points"]
    T_world_from_ego, T_ego_from_lidar = np.array(info["ego2global"]), np.array(lidar["lidar2ego"])
    T_ego_from_cam = np.array(camera["cam2ego"])
    T_cam_from_lidar = np.array(camera["lidar2cam"])
    T_world_from_cam = T_world_from_ego @ T_ego_from_lidar @ np.linalg.inv(T_cam_from_lidar)

    def placed(T: Float64) -> dict[str, object]:
        x, y, z, w = Rotation.from_matrix(T[:3, :3]).as_quat()
        return {"rotation": [w, x, y, z], "translation": T[:3, 3].tolist()}

    root = tmp_path_factory.mktemp("nuscenes")
    tables: Tables = {
        "sample": [{"token": info["token"], "timestamp": 0, "scene_token": "scene"}],
        "sensor": [],
        "calibrated_sensor": [],
        "sample_data": [],
        "ego_pose": [],
    }
    for channel, name, seconds, T_ego_from_sensor, T_world, K, size_hw in (
        (
            *("LIDAR_TOP", lidar["lidar_path"], info["timestamp"]),
            *(T_ego_from_lidar, T_world_from_ego, [], (0, 0)),
        ),
        (
            *("CAM_FRONT", camera["img_path"], camera["timestamp"], T_ego_from_cam),
            *(T_world_from_cam @ np.linalg.inv(T_ego_from_cam), camera["cam2img"], (900, 1600)),
        ),
    ):
        modality = "camera" if K else "lidar"
        stamp_us = round(seconds * 1e6)
        tables["sensor"].append({"token": channel, "channel": channel, "modality": modality})
        tables["calibrated_sensor"].append(
            {"token": channel, "sensor_token": channel, "camera_intrinsic": K}
            | placed(T_ego_from_sensor)
        )
        tables["ego_pose"].append({"token": channel, "timestamp": stamp_us} | placed(T_world))
        tables["sample_data"].append(
            {
                "token": channel,
                "sample_token": info["token"],
                "ego_pose_token": channel,
                "calibrated_sensor_token": channel,
                "filename": f"samples/{channel}/{name}",
                "timestamp": stamp_us,
                "is_key_frame": True,
                "height": size_hw[0],
                "width": size_hw[1],
            }
        )
        (root / "samples" / channel).mkdir(parents=True)
        (root / "samples" / channel / name).write_bytes((DATA / name).read_bytes())
    (root / "v1.0-mini").mkdir()
    for table, rows in tables.items():
        (root / "v1.0-mini" / f"{table}.json").write_text(json.dumps(rows))
    return root, tables, info


def test_the_real_key_frame_projects_as_in_the_devkit(
    real: tuple[Path, Tables, dict[str, Any]],
) -> None:
    root, tables, info = real
    sample = sources.load_sample(planned(root)[0])
    (camera,), points = sample.scene.cameras, sample.scene.points_lidar
    assert sample.pictures[0].size_hw == (900, 1600) and len(points) == 34_688
    rows, uv, depth_m = points_in_view(camera, points, (900, 1600))
    expected = by_devkit(tables, info["token"], "CAM_FRONT", points.astype(np.float64))
    shown = (expected[:, 2] > 1) & (expected[:, 0] > 1) & (expected[:, 0] < 1599)
    shown &= (expected[:, 1] > 1) & (expected[:, 1] < 899)  # what the devkit keeps
    assert shown.sum() > 2500 and set(np.flatnonzero(shown)) <= set(rows.tolist())
    np.testing.assert_allclose(uv, expected[rows, :2], atol=1e-6)
    np.testing.assert_allclose(depth_m, expected[rows, 2], atol=1e-9)
    # mmdetection3d composed the same two poses, in float32
    T = np.array(info["images"]["CAM_FRONT"]["lidar2cam"])
    np.testing.assert_allclose(camera.T_cam_from_lidar, T, atol=2e-6)
    assert camera.time_gap_s == pytest.approx(-0.035491)
