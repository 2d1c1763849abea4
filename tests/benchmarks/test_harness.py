"""What every verb of `perception bench` shares: a file each, and a data file that figures go to."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from perception import cli
from perception.benchmarks.harness import machine, record
from perception.benchmarks.harness.measurement import Row
from perception.cli.bench import bench_app
from perception.core.errors import PerceptionError
from perception.core.statistics import Figure
from perception.core.version import __version__

ROOT = Path(__file__).resolve().parents[2]
KNOWN = {"command": "perception bench x", "machine": "2 cores", "commit": "6385aa9"}
LINE = {"what": "mean IoU", "figure": 0.5, "date": "2026-12-01", **KNOWN}


def test_every_verb_has_a_file_of_its_name_and_no_file_is_without_a_verb() -> None:
    modules = {path.stem for path in (ROOT / "perception" / "benchmarks").glob("*")}
    verbs = {name for name in bench_app if not name.startswith("-")} | {"race"}  # the default
    assert modules - {"__init__", "__pycache__", "harness"} == verbs


def test_a_line_for_each_figure_is_appended_and_nothing_else_changed(tmp_path: Path) -> None:
    path = tmp_path / "figures.jsonl"
    path.write_text(json.dumps(LINE))  # an editor left the end of the line out
    rows = [Row("a: b", Figure(0.123456789, 0.1, 0.2), "ms"), Row("none", Figure(None))]
    count = Row("labels", Figure(1234567))
    record.append(path, rows, ["bench", "x"])
    first, second = record.read(path)
    assert first.figure == 0.5 and path.read_text().startswith(json.dumps(LINE))
    assert second.what == "a: b" and second.figure == 0.123457 and second.interval == (0.1, 0.2)
    assert second.unit == "ms" and second.command == "perception bench x"
    assert second.machine == machine.machine() and second.commit == machine.commit()
    record.append(path, [*rows, count], ["bench", "x"])
    assert len(record.read(path)) == 4 and path.read_text().count('"figure": 1234567,') == 1
    assert [one.name for one in tmp_path.iterdir()] == ["figures.jsonl"]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("", "line 2: is not JSON"),
        ("[1]", "line 2: .*expected"),
        ('{"what": "x"}', "line 2: figure: found nothing"),
        (json.dumps({**LINE, "figure": "0.5"}), r"line 2: figure\S*: found '0.5'"),
        (json.dumps({**LINE, "figure": True}), r"line 2: figure\S*: found True"),
        (json.dumps({**LINE, "figure": float("nan")}), "line 2: "),
        (json.dumps({**LINE, "date": "today"}), "line 2: date"),
        (json.dumps({**LINE, "who": "me"}), "line 2: who: .*no such key"),
        ("[" * 100_000, "line 2: is not JSON"),
        ("\udcff", "line 2: is not JSON"),
    ],
)
def test_what_is_no_line_of_figures_is_named_before_any_work(
    tmp_path: Path, line: str, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "figures.jsonl"
    data = f"{json.dumps(LINE)}\n{line}\n".encode(errors="surrogateescape")
    path.write_bytes(data)
    with pytest.raises(PerceptionError, match=rf"record\.invalid: {path}, {fault}"):
        record.read(path)
    # were it asked after the work, the run that is missing would be told
    assert cli.run(["bench", "evidence", str(tmp_path / "none"), "--record", str(path)]) == 2
    assert "record.invalid" in capsys.readouterr().err
    assert path.read_bytes() == data


def test_what_is_no_file_for_figures_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PerceptionError, match=r"io\.not_found: .* is no file"):
        record.check(tmp_path)
    with pytest.raises(PerceptionError, match=r"io\.not_found: .* no such folder"):
        record.check(tmp_path / "none" / "figures.jsonl")
    record.check(tmp_path / "figures.jsonl")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(record, "LARGEST_BYTES", 100)
    (tmp_path / "large").write_text("x" * 101)
    with pytest.raises(PerceptionError, match="has more than 100 bytes"):
        record.check(tmp_path / "large")


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("/srv/data/cityscapes", "DATA/cityscapes"),
        ("/srv/data/cityscapes/", "DATA/cityscapes"),
        ("../shared/data/coco", "DATA/coco"),
        ("~/data/coco", "DATA/coco"),
        ("kitti:/srv/data/kitti", "kitti:DATA/kitti"),
        ("--out=/srv/runs/one", "--out=DATA/one"),
        ("coco:/srv/my data/truth.json", "coco:truth.json"),
        ("my drive", "'my drive'"),
        ("images:/srv/x/*.jpg", "'images:*.jpg'"),
        ("/srv/weights/sam.pt", "sam.pt"),
        ("runs/kitti", "runs/kitti"),
        ("s3://bucket/drives", "s3://bucket/drives"),
        ("3840x2160", "3840x2160"),
    ],
)
def test_a_command_is_kept_without_the_folders_of_the_machine(token: str, shown: str) -> None:
    for record_it in (["--json", "--record", "/srv/f.jsonl"], ["--record=/srv/f.jsonl"]):
        tokens = ["bench", "x", token, *record_it, "--mode", "fast"]
        assert record.command_line(tokens) == f"perception bench x {shown} --mode fast"


def test_a_machine_is_told_by_what_its_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text("flags\t: a b\nmodel name\t: Some  Processor @ 2.80GHz\n")
    monkeypatch.setattr(machine, "CPU", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine, "GPUS", tmp_path / "gpus")
    memory = r"[1-9]\d* GB"
    assert_matches(rf"[1-9]\d* cores, Some Processor @ 2\.80GHz, no GPU, {memory}")
    (tmp_path / "gpus" / "0000:01").mkdir(parents=True)
    (tmp_path / "gpus" / "0000:01" / "information").write_text("Model: \t\t NVIDIA H200\nIRQ: 1\n")
    assert_matches(rf"\d+ cores, Some Processor @ 2\.80GHz, NVIDIA H200, {memory}")
    monkeypatch.setattr(machine, "CPU", tmp_path / "none")
    assert_matches(rf"\d+ cores, \S.*, NVIDIA H200, {memory}")


def assert_matches(pattern: str) -> None:
    assert re.fullmatch(pattern, machine.machine())


def test_the_commit_is_that_of_the_package_and_of_no_repository_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "venv" / "perception"
    package.mkdir(parents=True)
    monkeypatch.setattr(machine.perception, "__file__", str(package / "__init__.py"))
    assert machine.commit() == __version__
    git("init", tmp_path)
    git("commit", tmp_path, "--allow-empty", "-m", "theirs")
    assert machine.commit() == __version__
    git("init", tmp_path / "venv")
    git("commit", tmp_path / "venv", "--allow-empty", "-m", "ours")
    short = git("rev-parse", tmp_path / "venv", "--short", "HEAD")
    assert machine.commit() == short


def git(verb: str, folder: Path, *more: str) -> str:
    who = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(
        ["git", "-C", str(folder), *who, verb, *more],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    ).stdout.strip()


def test_a_verb_records_what_it_prints(
    tmp_path: Path, pictures: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    source, run = pictures(tmp_path / "src", 2), tmp_path / "run"
    models = ["--detector", "bright", "--segmenter", "boxes"]
    assert cli.run(["label", str(source), "--out", str(run), *models]) == 0
    path = tmp_path / "figures.jsonl"
    capsys.readouterr()
    assert cli.run(["bench", "evidence", str(run), "--json", f"record={path}"]) == 0
    printed = json.loads(capsys.readouterr().out)
    kept = {entry.what: entry for entry in record.read(path)}
    assert kept["instances"].figure == printed["instances"] == 1
    assert kept["median instance"].figure == printed["median_bytes"]
    assert kept["median instance"].unit == "bytes"
    assert kept["instances"].command == "perception bench evidence DATA/run"
    assert str(tmp_path) not in path.read_text()
