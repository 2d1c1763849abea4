"""A run that grows: what is there stays as it is, only what is new is seen."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from perception.commands import corrections
from perception.commands.label import label as label_source
from perception.commands.label import plan
from perception.commands.relabel import relabel
from perception.commands.request import LabelRequest
from perception.commands.results import Run
from perception.core.errors import RequestError
from perception.runs import folder, labels
from perception.runs.verify import verify

Draw = Callable[..., Path]
Snapshot = Callable[[Path], dict[str, bytes]]
Shown = Callable[[], list[str]]


@pytest.fixture
def shown(tmp_path: Path, detector_does: Callable[[str], None]) -> Shown:
    """Return the pictures that the models were shown since the last call."""
    told = tmp_path / "shown.txt"
    detector_does(f"open({str(told)!r}, 'a').write(picture.file_name + '\\n')")

    def since() -> list[str]:
        names = sorted(told.read_text().split()) if told.exists() else []
        told.unlink(missing_ok=True)
        return names

    return since


def label(source: Path, out: Path, told: list[str] | None = None, **options: object) -> Run:
    wanted: dict[str, object] = {"detector": "bright", "overrides": {"shard_size": 4}} | options
    request = LabelRequest(f"images:{source}", out, "boxes", **wanted)  # type: ignore[arg-type]
    return label_source(request, tell=(told if told is not None else list[str]()).append)


def add(source: Path, pictures: Draw, count: int, before: str) -> list[str]:
    """Add pictures whose names sort before all that are there."""
    made = pictures(source.parent / f"more{before}", count)
    names = []
    for path in sorted(made.iterdir()):
        names.append(f"{before}{path.name}")
        shutil.copy(path, source / names[-1])
    return names


def kept(run: Path, before: dict[str, bytes], snapshot: Snapshot) -> bool:
    """Tell whether shards and previews are as before; run.json and the plan say more."""
    after = snapshot(run)
    return all(
        after[name] == data
        for name, data in before.items()
        if name.split("/")[0] in ("evidence", "labels", "preview")
    )


@pytest.mark.slow
def test_ten_more_pictures_are_seen_and_the_first_ten_stay(
    tmp_path: Path, pictures: Draw, snapshot: Snapshot, shown: Shown
) -> None:
    source, run, told = pictures(tmp_path / "src", 10), tmp_path / "run", list[str]()
    label(source, run)
    assert len(shown()) == 10
    before = snapshot(run)
    new = add(source, pictures, 10, "+")
    planned = plan(
        LabelRequest(f"images:{source}", run, "boxes", "bright", overrides={"shard_size": 4})
    )
    assert (planned.samples, planned.shards, planned.shards_done) == (20, 6, 3)
    assert "10 samples more than the run has: only these are seen" in planned.notices
    done = label(source, run, told)
    assert shown() == new and kept(run, before, snapshot)
    assert done.counts["samples"]["input"] == 20 and not verify(run).faults
    assert [sample.id for sample in done.labels()] == [f"{i:03d}.png" for i in range(10)] + new
    whole = snapshot(run)
    label(source, run)
    assert snapshot(run) == whole and not shown()  # nothing is left to do
    add(source, pictures, 1, "-")
    label(source, run)
    assert len(shown()) == 1 and len(folder.read_plan(run, folder.read_spec(run))) == 7


@pytest.mark.slow
def test_a_limit_is_raised_and_lowered(
    tmp_path: Path, pictures: Draw, snapshot: Snapshot, shown: Shown
) -> None:
    source, run, told = pictures(tmp_path / "src", 6), tmp_path / "run", list[str]()
    label(source, run, limit=4)  # a shard, full
    assert len(shown()) == 4
    label(source, run)
    assert shown() == ["004.png", "005.png"]
    label(source, tmp_path / "clean")
    assert snapshot(run) == snapshot(tmp_path / "clean")
    shown()
    label(source, run, told, limit=1)
    assert not shown() and told == ["5 samples of the run not asked for now: kept"]
    assert snapshot(run) == snapshot(tmp_path / "clean")


@pytest.mark.slow
def test_a_relabelling_does_not_keep_a_run_from_growing(
    tmp_path: Path, pictures: Draw, snapshot: Snapshot, shown: Shown
) -> None:
    source, run, told = pictures(tmp_path / "src", 4), tmp_path / "run", list[str]()
    label(source, run)
    strict = {"decide": {"judge": {"min_score": 0.99}}}
    relabel(run, overrides=strict)
    before = snapshot(run)
    shown()
    new = add(source, pictures, 3, "x")
    label(source, run, told)
    assert shown() == new and kept(run, before, snapshot)
    assert "decided as the run was decided last, by relabel or corrections" in told
    spec = folder.read_spec(run)
    assert spec.config.decide.judge.min_score == 0.99
    assert not verify(run).faults
    relabel(run, overrides={"decide": {"judge": {"min_score": 0.25}}})  # the first set has holes
    assert not verify(run).faults
    # but other decisions than those that were asked for are not made in silence
    other = {"shard_size": 4, "decide": {"judge": {"min_score": 0.5}}}
    with pytest.raises(RequestError, match=r"run\.mismatch(.|\n)*perception relabel"):
        label(source, run, overrides=other)


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["002.png", "003.png", "004.png"])
def test_a_frame_that_was_mended_is_seen_and_no_other(
    tmp_path: Path, pictures: Draw, snapshot: Snapshot, shown: Shown, broken: str
) -> None:
    source, run, told = pictures(tmp_path / "src", 5), tmp_path / "run", list[str]()
    whole = (source / broken).read_bytes()
    (source / broken).write_bytes(b"no picture")
    assert label(source, run).counts["samples"]["quarantined"] == 1
    assert broken not in shown()
    label(source, run)
    assert not shown()  # it has not changed
    (source / broken).write_bytes(whole)
    done = label(source, run, told)
    assert done.counts["samples"]["quarantined"] == 0
    assert shown() == [broken]
    assert told == ["1 quarantined samples have changed since: tried again"]
    label(source, tmp_path / "clean")
    assert snapshot(run) == snapshot(tmp_path / "clean")


@pytest.mark.slow
def test_a_sweep_that_was_mended_costs_no_look_at_its_picture(
    tmp_path: Path, kitti: Draw, snapshot: Snapshot, shown: Shown
) -> None:
    root = kitti(tmp_path / "kitti", 3)
    sweep = root / "training" / "velodyne" / "000001.bin"
    whole = sweep.read_bytes()
    sweep.write_bytes(whole[:-3])
    request = LabelRequest(f"kitti:{root}", tmp_path / "run", "boxes", "bright")
    assert label_source(request).counts["samples"]["quarantined"] == 1
    assert len(shown()) == 3
    sweep.write_bytes(whole)
    assert label_source(request).counts["samples"]["quarantined"] == 0
    assert not shown()
    clean = LabelRequest(f"kitti:{root}", tmp_path / "clean", "boxes", "bright")
    label_source(clean)
    assert snapshot(tmp_path / "run") == snapshot(tmp_path / "clean")


@pytest.mark.slow
def test_another_source_is_no_growth(tmp_path: Path, pictures: Draw) -> None:
    source, other, run = pictures(tmp_path / "a", 2), pictures(tmp_path / "b", 3), tmp_path / "run"
    label(source, run)
    with pytest.raises(RequestError, match=r"run\.mismatch"):
        label(other, run)
    assert len(list(labels.folder_of(run, folder.read_spec(run).label_set()).glob("*.json"))) == 1


@pytest.mark.slow
def test_decisions_that_were_made_before_a_run_grew_are_taken(
    tmp_path: Path, pictures: Draw, shown: Shown
) -> None:
    source, run = pictures(tmp_path / "src", 6), tmp_path / "run"
    label(source, run)
    spec = folder.read_spec(run)
    head = {"run": spec.evidence_fingerprint(), "label_set": spec.label_set()}
    decisions = [{"sample": "001.png", "instance": 1, "decision": "reject"}]
    file = tmp_path / "decisions.json"
    file.write_text(json.dumps(head | {"decisions": decisions}))
    add(source, pictures, 3, "x")
    label(source, run)
    shown()
    assert corrections.apply(run, file).corrections == 1
    new = add(source, pictures, 3, "y")
    done = label(source, run)
    assert shown() == new and not verify(run).faults
    by_human = [
        sample.id
        for sample in done.labels()
        for picture in sample.pictures
        if picture.instances.by_human.any()
    ]
    assert by_human == ["001.png"]
    file.write_text(json.dumps(head | {"run": "0" * 64, "decisions": decisions}))
    with pytest.raises(RequestError, match="another run"):
        corrections.apply(run, file)
