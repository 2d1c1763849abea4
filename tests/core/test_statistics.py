"""Intervals: constants, seeds, and what they hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.core.statistics import (
    draw_weights,
    interval,
    mean_known,
    of_sums,
    share,
    weights_of,
)


def mean_of(counts: np.ndarray, seed: int = 0) -> tuple[float | None, ...]:
    weights = draw_weights(len(counts), seed)
    found = of_sums(counts, weights, lambda s: share(s[:, 0], s[:, 1]), len(counts))
    return found.value, found.low, found.high


def test_every_draw_has_as_many_scenes_as_there_are() -> None:
    weights = draw_weights(7, seed=3)
    assert weights.shape == (1000, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert weights.mean() == pytest.approx(1)
    np.testing.assert_array_equal(weights, draw_weights(7, seed=3))
    assert (weights != draw_weights(7, seed=4)).any()


def test_the_interval_of_a_constant_is_the_constant() -> None:
    counts = np.tile([0.3, 1.0], (20, 1))
    assert mean_of(counts) == pytest.approx((0.3, 0.3, 0.3))
    assert mean_of(counts[:1]) == pytest.approx((0.3, 0.3, 0.3))  # one scene says nothing


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=1, max_size=20))
def test_the_interval_holds_the_point(rows: list[tuple[int, int]]) -> None:
    value, low, high = mean_of(np.array(rows, np.float64))
    assert value is not None and low is not None and high is not None
    assert low <= value <= high
    assert mean_of(np.array(rows, np.float64)) == (value, low, high)  # and comes again


def test_the_interval_of_a_mean_is_about_two_standard_errors() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.1, 400)
    _, low, high = mean_of(np.stack([values, np.ones(400)], axis=1))
    assert low is not None and high is not None
    assert (high - low) / 2 == pytest.approx(1.96 * 0.1 / 20, rel=0.15)


def test_a_figure_outside_its_draws_widens_its_interval() -> None:
    found = interval(0.9, np.linspace(0.1, 0.2, 100), 1)
    assert (found.low, found.high) == (pytest.approx(0.1025), 0.9)
    found = interval(0.05, np.linspace(0.1, 0.2, 100), 1)
    assert (found.low, found.high) == (0.05, pytest.approx(0.1975))


def test_what_has_no_value_has_no_interval() -> None:
    found = interval(float("nan"), np.ones(10), 3)
    assert (found.value, found.low, found.high, found.n) == (None, None, None, 3)
    assert interval(0.5, np.full(10, np.nan), 3).low is None
    assert mean_of(np.zeros((0, 2))) == (None, None, None)


def test_nothing_of_nothing_has_no_value_and_nothing_of_something_is_0() -> None:
    part, whole, other = np.array([1.0, 0, 0]), np.array([2.0, 0, 0]), np.array([0.0, 3, 0])
    assert share(part, whole, other)[:2].tolist() == [0.5, 0.0]
    assert np.isnan(share(part, whole, other)[2])
    assert np.isnan(share(part, whole)[1:]).all()
    assert mean_known(np.array([[1.0, np.nan, 0.0]])).tolist() == [0.5]
    assert np.isnan(mean_known(np.full((1, 2), np.nan))).all()


def test_samples_of_one_scene_are_drawn_together_and_one_scene_has_no_interval() -> None:
    weights = weights_of(["b", "a", "b", "c"], seed=3)
    assert weights.shape[1] == 4
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert weights_of(["a", "a"], seed=3).shape == (0, 2)
    assert weights_of([], seed=3).shape == (0, 0)
    figure = interval(0.5, np.zeros(0), n=2)
    assert (figure.value, figure.low, figure.high) == (0.5, None, None)
