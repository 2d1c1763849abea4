"""Bugs caught: differences of the wrong sign, unpaired, or of other samples; files that lie."""

import csv
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest

from perception.core.statistics import Figure, difference, interval
from perception.evaluation import Report, evaluate_labels
from perception.evaluation.beside import Beside, latex_text, names_of, split_label_set


@pytest.fixture(scope="module")
def two(make: SimpleNamespace) -> Beside:
    """The labels of a random world, and those of the same world with half the samples empty."""
    samples, truths = make.random_world(3, scenes=8)
    truth = make.truth_of(truths)
    fewer = [
        make.sample(make.labelled(name=f"{i}.png", size_hw=(150, 200)), id=str(i)) if i % 2 else one
        for i, one in enumerate(samples)
    ]
    reports = evaluate_labels(samples, truth), evaluate_labels(fewer, truth)
    return Beside(("all", "fewer"), reports)


def test_a_difference_is_the_other_less_the_first_and_its_interval_is_paired() -> None:
    rng = np.random.default_rng(0)
    scenes = rng.normal(0, 1, 500)  # how hard the drawn scenes are: common to both
    first = interval(0.5, 0.5 + scenes, 10)
    other = interval(0.6, 0.6 + scenes, 9)
    found = difference(other, first)
    assert found.value == pytest.approx(0.1) and found.n == 9
    assert found.low == pytest.approx(0.1) and found.high == pytest.approx(0.1)
    assert first.high is not None and first.high > 1.5  # alone they are far from sure
    assert difference(Figure(None), first) == Figure(None)
    assert difference(Figure(0.7), first).low is None  # no draws, no interval


def test_losing_the_labels_of_samples_shows_as_a_loss(two: Beside) -> None:
    (found,) = two.differences("labels", "all", "recall")
    first, other = two.figures("labels", "all", "recall")
    assert first.value is not None and other.value is not None and other.value < first.value
    assert found.value == pytest.approx(other.value - first.value)
    assert found.low is not None and found.high is not None and found.high <= 0 < -found.low
    text = "\n".join(two.lines())
    assert "fewer - all" in text and f"{found.value:+.3f} [" in text


def test_runs_of_other_samples_have_no_differences_but_those_of_objects(
    two: Beside, make: SimpleNamespace
) -> None:
    samples, truths = make.random_world(3, scenes=8)
    half = evaluate_labels(samples[:4], make.truth_of(truths))
    found = Beside(("all", "half"), (two.reports[0], half))
    assert found.differences("labels", "all", "recall") == (Figure(None),)
    (objects,) = found.paired()
    assert objects.figure("mask", "difference").value == 0.0
    assert any("same samples" in line for line in found.lines())
    assert not any("same samples" in line for line in two.lines())


def test_csv_holds_every_figure_and_the_differences(two: Beside) -> None:
    rows = list(csv.DictReader(io.StringIO(two.to_csv())))
    for row in rows:
        report = two.reports[two.names.index(row["run"])]
        figure = report.figure(row["table"], row["row"], row["column"])
        assert float(row["value"]) == figure.value and int(row["n"]) == figure.n
    known = sum(
        figure.value is not None
        for report in two.reports
        for table in report.tables
        for _, figures in table.rows
        for figure in figures
    )
    assert len(rows) == known > 100
    (place,) = [
        row
        for row in rows
        if (row["run"], row["table"], row["row"], row["column"])
        == ("fewer", "labels", "all", "recall")
    ]
    assert float(place["difference"]) == two.differences("labels", "all", "recall")[0].value
    assert {row["difference"] for row in rows if row["run"] == "all"} == {""}
    alone = Beside(("all",), two.reports[:1]).to_csv().splitlines()
    assert alone[0] == "run,table,row,column,value,low,high,n"


def test_json_of_one_run_is_its_report_and_of_two_names_both(two: Beside) -> None:
    assert Beside(("all",), two.reports[:1]).to_dict() == two.reports[0].to_dict()
    again = json.loads(json.dumps(two.to_dict(), allow_nan=False))
    assert list(again["runs"]) == ["all", "fewer"] and again["compared_with"] == "all"
    stored = again["differences"]["fewer"]["labels"]["all"]["recall"]
    assert stored["value"] == two.differences("labels", "all", "recall")[0].value
    assert again["objects"]["fewer"]["mask"]["difference"]["value"] < 0


def test_latex_has_a_row_for_each_figure_of_the_verdict(two: Beside) -> None:
    lines = two.to_latex().splitlines()
    assert lines[1] == r"\begin{tabular}{lrrr}" and lines[-1] == r"\end{tabular}"
    body = [line for line in lines if line.endswith(r"\\")]
    assert {line.count("&") for line in body} == {3}
    assert any(line.startswith("recall & ") for line in body)
    assert latex_text(r"a_b & 50% \x{}") == r"a\_b \& 50\% \textbackslash{}x\{\}"


def test_a_report_of_nothing_is_nothing_in_every_form() -> None:
    empty = Report("t", 0, (("images with truth", 0), ("sweeps with truth", 0)), ())
    for reports in ((empty,), (empty, empty)):
        found = Beside(("a", "b")[: len(reports)], reports)
        assert len(found.to_csv().splitlines()) == 1
        assert "nothing to judge" in found.lines()
        assert r"\midrule" in found.to_latex()


def test_runs_are_called_by_what_tells_them_apart() -> None:
    assert names_of(["runs/a", "runs/b/"]) == ("a", "b")
    assert names_of(["x/run", "y/run"]) == ("x/run", "y/run")
    assert names_of(["run", "run/labels/0123abc"]) == ("run", "run@0123abc")
    assert split_label_set("runs/a/labels/0123abc") == ("runs/a", "0123abc")
    assert split_label_set("s3://b/run/labels/0123abc") == ("s3://b/run", "0123abc")
    assert split_label_set("runs/labels") == ("runs/labels", "")
