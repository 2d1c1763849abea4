"""SemanticKITTI point labels: one uint32 per LiDAR point, in the order of the sweep.

Source: https://github.com/PRBonn/semantic-kitti-api (README, auxiliary/laserscan.py).

- Little endian; the low 16 bits are the class, the high 16 bits the instance. 0 is "unlabelled",
  and an evaluation leaves such points out.
- Class ids are the original ones (10 car, 30 person), not those of `learning_map`.
- Instance ids are unique within one sample here. SemanticKITTI's own stay the same along a
  sequence: these labels train panoptic segmentation, they do not train tracking.
- A file has no header: only the number of points of the sweep tells whether it fits.
"""

from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from perception.core.errors import SampleError
from perception.core.ontology import Target
from perception.core.types import ExportSummary, SampleLabels, Status
from perception.formats import Outputs, Tally, point_ids, read_bytes, relative_name
from perception.io.files import write_bytes

UInt16 = npt.NDArray[np.uint16]
# config/semantic-kitti.yaml: `learning_map`, the classes that the benchmark tells apart, each with
# the ids that it holds; moving things are what they are. All other ids are left out as "unlabeled".
LEARNING = {
    "car": (10, 252),
    "bicycle": (11,),
    "motorcycle": (15,),
    "truck": (18, 258),
    "other-vehicle": (13, 16, 20, 256, 257, 259),  # buses and trains too
    "person": (30, 254),
    "bicyclist": (31, 253),
    "motorcyclist": (32, 255),
    "road": (40, 60),
    "parking": (44,),
    "sidewalk": (48,),
    "other-ground": (49,),
    "building": (50,),
    "fence": (51,),
    "vegetation": (70,),
    "trunk": (71,),
    "terrain": (72,),
    "pole": (80,),
    "traffic-sign": (81,),
}
MAX_ID = 0xFFFF
_BYTES_PER_POINT = 4
_MAX_BYTES = 1 << 30


def write(
    samples: Iterable[SampleLabels],
    out: Path,
    target: Target,
    *,
    statuses: frozenset[Status],
    name_of: Callable[[str], str] = str,
) -> ExportSummary:
    """Write OUT/<name>.label for every sample that has a sweep.

    Args:
        samples: Labels.
        out: The folder.
        target: Class ids to write.
        statuses: Points of instances with these are labelled; the others become 0 and are counted
            as ignored.
        name_of: From a sample's id to the name of its file; the id itself unless told.

    Raises:
        RequestError: `id.overflow` for an id above 65535 (nothing is written for that sample),
            `export.collision`, `path.outside_root`.
    """
    tally, outputs = Tally(), Outputs(out)
    for sample in samples:
        owner = f"sample {sample.id!r}"
        name = relative_name(name_of(sample.id), owner)
        path = outputs.claim(PurePosixPath(f"{name}.label"), owner)
        if len(sample.points) == 0:
            tally.left_out["no_sweep"] += 1
            continue
        ids = point_ids(sample, target, statuses, tally, max_class=MAX_ID, max_instance=MAX_ID)
        write_bytes(path, (ids.classes | (ids.instances << 16)).astype("<u4").tobytes())
        tally.samples += 1
    return tally.summary()


def read(path: Path, expected_points: int) -> tuple[UInt16, UInt16]:
    """Return (P,) class ids and (P,) instance ids.

    Args:
        path: The .label file.
        expected_points: P, from the sweep that the labels belong to.

    Raises:
        SampleError: `io.not_found`; `label.count_mismatch`, naming both counts.
    """
    data = read_bytes(path, _MAX_BYTES)
    count, rest = divmod(len(data), _BYTES_PER_POINT)
    if rest or count != expected_points:
        found = f"{count} labels" + (f" and {rest} bytes" if rest else "")
        raise SampleError(
            "label.count_mismatch",
            f"{path}: {found}, expected {expected_points} labels, one for each point of the sweep",
        )
    values = np.frombuffer(data, "<u4")
    return (values & MAX_ID).astype(np.uint16), (values >> 16).astype(np.uint16)
