"""Bugs caught: six cameras at one moment, axes of KITTI's LiDAR, tables the devkit cannot load."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from perception.benchmarks.lift.ablation import EVERYTHING, ablate
from perception.commands.label import label
from perception.commands.request import LabelRequest
from perception.core import masks
from perception.core.errors import RequestError
from perception.core.geometry import points_in_view
from perception.core.ontology import load_ontology
from perception.core.types import Sample, SampleRef
from perception.evaluation import evaluate, read_truth
from perception.formats import coco, nuscenes
from perception.readers import sources
from perception.synthetic.command import synthesize
from perception.synthetic.constants import LIDAR
from perception.synthetic.drive import Frame, Renderer
from perception.synthetic.rays import Caster
from perception.synthetic.read import NUSCENES_VERSION, sweep_token
from perception.synthetic.rig import RING_HW, ring_rig
from perception.synthetic.world import make_world
from perception.synthetic.write import is_labelled, kept, sample_labels, statistics
from perception.synthetic.write_nuscenes import T_LIDAR_FROM_NUSCENES

pytestmark = pytest.mark.slow  # six cameras of a whole drive

CARS = {"car", "van"}


def _ignore(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory, caster: Caster) -> Path:
    out = tmp_path_factory.mktemp("drive") / "six"
    synthesize(out, 3, 3, caster, _ignore, scene_frames=2, stride=12, cameras=6)
    return out


@pytest.fixture(scope="module")
def frame(caster: Caster) -> Frame:
    """Return frame 000001 of the drive."""
    return Renderer(make_world(3, 0, 2.5), ring_rig(), caster)(12)


@pytest.fixture(scope="module")
def refs(drive: Path) -> tuple[SampleRef, ...]:
    return sources.find(sources.parse_source(f"nuscenes:{drive}"))


@pytest.fixture(scope="module")
def sample(refs: tuple[SampleRef, ...]) -> Sample:
    return sources.load_sample(refs[1])


def test_the_nuscenes_reader_gives_the_sample_back(
    refs: tuple[SampleRef, ...], sample: Sample, frame: Frame
) -> None:
    assert [ref.id for ref in refs] == ["000000", "000001", "000002"]
    views = {view.camera.name: view for view in frame.views}
    assert [picture.camera for picture in sample.pictures] == sorted(views)
    for picture, camera in zip(sample.pictures, sample.scene.cameras, strict=True):
        view = views[picture.camera]
        np.testing.assert_array_equal(picture.image_rgb, view.image_rgb)
        np.testing.assert_allclose(camera.K, view.camera.K)
        expected = view.camera.T_cam_from_lidar @ T_LIDAR_FROM_NUSCENES
        np.testing.assert_allclose(camera.T_cam_from_lidar, expected, atol=1e-9)
        assert camera.time_gap_s == pytest.approx(view.camera.time_gap_s, abs=1e-9)
    right, ahead, up = sample.scene.points_lidar.T
    np.testing.assert_array_equal(np.stack([ahead, -right, up], 1), frame.sweep.points_lidar)
    np.testing.assert_array_equal(sample.scene.points_drawn, frame.sweep.points_lidar)


def test_rings_count_from_the_lowest_beam(drive: Path, refs: tuple[SampleRef, ...]) -> None:
    rows = np.fromfile(drive / refs[1].sweep_file, "<f4").reshape(-1, 5)
    rows = rows[(rows[:, 1] > 5) & (np.abs(rows[:, 0]) < 0.2 * rows[:, 1])]  # the car hardly moved
    elevation_deg = np.rad2deg(np.arctan2(rows[:, 2], np.hypot(rows[:, 0], rows[:, 1])))
    share = (elevation_deg - LIDAR.bottom_deg) / (LIDAR.top_deg - LIDAR.bottom_deg)
    assert np.abs(rows[:, 4] - share * (LIDAR.beams - 1)).max() < 0.5
    assert len(rows) > 1000 and 100 < rows[:, 3].max() <= 255


def test_a_camera_sees_from_where_the_car_was_when_it_looked(caster: Caster) -> None:
    # The camera behind looks 0.05 s early. At 10 m/s the car was 0.5 m nearer to what is behind.
    world = make_world(0, 0, 0.1)
    still = Renderer(world, ring_rig(), caster)(0)
    gaps_s = {view.camera.name: view.camera.time_gap_s for view in still.views}
    assert gaps_s["CAM_BACK"] == -0.05 and gaps_s["CAM_FRONT"] == 0
    assert gaps_s["CAM_BACK_RIGHT"] == pytest.approx(1 / 30, abs=1e-6)
    for view in still.views:
        moved_m = view.T_world_from_ego[0, 3] - still.T_world_from_ego[0, 3]
        assert moved_m == pytest.approx(world.ego_m_s * view.camera.time_gap_s)
        assert view.stamp_ns == round(view.camera.time_gap_s * 1e9)


def test_seen_points_lie_in_the_masks_of_their_pictures(
    drive: Path, sample: Sample, frame: Frame
) -> None:
    token = sweep_token("000001")
    count = len(sample.scene.points_lidar)
    path = drive / nuscenes.label_file(nuscenes.PANOPTIC, NUSCENES_VERSION, token)
    classes, ids = nuscenes.read_panoptic(path, count)
    np.testing.assert_array_equal(ids, frame.sweep.ids)
    assert ((classes > 0) == (ids > 0)).all()
    lidarseg = drive / nuscenes.label_file(nuscenes.LIDARSEG, NUSCENES_VERSION, token)
    np.testing.assert_array_equal(nuscenes.read_lidarseg(lidarseg, count), classes)
    flags = np.fromfile(drive / f"seen/{NUSCENES_VERSION}/{token}_seen.bin", np.uint8)
    order = json.loads((drive / "card.json").read_text())["cameras"]
    shown = {p.file_name: p.annotations for p in coco.read(drive / "truth.json")}
    inside = []
    for picture, camera in zip(sample.pictures, sample.scene.cameras, strict=True):
        truth = shown[picture.file_name]
        image = np.zeros(RING_HW, np.int32)
        for row, number in enumerate(truth.instance_ids):
            image[masks.decode_one(truth.masks, row)] = number
        rows, uv, _ = points_in_view(camera, sample.scene.points_lidar, RING_HW)
        seen = (flags >> order.index(camera.name) & 1).astype(bool)
        assert not np.delete(seen, rows).any()
        mine = seen[rows] & (ids[rows] > 0)
        u, v = np.floor(uv[mine] + 0.5).astype(int).T
        inside += (image[v, u] == ids[rows][mine]).tolist()
    assert len(inside) > 1000 and np.mean(inside) >= 0.995


def test_the_devkit_loads_the_tables_and_agrees(
    drive: Path,
    sample: Sample,
    frame: Frame,
    oracle: Callable[[str], ModuleType],
) -> None:
    oracle("matplotlib").use("Agg")
    devkit = oracle("nuscenes.nuscenes").NuScenes(NUSCENES_VERSION, str(drive), verbose=False)
    record = devkit.get("sample", "000001")
    assert (record["prev"], record["next"]) == ("000000", "")
    assert [scene["nbr_samples"] for scene in devkit.scene] == [2, 1]
    shots = record["data"]
    assert devkit.get("sample_data", shots["CAM_BACK"])["prev"] == "000000-CAM_BACK"
    for camera in sample.scene.cameras:
        theirs, depth_m, image = devkit.explorer.map_pointcloud_to_image(
            shots["LIDAR_TOP"], shots[camera.name]
        )
        image.close()
        _, uv, ours_m = points_in_view(camera, sample.scene.points_lidar, RING_HW)
        kept = (ours_m > 1) & (uv > 1).all(axis=1)  # what the devkit keeps
        kept &= (uv[:, 0] < RING_HW[1] - 1) & (uv[:, 1] < RING_HW[0] - 1)
        np.testing.assert_allclose(theirs[:2].T, uv[kept], atol=0.05)  # it computes in float32
        np.testing.assert_allclose(depth_m, ours_m[kept], atol=1e-3)
    _, boxes, _ = devkit.get_sample_data(shots["LIDAR_TOP"])
    inside = oracle("nuscenes.utils.geometry_utils").points_in_box
    judged = 0
    for box in boxes:
        number = int(box.token.rpartition("-")[2])
        (row,) = np.flatnonzero(frame.objects.ids == number)
        mine = sample.scene.points_lidar[frame.sweep.ids == number].T
        assert devkit.get("sample_annotation", box.token)["num_lidar_pts"] == mine.shape[1]
        assert (box.name == "vehicle.car") == (frame.objects.class_names[row] in CARS)
        still = frame.objects.speeds_m_s[row] == 0  # what moves is smeared over the turn
        if still and mine.shape[1] >= 10:
            assert inside(box, mine, wlh_factor=1.1).mean() > 0.9
            judged += 1
    assert judged >= 5
    stats = oracle("nuscenes.panoptic.panoptic_utils").get_frame_panoptic_instances
    path = drive / devkit.get("panoptic", shots["LIDAR_TOP"])["filename"]
    found = stats(np.load(path)["data"], frame_id=0)
    assert sum(row[-1] for row in found if row[1] > 0) == (frame.sweep.ids > 0).sum()


def test_labels_of_six_cameras_are_judged_by_the_drives_truth(drive: Path, tmp_path: Path) -> None:
    request = LabelRequest(
        f"nuscenes:{drive}", tmp_path / "run", "boxes", boxes=str(drive / "truth.json")
    )
    run = label(request)
    assert run.counts["samples"]["ok"] == 3
    assert json.loads((tmp_path / "run" / "run.json").read_text())["licences"]["source"] == (
        "CC0-1.0"
    )
    report = evaluate(tmp_path / "run", str(drive))
    objects = [json.loads(line) for line in (drive / "objects.jsonl").read_text().splitlines()]
    counts = dict(report.counts)
    assert (counts["images with truth"], counts["sweeps with truth"]) == (18, 3)
    tables = report.to_dict()["tables"]
    assert tables["ap"]["rows"]["box"]["AP50"]["value"] > 0.8  # the prompts are the true boxes
    pooled = tables["points.seen.objects"]["rows"]["pooled, highest IoU"]
    assert next(iter(pooled.values()))["value"] > 0.5  # boxes filled, yet lifted
    scores = ablate(tmp_path / "run", (EVERYTHING,), _ignore)[EVERYTHING]
    shown = sum(sum(row["points"] >= 10 for row in line["objects"]) for line in objects)
    assert 10 < len(scores.counts) <= shown  # each object once, whatever shows it
    rows = tables["labels"]["rows"]
    ranges = [row for name, row in rows.items() if name.endswith(" m") and row["recall"]["n"]]
    assert len(ranges) >= 3


def test_the_boxes_of_a_drive_hold_the_points_of_its_objects(
    drive: Path, sample: Sample, frame: Frame
) -> None:
    road, count = load_ontology(), len(sample.scene.points_lidar)
    exact, boxed = (read_truth(name, road) for name in (str(drive), f"nuscenes:{drive}"))
    true, inside, best = (
        find(sample.id, count) for find in (exact.find_points, boxed.find_points, boxed.find_best)
    )
    assert true is not None and inside is not None and best is not None
    np.testing.assert_array_equal(best.instance_ids, true.instance_ids)  # the ceiling is the truth
    judged = 0
    for number in np.unique(true.instance_ids[true.instance_ids > 0]):
        mine = true.instance_ids == number
        (row,) = np.flatnonzero(frame.objects.ids == number)
        if mine.sum() >= 10 and frame.objects.speeds_m_s[row] == 0:
            held = inside.instance_ids[mine]
            assert (held > 0).mean() > 0.9 and len(np.unique(held[held > 0])) == 1
            assert set(inside.class_ids[mine & (inside.class_ids > 0)].tolist()) == set(
                boxed.point_classes(true.class_ids[mine][:1]).tolist()
            )
            judged += 1
    assert judged >= 5


def test_an_object_that_two_cameras_show_counts_once(frame: Frame) -> None:
    shown = [is_labelled(view) for view in frame.views]
    names = [view.camera.name for view in frame.views]
    truth = kept(frame, sample_labels(frame, "000001", names))
    found = statistics([truth])["road_users_per_frame"]
    assert found == np.any(shown, axis=0).sum() < np.sum(shown)


def test_other_numbers_of_cameras_are_refused(tmp_path: Path, caster: Caster) -> None:
    with pytest.raises(RequestError, match="cameras 3: expected 1 or 6"):
        synthesize(tmp_path / "x", 1, 0, caster, _ignore, cameras=3)
    assert not (tmp_path / "x").exists()
