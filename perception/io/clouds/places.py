"""Whether points can be what a LiDAR on a vehicle sees: metres, z up, the sensor in the middle."""

from pathlib import Path

import numpy as np

from perception.core.errors import SampleError
from perception.core.types import Float32

_LOOKED_AT = 5_000  # points
_LEAST_POINTS = 100  # fewer tell nothing
# Half of all returns are nearer than 6 to 22 m in the ten data sets looked at, 95 % nearer than 90.
FAR_M, TOO_FAR_M = 100.0, 300.0  # half of the points beyond: odd, impossible
NEAR_M, TOO_NEAR_M = 2.0, 0.5  # 95 % of the points within: odd, impossible
HIGH_M, TOO_HIGH_M = 50.0, 150.0  # 5 % of the points above or below: odd, impossible
# Streets are flat: z spreads over 2 to 11 m there. A camera's axes have z ahead and y down.
DEEP_M, DEEP_FACTOR = 20.0, 3.0


def check_places(points_lidar: Float32, path: Path) -> tuple[str, ...]:
    """Refuse what cannot be, and say what is odd.

    Args:
        points_lidar: (P, 3); NaN for what is no point.
        path: The file.

    Raises:
        SampleError: `cloud.malformed` for units and axes that cannot be.
    """
    taken = points_lidar[:: max(1, len(points_lidar) // _LOOKED_AT)]
    taken = taken[np.isfinite(taken).all(axis=1)].astype(np.float64)
    if len(taken) < _LEAST_POINTS:
        return ()
    ranges_m = np.sqrt(np.square(taken).sum(axis=1))
    half_m, most_m = np.quantile(ranges_m, [0.5, 0.95])
    high_m = float(np.quantile(np.abs(taken[:, 2]), 0.95))
    low, high = np.quantile(taken, [0.05, 0.95], axis=0)
    spread_m = high - low
    far = f"half of its points are farther than {half_m:.4g} m"
    near = f"its points lie within {most_m:.2g} m"
    tall = f"z reaches {high_m:.4g} m"
    for impossible, found, cause in (
        (half_m > TOO_FAR_M, far, "is it in millimetres or centimetres, or in a map's frame?"),
        (most_m < TOO_NEAR_M, near, "is it in kilometres, or scaled to 1?"),
        (high_m > TOO_HIGH_M, tall, "are its axes swapped, or its units others?"),
    ):
        if impossible:
            raise SampleError(
                "cloud.malformed",
                f"{path}: {found}, expected metres around the sensor, z up: {cause} Write it anew",
            )
    remarks = []
    if half_m > FAR_M:
        remarks.append(f"{path}: {far}; expected metres around the sensor")
    if most_m < NEAR_M:
        remarks.append(f"{path}: {near}; expected metres")
    if high_m > HIGH_M or (spread_m[2] > DEEP_M and spread_m[2] > DEEP_FACTOR * spread_m[:2].min()):
        remarks.append(
            f"{path}: x, y and z spread over {spread_m[0]:.3g}, {spread_m[1]:.3g} and "
            f"{spread_m[2]:.3g} m; expected z up, which a camera's axes have not: no ground will "
            "be found"
        )
    return tuple(remarks)
