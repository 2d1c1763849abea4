"""The command line as people and programs meet it: what it prints, where, and how it exits."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from perception import cli
from perception.cli.terminal import spell_options
from perception.commands.doctor import Finding
from perception.core.config import Config, load_config
from perception.models import weights

Start = Callable[..., "subprocess.Popen[str]"]
HEAVY = ("torch", "torchvision", "ultralytics", "onnxruntime", "open3d", "ray", "pyarrow", "cv2")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, pictures: Callable[..., Path]) -> Path:
    return pictures(tmp_path_factory.mktemp("cli") / "src", 3)


@pytest.fixture(scope="module")
def finished(source: Path) -> Path:
    run = source.parent / "run"
    assert cli.run(["label", f"images:{source}", *FAKES, "--out", str(run)]) == cli.FINE
    return run


FAKES = ("--detector", "bright", "--segmenter", "boxes")


SEGMENT = ("segment", "a.png", "--segmenter", "boxes", "--out", "out")


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ((*SEGMENT, "--masks-each", "2"), ("1", "3")),
        ((*SEGMENT, "--backend", "cuda"), ('"auto"', '"openvino"', '"torch"')),
        (("bench", "ray", "--engine", "spark"), ('"local"', '"ray"')),
    ],
)
def test_a_wrong_word_is_refused_with_those_that_are_taken(
    tokens: tuple[str, ...], expected: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(tokens) == cli.USAGE
    assert f"Choose from: {', '.join(expected)}." in capsys.readouterr().err


def test_help_is_quick_and_loads_nothing_heavy(python_path: Callable[..., str]) -> None:
    code = (
        "import resource, sys\n"
        "from perception import cli\n"
        "cli.run(['--help'])\n"
        f"print(sorted({set(HEAVY)!r} & sys.modules.keys()), file=sys.stderr)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_utime, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded, cpu_s = done.stderr.splitlines()[-2:]
    assert loaded == "[]" and float(cpu_s) < 2
    for verb in ("label", "relabel", "export", "weights", "doctor"):
        assert verb in done.stdout


@pytest.mark.parametrize(
    "verb", ["label", "relabel", "export", "segment", "show", "doctor", "weights pull"]
)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*verb.split(), "--help"]) == cli.FINE
    assert "--json" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_says_what_it_found_and_where(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert cli.run(["label", str(source), *FAKES, "--out", str(run)]) == cli.FINE
    out, errors = capsys.readouterr()
    assert out.splitlines()[0] == "3 samples: 2 ok, 1 empty, 0 quarantined"
    assert "classes accepted: car 3" in out and str(run) in out.splitlines()[-1]
    assert out.splitlines()[-2] == f"next: perception show {run} --out page"
    assert "Traceback" not in errors


@pytest.mark.slow
def test_key_value_pairs_are_options(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = ["detector=bright", "segmenter=boxes", f"out={tmp_path / 'run'}", "min_score=0.9"]
    assert cli.run(["label", f"images:{source}", *tokens]) == cli.FINE
    spec = json.loads((tmp_path / "run" / "run.json").read_bytes())["spec"]
    assert spec["config"]["decide"]["judge"]["min_score"] == 0.9
    assert cli.run(["relabel", str(tmp_path / "run"), "min-score=0.3"]) == cli.FINE
    assert "accepted 3" in capsys.readouterr().out


def test_a_picture_with_an_equals_sign_in_its_name_is_a_picture(
    tmp_path: Path, draw: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "source=1.png")
    monkeypatch.chdir(tmp_path)
    assert spell_options(["source=1.png", "out=run"], cli.app) == ["source=1.png", "--out=run"]


@pytest.mark.slow
def test_json_is_one_object_on_stdout_and_nothing_else(
    source: Path, tmp_path: Path, command: Start
) -> None:
    out = str(tmp_path / "run")
    for tokens, key in (
        (["label", source, *FAKES, "--out", out, "--dry-run"], "fingerprint"),
        (["label", source, *FAKES, "--out", out], "counts"),
        (["export", out, "--to", "coco", "--out", tmp_path / "coco.json"], "exports"),
        (["weights", "list"], "weights"),
    ):
        process = command(*tokens, "--json")
        answer, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (cli.FINE, "")
        assert key in json.loads(answer) and answer.count("\n") == 1


@pytest.mark.slow
def test_quarantined_samples_are_told_and_exit_with_1(
    tmp_path: Path, pictures: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    source = pictures(tmp_path / "src", 2)
    (source / "empty.png").touch()
    (source / "text.jpg").write_text("<html>")
    tokens = ["label", str(source), *FAKES, "--out", str(tmp_path / "run")]
    assert cli.run(tokens) == cli.QUARANTINED
    out = capsys.readouterr().out
    assert "4 samples: 1 ok, 1 empty, 2 quarantined" in out
    assert "quarantined: image.empty 1, image.not_an_image 1; see " in out
    assert cli.run(tokens) == cli.QUARANTINED  # resumed: still not all is well
    assert cli.run(["relabel", str(tmp_path / "run"), "--json"]) == cli.QUARANTINED


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (["label"], ["source"]),
        (["label", "SRC", *FAKES, "--out", "OUT", "--colour", "red"], ["--colour"]),
        (["label", "SRC", *FAKES, "--out", "OUT", "--min-score", "high"], ["min-score", "high"]),
        (["label", "SRC", *FAKES, "--out", "OUT", "--min-score", "0.1"], ["0.1", "0.2"]),
        (["label", "SRC", *FAKES, "--out", "OUT", "--limit=-1"], ["--limit -1"]),
        (["label", "SRC", *FAKES, "--out", "OUT", "--workers", "0"], ["--workers 0"]),
        (["label", "SRC", *FAKES, "--out", "OUT", "--config", "no.yaml"], ["no.yaml"]),
        (["label", "waymo:SRC", *FAKES, "--out", "OUT"], ["waymo", "kitti"]),
        (["label", "nowhere", *FAKES, "--out", "OUT"], ["io.not_found", "nowhere"]),
        (["label", "SRC", "--offline", "--out", "OUT"], ["yolov8n", "--offline"]),
        (["label", "SRC", *FAKES, "--out", "SRC/000.png/run"], ["SRC/000.png/run"]),
        (["relabel", "nowhere"], ["run.damaged", "nowhere"]),
        (["export", "RUN", "--to", "tfrecord", "--out", "OUT"], ["tfrecord", "coco"]),
        (["export", "RUN", "--to", "coco", "--out", "OUT", "--status", "fine"], ["fine", "review"]),
        (["export", "RUN", "--to", "coco", "--out", "RUN"], ["RUN"]),
        (["weights", "verify", "nowhere.pt"], ["weights.missing", "nowhere.pt"]),
        (["weights", "pull", "resnet"], ["weights.unknown", "mobile_sam"]),
        (["train"], ["train"]),
    ],
)
def test_a_wrong_request_is_one_message_and_exits_with_2(
    source: Path,
    finished: Path,
    tmp_path: Path,
    snapshot: Callable[[Path], dict[str, bytes]],
    capsys: pytest.CaptureFixture[str],
    tokens: list[str],
    words: list[str],
) -> None:
    places = {"SRC": str(source), "OUT": str(tmp_path / "out"), "RUN": str(finished)}

    def placed(text: str) -> str:
        for name, path in places.items():
            text = text.replace(name, path)
        return text

    before = snapshot(source.parent)
    capsys.readouterr()
    assert cli.run([placed(token) for token in tokens]) == cli.USAGE
    out, errors = capsys.readouterr()
    assert out == "" and errors.startswith("perception: ")
    for word in words:
        assert placed(word) in errors
    assert not (tmp_path / "out").exists()
    assert snapshot(source.parent) == before


@pytest.mark.parametrize(
    "tokens",
    [
        ["--detector", "bright", "--segmenter", "mobile_sam.pt"],
        ["--detector", "yolo11n.pt", "--segmenter", "boxes"],
    ],
)
def test_row_31_missing_weights_tell_path_hash_and_command(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tokens: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["label", str(source), "--out", "run", *tokens]) == cli.USAGE
    errors = capsys.readouterr().err
    (name,) = (token for token in tokens if token.endswith(".pt"))
    known = next(entry for entry in weights.KNOWN if entry.file_name == name)
    assert str(tmp_path / name) in errors and known.sha256 in errors
    assert f"perception weights pull {known.name}" in errors
    assert list(tmp_path.iterdir()) == []


def test_two_files_that_are_missing_are_told_together(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    tokens = ["--detector", "no.onnx", "--segmenter", "gone.pt", "--out", "run"]
    assert cli.run(["label", str(source), *tokens]) == cli.USAGE
    errors = capsys.readouterr().err
    assert errors.startswith("perception: weights.missing: ")
    assert "no.onnx" in errors and "gone.pt" in errors and errors.count("\n") == 1


def test_the_doctor_begins_with_all_is_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fine = (Finding("python", True, "3.11"),)
    monkeypatch.setattr("perception.commands.doctor.examine", lambda: fine)
    assert cli.run(["doctor"]) == cli.FINE
    assert capsys.readouterr().out.startswith("all is well")


@pytest.mark.slow
def test_the_order_of_review_has_a_head_and_says_why(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert cli.run(["trust", "order", str(finished), "--first", "2"]) == cli.FINE
    head, *rows = capsys.readouterr().out.splitlines()
    columns = ["sample", "instance", "class", "status", "score", "trust", "reasons"]
    assert head.split() == columns and len(rows) == 2
    assert {row.split()[2] for row in rows} == {"car"} and all("accepted" in row for row in rows)
    assert cli.run(["trust", "mix", str(finished)]) == cli.FINE
    mixed = capsys.readouterr().out.splitlines()
    for column in mixed[0].replace("one each", "one_each").split()[1:]:
        assert any(f"{column.replace('_', ' ')}:" in line for line in mixed[2:]), column
    assert cli.run(["trust", "order", str(finished), "--first", "0"]) == cli.FINE
    assert capsys.readouterr().out == "no label waits for a decision\n"


def test_weights_are_listed_and_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["weights", "list"]) == cli.FINE
    assert "mobile_sam" in capsys.readouterr().out
    mine = tmp_path / "mine.onnx"
    mine.write_bytes(b"\x08\x08" + bytes(20))
    assert cli.run(["weights", "verify", str(mine)]) == cli.QUARANTINED
    assert "is not in the list of known weights" in capsys.readouterr().out


@pytest.mark.slow
def test_the_doctor_says_what_is_there_and_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = cli.run(["doctor", "--json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    names = {finding["name"] for finding in findings}
    assert {"driving-perception", "python", "cores", "import cv2", "licence"} <= names
    assert code == (cli.FINE if all(f["fine"] for f in findings) else cli.QUARANTINED)
    assert "AGPL" in next(f["text"] for f in findings if f["name"] == "licence")
    for finding in findings:
        assert finding["fine"] or finding["text"]


def test_the_doctor_names_the_fix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = "ImportError: libGL.so.1: cannot open shared object file"
    monkeypatch.setattr("perception.commands.doctor._in_fresh_process", lambda code: (False, fault))
    monkeypatch.setattr("perception.commands.doctor.EXTRAS", {"no-such-package": "ray"})
    assert cli.run(["doctor"]) == cli.QUARANTINED
    out = capsys.readouterr().out
    assert "are not as they should be: no-such-package, import cv2" in out.splitlines()[0]
    assert "apt-get install libgl1" in out and "driving-perception[ray]" in out
    assert "Traceback" not in out


def test_what_follows_a_flag_is_a_word_of_its_own() -> None:
    tokens = ["corrections", "apply", "run", "edited.xml", "--allow-deletions", "class_map=a.yaml"]
    assert spell_options(tokens, cli.app) == [*tokens[:5], "--class-map=a.yaml"]


def test_key_value_is_rewritten_where_an_option_may_stand_and_nowhere_else() -> None:
    spelled = spell_options(
        ["label", "--out", "a=b", "--json", "min_score=0.4", "--boxes=c=d", "detector=bright"],
        cli.app,
    )
    assert spelled == [
        *("label", "--out", "a=b", "--json", "--min-score=0.4", "--boxes=c=d", "--detector=bright")
    ]


@pytest.mark.slow
def test_a_shell_completes_verbs_and_options(tmp_path: Path, command: Start) -> None:
    (tmp_path / "perception.bash").write_text(command("completion", "bash").communicate()[0])
    asked = (
        "source perception.bash; COMP_WORDS=(perception re); COMP_CWORD=1; "
        '_perception perception re perception; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", asked], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == ["relabel"], done.stderr


def test_config_prints_every_setting_as_a_file_that_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["config"]) == cli.FINE
    text = capsys.readouterr().out
    (tmp_path / "mine.yaml").write_text(text)
    assert load_config(tmp_path / "mine.yaml", {}) == Config()
    assert "# labels below this score are rejected" in text and text.count("#") > 30
    assert cli.run(["config", "--json"]) == cli.FINE
    assert json.loads(capsys.readouterr().out) == Config().model_dump(mode="json")
