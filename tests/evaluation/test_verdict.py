"""Bugs caught: a verdict that leaves the worst out, names a class by chance, or hides one scene."""

from types import SimpleNamespace

import pytest

from perception.core.statistics import Figure
from perception.evaluation import Report, Table, evaluate_labels
from perception.evaluation.verdict import ENTRIES, entries, verdict_lines

COUNTS = (
    ("images with truth", 4),
    ("sweeps with truth", 0),
    ("true objects", 40),
    ("labels accepted", 30),
    ("labels for review", 2),
)


def report_of(rows: dict[str, tuple[float, int]]) -> Report:
    figures = tuple(
        (name, (Figure(0.9, 0.8, 0.95, 30), Figure(recall, recall - 0.1, recall + 0.1, n)))
        for name, (recall, n) in rows.items()
    )
    return Report("t", 0, COUNTS, (Table("labels", "", ("precision", "recall"), figures),))


def test_the_worst_comes_first_and_a_class_of_few_objects_is_not_the_worst() -> None:
    report = report_of(
        {
            "all": (0.5, 40),
            "small": (0.3, 20),
            "medium": (0.7, 10),
            "large": (0.1, 9),  # nine objects: chance
            "car": (0.6, 25),
            "person": (0.4, 12),
            "bus": (0.0, 3),
            "0-10 m": (0.8, 40),  # the only distance: none is the worst
        }
    )
    assert [entry.name for entry in entries(report)] == [
        "recall of small",
        "recall of person",
        "recall",
        "precision",
    ]
    lines = verdict_lines(report)
    assert lines[0] == (
        "4 images compared with t: 40 true objects, 30 labels accepted, 2 for review"
    )
    assert lines[1] == (
        "of 100 objects 50 [40, 60] are found; of 100 accepted labels 90 [80, 95] are right: IoU "
        "0.5 or more"
    )
    assert lines[2].split() == (
        "0.300 [0.200, 0.400] of the objects of the worst size, small, are found (n 20)".split()
    )
    assert "95 % intervals" in lines[-1]


def test_ten_lines_say_how_good_a_run_is(make: SimpleNamespace) -> None:
    samples, truths = make.random_world(1, scenes=12)
    lines = verdict_lines(evaluate_labels(samples, make.truth_of(truths)))
    assert 6 <= len(lines) <= 12
    assert max(map(len, lines)) < 120
    shown = [float(line.split()[0]) for line in lines if line.startswith("  ")]
    assert shown == sorted(shown) and len(shown) >= 4


def test_one_scene_is_told_in_place_of_intervals(make: SimpleNamespace) -> None:
    truth = make.true_picture([(0, 0, 30, 30)])
    report = evaluate_labels([make.sample(make.as_labels(truth))], make.truth_of([truth]))
    lines = verdict_lines(report)
    assert any(line.endswith("no intervals: there is one scene") for line in lines)
    assert not any("95 % intervals" in line for line in lines)


def test_nothing_at_all_is_said_to_be_nothing(make: SimpleNamespace) -> None:
    lines = verdict_lines(evaluate_labels([], make.truth_of()))
    assert lines[:2] == ["nothing compared with by hand", "nothing to judge"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_figure_of_a_verdict_exists_in_a_report(entry: object, make: SimpleNamespace) -> None:
    from perception.evaluation.cuboids import COLUMNS
    from perception.evaluation.verdict import Entry

    assert isinstance(entry, Entry)
    if entry.table == "boxes":  # needs LiDAR: the column's name is what could be wrong
        assert entry.column in COLUMNS
        return
    truth = make.true_picture([(0, 0, 30, 30)])
    report = evaluate_labels([make.sample(make.as_labels(truth))], make.truth_of([truth]))
    assert report.figure(entry.table, entry.row, entry.column).value == 1.0
