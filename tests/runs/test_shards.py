"""Evidence and label sets as shards: whole or not at all, and the same when they come back."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from perception.core.errors import RequestError
from perception.core.types import Evidence, PictureRef, SampleLabels, SampleRef
from perception.runs import evidence, labels, shards
from perception.runs.shards import Outcome

CLASS_NAMES = {6: "car", 9: "bus"}
BLOCK = np.zeros((6, 9), bool)
BLOCK[1:4, 2:5] = True
NOTHING = np.zeros((6, 9), bool)
POISONED = Outcome("c", "quarantined", "process", "process.crash", "died \u2014 twice\nin a row")


def refs_of(written: list[Any]) -> list[SampleRef]:
    """Return the plan of some samples, evidence or labels."""
    refs = []
    for outcome, seen in written:
        pictures = seen.pictures if isinstance(seen, SampleLabels) else seen
        named = tuple(PictureRef(one.camera, one.file_name) for one in pictures)
        refs.append(SampleRef(outcome.sample_id, "images", "/data", named))
    return refs


def read_labels(run: Path, label_set: str, written: list[Any]) -> list[Any]:
    return list(labels.read(run, label_set, 0, refs_of(written), frozenset(CLASS_NAMES)))


bitmap_lists = st.lists(arrays(np.bool_, (6, 9)), max_size=4)


@pytest.mark.slow
@given(st.lists(st.lists(bitmap_lists, max_size=2), min_size=1, max_size=3))
@settings(max_examples=25)
def test_evidence_comes_back_as_it_was_written(
    same: Callable[..., None],
    evidence_of: Callable[..., Evidence],
    samples: list[list[list[np.ndarray]]],
) -> None:
    written = [
        (Outcome(f"s{i}", "ok"), tuple(evidence_of(b, f"cam{k}") for k, b in enumerate(pictures)))
        for i, pictures in enumerate(samples)
    ]
    with tempfile.TemporaryDirectory() as folder:
        evidence.write(Path(folder), 3, written)
        same(list(evidence.read(Path(folder), 3, refs_of(written))), written)


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.lists(bitmap_lists, max_size=2), st.integers(0, 7)), min_size=1, max_size=3
    ),
    st.text(),
)
@settings(max_examples=25)
def test_labels_come_back_as_they_were_written(
    same: Callable[..., None],
    labels_of: Callable[..., SampleLabels],
    samples: list[tuple[list[list[np.ndarray]], int]],
    name: str,
) -> None:
    written = [
        (Outcome(f"{name}{i}", "ok"), labels_of(f"{name}{i}", pictures, points))
        for i, (pictures, points) in enumerate(samples)
    ]
    with tempfile.TemporaryDirectory() as folder:
        labels.write(Path(folder), "0123456789ab", 0, written, CLASS_NAMES)
        same(read_labels(Path(folder), "0123456789ab", written), written)


def mixed_evidence(evidence_of: Callable[..., Evidence]) -> list[Any]:
    return [
        (Outcome("a", "ok"), (evidence_of([BLOCK, NOTHING], "left"), evidence_of([], "right"))),
        (Outcome("b", "empty"), (evidence_of([]),)),
        (POISONED, ()),
    ]


def mixed_labels(labels_of: Callable[..., SampleLabels]) -> list[Any]:
    return [
        (Outcome("a", "ok"), labels_of("a", [[BLOCK, NOTHING, ~BLOCK], [BLOCK]], points=5)),
        (Outcome("b", "empty"), labels_of("b", [[]])),
        (POISONED, labels.no_labels("c")),
    ]


def test_quarantined_and_empty_samples_have_a_row_beside_those_with_objects(
    tmp_path: Path,
    same: Callable[..., None],
    evidence_of: Callable[..., Evidence],
    labels_of: Callable[..., SampleLabels],
) -> None:
    seen, decided = mixed_evidence(evidence_of), mixed_labels(labels_of)
    evidence.write(tmp_path, 0, seen)
    labels.write(tmp_path, "set", 0, decided, CLASS_NAMES)
    same(list(evidence.read(tmp_path, 0, refs_of(seen))), seen)
    same(read_labels(tmp_path, "set", decided), decided)
    assert shards.stated_counts(evidence.folder_of(tmp_path), 0) == (
        {"ok": 1, "empty": 1, "quarantined": 1},
        {
            "detector_pictures": {"seen": 3, "without_boxes": 2},
            "boxes_dropped": {"box.inverted": 1, "box.nan": 2},
            "boxes_mended": {"row.clipped": 3},
        },
    )
    # Statuses go 0, 1, 2 within a picture; the second has its reasons, the third two.
    assert shards.stated_counts(labels.folder_of(tmp_path, "set"), 0)[1] == {
        "statuses": {"accepted": 2, "review": 1, "rejected": 1},
        "reasons": {"iou.low": 2, "duplicate_of": 1},
        "classes_accepted": {"car": 2},
        "classes_ignored": {"boat": 4},
        "points": {"unknown": 2, "background": 2, "labelled": 1},
    }


def test_the_same_samples_are_the_same_bytes(
    tmp_path: Path, evidence_of: Callable[..., Evidence], labels_of: Callable[..., SampleLabels]
) -> None:
    for run in (tmp_path / "one", tmp_path / "two"):
        evidence.write(run, 0, mixed_evidence(evidence_of))
        labels.write(run, "set", 0, mixed_labels(labels_of), CLASS_NAMES)
    files = sorted(path for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) == 4
    for path in files:
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes()


def test_a_shard_holds_plain_types_only(
    tmp_path: Path, evidence_of: Callable[..., Evidence], labels_of: Callable[..., SampleLabels]
) -> None:
    evidence.write(tmp_path, 0, mixed_evidence(evidence_of))
    labels.write(tmp_path, "set", 0, mixed_labels(labels_of), CLASS_NAMES)
    for path in tmp_path.rglob("*.parquet"):  # no pickled objects, no extension types
        for field in pq.read_schema(path):
            assert "extension" not in str(field.type) and b"pickle" not in path.read_bytes()


@pytest.fixture
def stored(tmp_path: Path, evidence_of: Callable[..., Evidence]) -> Path:
    evidence.write(tmp_path, 0, mixed_evidence(evidence_of))
    assert shards.shard_is_whole(tmp_path / "evidence", 0)
    return tmp_path


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("name", ["000000.parquet", "000000.json"])
@pytest.mark.parametrize(
    "damage",
    [lambda data: None, lambda data: b"", lambda data: data[:-7], flipped, lambda data: b"[]"],
    ids=["missing", "emptied", "torn", "flipped", "replaced"],
)
def test_row_36_a_damaged_shard_is_not_whole_and_is_not_read(
    stored: Path, name: str, damage: Callable[[bytes], bytes | None]
) -> None:
    path = stored / "evidence" / name
    data = damage(path.read_bytes())
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    assert not shards.shard_is_whole(stored / "evidence", 0)
    with pytest.raises(RequestError, match=r"000000.*`label` again") as caught:
        list(evidence.read(stored, 0, ()))
    assert caught.value.code == "run.damaged"


def test_row_36_no_flipped_byte_of_the_json_file_changes_what_it_states(stored: Path) -> None:
    path = stored / "evidence" / "000000.json"
    whole, stated = path.read_bytes(), shards.stated_counts(stored / "evidence", 0)
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        if shards.shard_is_whole(stored / "evidence", 0):
            assert shards.stated_counts(stored / "evidence", 0) == stated, place


def test_a_shard_of_another_schema_is_refused(
    tmp_path: Path, evidence_of: Callable[..., Evidence]
) -> None:
    evidence.write(tmp_path, 0, mixed_evidence(evidence_of))
    with pytest.raises(RequestError, match=r"another version.*cells_xyxy.*another folder"):
        shards.read_table(tmp_path / "evidence", 0, labels.SCHEMA)


def test_the_json_file_is_written_after_the_parquet_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evidence_of: Callable[..., Evidence]
) -> None:
    def full_disk(path: Path, value: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shards.records, "write_json", full_disk)
    with pytest.raises(OSError, match="No space"):
        evidence.write(tmp_path, 0, mixed_evidence(evidence_of))
    assert [path.name for path in (tmp_path / "evidence").iterdir()] == ["000000.parquet"]
    assert not shards.shard_is_whole(tmp_path / "evidence", 0)


def test_the_json_file_states_the_size_and_hash_of_the_parquet_file(stored: Path) -> None:
    stated = json.loads((stored / "evidence" / "000000.json").read_bytes())
    data = (stored / "evidence" / "000000.parquet").read_bytes()
    assert (stated["bytes"], stated["sha256"]) == (len(data), shards.records.sha256(data))


def test_row_36_a_shard_of_another_size_than_its_json_file_says_is_not_whole(stored: Path) -> None:
    path = stored / "evidence" / "000000.json"
    stated = json.loads(path.read_bytes())
    del stated["own_sha256"]
    stated["bytes"] += 1  # a bucket's listing is compared with it, before anything is fetched
    own = shards.records.sha256(shards.records.to_json(stated))
    shards.records.write_json(path, stated | {"own_sha256": own})
    assert shards.read_stated(stored / "evidence", 0).bytes == stated["bytes"]
    assert not shards.shard_is_whole(stored / "evidence", 0)
