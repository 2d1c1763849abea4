"""What a person decided of a label, no rule and no model takes back."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from perception.core import masks as masks_
from perception.core.config import DecideConfig
from perception.core.ontology import load_class_map, load_ontology
from perception.core.types import (
    Camera,
    Detections,
    Instances,
    Picture,
    Sample,
    SampleLabels,
    Scene,
    Status,
)
from perception.labeling import pipeline
from perception.labeling.lift import Lifted
from perception.labeling.pipeline import Models, Rules, label_sample
from perception.labeling.quality.correct import Correction, Decision, correction
from perception.labeling.trust.model import Curve, Fitted, Term, TrustModel
from perception.models.fakes import BoxFiller

SIZE_HW = (80, 100)
ROAD = load_ontology()
Row = tuple[str, tuple[int, int, int, int], float]
LARGE, INSIDE = (10, 20, 60, 60), (20, 30, 40, 50)


class Given:
    def __init__(self, rows: Sequence[Row]) -> None:
        self.class_names = tuple(dict.fromkeys(name for name, _, _ in rows))
        self.rows = rows

    def __call__(self, picture: Picture) -> Detections:
        return Detections(
            boxes_xyxy=np.array([box for _, box, _ in self.rows], np.float32).reshape(-1, 4),
            scores=np.array([score for _, _, score in self.rows], np.float32),
            class_ids=np.array(
                [self.class_names.index(name) for name, _, _ in self.rows], np.int32
            ),
            class_names=self.class_names,
        )


def camera() -> Camera:
    K = np.array([[100, 0, 50], [0, 100, 40], [0, 0, 1]], np.float64)
    return Camera("front", K, np.eye(4))


def decided(
    rows: Sequence[Row],
    corrections: Sequence[Correction],
    *,
    trust: TrustModel | None = None,
    scene: Scene | None = None,
) -> SampleLabels:
    picture = Picture("front", "a.png", np.full((*SIZE_HW, 3), 90, np.uint8))
    scene = scene or Scene(cameras=(), points_lidar=np.zeros((0, 3), np.float32))
    rules = Rules(
        DecideConfig(),
        ROAD,
        load_class_map("coco80-to-road"),
        trust,
        {("s", "a.png"): tuple(corrections)},
    )
    return label_sample(Sample("s", (picture,), scene), Models(Given(rows), BoxFiller()), rules)


def said(
    instance: int, decision: Decision, name: str = "car", box: tuple[int, ...] = LARGE
) -> Correction:
    x0, y0, x1, y1 = box
    mask = masks_.encode_one(np.ones((y1 - y0, x1 - x0), bool), (x0, y0))
    return correction(("s", "a.png"), instance, decision, name, mask)


def areas(found: SampleLabels) -> list[int]:
    return [int(area) for area in masks_.areas(found.pictures[0].instances.masks)]


def instances(found: SampleLabels) -> Instances:
    return found.pictures[0].instances


def test_what_a_person_kept_has_its_pixels_whatever_the_detector_was_surer_of() -> None:
    rows = [("car", LARGE, 0.5), ("bus", (30, 20, 90, 60), 0.99)]
    assert areas(decided(rows, [])) == [20 * 40, 60 * 40]
    assert areas(decided(rows, [said(1, "accept")])) == [50 * 40, 30 * 40]


def test_what_a_person_rejected_takes_no_pixel_from_a_label() -> None:
    rows = [("car", LARGE, 0.99), ("bus", (30, 20, 90, 60), 0.5)]
    found = decided(rows, [said(1, "reject")])
    assert areas(found)[1] == 60 * 40
    assert instances(found).statuses.tolist() == [Status.REJECTED, Status.ACCEPTED]


def test_what_a_person_kept_is_not_contested() -> None:
    """Two that people kept share most pixels of one: it stays accepted, with no reason."""
    rows = [("car", LARGE, 0.9), ("person", (12, 30, 58, 70), 0.5)]
    found = decided(rows, [said(1, "accept"), said(2, "accept", "person", (12, 30, 58, 70))])
    assert instances(found).statuses.tolist() == [Status.ACCEPTED, Status.ACCEPTED]
    assert instances(found).reasons == ((), ())
    alone = decided(rows, [said(1, "accept")])
    assert instances(alone).reasons[1] == ("mask.contested",)


def test_what_a_person_added_is_no_duplicate_and_no_rider() -> None:
    rows = [("car", LARGE, 0.9), ("bicycle", (62, 40, 90, 70), 0.9)]
    added = [said(7, "add", "car", (11, 21, 60, 60)), said(8, "add", "person", (66, 25, 86, 60))]
    found = instances(decided(rows, added))
    assert found.statuses[2:].tolist() == [Status.ACCEPTED, Status.ACCEPTED]
    assert [ROAD.by_id(int(i)).name for i in found.class_ids[2:]] == ["car", "person"]


@pytest.mark.parametrize("kept", [False, True])
def test_points_take_no_pixel_from_what_a_person_kept(
    kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., Lifted] = pipeline.lift

    def lift(*args: object) -> Lifted:  # the points say that shared pixels are the second one's
        found = real(*args)
        findings = tuple(replace(one, wins=((1, 0),)) for one in found.findings)
        return replace(found, findings=findings)

    monkeypatch.setattr(pipeline, "lift", lift)
    rows = [("car", LARGE, 0.9), ("bus", (30, 20, 90, 60), 0.5)]
    scene = Scene(cameras=(camera(),), points_lidar=np.zeros((0, 3), np.float32))
    found = decided(rows, [said(1, "accept")] if kept else [], scene=scene)
    assert areas(found)[0] == (50 * 40 if kept else 20 * 40)


def model(accept_from: float | None) -> TrustModel:
    return TrustModel(
        right_iou=0.75,
        bias=0,
        terms=(Term(feature="score", centre=0, scale=1, weight=1.0),),
        class_offsets={},
        calibration=Curve(kind="logistic"),
        fitted=Fitted(labels=1, right=1, groups=1, classes={}, log_loss=0),
        target_precision=None if accept_from is None else 0.95,
        accept_from=accept_from,
    )


def test_trust_asks_about_what_has_pixels_and_nobody_decided() -> None:
    rows = [("bus", LARGE, 0.9), ("person", INSIDE, 0.5), ("car", (65, 5, 95, 30), 0.9)]
    found = instances(decided(rows, [said(3, "reject")], trust=model(0.0)))
    assert found.masks.counts[1] == b""  # all its pixels are the bus's
    assert np.isnan(found.trusts[1]) and found.statuses[1] == Status.REVIEW
    assert found.trusts[2] == 0 and found.statuses[2] == Status.REJECTED
    kept = instances(decided(rows, [said(1, "accept", "bus")], trust=model(0.999)))
    assert kept.trusts[0] == 1 and kept.statuses[0] == Status.ACCEPTED
