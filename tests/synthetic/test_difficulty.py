import numpy as np

from perception.synthetic.difficulty import grown, heights_m


def _row(x_m: float, count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return points one above the other, 0.4 m apart."""
    z = 0.4 * np.arange(count)
    return np.column_stack([np.full(count, x_m), 0 * z, z]).astype(np.float32)


def test_heights_are_over_the_road_whatever_stands_on_it_and_however_it_tilts() -> None:
    # A level plane, or one fitted to everything, would lose the road at the far end.
    rng = np.random.default_rng(0)
    road = rng.uniform(-30, 30, (3000, 3)).astype(np.float32)
    road[:, 2] = -2.1 + 0.004 * road[:, 0] + 0.01 * rng.standard_normal(3000)
    walls = rng.uniform((-30, 8, -2), (30, 9, 6), (2000, 3)).astype(np.float32)
    heights = heights_m(np.concatenate([road, walls]))
    assert np.abs(heights[:3000]).max() < 0.06
    expected = walls[:, 2] + 2.1 - 0.004 * walls[:, 0]
    np.testing.assert_allclose(heights[3000:], expected, atol=0.03)


def test_no_points_have_no_heights() -> None:
    assert heights_m(np.zeros((0, 3), np.float32)).shape == (0,)
    assert grown(np.zeros((0, 3), np.float32), np.zeros(0, bool)).shape == (0,)


def test_an_object_grows_into_what_is_mostly_its_own_and_into_nothing_else() -> None:
    # Six of eight points of a car are its own; one stray point lies on a wall of ten; 0.6 m apart.
    points = np.concatenate([_row(10.0, 8), _row(10.6, 10)])
    own = np.zeros(18, bool)
    own[[0, 1, 2, 3, 4, 5, 8]] = True
    assert np.flatnonzero(grown(points, own)).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8]


def test_what_owns_nothing_grows_nowhere() -> None:
    assert not grown(_row(10.0, 8), np.zeros(8, bool)).any()
