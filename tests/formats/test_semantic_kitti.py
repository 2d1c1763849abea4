from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.core.errors import RequestError, SampleError
from perception.core.ontology import Target
from perception.core.types import PictureLabels, PointState, SampleLabels, Status
from perception.formats import semantic_kitti

ACCEPTED = frozenset({Status.ACCEPTED})
Picture = Callable[..., PictureLabels]
Sample = Callable[..., SampleLabels]
Block = Callable[..., np.ndarray]


def test_the_class_is_in_the_low_and_the_instance_in_the_high_half(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    front = picture([block(0, 0, 3, 3), block(5, 5, 9, 9)], [6, 1], [0, 1])
    labels = sample(front, point_instances=[1, 0, 2, 1], point_classes=[6, -1, 1, 6])

    summary = semantic_kitti.write([labels], tmp_path, target, statuses=ACCEPTED)

    # car is 26 here: 26 + (1 << 16) = 65562; the second instance waits for review.
    np.testing.assert_array_equal(np.fromfile(tmp_path / "s1.label", "<u4"), [65562, 0, 0, 65562])
    assert (tmp_path / "s1.label").read_bytes()[:4] == b"\x1a\x00\x01\x00"
    assert (summary.samples, summary.labels, summary.ignored) == (1, 2, 1)
    assert summary.left_out == ()


def test_points_are_labelled_only_by_state_class_and_a_known_instance(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    front = picture([block(0, 0, 3, 3), block(5, 5, 9, 9)], [6, 13])
    labels = sample(
        front,
        point_instances=[1, 1, 1, 2, 9],
        point_classes=[6, 6, 6, 13, 6],
        states=[PointState.LABELLED, PointState.UNKNOWN, PointState.BACKGROUND, 2, 2],
    )

    summary = semantic_kitti.write([labels], tmp_path, target, statuses=ACCEPTED)

    sem, inst = semantic_kitti.read(tmp_path / "s1.label", 5)
    assert sem.tolist() == [26, 0, 0, 0, 0]
    assert inst.tolist() == [1, 0, 0, 0, 0]
    assert summary.left_out == (("class.ignored", 1), ("instance.unknown", 1))


@given(st.lists(st.sampled_from([(0, -1), (1, 6), (2, 1), (65535, 7)]), max_size=20))
def test_reading_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    picture: Picture,
    sample: Sample,
    block: Block,
    target: Target,
    points: list[tuple[int, int]],
) -> None:
    pictures = [
        picture([block(0, 0, 3, 3), block(5, 5, 9, 9)], [6, 1]),
        picture([block(0, 0, 3, 3)], [7], file_name="b.png", first_id=65535),
    ]
    ids, classes = [i for i, _ in points], [c for _, c in points]
    out = tmp_path_factory.mktemp("kitti")
    labels = sample(*pictures, point_instances=ids, point_classes=classes)

    semantic_kitti.write([labels], out, target, statuses=ACCEPTED)

    if not points:
        assert not (out / "s1.label").exists()
        return
    sem, inst = semantic_kitti.read(out / "s1.label", len(points))
    assert inst.dtype == sem.dtype == np.uint16
    assert inst.tolist() == ids
    assert sem.tolist() == [target.ids.get(c, 0) for c in classes]


def test_row_20_an_instance_id_above_16_bits_is_refused_and_nothing_is_written(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    front = picture([block(0, 0, 3, 3)], first_id=65536)
    labels = sample(front, id="seq/7", point_instances=[65536], point_classes=[6])
    with pytest.raises(RequestError, match=r"id\.overflow: sample 'seq/7'.*65536"):
        semantic_kitti.write([labels], tmp_path, target, statuses=ACCEPTED)
    assert list(tmp_path.rglob("*")) == []


def test_a_class_id_below_0_is_refused(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block
) -> None:
    """A class map may have `ids: {car: -1}`, which 16 bits would hold as class 65535."""
    labels = sample(picture([block(0, 0, 3, 3)]), point_instances=[1], point_classes=[6])
    below = Target(ids={6: -1}, names={-1: "car"})
    with pytest.raises(RequestError, match=r"id\.overflow: .* class id -1, expected 0 to"):
        semantic_kitti.write([labels], tmp_path, below, statuses=ACCEPTED)


@pytest.mark.parametrize(
    ("samples", "left_out"), [(0, ()), (1, (("no_sweep", 1),)), (2, (("no_sweep", 2),))]
)
def test_samples_without_a_sweep_write_no_file(
    tmp_path: Path, sample: Sample, target: Target, samples: int, left_out: object
) -> None:
    labels = [sample(id=str(number)) for number in range(samples)]
    summary = semantic_kitti.write(labels, tmp_path, target, statuses=ACCEPTED)
    assert (summary.samples, summary.labels, summary.left_out) == (0, 0, left_out)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("size", "expected", "found"),
    [(12, 4, "3 labels,"), (0, 1, "0 labels"), (10, 2, "2 labels and 2 bytes")],
)
def test_row_21_a_file_that_does_not_fit_the_sweep_is_refused_with_both_counts(
    tmp_path: Path, size: int, expected: int, found: str
) -> None:
    path = tmp_path / "x.label"
    path.write_bytes(bytes(size))
    with pytest.raises(SampleError, match=rf"label\.count_mismatch.*{found}.*expected {expected} "):
        semantic_kitti.read(path, expected)


def test_a_missing_file_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match=r"io\.not_found"):
        semantic_kitti.read(tmp_path / "x.label", 0)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "", "a\0b"])
def test_a_sample_id_cannot_lead_outside_the_export(
    tmp_path: Path, sample: Sample, target: Target, name: str
) -> None:
    with pytest.raises(RequestError, match=r"path\.outside_root"):
        semantic_kitti.write([sample(id=name)], tmp_path, target, statuses=ACCEPTED)


def test_a_link_inside_the_export_cannot_lead_outside(
    tmp_path: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/seq").symlink_to(tmp_path)
    labels = sample(
        picture([block(0, 0, 3, 3)]), id="seq/1", point_instances=[1], point_classes=[6]
    )
    with pytest.raises(RequestError, match=r"path\.outside_root.*remove the link"):
        semantic_kitti.write([labels], tmp_path / "out", target, statuses=ACCEPTED)
    assert not (tmp_path / "1.label").exists()


def test_two_samples_of_one_id_collide(tmp_path: Path, sample: Sample, target: Target) -> None:
    with pytest.raises(RequestError, match=r"export\.collision"):
        semantic_kitti.write([sample(), sample()], tmp_path, target, statuses=ACCEPTED)
