"""`make faults`: known bad inputs and faults, one line per row: number, PASS, FAIL or SKIP, why.

The rows are those of the table of bad inputs and faults that the project set out to handle. A test
carries its row in its name: `test_row_13_...`, or `test_rows_24_to_26_...` for several.
Run it with `python tests/faults.py`, and with numbers for some rows only.
"""

import re
import sys
from collections import defaultdict

import pytest

ROWS = {
    1: "zero-byte image",
    2: "JPEG truncated or without EOI",
    3: "text, HTML or LFS pointer named .jpg",
    4: "PNG bomb of 50k x 50k",
    5: "16 bit, grey, CMYK, RGBA, animated, 1 x 1",
    6: "EXIF orientation",
    7: "missing image, or no permission",
    8: "equal stems, names that differ by case",
    9: "names that lead out of the root, odd names",
    10: "image of another size than its calibration",
    11: "no detections",
    12: "500 boxes on 4K",
    13: "GPU out of memory",
    14: "boxes that are none",
    15: "masks that are none",
    16: "the caller's boxes after SAM",
    17: "class neither mapped nor ignored",
    18: "hostile run-lengths",
    19: "hostile polygons",
    20: "instance ids that a format cannot hold",
    21: "point labels that do not fit the sweep",
    22: "malformed sweep, points that are not finite",
    23: "points that the camera does not see",
    24: "wrong calibration",
    25: "quaternion swapped or not of unit length",
    26: "camera and LiDAR apart in time, no ego pose",
    27: "dataset tables that contradict themselves, or are huge",
    28: "YAML with tags, aliases, download",
    29: "XML with entities",
    30: "malicious, wrong or truncated weights",
    31: "weights missing, offline",
    32: "whole run without network and installers",
    33: "kill -9 of worker, actor, raylet, driver at each step",
    34: "SystemExit, segfault, hang",
    35: "disk full, I/O error, read-only output",
    36: "torn or flipped shard",
    37: "resume after a change",
    38: "two runs on one folder, stale lock",
    39: "SIGINT and SIGTERM, once and twice",
    40: "open dashboard, old Ray, compromised ultralytics",
    41: "broken environment",
    42: "run folder from somebody else",
    43: "what killed processes leave in TMPDIR",
}


def rows_of(name: str) -> list[int]:
    """Return the rows that a test stands for."""
    if several := re.match(r"test_rows_(\d+)_to_(\d+)_", name):
        return list(range(int(several[1]), int(several[2]) + 1))
    one = re.match(r"test_row_(\d+)_", name)
    return [int(one[1])] if one else []


class Table:
    """Keeps the tests of some rows and what became of each."""

    def __init__(self, wanted: set[int]) -> None:
        self.wanted = wanted
        self.passed: defaultdict[int, int] = defaultdict(int)
        self.failed: defaultdict[int, list[str]] = defaultdict(list)
        self.skipped: defaultdict[int, list[str]] = defaultdict(list)

    def pytest_collection_modifyitems(self, items: list[pytest.Function]) -> None:
        items[:] = [item for item in items if self.wanted & {*rows_of(item.originalname)}]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.location[2].partition("[")[0].rpartition(".")[2]
        for row in rows_of(name):
            if report.failed:
                self.failed[row].append(f"{report.location[0]}::{report.location[2]}")
            elif report.skipped and isinstance(report.longrepr, tuple):
                self.skipped[row].append(report.longrepr[2].removeprefix("Skipped: "))
            elif report.when == "call":
                self.passed[row] += 1

    def line(self, row: int) -> str:
        """Return a row's number, verdict and reason."""
        if self.failed[row]:
            verdict, reason = "FAIL", "; ".join(self.failed[row])
        elif self.passed[row]:
            also = f", {len(self.skipped[row])} skipped" if self.skipped[row] else ""
            verdict, reason = "PASS", f"{self.passed[row]} tests{also}"
        elif self.skipped[row]:
            verdict, reason = "SKIP", "; ".join(sorted(set(self.skipped[row])))
        else:
            verdict, reason = "FAIL", "no test"
        return f"{row:2} {verdict} {ROWS[row]}: {reason}"


def main(arguments: list[str]) -> int:
    """Run the tests of some rows, or of all, and print the table."""
    table = Table({int(word) for word in arguments} or {*ROWS})
    pytest.main(["-q", "--no-header", "--no-summary", "-p", "no:cacheprovider"], plugins=[table])
    lines = [table.line(row) for row in sorted(table.wanted)]
    print("\n" + "\n".join(lines))  # noqa: T201
    return int(any(" FAIL " in line[:9] for line in lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
