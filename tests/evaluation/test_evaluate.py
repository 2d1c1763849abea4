"""The whole: perfect, empty and shuffled labels, nothing at all, and a run from disk."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from perception.cli import run as perception
from perception.core.errors import PerceptionError
from perception.core.types import Status
from perception.evaluation import Figure, Report, Table, evaluate, evaluate_labels, to_html
from perception.evaluation.notes import NO_POINTS
from perception.evaluation.paired import paired_table
from perception.evaluation.truth import vocabulary_of

PERSON, CAR, VAN = 1, 6, 7


def values_of(report: Report, *tables: str) -> dict[str, float | None]:
    return {
        f"{table.name}/{row}/{column}": figure.value
        for table in report.tables
        if not tables or table.name in tables
        for row, figures in table.rows
        for column, figure in zip(table.columns, figures, strict=True)
    }


def point_world(make: SimpleNamespace) -> tuple[Any, Any, Any]:
    """A car 5 m and a person 25 m away, 60 points each; 40 of the background."""
    kinds, ids = [CAR] * 60 + [PERSON] * 60 + [0] * 40, [1] * 60 + [2] * 60 + [0] * 40
    sweep = np.array([[5, 0, 0]] * 60 + [[25, 0, 0]] * 60 + [[40, 0, 0]] * 40, np.float32)
    truth = make.true_points(kinds, ids, [True] * 160)
    return make.point_labels(kinds, ids), truth, sweep


def test_perfect_labels_score_1_everywhere(make: SimpleNamespace) -> None:
    _, truths = make.random_world(0, scenes=8)
    points, true, sweep = point_world(make)
    pair = make.true_picture(
        [(0, 0, 20, 20), (40, 0, 60, 20)], [CAR, PERSON], name="p.png", ids=[1, 2], ranges_m=[5, 25]
    )
    samples = [make.sample(make.as_labels(t), id=f"s{i}") for i, t in enumerate(truths)]
    samples.append(make.sample(make.as_labels(pair), id="p", points=points))
    report = evaluate_labels(
        samples, make.truth_of([*truths, pair], {"p": true}), sweep_of=lambda _: sweep
    )
    values = values_of(report)
    wrong = {
        key: value
        for key, value in values.items()
        if value not in (None, pytest.approx(1.0))
        and "coverage" not in key
        and key != "yield/all/threshold"
    }
    assert wrong == {}
    for key in (
        "ap/mask/AP",
        "ap/boundary/AP large",
        "labels/20-30 m/recall",
        "panoptic/mean/PQ",
        "yield/all/yield at 95",
        "points.seen.iou/mIoU/20-30 m",
        "points.all.pq/mean/all",
        "points.seen.objects/mean, prompt box/all",
    ):
        assert values[key] == pytest.approx(1.0), key
    coverage = report.table("points.all.coverage")
    assert coverage.figure("points on objects: accepted", "all").value == 1.0
    assert coverage.figure("all points: background", "30-50 m").value == 1.0


def test_precision_and_recall_by_range_are_what_a_hand_count_says(make: SimpleNamespace) -> None:
    # Five labels: 1 finds a car of the truth at 12 m, and its points lie at 12 m (one stray at 90).
    # 2 finds a car that the truth sets at 25 m, but its points lie at 8 m: the label stands at 8 m.
    # 3 finds a car at 25 m and has no point: it stands with its object. 4 finds nothing and has
    # points at 22 m. 5 finds nothing and has no point. A car at 60 m, and one of no known range,
    # are missed. A label for review at 22 m does not count.
    boxes = [(i * 12, 0, i * 12 + 10, 10) for i in range(6)]
    missed = [(0, 30, 10, 40), (20, 30, 30, 40)]
    truth = make.true_picture([*boxes[:3], *missed], ranges_m=[12, 25, 25, 60, np.nan])
    statuses = [Status.ACCEPTED] * 5 + [Status.REVIEW]
    labels = make.labelled(boxes, statuses=statuses)
    ids = [1, 1, 1, 2, 4, 6, 6, 0]
    sweep = [[0, 12, 5], [12, 0, 0], [0, -90, 0], [-8, 0, 0], [22, 0, 1], [22, 0, 0], [22, 0, 0]]
    sweep.append([np.nan, 0, 0])
    points = make.point_labels([CAR if i else 0 for i in ids], ids)
    report = evaluate_labels(
        [make.sample(labels, points=points)],
        make.truth_of([truth]),
        sweep_of=lambda _: np.array(sweep, np.float32),
    )

    def row(name: str) -> tuple[float | None, int, float | None, int]:
        precision, recall = (report.figure("labels", name, c) for c in ("precision", "recall"))
        return precision.value, precision.n, recall.value, recall.n

    assert row("all") == (3 / 5, 5, 3 / 5, 5)
    assert row("0-10 m") == (1.0, 1, None, 0)
    assert row("10-20 m") == (1.0, 1, 1.0, 1)
    assert row("20-30 m") == (1 / 2, 2, 1.0, 2)
    assert row("30-50 m") == (None, 0, None, 0)
    assert row("50+ m") == (0.0, 0, 0.0, 1)  # nothing was called there, and something was
    assert row("unknown range") == (0.0, 1, 0.0, 1)
    assert "the range of a label: that of its points, else of" in report.table("labels").title


def test_without_any_range_there_are_no_rows_of_ranges(make: SimpleNamespace) -> None:
    truth = make.true_picture([(0, 0, 9, 9)])
    report = evaluate_labels([make.sample(make.as_labels(truth))], make.truth_of([truth]))
    assert not [name for name, _ in report.table("labels").rows if "range" in name or " m" in name]


def test_a_sweep_that_changed_since_it_was_labelled_is_refused(make: SimpleNamespace) -> None:
    sample = make.sample(make.labelled([(0, 0, 9, 9)]), points=make.point_labels([CAR], [1]))
    with pytest.raises(PerceptionError, match=r"label\.count_mismatch: 0: the sweep has 2 points"):
        evaluate_labels(
            [sample],
            make.truth_of([make.true_picture()]),
            sweep_of=lambda _: np.zeros((2, 3), np.float32),
        )


def test_no_labels_score_0_everywhere(make: SimpleNamespace) -> None:
    _, truths = make.random_world(0, scenes=8)
    _, true, sweep = point_world(make)
    samples = [
        make.sample(
            make.labelled(name=t.file_name, size_hw=t.size_hw),
            id=str(i),
            points=make.point_labels([0] * 160, [0] * 160) if i == 0 else None,
        )
        for i, t in enumerate(truths)
    ]
    report = evaluate_labels(samples, make.truth_of(truths, {"0": true}), sweep_of=lambda _: sweep)
    values = values_of(report)
    assert {v for k, v in values.items() if "coverage" not in k} == {0.0, None}
    for key in ("ap/mask/AP", "labels/all/precision", "labels/all/recall", "panoptic/mean/PQ"):
        assert values[key] == 0.0
    for key in ("yield/all/yield at 95", "points.seen.iou/mIoU/all", "points.all.pq/mean/all"):
        assert values[key] == 0.0
    assert values["yield/all/threshold"] is None


def test_shuffled_classes_score_what_a_hand_count_says(make: SimpleNamespace) -> None:
    # Four cars and two persons in place; one car is called a person and one person a car.
    boxes = [(i * 13, 0, i * 13 + 10, 10) for i in range(6)]
    truth = make.true_picture(boxes, [CAR] * 4 + [PERSON] * 2)
    labels = make.labelled(boxes, [CAR] * 3 + [PERSON] + [PERSON, CAR])
    report = evaluate_labels([make.sample(labels)], make.truth_of([truth]))
    values = values_of(report)
    assert values["labels/all/precision"] == pytest.approx(4 / 6)
    assert values["labels/car/recall"] == pytest.approx(3 / 4)
    assert values["labels/car/precision"] == pytest.approx(3 / 4)
    assert values["labels/person/recall"] == pytest.approx(1 / 2)
    assert values["labels/all/IoU of objects"] == pytest.approx(4 / 6)
    assert values["panoptic/car/PQ"] == pytest.approx(3 / 4)
    assert values["panoptic/mean/PQ"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert values["yield/all/yield at 95"] == 0.0  # all of one score, 4 of 6 right
    # Trust tells the two wrong ones apart; where one label lacks it, nothing was fitted.
    trusts = np.array([0.9, 0.8, 0.7, 0.3, 0.6, 0.2], np.float32)
    for last, expected, ranked in ((0.2, 4 / 6, "by trust"), (np.nan, 0.0, "detector's score")):
        trusts[-1] = last
        trusted = replace(labels, instances=replace(labels.instances, trusts=trusts.copy()))
        report = evaluate_labels([make.sample(trusted)], make.truth_of([truth]))
        assert values_of(report)["yield/all/yield at 95"] == pytest.approx(expected)
        (table,) = [one for one in report.tables if one.name == "yield"]
        assert table.title.endswith(ranked)


def test_nothing_at_all_is_a_report_without_values(make: SimpleNamespace) -> None:
    for samples in ([], [make.sample()]):
        report = evaluate_labels(samples, make.truth_of())
        assert set(values_of(report).values()) == {None}
        assert "ap: nothing to judge" in report.lines()


def test_images_without_objects_have_no_recall_and_only_false_alarms(
    make: SimpleNamespace,
) -> None:
    empty = make.truth_of([make.true_picture()])
    assert set(values_of(evaluate_labels([make.sample(make.labelled())], empty)).values()) == {None}
    report = evaluate_labels([make.sample(make.labelled([(0, 0, 9, 9)]))], empty)
    values = values_of(report)
    assert values["labels/all/precision"] == 0.0
    assert values["labels/all/recall"] is None
    assert values["panoptic/mean/PQ"] == 0.0
    assert values["ap/mask/AP"] is None
    assert values["yield/all/yield at 95"] is None


@pytest.mark.slow
def test_the_same_seed_gives_the_same_report_and_intervals_hold_their_figures(
    make: SimpleNamespace,
) -> None:
    samples, truths = make.random_world(2, scenes=8)
    report = evaluate_labels(samples, make.truth_of(truths), seed=5)
    assert report == evaluate_labels(samples, make.truth_of(truths), seed=5)
    assert report != evaluate_labels(samples, make.truth_of(truths), seed=6)
    figures = [figure for table in report.tables for _, row in table.rows for figure in row]
    with_interval = [f for f in figures if f.low is not None]
    assert len(with_interval) > 30
    for figure in with_interval:
        assert figure.low <= figure.value <= figure.high  # type: ignore[operator]


def test_a_report_is_json_text_and_a_page_without_network(make: SimpleNamespace) -> None:
    samples, truths = make.random_world(1, scenes=4)
    report = evaluate_labels(samples, make.truth_of(truths))
    again = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    figure = report.figure("labels", "all", "recall")
    stored = again["tables"]["labels"]["rows"]["all"]["recall"]
    assert stored == {"value": figure.value, "low": figure.low, "high": figure.high, "n": figure.n}
    assert again["counts"]["samples"] == 4
    text = "\n".join(report.lines())
    assert figure.text() in text and "nan" not in text
    assert max(len(line) for line in report.lines(intervals=False)) < 150
    page = to_html(report, "A <drive>")
    assert "A &lt;drive&gt;" in page and "://" not in page and "<script" not in page
    for table in page.split('<div class="wide">')[1:]:
        ElementTree.fromstring(table.partition("</div>")[0].replace("<br>", ""))


def test_a_table_names_what_it_does_not_have() -> None:
    table = Table("t", "title", ("a",), (("row", (Figure(0.5, 0.4, 0.6, 3),)),))
    assert table.figure("row", "a").text() == "0.500 [0.400, 0.600]"
    assert (Figure(None).text(), Figure(0.5).text()) == ("-", "0.500")
    with pytest.raises(KeyError, match="no column 'b'"):
        table.figure("row", "b")


def test_a_run_without_points_says_that_those_of_the_truth_are_not_compared(
    make: SimpleNamespace,
) -> None:
    points, true, sweep = point_world(make)
    picture = make.true_picture([(0, 0, 20, 20)])
    truth = make.truth_of([picture], {"0": true})
    plain = evaluate_labels([make.sample(make.as_labels(picture))], truth)
    assert NO_POINTS in plain.notes
    assert not [table for table in plain.tables if table.name.startswith("points")]
    full = make.sample(make.as_labels(picture), points=points)
    assert NO_POINTS not in evaluate_labels([full], truth, sweep_of=lambda _: sweep).notes
    images = replace(truth, point_classes=vocabulary_of(make.road, ()))
    said = evaluate_labels([make.sample(make.as_labels(picture))], images).notes
    assert NO_POINTS not in said  # that truth has no points either


def test_runs_are_paired_where_one_of_them_has_no_points(make: SimpleNamespace) -> None:
    points, true, sweep = point_world(make)
    picture = make.true_picture([(0, 0, 20, 20)])
    truth = make.truth_of([picture], {"0": true})
    with_points = make.sample(make.as_labels(picture), points=points)
    first = evaluate_labels([with_points], truth, sweep_of=lambda _: sweep)
    second = evaluate_labels([make.sample(make.as_labels(picture))], truth)
    for paired in (paired_table(first, second), paired_table(second, first)):
        assert paired.figure("mask", "difference").n == 1
    assert paired_table(first, second).figure("points seen, highest IoU", "other").value is None


@pytest.fixture
def drive(tmp_path: Path, kitti: Callable[[Path, int], Path]) -> Path:
    """Three frames, a car in each; of its truth's masks the third is larger than the box."""
    root = kitti(tmp_path / "drive", 3)
    frames = range(3)
    annotations = [
        {
            "id": i + 1,
            "image_id": i,
            "category_id": 1,
            "iscrowd": 0,
            "instance_id": 1,
            "segmentation": [[x0, 14, 44, 14, 44, 34, x0, 34]],
        }
        for i, x0 in zip(frames, (20, 20, 4), strict=True)
    ]
    images = [
        {"id": i, "width": 64, "height": 48, "file_name": f"training/image_2/{i:06d}.png"}
        for i in frames
    ]
    document = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "car"}],
    }
    (root / "training" / "truth.json").write_text(json.dumps(document))
    for i in frames:
        for folder, name, values in (
            ("labels", f"{i:06d}.label", np.array([10 | 1 << 16, 0, 0, 0], "<u4")),
            ("seen", f"{i:06d}.bin", np.array([1, 1, 0, 0], np.uint8)),
        ):
            (root / "training" / folder).mkdir(exist_ok=True)
            (root / "training" / folder / name).write_bytes(values.tobytes())
    return root


def label(drive: Path, run: Path, command: Callable[..., Any], *more: str) -> None:
    """Label a drive with its own boxes, each a mask."""
    process = command(
        *("label", f"kitti:{drive}", "--boxes", "label_2", "--segmenter", "boxes"),
        *("--out", run, *more),
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode in (0, 1), out + err  # 1: a frame was quarantined


@pytest.mark.slow
def test_a_run_is_evaluated_from_disk_quarantined_frames_included(
    drive: Path, tmp_path: Path, command: Callable[..., Any]
) -> None:
    (drive / "training" / "image_2" / "000001.png").write_bytes(b"no picture")
    run = tmp_path / "run"
    label(drive, run, command)
    report = evaluate(run, str(drive))
    counts = dict(report.counts)
    assert (counts["samples"], counts["images with truth"], counts["sweeps with truth"]) == (
        3,
        3,
        2,
    )
    values = values_of(report)
    # frame 0 is right, frame 1 quarantined and so missed, frame 2 half: 480 of 800 pixels
    assert values["labels/all/recall"] == pytest.approx(2 / 3)
    assert values["labels/all/precision"] == 1.0
    assert values["labels/all/recall 75"] == pytest.approx(1 / 3)
    assert values["labels/all/IoU of matches"] == pytest.approx((1 + 480 / 800) / 2)
    assert values["labels/0-10 m/recall"] == pytest.approx(2 / 3)  # label_2 puts all at 6 m
    assert values["points.seen.iou/car/0-10 m"] == 1.0
    assert values["points.all.iou/mIoU/all"] == 1.0


@pytest.mark.slow
def test_a_run_and_a_truth_that_share_no_image_are_refused(
    drive: Path, tmp_path: Path, command: Callable[..., Any]
) -> None:
    run = tmp_path / "run"
    label(drive, run, command, "--limit", "1")
    other = tmp_path / "other.json"
    other.write_text('{"images": [], "annotations": [], "categories": []}')
    refused = r"truth\.mismatch: .* knows none of the run's 1 images: .*, none in the truth"
    with pytest.raises(PerceptionError, match=refused):
        evaluate(run, str(other))
    (drive / "training" / "labels" / "000000.label").write_bytes(b"1234")
    with pytest.raises(PerceptionError, match=r"label\.count_mismatch"):
        evaluate(run, str(drive))


@pytest.mark.slow
def test_the_verb_prints_a_verdict_and_writes_every_form(
    drive: Path,
    tmp_path: Path,
    command: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, out = tmp_path / "run", tmp_path / "report.json"
    label(drive, run, command)
    (label_set,) = [path.name for path in (run / "labels").iterdir()]

    def said(*more: object, code: int = 0) -> str:
        assert perception([str(token) for token in ("evaluate", *more)]) == code
        told = capsys.readouterr()
        return told.err if code else told.out

    verdict = said(run, "--truth", drive, "--out", out)
    assert verdict.startswith("3 images and 3 sweeps compared with")
    assert "of 100 objects 100 [100, 100] are found" in verdict and "labels: " not in verdict
    assert json.loads(out.read_text()) == json.loads(said(run, "--truth", drive, "--json"))
    assert "labels: accepted labels; matched" in said(run, "--truth", drive, "--full")
    assert said(run, "--truth", drive, "--csv").startswith("run,table,row,column,value,")
    page, plots = tmp_path / "pages" / "report.html", tmp_path / "plots"
    said(run, "--truth", drive, "--page", page, "--plots", plots)
    beside = page.with_name("report_files")
    pictures = sorted(path.name for path in beside.glob("*.jpg"))
    assert pictures == ["example-0.jpg", "example-1.jpg", "example-2.jpg"]  # three cars, found
    numbers = {path.name: path.read_text() for path in beside.glob("*.csv")}
    assert len(numbers) > 5 and "car,car,3" in numbers["confusion.csv"].splitlines()
    assert numbers == {path.name: path.read_text() for path in plots.glob("*.csv")}
    for name in (*pictures, *numbers):
        assert f'"report_files/{name}"' in page.read_text()
    columns = said(run, run / "labels" / label_set, "--truth", drive)
    assert f"run@{label_set} - run" in columns and "+0.000 [+0.000, +0.000]" in columns
    assert said(run, run, "--truth", drive, "--latex").count(r"\\") > 5
    for tokens, told in (
        ((), "evaluate needs a run"),
        ((run, "--csv", "--latex"), "give one of --csv, --latex and --json"),
        ((run, run, "--page", tmp_path / "x.html"), "--page and --plots show one run"),
        ((run / "labels" / "000000000000",), "000000000000"),
    ):
        assert told in said(*tokens, "--truth", drive, code=2)
    (drive / "training" / "image_2" / "000001.png").unlink()  # it went since
    again = tmp_path / "again.html"
    said(run, "--truth", drive, "--page", again)
    left = sorted(path.name for path in (tmp_path / "again_files").glob("*.jpg"))
    # Frame 2, half found, is the worst; of the other two the first comes first.
    assert left == ["example-0.jpg", "example-1.jpg"] and "example-2" not in again.read_text()
