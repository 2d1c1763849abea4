"""How far points reach, beside the most that anything of a class does; and which are one thing."""

import numpy as np

from perception.core.config import LiftConfig
from perception.core.types import Bool, Float32, Float64
from perception.labeling.lift.links import link_places
from perception.labeling.lift.sight import Rows

HEADINGS_RAD = np.deg2rad(np.arange(0, 90, 5))
_ALONG = np.stack([np.cos(HEADINGS_RAD), np.sin(HEADINGS_RAD)])
_ACROSS = np.stack([-np.sin(HEADINGS_RAD), np.cos(HEADINGS_RAD)])
WITHIN = (2.0, 98.0)  # percentiles of an object's points between which its size is measured
MOST_POINTS = 400  # of an object, evenly taken: more change no percentile by much


def reach(points_lidar: Float32, most_m: Float64, within: tuple[float, float] = WITHIN) -> float:
    """Return how far points reach, as a share of the most that their class does.

    Length and width are those of the upright box, of any heading, that fits the class best: two
    sides of a car that meet at a corner do not lie along the main axis of their points.

    Args:
        points_lidar: (M, 3) metres, M at least 1.
        most_m: (3,) length, width and height of the largest of the class; infinite where unknown.
        within: Percentiles between which the size is measured.
    """
    taken = points_lidar[:: -(-len(points_lidar) // MOST_POINTS)].astype(np.float64)
    level = taken[:, :2] - taken[:, :2].mean(axis=0)
    sides = np.concatenate([level @ _ALONG, level @ _ACROSS, taken[:, 2:]], axis=1)
    low, high = np.percentile(sides, within, axis=0)
    *level_m, height_m = high - low
    first, second = np.array(level_m).reshape(2, -1)
    shares = np.maximum(
        np.maximum(first, second) / most_m[0], np.minimum(first, second) / most_m[1]
    )
    return float(max(shares.min(), height_m / most_m[2]))


def one_thing(points_lidar: Float32, weights: Float64, most_m: Float64, config: LiftConfig) -> Bool:
    """Choose points that may be one object of a class, where all together are too large for one.

    At one depth there may be two things under a mask: a car, and the wall that shows through its
    windows or along its edge. Points that hang together are a part; the heaviest part is the
    object, and others are parts of it as long as it does not become too large.

    Args:
        points_lidar: (M, 3) metres.
        weights: (M,) how surely each is on the object.
        most_m: (3,) as for `reach`.
        config: What hangs together.

    Returns:
        (M,) True for the chosen ones.
    """
    everything = (0.0, 100.0)
    chosen = np.ones(len(points_lidar), bool)
    if not np.isfinite(most_m).all() or len(chosen) < 2:
        return chosen
    if reach(points_lidar, most_m, everything) <= 1:
        return chosen
    places, _ = link_places(points_lidar.astype(np.float64), config)
    part = connected(places, config.link_rad)
    chosen[:] = False
    for number in np.argsort(-np.bincount(part, weights), kind="stable"):
        larger = chosen | (part == number)
        if not chosen.any() or reach(points_lidar[larger], most_m, everything) <= 1:
            chosen = larger
    return chosen


def connected(places: Float64, radius: float) -> Rows:
    """Return the (N,) cluster of each place: chains of places within a radius.

    Of places in one cell, a third of the radius wide, one links for all: there are fewer pairs.
    """
    from scipy.sparse import coo_array  # late, see `perception.labeling.lift`
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    cells = np.floor((places - places.min(axis=0)) / (radius / 3)).astype(np.int64)
    codes = np.ravel_multi_index(tuple(cells.T), tuple(cells.max(axis=0) + 1))
    _, first, cell = np.unique(codes, return_index=True, return_inverse=True)
    pairs = cKDTree(places[first]).query_pairs(radius, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(first), len(first)))
    return np.asarray(connected_components(links, directed=False)[1][cell], np.intp)
