"""Average precision against pycocotools, and the draws of the bootstrap against both."""

import contextlib
import io
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from perception.core import masks
from perception.core.ontology import target_of
from perception.core.statistics import draw_weights, mean_known
from perception.core.types import Status
from perception.evaluation import evaluate_labels, ranking, read_truth
from perception.evaluation.instances import Comparison, compare
from perception.evaluation.truth import vocabulary_of
from perception.formats import coco


def pycocotools_figures(truth: Any, results: Any, kind: str) -> dict[str, float]:
    """Return what pycocotools says, without its prints; -1 becomes NaN."""
    with contextlib.redirect_stdout(io.StringIO()):
        if isinstance(truth, dict):
            known = COCO()
            known.dataset = truth
            known.createIndex()
        else:
            known = COCO(str(truth))
        judge = COCOeval(known, known.loadRes(results), "bbox" if kind == "prompt" else kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
        values = [float(value) for value in judge.stats[:6]]
        # a size that COCO does not have, in place of "medium"
        judge.params.areaRng[2] = list(ranking.AREAS["24 px"])
        judge.evaluate()
        judge.accumulate()
    precisions = judge.eval["precision"][0, :, :, 2, -1]
    values.append(float(precisions[precisions > -1].mean()) if (precisions > -1).any() else -1)
    known_values = [value if value >= 0 else np.nan for value in values]
    return dict(zip(ranking.COLUMNS, known_values, strict=True))


def compared(make: SimpleNamespace, seed: int, **options: Any) -> list[Comparison]:
    samples, truths = make.random_world(seed, **options)
    classes = vocabulary_of(make.road)
    return [
        compare(scene, one.pictures[0], truth, classes)
        for scene, (one, truth) in enumerate(zip(samples, truths, strict=True))
    ]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["segm", "bbox", "prompt"])
def test_ap_equals_pycocotools(make: SimpleNamespace, seed: int, kind: ranking.Kind) -> None:
    found, classes = compared(make, seed, scenes=12), vocabulary_of(make.road)
    expected = pycocotools_figures(*ranking.coco_documents(found, classes, kind), kind)
    none = np.zeros((0, len(found)), np.int64)
    figures = ranking.figures(found, classes, kind, none)
    ours = {name: np.nan if f.value is None else f.value for name, f in figures.items()}
    assert ours == pytest.approx(expected, abs=1e-6, nan_ok=True)
    assert 0.05 < ours["AP"] < 0.95  # the world is neither trivial nor hopeless


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["segm", "bbox", "boundary", "prompt"])
def test_our_matches_give_the_ap_that_is_reported(
    make: SimpleNamespace, seed: int, kind: ranking.Kind
) -> None:
    found, classes = compared(make, seed, scenes=12), vocabulary_of(make.road)
    expected = ranking.coco_figures(found, classes, kind)
    once = np.ones((1, len(found)), np.int64)
    for column in expected:
        thresholds, area = ranking.COLUMNS[column]
        per_class = np.array(
            [
                ranking.drawn_precisions(ranking.rank(found, key, kind, area, len(found)), once)[0]
                for key in classes.names
            ]
        )
        ours = float(mean_known(per_class[:, thresholds].mean(axis=1)))
        assert ours == pytest.approx(expected[column], abs=1e-6, nan_ok=True), column


def test_a_draw_is_the_ap_of_a_data_set_with_the_images_doubled(make: SimpleNamespace) -> None:
    found, classes = compared(make, 7, scenes=5), vocabulary_of(make.road)
    drawn = [found[i] for i in (0, 1, 1, 3, 4, 4, 4)]
    expected = pycocotools_figures(*ranking.coco_documents(drawn, classes, "segm"), "segm")["AP"]
    weights = np.array([[1, 2, 0, 1, 3]])
    per_class = [
        ranking.drawn_precisions(ranking.rank(found, key, "segm", "all", 5), weights)[0]
        for key in classes.names
    ]
    assert float(mean_known(np.array(per_class).mean(axis=1))) == pytest.approx(expected, abs=1e-6)


def test_the_report_equals_pycocotools_on_exported_files(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    # Truth as a run would export it, crowds included; labels as results. Both read from disk.
    samples, truths = make.random_world(11, scenes=10)
    target = target_of(make.road, None)
    status = {True: Status.REVIEW, False: Status.ACCEPTED}
    worlds = [
        make.sample(
            make.labelled(
                [shape for shape in masks_of(truth)],
                truth.class_ids.tolist(),
                statuses=[status[bool(flag)] for flag in truth.ignored],
                name=truth.file_name,
                size_hw=truth.size_hw,
            )
        )
        for truth in truths
    ]
    accepted = frozenset({Status.ACCEPTED})
    coco.write(worlds, tmp_path / "truth.json", target, statuses=accepted, ontology=make.road)
    proposed = frozenset({Status.ACCEPTED, Status.REVIEW})
    coco.write_results(samples, tmp_path / "results.json", target, statuses=proposed)
    report = evaluate_labels(samples, read_truth(str(tmp_path / "truth.json"), make.road))
    results = json.loads((tmp_path / "results.json").read_text())
    expected = pycocotools_figures(tmp_path / "truth.json", results, "segm")
    boxes = pycocotools_figures(tmp_path / "truth.json", as_boxes(results, samples), "bbox")
    for row, figures in (("mask", expected), ("box", boxes)):
        for column, value in figures.items():
            found = report.figure("ap", row, column).value
            assert (math.nan if found is None else found) == pytest.approx(
                value, abs=1e-6, nan_ok=True
            )


def masks_of(truth: Any) -> list[Any]:
    return [masks.decode_one(truth.masks, row) for row in range(len(truth))]


def as_boxes(results: list[dict[str, Any]], samples: list[Any]) -> list[dict[str, Any]]:
    bounds = [box for one in samples for box in one.pictures[0].instances.masks.boxes_xyxy.tolist()]
    keys = ("image_id", "category_id", "score")
    return [
        {**{key: row[key] for key in keys}, "bbox": [x0, y0, x1 - x0, y1 - y0]}
        for row, (x0, y0, x1, y1) in zip(results, bounds, strict=True)
    ]


def test_void_swallows_labels_of_every_class(make: SimpleNamespace) -> None:
    # A car is found; a truck and a person lie in a void region: without it AP50 would be lower.
    truth = make.true_picture([(0, 0, 20, 20), (40, 0, 80, 60)], [make.car, -1], [False, True])
    labels = make.labelled(
        [(0, 0, 20, 20), (45, 5, 60, 20), (60, 30, 70, 50)],
        [make.car, make.car, make.car],
        [0.5, 0.9, 0.8],
    )
    report = evaluate_labels([make.sample(labels)], make.truth_of([truth]))
    assert report.figure("ap", "mask", "AP").value == pytest.approx(1.0)
    assert report.figure("labels", "all", "precision").value == 1.0


def test_half_of_the_objects_found_is_half_of_the_recalls(make: SimpleNamespace) -> None:
    # Two cars, one found perfectly: precision 1 at the 51 recalls 0.00 to 0.50, 0 at the other 50.
    truth = make.true_picture([(0, 0, 20, 20), (40, 0, 60, 20)])
    report = evaluate_labels([make.sample(make.labelled([(0, 0, 20, 20)]))], make.truth_of([truth]))
    assert report.figure("ap", "mask", "AP").value == pytest.approx(51 / 101)
    assert report.figure("ap", "mask", "AP").n == 2


def test_weights_that_draw_no_object_have_no_ap(make: SimpleNamespace) -> None:
    found = compared(make, 0, scenes=3)
    one = ranking.rank(found, make.car, "segm", "all", 3)
    empty = np.flatnonzero(one.objects == 0)
    weights = np.zeros((1, 3), np.int64)
    weights[0, empty] = 1
    assert np.isnan(ranking.drawn_precisions(one, weights)).all()
    assert draw_weights(0, seed=0).shape == (1000, 0)
