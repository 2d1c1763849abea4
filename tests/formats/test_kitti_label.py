from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.core.errors import RequestError, SampleError
from perception.core.types import Cuboids
from perception.formats import kitti_boxes, kitti_label
from perception.formats.kitti_label import KittiObjects

# 000001.txt of the training set
ROWS = """\
Truck 0.00 0 -1.57 599.41 156.40 629.75 189.25 2.85 2.63 12.34 0.47 1.49 69.44 -1.56
Car 0.00 3 1.85 387.63 181.54 423.81 203.12 1.67 1.87 3.69 -16.53 2.39 58.49 1.57
DontCare -1 -1 -10 503.89 169.71 590.61 190.13 -1 -1 -1 -1000 -1000 -1000 -10
"""


def test_the_columns_of_a_ground_truth_file_land_in_their_fields(tmp_path: Path) -> None:
    path = tmp_path / "000001.txt"
    path.write_text(ROWS)
    objects = kitti_label.read(path)
    assert objects.types == ("Truck", "Car", "DontCare")
    assert objects.truncated.tolist() == [0, 0, -1]
    assert objects.occluded.tolist() == [0, 3, -1]
    assert objects.alphas_rad.tolist() == [-1.57, 1.85, -10]
    np.testing.assert_allclose(objects.boxes_xyxy[1], [387.63, 181.54, 423.81, 203.12])
    assert objects.dimensions_hwl_m[0].tolist() == [2.85, 2.63, 12.34]
    assert objects.locations_cam_m[1].tolist() == [-16.53, 2.39, 58.49]
    assert objects.rotations_y_rad.tolist() == [-1.56, 1.57, -10]
    assert objects.scores.tolist() == [1, 1, 1]


def test_regions_without_labels_are_no_detections(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(ROWS.replace("1.57\nDont", "1.57 0.25\nDont"))
    found = kitti_boxes.read(path)
    assert [found.class_names[i] for i in found.class_ids] == ["Truck", "Car"]
    np.testing.assert_allclose(found.boxes_xyxy[0], [599.41, 156.40, 629.75, 189.25])
    assert found.scores.tolist() == [1, 0.25]
    assert found.boxes_xyxy.dtype == found.scores.dtype == np.float32


def _column(low: float, high: float, width: int = 64) -> st.SearchStrategy[float]:
    return st.floats(low, high, width=width)  # type: ignore[arg-type]


ROW = st.tuples(
    st.sampled_from(kitti_label.TYPES),
    _column(-1, 1),
    st.integers(-1, 3),
    _column(-10, 10),
    st.lists(_column(-(2**20), 2**20, 32), min_size=4, max_size=4),
    st.lists(_column(-1, 1e4), min_size=3, max_size=3),
    st.lists(_column(-1e9, 1e9), min_size=3, max_size=3),
    _column(-10, 10),
    _column(-1e3, 1e3),
)


@pytest.mark.slow
@given(st.lists(ROW, max_size=4))
def test_reading_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple]
) -> None:
    columns = list(zip(*rows, strict=True)) if rows else [()] * 9
    objects = KittiObjects(
        types=tuple(columns[0]),
        truncated=np.array(columns[1], np.float64),
        occluded=np.array(columns[2], np.int32),
        alphas_rad=np.array(columns[3], np.float64),
        boxes_xyxy=np.array(columns[4], np.float32).reshape(-1, 4),
        dimensions_hwl_m=np.array(columns[5], np.float64).reshape(-1, 3),
        locations_cam_m=np.array(columns[6], np.float64).reshape(-1, 3),
        rotations_y_rad=np.array(columns[7], np.float64),
        scores=np.array(columns[8], np.float64),
    )
    path = tmp_path_factory.getbasetemp() / "labels.txt"
    kitti_label.write(objects, path, with_scores=True)
    again = kitti_label.read(path)
    assert again.types == objects.types
    for name in ("truncated", "occluded", "alphas_rad", "boxes_xyxy", "dimensions_hwl_m"):
        np.testing.assert_array_equal(getattr(again, name), getattr(objects, name))
        assert getattr(again, name).dtype == getattr(objects, name).dtype
    for name in ("locations_cam_m", "rotations_y_rad", "scores"):
        np.testing.assert_array_equal(getattr(again, name), getattr(objects, name))


def test_ground_truth_has_15_columns_and_results_have_16(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(ROWS)
    objects = kitti_label.read(path)
    kitti_label.write(objects, tmp_path / "gt.txt")
    kitti_label.write(objects, tmp_path / "result.txt", with_scores=True)
    first = (tmp_path / "gt.txt").read_text().splitlines()[0]
    assert first == (
        "Truck 0.0 0 -1.57 599.41 156.4 629.75 189.25 2.85 2.63 12.34 0.47 1.49 69.44 -1.56"
    )
    widths = [len(line.split()) for line in (tmp_path / "result.txt").read_text().splitlines()]
    assert widths == [16, 16, 16]


@pytest.mark.parametrize("text", ["", "\n", "  \r\n\n", "\ufeff"])
def test_an_empty_file_has_no_objects(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    objects = kitti_label.read(path)
    assert len(objects) == 0
    assert objects.boxes_xyxy.shape == (0, 4)
    assert kitti_boxes.read(path).boxes_xyxy.shape == (0, 4)
    kitti_label.write(objects, path)
    assert path.read_bytes() == b""


GOOD = "Car 0 0 0 1 2 3 4 1 1 1 0 0 5 0"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (GOOD + " 1 1", "a.txt:2: 17 columns, expected 15"),
        (GOOD[:-2], "a.txt:2: 14 columns"),
        (GOOD.replace("1 2 3 4", "1 2 x 4"), "a.txt:2: right is 'x', expected a finite number"),
        (GOOD.replace("1 2 3 4", "nan 2 3 4"), "left is 'nan'"),
        (GOOD.replace("1 2 3 4", "1 1e30 3 4"), "top is '1e30'"),
        (GOOD.replace("1 2 3 4", "1 1_0 3 4"), "top is '1_0'"),
        (GOOD.replace("Car 0 0", "Car 0 0.5"), "occluded is '0.5', expected -1, 0, 1, 2 or 3"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_column(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"{GOOD}\n{row}\n")
    with pytest.raises(SampleError) as caught:
        kitti_label.read(path)
    assert caught.value.code == "label.invalid"
    assert message in caught.value.message


def test_files_that_are_missing_or_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match=r"io\.not_found"):
        kitti_label.read(tmp_path / "none.txt")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SampleError, match=r"label\.invalid.*UTF-8"):
        kitti_label.read(tmp_path / "b.txt")


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(GOOD)
    objects = kitti_label.read(path)
    spaced = kitti_label.KittiObjects(**{**vars(objects), "types": ("Big car",)})
    nowhere = kitti_label.KittiObjects(**{**vars(objects), "alphas_rad": np.array([np.nan])})
    for broken in (spaced, nowhere):
        with pytest.raises(RequestError, match=r"label\.invalid"):
            kitti_label.write(broken, tmp_path / "b.txt")
    assert not (tmp_path / "b.txt").exists()


def test_boxes_go_to_the_camera_and_back() -> None:
    # LiDAR x ahead, y left, z up, 0.1 m above and 0.3 m behind the camera.
    T = np.array([[0, -1, 0, 0], [0, 0, -1, 0.1], [1, 0, 0, -0.3], [0, 0, 0, 1.0]])
    cuboids = Cuboids(
        instance_ids=np.array([1, 2], np.int32),
        centres_m=np.array([[10, 2, -0.9], [20, -5, 0]], np.float32),
        sizes_lwh_m=np.array([[4, 2, 1.5], [1, 0.5, 2]], np.float32),
        yaws_rad=np.array([0, np.pi / 4], np.float32),
        confidences=np.ones(2, np.float32),
    )
    boxes = kitti_label.boxes_of(cuboids, np.array([0, -1, 1]), T)
    # 2 m left is x = -2; the bottom is 1.65 m under the LiDAR, 1.75 m under the camera.
    np.testing.assert_allclose(boxes.locations_cam_m[0], [-2, 1.75, 9.7], atol=1e-6)
    np.testing.assert_allclose(boxes.dimensions_hwl_m[0], [1.5, 2, 4])
    # A car that drives ahead is turned by -90 degrees about y, which points down.
    turned = [-np.pi / 2, -10, -3 * np.pi / 4]
    np.testing.assert_allclose(boxes.rotations_y_rad, turned, atol=1e-6)
    assert boxes.alphas_rad[0] == pytest.approx(-np.pi / 2 - np.arctan2(-2, 9.7))
    assert boxes.locations_cam_m[1].tolist() == [-1000] * 3 and boxes.alphas_rad[1] == -10
    known = [0, 2]
    objects = KittiObjects(
        types=("Car", "Pedestrian"),
        truncated=np.zeros(2),
        occluded=np.zeros(2, np.int32),
        alphas_rad=boxes.alphas_rad[known],
        boxes_xyxy=np.zeros((2, 4), np.float32),
        dimensions_hwl_m=boxes.dimensions_hwl_m[known],
        locations_cam_m=boxes.locations_cam_m[known],
        rotations_y_rad=boxes.rotations_y_rad[known],
        scores=np.ones(2),
    )
    back = kitti_label.cuboids_of(objects, T)
    for name in ("instance_ids", "centres_m", "sizes_lwh_m", "yaws_rad"):
        np.testing.assert_allclose(getattr(back, name), getattr(cuboids, name), atol=1e-5)
    assert len(kitti_label.boxes_of(cuboids, np.zeros(0, np.int64), T).alphas_rad) == 0
