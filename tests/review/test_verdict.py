"""The first screen: what it says, and which command comes next."""

from typing import Any

import numpy as np
import pytest

from perception.core.statistics import Figure
from perception.evaluation.report import Report, Table
from perception.review import verdict

NONE: list[float] = []


def counts(ok: int, accepted: int, review: int, lost: int = 0, empty: int = 0) -> dict[str, Any]:
    samples = {"input": ok + lost + empty, "ok": ok, "empty": empty, "quarantined": lost}
    return {"samples": samples, "statuses": {"accepted": accepted, "review": review}}


@pytest.mark.parametrize(
    ("given", "sentence", "command"),
    [
        (counts(0, 0, 0, lost=2), "No sample could be used", "perception status runs/a"),
        (counts(0, 0, 0, empty=3), "Nothing was labelled in 3", "perception relabel runs/a --min"),
        (
            counts(3, 1, 0),
            "3 of 3 samples have objects: 1 label is accepted.",
            "perception export runs/a --to",
        ),
        (
            counts(3, 2, 4),
            "3 of 3 samples have objects: 2 labels are accepted, and 4 wait",
            "perception show runs/a --r",
        ),
    ],
)
def test_what_comes_next_follows_from_what_came_out(
    given: dict[str, Any], sentence: str, command: str
) -> None:
    found = verdict.give(given, None, NONE, "runs/a")
    assert found.sentences[0].startswith(sentence) and found.command.startswith(command)
    assert len(found.figures) == 3


def test_a_run_of_an_odd_name_is_quoted_for_a_shell() -> None:
    found = verdict.give(counts(1, 1, 1), None, NONE, "runs/a b; rm -rf ~")
    assert "'runs/a b; rm -rf ~'" in found.command


def test_samples_that_were_lost_are_told() -> None:
    found = verdict.give(counts(3, 2, 0, lost=1), None, NONE, "r")
    assert found.sentences[-1] == "1 of 4 samples could not be used."


def test_quality_comes_from_truth_or_trust_and_is_not_made_up() -> None:
    given = counts(3, 2, 0)
    assert "is not known" in verdict.give(given, None, [0.5, np.nan], "r").sentences[1]
    expected = verdict.give(given, None, [0.5, 0.9], "r")
    assert "70%" in expected.sentences[1] and expected.figures[2] == ("70%", "expected to be right")


@pytest.mark.parametrize(("iou", "third"), [(0.84, "0.84"), (None, "2")])
def test_against_truth_of_boxes_alone_no_figure_of_masks_is_shown(
    iou: float | None, third: str
) -> None:
    columns = ("precision", "recall", "IoU of matches")
    figures = tuple(Figure(value, None, None, 1) for value in (0.93, 0.5, iou))
    table = Table("labels", "", columns, (("all", figures),))
    report = Report("truth", 0, (), (table,), ())
    found = verdict.give(counts(3, 2, 0), report, NONE, "r")
    assert [value for value, _ in found.figures] == ["93%", "50%", third]
    assert (
        "about 93 are right (IoU 0.5 or more), and of 100 true objects about 50"
        in (found.sentences[1])
    )
