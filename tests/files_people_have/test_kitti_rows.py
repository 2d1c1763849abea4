"""KITTI label files of people's own, as prompts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perception.core.errors import RequestError

BOX = "20 14 44 34"
REST = "2 2 2 0 1 6 0"
CAR = ("car", (20, 14, 24, 20))
PERSON = ("person", (20, 14, 24, 20))


@pytest.mark.parametrize(
    ("rows", "labels"),
    [
        pytest.param([f"Car 0 0 0 {BOX} {REST}"], [CAR], id="as KITTI has it"),
        pytest.param([f"car 0 0 0 {BOX} {REST}"], [CAR], id="mmdetection3d#1764"),
        pytest.param([f"pedestrian 0 0 0 {BOX} {REST}"], [PERSON], id="second.pytorch#469"),
        pytest.param([f"Bus 0 0 0 {BOX} {REST}"], [("bus", CAR[1])], id="OpenPCDet#1508"),
        pytest.param([f"Car 0 0 0 {BOX}"], [CAR], id="8 columns"),
        pytest.param([f"Car -1 -1 -10 {BOX} nan nan nan a b c d"], [CAR], id="nothing in 3D"),
        pytest.param([f"Car 0.00 7 0 {BOX} {REST}"], [CAR], id="occlusion of one's own"),
        pytest.param([f"Car 0 0 0 {BOX} {REST} 0.9"], [CAR], id="with a score"),
        pytest.param(
            [f"Car 0 0 0 {BOX} {REST}", f"dontcare -1 -1 -10 {BOX}"], [CAR], id="a region"
        ),
        pytest.param([], [], id="empty"),
    ],
)
def test_types_and_boxes_are_all_that_a_prompt_needs(
    rows: list[str],
    labels: list[Any],
    tmp_path: Path,
    kitti: Callable[[Path, int], Path],
    label_here: Callable[..., Any],
) -> None:
    root = kitti(tmp_path / "kitti", 1)
    (root / "training/label_2/000000.txt").write_text("".join(f"{row}\n" for row in rows))
    answer = label_here(f"kitti:{root}", boxes="label_2")
    assert list(answer.labels.values()) == [labels]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("Car 0 0 0 20 14", "row.words"),
        (f"Car 0 0 0 {BOX} {REST} 0.9 1 2", "row.words"),
        (f"Car 0 0 0 20 nan 44 34 {REST}", "row.number"),
        (f"Car 0 0 0 20 1_4 44 34 {REST}", "row.number"),
        (f"Car 0 0 0 {BOX} {REST} high", "row.number"),
    ],
)
def test_a_bad_row_is_counted_and_the_others_are_labelled(
    row: str,
    code: str,
    tmp_path: Path,
    kitti: Callable[[Path, int], Path],
    label_here: Callable[..., Any],
) -> None:
    root = kitti(tmp_path / "kitti", 2)
    text = f"Car 0 0 0 {BOX} {REST}\n{row}\n"
    (root / "training/label_2/000000.txt").write_text(text)
    (root / "training/label_2/000001.txt").write_text(f"{row}\n")  # nothing good in it
    answer = label_here(f"kitti:{root}", boxes="label_2")
    assert list(answer.labels.values()) == [[CAR]]
    assert answer.counts["boxes_dropped"] == {code: 1}
    assert answer.counts["quarantined_by"] == {"label.invalid": 1}


def test_a_type_that_no_map_knows_is_named_before_any_work(
    tmp_path: Path, kitti: Callable[[Path, int], Path], label_here: Callable[..., Any]
) -> None:
    root = kitti(tmp_path / "kitti", 2)
    (root / "training/label_2/000001.txt").write_text(f"Hovercraft 0 0 0 {BOX} {REST}\n")
    with pytest.raises(RequestError, match=r"1 class is neither .*'Hovercraft'.*--class-map"):
        label_here(f"kitti:{root}", boxes="label_2")
    (tmp_path / "map.yaml").write_text(
        "source: mine\ntarget: road\nmap: {Car: car, Hovercraft: other-vehicle}\n"
    )
    answer = label_here(f"kitti:{root}", boxes="label_2", class_map=str(tmp_path / "map.yaml"))
    assert [rows[0][0] for rows in answer.labels.values()] == ["car", "other-vehicle"]


def test_rows_of_kitti_tracking_are_told_by_name(
    tmp_path: Path, kitti: Callable[[Path, int], Path], label_here: Callable[..., Any]
) -> None:
    root = kitti(tmp_path / "kitti", 1)
    (root / "training/label_2/000000.txt").write_text(f"0 3 Car 0 0 0 {BOX} {REST}\n")
    answer = label_here(f"kitti:{root}", boxes="label_2")
    assert answer.counts["quarantined_by"] == {"label.invalid": 1}
    assert "KITTI tracking" in (answer.run / "quarantine.jsonl").read_text()
