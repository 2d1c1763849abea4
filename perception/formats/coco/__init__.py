"""COCO instances and results JSON. All knowledge of COCO's files lives here.

Source: https://cocodataset.org/#format-data and #format-results; pycocotools/coco.py.

- `bbox` is xywh and encloses the mask; `area` is the area of the mask, not of the box.
- `iscrowd` says "leave this region out of the evaluation", not "this mask has holes": it is 1 for
  instances that are no labels, 0 for all others, whatever their shape.
- Annotation ids start at 1: COCOeval stores matches by id and takes 0 for "no match".
- Results carry no `bbox`: `loadRes` would take the area of the box for the area of the mask, and
  objects would change their size class (mmdetection #4898). `loadRes` fails on an empty list.
- Further keys are allowed; readers of COCO skip what they do not know.
- Hostile polygons (NaN, 1e9) and run-lengths crash pycocotools, and the process; `read` checks
  first.
"""

from perception.formats.coco.reading import (
    CocoAnnotations,
    CocoPicture,
    read,
    read_results,
    read_written,
)
from perception.formats.coco.writing import write, write_results

__all__ = [
    "CocoAnnotations",
    "CocoPicture",
    "read",
    "read_results",
    "read_written",
    "write",
    "write_results",
]
