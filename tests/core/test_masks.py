import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from perception.core import masks
from perception.core.errors import SampleError
from perception.core.types import Bool, Masks

# pycocotools 2.0.11 answers numpy 2's `copy` keyword with a warning in `decode`
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

quick = settings(max_examples=60)


@st.composite
def bitmaps(draw: st.DrawFn, min_n: int = 0) -> Bool:
    """(N, H, W): empty, full, dots and blocks; sides long enough for runs of several characters."""
    n = draw(st.integers(min_n, 4))
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    result = np.zeros((n, height, width), bool)
    for row in range(n):
        kind = draw(st.sampled_from(["empty", "full", "dots", "block"]))
        if kind == "full":
            result[row] = True
        elif kind == "dots":
            result[row] = random.random((height, width)) < random.random()
        elif kind == "block":
            y0, x0 = random.integers(0, height), random.integers(0, width)
            result[row, y0 : random.integers(y0, height) + 1, x0 : x0 + 9] = True
    return result


def coco_encoded(full: Bool) -> list[dict[str, Any]]:
    """(N, H, W) bitmaps in pycocotools' own run-lengths of the whole image."""
    stacked = np.asfortranarray(full.transpose(1, 2, 0), np.uint8)
    return coco_mask.encode(stacked)  # type: ignore[no-any-return]


def runs_of(bitmap: Bool) -> list[int]:
    """Run-lengths by plain counting: column by column, zeros first."""
    runs, value = [0], False
    for pixel in bitmap.T.ravel().tolist():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


@quick
@given(bitmaps())
def test_decoding_returns_what_was_encoded(full: Bool) -> None:
    encoded = masks.encode(full)
    np.testing.assert_array_equal(masks.decode(encoded), full)
    assert masks.checked(encoded) is encoded


@quick
@given(bitmaps())
def test_boxes_are_the_tight_half_open_bounds_and_zero_for_empty_masks(full: Bool) -> None:
    encoded = masks.encode(full)
    for bitmap, box, counts in zip(full, encoded.boxes_xyxy, encoded.counts, strict=True):
        rows, columns = np.nonzero(bitmap)
        if len(rows) == 0:
            assert (box.tolist(), counts) == ([0, 0, 0, 0], b"")
        else:
            bounds = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert box.tolist() == bounds


@quick
@given(bitmaps())
def test_areas_overlaps_and_ious_are_those_of_the_bitmaps_and_of_pycocotools(full: Bool) -> None:
    encoded = masks.encode(full)
    flat = full.reshape(len(full), full.shape[1] * full.shape[2]).astype(np.int64)
    np.testing.assert_array_equal(masks.areas(encoded), flat.sum(axis=1))
    np.testing.assert_array_equal(masks.overlaps(encoded), flat @ flat.T)
    if len(full):
        theirs = coco_encoded(full)
        expected = coco_mask.iou(theirs, theirs, [0] * len(full))
        np.testing.assert_allclose(masks.ious(encoded), expected)


@quick
@given(bitmaps(min_n=1))
def test_coco_run_lengths_mean_the_same_to_pycocotools_and_come_back(full: Bool) -> None:
    encoded = masks.encode(full)
    for row, bitmap in enumerate(full):
        rle = json.loads(json.dumps(masks.to_coco(encoded, row)))
        np.testing.assert_array_equal(coco_mask.decode(rle), bitmap)
        assert rle["counts"].encode() == coco_encoded(full)[row]["counts"]  # to the byte
        np.testing.assert_array_equal(masks.decode(masks.from_coco(rle))[0], bitmap)


@quick
@given(bitmaps(min_n=1))
def test_runs_of_a_pycocotools_string_are_the_runs_of_the_bitmap(full: Bool) -> None:
    height, width = full.shape[1:]
    for bitmap, theirs in zip(full, coco_encoded(full), strict=True):
        expected = runs_of(bitmap)
        assert masks.check_counts(theirs["counts"], height, width).tolist() == expected
        for counts in (theirs["counts"], theirs["counts"].decode("ascii"), expected):
            given_rle = {"size": [height, width], "counts": counts}
            np.testing.assert_array_equal(masks.decode(masks.from_coco(given_rle))[0], bitmap)


@quick
@given(bitmaps(min_n=1), st.data())
def test_rows_can_be_chosen_and_decoded_alone(full: Bool, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(full) - 1))
    encoded = masks.encode(full)
    np.testing.assert_array_equal(masks.decode_one(encoded, row), full[row])
    np.testing.assert_array_equal(masks.decode(encoded[np.array([row])])[0], full[row])
    x0, y0, x1, y1 = encoded.boxes_xyxy[row]
    np.testing.assert_array_equal(masks.decode_crop(encoded, row), full[row, y0:y1, x0:x1])


printable = st.binary(max_size=40) | st.lists(st.integers(48, 111), max_size=40).map(bytes)


@settings(max_examples=400)
@given(printable, st.integers(-1, 9), st.integers(-1, 9))
def test_any_bytes_are_runs_that_fill_the_image_or_an_error(
    counts: bytes, height: int, width: int
) -> None:
    try:
        runs = masks.check_counts(counts, height, width)
    except SampleError as error:
        assert error.code == "rle.invalid"
    else:
        assert runs.min() >= 0 and runs.sum() == height * width
        ours = masks.decode(masks.from_coco({"size": [height, width], "counts": counts}))[0]
        np.testing.assert_array_equal(
            ours, coco_mask.decode({"size": [height, width], "counts": counts})
        )


@quick
@given(bitmaps(min_n=1), st.data())
def test_a_damaged_string_never_crashes(full: Bool, data: st.DataObject) -> None:
    height, width = full.shape[1:]
    counts = bytearray(coco_encoded(full)[0]["counts"])
    where = data.draw(st.integers(0, len(counts) - 1))
    counts[where] = data.draw(st.integers(0, 255))
    try:
        assert masks.check_counts(bytes(counts), height, width).sum() == height * width
    except SampleError as error:
        assert error.code == "rle.invalid"


@pytest.mark.parametrize("value", [False, True])
def test_an_image_of_one_pixel(value: bool) -> None:
    full = np.full((1, 1, 1), value)
    encoded = masks.encode(full)
    np.testing.assert_array_equal(masks.decode(encoded), full)
    assert masks.areas(encoded).tolist() == [int(value)]
    assert masks.ious(encoded).tolist() == [[float(value)]]  # an empty union has IoU 0
    np.testing.assert_array_equal(coco_mask.decode(masks.to_coco(encoded, 0)), full[0])


def test_no_masks_are_masks_of_that_image_size() -> None:
    nothing = masks.encode(np.zeros((0, 375, 1242), bool))
    assert nothing.size_hw == (375, 1242)
    assert masks.decode(nothing).shape == (0, 375, 1242)
    assert masks.areas(nothing).shape == (0,)
    assert masks.overlaps(nothing).shape == masks.ious(nothing).shape == (0, 0)
    assert masks.checked(nothing) is nothing


def test_a_crop_is_encoded_where_it_lies_in_the_image() -> None:
    crop = np.array([[0, 0, 0], [0, 1, 1]], bool)
    box, counts = masks.encode_one(crop, offset_xy=(100, 50))
    assert box.tolist() == [101, 51, 103, 52]
    encoded = masks.join(((box, counts),), (375, 1242))
    assert np.argwhere(masks.decode_one(encoded, 0)).tolist() == [[51, 101], [51, 102]]


def test_encoding_leaves_the_bitmap_as_it_was() -> None:
    full = np.random.default_rng(0).random((2, 20, 30)) < 0.5
    before = full.copy()
    full.setflags(write=False)  # as arrays out of Ray's object store are
    masks.encode(full)
    np.testing.assert_array_equal(full, before)


@pytest.mark.parametrize(
    ("box", "counts"),
    [
        ([0, 0, 2, 2], b""),  # a box without runs
        ([0, 0, 0, 0], b"04"),  # runs without a box
        ([0, 0, 2, 2], b"05"),  # 5 pixels in a box of 4
        ([-1, 0, 1, 2], b"04"),
        ([9, 9, 11, 11], b"04"),  # beyond the right border
        ([2, 2, 0, 0], b"04"),
    ],
)
def test_a_stored_mask_that_does_not_fit_names_its_row(box: list[int], counts: bytes) -> None:
    good = masks.encode(np.ones((1, 10, 10), bool))
    stored = Masks(
        boxes_xyxy=np.array([good.boxes_xyxy[0], box], np.int32),
        counts=(good.counts[0], counts),
        size_hw=(10, 10),
    )
    with pytest.raises(SampleError, match=r"rle\.invalid"):
        masks.checked(stored)


# Row by row what pycocotools would crash on or misread; evaluated in a child that must live.
HOSTILE = """[
    ("cut off inside a number", [3, 3], "P"),
    ("cut off inside a number, bytes", [3, 3], b"P"),
    ("cut off after good runs", [3, 3], "09P"),
    ("all continuation", [3, 3], "o" * 10000),
    ("a number of many characters", [3, 3], "P" * 40 + "0"),
    ("nine, in more characters than fit a machine word", [3, 3], "YPPPPPPPPPPPPP0"),
    ("empty", [3, 3], ""),
    ("runs too short", [3, 3], "08"),
    ("runs too long", [3, 3], "0:"),
    ("far too long", [3, 3], "0PPPP4"),
    ("negative run", [3, 3], "0O:"),
    ("negative by difference", [3, 3], "433L"),
    ("no ASCII", [3, 3], "0\\u00e9"),
    ("no ASCII, bytes", [3, 3], b"0\\xff"),
    ("lone surrogate", [3, 3], "0\\ud800"),
    ("control characters", [3, 3], "\\x00\\n"),
    ("list too short", [3, 3], [8]),
    ("list too long", [3, 3], [0, 10]),
    ("list with a negative run", [3, 3], [10, -1]),
    ("list of floats", [3, 3], [9.0]),
    ("list of bools", [1, 1], [True]),
    ("list of text", [3, 3], ["9"]),
    ("list of lists", [3, 3], [[9]]),
    ("list that overflows", [3, 3], [2**63, 9 - 2**63]),
    ("list without runs", [3, 3], []),
    ("no counts", [3, 3], None),
    ("counts a number", [3, 3], 9),
    ("counts a dict", [3, 3], {}),
    ("size of bools", [True, True], "01"),
    ("size of text", ["3", "3"], "09"),
    ("size of floats", [3.0, 3.0], "09"),
    ("size huge", [2**40, 2**40], "09"),
    ("size that wraps round", [2**32, 2**32], "0"),
    ("size zero", [0, 0], "0"),
    ("size zero, no runs", [0, 5], ""),
    ("size negative", [-3, -3], "09"),
    ("size of one", [9], "09"),
    ("size of three", [3, 3, 1], "09"),
    ("size a number", 9, "09"),
    ("size none", None, "09"),
]"""
CHILD = f"""
import json, sys
from perception.core.errors import SampleError
from perception.core import masks
found = {{}}
for name, size, counts in {HOSTILE}:
    try:
        masks.from_coco({{"size": size, "counts": counts}})
        found[name] = "accepted"
    except SampleError as error:
        found[name] = error.code
print(json.dumps(found))
"""


def test_hostile_run_lengths_are_refused_and_the_process_lives() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == HOSTILE.count("\n    (")
    assert {name: code for name, code in found.items() if code != "rle.invalid"} == {}


@pytest.mark.parametrize("rle", [{}, {"size": [3, 3]}, {"counts": "09"}])
def test_a_missing_key_is_an_invalid_mask(rle: dict[str, Any]) -> None:
    with pytest.raises(SampleError, match=r"rle\.invalid"):
        masks.from_coco(rle)


def test_a_swapped_size_is_seen_in_the_size_of_the_mask() -> None:
    # Height and width exchanged fill the same number of pixels: only the image can tell.
    wide = masks.to_coco(masks.encode(np.ones((1, 2, 5), bool)), 0)
    wide["size"].reverse()
    assert masks.from_coco(wide).size_hw == (5, 2)
