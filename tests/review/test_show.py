"""The page of `perception show`: what it says, how it opens, that no stranger runs in it."""

import base64
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception import cli
from perception.core.config import ModelSpec
from perception.core.errors import RequestError
from perception.core.types import PointLabels, SampleLabels
from perception.models import weights
from perception.review import review, show, words
from perception.review.command import WEB
from perception.review.sweeps import FIRST_CLASS, MAX_POINTS, pack_sweep
from perception.runs import folder

FAKES = ("--detector", "bright", "--segmenter", "boxes")
OTHERS = ["background", "unknown"]
HOSTILE = "<img src=x onerror=alert(1)>&\"'.png"


def labelled(source: str, run: Path) -> Path:
    assert cli.run(["label", source, *FAKES, "--out", str(run)]) in (cli.FINE, cli.QUARANTINED)
    return run


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory, kitti: Callable[..., Path]) -> Path:
    root = tmp_path_factory.mktemp("drive")
    return labelled(f"kitti:{kitti(root / 'src', 2)}", root / "run")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, pictures: Callable[..., Path]) -> Path:
    root = tmp_path_factory.mktemp("photos")
    return labelled(f"images:{pictures(root / 'src', 10)}", root / "run")


def page(out: Path) -> str:
    return (out / "index.html").read_text(encoding="utf-8")


def data(out: Path) -> dict[str, Any]:
    text = (out / "data.js").read_text(encoding="utf-8")
    value: dict[str, Any] = json.loads(text.removeprefix("const DATA = ").removesuffix(";\n"))
    return value


def frame(out: Path, number: int) -> dict[str, Any]:
    text = (out / f"frames/{number:03d}.js").read_text(encoding="utf-8")
    value: dict[str, Any] = json.loads(text.removeprefix("addFrame(").removesuffix(");\n"))
    return value


@pytest.mark.slow
def test_a_sweep_arrives_where_it_was_with_the_colour_of_its_class(
    drive: Path, tmp_path: Path
) -> None:
    shown = show(drive, tmp_path / "report")
    assert shown.frames == 2 and shown.page == tmp_path / "report" / "index.html"
    values = data(tmp_path / "report")
    for number in range(2):
        sweep = frame(tmp_path / "report", number)["sweep"]
        places = np.frombuffer(base64.b64decode(sweep["places_cm"]), "<i2").reshape(-1, 3)
        # on the car, beside it, behind the camera; the fourth is nowhere
        np.testing.assert_array_equal(places, [[500, 0, 0], [1000, 550, 0], [-1000, 0, 0]])
        codes = base64.b64decode(sweep["codes"])
        palettes = values["palettes"]
        assert [palettes["label"][code]["name"] for code in codes] == ["car", *OTHERS]
        ids = np.frombuffer(base64.b64decode(sweep["ids"]), "<i4")
        assert ids.tolist() == [1], "of the labelled point alone"
        trusts = [palettes["trust"][code]["name"] for code in base64.b64decode(sweep["trusts"])]
        assert trusts == ["full trust", *OTHERS]
        # show.js takes codes of 2 and more for labelled, colours 3 and more for instances
        assert {entry["name"] for entry in palettes["instance"][FIRST_CLASS:]} == {""}
        assert len(palettes["instance"]) == FIRST_CLASS + 64
        assert [entry["name"] for entry in palettes["state"]] == [*OTHERS[::-1], "", "labelled"]
        assert (sweep["shown"], sweep["points"]) == (3, 4)


def test_a_label_that_is_not_accepted_does_not_look_accepted(drive: Path) -> None:
    spec = folder.read_spec(drive)
    ((_, sample), *_) = folder.read_labels(drive)
    assert sample.pictures[0].instances.statuses.tolist() == [0]
    doubtful = replace(sample.pictures[0].instances, statuses=np.array([1], np.uint8))
    changed = replace(sample, pictures=(replace(sample.pictures[0], instances=doubtful),))
    points = np.array([[5, 0, 0], [10, 5.5, 0], [-10, 0, 0], [np.nan, 0, 0]], np.float32)
    for labels, code in ((sample, FIRST_CLASS + 5), (changed, 2)):
        assert base64.b64decode(pack_sweep(points, labels, spec.ontology)["codes"])[0] == code


def points_only(count: int) -> SampleLabels:
    points = PointLabels(
        states=np.ones(count, np.uint8),
        class_ids=np.full(count, -1, np.int32),
        instance_ids=np.zeros(count, np.int32),
        trusts=np.zeros(count, np.uint8),
    )
    return SampleLabels(id="x", pictures=(), points=points)


@pytest.mark.parametrize(
    ("points", "shown"),
    [
        (np.zeros((0, 3)), 0),
        (np.array([[327.67, 0, 0], [-327.67, 0, 0]]), 2),
        (np.array([[328, 0, 0], [0, -1e30, 0], [np.inf, 0, 0], [0, 0, np.nan]]), 0),
        (np.zeros((MAX_POINTS + 1, 3)), MAX_POINTS),
    ],
)
def test_points_that_do_not_fit_are_left_out(
    drive: Path, points: np.ndarray[Any, Any], shown: int
) -> None:
    ontology = folder.read_spec(drive).ontology
    packed = pack_sweep(points.astype(np.float32), points_only(len(points)), ontology)
    assert (packed["shown"], packed["points"]) == (shown, len(points))
    assert len(base64.b64decode(packed["places_cm"])) == 6 * shown
    assert len(base64.b64decode(packed["codes"])) == shown


@pytest.mark.slow
def test_pictures_without_sweeps_and_truth_make_a_page(photos: Path, tmp_path: Path) -> None:
    shown = show(photos, tmp_path, frames=3)
    text = page(tmp_path)
    assert [one["name"] for one in data(tmp_path)["frames"]] == ["000.png", "004.png", "009.png"]
    assert shown.selection == "3 of 10 samples are here, evenly spaced; --frames 10 shows all."
    assert shown.selection in text
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        "000-0.jpg",
        "001-0.jpg",
        "002-0.jpg",
    ]
    for file in re.findall(r'(?:src|href)="(.*?)"', text):
        assert (tmp_path / file).is_file(), file
    assert [frame(tmp_path, number)["sweep"] for number in range(3)] == [None] * 3
    assert shown.good == () and "How good" not in text and "<h2>Figures" not in text
    assert "10 samples: 6 with objects, 4 without, 0 could not be used." in shown.made


@pytest.mark.slow
def test_a_run_in_which_nothing_was_found_makes_a_page(
    tmp_path: Path, pictures: Callable[..., Path]
) -> None:
    run = labelled(f"images:{pictures(tmp_path / 'src', 1)}", tmp_path / "run")
    shown = show(run, tmp_path / "report")
    assert shown.made[1] == "Labels: 0 accepted, 0 review, 0 rejected."
    assert (tmp_path / "report" / "pictures" / "000-0.jpg").is_file()


@pytest.mark.slow
def test_a_run_in_which_nothing_could_be_used_says_why(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    (source / "broken.png").write_bytes(b"no picture")
    shown = show(labelled(f"images:{source}", tmp_path / "run"), tmp_path / "report")
    text = page(tmp_path / "report")
    assert "Not used: 1 for image." in " ".join(shown.made)
    (only,) = data(tmp_path / "report")["frames"]
    assert only["note"].startswith("could not be used: image.") and only["file"] == ""
    assert "No sample could be used" in text and "<figure>" not in text
    assert not (tmp_path / "report" / "pictures").exists()


@pytest.mark.slow
def test_a_hostile_file_name_stays_a_text(tmp_path: Path, draw: Callable[..., Path]) -> None:
    draw(tmp_path / "src" / HOSTILE, (4, 8, 20, 30, 255))
    run = labelled(f"images:{tmp_path / 'src'}", tmp_path / "run")
    show(run, tmp_path / "report")
    text = page(tmp_path / "report")
    assert "<img src=x" not in text
    # the frame's name to choose; three examples, alt and caption each
    assert text.count(html.escape(HOSTILE)) == 7
    (picture,) = (tmp_path / "report" / "pictures").iterdir()
    assert picture.name == "000-0.jpg"


def test_the_page_asks_nobody(drive: Path, tmp_path: Path) -> None:
    truth = exported(drive, tmp_path / "truth.json")
    show(drive, tmp_path / "report", truth=str(truth))
    for name in ("index.html", "data.js", "frames/000.js", *WEB):
        if name.startswith("three"):  # a library, which asks nobody unless it is told to
            continue
        text = (tmp_path / "report" / name).read_text()
        text = text.replace("http://www.w3.org/2000/svg", "")  # the name of a vocabulary
        assert not re.search(r"https?:|//\w|@import|url\(|\bimport\b|fetch\(", text), name
    assert 'type="module"' not in page(tmp_path / "report")


def exported(run: Path, target: Path) -> Path:
    assert cli.run(["export", str(run), "--to", "coco", "--out", str(target)]) == cli.FINE
    return target


def test_with_truth_the_page_has_sentences_and_the_tables(photos: Path, tmp_path: Path) -> None:
    truth = exported(photos, tmp_path / "truth.json")
    shown = show(photos, tmp_path / "report", truth=str(truth))
    text = page(tmp_path / "report")
    assert shown.good[0] == "Truth: 9 objects on 10 images."
    assert "Mask IoU of right labels, mean: 1.000" in " ".join(shown.good)
    assert "(95 % interval 1.000 to 1.000)" in shown.good[1]
    assert "How good" in text and "<h2>panoptic</h2>" in text and 'class="interval"' in text
    assert not any(line.startswith("Point IoU") for line in shown.good)  # no sweeps, no figure


@pytest.mark.slow
def test_a_source_that_went_or_changed_is_said_and_the_rest_is_shown(
    tmp_path: Path, pictures: Callable[..., Path], draw: Callable[..., Path]
) -> None:
    run = labelled(f"images:{pictures(tmp_path / 'src', 3)}", tmp_path / "run")
    (tmp_path / "src" / "000.png").unlink()
    draw(tmp_path / "src" / "001.png", size_hw=(20, 20))
    show(run, tmp_path / "report")
    notes = [one["note"] for one in data(tmp_path / "report")["frames"]]
    assert notes[0].startswith("cannot be read any more: io.not_found")
    assert notes[1:] == ["is not the sample any more that was labelled", ""]
    assert data(tmp_path / "report")["start"] == 2, "the frame that can be seen"
    assert [path.name for path in (tmp_path / "report" / "pictures").iterdir()] == ["002-0.jpg"]


def test_requests_that_cannot_be_served_write_nothing(photos: Path, tmp_path: Path) -> None:
    mine = tmp_path / "full" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(RequestError, match=r"output\.exists"):
        show(photos, tmp_path / "full")
    assert list(mine.parent.iterdir()) == [mine]
    with pytest.raises(RequestError, match=r"option\.invalid"):
        show(photos, tmp_path / "new", frames=0)
    with pytest.raises(RequestError, match=r"truth\."):
        show(photos, tmp_path / "new", truth=str(mine))
    unfinished = tmp_path / "unfinished"
    shutil.copytree(photos, unfinished)
    stated = json.loads((unfinished / "run.json").read_bytes()) | {"counts": None}
    (unfinished / "run.json").write_text(json.dumps(stated))
    with pytest.raises(RequestError, match=r"run\.incomplete"):
        show(unfinished, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_page_says_which_models_ran_and_what_they_do_not_know(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, counts = folder.read_spec(photos), folder.read_counts(photos)
    plan = folder.read_plan(photos, spec)
    (tmp_path / "pocket").mkdir()
    (tmp_path / "pocket" / "pocket.onnx").write_bytes(b"pocket")
    monkeypatch.setattr(words, "data_folder", lambda: tmp_path)
    sam = next(known for known in weights.KNOWN if known.name == "mobile_sam")
    for detector, segmenter, said in (
        (
            ModelSpec(kind="boxes", file_name="label_2"),
            ModelSpec(kind="grabcut"),
            ["No detector ran", "GrabCut, which needs no weights and is rough"],
        ),
        (
            ModelSpec(kind="yolo", file_name="p", sha256=hashlib.sha256(b"pocket").hexdigest()),
            ModelSpec(kind="sam", file_name="mobile_sam.pt", sha256=sam.sha256),
            [words.POCKET, f"{sam.note} Licence: Apache-2.0."],
        ),
        (
            ModelSpec(kind="yolo", file_name="mine.onnx", sha256="ab" * 32),
            ModelSpec(kind="boxes"),
            ["detector mine.onnx (sha256 abababababab).", "Masks: the boxes, filled."],
        ),
    ):
        models = {"detector": detector, "segmenter": segmenter}
        text = " ".join(words.what_was_made(spec.model_copy(update=models), plan, counts))
        for sentence in said:
            assert sentence in text
        assert (words.POCKET in text) == (detector.file_name == "p")


def test_a_synthetic_street_is_called_synthetic(drive: Path) -> None:
    spec, counts = folder.read_spec(drive), folder.read_counts(drive)
    plan = folder.read_plan(drive, spec)
    root = Path(plan.samples[0].root)
    for name, synthetic in (("", False), ("card.json", False), ("truth.json", True)):
        if name:
            (root / name).write_text("{}")
        assert (words.SYNTHETIC in words.what_was_made(spec, plan, counts)) == synthetic
    (root / "card.json").unlink()
    (root / "truth.json").unlink()


def test_the_verb_prints_what_the_page_says(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["show", str(photos), "--out", str(tmp_path / "a")]) == cli.FINE
    assert capsys.readouterr().out.splitlines()[-1] == f"open {tmp_path / 'a' / 'index.html'}"
    assert cli.run(["show", str(photos), "--out", str(tmp_path / "b"), "--json"]) == cli.FINE
    assert json.loads(capsys.readouterr().out)["frames"] == 8


# In a process of its own: Python opens no socket, and none of the libraries' is open at the end.
RECORD = """
import os, sys
def watch(event, arguments):
    if event.startswith("socket."):
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(watch)
from pathlib import Path
from perception.review import show
shown = show(Path(sys.argv[1]), Path(sys.argv[2]), rerun=True)
assert shown.recording == Path(sys.argv[2]) / "recording.rrd"
assert os.environ["RERUN_ANALYTICS"] == "disabled"
held = {os.readlink(file) for file in Path("/proc/self/fd").iterdir() if file.is_symlink()}
for kind in ("tcp", "tcp6", "udp", "udp6"):  # its runtime has a pair of its own
    table = Path("/proc/self/net") / kind
    for line in table.read_text().splitlines()[1:] if table.is_file() else ():
        assert f"socket:[{line.split()[9]}]" not in held, line
"""


@pytest.mark.slow
def test_a_recording_holds_the_points_with_their_classes_and_asks_nobody(
    drive: Path, tmp_path: Path
) -> None:
    pytest.importorskip("rerun", reason="rerun-sdk is not installed")
    from rerun.chunk import RrdReader

    home, out = tmp_path / "home", tmp_path / "report"
    home.mkdir()
    environment = os.environ | {"HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "RERUN_ANALYTICS"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", RECORD, str(drive), str(out)],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert not list(home.rglob("*rerun*")) and (out / "index.html").is_file()
    found: dict[str, list[Any]] = {}
    for chunk in RrdReader(out / "recording.rrd").stream():
        found.setdefault(chunk.entity_path, []).append(chunk.to_record_batch().to_pydict())
    points = [rows for rows in found["/sweep/points"] if "Points3D:positions" in rows]
    places = [place for rows in points for place in rows["Points3D:positions"]]
    kinds = [kind for rows in points for kind in rows["Points3D:class_ids"]]
    assert len(places) == len(kinds) == 2  # one for each sample
    for place, kind in zip(places, kinds, strict=True):
        # on the car, beside it, behind the camera; the fourth is nowhere
        np.testing.assert_allclose(place, [[5, 0, 0], [10, 5.5, 0], [-10, 0, 0]])
        assert kind == [6, 65_535, 65_535]
    assert [name for name in found if name.startswith("/pictures") and name.endswith("/masks")]


def test_without_rerun_the_extra_is_named_and_no_page_is_begun(
    drive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(RequestError, match=r"extra\.missing: .*driving-perception\[rerun\]"):
        show(drive, tmp_path / "report", rerun=True)
    assert not (tmp_path / "report").exists()
    assert cli.run(["show", str(drive), "--out", str(tmp_path / "x"), "--rerun", "--review"]) == 2


def test_the_vendored_script_is_the_one_that_the_readme_tells_how_to_make() -> None:
    web = Path(str(resources.files("perception.review"))) / "web"
    script = (web / "three.min.js").read_bytes()
    readme = (web / "README.md").read_text()
    assert hashlib.sha256(script).hexdigest() in readme and len(script) < 1_000_000
    assert script.startswith(b"/*! three.js") and b"MIT" in script[:200]
    assert "MIT License" in (web / "three_LICENSE.txt").read_text()
    entry = (web / "three_entry.js").read_text()
    used = set(re.findall(r"THREE\.(\w+)", (web / "point_view.js").read_text()))
    assert used == set(re.findall(r"\b([A-Z]\w+)(?=,\n| })", entry))
    assert {path.name for path in web.iterdir()} == {
        *WEB,
        *review.WEB,
        "README.md",
        "three_entry.js",
    }
