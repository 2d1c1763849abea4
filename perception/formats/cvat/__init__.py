"""CVAT for images 1.1: one XML file with run-length masks, to edit in CVAT and to read again.

Source: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/ and cvat_sdk.masks.

- `rle` holds row-major run lengths inside the box `left top width height`, the first run zeros.
- A box and an ellipse may have `rotation`, degrees clockwise about the centre.
- Our id, score and status are attributes. CVAT drops attributes that its task does not know, so
  OUT/labels.json goes into the task's label editor ("Raw") first: then ids survive editing.
- What is for review is in the file, too, with `status` review; labels have `status` accepted. A
  person accepts by choosing that, rejects by deleting; what is left as it is stays for review.
- `name` is the path of the picture in the task; pictures are matched by it.
- XML 1.0 cannot hold control characters: a name with one is refused.
- Read with defusedxml: a file from outside may not declare anything of its own.
"""

from perception.formats.cvat.reading import read, read_edited
from perception.formats.cvat.writing import ATTRIBUTES, LABELS, XML, write

__all__ = ["ATTRIBUTES", "LABELS", "XML", "read", "read_edited", "write"]
