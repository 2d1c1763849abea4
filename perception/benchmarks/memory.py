"""The peak memory of many boxes on a large image: `perception bench memory`."""

from perception.benchmarks.harness.measurement import Measurement
from perception.benchmarks.harness.segmenting import rows_of_memory, segment_memory


def measure(segmenter: str, boxes: int, width: int, height: int) -> Measurement:
    """Segment random boxes on one image, in a process of its own.

    Args:
        segmenter: As `--segmenter` takes it.
        boxes: Number of boxes.
        width: Of the image.
        height: Of the image.

    Raises:
        RequestError: `bench.failed`.
    """
    found = segment_memory(segmenter, boxes, width, height)
    lines = [f"{name} {value:g}" for name, value in found.items()]
    return Measurement(rows_of_memory(found), lines, found)
