"""Open3D's RaycastingScene as a Caster.

Source: https://www.open3d.org/docs/release/tutorial/geometry/ray_casting.html. Rays meet triangles
from either side. `primitive_ids` is 4294967295 where nothing is hit, `t_hit` inf.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from perception.core.errors import RequestError
from perception.core.types import Bool, Float32, Int32
from perception.synthetic.rays import Caster, Surface

SYSTEM_PACKAGES = "libusb-1.0-0 libgl1 libegl1 libx11-6 libidn2-0"


class Open3dSurface:
    """Triangles in an Embree scene."""

    def __init__(self, open3d: Any, vertices_m: Float32, triangles: Int32, threads: int) -> None:
        """Build the scene; `threads` 0 uses all cores."""
        self._open3d = open3d
        self._empty = len(triangles) == 0
        self._scene = open3d.t.geometry.RaycastingScene(nthreads=threads)
        if not self._empty:
            self._scene.add_triangles(
                open3d.core.Tensor(np.ascontiguousarray(vertices_m, np.float32)),
                open3d.core.Tensor(np.ascontiguousarray(triangles, np.uint32)),
            )

    def cast(self, rays: Float32) -> tuple[Float32, Int32]:
        """Return distance and triangle of the nearest hit of (N, 6) rays."""
        if self._empty or len(rays) == 0:
            nothing = np.full(len(rays), np.inf, np.float32)
            return nothing, np.full(len(rays), -1, np.int32)
        hits = self._scene.cast_rays(self._tensor(rays))
        distance = hits["t_hit"].numpy()
        return distance, hits["primitive_ids"].numpy().view(np.int32)  # 4294967295 is -1

    def blocked(self, rays: Float32) -> Bool:
        """Return which of (N, 6) rays meet anything."""
        if self._empty or len(rays) == 0:
            return np.zeros(len(rays), bool)
        return np.asarray(self._scene.test_occlusions(self._tensor(rays)).numpy(), bool)

    def _tensor(self, rays: Float32) -> Any:
        return self._open3d.core.Tensor.from_numpy(np.ascontiguousarray(rays, np.float32))


class Open3dCaster:
    """Builds Embree scenes."""

    def __init__(self, open3d: Any, threads: int) -> None:
        self._open3d = open3d
        self._threads = threads

    def __reduce__(self) -> tuple[Callable[[int], Caster], tuple[int]]:
        """Cross a process border: the other side loads the library itself."""
        return load_caster, (self._threads,)

    def __call__(self, vertices_m: Float32, triangles: Int32) -> Surface:
        """Return a surface of (V, 3) vertices and (T, 3) triangles."""
        return Open3dSurface(self._open3d, vertices_m, triangles, self._threads)


def load_caster(threads: int = 0) -> Caster:
    """Load Open3D.

    Args:
        threads: Of each cast; 0 uses all cores. Results do not depend on it.

    Raises:
        RequestError: `extra.missing` if Open3D, or a system library that it needs, is not there.
    """
    try:
        import open3d
    except (ImportError, OSError) as error:
        raise RequestError(
            "extra.missing",
            "the synthetic drive needs pip install 'driving-perception[open3d]' and, on a bare "
            f"Debian, apt-get install {SYSTEM_PACKAGES} ({error})",
        ) from error
    return Open3dCaster(open3d, threads)
