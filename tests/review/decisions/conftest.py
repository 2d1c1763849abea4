"""A run of two pictures whose labels have holes and parts, made in the tests' own process."""

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.commands.label import label
from perception.commands.request import LabelRequest
from perception.core.types import Segments
from perception.execution.effort import Done, Meter, See
from perception.execution.job import Job, Placement
from perception.execution.worker import Worker
from perception.models.fakes import BoxFiller, segments_of

SIZE_HW = (120, 160)
BOXES_XYWH = [  # rows of a street, and the class and score of each
    (4, 6, 34, 26, "car", 0.9),
    (46, 4, 30, 30, "person", 0.9),
    (84, 8, 30, 22, "car", 0.8),
    (122, 6, 30, 30, "bus", 0.9),
    (6, 60, 40, 40, "bus", 0.7),
    (60, 64, 26, 34, "person", 0.1),  # rejected
    (104, 62, 40, 36, "car", 0.6),
]
REVIEW = {2, 4}  # rows that the segmenter is not sure of


def blob(box_xywh: tuple[int, ...], row: int) -> np.ndarray:
    """Draw an ellipse, every third with a hole, every fourth cut in two."""
    x, y, width, height = box_xywh[:4]
    canvas = np.zeros(SIZE_HW, np.uint8)
    centre = (x + width // 2, y + height // 2)
    cv2.ellipse(canvas, centre, (width // 2 - 1, height // 2 - 1), 0, 0, 360, 1, cv2.FILLED)
    if row % 3 == 0:
        cv2.circle(canvas, centre, 4, 0, cv2.FILLED)
    if row % 4 == 1:
        canvas[:, centre[0] - 2 : centre[0] + 2] = 0
    return canvas.astype(bool)


def _segment(self: BoxFiller, image_rgb: np.ndarray, boxes_xyxy: np.ndarray) -> Segments:
    bitmaps = [
        blob((int(x0), int(y0), int(x1 - x0), int(y1 - y0)), row)
        for row, (x0, y0, x1, y1) in enumerate(boxes_xyxy)
    ]
    found = segments_of(bitmaps, SIZE_HW)
    sure = np.array([0.5 if row in REVIEW else 1.0 for row in range(len(bitmaps))], np.float32)
    object.__setattr__(found, "predicted_ious", sure)
    return found


def _work_here(
    job: Job, indices: Iterable[int], placement: Placement, done: Done, seen: See
) -> None:
    meter = Meter()
    worker = Worker(job, meter)
    for index in indices:
        worker.finish(index, worker.observe(index, frozenset(), lambda place: None, ahead=False))
        done(index, meter.lap())


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label cam0/a.png and cam0/b.png: accepted, review and rejected labels."""
    folder = tmp_path_factory.mktemp("labelled")
    names = sorted({row[4] for row in BOXES_XYWH})
    boxes = {
        "images": [
            {"id": number, "file_name": f"cam0/{name}.png", "width": 160, "height": 120}
            for number, name in enumerate("ab", 1)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, 1)],
        "annotations": [
            {
                "id": 100 * image + row,
                "image_id": image,
                "category_id": 1 + names.index(box[4]),
                "bbox": list(box[:4]),
                "score": box[5],
                "iscrowd": 0,
            }
            for image in (1, 2)
            for row, box in enumerate(BOXES_XYWH)
        ],
    }
    (folder / "boxes.json").write_text(json.dumps(boxes))
    for name in "ab":
        path = folder / "pictures" / "cam0" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.full((*SIZE_HW, 3), ord(name), np.uint8))
    request = LabelRequest(
        str(folder / "pictures"), folder / "run", "boxes", boxes=str(folder / "boxes.json")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("perception.execution.local.run", _work_here)
        patch.setattr("perception.models.fakes.BoxFiller.__call__", _segment)
        return label(request).folder


@pytest.fixture
def fresh(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Return a copy of the run each time it is called."""
    home = tmp_path_factory.mktemp("copies")
    made: list[Path] = []

    def copy() -> Path:
        for old in made:
            shutil.rmtree(old, ignore_errors=True)
        made.clear()
        made.append(home / "run")
        return Path(shutil.copytree(labelled, made[0], ignore=shutil.ignore_patterns("preview")))

    return copy
