"""Which points hang together: neighbours are as near as a LiDAR's resolution makes them."""

import numpy as np

from perception.core.config import LiftConfig
from perception.core.types import Float64, Int32

NOBODY = -1
# Neighbours up and down may be this much further apart: beams are sparser than firings.
TALLER = 3.0


def nearest_seeds(
    places: Float64, owners: Int32, most_links: float, radius: float
) -> tuple[Int32, Float64]:
    """Find, for each place, the seed that is nearest along links.

    Args:
        places: (N, D) coordinates.
        owners: (N,) of the seeds; `NOBODY` for the others, at least one is not.
        most_links: How far to look.
        radius: Length of a link.

    Returns:
        (N,) owner, `NOBODY` where no seed is in reach. (N,) links to it, those shorter than the
        radius in part.
    """
    from scipy.sparse import coo_array, csr_array  # late, see `perception.labeling.lift`
    from scipy.sparse.csgraph import dijkstra
    from scipy.spatial import cKDTree

    found, links = owners.copy(), np.where(owners != NOBODY, 0, np.inf)
    seeds, others = np.flatnonzero(owners != NOBODY), np.flatnonzero(owners == NOBODY)
    if len(others) == 0:
        return found, links
    # A way from one seed leads over no other: the first step is from the nearest.
    first, nearest = cKDTree(places[seeds]).query(places[others], distance_upper_bound=radius)
    begun = np.flatnonzero(np.isfinite(first))
    pairs = cKDTree(places[others]).query_pairs(radius, output_type="ndarray")
    apart = places[others[pairs[:, 0]]] - places[others[pairs[:, 1]]]
    steps = np.sqrt(np.einsum("ij,ij->i", apart, apart))
    kinds, kind = np.unique(owners[seeds[nearest[begun]]], return_inverse=True)
    count = len(others) + len(kinds)  # and one node from which all seeds of an owner are reached
    graph = csr_array(
        coo_array(
            (
                np.maximum(np.concatenate([first[begun], steps]) / radius, 1e-6),
                (
                    np.concatenate([len(others) + kind, pairs[:, 0]]),
                    np.concatenate([begun, pairs[:, 1]]),
                ),
            ),
            shape=(count, count),
        )
    )
    if len(kinds):
        distance, _, source = dijkstra(
            graph,
            directed=False,
            indices=np.arange(len(others), count),
            min_only=True,
            return_predecessors=True,
            limit=most_links,
        )
        reached = np.flatnonzero(np.isfinite(distance[: len(others)]))
        found[others[reached]] = kinds[source[reached] - len(others)]
        links[others[reached]] = distance[reached]
    return found, links


def link_places(points_lidar: Float64, config: LiftConfig) -> tuple[Float64, Float64]:
    """Return places between which one radius, `link_rad`, makes neighbours, and that in metres.

    Beams are evenly spaced in angle: beyond `link_m / link_rad` the distance of neighbours grows
    with range. Directions, with the logarithm of the range as a fourth coordinate, do that for all
    ranges at once, and have no seam behind the car.
    """
    knee_m = config.link_m / config.link_rad
    range_m = np.linalg.norm(points_lidar, axis=1)
    scale = np.minimum(range_m, knee_m) / knee_m / np.maximum(range_m, 1e-6)
    far = np.maximum(range_m, knee_m)
    directions = points_lidar * scale[:, None] / [1, 1, TALLER]
    return np.column_stack([directions, np.log(far / knee_m)]), far * config.link_rad
