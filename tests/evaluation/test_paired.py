"""Bugs caught: objects paired by place in place of name, intervals that ignore the pairing."""

import numpy as np
import pytest

from perception.evaluation import Report
from perception.evaluation.paired import paired_table


def of(ious: dict[tuple[str, int], float]) -> Report:
    return Report("by hand", 0, (), (), object_ious={"mask": ious})


def test_the_same_objects_are_compared_whatever_their_order() -> None:
    after = {("a", 1): 0.9, ("a", 2): 0.5, ("b", 1): 0.1}
    before = {("b", 1): 0.0, ("a", 2): 0.4, ("a", 1): 0.8, ("c", 1): 1.0}
    table = paired_table(of(before), of(after))
    difference = table.figure("mask", "difference")
    assert difference.n == 3 and difference.value == pytest.approx(0.1)
    # each object gains 0.1, however much objects differ
    assert difference.low == pytest.approx(0.1) and difference.high == pytest.approx(0.1)
    assert table.figure("mask", "first").value == pytest.approx(0.4)
    assert table.figure("mask", "other").value == pytest.approx(0.5)


def test_a_difference_of_chance_has_an_interval_around_zero() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, (2, 200))
    before, after = ({("a", i): float(v) for i, v in enumerate(row)} for row in noise)
    chance = paired_table(of(before), of(after)).figure("mask", "difference")
    assert chance.low is not None and chance.high is not None and chance.low < 0 < chance.high
    better = {key: value + 0.1 for key, value in after.items()}
    gain = paired_table(of(before), of(better)).figure("mask", "difference")
    assert gain.low is not None and gain.low > 0.05


def test_nothing_in_common_has_no_figure() -> None:
    figures = dict(paired_table(of({("a", 1): 0.5}), of({})).rows)["mask"]
    assert [figure.value for figure in figures] == [None] * 3
