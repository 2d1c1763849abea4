"""One shard at a time, with models that fail in every way but dying."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.commands.label import label as label_source
from perception.commands.relabel import relabel
from perception.commands.request import LabelRequest, check, resolve
from perception.commands.results import read_labels
from perception.core.errors import SampleError
from perception.core.types import Detections, Picture, SampleRef
from perception.execution import worker
from perception.execution.effort import Meter
from perception.execution.worker import observe_one, write_preview
from perception.labeling.pipeline import Models
from perception.models import fakes
from perception.models.protocols import Detector
from perception.readers import sources
from perception.runs import folder
from perception.runs.folder_store import FolderStore

NAMES = {6: "car"}


def models(detector: Detector | None = None) -> Models:
    return Models(detector or fakes.BrightDetector(), fakes.BoxFiller())


def planned(root: Path) -> tuple[SampleRef, ...]:
    return sources.find(sources.parse_source(f"images:{root}"))


class Failing:
    class_names = ("car",)

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, picture: Picture) -> Detections:
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ZeroDivisionError("by zero"), "internal.error", "ZeroDivisionError: by zero"),
        (MemoryError("of the GPU"), "gpu.oom", "of the GPU"),
        (SampleError("boxes.missing", "no boxes"), "boxes.missing", "no boxes"),
    ],
)
def test_what_a_model_raises_becomes_the_samples_status(
    tmp_path: Path, draw: Callable[..., Path], error: Exception, code: str, message: str
) -> None:
    draw(tmp_path / "a.png")
    outcome, seen = observe_one(planned(tmp_path)[0], models(Failing(error)), False)
    assert (outcome.status, outcome.stage, outcome.code) == ("quarantined", "observe", code)
    assert message in outcome.message and seen == ()


def label(source: Path, out: Path, **options: Any) -> None:
    label_source(LabelRequest(f"images:{source}", out, "boxes", "bright", **options))


def test_a_sample_that_cannot_be_loaded_never_reaches_the_models(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    failing = models(Failing(AssertionError("the detector was asked")))
    outcome, _ = observe_one(planned(tmp_path)[0], failing, False)
    assert (outcome.stage, outcome.code) == ("load", "image.empty")


def test_a_poisoned_sample_is_not_even_opened(tmp_path: Path) -> None:
    ref = SampleRef("gone", "images", str(tmp_path), ())
    outcome, seen = observe_one(ref, models(), True)
    assert (outcome.status, outcome.code, seen) == ("quarantined", "process.crash", ())


def test_row_11_a_picture_without_objects_is_empty_and_not_ok(
    tmp_path: Path, draw: Callable[..., Path]
) -> None:
    draw(tmp_path / "a.png")
    draw(tmp_path / "b.png", (4, 4, 20, 20, 255))
    assert [observe_one(ref, models(), False)[0].status for ref in planned(tmp_path)] == [
        "empty",
        "ok",
    ]


def test_row_16_a_segmenter_cannot_write_into_its_prompt_boxes(
    tmp_path: Path, draw: Callable[..., Path]
) -> None:
    draw(tmp_path / "a.png", (4, 4, 20, 20, 255))

    class Scaling(fakes.BoxFiller):
        def __call__(self, image_rgb: np.ndarray, boxes_xyxy: np.ndarray) -> fakes.Segments:
            boxes_xyxy *= 0.5
            return super().__call__(image_rgb, boxes_xyxy)

    outcome, _ = observe_one(planned(tmp_path)[0], Models(fakes.BrightDetector(), Scaling()), False)
    assert outcome.code == "internal.error" and "read-only" in outcome.message


@pytest.mark.slow
def test_previews_are_named_by_sample_and_kept_apart(
    tmp_path: Path, draw: Callable[..., Path]
) -> None:
    for name in ("a.png", "a.jpg", "left/a.jpg", "right/a.jpg"):
        draw(tmp_path / "src" / name, (4, 4, 20, 20, 255))
    label(tmp_path / "src", tmp_path / "run")
    preview = tmp_path / "run" / "preview"
    assert sorted(str(path.relative_to(preview)) for path in preview.rglob("*.jpg")) == [
        "a.jpg",
        "a.png.jpg",
        "left/a.jpg",
        "right/a.jpg",
    ]


@pytest.mark.slow
def test_only_the_first_samples_have_a_preview(
    tmp_path: Path, pictures: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pictures(tmp_path / "src", 5)
    label(source, tmp_path / "run", overrides={"shard_size": 2})
    for path in (tmp_path / "run" / "preview").iterdir():
        path.unlink()
    monkeypatch.setattr(worker, "PREVIEW_SAMPLES", 3)
    relabel(tmp_path / "run", overrides={"decide": {"judge": {"min_score": 0.9}}})
    assert sorted(path.name for path in (tmp_path / "run" / "preview").iterdir()) == [
        "000.jpg",
        "001.jpg",
        "002.jpg",
    ]


def test_samples_that_fit_are_kept_for_their_previews_and_not_read_again(
    tmp_path: Path, draw: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(4):
        draw(tmp_path / "src" / f"{i}.png", (4, 4, 20, 20, 255))  # 48 x 64
    request = LabelRequest(f"images:{tmp_path / 'src'}", tmp_path / "run", "boxes", "four-cars")
    resolved = resolve(check(request), FolderStore(tmp_path / "run"))
    job = resolved.job
    folder.begin(tmp_path / "run", job.spec, resolved.plan)
    monkeypatch.setattr(worker, "KEPT_BYTES", 2 * 48 * 64 * 3)
    monkeypatch.setattr(worker, "PREVIEW_SAMPLES", 3)
    working = worker.Worker(job, Meter())
    seen = working.observe(0, frozenset(), lambda place: None, ahead=False)
    assert seen is not None and sorted(seen.pictures) == ["0.png", "1.png"]
    for kept in seen.pictures:
        (tmp_path / "src" / kept).unlink()
    working.finish(0, seen)
    drawn = sorted(path.name for path in (tmp_path / "run" / "preview").iterdir())
    assert drawn == ["0.jpg", "1.jpg", "2.jpg"]


@pytest.mark.parametrize("lanes", [0, 2])
def test_the_models_see_no_more_samples_at_once_than_there_are_lanes(
    tmp_path: Path, pictures: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, lanes: int
) -> None:
    request = LabelRequest(
        f"images:{pictures(tmp_path / 'src', 9)}", tmp_path / "run", "boxes", "four-cars"
    )
    resolved = resolve(check(request), FolderStore(tmp_path / "run"))
    job = resolved.job
    observe = job.spec.config.observe.model_copy(update={"lanes": lanes})
    config = job.spec.config.model_copy(update={"observe": observe})
    job = job.model_copy(update={"spec": job.spec.model_copy(update={"config": config})})
    folder.begin(tmp_path / "run", job.spec, resolved.plan)
    inside, most, begun, go = list[int](), list[int](), list[int](), threading.Event()
    plain = fakes.FourCars.__call__

    def detect(self: fakes.FourCars, picture: Picture) -> Detections:
        inside.append(0)
        most.append(len(inside))
        time.sleep(0.02)
        assert picture.file_name != "008.png" or go.wait(60)
        inside.pop()
        return plain(self, picture)

    monkeypatch.setattr(fakes.FourCars, "__call__", detect)
    working = worker.Worker(job, Meter())
    seen = working.observe(0, frozenset(), begun.append, ahead=True)
    assert seen is not None
    assert not seen.answers[-1].done(), "it waited for the last sample"
    assert all(answer.done() for answer in seen.answers[: -max(lanes, 1)])
    go.set()
    assert [answer.result()[0].sample_id for answer in seen.answers] == [
        f"{i:03d}.png" for i in range(9)
    ]
    assert max(most) == max(lanes, 1) and begun == list(range(9))


@pytest.mark.slow
def test_a_picture_that_changed_its_size_since_has_no_preview(
    tmp_path: Path, draw: Callable[..., Path]
) -> None:
    image = draw(tmp_path / "src" / "a.png", (30, 20, 60, 46, 255))
    label(tmp_path / "src", tmp_path / "run")
    (labels,) = read_labels(tmp_path / "run")
    (ref,) = folder.read_plan(tmp_path / "run", folder.read_spec(tmp_path / "run")).samples
    for size_hw in ((20, 32), (96, 128)):
        draw(image, size_hw=size_hw)
        write_preview(tmp_path / "again", ref, labels, NAMES, "again")
        assert not (tmp_path / "again").exists()
    image.unlink()
    write_preview(tmp_path / "again", ref, labels, NAMES, "again")
    write_preview(tmp_path / "again", replace(ref, root="/nowhere"), labels, NAMES, "again")
    assert not (tmp_path / "again").exists()
