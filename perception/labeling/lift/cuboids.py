"""3D boxes of objects whose points are known.

The heading is that at which the points lie closest to two sides of a rectangle (closeness; Zhang
et al., "Efficient L-Shape Fitting for Vehicle Detection Using Laser Scanners", 2017). A LiDAR sees
the near sides alone: a side that is shorter than usual for the class is made as long as usual, away
from the sensor. Points of a person say little of a heading, and their middle is nearer to that of
the person than sides made longer are: a square of the usual area round it. Boxes stand on the
ground where that is known.
"""

import numpy as np

from perception.core.types import Cuboids, Float32, Float64, Int32

MIN_POINTS = 5
MOST_POINTS = 200  # of an object, evenly taken: more barely change a box
STEP_RAD = np.deg2rad(2)
CLOSE_M = 0.1  # what is nearer to a side is on it: the noise of a LiDAR
OUTSIDE = 0.01  # share of the points beyond each side
WHOLE_SHARE = 0.8  # of the usual length: a side this long is seen whole
ACROSS = 1.25  # times the usual width: a side that is no longer is a front or a back
ROUND = 1.5  # times the usual width: a class that is no longer, people, has a square
FEW = 20.0  # points that halve the confidence

_ANGLES_RAD = np.arange(0, np.pi / 2, STEP_RAD)


def fit(
    points_lidar: Float32, heights_m: Float64, ids: Int32, usual_m: dict[int, Float64]
) -> Cuboids:
    """Fit a box to each object of five points or more.

    Args:
        points_lidar: (M, 3) metres.
        heights_m: (M,) above the ground, NaN where that is not known.
        ids: (M,) the object of each point; 0 for none.
        usual_m: Object to the (3,) usual length, width and height of its class; objects that are
            missing, or have NaN there, get no box.
    """
    order = np.argsort(ids, kind="stable")
    starts = np.flatnonzero(np.diff(ids[order], prepend=-1))
    found: list[tuple[int, Float64]] = []
    for rows in np.split(order, starts[1:]) if len(order) else []:
        number = int(ids[rows[0]])
        size = usual_m.get(number)
        if len(rows) >= MIN_POINTS and size is not None and np.isfinite(size).all():
            taken = rows[:: -(-len(rows) // MOST_POINTS)]
            points = points_lidar[taken].astype(np.float64)
            found.append((number, _fit_one(points, heights_m[taken], size, len(rows))))
    values = np.array([value for _, value in found], np.float64).reshape(-1, 8)
    return Cuboids(
        instance_ids=np.array([number for number, _ in found], np.int32),
        centres_m=values[:, :3].astype(np.float32),
        sizes_lwh_m=values[:, 3:6].astype(np.float32),
        yaws_rad=values[:, 6].astype(np.float32),
        confidences=values[:, 7].astype(np.float32),
    )


def _fit_one(points: Float64, heights_m: Float64, usual_m: Float64, count: int) -> Float64:
    """Return centre, length, width, height, yaw and confidence."""
    yaw = _heading(points[:, :2])
    first, second = _extent(points, yaw)
    if _is_length(second[1] - second[0], first[1] - first[0], usual_m):
        yaw += np.pi / 2
    yaw = (yaw + np.pi / 2) % np.pi - np.pi / 2  # front and back look alike
    first, second = _extent(points, yaw)
    sides, seen = [], []
    for (low, high), usual in zip((first, second), usual_m[:2], strict=True):
        measured = high - low
        seen.append(min(measured / usual, 1.0))
        if measured < WHOLE_SHARE * usual:
            low, high = _completed(low, high, usual)
        sides.append((low, high))
    if usual_m[0] <= ROUND * usual_m[1]:
        sides = _square(points, yaw, float(np.sqrt(usual_m[0] * usual_m[1])))
    bottom, top = _upright(points, heights_m, float(usual_m[2]))
    seen.append(min(float(np.ptp(points[:, 2])) / (top - bottom), 1.0))
    along, across = (sum(side) / 2 for side in sides)
    cosine, sine = np.cos(yaw), np.sin(yaw)
    confidence = float(np.prod(seen) ** (1 / 3)) * count / (count + FEW)
    return np.array(
        [
            *(cosine * along - sine * across, sine * along + cosine * across, (bottom + top) / 2),
            *(sides[0][1] - sides[0][0], sides[1][1] - sides[1][0], top - bottom),
            *(yaw, confidence),
        ]
    )


def _heading(level: Float64) -> float:
    """Return the angle, in [0, pi / 2), at which points lie closest to two sides."""
    directions = np.stack([np.cos(_ANGLES_RAD), np.sin(_ANGLES_RAD)], axis=1)
    along = level @ directions.T
    across = level @ np.stack([-directions[:, 1], directions[:, 0]])
    to_side = [
        np.minimum(place - place.min(axis=0), place.max(axis=0) - place)
        for place in (along, across)
    ]
    closeness = 1 / np.maximum(np.minimum(*to_side), CLOSE_M)
    return float(_ANGLES_RAD[closeness.sum(axis=0).argmax()])


def _extent(points: Float64, yaw: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return where the points begin and end along a heading, and to its left."""
    places = _places(points, yaw)
    places.sort(axis=0)  # np.percentile takes ten times as long on so few
    low, high = places[_end(len(points))], places[-1 - _end(len(points))]
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))


def _places(points: Float64, yaw: float) -> Float64:
    """Return (M, 2): how far along a heading the points lie, and to its left."""
    cosine, sine = np.cos(yaw), np.sin(yaw)
    x, y = points[:, 0], points[:, 1]
    return np.stack([cosine * x + sine * y, cosine * y - sine * x], axis=1)


def _square(points: Float64, yaw: float, side_m: float) -> list[tuple[float, float]]:
    """Return where a square round the middle of the points begins and ends, as `_extent`."""
    middle = np.median(_places(points, yaw), axis=0)
    return [(float(place) - side_m / 2, float(place) + side_m / 2) for place in middle]


def _end(count: int) -> int:
    """Return how many points beyond each side are not the object's."""
    return int(OUTSIDE * count)


def _is_length(other: float, one: float, usual_m: Float64) -> bool:
    """Tell whether `other` is the length of the object, rather than `one`.

    The longer side is the length, unless it is as short as a front and the only one that is seen.
    """
    longer_is_other = other > one
    is_front = max(one, other) <= ACROSS * usual_m[1] and usual_m[0] > ACROSS * usual_m[1]
    return longer_is_other != bool(is_front)


def _completed(low: float, high: float, usual: float) -> tuple[float, float]:
    """Make a side as long as usual: away from the sensor; both ways if it faces the side."""
    if low > 0:
        return low, low + usual
    if high < 0:
        return high - usual, high
    middle = (low + high) / 2
    return middle - usual / 2, middle + usual / 2


def _upright(points: Float64, heights_m: Float64, usual_m: float) -> tuple[float, float]:
    """Return bottom and top: the ground under the object, or its lowest point, and its highest."""
    ground = points[:, 2] - heights_m
    known = ground[np.isfinite(ground)]
    bottom = float(np.median(known)) if len(known) else float(points[:, 2].min())
    top = float(np.sort(points[:, 2])[-1 - _end(len(points))])
    return bottom, top if top - bottom >= WHOLE_SHARE * usual_m else bottom + usual_m
