"""Masks of true boxes beside true masks, on Cityscapes: `perception bench masks`."""

from pathlib import Path

import cv2
import numpy as np

from perception.benchmarks.harness.scores import Score, score, some
from perception.core import masks
from perception.core.errors import RequestError
from perception.core.progress import Progress
from perception.io.images import decode_image
from perception.models.protocols import Segmenter

# Cityscapes: ids of things with instances (cityscapesscripts, helpers/labels.py).
THING_IDS = range(24, 34)
MIN_OBJECT_PX = 400


def compare(root: Path, segmenter: Segmenter, done: Progress) -> tuple[Score, ...]:
    """Segment the true boxes of Cityscapes' things and compare with their true masks.

    A box is the bounds of its mask. Things are ids 24 to 33 with instance numbers; groups (plain
    ids) and objects under 400 pixels are left out.

    Args:
        root: A folder with *_leftImg8bit.png and *_gtFine_instanceIds.png, at any depth.
        segmenter: What to measure.
        done: Called with images done and in all.
    """
    truths = sorted(root.rglob("*_gtFine_instanceIds.png"))
    if not truths:
        raise RequestError("source.empty", f"{root}: holds no *_gtFine_instanceIds.png")
    images = {path.name: path for path in root.rglob("*_leftImg8bit.png")}
    scores: list[Score] = []
    for number, truth in enumerate(truths, start=1):
        image = images[truth.name.replace("gtFine_instanceIds", "leftImg8bit")]
        instance_ids = np.asarray(cv2.imread(str(truth), cv2.IMREAD_UNCHANGED), np.int64)
        ids, sizes = np.unique(instance_ids, return_counts=True)
        kept = [
            int(i)
            for i, n in zip(ids, sizes, strict=True)
            if i >= 1000 and i // 1000 in THING_IDS and n >= MIN_OBJECT_PX
        ]
        bitmaps = [np.asarray(instance_ids == i) for i in kept]
        boxes = np.array([masks.encode_one(bitmap)[0] for bitmap in bitmaps], np.float32)
        found = segmenter(decode_image(image), boxes.reshape(-1, 4)).masks
        for row, (i, bitmap) in enumerate(zip(kept, bitmaps, strict=True)):
            scores.append(score(image.name, str(i // 1000), bitmap, masks.decode_one(found, row)))
        done(number, len(truths))
    return some(scores, f"{root}: no thing of {MIN_OBJECT_PX} pixels or more")
