import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from perception.core.errors import RequestError, SampleError
from perception.core.ontology import Target
from perception.core.types import PictureLabels, SampleLabels, Status
from perception.formats import label_png

ACCEPTED = frozenset({Status.ACCEPTED})
Picture = Callable[..., PictureLabels]
Sample = Callable[..., SampleLabels]
Block = Callable[..., np.ndarray]


def test_instances_of_a_class_are_numbered_from_0(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    bitmaps = [block(0, 0, 2, 2), block(4, 0, 6, 2), block(8, 0, 10, 2), block(12, 0, 14, 2)]
    front = picture(bitmaps, [6, 6, 1, 7], [0, 2, 0, 0], file_name="cam/a.b.jpg")

    summary = label_png.write([sample(front)], tmp_path, target, statuses=ACCEPTED)

    assert (tmp_path / "class/cam/a.b.png").is_file()
    classes, instances = label_png.read(tmp_path, "cam/a.b.jpg")
    assert classes[0, [0, 4, 8, 12, 3]].tolist() == [26, 255, 24, 26, 0]
    assert instances[0, [0, 4, 8, 12, 3]].tolist() == [26000, 0, 24000, 26001, 0]
    assert (np.count_nonzero(instances), classes.dtype, instances.dtype) == (12, "uint8", "uint16")
    assert (summary.labels, summary.ignored, summary.left_out) == (3, 1, ())


@pytest.mark.slow
@given(hnp.arrays(np.uint8, (7, 9), elements=st.integers(0, 3)))
def test_reading_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    picture: Picture,
    sample: Sample,
    target: Target,
    owners: np.ndarray,
) -> None:
    front = picture([owners == 1, owners == 2, owners == 3], [1, 6, 7], size_hw=(7, 9))
    out = tmp_path_factory.getbasetemp() / "png"
    label_png.write([sample(front)], out, target, statuses=ACCEPTED)
    classes, instances = label_png.read(out, "a.png")
    second_car = 26001 if (owners == 2).any() else 26000
    np.testing.assert_array_equal(classes, np.array([0, 24, 26, 26])[owners])
    np.testing.assert_array_equal(instances, np.array([0, 24000, 26000, second_car])[owners])


def test_a_picture_without_labels_is_black_and_no_samples_write_nothing(
    tmp_path: Path, picture: Picture, sample: Sample, target: Target
) -> None:
    assert label_png.write([], tmp_path, target, statuses=ACCEPTED).samples == 0
    assert label_png.write([sample()], tmp_path, target, statuses=ACCEPTED).samples == 1
    assert list(tmp_path.iterdir()) == []
    label_png.write([sample(picture())], tmp_path, target, statuses=ACCEPTED)
    classes, instances = label_png.read(tmp_path, "a.png")
    assert classes.shape == instances.shape == (20, 30)
    assert not classes.any() and not instances.any()


def test_empty_masks_and_ignored_classes_take_no_number(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    front = picture([block(0, 0, 0, 0), block(0, 0, 2, 2), block(4, 0, 6, 2)], [6, 13, 6])
    summary = label_png.write([sample(front)], tmp_path, target, statuses=ACCEPTED)
    assert summary.left_out == (("class.ignored", 1), ("mask.empty", 1))
    assert sorted(set(label_png.read(tmp_path, "a.png")[1].ravel().tolist())) == [0, 26000]


@pytest.mark.parametrize(
    ("instances", "category", "fits"),
    [
        (1000, 26, True),
        (1001, 26, False),
        (536, 65, True),
        (537, 65, False),
        (1, 66, False),
        (1, 0, False),
    ],
)
def test_row_20_ids_that_16_bits_cannot_hold_are_refused_and_never_wrapped_round(
    tmp_path: Path, picture: Picture, sample: Sample, instances: int, category: int, fits: bool
) -> None:
    size_hw = (1, instances)
    bitmaps = list(np.eye(instances, dtype=bool)[:, None, :])
    crowd = picture(bitmaps, [6] * instances, size_hw=size_hw, file_name="crowd.png")
    target = Target(ids={6: category}, names={category: "car"})
    if fits:
        label_png.write([sample(crowd)], tmp_path, target, statuses=ACCEPTED)
        found = label_png.read(tmp_path, "crowd.png")[1]
        expected = category * 1000 + np.arange(instances)
        np.testing.assert_array_equal(found[0], expected)
        return
    with pytest.raises(RequestError, match=r"id\.overflow: crowd\.png"):
        label_png.write([sample(crowd)], tmp_path, target, statuses=ACCEPTED)
    assert not list(tmp_path.rglob("*.png"))


def test_pictures_that_differ_in_their_extension_only_collide(
    tmp_path: Path, picture: Picture, sample: Sample, target: Target
) -> None:
    samples = [
        sample(picture(file_name="a.png"), id="one"),
        sample(picture(file_name="a.jpg"), id="two"),
    ]
    with pytest.raises(RequestError, match=r"export\.collision.*'one'.*'two'"):
        label_png.write(samples, tmp_path, target, statuses=ACCEPTED)


def test_one_stem_in_two_folders_and_names_differing_in_case_are_different_files(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    names = ["image_02/a.png", "image_03/a.png", "image_03/A.png", "image_03/ odd\nname.png"]
    pictures = [picture([block(i, 0, i + 1, 1)], file_name=name) for i, name in enumerate(names)]
    label_png.write([sample(*pictures)], tmp_path, target, statuses=ACCEPTED)
    for i, name in enumerate(names):
        assert np.flatnonzero(label_png.read(tmp_path, name)[0]).tolist() == [i]


@pytest.mark.parametrize("name", ["../a.png", "/a.png"])
def test_no_name_leads_outside_the_export(
    tmp_path: Path, picture: Picture, sample: Sample, target: Target, name: str
) -> None:
    with pytest.raises(RequestError, match=r"path\.outside_root"):
        label_png.write([sample(picture(file_name=name))], tmp_path, target, statuses=ACCEPTED)
    with pytest.raises(RequestError, match=r"path\.outside_root"):
        label_png.read(tmp_path, name)


def _png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


GREY = _png(np.full((20, 30), 7, np.uint8))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes, expected a PNG"),
        (b"<html>" * 20, "is not a PNG"),
        (GREY[:50], "is damaged or cut off"),
        (GREY[:16] + struct.pack(">II", 50_000, 50_000) + GREY[24:], "50000 x 50000 pixels"),
        (_png(np.zeros((2, 2, 3), np.uint8)), "expected 8-bit grey"),
        (_png(np.zeros((2, 2), np.uint16)), "bit depth 16"),
    ],
)
def test_a_file_that_is_no_label_image_is_refused_before_it_is_decoded(
    tmp_path: Path,
    picture: Picture,
    sample: Sample,
    target: Target,
    data: bytes,
    message: str,
) -> None:
    label_png.write([sample(picture())], tmp_path, target, statuses=ACCEPTED)
    (tmp_path / "class/a.png").write_bytes(data)
    with pytest.raises(SampleError, match=rf"label\.invalid.*{message}"):
        label_png.read(tmp_path, "a.png")


def test_the_two_images_of_a_picture_have_one_size(
    tmp_path: Path, picture: Picture, sample: Sample, target: Target
) -> None:
    label_png.write([sample(picture())], tmp_path, target, statuses=ACCEPTED)
    (tmp_path / "class/a.png").write_bytes(_png(np.zeros((2, 2), np.uint8)))
    with pytest.raises(SampleError, match=r"size\.mismatch.*\(2, 2\).*\(20, 30\)"):
        label_png.read(tmp_path, "a.png")
