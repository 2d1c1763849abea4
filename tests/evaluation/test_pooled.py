"""Means over seeds and their differences: what is paired, what an interval holds."""

import numpy as np
import pytest

from perception.evaluation.pooled import Precision, difference, draw_seeds, mean

DRAWS = 4000


def run(value: float, draws: np.ndarray | None = None) -> Precision:
    """Make a run with the same figure in every draw, or with the draws that are given."""
    drawn = np.full(DRAWS, value) if draws is None else draws
    return Precision({"AP": value}, {"AP": drawn}, objects=9)


def noisy(value: float, seed: int) -> Precision:
    return run(value, value + 0.05 * np.random.default_rng(seed).standard_normal(DRAWS))


def test_the_mean_is_that_of_the_seeds() -> None:
    figure = mean([run(0.2), run(0.3), run(0.7)], "AP")
    assert figure.value == pytest.approx(0.4)
    assert figure.n == 9


def test_few_seeds_spread_the_draws_like_the_standard_error_of_their_mean() -> None:
    values = np.array([0.2, 0.3, 0.7])
    expected = values.var(ddof=1) / 3
    drawn = values[draw_seeds(3, 200_000, seed=0)].mean(axis=1)
    assert drawn.var() == pytest.approx(expected, rel=0.02)  # S of S seeds: a third too small
    assert drawn.mean() == pytest.approx(0.4, abs=2e-3)


@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
def test_draws_take_seeds_that_there_are(seeds: int) -> None:
    drawn = draw_seeds(seeds, 500, seed=1)
    assert drawn.shape == (500, max(seeds - 1, 1))
    assert set(drawn.ravel().tolist()) == set(range(seeds))


def test_one_seed_has_the_interval_of_its_scenes() -> None:
    one = noisy(0.5, seed=2)
    figure = mean([one], "AP")
    assert [figure.low, figure.high] == pytest.approx(np.percentile(one.draws["AP"], (2.5, 97.5)))


def test_a_group_differs_from_itself_by_nothing() -> None:
    runs = [noisy(value, seed) for seed, value in enumerate((0.2, 0.5, 0.6))]
    figure = difference(runs, runs, "AP")
    assert (figure.value, figure.low, figure.high) == (0, 0, 0)  # paired by scene and by seed


def test_what_all_scenes_and_seeds_share_does_not_blur_a_difference() -> None:
    runs = [noisy(value, seed) for seed, value in enumerate((0.2, 0.5, 0.6))]
    lower = [run(one.values["AP"] - 0.01, one.draws["AP"] - 0.01) for one in runs]
    figure = difference(runs, lower, "AP")
    assert [figure.value, figure.low, figure.high] == pytest.approx([0.01] * 3)
    assert difference(lower, runs, "AP").value == pytest.approx(-0.01)


def test_a_difference_that_seeds_do_not_agree_on_holds_nothing() -> None:
    figure = difference([run(0.3), run(0.5)], [run(0.4), run(0.45)], "AP")
    assert figure.low is not None and figure.high is not None
    assert figure.low < 0 < figure.high


def test_one_scene_has_no_interval_and_no_objects_no_figure() -> None:
    nothing = np.zeros(0)
    alone = mean([run(0.5, nothing), run(0.7, nothing)], "AP")
    assert (alone.value, alone.low, alone.high) == (pytest.approx(0.6), None, None)
    assert mean([run(np.nan, np.full(DRAWS, np.nan))], "AP").value is None
