"""nuScenes-lidarseg and Panoptic nuScenes: bytes, tables, overflows, and files of other people."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from perception.core.errors import RequestError, SampleError
from perception.core.ontology import Target, load_class_map, load_ontology, target_of
from perception.core.types import PictureLabels, SampleLabels, Status
from perception.formats import nuscenes

ACCEPTED = frozenset({Status.ACCEPTED})
Picture = Callable[..., PictureLabels]
Sample = Callable[..., SampleLabels]
Block = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def general() -> Target:
    return target_of(load_ontology(), load_class_map("road-to-nuscenes"))


@pytest.fixture
def labels(picture: Picture, sample: Sample, block: Block) -> SampleLabels:
    """A car, a person for review, a traffic sign; a point of each, one of the background."""
    front = picture(
        [block(0, 0, 3, 3), block(5, 5, 9, 9), block(10, 0, 13, 3)],
        [6, 1, 13],
        [Status.ACCEPTED, Status.REVIEW, Status.ACCEPTED],
    )
    return sample(front, id="s1", point_instances=[1, 2, 3, 0], point_classes=[6, 1, 13, -1])


def token_of(sample_id: str) -> str:
    return f"sweep-{sample_id}"


def test_lidarseg_is_one_byte_per_point_named_by_the_sweep(
    tmp_path: Path, labels: SampleLabels, general: Target
) -> None:
    summary = nuscenes.write_lidarseg(
        [labels], tmp_path, general, statuses=ACCEPTED, version="v1.0-mini", token_of=token_of
    )
    path = tmp_path / "lidarseg/v1.0-mini/sweep-s1_lidarseg.bin"
    assert path.read_bytes() == bytes([17, 0, 28, 0])  # vehicle.car, static.manmade
    assert nuscenes.read_lidarseg(path, 4).tolist() == [17, 0, 28, 0]
    assert json.loads((tmp_path / "v1.0-mini/lidarseg.json").read_text()) == [
        {
            "token": "sweep-s1",
            "sample_data_token": "sweep-s1",
            "filename": "lidarseg/v1.0-mini/sweep-s1_lidarseg.bin",
        }
    ]
    assert (summary.samples, summary.labels, summary.ignored) == (1, 2, 1)


def test_panoptic_is_class_times_1000_plus_instance_and_stuff_has_none(
    tmp_path: Path, labels: SampleLabels, general: Target
) -> None:
    for out in (tmp_path / "a", tmp_path / "b"):
        nuscenes.write_panoptic(
            [labels], out, general, statuses=ACCEPTED, version="v1.0-mini", token_of=token_of
        )
    name = "panoptic/v1.0-mini/sweep-s1_panoptic.npz"
    data = np.load(tmp_path / "a" / name)["data"]  # as nuscenes/utils/data_io.py does
    assert data.dtype == np.uint16 and data.tolist() == [17001, 0, 28000, 0]
    classes, instances = nuscenes.read_panoptic(tmp_path / "a" / name, 4)
    assert classes.tolist() == [17, 0, 28, 0] and instances.tolist() == [1, 0, 0, 0]
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_what_a_class_map_calls_noise_has_no_instance(tmp_path: Path, labels: SampleLabels) -> None:
    noise = Target(ids={6: 0, 13: 28}, names={0: "noise", 28: "static.manmade"})
    nuscenes.write_panoptic(
        [labels], tmp_path, noise, statuses=ACCEPTED, version="v1.0-mini", token_of=token_of
    )
    data = np.load(tmp_path / "panoptic/v1.0-mini/sweep-s1_panoptic.npz")["data"]
    assert data.tolist() == [0, 0, 28000, 0]


@pytest.mark.parametrize(
    ("first_id", "class_id", "match"),
    [
        (1000, 17, r"instance id 1000, expected 0 to 999"),
        (1, 66, r"class id 66, expected 0 to 65"),
        (600, 65, r"65600, expected 0 to 65535|class \* 1000"),
    ],
)
def test_row_20_ids_that_do_not_fit_are_refused_and_nothing_is_written(
    tmp_path: Path,
    picture: Picture,
    sample: Sample,
    block: Block,
    monkeypatch: pytest.MonkeyPatch,
    first_id: int,
    class_id: int,
    match: str,
) -> None:
    monkeypatch.setattr(nuscenes, "FIRST_STUFF", 100)  # nuScenes' own things end at 23
    front = picture([block(0, 0, 3, 3)], [6], first_id=first_id)
    labels = sample(front, point_instances=[first_id], point_classes=[6])
    target = Target(ids={6: class_id}, names={class_id: "x"})
    with pytest.raises(RequestError, match=match) as caught:
        nuscenes.write_panoptic(
            [labels], tmp_path, target, statuses=ACCEPTED, version="v", token_of=token_of
        )
    assert caught.value.code == "id.overflow" and "'s1'" in caught.value.message
    assert list(tmp_path.rglob("*.npz")) == []
    with pytest.raises(RequestError, match="class id 256, expected 0 to 255"):
        nuscenes.write_lidarseg(
            [labels],
            tmp_path,
            Target(ids={6: 256}, names={256: "x"}),
            statuses=ACCEPTED,
            version="v",
            token_of=token_of,
        )


def test_samples_without_a_sweep_write_an_empty_table(
    tmp_path: Path, sample: Sample, general: Target
) -> None:
    summary = nuscenes.write_lidarseg(
        [sample()], tmp_path, general, statuses=ACCEPTED, version="v1.0-mini", token_of=token_of
    )
    assert (summary.samples, summary.left_out) == (0, (("no_sweep", 1),))
    assert [path.name for path in tmp_path.rglob("*.*") if path.is_file()] == ["lidarseg.json"]


def test_a_token_cannot_lead_outside_the_export(
    tmp_path: Path, labels: SampleLabels, general: Target
) -> None:
    with pytest.raises(RequestError, match=r"path\.outside_root"):
        nuscenes.write_lidarseg(
            [labels],
            tmp_path,
            general,
            statuses=ACCEPTED,
            version="v1.0-mini",
            token_of=lambda sample_id: "../../x",
        )


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def bomb() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", b"\0" * 50_000_000)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (npz(data=np.zeros(3, np.uint16)), "label.count_mismatch"),
        (npz(data=np.zeros(4, np.int32)), "label.invalid"),
        (npz(data=np.zeros((2, 2), np.uint16)), "label.invalid"),
        (npz(other=np.zeros(4, np.uint16)), "label.invalid"),
        (npz(data=np.array(["a", None], object)), "label.invalid"),
        (npz(data=np.zeros(4, np.uint16))[:-30], "label.invalid"),
        (b"", "label.invalid"),
        (bomb(), "label.count_mismatch"),
    ],
    ids=["count", "int32", "2d", "name", "pickle", "torn", "empty", "bomb"],
)
def test_row_21_files_that_do_not_fit_the_sweep_are_refused(
    tmp_path: Path, data: bytes, code: str
) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(data)
    with pytest.raises(SampleError) as caught:
        nuscenes.read_panoptic(path, 4)
    assert caught.value.code == code
    with pytest.raises(SampleError, match=rf"{len(data)} labels, expected 9999999"):
        nuscenes.read_lidarseg(path, 9_999_999)
