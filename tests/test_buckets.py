"""Sources in buckets, on an S3 server of this machine (moto's)."""

import http.client
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perception import buckets, commands, sources
from perception.commands import LabelRequest, Run
from perception.errors import BucketError, RequestError
from perception.types import SampleRef

Draw = Callable[..., Path]
Snapshot = Callable[[Path], dict[str, bytes]]
Put = Callable[..., str]


def label(source: str, out: object, **options: Any) -> Run:
    looking = {} if "boxes" in options else {"detector": "bright"}
    settings = {"overrides": {"shard_size": 2}}
    return commands.label(LabelRequest(source, out, "boxes", **(looking | settings | options)))  # type: ignore[arg-type]


def code_of(call: Callable[[], object], match: str | None = None) -> str:
    with pytest.raises(RequestError, match=match) as caught:
        call()
    return caught.value.code


@pytest.fixture(autouse=True)
def server(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Lead every connection to the test's server."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    buckets._file_system.cache_clear()
    return s3_server.removeprefix("http://")


@pytest.fixture
def put(server: str, request: pytest.FixtureRequest) -> Put:
    """Make a bucket of the test's own and copy a folder into it; return its address."""
    name = f"b{abs(hash(request.node.name))}"

    def copy(folder: Path | None = None, prefix: str = "drive") -> str:
        connection = http.client.HTTPConnection(server)
        connection.request("PUT", f"/{name}")
        connection.getresponse().read()
        for path in sorted(folder.rglob("*")) if folder else ():
            if path.is_file():
                key = f"{prefix}/{path.relative_to(folder).as_posix()}"
                connection.request("PUT", f"/{name}/{key}", body=path.read_bytes())
                assert connection.getresponse().read() == b""
        connection.close()
        return f"s3://{name}/{prefix}"

    return copy


def shards_of(snapshot: dict[str, bytes]) -> dict[str, bytes]:
    """Return what models and decisions made; the plan and the settings name the source."""
    return {
        name: data
        for name, data in snapshot.items()
        if name.startswith(("evidence/", "labels/", "preview/"))
    }


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
    plan = (away.folder / "plan.jsonl").read_text()
    assert address in plan and "perception-copy-of" not in plan


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
        commands.export(local.folder, to, tmp_path / f"a-{to}")
        commands.export(away.folder, to, tmp_path / f"b-{to}")
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
    assert code_of(lambda: commands.export(away.folder, "yolo", tmp_path / "y")) == "export.images"
    moved = commands.relabel(away.folder, overrides={"decide": {"judge": {"min_score": 0.9}}})
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
    (ref, *_) = sources.find(sources.parse_source(put(pictures(tmp_path / "src", 2))))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(buckets, "ATTEMPTS", 1)
    buckets._file_system.cache_clear()
    from perception.engine.worker import observe_one

    with pytest.raises(BucketError) as caught:
        observe_one(ref, None, False)  # type: ignore[arg-type]
    assert caught.value.code == "bucket.unreachable" and "AWS_ENDPOINT_URL" in caught.value.message


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("s3://no-such-bucket/drive", "bucket.missing"),
        ("s3://{bucket}/elsewhere", "io.not_found"),
        ("nuscenes:s3://{bucket}/drive", "source.bucket"),
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
    with sources.at_hand(ref) as here:
        assert [path for path in Path(here.root).parents[4].rglob("*") if path.is_file()] == []
