"""`perception bench`: a function for each verb; `app` shows and keeps what they find."""

from perception.cli.bench import quality, speed
from perception.cli.bench.app import bench_app

__all__ = ["bench_app", "quality", "speed"]
