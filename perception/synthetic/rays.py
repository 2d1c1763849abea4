"""The port to ray casting: what an integration (perception_open3d) fills."""

from typing import Protocol

from perception.core.types import Bool, Float32, Int32


class Surface(Protocol):
    """Triangles that rays can meet, from either side."""

    def cast(self, rays: Float32) -> tuple[Float32, Int32]:
        """Return the nearest hit of each ray.

        Args:
            rays: (N, 6) origin and direction; the direction need not have length one.

        Returns:
            (N,) distances in lengths of the direction, inf for none; (N,) triangle, -1 for none.
        """
        ...

    def blocked(self, rays: Float32) -> Bool:
        """Return (N,) booleans: which of the (N, 6) rays meet anything at all."""
        ...


class Caster(Protocol):
    """Prepares triangles for casting."""

    def __call__(self, vertices_m: Float32, triangles: Int32) -> Surface:
        """Return a surface of (V, 3) vertices and (T, 3) rows of vertices; T may be 0."""
        ...
