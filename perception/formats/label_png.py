"""Label images: class ids and instance ids as PNG, by the rule of Cityscapes.

Source: https://github.com/mcordts/cityscapesScripts (helpers/labels.py, json2instanceImg.py).

- class/*.png is 8 bit: the class id, 0 where nothing is labelled; regular ids, not trainIds.
- instance/*.png is 16 bit: class id * 1000 + n, n counting from 0 for each class of the picture;
  0 where nothing is labelled. A thousand instances of a class is the end: the next number belongs
  to the next class.
- Every label is an instance here. Cityscapes has classes without instances (traffic lights and
  signs), whose pixels hold the plain class id in its own instance files.
- What is no label is void: class/*.png has 255 there, which trainers leave out (trainId 255), so
  that nobody learns from silence; instance/*.png has 0, the void of its own ids.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from perception.core import masks as rle
from perception.core.errors import RequestError, SampleError
from perception.core.ontology import Target
from perception.core.types import ExportSummary, PictureLabels, SampleLabels, Status, UInt8
from perception.formats import LABEL, PLAIN, Outputs, Stems, Tally, fates, read_bytes
from perception.io.files import write_bytes
from perception.io.png import MAX_BYTES, decode_png, encode_png

UInt16 = npt.NDArray[np.uint16]
PER_CLASS = 1000
VOID = 255  # in class/*.png


def write(
    samples: Iterable[SampleLabels],
    out: Path,
    target: Target,
    *,
    statuses: frozenset[Status],
    stems: Stems = PLAIN,
) -> ExportSummary:
    """Write OUT/class/<file name>.png and OUT/instance/<file name>.png for every picture.

    Args:
        samples: Labels.
        out: The folder.
        target: Class ids to write.
        statuses: Instances with these are labels; the others are left out.
        stems: Names of all pictures.

    Raises:
        RequestError: `id.overflow` for ids that the pixels cannot hold (nothing is written for that
            picture), `export.collision`, `path.outside_root`.
    """
    tally, outputs = Tally(), Outputs(out)
    for sample in samples:
        tally.samples += 1
        for picture in sample.pictures:
            owner = f"sample {sample.id!r}, {picture.file_name!r}"
            names = _names(stems(picture.file_name, owner))
            class_path, instance_path = (outputs.claim(name, owner) for name in names)
            classes, instances = _paint(picture, target, statuses, tally)
            write_bytes(class_path, encode_png(classes))
            write_bytes(instance_path, encode_png(instances))
    return tally.summary()


def _names(stem: PurePosixPath) -> tuple[PurePosixPath, PurePosixPath]:
    name = stem.with_name(f"{stem.name}.png")
    return PurePosixPath("class") / name, PurePosixPath("instance") / name


def _paint(
    picture: PictureLabels, target: Target, statuses: frozenset[Status], tally: Tally
) -> tuple[UInt8, UInt16]:
    classes = np.zeros(picture.size_hw, np.uint8)
    instances = np.zeros(picture.size_hw, np.uint16)
    counts: Counter[int] = Counter()
    masks = picture.instances.masks
    for row, fate in fates(picture.instances, target, statuses):
        if fate in {"mask.empty", "class.ignored"}:
            tally.left_out[fate] += 1
            continue
        x0, y0, x1, y1 = masks.boxes_xyxy[row]
        crop = rle.decode_crop(masks, row)
        if fate != LABEL:
            tally.ignored += 1
            classes[y0:y1, x0:x1][crop] = VOID
            continue
        class_id = target.ids[int(picture.instances.class_ids[row])]
        value = class_id * PER_CLASS + counts[class_id]
        if class_id < 1 or counts[class_id] >= PER_CLASS or value > np.iinfo(np.uint16).max:
            raise RequestError(
                "id.overflow",
                f"{picture.file_name}: instance {counts[class_id] + 1} of class id {class_id} "
                f"would be pixel value {value}, expected class ids from 1, at most {PER_CLASS} "
                "instances of a class and values up to 65535; nothing was written for this picture",
            )
        counts[class_id] += 1
        classes[y0:y1, x0:x1][crop] = class_id
        instances[y0:y1, x0:x1][crop] = value
    tally.labels += counts.total()
    return classes, instances


def read(out: Path, file_name: str, stems: Stems = PLAIN) -> tuple[UInt8, UInt16]:
    """Return (H, W) class ids and (H, W) instance values of one picture.

    Args:
        out: The folder that `write` filled.
        file_name: As in `PictureLabels`.
        stems: As they were written.

    Raises:
        SampleError: `io.not_found`; `label.invalid` if a file is no grey PNG of the depth expected;
            `size.mismatch` if the two differ in size.
        RequestError: `path.outside_root`.
    """
    class_path, instance_path = (out / name for name in _names(stems(file_name, str(out))))
    classes = decode_png(read_bytes(class_path, MAX_BYTES), class_path).astype(np.uint8)
    instances = decode_png(read_bytes(instance_path, MAX_BYTES), instance_path, depth=16).astype(
        np.uint16
    )
    if classes.shape != instances.shape:
        raise SampleError(
            "size.mismatch",
            f"{class_path} is {classes.shape}, {instance_path} is {instances.shape}, "
            "expected one size",
        )
    return classes, instances
