"""One label file of other people's, read as boxes."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.core.errors import SampleError
from perception.core.types import Detections
from perception.formats import parse_number
from perception.formats.yolo_rows import Meaning, read_boxes

SIZE_HW = (100, 200)
NAMES = ("person", "car")
GOOD = "0 0.5 0.5 0.2 0.1"


def read(path: Path, text: str | bytes, meaning: Meaning | None = None) -> Detections:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_boxes(path, SIZE_HW, NAMES, meaning)


def test_boxes_scores_and_bounds_of_polygons_are_prompts(tmp_path: Path) -> None:
    found = read(
        tmp_path / "a.txt",
        "1 0.5 0.5 0.2 0.1\n\n0 0.5 0.5 1 1 0.25\r\n1 0.1 0.2 0.4 0.3 0.2 0.9\n",
    )
    np.testing.assert_allclose(
        found.boxes_xyxy, [[80, 45, 120, 55], [0, 0, 200, 100], [20, 20, 80, 90]], rtol=1e-6
    )
    assert found.scores.tolist() == [1, 0.25, 1]
    assert found.class_ids.tolist() == [1, 0, 1]
    assert (found.class_names, found.dropped, found.mended) == (NAMES, (), ())


@pytest.mark.parametrize("text", [None, "", "\n \n", "\ufeff"])
def test_a_missing_or_empty_file_has_no_boxes(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "a.txt"
    found = read_boxes(path, SIZE_HW, NAMES) if text is None else read(path, text)
    assert found.boxes_xyxy.shape == (0, 4)


BOX = [(80, 45, 120, 55)]
QUAD = "0.4 0.45 0.6 0.45 0.6 0.55 0.4 0.55"


@pytest.mark.parametrize(
    ("row", "meaning", "score"),
    [
        ("0 0.5 0.5 0.2 0.1", Meaning(), 1),
        ("0 0.5 0.5 0.2 0.1 0.3", Meaning(), 0.3),
        ("0 0.5 0.5 0.2 0.1 7", Meaning(last_is_id=True), 1),
        ("0 0.5 0.5 0.2 0.1 0.3 7", Meaning(box_pairs=True), 0.3),
        ("0 0.5 0.5 0.2 0.1 0.9 0.9 2 0 0 0", Meaning((2, 3)), 1),
        ("0 0.5 0.5 0.2 0.1 0.9 0.9 2 0 0 0 0.3", Meaning((2, 3)), 0.3),
        ("0 0.5 0.5 0.2 0.1 9 9 2 0 0 0 7", Meaning((2, 3), last_is_id=True), 1),
        ("0 0.5 0.5 0.2 0.1 0.9 0.9 0.3 7", Meaning((1, 2)), 0.3),
        ("0 0.5 0.5 0.2 0.1 0.3", Meaning((2, 3)), 0.3),  # a box whose points nobody marked
        (f"0 {QUAD}", Meaning(), 1),
        (f"0 {QUAD} 0.3", Meaning(polygon_rest=1), 0.3),
        (f"0 {QUAD} 7", Meaning(polygon_rest=1, last_is_id=True), 1),
        (f"0 {QUAD} 0.3 7", Meaning(polygon_rest=2), 0.3),
        (f"0 {QUAD} 0.3", Meaning(polygon_rest=2), 0.3),  # not tracked yet
    ],
)
def test_numbers_have_the_meaning_that_the_folder_gives_them(
    tmp_path: Path, row: str, meaning: Meaning, score: float
) -> None:
    found = read(tmp_path / "a.txt", row, meaning)
    np.testing.assert_allclose(found.boxes_xyxy, BOX, rtol=1e-6)
    assert found.scores.tolist() == [np.float32(score)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("0 0.5 0.5 0.2", "row.words"),
        ("0", "row.words"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "row.words"),  # half a point is lost
        ("0 0.5 0.5 0.2 x", "row.number"),
        ("0 0.5 0.5 0.2 nan", "row.number"),
        ("0 0.5 0.5 inf 0.1", "row.number"),
        ("0 0.5 0.5 0.2 1_0", "row.number"),
        ("0 0.5 0.5 0.2 \u0661", "row.number"),  # an Arabic digit, which float() takes
        ("0 0,5 0,5 0,2 0,1", "row.number"),
        ("-1 0.5 0.5 0.2 0.1", "row.class"),
        ("0.5 0.5 0.5 0.2 0.1", "row.class"),
        ("car 0.5 0.5 0.2 0.1", "row.class"),
        ("# class x y w h", "row.class"),
        ("0 0.5 1.02 0.2 0.1", "row.range"),
        ("0 0.5 -0.02 0.2 0.1", "row.range"),
        ("0 50 50 20 10", "row.range"),
        ("0 0.5 0.5 -0.2 0.1", "row.range"),
        ("0 0.5 0.5 0.2 0.1 1.5", "row.score"),
    ],
)
def test_a_bad_row_is_dropped_and_counted_and_the_others_stay(
    tmp_path: Path, row: str, reason: str
) -> None:
    found = read(tmp_path / "a.txt", f"{GOOD}\n{row}\n{row}\n")
    np.testing.assert_allclose(found.boxes_xyxy, BOX, rtol=1e-6)
    assert found.dropped == ((reason, 2),)


def test_a_track_id_is_a_whole_number(tmp_path: Path) -> None:
    text = "0 0.5 0.5 0.2 0.1 7\n0 0.5 0.5 0.2 0.1 0.5\n"
    found = read(tmp_path / "a.txt", text, Meaning(last_is_id=True))
    assert (len(found), found.dropped) == (1, (("row.track", 1),))


@pytest.mark.parametrize(
    ("meaning", "expected"),
    [
        (Meaning(), r"expected 5 \(class and box\), 6 \(and a score\)"),
        (Meaning((17, 3)), "expected class, box and 17 key points of 3 numbers"),
    ],
)
def test_a_file_without_a_good_row_is_no_empty_street(
    tmp_path: Path, meaning: Meaning, expected: str
) -> None:
    words = rf"label\.invalid.*a\.txt:1: 4 words, {expected}.*no good row"
    with pytest.raises(SampleError, match=words):
        read(tmp_path / "a.txt", "0 0.5 0.5 0.2\ncar 1 2\n", meaning)


def test_a_class_without_a_name_loses_the_picture_not_the_label_alone(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match=r"class\.unknown.*a\.txt:2: class 2, expected 0 to 1"):
        read(tmp_path / "a.txt", f"{GOOD}\n2 0.5 0.5 0.2 0.1\n")


def test_a_coordinate_just_outside_ends_at_the_border_and_is_counted(tmp_path: Path) -> None:
    rows = ["0 1.002 0.5 0.2 0.1", "0 0.5 -0.009 0.2 0.1", "0 0.1 0.2 1.01 0.3 0.2 0.9", GOOD]
    inside = ["0 0.5 0.5 1.000001 0.1", "0 0 0 1 0 1 1"]  # rounded, and on the border
    found = read(tmp_path / "a.txt", "\n".join([*rows, *inside]))
    assert (len(found), found.dropped, found.mended) == (6, (), (("row.clipped", 3),))


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_text_is_read_as_editors_write_it(tmp_path: Path, encoding: str, newline: str) -> None:
    mark = "\ufeff" if encoding in {"utf-16-le", "utf-16-be"} else ""
    text = newline.join([f"{mark}0\t0.5 0.5  0.2 1e-1 ", "", "1 .5 5e-1 0.20 0.1"])
    found = read(tmp_path / "a.txt", text.encode(encoding))
    np.testing.assert_allclose(found.boxes_xyxy, BOX * 2, rtol=1e-6)
    assert found.class_ids.tolist() == [0, 1]


@pytest.mark.parametrize("data", [GOOD.encode("utf-16-le"), b"0 0.5 0.5 0.2 \xff\xfe\n", b"\0" * 9])
def test_what_is_no_text_is_told(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(SampleError, match=r"label\.invalid.*a\.txt: is not UTF-8 text.*save it"):
        read(tmp_path / "a.txt", data)


@pytest.mark.parametrize(
    "word",
    ["1_000", "\u0661", "\uff11", "\u00bd", "0x10", "", "1,5", "--1", "1e", "\u22121", "1 2"],
)
def test_numbers_in_text_are_decimal_ascii(word: str) -> None:
    assert math.isnan(parse_number(word))


coordinates = st.one_of(st.floats(allow_nan=True), st.floats(0, 1), st.integers(-2, 3))


@given(st.lists(st.lists(coordinates, min_size=1, max_size=14), min_size=1, max_size=6))
def test_every_row_is_a_box_or_counted(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[float]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    text = "".join(f"1 {' '.join(map(repr, row))}\n" for row in rows)
    try:
        found = read(path, f"{GOOD}\n{text}", Meaning(box_pairs=True, polygon_rest=2))
    except SampleError as error:
        pytest.fail(error.message)
    assert len(found) + sum(count for _, count in found.dropped) == len(rows) + 1
    assert np.isfinite(found.boxes_xyxy).all()
