"""Yield at 95 by its definition: thresholds, ties, sizes, and when there is none."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.evaluation import evaluate_labels
from perception.evaluation.yields import Yield, yields_at


def once(scores: list[float], right: list[bool], objects: int, wanted: float = 0.95) -> Yield:
    n = len(scores)
    return yields_at(
        np.array(scores, np.float32),
        np.array(right, bool),
        np.zeros(n, np.int64),
        np.ones((n, 1), bool),
        np.array([[objects]]),
        np.ones((1, 1), np.int64),
        wanted,
    )


def slow_yield(scores: list[float], right: list[bool], objects: int, wanted: float) -> float:
    """The definition, word by word."""
    best = None
    for threshold in sorted(set(scores), reverse=True):
        taken = [ok for score, ok in zip(scores, right, strict=True) if score >= threshold]
        if sum(taken) >= wanted * len(taken) - 1e-9:
            best = sum(taken)
    return 0.0 if best is None else best / objects


def test_nineteen_of_twenty_are_enough_and_eighteen_of_nineteen_are_not() -> None:
    scores = [1 - i / 100 for i in range(20)]
    found = once(scores, [True] * 19 + [False], objects=40)
    assert found.yields[0, 0] == pytest.approx(19 / 40)
    assert found.thresholds[0] == pytest.approx(scores[-1])
    assert found.precisions[0] == pytest.approx(0.95)
    assert once(scores[:19], [True] * 18 + [False], 40).yields[0, 0] == pytest.approx(18 / 40)


def test_the_loosest_threshold_counts_even_where_a_stricter_one_fails() -> None:
    # The best label is wrong; after twenty of them 19 are right: 95 % again.
    scores = [1 - i / 100 for i in range(20)]
    assert once(scores, [False] + [True] * 19, 19).yields[0, 0] == 1.0
    assert once(scores[:19], [False] + [True] * 18, 19).yields[0, 0] == 0.0


def test_labels_of_one_score_are_taken_together_or_not_at_all() -> None:
    assert once([0.9, 0.9], [True, False], 2).yields[0, 0] == 0.0
    assert once([0.9, 0.9], [False, True], 2).yields[0, 0] == 0.0
    found = once([0.9, 0.5, 0.5], [True, True, False], 2)
    assert (found.yields[0, 0], found.thresholds[0]) == (0.5, pytest.approx(0.9))


def test_without_labels_it_is_0_and_without_objects_it_has_no_value() -> None:
    assert once([], [], 3).yields[0, 0] == 0.0
    assert np.isnan(once([], [], 0).yields[0, 0])
    assert np.isnan(once([0.5], [False], 0).yields[0, 0])
    assert np.isnan(once([0.5], [False], 1).thresholds[0])


@given(
    st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=30),
    st.sampled_from([0.5, 0.8, 0.95]),
)
def test_it_is_what_the_definition_says(rows: list[tuple[int, bool]], wanted: float) -> None:
    scores, right = [s / 8 for s, _ in rows], [ok for _, ok in rows]
    expected = slow_yield(scores, right, 30, wanted)
    assert once(scores, right, 30, wanted).yields[0, 0] == pytest.approx(expected)


def test_a_sample_drawn_twice_counts_twice_and_one_that_is_not_drawn_not_at_all() -> None:
    scores, right = np.array([0.9, 0.8], np.float32), np.array([True, False])
    args = (scores, right, np.array([0, 1]), np.ones((2, 1), bool), np.array([[2], [1]]))
    found = yields_at(*args, np.array([[2, 0], [0, 2], [1, 1]]))
    assert found.yields[:, 0].tolist() == pytest.approx([2 / 4, 0, 1 / 3])


def test_many_labels_are_computed_in_parts_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    args = (
        rng.random(50).astype(np.float32),
        rng.random(50) < 0.97,
        rng.integers(0, 5, 50),
        np.ones((50, 1), bool),
        np.full((5, 1), 12),
        rng.multinomial(5, np.full(5, 0.2), size=40),
    )
    whole = yields_at(*args).yields
    monkeypatch.setattr("perception.evaluation.yields._MAX_CELLS", 150)
    np.testing.assert_array_equal(yields_at(*args).yields, whole)


def test_labels_in_crowds_are_neither_right_nor_wrong(make: SimpleNamespace) -> None:
    truth = make.true_picture([(0, 0, 20, 20), (40, 0, 80, 60)], ignored=[False, True])
    labels = make.labelled([(0, 0, 20, 20), (45, 0, 60, 20)], scores=[0.5, 0.9])
    report = evaluate_labels([make.sample(labels)], make.truth_of([truth]))
    assert report.figure("yield", "all", "yield at 95").value == 1.0


def test_sizes_share_the_threshold_of_all(make: SimpleNamespace) -> None:
    # A small car and a medium one, both right; a false small one with a lower score is cut off.
    truth = make.true_picture([(0, 0, 20, 20), (25, 0, 65, 40)])
    labels = make.labelled(
        [(0, 0, 20, 20), (25, 0, 65, 40), (0, 40, 10, 50)], scores=[0.9, 0.6, 0.3]
    )
    report = evaluate_labels([make.sample(labels)], make.truth_of([truth]))
    assert report.figure("yield", "all", "yield at 95").value == 1.0
    assert report.figure("yield", "all", "threshold").value == pytest.approx(0.6)
    assert report.figure("yield", "all", "right").value == 1.0
    assert report.figure("yield", "small", "yield at 95").value == 1.0
    assert report.figure("yield", "not small", "yield at 95").n == 1
    assert report.figure("yield", "large", "yield at 95").value is None
