"""The verbs as functions: label, resume, relabel, export. No weights: bright boxes are cars."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from perception import cli
from perception.commands.exports import FORMATS, export
from perception.commands.label import label as label_source
from perception.commands.label import plan
from perception.commands.relabel import relabel
from perception.commands.request import LabelRequest
from perception.commands.results import Progress, Run, no_progress, parse_statuses, read_labels
from perception.core import masks as rle
from perception.core.config import load_yaml
from perception.core.errors import RequestError
from perception.core.ontology import load_class_map, load_ontology, target_of
from perception.core.types import PointState, Status
from perception.formats import coco, label_png, semantic_kitti, yolo, yolo_rows
from perception.readers import sources
from perception.runs import folder

Draw = Callable[..., Path]
Snapshot = Callable[[Path], dict[str, bytes]]
STRICT = {"decide": {"judge": {"min_score": 0.9}}}  # the darker objects score 0.84
SMALL = {"shard_size": 2}


def label(
    source: object,
    out: Path,
    progress: Progress = no_progress,
    **options: Any,
) -> Run:
    text = str(source) if ":" in str(source) else f"images:{source}"
    looking = {} if "boxes" in options else {"detector": "bright"}
    return label_source(LabelRequest(text, out, "boxes", **(looking | options)), progress)


def code_of(call: Callable[[], object], match: str | None = None) -> str:
    with pytest.raises(RequestError, match=match) as caught:
        call()
    return caught.value.code


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, pictures: Draw) -> Path:
    return pictures(tmp_path_factory.mktemp("commands") / "src", 6)


@pytest.fixture(scope="module")
def finished(source: Path) -> Path:
    """A run that tests may read; they copy it before they change it."""
    return label(source, source.parent / "run", overrides=SMALL).folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.mark.slow
def test_a_run_counts_every_sample_and_every_object(finished: Path) -> None:
    counts = json.loads((finished / "run.json").read_bytes())["counts"]
    assert counts["samples"] == {"input": 6, "ok": 4, "empty": 2, "quarantined": 0}
    assert counts["statuses"] == {"accepted": 6} == {"accepted": counts["classes_accepted"]["car"]}
    labels = list(read_labels(finished))
    assert [sample.id for sample in labels] == [f"{i:03d}.png" for i in range(6)]
    assert [len(sample.pictures[0].instances) for sample in labels] == [0, 1, 2, 0, 1, 2]
    instances = labels[2].pictures[0].instances
    np.testing.assert_array_equal(instances.masks.boxes_xyxy, [[6, 8, 20, 30], [30, 10, 46, 40]])


def test_a_second_call_does_nothing_and_changes_no_byte(
    run: Path, source: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_process(*_: object, **__: object) -> None:
        pytest.fail("a worker was started")

    before = snapshot(run)
    monkeypatch.setattr("perception.execution.handle.subprocess.Popen", no_process)
    seen: list[tuple[int, int]] = []
    again = label(source, run, overrides=SMALL, progress=lambda *done: seen.append(done[:2]))
    assert snapshot(run) == before and seen == [(6, 6)]
    assert again.counts == json.loads(before["run.json"])["counts"]
    timings = json.loads((run / "timings.json").read_bytes())
    assert (timings["samples_done_now"], timings["samples_resumed"]) == (0, 6)


@pytest.mark.slow
def test_the_same_request_into_two_folders_is_the_same_bytes(
    finished: Path, source: Path, tmp_path: Path, snapshot: Snapshot
) -> None:
    seen: list[tuple[int, int]] = []
    label(source, tmp_path / "b", overrides=SMALL, progress=lambda *done: seen.append(done[:2]))
    assert snapshot(tmp_path / "b") == snapshot(finished)
    assert [*dict.fromkeys(seen)] == [(done, 6) for done in range(7)]  # each sample as it is seen


def remove(*names: str) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        for name in names:
            for path in list(run.glob(name)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def change(name: str, edit: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        (path,) = run.glob(name)
        path.write_bytes(edit(path.read_bytes()))

    return damage


def flip(data: bytes) -> bytes:
    return data[:40] + bytes([data[40] ^ 4]) + data[41:]


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        remove("evidence/000001.json", "labels/*/00000[12].*"),
        remove("evidence", "labels", "quarantine.jsonl"),
        remove("labels", "preview"),
        change("evidence/000002.parquet", flip),
        change("evidence/000000.parquet", lambda data: data[:-1]),
        change("labels/*/000001.parquet", flip),
        change("labels/*/000001.json", lambda data: data[: len(data) // 2]),
        change("labels/*/000000.json", lambda data: data.replace(b'"ok": 1', b'"ok": 2')),
        change("plan.jsonl", lambda data: data[:-30]),
        remove("plan.jsonl"),
    ],
    ids=[
        "two shards",
        "all shards",
        "label set",
        "flipped evidence",
        "torn evidence",
        "flipped labels",
        "torn json",
        "flipped count",
        "cut plan",
        "no plan",
    ],
)
def test_row_36_what_is_missing_or_damaged_is_made_again_as_it_was(
    run: Path, source: Path, snapshot: Snapshot, damage: Callable[[Path], None]
) -> None:
    before = snapshot(run)
    damage(run)
    assert snapshot(run) != before
    label(source, run, overrides=SMALL)
    assert snapshot(run) == before


@pytest.mark.slow
def test_row_36_only_the_damaged_shard_is_done_again(run: Path, source: Path) -> None:
    kept = run / "evidence" / "000001.parquet"
    stamp = kept.stat().st_mtime_ns
    (run / "evidence" / "000000.parquet").write_bytes(b"PAR1")
    label(source, run, overrides=SMALL)
    assert kept.stat().st_mtime_ns == stamp
    timings = json.loads((run / "timings.json").read_bytes())
    assert (timings["samples_done_now"], timings["samples_resumed"]) == (2, 4)


@pytest.mark.slow
def test_evidence_that_is_there_is_never_rewritten(
    run: Path, source: Path, detector_does: Callable[[str], None]
) -> None:
    detector_does("raise AssertionError('a model was asked again')")
    stamps = {path: path.stat().st_mtime_ns for path in (run / "evidence").iterdir()}
    shutil.rmtree(run / "labels")
    counts = label(source, run, overrides=SMALL).counts
    assert counts["samples"] == {"input": 6, "ok": 4, "empty": 2, "quarantined": 0}
    assert {path: path.stat().st_mtime_ns for path in (run / "evidence").iterdir()} == stamps


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_row_33_a_run_that_was_stopped_half_way_ends_as_if_it_had_not_been(
    tmp_path: Path,
    pictures: Draw,
    snapshot: Snapshot,
    detector_does: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., "subprocess.Popen[str]"],
) -> None:
    source, stopped = pictures(tmp_path / "src", 12), tmp_path / "stopped"
    pid_file, config = tmp_path / "pid", tmp_path / "small.yaml"
    config.write_text("shard_size: 2\n")
    with monkeypatch.context() as slowly:
        slowly.setenv("PYTHONPATH", "")
        detector_does(
            f"open({str(pid_file)!r}, 'w').write(str(os.getpid())); "
            "time.sleep(60 if picture.file_name > '008.png' else 0)"
        )
        driver = command(
            *("label", f"images:{source}", "--out", stopped, "--config", config),
            *("--detector", "bright", "--segmenter", "boxes"),
            env=dict(os.environ),
        )
        wait_until(lambda: len(list(stopped.glob("labels/*/*.json"))) == 4, "the fourth shard")
        wait_until(lambda: pid_file.read_text() != "", "the worker's number")
        worker = int(pid_file.read_text())
        driver.send_signal(signal.SIGKILL)
        driver.communicate(timeout=20)
        wait_until(lambda: not is_alive(worker), "the worker's end")
    assert not (stopped / "evidence" / "000005.json").exists()  # it was half-way indeed
    (stopped / "labels" / ".tmp-00").write_bytes(b"half")
    label(source, stopped, config=config)
    label(source, tmp_path / "clean", config=config)
    assert snapshot(stopped) == snapshot(tmp_path / "clean")


@pytest.mark.slow
def test_relabelling_gives_the_bytes_of_a_run_labelled_so(
    run: Path, source: Path, tmp_path: Path, snapshot: Snapshot
) -> None:
    direct = label(source, tmp_path / "direct", overrides=STRICT | SMALL)
    again = relabel(run, overrides=STRICT)
    assert again.counts == direct.counts
    assert again.counts["statuses"] == {"accepted": 4, "rejected": 2}
    assert again.counts["reasons"] == {"score.low": 2}
    strict, both = snapshot(direct.folder), snapshot(run)
    for files in (strict, both):  # what `label` was asked for differs: that is what was relabelled
        files["run.json"] = re.sub(rb'"asked": "\w{12}"', b"", files["run.json"])
    assert {name: both[name] for name in strict} == strict
    assert len([name for name in both if name.startswith("labels/") and name.count("/") == 1]) == 2


def test_relabelling_back_returns_to_the_first_run(run: Path, snapshot: Snapshot) -> None:
    before = snapshot(run)
    relabel(run, overrides=STRICT)
    changed = snapshot(run)
    assert changed["run.json"] != before["run.json"]
    assert changed["preview/002.jpg"] != before["preview/002.jpg"]
    relabel(run, overrides={"decide": {"judge": {"min_score": 0.25}}})
    back = snapshot(run)
    assert {name: back[name] for name in before} == before


def test_relabelling_twice_changes_nothing_the_second_time(run: Path, snapshot: Snapshot) -> None:
    relabel(run, overrides=STRICT)
    before = snapshot(run)
    relabel(run)  # the settings that the run has by now
    assert snapshot(run) == before


def test_a_run_of_an_earlier_version_is_decided_again_by_the_one_that_runs(
    run: Path, monkeypatch: pytest.MonkeyPatch, snapshot: Snapshot
) -> None:
    before, seen = snapshot(run), folder.read_spec(run)
    monkeypatch.setattr(folder, "__version__", "99.0")
    relabel(run)
    later = folder.read_spec(run)
    assert (later.code_version, later.decided_with) == (seen.code_version, "99.0")
    assert later.label_set() != seen.label_set()
    assert later.evidence_fingerprint() == seen.evidence_fingerprint()
    sets = {name.split("/")[1] for name in snapshot(run) if name.count("/") == 2}
    assert {later.label_set(), seen.label_set()} <= sets
    monkeypatch.undo()
    relabel(run)
    assert {name: snapshot(run)[name] for name in before} == before


@pytest.mark.parametrize(
    ("overrides", "code"),
    [
        ({"decide": {"judge": {"min_score": 0.1}}}, "config.invalid"),  # below the floor
        ({"decide": {"judge": {"min_score": 7}}}, "config.invalid"),
        ({"decide": {"judge": {"colour": 1}}}, "config.invalid"),
        ({"observe": {"min_score": 0.1}}, "relabel.observe"),
        ({"observe": {"prompt_chunk": 4}}, "relabel.observe"),
        ({"shard_size": 3}, "relabel.observe"),
    ],
)
def test_relabelling_refuses_what_needs_the_models_again(
    run: Path, snapshot: Snapshot, overrides: dict[str, object], code: str
) -> None:
    before = snapshot(run)
    assert code_of(lambda: relabel(run, overrides=overrides)) == code
    assert snapshot(run) == before


def test_relabelling_needs_a_run_that_has_seen_everything(run: Path, tmp_path: Path) -> None:
    assert code_of(lambda: relabel(tmp_path / "nowhere")) == "run.damaged"
    (run / "evidence" / "000001.json").unlink()
    assert code_of(lambda: relabel(run, overrides=STRICT)) == "run.damaged"


def test_relabelling_with_another_class_map_counts_what_it_ignores(
    run: Path, tmp_path: Path
) -> None:
    class_map = tmp_path / "mine.yaml"
    class_map.write_text("source: mine\ntarget: road\nmap: {}\nignore: [car]\n")
    counts = relabel(run, class_map=str(class_map)).counts
    assert counts["classes_ignored"] == {"car": 6} and counts["classes_accepted"] == {}
    assert counts["samples"] == {"input": 6, "ok": 4, "empty": 2, "quarantined": 0}


@pytest.mark.slow
def test_relabelling_needs_neither_pictures_nor_weights(
    tmp_path: Path, pictures: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = label(pictures(tmp_path / "src", 3), tmp_path / "run").folder
    shutil.rmtree(tmp_path / "src")
    for name in ("load_detector", "load_segmenter", "choose_detector", "choose_segmenter"):
        monkeypatch.setattr(f"perception.models.registry.{name}", lambda *_: pytest.fail("a model"))
    counts = relabel(run, overrides=STRICT).counts
    assert counts["statuses"] == {"accepted": 2, "rejected": 1}


@pytest.mark.slow
def test_row_37_another_setting_is_refused_shown_and_started_beside_or_instead(
    run: Path, source: Path, snapshot: Snapshot
) -> None:
    before = snapshot(run)
    other = {"overrides": STRICT | SMALL}
    code = code_of(lambda: label(source, run, **other), "0.25 there, 0.9 asked for(.|\n)*--new-run")
    assert code == "run.mismatch"
    assert snapshot(run) == before
    beside = label(source, run, new_run=True, **other)
    assert beside.folder == run.with_name("run-2") and snapshot(run) == before
    fresh = snapshot(beside.folder)
    assert label(source, run, new_run=True, **other).folder == beside.folder  # resumes its own
    third = {"overrides": {**SMALL, "decide": {"judge": {"min_score": 0.95}}}}
    assert label(source, run, new_run=True, **third).folder == run.with_name("run-3")
    label(source, run, overwrite=True, **other)
    assert snapshot(run) == fresh


@pytest.mark.slow
def test_a_run_beside_another_keeps_its_own_threads(
    run: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(4))
    surveys, plain = [], sources.survey
    monkeypatch.setattr(sources, "survey", lambda *a: surveys.append(a) or plain(*a))
    other = {"overrides": STRICT | SMALL, "new_run": True}
    beside = label(source, run, **other).folder
    assert folder.read_spec(beside).config.observe.threads == 4
    assert label(source, run, workers=2, **other).folder == beside
    assert len(surveys) == 2  # one a call, however many runs lie beside


@pytest.mark.slow
def test_overwriting_discards_a_damaged_run_too(
    run: Path, source: Path, snapshot: Snapshot
) -> None:
    before = snapshot(run)
    (run / "run.json").write_bytes(before["run.json"][:100])
    assert code_of(lambda: label(source, run, overrides=SMALL)) == "run.damaged"
    label(source, run, overwrite=True, overrides=SMALL)
    assert snapshot(run) == before


def test_evidence_without_the_settings_it_was_made_with_is_not_used(
    run: Path, source: Path
) -> None:
    (run / "run.json").unlink()
    assert code_of(lambda: label(source, run, overrides=SMALL)) == "run.occupied"


@pytest.mark.slow
def test_a_deletion_killed_half_way_leaves_a_run(
    run: Path, source: Path, monkeypatch: pytest.MonkeyPatch, snapshot: Snapshot
) -> None:
    before, delete = snapshot(run), shutil.rmtree

    def killed(path: Path) -> None:
        delete(path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("shutil.rmtree", killed)
        label(source, run, overwrite=True, overrides=STRICT | SMALL)
    assert not (run / "evidence").exists()
    label(source, run, overrides=SMALL)
    assert snapshot(run) == before


def test_a_source_inside_the_run_folder_is_never_overwritten(run: Path, snapshot: Snapshot) -> None:
    before = snapshot(run)
    for options in ({}, {"overwrite": True}):
        refused = code_of(lambda options=options: label(run / "preview", run, **options))
        assert refused == "path.inside_source"
    assert snapshot(run) == before


@pytest.mark.parametrize("text", ["images:{}", "{}", "images:{}/*.png", "images:{}/sub/../*.png"])
@pytest.mark.parametrize("inside", [".", "run", "sub/run", "../src/run"])
def test_a_run_folder_inside_the_source_is_refused(
    tmp_path: Path, draw: Draw, snapshot: Snapshot, text: str, inside: str
) -> None:
    draw(tmp_path / "src" / "a.png")
    (tmp_path / "src" / "sub").mkdir()
    before = snapshot(tmp_path)
    source = text.format(tmp_path / "src")
    assert code_of(lambda: label(source, tmp_path / "src" / inside)) == "path.inside_source"
    assert snapshot(tmp_path) == before


@pytest.mark.slow
def test_nothing_is_written_outside_the_run_folder(
    tmp_path: Path,
    kitti: Draw,
    snapshot: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
    python_path: Callable[..., str],
) -> None:
    for name in ("home", "cwd", "temporary"):
        (tmp_path / name).mkdir()
    kitti(tmp_path / "src", 2)
    before = snapshot(tmp_path)
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("PYTHONPATH", python_path())
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    out = label(f"kitti:{tmp_path / 'src'}", tmp_path / "runs" / "a" / "run").folder
    after = snapshot(tmp_path)
    new = {tmp_path / name for name in after if name not in before}
    assert {path for path in new if not path.is_relative_to(out)} == {out.parent.parent, out.parent}
    assert {name: after[name] for name in before} == before


def test_a_dry_run_writes_nothing_and_says_what_is_left(
    run: Path, source: Path, tmp_path: Path, snapshot: Snapshot
) -> None:
    text = f"images:{source}"
    new = LabelRequest(text, tmp_path / "new", "boxes", "bright", overrides=SMALL)
    planned = plan(new)
    assert not (tmp_path / "new").exists()
    assert (planned.samples, planned.shards, planned.shards_done) == (6, 3, 0)
    (run / "evidence" / "000001.json").unlink()
    before = snapshot(run)
    planned = plan(LabelRequest(text, run, "boxes", "bright", overrides=SMALL))
    assert planned.shards_done == 2
    assert snapshot(run) == before


@pytest.mark.slow
def test_a_limit_takes_the_first_samples_and_no_negative_one(source: Path, tmp_path: Path) -> None:
    counts = label(source, tmp_path / "run", limit=2).counts
    assert counts["samples"] == {"input": 2, "ok": 1, "empty": 1, "quarantined": 0}
    for limit in (-1, -100):
        refused = code_of(lambda limit=limit: label(source, tmp_path / "other", limit=limit))
        assert refused == "config.invalid"
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"detector": ""}, "config.invalid"),
        ({"boxes": "label_2", "detector": "bright"}, "config.invalid"),
        ({"boxes": "label_2"}, "boxes.invalid"),  # goes with kitti
        ({"detector": "yolo"}, "weights.invalid"),
        ({"detector": "missing.onnx"}, "weights.missing"),
        ({"class_map": "no-such-map"}, "config.invalid"),
        ({"engine": "dask"}, "config.invalid"),
        ({"workers": 0}, "config.invalid"),
        ({"address": "auto"}, "config.invalid"),
        ({"overrides": {"observe": {"threads": -1}}}, "config.invalid"),
        ({"config": Path("missing.yaml")}, "io.not_found"),
    ],
)
def test_a_request_that_cannot_be_served_leaves_nothing_behind(
    source: Path, tmp_path: Path, options: dict[str, object], code: str
) -> None:
    assert code_of(lambda: label(source, tmp_path / "run", **options)) == code
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_boxes_that_a_person_gave_take_the_place_of_the_detector(
    tmp_path: Path, kitti: Draw
) -> None:
    source = kitti(tmp_path / "src", 2)
    run = label(f"kitti:{source}", tmp_path / "run", boxes="label_2")
    assert run.counts["classes_accepted"] == {"car": 2}
    assert run.counts["points"] == {"unknown": 4, "background": 2, "labelled": 2}
    for sample in run.labels():
        assert sample.points.states.tolist() == [
            PointState.LABELLED,
            PointState.BACKGROUND,
            PointState.UNKNOWN,
            PointState.UNKNOWN,
        ]
        assert sample.points.class_ids.tolist() == [6, -1, -1, -1]


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory, kitti: Draw, draw: Draw) -> Path:
    """A KITTI run with a second, darker car in its first frame, which is only for review."""
    base = tmp_path_factory.mktemp("export")
    image = base / "src" / "training" / "image_2" / "000000.png"
    kitti(base / "src", 3)
    draw(image, (20, 14, 44, 34, 255), (50, 2, 60, 9, 215))
    draw(image.with_name("000002.png"))
    return label(f"kitti:{base / 'src'}", base / "run", overrides=STRICT).folder


ROAD = target_of(load_ontology(), None)
SHOWN = (Status.ACCEPTED, Status.REJECTED)


@pytest.mark.slow
def test_coco_loads_in_pycocotools_with_the_same_masks(driven: Path, tmp_path: Path) -> None:
    out = tmp_path / "coco.json"
    (done,) = export(driven, "coco", out)
    summary = done.written
    assert (summary.samples, summary.labels, summary.ignored) == (3, 2, 1)
    reference = COCO(str(out))
    expected = list(read_labels(driven))
    assert len(reference.getImgIds()) == 3 and len(reference.getAnnIds(iscrowd=False)) == 2
    for picture, sample in zip(coco.read(out), expected, strict=True):
        (labels,) = sample.pictures
        assert picture.file_name == labels.file_name and picture.size_hw == labels.size_hw
        np.testing.assert_array_equal(
            picture.annotations.instance_ids, labels.instances.instance_ids
        )
        for row, annotation_id in enumerate(picture.annotations.annotation_ids):
            bitmap = rle.decode_one(labels.instances.masks, row)
            np.testing.assert_array_equal(rle.decode_one(picture.annotations.masks, row), bitmap)
            annotation = reference.loadAnns(int(annotation_id))[0]
            np.testing.assert_array_equal(reference.annToMask(annotation), bitmap)


def test_coco_results_load_in_pycocotools(driven: Path, tmp_path: Path) -> None:
    export(driven, "coco", tmp_path / "truth.json")
    export(driven, "coco-results", tmp_path / "results.json")
    found = COCO(str(tmp_path / "truth.json")).loadRes(str(tmp_path / "results.json"))
    assert [found.anns[i]["score"] for i in found.getAnnIds()] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("statuses", "painted"),
    [((Status.ACCEPTED,), [1, 1, 0]), (SHOWN, [2, 1, 0]), ((Status.REVIEW,), [0, 0, 0])],
)
def test_pngs_hold_the_pixels_of_the_chosen_instances(
    driven: Path, tmp_path: Path, statuses: tuple[Status, ...], painted: list[int]
) -> None:
    (done,) = export(driven, "png", tmp_path, statuses=statuses)
    assert done.written.labels == sum(painted)
    for sample, count in zip(read_labels(driven), painted, strict=True):
        (labels,) = sample.pictures
        classes, instances = label_png.read(tmp_path, labels.file_name)
        assert len(np.unique(instances[instances > 0])) == count
        covered = np.zeros(labels.size_hw, bool)
        for row in np.flatnonzero(np.isin(labels.instances.statuses, statuses)):
            covered |= rle.decode_one(labels.instances.masks, int(row))
        car = load_class_map("road-to-cityscapes").ids["car"]
        np.testing.assert_array_equal(classes == car, covered)
        assert set(np.unique(classes)) <= {0, car, 255}  # void: a label that was not chosen


def test_semantic_kitti_holds_one_label_per_point(driven: Path, tmp_path: Path) -> None:
    (done,) = export(driven, "semantic-kitti", tmp_path)
    assert (done.written.samples, done.written.labels) == (3, 2)
    car = load_class_map("road-to-semantic-kitti").ids["car"]
    for sample, labelled in zip(read_labels(driven), (True, True, False), strict=True):
        classes, instances = semantic_kitti.read(tmp_path / f"{sample.id}.label", 4)
        assert classes.tolist() == [car if labelled else 0, 0, 0, 0]
        assert instances.tolist() == [1 if labelled else 0, 0, 0, 0]


def test_yolo_holds_a_file_and_a_picture_for_each_sample(driven: Path, tmp_path: Path) -> None:
    (done,) = export(driven, "yolo", tmp_path, statuses=SHOWN)
    assert done.written.labels == 3 and done.read_back.min_iou > 0.99
    names = yolo.read_names(tmp_path / "data.yaml")
    assert set(names) == set(ROAD.names.values())
    assert load_yaml(tmp_path / "data.yaml")["path"] == str(tmp_path.resolve())
    for sample, count in zip(read_labels(driven), (2, 1, 0), strict=True):
        name = Path("training") / "image_2" / f"{sample.id}"
        found = yolo_rows.read_boxes(
            (tmp_path / "labels" / name).with_suffix(".txt"), (48, 64), tuple(names)
        )
        assert [found.class_names[i] for i in found.class_ids] == ["car"] * count
        boxes = sample.pictures[0].instances.masks.boxes_xyxy[:count]
        np.testing.assert_allclose(found.boxes_xyxy, boxes, atol=0.5)
        assert (tmp_path / "images" / name).with_suffix(".png").is_file()


def test_an_export_leaves_the_run_and_the_source_as_they_were(
    driven: Path, tmp_path: Path, snapshot: Snapshot
) -> None:
    before = snapshot(driven.parent)
    for to in FORMATS:
        export(driven, to, tmp_path / to)
    assert snapshot(driven.parent) == before


def test_what_cannot_be_exported_is_refused(run: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert code_of(lambda: export(run, "voc", out), "coco") == "export.unknown"
    nowhere = tmp_path / "nowhere"
    for to in FORMATS:
        assert code_of(lambda to=to: export(nowhere, to, out)) == "run.damaged"
    (run / "plan.jsonl").unlink()
    assert code_of(lambda: export(run, "coco", out)) == "run.damaged"
    stated = json.loads((run / "run.json").read_bytes())
    (run / "run.json").write_text(json.dumps(stated | {"counts": None}))
    assert code_of(lambda: export(run, "coco", out), "resume") == "run.incomplete"
    assert not out.exists()


def test_row_36_a_plan_that_lost_lines_is_not_exported_as_a_smaller_run(
    run: Path, tmp_path: Path
) -> None:
    lines = (run / "plan.jsonl").read_bytes().splitlines(keepends=True)
    (run / "plan.jsonl").write_bytes(b"".join(lines[:4]))
    out = tmp_path / "coco.json"
    assert code_of(lambda: export(run, "coco", out)) == "run.damaged"
    assert code_of(lambda: relabel(run, overrides=STRICT)) == "run.damaged"
    assert not out.exists()


@pytest.mark.parametrize("text", ["", "good", "accepted,", "accepted;review"])
def test_a_status_that_is_none_is_refused(text: str) -> None:
    assert code_of(lambda: parse_statuses(text), "accepted, review") == "config.invalid"


def test_statuses_are_separated_by_commas() -> None:
    assert parse_statuses("review") == (Status.REVIEW,)
    assert parse_statuses("accepted, rejected") == SHOWN


@pytest.mark.slow
def test_a_first_start_that_was_refused_leaves_nothing_behind(tmp_path: Path, source: Path) -> None:
    unfit = tmp_path / "unfit.yaml"
    unfit.write_text("source: mine\ntarget: road\nmap: {bus: bus}\n")
    out = tmp_path / "run"
    assert code_of(lambda: label(source, out, class_map=str(unfit))) == "class.unknown"
    assert not out.exists()
    out.mkdir()
    assert code_of(lambda: label(source, out, class_map=str(unfit))) == "class.unknown"
    assert [*out.iterdir()] == []
    assert label(source, out).counts["samples"]["input"] == 6


def request_of(source: Path, out: Path, **options: Any) -> LabelRequest:
    options = {"detector": "bright", "segmenter": "boxes"} | options
    return LabelRequest(str(source), out, **options)


@pytest.mark.slow
def test_a_dry_run_refuses_what_the_run_would_refuse(tmp_path: Path, source: Path) -> None:
    unfit = tmp_path / "unfit.yaml"
    unfit.write_text("source: mine\ntarget: road\nmap: {bus: bus}\n")
    out = tmp_path / "run"
    asked = request_of(source, out, class_map=str(unfit))
    assert code_of(lambda: plan(asked)) == "class.unknown"
    assert plan(request_of(source, out)).samples == 6
    assert not out.exists()
    out.mkdir()
    (out / "notes.txt").touch()
    assert code_of(lambda: plan(request_of(source, out))) == "run.occupied"
    (out / "notes.txt").unlink()
    label(source, out)
    assert plan(request_of(source, out)).shards_done == 1
    other = request_of(source, out, segmenter="grabcut")
    assert code_of(lambda: plan(other)) == "run.mismatch"
    assert plan(replace(other, overwrite=True)).samples == 6


@pytest.mark.slow
def test_a_dry_run_opens_weights_in_a_process_of_their_own(tmp_path: Path, source: Path) -> None:
    pytest.importorskip("onnxruntime")
    weights = tmp_path / "det.onnx"
    weights.write_bytes(b"\x08\x07")  # a version, and no network
    asked = request_of(source, tmp_path / "run", detector=str(weights))
    with pytest.raises(RequestError) as caught:
        plan(asked)
    assert "\n" not in caught.value.message and str(weights) in caught.value.message
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_says_the_first_message_of_each_reason(
    tmp_path: Path, pictures: Draw, capsys: pytest.CaptureFixture[str]
) -> None:
    source = pictures(tmp_path / "src", 2)
    for name in ("x.png", "y.png"):
        (source / name).write_bytes(b"no picture")
    (source / "z.png").touch()
    made = ["label", str(source), "--detector", "bright", "--segmenter", "boxes"]
    assert cli.run([*made, "--out", str(tmp_path / "run")]) == cli.QUARANTINED
    told = capsys.readouterr().out
    assert f"  image.not_an_image: {source / 'x.png'}: expected an image" in told
    assert f"  image.empty: {source / 'z.png'}: has no bytes" in told
    assert "y.png" not in told


@pytest.mark.parametrize("to", ["yolo", "png", "semantic-kitti", "nuscenes-panoptic"])
def test_an_export_does_not_mix_with_what_is_there(run: Path, to: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.txt").write_text("kept")
    assert code_of(lambda: export(run, to, out)) == "export.occupied"
    assert [path.name for path in out.iterdir()] == ["old.txt"]


@pytest.mark.slow
def test_relabelling_in_two_processes_gives_the_same_bytes(
    tmp_path: Path, pictures: Draw, snapshot: Snapshot
) -> None:
    source = pictures(tmp_path / "src", 17)
    run = label(source, tmp_path / "run", overrides={"shard_size": 1}).folder
    shutil.copytree(run, tmp_path / "alone")
    seen: list[int] = []
    both = relabel(run, overrides=STRICT, workers=2, progress=lambda done, total: seen.append(done))
    alone = relabel(tmp_path / "alone", overrides=STRICT, workers=1)
    assert both.counts == alone.counts and snapshot(run) == snapshot(tmp_path / "alone")
    assert seen == list(range(18))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
def test_several_local_workers_give_the_same_bytes(
    tmp_path: Path, pictures: Draw, snapshot: Snapshot, workers: int
) -> None:
    source = pictures(tmp_path / "src", 9)
    settings = {"shard_size": 2, "observe": {"threads": 1}}
    one = label(source, tmp_path / "one", overrides=settings)
    several = label(source, tmp_path / "several", overrides=settings, workers=workers)
    assert snapshot(several.folder) == snapshot(one.folder)


@pytest.mark.slow
def test_a_worker_with_other_libraries_is_refused(
    tmp_path: Path, pictures: Draw, in_worker: Callable[[str], None]
) -> None:
    in_worker(
        "import importlib.metadata as metadata\n"
        "plain = metadata.version\n"
        "metadata.version = lambda name: '1.0' if name == 'opencv-python' else plain(name)\n"
    )
    source = pictures(tmp_path / "src", 1)
    with pytest.raises(RequestError, match=r"opencv-python: \S+ in the run, 1\.0 here") as caught:
        label(source, tmp_path / "run")
    assert caught.value.code == "worker.mismatch"


@pytest.mark.slow
def test_row_34_a_run_in_which_no_shard_is_finished_is_ended_with_the_stacks_of_its_workers(
    tmp_path: Path, pictures: Draw, detector_does: Callable[[str], None]
) -> None:
    source = pictures(tmp_path / "src", 2)
    detector_does("time.sleep(600)")
    with pytest.raises(RequestError, match="the same command resumes") as caught:
        label(source, tmp_path / "run", overrides={"stall_s": 10})
    assert caught.value.code == "run.stalled"
    assert "fakes.py" in caught.value.message or "sitecustomize.py" in caught.value.message
    assert not (tmp_path / "run" / "lock.json").exists()


def test_the_log_says_with_the_time_what_was_done_and_is_no_way_out(
    tmp_path: Path, pictures: Draw
) -> None:
    source, run = f"images:{pictures(tmp_path / 'src', 2)}", tmp_path / "run"
    label(source, run)
    lines = (run / "log.txt").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \S", line) for line in lines)
    assert lines[-1].endswith("finished: 2 samples, 0 of them before")
    label(source, run)
    assert (run / "log.txt").read_text().startswith("\n".join(lines))  # appended
    (run / "log.txt").unlink()
    (run / "log.txt").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        label(source, run)
    assert not (tmp_path / "elsewhere").exists()
