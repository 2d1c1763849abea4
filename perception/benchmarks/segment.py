"""How time and memory grow with the boxes on one image: `perception bench segment`."""

from collections.abc import Sequence

from perception.benchmarks.harness.measurement import Measurement
from perception.benchmarks.harness.segmenting import rows_of_memory, segment_memory
from perception.core.errors import RequestError


def measure(segmenter: str, boxes: Sequence[int], size: str) -> Measurement:
    """Segment random boxes on one image, each number of them in a process of its own.

    Args:
        segmenter: As `--segmenter` takes it.
        boxes: Numbers of boxes.
        size: WIDTHxHEIGHT of the image.

    Raises:
        RequestError: `bench.invalid`, `bench.failed`.
    """
    width, _, height = size.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise RequestError("bench.invalid", f"--size {size}: expected WIDTHxHEIGHT: 3840x2160")
    found = {count: segment_memory(segmenter, count, int(width), int(height)) for count in boxes}
    return Measurement(
        rows=[row for count, one in found.items() for row in rows_of_memory(one, f"{count} boxes")],
        lines=[
            f"{count} boxes: {one['seconds']:.2f} s, peak {one['peak_gb']:.2f} GB"
            for count, one in found.items()
        ],
        value={"size": size, "rows": [{"boxes": count, **one} for count, one in found.items()]},
    )
