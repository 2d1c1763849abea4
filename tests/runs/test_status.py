"""How far a run is, and whether it is what it promises."""

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perception import cli
from perception.commands.label import label
from perception.commands.request import LabelRequest
from perception.core.errors import RequestError
from perception.io import owners
from perception.runs import lock, timings
from perception.runs.status import read_status
from perception.runs.verify import verify

Pictures = Callable[[Path, int], Path]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, pictures: Pictures) -> Path:
    """A run of six pictures and a broken one, in shards of two."""
    base = tmp_path_factory.mktemp("status")
    (pictures(base / "src", 6) / "zzz.png").touch()
    request = LabelRequest(
        f"images:{base / 'src'}", base / "run", "boxes", "bright", overrides={"shard_size": 2}
    )
    return label(request).folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def unfinished(run: Path) -> None:
    """Make it look as after two of four shards."""
    stated = json.loads((run / "run.json").read_bytes())
    (run / "run.json").write_text(json.dumps(stated | {"counts": None}))
    for path in [*run.glob("evidence/00000[23]*"), *run.glob("labels/*/00000[23]*")]:
        path.unlink()


@pytest.mark.slow
def test_a_finished_run_tells_its_samples_its_classes_and_its_speed(finished: Path) -> None:
    status = read_status(finished)
    assert (status.state, status.holder) == ("finished", "")
    assert status.samples == {"input": 7, "done": 7, "ok": 4, "empty": 2, "quarantined": 1}
    assert status.quarantined_by == {"image.empty": 1}
    assert status.classes_accepted == {"car": 6} and status.acceptance_rate == 1.0
    assert status.images_per_s is not None and status.images_per_s > 0
    assert status.seconds_left == 0
    assert status.busy_share is not None and 0 < status.busy_share < 1
    assert status.worker_peak_bytes is not None and 2e7 < status.worker_peak_bytes < 2e9


def test_a_run_that_stopped_tells_what_is_left(run: Path) -> None:
    unfinished(run)
    status = read_status(run)
    assert status.state == "stopped"
    assert status.samples == {"input": 7, "done": 4, "ok": 2, "empty": 2, "quarantined": 0}
    assert status.images_per_s is not None
    assert status.seconds_left == pytest.approx(3 / status.images_per_s)


def test_shards_behind_one_that_is_missing_count(run: Path) -> None:
    """Of several workers the later one may be the faster one."""
    for path in (run / "labels").glob("*/000001*"):
        path.unlink()
    status = read_status(run)
    assert status.samples == {"input": 7, "done": 5, "ok": 3, "empty": 1, "quarantined": 1}


def test_a_run_whose_process_has_ended_is_at_work_no_longer(run: Path) -> None:
    unfinished(run)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    holder = replace(owners.this_process(), pid=ended.pid)
    (run / "lock.json").write_bytes(owners.to_bytes(holder))
    status = read_status(run)
    assert (status.state, status.holder) == ("stopped", "")


def test_a_run_at_work_names_who_works(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unfinished(run)
    with lock.held(run):
        assert cli.run(["status", str(run)]) == cli.FINE
        assert cli.run(["verify", str(run)]) == cli.FINE
    out = capsys.readouterr().out
    assert "running by process " in out and "4 of 7 samples, 2 ok" in out
    assert "4 shards read, 4 still missing" in out and "all as promised" in out


def test_a_run_without_times_has_none(run: Path) -> None:
    (run / "timings.json").unlink()
    status = read_status(run)
    assert status.images_per_s is status.busy_share is status.worker_peak_bytes is None
    assert status.samples["done"] == 7


def test_the_memory_that_a_process_took_is_whole_pages() -> None:
    peak = timings.peak_bytes()
    assert 2e7 < peak and peak % resource.getpagesize() == 0


def test_status_and_verdict_are_one_json_object(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["status", str(finished), "--json"]) == cli.FINE
    assert json.loads(capsys.readouterr().out)["state"] == "finished"
    assert cli.run(["verify", str(finished), "--json"]) == cli.FINE
    verdict = json.loads(capsys.readouterr().out)
    assert verdict == {"faults": [], "missing": 0, "shards": 8}


def test_a_folder_that_is_no_run_says_so(tmp_path: Path) -> None:
    for ask in (read_status, verify):
        with pytest.raises(RequestError, match=r"run\.json.*is this a run folder"):
            ask(tmp_path)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_bytes()) | values))


def recount(run: Path) -> None:
    counts = json.loads((run / "run.json").read_bytes())["counts"]
    change(run / "run.json", counts=counts | {"statuses": {"accepted": 1}})


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "evidence": (lambda run: flip(run / "evidence" / "000001.parquet"), "000001.parquet"),
    "labels": (lambda run: flip(next(run.glob("labels/*/000002.parquet"))), "000002.parquet"),
    "missing": (lambda run: (run / "evidence" / "000000.json").unlink(), "000000.json"),
    "stranger": (lambda run: (run / "evidence" / "000009.parquet").touch(), "no shard of the plan"),
    "temporary": (lambda run: (run / ".tmp-0").touch(), "left by a process"),
    "quarantine": (lambda run: (run / "quarantine.jsonl").write_text(""), "quarantine.jsonl"),
    "fingerprint": (lambda run: change(run / "run.json", fingerprint="0"), "fingerprint is 0"),
    "counts": (lambda run: recount(run), "not the sum of the shards"),
    "run.json": (lambda run: (run / "run.json").write_text("[" * 100_000), "is not JSON"),
    "plan": (lambda run: (run / "plan.jsonl").unlink(), "plan.jsonl: no such file"),
    "times": (lambda run: change(run / "timings.json", seconds="1_000"), "timings.json: seconds"),
    "quarantine missing": (lambda run: (run / "quarantine.jsonl").unlink(), "no such file"),
    "swapped": (
        lambda run: [
            shutil.copy(run / "evidence" / f"000000{end}", run / "evidence" / f"000001{end}")
            for end in (".parquet", ".json")
        ],
        "not the plan's 2 in their order",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_row_36_whatever_is_damaged_is_found_and_named(
    run: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    damage, words = DAMAGE[name]
    assert verify(run).faults == ()
    damage(run)
    faults = verify(run).faults
    assert any(words in fault for fault in faults), faults
    assert cli.run(["verify", str(run)]) == cli.QUARANTINED
    assert "all as promised" not in capsys.readouterr().out


def test_a_plan_with_a_sample_twice_is_found(run: Path) -> None:
    lines = (run / "plan.jsonl").read_text().splitlines()
    lines[1] = lines[0]
    (run / "plan.jsonl").write_text("\n".join(lines) + "\n")
    (fault,) = verify(run).faults
    assert "plan.jsonl: is not the plan that run.json states" in fault
