"""Boxes prompt masks; masks become labels that can be trusted, for pixels and for LiDAR points."""

__version__ = "0.2.0"
