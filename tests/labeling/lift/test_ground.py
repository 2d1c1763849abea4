import numpy as np

from perception.core.types import Float32, Float64
from perception.labeling.lift.ground import CELL_M, REACH_M, Ground, find_ground


def heights_m(points_lidar: Float32) -> Float64:
    return find_ground(points_lidar).heights_m(points_lidar)


def road(rng: np.random.Generator, count: int = 20000) -> Float32:
    """Return points of a road that rises by 4 mm a metre, 2.1 m below the LiDAR."""
    points = rng.uniform(-30, 30, (count, 3)).astype(np.float32)
    points[:, 2] = -2.1 + 0.004 * points[:, 0] + 0.01 * rng.standard_normal(count)
    return points


def test_heights_are_over_the_road_whatever_stands_on_it_and_however_it_tilts() -> None:
    # A level plane, or one fitted to everything, would lose the road at the far end.
    rng = np.random.default_rng(0)
    walls = rng.uniform((-30, 8, -2), (30, 9, 6), (2000, 3)).astype(np.float32)
    heights = heights_m(np.concatenate([road(rng), walls]))
    assert np.abs(heights[:20000]).max() < 0.08
    expected = walls[:, 2] + 2.1 - 0.004 * walls[:, 0]
    np.testing.assert_allclose(heights[20000:], expected, atol=0.08)


def test_under_a_roof_the_ground_is_that_of_the_cells_around_it() -> None:
    # 3 m by 3 m without a point of the road: the lowest point of its cells is the roof at 1.5 m.
    rng = np.random.default_rng(1)
    ground = road(rng)
    ground = ground[~((np.abs(ground[:, 0] - 10) < 1.5) & (np.abs(ground[:, 1]) < 1.5))]
    roof = rng.uniform((8.5, -1.5, -0.56), (11.5, 1.5, -0.56), (500, 3)).astype(np.float32)
    heights = heights_m(np.concatenate([ground, roof]))[-500:]
    assert np.abs(heights - 1.5).max() < 0.2


def test_a_reflection_below_the_street_does_not_pull_the_ground_down() -> None:
    rng = np.random.default_rng(2)
    ground = road(rng)
    pit = np.array([[12.2, 3.3, -5.0], [12.4, 3.4, -5.1], [12.1, 3.1, -4.8]], np.float32)
    heights = heights_m(np.concatenate([pit, ground]))
    assert np.abs(heights[3:]).max() < 0.08
    assert (heights[:3] < -2).all()


def test_a_kerb_stays_ground() -> None:
    # A pavement 0.12 m above the road: both are ground, not a thing on it.
    rng = np.random.default_rng(3)
    ground = road(rng, 40000)
    ground[ground[:, 1] > 5, 2] += 0.12
    low = heights_m(ground) < 0.1
    assert low[np.abs(ground[:, 1] - 5) > 1].all()


def test_too_few_points_have_no_ground_and_those_nowhere_have_no_height() -> None:
    assert heights_m(np.zeros((0, 3), np.float32)).shape == (0,)
    assert np.isnan(heights_m(np.array([[10, 0, -2]], np.float32))).all()
    lost = np.array([[np.nan, 0, 0], [np.inf, 1, 1], [0, 0, np.nan], [500, 0, -2]], np.float32)
    heights = heights_m(np.concatenate([lost, road(np.random.default_rng(4))]))
    assert np.isnan(heights[:4]).all() and np.isfinite(heights[4:]).all()


def test_the_ground_is_not_known_where_little_of_it_is_near() -> None:
    """One known cell says nothing of a point that is nearer to the unknown cells around it."""
    surface = np.full((160, 160), np.inf)
    surface[90, 80] = -2.0
    x, y = 90.5 * CELL_M - REACH_M, 80.5 * CELL_M - REACH_M  # its centre
    points = np.array([[x, y, 0], [x + 0.74, y, 0], [x + 0.76, y, 0], [x + 0.5, y + 0.5, 0]])
    heights = Ground(surface).heights_m(points.astype(np.float32))
    # shares of the known cell: 1, 0.26, 0.24 and a quarter, which is not more than a quarter
    np.testing.assert_array_equal(heights, [2, 2, np.nan, np.nan])


def test_a_lone_return_does_not_level_the_cells_around_it() -> None:
    """Beside a strip of single returns the ground may rise: there it is what the slope allows."""
    x = np.arange(-20.5, 20, 1.0)
    strip = np.stack([x, np.full(len(x), 0.5), np.full(len(x), -2.0)], axis=1).astype(np.float32)
    beside = np.array([[0.5, 2.5, -2.0]], np.float32)
    (height,) = find_ground(strip).heights_m(beside)
    np.testing.assert_allclose(height, -0.3, atol=1e-6)  # two cells on, 0.15 m higher each
