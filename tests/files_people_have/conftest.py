"""A street with known boxes, and `label` in the test's own process: a row costs milliseconds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.commands.label import label as label_source
from perception.commands.request import LabelRequest
from perception.core.ontology import load_ontology
from perception.core.types import Status
from perception.execution.effort import Done, Meter, See
from perception.execution.job import Job, Placement
from perception.execution.worker import Worker

STREET_HW = (120, 160)
TRAIN_XYWH, CAR_XYWH = (20, 30, 90, 40), (130, 80, 12, 20)


@dataclass(frozen=True)
class Answer:
    """What a run said: the labels of each picture, and its words.

    Attributes:
        labels: Picture name to (class name, (x, y, width, height)) of each label that is not
            rejected, sorted.
        counts: As in `run.json`.
        notices: As in `Run`.
        run: The run folder.
    """

    labels: dict[str, list[tuple[str, tuple[int, int, int, int]]]]
    counts: dict[str, dict[str, int]]
    notices: tuple[str, ...]
    run: Path


def _draw_street(path: Path) -> Path:
    image = np.full((*STREET_HW, 3), 40, np.uint8)
    for (x, y, width, height), brightness in ((TRAIN_XYWH, 230), (CAR_XYWH, 210)):
        image[y : y + height, x : x + width] = brightness
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


@pytest.fixture(scope="session")
def draw_street() -> Callable[[Path], Path]:
    """Draw a picture with a bright train and a bright car on a dark ground."""
    return _draw_street


@pytest.fixture(scope="session")
def boxes_xywh() -> dict[str, tuple[int, int, int, int]]:
    """Return what is in the street, pixels."""
    return {"train": TRAIN_XYWH, "car": CAR_XYWH}


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the local engine work in this process."""

    def run(job: Job, indices: Iterable[int], placement: Placement, done: Done, seen: See) -> None:
        meter = Meter()
        worker = Worker(job, meter)
        for index in indices:
            worker.finish(
                index, worker.observe(index, frozenset(), lambda place: None, ahead=False)
            )
            done(index, meter.lap())

    monkeypatch.setattr("perception.execution.local.run", run)


@pytest.fixture
def label_here(in_process: None, tmp_path: Path) -> Callable[..., Answer]:
    """Label a source; the segmenter fills the boxes."""

    def label(source: object, **options: object) -> Answer:
        out = options.pop("out", tmp_path / "out")
        options.setdefault("segmenter", "boxes")
        run = label_source(LabelRequest(str(source), out, **options))  # type: ignore[arg-type]
        names = {entry.id: entry.name for entry in load_ontology().classes}
        found = {}
        for sample in run.labels():
            for picture in sample.pictures:
                rows = picture.instances
                kept = [
                    row for row, status in enumerate(rows.statuses) if status != Status.REJECTED
                ]
                found[picture.file_name] = sorted(
                    (names[int(rows.class_ids[row])], _xywh(rows.boxes_xyxy[row])) for row in kept
                )
        return Answer(found, run.counts, run.notices, run.folder)

    return label


def _xywh(box_xyxy: np.ndarray) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = (round(float(side)) for side in box_xyxy)
    return x0, y0, x1 - x0, y1 - y0
