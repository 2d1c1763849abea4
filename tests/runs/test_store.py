"""A run in a folder and one in a bucket, by one protocol; tests/io has those that need a bucket."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from perception.core.errors import BucketError, RequestError
from perception.core.types import PictureRef, SampleRef
from perception.runs import records, store
from perception.runs.folder import Plan, RunSpec

SpecOf = Callable[..., RunSpec]
PLAN = Plan((SampleRef("a.png", "images", "/data", (PictureRef("", "a.png"),)),), 1)


def spec_for(spec_of: SpecOf) -> RunSpec:
    return spec_of(plan_sha256=records.sha256(PLAN.to_bytes()))


def test_what_a_bucket_needs_changes_no_file_of_a_folder(
    tmp_path: Path, snapshot: Callable[[Path], dict[str, bytes]]
) -> None:
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    for name in ("000000.parquet", "000000.json"):
        (evidence / name).write_text(name)
    before = snapshot(tmp_path)
    with store.opened(tmp_path) as run, run.changing(), run.for_worker() as place:
        assert run.place == run.address == place == tmp_path
        run.bring(lambda name: True)
        run.bring_shard(evidence, 0)
        run.bring_stated(evidence, 0)
        run.bring_quarantined(evidence)
        run.bring_new(evidence)
        run.put("run.json")  # not there: reading it would fail
        run.put_shard(evidence, 1)
        run.put_previews(["a"])
        run.drop_copy(evidence, 0)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("error", [RequestError("x.y", "no"), BucketError("bucket.failed", "no")])
def test_a_folder_whose_run_is_refused_before_any_shard_is_as_it_was(
    tmp_path: Path, spec_of: SpecOf, error: RequestError
) -> None:
    for place in (tmp_path / "new", tmp_path / "empty"):
        if place.name == "empty":
            place.mkdir()
        with (
            pytest.raises(RequestError),
            store.opened(place) as run,
            run.begun(spec_for(spec_of), PLAN) as keep_alive,
        ):
            assert {path.name for path in place.iterdir()} == {
                "lock.json",
                "plan.jsonl",
                "run.json",
            }
            keep_alive()
            raise error
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    assert not any((tmp_path / "empty").iterdir())


def test_an_occupied_folder_gets_not_even_a_lock(tmp_path: Path, spec_of: SpecOf) -> None:
    (tmp_path / "notes.txt").touch()
    with (
        pytest.raises(RequestError, match=r"run\.occupied"),
        store.opened(tmp_path) as run,
        run.begun(spec_for(spec_of), PLAN),
    ):
        pytest.fail("it was begun")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_run_is_begun_anew_only_where_that_is_asked(tmp_path: Path, spec_of: SpecOf) -> None:
    for overwrite, left in ((False, {"kept"}), (True, set[str]())):
        with store.opened(tmp_path) as run:
            with run.begun(spec_for(spec_of), PLAN):
                (tmp_path / "preview").mkdir(exist_ok=True)
                (tmp_path / "preview" / "kept").touch()
            with run.begun(spec_for(spec_of), PLAN, overwrite=overwrite):
                assert {path.name for path in tmp_path.glob("preview/*")} == left


@pytest.mark.parametrize(
    ("run", "number", "expected"),
    [
        ("s3://b/runs/a/", 1, "s3://b/runs/a"),
        ("s3://b/runs/a/", 3, "s3://b/runs/a-3"),
        ("runs/../run/", 1, "{here}/run"),
        (Path("run"), 2, "{here}/run-2"),
    ],
)
def test_runs_beside_each_other_are_numbered(run: Path | str, number: int, expected: str) -> None:
    assert store.beside(run, number) == expected.format(here=os.path.realpath("."))
