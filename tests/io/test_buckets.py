"""Sources and runs in buckets, on an S3 server of this machine (moto's)."""

import json
import os
import pkgutil
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perception import cli
from perception.commands.exports import export
from perception.commands.label import label as label_source
from perception.commands.label import plan
from perception.commands.relabel import relabel
from perception.commands.request import LabelRequest, check, resolve
from perception.commands.results import Run
from perception.core.errors import BucketError, RequestError
from perception.core.types import SampleRef
from perception.execution.effort import Effort, Meter
from perception.execution.job import Job
from perception.execution.worker import Worker
from perception.io import buckets
from perception.models import registry
from perception.readers import sources
from perception.runs import bucket_store, lock, store
from perception.runs.folder import read_spec
from perception_ray.engine import ShardActor

Draw = Callable[..., Path]
Snapshot = Callable[[Path], dict[str, bytes]]
Put = Callable[..., str]


pytestmark = pytest.mark.usefixtures("s3")


def label(source: str, out: object, **options: Any) -> Run:
    looking = {} if "boxes" in options else {"detector": "bright"}
    settings = {"overrides": {"shard_size": 2}}
    return label_source(LabelRequest(source, out, "boxes", **(looking | settings | options)))  # type: ignore[arg-type]


def code_of(call: Callable[[], object], match: str | None = None) -> str:
    with pytest.raises(RequestError, match=match) as caught:
        call()
    return caught.value.code


def shards_of(snapshot: dict[str, bytes]) -> dict[str, bytes]:
    """Return what models and decisions made; the plan and the settings name the source."""
    return {
        name: data
        for name, data in snapshot.items()
        if name.startswith(("evidence/", "labels/", "preview/"))
    }


@pytest.mark.slow
def test_images_in_a_bucket_give_the_bytes_of_a_local_run(
    tmp_path: Path, pictures: Draw, put: Put, snapshot: Snapshot
) -> None:
    source = pictures(tmp_path / "src", 5)
    address = put(source)
    local, away = (
        label(f"images:{source}", tmp_path / "a"),
        label(f"images:{address}", tmp_path / "b"),
    )
    assert away.counts == local.counts
    assert shards_of(snapshot(away.folder)) == shards_of(snapshot(local.folder)) != {}
    stored = (away.folder / "plan.jsonl").read_text()
    assert address in stored and "perception-copy-of" not in stored


@pytest.mark.slow
def test_a_kitti_drive_in_a_bucket_has_its_points_labels_and_exports(
    tmp_path: Path, kitti: Draw, put: Put, snapshot: Snapshot
) -> None:
    source = kitti(tmp_path / "src", 3)
    address = put(source)
    local = label(f"kitti:{source}", tmp_path / "a", boxes="label_2")
    away = label(f"kitti:{address}", tmp_path / "b", boxes="label_2")
    assert shards_of(snapshot(away.folder)) == shards_of(snapshot(local.folder)) != {}
    assert away.counts["points"] == local.counts["points"]
    for to in ("kitti", "ply"):
        export(local.folder, to, tmp_path / f"a-{to}")
        export(away.folder, to, tmp_path / f"b-{to}")
        shutil.rmtree(tmp_path / f"a-{to}" / "card", ignore_errors=True)
        exported = [
            {
                name: data
                for name, data in snapshot(tmp_path / f"{run}-{to}").items()
                if "card" not in name
            }
            for run in "ab"
        ]
        assert exported[0] == exported[1] != {}
    assert code_of(lambda: export(away.folder, "yolo", tmp_path / "y")) == "export.images"
    moved = relabel(away.folder, overrides={"decide": {"judge": {"min_score": 0.9}}})
    assert moved.counts["points"] == local.counts["points"]


def refs_of(text: str) -> list[tuple[str, str]]:
    refs = sources.find(sources.parse_source(text))
    return [(ref.root, ref.pictures[0].file_name) for ref in refs]


def test_patterns_lists_and_single_images_are_planned_as_on_a_disk(
    tmp_path: Path, pictures: Draw, put: Put
) -> None:
    source = pictures(tmp_path / "src", 2)
    shutil.copytree(source, source / "sub")
    (source / "list.txt").write_text("# mine\nsub/001.png\nnot_there.png\n")
    address = put(source)
    assert refs_of(address) == [
        (address, name) for name in ("000.png", "001.png", "sub/000.png", "sub/001.png")
    ]
    assert refs_of(f"images:{address}/*/*0.png") == [(address, "sub/000.png")]
    assert refs_of(f"images:{address}/sub/001.png") == [(f"{address}/sub", "001.png")]
    assert refs_of(f"images:{address}/list.txt") == [
        (address, "not_there.png"),
        (address, "sub/001.png"),
    ]


@pytest.mark.slow
def test_an_image_that_is_gone_or_damaged_is_quarantined_by_its_address(
    tmp_path: Path, pictures: Draw, put: Put
) -> None:
    source = pictures(tmp_path / "src", 3)
    (source / "002.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (source / "list.txt").write_text("000.png\n002.png\ngone.png\n")
    address = put(source)
    run = label(f"images:{address}/list.txt", tmp_path / "run")
    assert run.counts["quarantined_by"] == {"image.truncated": 1, "io.not_found": 1}
    told = (run.folder / "quarantine.jsonl").read_text()
    assert f"{address}/gone.png: no such file" in told and f"{address}/002.png" in told


def test_a_store_that_fails_stops_the_run_and_blames_no_sample(
    tmp_path: Path, pictures: Draw, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pictures(tmp_path / "src", 1)
    (source / "000.png").rename(source / "000403.png")  # a number that is also a refusal's
    (ref,) = sources.find(sources.parse_source(put(source)))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(buckets, "ATTEMPTS", 1)
    buckets._file_system.cache_clear()
    from perception.execution.worker import observe_one

    with pytest.raises(BucketError) as caught:
        observe_one(ref, None, False)  # type: ignore[arg-type]
    assert caught.value.code == "bucket.unreachable" and "AWS_ENDPOINT_URL" in caught.value.message


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("s3://no-such-bucket/drive", "bucket.missing"),
        ("s3://{bucket}/elsewhere", "io.not_found"),
        ("nuscenes:s3://{bucket}/drive", "source.invalid"),
        ("nuscenes:s3://no-such-bucket/drive", "bucket.missing"),
        ("kitti:s3://{bucket}/drive", "source.invalid"),
        ("s3://key:secret@{bucket}/drive", "source.invalid"),
        ("s3://{bucket}/drive?endpoint_override=127.0.0.1", "source.invalid"),
        ("s3://{bucket}/drive/../other", "source.invalid"),
        ("s3://", "source.invalid"),
    ],
)
def test_what_cannot_be_read_is_refused_before_any_work(
    source: str, code: str, tmp_path: Path, pictures: Draw, put: Put
) -> None:
    bucket = put(pictures(tmp_path / "src", 1)).split("/")[2]
    text = source.format(bucket=bucket)
    assert code_of(lambda: label(text, tmp_path / "run")) == code
    assert not (tmp_path / "run").exists()


def test_a_file_too_large_is_not_fetched_and_its_reader_refuses_it(
    tmp_path: Path, pictures: Draw, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = put(pictures(tmp_path / "src", 1))
    monkeypatch.setattr(buckets, "MAX_BYTES", 10)
    assert buckets.parse(address).fetch("000.png", tmp_path / "copy")
    copied = (tmp_path / "copy").read_bytes()
    assert len(copied) == (tmp_path / "src" / "000.png").stat().st_size and not any(copied)


def test_a_plan_cannot_reach_beyond_the_folder_above_its_root(
    tmp_path: Path, pictures: Draw, put: Put
) -> None:
    address = put(pictures(tmp_path / "src", 1), prefix="a/b/drive")
    ref = SampleRef("x", "kitti", f"{address}/deep", (), calib_files=("../../000.png",))
    with sources.at_hand(ref, ref.calib_files) as here:
        found = [path for path in Path(here.root).parents[4].rglob("*") if path.is_file()]
        assert [path.name for path in found] == [
            ".perception-owner.json"
        ]  # and nothing of the bucket


def files_there(address: str) -> dict[str, int]:
    return buckets.parse(address).sizes()


def bytes_there(address: str) -> dict[str, bytes]:
    """Return what a bucket holds, but for a run's log."""
    bucket = buckets.parse(address)
    return {name: bucket.read(name) or b"" for name in bucket.sizes() if name != "log.txt"}


def in_this_process(job: Job, indices: Any, placement: object, done: Any, seen: Any) -> None:
    worker = Worker(job, Meter())
    for index in indices:
        seen = worker.observe(index, frozenset(), lambda place: None, ahead=False)
        worker.finish(index, seen)
        done(index, Effort())


def on_two_machines(job: Job, indices: Any, placement: object, done: Any, seen: Any) -> None:
    """Work as two Ray actors do that share no disk with the driver, nor with each other."""
    away = job.model_copy(update={"run": "/nowhere/to/be/found"}).model_dump_json()
    actors = [ShardActor(away) for _ in range(2)]
    try:
        for number, index in enumerate(indices):
            answer = actors[number % 2]({"shard": [index]})
            assert answer["failure"] == [""]
            done(index, Effort())
    finally:
        for actor in actors:
            actor._held.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a lock in a bucket settle at once, nobody else is there; start no cluster."""
    monkeypatch.setattr(lock, "SETTLE_S", 0.0)
    plain = pkgutil.resolve_name
    engines = {
        registry.ENGINES["local"]: in_this_process,
        registry.ENGINES["ray"]: on_two_machines,
    }
    monkeypatch.setattr(pkgutil, "resolve_name", lambda name: engines.get(name) or plain(name))


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_a_run_in_a_bucket_has_the_bytes_of_a_local_one_and_every_verb_reads_it(
    tmp_path: Path, pictures: Draw, put: Put, snapshot: Snapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    source = pictures(tmp_path / "src", 5)
    out = f"{put()}/runs/a"
    local = label(f"images:{source}", tmp_path / "a")
    away = label(f"images:{source}", out)
    assert away.address == out and away.counts == local.counts
    there, here = bytes_there(out), snapshot(tmp_path / "a")
    here = {name: data for name, data in here.items() if (tmp_path / "a" / name).is_file()}
    assert there.keys() == {*here, "timings.json"} - {"lock.json"}
    assert {name: there[name] for name in here if name != "timings.json"} == {
        name: data for name, data in here.items() if name != "timings.json"
    }
    assert [sample.id for sample in away.labels()] == [sample.id for sample in local.labels()]
    export(out, "coco", tmp_path / "b.json")
    export(tmp_path / "a", "coco", tmp_path / "a.json")
    assert (tmp_path / "b.json").read_bytes() == (tmp_path / "a.json").read_bytes()
    assert cli.run(["status", out]) == 0 and cli.run(["verify", out]) == 0
    assert "finished: 5 of 5 samples" in capsys.readouterr().out
    assert cli.run(["show", out, "--out", str(tmp_path / "page")]) == 0
    again = bytes_there(out)
    assert label(f"images:{source}", out).counts == local.counts
    assert {n for n, data in bytes_there(out).items() if data != again[n]} <= {"timings.json"}


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_a_run_in_a_bucket_says_why_samples_are_missing_and_is_begun_anew(
    tmp_path: Path, pictures: Draw, put: Put, capsys: pytest.CaptureFixture[str]
) -> None:
    source = pictures(tmp_path / "src", 3)
    (source / "zzz.png").touch()
    out = f"{put()}/runs/a"
    label(f"images:{source}", out)
    assert cli.run(["status", out]) == cli.FINE
    assert "quarantined: image.empty 1" in capsys.readouterr().out
    (source / "zzz.png").unlink()
    label(f"images:{source}", out, overwrite=True)
    assert cli.run(["status", out]) == cli.FINE
    assert "finished: 3 of 3 samples, 2 ok, 1 empty, 0 quarantined" in capsys.readouterr().out
    assert "preview/zzz.jpg" not in files_there(out) and "lock.json" not in files_there(out)


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_a_relabelled_run_in_a_bucket_has_the_bytes_of_a_local_one(
    tmp_path: Path, pictures: Draw, put: Put, snapshot: Snapshot
) -> None:
    source, strict = pictures(tmp_path / "src", 3), {"decide": {"judge": {"min_score": 0.9}}}
    out = f"{put()}/runs/a"
    for run in (tmp_path / "a", out):
        label(f"images:{source}", run)
        relabel(run, overrides=strict)
    there, here = bytes_there(out), snapshot(tmp_path / "a")
    names = [
        name for name in here if name.endswith((".parquet", ".json")) and name != "timings.json"
    ]
    assert len(names) == 13 and all(there[name] == here[name] for name in names)


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("cut", ["evidence/000001.json", "labels/", "evidence/000001.parquet"])
def test_what_a_kill_left_between_data_and_marker_is_made_again_and_nothing_else(
    cut: str, tmp_path: Path, pictures: Draw, put: Put
) -> None:
    source, out = pictures(tmp_path / "src", 4), f"{put()}/runs/a"
    label(f"images:{source}", out)
    whole, bucket = bytes_there(out), buckets.parse(out)
    gone = [n for n in whole if n.startswith(cut) and "000000" not in n and n.endswith(cut[-4:])]
    gone = gone or [n for n in whole if n.startswith(cut) and n.endswith("000001.json")]
    for name in gone:
        bucket.remove(name)
    resumed: list[int] = []
    looking = LabelRequest(
        f"images:{source}", out, "boxes", detector="bright", overrides={"shard_size": 2}
    )
    label_source(looking, lambda done, total, name="": resumed.append(done))
    assert gone and resumed[0] == 2
    after = bytes_there(out)
    assert {n for n, data in whole.items() if after.get(n) != data} <= {"timings.json"}


@pytest.mark.usefixtures("patient")
def test_a_second_run_is_refused_and_names_the_holder(
    tmp_path: Path, pictures: Draw, put: Put
) -> None:
    source, out = pictures(tmp_path / "src", 1), f"{put()}/runs/a"
    with lock.held_in(buckets.parse(out)):
        assert code_of(lambda: label(f"images:{source}", out), f"process {os.getpid()} on") == (
            "run.locked"
        )
    assert files_there(out) == {}
    with lock.held_in(buckets.parse(out)) as check:
        buckets.parse(out).write("lock.json", b"somebody")
        assert code_of(check, "does not say who") == "run.locked"
    assert buckets.parse(out).read("lock.json") == b"somebody"  # not ours: it stays
    label(f"images:{source}", out, break_lock=True)


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_a_run_whose_lock_another_takes_stops_at_the_next_look(
    tmp_path: Path, pictures: Draw, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_store, "LOOK_S", 0.0)
    out = f"{put()}/runs/a"
    told: list[bytes | None] = []

    def taken(done: int, total: int, name: str = "") -> None:
        if done == 2 and not told:  # the first shard: the times were put when it was done
            told.append(buckets.parse(out).read("timings.json"))
            buckets.parse(out).write("lock.json", b"somebody")

    request = LabelRequest(
        f"images:{pictures(tmp_path / 'src', 6)}",
        out,
        "boxes",
        "bright",
        overrides={"shard_size": 2},
    )
    assert code_of(lambda: label_source(request, taken)) == "run.locked"
    assert told[0] and "evidence/000001.json" in files_there(out)
    assert "evidence/000002.json" not in files_there(out)  # and no shard more
    assert buckets.parse(out).read("lock.json") == b"somebody"


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_a_new_run_in_a_bucket_begins_beside_one_with_other_settings_and_resumes_its_own(
    tmp_path: Path, pictures: Draw, put: Put
) -> None:
    source, out = f"images:{pictures(tmp_path / 'src', 1)}", f"{put()}/runs/a"
    assert label(source, out, new_run=True).address == out
    first = bytes_there(out)
    other = {"overrides": {"shard_size": 1}}
    assert code_of(lambda: label(source, out, **other), "--new-run") == "run.mismatch"
    beside = label(source, f"{out}/", new_run=True, **other)
    assert beside.address == f"{out}-2" and next(iter(beside.labels())).id == "000.png"
    assert label(source, out, new_run=True, **other).address == f"{out}-2"
    third = LabelRequest(source, f"{out}", "boxes", "bright", limit=1, new_run=True)  # type: ignore[arg-type]
    planned = plan(third)
    assert (planned.folder, planned.shards_done) == (f"{out}-3", 0)
    unchanged = bytes_there(out)
    assert {n: b for n, b in unchanged.items() if n != "timings.json"} == {
        n: b for n, b in first.items() if n != "timings.json"
    }


@pytest.mark.usefixtures("patient")
def test_a_place_that_is_taken_or_inside_the_source_is_refused(
    tmp_path: Path, pictures: Draw, put: Put
) -> None:
    source = pictures(tmp_path / "src", 1)
    address = put(source)
    for out, code in (
        (address, "run.occupied"),
        ("s3://no-such-bucket/run", "bucket.missing"),
        (f"{address}/../x", "source.invalid"),
    ):
        assert code_of(lambda out=out: label(f"images:{source}", out)) == code
    assert code_of(lambda: label(address, f"{address}/run")) == "path.inside_source"
    assert set(files_there(address)) == {"000.png"}


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_trust_and_corrections_take_a_run_in_a_bucket_as_one_in_a_folder(
    tmp_path: Path, pictures: Draw, put: Put, snapshot: Snapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = pictures(tmp_path / "src", 48), f"{put()}/runs/a"
    runs = (str(tmp_path / "a"), out)
    for run in runs:
        made = label(f"images:{source}", run, overrides={"shard_size": 16})
    spec = read_spec(tmp_path / "a")
    decisions = [
        {"sample": one.id, "instance": int(i), "decision": "accept" if i == 1 else "reject"}
        for one in made.labels()
        for i in one.pictures[0].instances.instance_ids
    ]
    head = {"run": spec.evidence_fingerprint(), "label_set": spec.label_set()}
    checked = tmp_path / "decisions.json"
    checked.write_text(json.dumps(head | {"decisions": decisions}))
    fit = ["trust", "fit", "--checked", str(checked), "--out"]
    said: list[list[str]] = []
    for run, model in zip(runs, (tmp_path / "a.json", tmp_path / "b.json"), strict=True):
        said.append([])
        for tokens in (
            [*fit, str(model), run],
            ["trust", "order", run],
            ["trust", "mix", run],
            ["corrections", "apply", run, str(checked)],
        ):
            assert cli.run([*tokens, "--json"]) == 0
            said[-1].append(capsys.readouterr().out)
    assert said[0] == said[1] and "48" in said[0][0]
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert same_but_times(bytes_there(out), snapshot(tmp_path / "a"))
    assert any(name.startswith("corrections/") for name in files_there(out))


def same_but_times(there: dict[str, bytes], here: dict[str, bytes]) -> bool:
    """Tell whether a run in a bucket and one in a folder are the same, and not empty."""
    files = {name: data for name, data in here.items() if data != b"folder"}
    return {**there, "timings.json": b""} == {**files, "timings.json": b""} != {}


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_workers_that_share_no_disk_put_the_shards_of_a_local_run_into_the_bucket(
    tmp_path: Path, pictures: Draw, put: Put, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = pictures(tmp_path / "src", 5), f"{put()}/runs/a"
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    local = label(f"images:{source}", tmp_path / "a")
    away = label(f"images:{source}", out, engine="ray")
    assert away.counts == local.counts
    assert same_but_times(bytes_there(out), snapshot(tmp_path / "a"))
    # What a kill leaves before a marker is made again, from the evidence that is there.
    bucket = buckets.parse(out)
    for name in sorted(bucket.sizes()):
        if name.startswith("labels/") and name.endswith("000001.json"):
            bucket.remove(name)
    evidence = bucket.read("evidence/000001.parquet")
    bucket.remove("evidence/000002.parquet")
    assert label(f"images:{source}", out, engine="ray").counts == local.counts
    assert same_but_times(bytes_there(out), snapshot(tmp_path / "a"))
    assert bucket.read("evidence/000001.parquet") == evidence
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_a_sample_that_killed_one_worker_twice_is_not_shown_to_another(
    tmp_path: Path,
    pictures: Draw,
    put: Put,
    snapshot: Snapshot,
    detector_does: Callable[[str], None],
) -> None:
    source, out, deaths = pictures(tmp_path / "src", 4), f"{put()}/runs/a", tmp_path / "deaths"
    detector_does(
        f"'001' in picture.file_name and (open({str(deaths)!r}, 'a').write('x'), os._exit(7))"
    )
    away = label(f"images:{source}", out, engine="ray")
    assert away.counts["quarantined_by"] == {"process.crash": 1}
    there, bucket = bytes_there(out), buckets.parse(out)
    assert "poison/000000-0001.json" in there and len(deaths.read_text()) == 2
    for name in there:
        if name.startswith(("evidence/000000", "labels/")):
            bucket.remove(name)
    assert label(f"images:{source}", out, engine="ray").counts == away.counts
    assert bytes_there(out) | {"timings.json": b""} == there | {"timings.json": b""}
    assert len(deaths.read_text()) == 2


def test_a_worker_whose_bucket_fails_tells_the_driver(
    tmp_path: Path, pictures: Draw, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = pictures(tmp_path / "src", 1), f"{put()}/runs/a"
    request = LabelRequest(f"images:{source}", out, "boxes", "bright", engine="ray")
    with store.opened(out) as run:
        job = resolve(check(request), run).job
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(buckets, "ATTEMPTS", 1)
    buckets._file_system.cache_clear()
    (failure,) = ShardActor(job.model_dump_json())({"shard": [0]})["failure"]
    assert failure.startswith("bucket.unreachable\n") and out in failure


@pytest.mark.slow
def test_the_command_line_takes_addresses_and_ends_clean(
    tmp_path: Path, pictures: Draw, put: Put, command: Callable[..., Any]
) -> None:
    address = put(pictures(tmp_path / "src", 3))
    out = address.replace("drive", "runs/a")
    options = ("--detector", "bright", "--segmenter", "boxes", "--workers", "2")
    process = command("label", f"images:{address}", "--out", out, *options)
    told, wrong = process.communicate(timeout=300)
    assert process.returncode == 0 and f"labels in {out}" in told, wrong
    assert "Traceback" not in wrong and "lock.json" not in files_there(out)


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_run_in_a_bucket_grows_like_one_in_a_folder(
    tmp_path: Path, pictures: Draw, put: Put, snapshot: Snapshot, engine: str
) -> None:
    source, out = pictures(tmp_path / "src", 3), f"{put()}/runs/a"
    broken = (source / "001.png").read_bytes()
    (source / "001.png").write_bytes(b"no picture")
    both = ((out, engine), (tmp_path / "a", "local"))
    for run, name in both:
        assert label(f"images:{source}", run, engine=name).counts["samples"]["quarantined"] == 1
    before = bytes_there(out)
    pictures(tmp_path / "more", 10)
    for path in (tmp_path / "more").iterdir():
        path.rename(source / f"{path.stem}-more.png")
    (source / "001.png").write_bytes(broken)
    for run, name in both:
        counts = label(f"images:{source}", run, engine=name).counts["samples"]
        assert (counts["input"], counts["quarantined"]) == (13, 0)
    there = bytes_there(out)
    assert same_but_times(there, snapshot(tmp_path / "a"))
    assert "evidence/000001.parquet" in before  # 002.png, which was alone in its shard
    for file, data in before.items():
        if file.startswith(("evidence/000001", "preview/000", "preview/002")):
            assert there[file] == data
