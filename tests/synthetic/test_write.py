"""Bugs caught: layouts that our readers read otherwise; other bytes from the same seed."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.core import masks
from perception.core.errors import RequestError
from perception.core.geometry import transform
from perception.evaluation.kitti import points_in_boxes
from perception.formats import coco, kitti_label, semantic_kitti
from perception.readers import sources
from perception.synthetic.command import synthesize
from perception.synthetic.drive import Frame, Renderer
from perception.synthetic.rays import Caster
from perception.synthetic.rig import T_EGO_FROM_LIDAR, T_RECT_FROM_EGO, kitti_rig
from perception.synthetic.world import make_world
from perception.synthetic.write import is_labelled


def _ignore(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory, caster: Caster) -> Path:
    out = tmp_path_factory.mktemp("drive") / "out"
    synthesize(out, 3, 3, caster, _ignore, scene_frames=2, stride=12)
    return out


@pytest.fixture(scope="module")
def frame(caster: Caster) -> Frame:
    """Return frame 000001 of the drive."""
    return Renderer(make_world(3, 0, 2.5), kitti_rig(), caster)(12)


@pytest.mark.slow
def test_the_kitti_reader_gives_the_sample_back(drive: Path, frame: Frame) -> None:
    refs = sources.find(sources.parse_source(f"kitti:{drive}"))
    assert [ref.id for ref in refs] == ["000000", "000001", "000002"]
    sample = sources.load_sample(refs[1])
    np.testing.assert_array_equal(sample.pictures[0].image_rgb, frame.views[0].image_rgb)
    np.testing.assert_array_equal(sample.scene.points_lidar, frame.sweep.points_lidar)
    camera, expected = sample.scene.cameras[0], frame.views[0].camera
    np.testing.assert_allclose(camera.K, expected.K)
    np.testing.assert_allclose(camera.T_cam_from_lidar, expected.T_cam_from_lidar, atol=1e-12)


def test_label_2_holds_every_labelled_object_where_it_is(drive: Path, frame: Frame) -> None:
    objects = kitti_label.read(drive / "training/label_2/000001.txt")
    care = np.array([kind != "DontCare" for kind in objects.types])
    rows = np.flatnonzero(is_labelled(frame.views[0]))
    assert care.sum() == len(rows) >= 5
    boxes = frame.views[0].visible.boxes_xyxy[rows]
    np.testing.assert_array_equal(objects.boxes_xyxy[care], boxes)
    T_rect_from_lidar = T_RECT_FROM_EGO @ T_EGO_FROM_LIDAR
    points_rect = transform(T_rect_from_lidar, frame.sweep.points_lidar.astype(float))
    inside = points_in_boxes(objects[care], points_rect)
    for row, number in enumerate(frame.objects.ids[rows]):
        mine = frame.views[0].seen & (frame.sweep.ids == number)
        if mine.sum() >= 10:
            assert inside[row][mine].mean() > 0.9  # the bottom does not move out, motion stays in


def test_point_labels_are_those_of_the_sweep(drive: Path, frame: Frame) -> None:
    path = drive / "training/labels/000001.label"
    classes, instances = semantic_kitti.read(path, len(frame.sweep))
    np.testing.assert_array_equal(instances, frame.sweep.ids)
    assert ((classes > 0) == (instances > 0)).all()
    names = dict(zip(frame.objects.ids.tolist(), frame.objects.class_names, strict=True))
    known = {"car": 10, "van": 10, "truck": 18, "bus": 13, "person": 30, "bicyclist": 31}
    for number in np.unique(instances[instances > 0]):
        assert set(classes[instances == number]) == {known[names[int(number)]]}
    seen = np.frombuffer((drive / "training/seen/000001.bin").read_bytes(), np.uint8)
    np.testing.assert_array_equal(seen.astype(bool), frame.views[0].seen)


def test_coco_and_the_instance_image_hold_the_masks(drive: Path, frame: Frame) -> None:
    shown = cv2.imread(str(drive / "training/instances/000001.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(shown, frame.views[0].instance_ids)
    picture = {p.file_name: p for p in coco.read(drive / "truth.json")}[
        "training/image_2/000001.png"
    ]
    truth = picture.annotations
    for row, number in enumerate(truth.instance_ids):
        np.testing.assert_array_equal(masks.decode_one(truth.masks, row), shown == number)
    labelled = frame.objects.ids[is_labelled(frame.views[0])]
    assert sorted(truth.instance_ids[~truth.iscrowd].tolist()) == labelled.tolist()
    whole = {p.file_name: p for p in coco.read(drive / "whole.json")}[picture.file_name]
    assert sorted(whole.annotations.instance_ids.tolist()) == labelled.tolist()


def test_the_card_says_what_it_is(drive: Path) -> None:
    card = json.loads((drive / "card.json").read_text())
    assert card["seed"] == 3 and card["frames"] == 3 and card["scenes"] == ["000000", "000002"]
    assert card["statistics"]["road_users_per_frame"] > 5
    assert card["lidar_over_camera_m"] >= 0.25
    lines = (drive / "training/objects.jsonl").read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == ["000000", "000001", "000002"]
    poses = np.loadtxt(drive / "training/poses.txt")
    assert (
        poses.shape == (3, 12) and (drive / "training/times.txt").read_text() == "0.0\n1.2\n0.0\n"
    )


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(
    drive: Path, tmp_path: Path, caster: Caster, snapshot: Callable[[Path], dict[str, bytes]]
) -> None:
    synthesize(tmp_path / "again", 3, 3, caster, _ignore, scene_frames=2, stride=12)
    assert snapshot(tmp_path / "again") == snapshot(drive)
    synthesize(tmp_path / "other", 1, 5, caster, _ignore)
    picture = "training/image_2/000000.png"
    assert (tmp_path / "other" / picture).read_bytes() != (drive / picture).read_bytes()


def test_a_folder_that_holds_something_is_refused(tmp_path: Path, caster: Caster) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(RequestError, match=r"output\.exists"):
        synthesize(tmp_path, 1, 0, caster, _ignore)
    with pytest.raises(RequestError, match=r"holds something else \(no truth\.json\)"):
        synthesize(tmp_path, 1, 0, caster, _ignore, overwrite=True)
    assert (tmp_path / "note.txt").read_text() == "mine"


def test_overwrite_discards_a_drive(tmp_path: Path, caster: Caster) -> None:
    synthesize(tmp_path / "drive", 2, 0, caster, _ignore)
    synthesize(tmp_path / "drive", 1, 0, caster, _ignore, overwrite=True)
    assert len([*(tmp_path / "drive" / "training" / "image_2").iterdir()]) == 1


@pytest.mark.parametrize(
    ("frames", "seed", "workers"), [(0, 0, 1), (1, -1, 1), (1, 0, 0)], ids=["none", "seed", "idle"]
)
def test_numbers_out_of_range_are_refused_before_anything_is_made(
    tmp_path: Path, caster: Caster, frames: int, seed: int, workers: int
) -> None:
    with pytest.raises(RequestError, match=r"option\.invalid"):
        synthesize(tmp_path / "x", frames, seed, caster, _ignore, workers=workers)
    assert not (tmp_path / "x").exists()
