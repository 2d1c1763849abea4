"""Truth that holds less than what is compared: a figure of zero is never made from absence."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from perception.commands.trust import from_truth
from perception.core.errors import RequestError
from perception.evaluation import Report, evaluate, to_html
from perception.evaluation.compare import compare_pictures
from perception.evaluation.paired import paired_table

TRAIN, CAR, FAR = (20, 30, 90, 40), (130, 80, 12, 20), (5, 90, 30, 20)
IDS = {"train": 7, "car": 3, "person": 1, "vehicles": 0, "Car": 3, "TRAIN": 7, "dog": 18}


def outline(box: tuple[int, int, int, int]) -> list[list[float]]:
    """Return a polygon in a box that is no box: its lower left half is missing a corner."""
    x, y, width, height = box
    return [[x, y, x + width, y, x + width, y + height, x + width / 4, y + height]]


def row(name: str, box: Any, segmentation: Any = (), **more: Any) -> dict[str, Any]:
    shape = {} if segmentation is None else {"segmentation": list(segmentation)}
    return {"category_id": IDS[name], "bbox": list(box), "iscrowd": 0, **shape, **more}


def coco(
    rows: list[dict[str, Any]], names: tuple[str, ...] = ("train", "car"), **changes: Any
) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": "street.jpg", "width": 160, "height": 120}],
        "categories": [{"id": IDS[name], "name": name} for name in names],
        "annotations": [{"id": n, "image_id": 1, **one} for n, one in enumerate(rows, 1)],
        **changes,
    }


@dataclass(frozen=True)
class Street:
    """A run over street.jpg, a train and a car in it, and what to compare it with."""

    run: Path
    folder: Path

    def beside(self, truth: dict[str, Any], **options: Any) -> Report:
        path = self.folder / "truth.json"
        path.write_text(json.dumps(truth))
        return evaluate(self.run, str(path), **options)

    def refusal(self, truth: dict[str, Any], **options: Any) -> RequestError:
        with pytest.raises(RequestError) as caught:
            self.beside(truth, **options)
        return caught.value


@pytest.fixture
def street(
    tmp_path: Path, draw_street: Callable[[Path], Path], label_here: Callable[..., Any]
) -> Street:
    draw_street(tmp_path / "images" / "street.jpg")
    (tmp_path / "boxes.json").write_text(json.dumps(coco([row("train", TRAIN), row("car", CAR)])))
    answer = label_here(tmp_path / "images", boxes=str(tmp_path / "boxes.json"))
    return Street(answer.run, tmp_path)


def values(report: Report) -> dict[str, float | None]:
    return {
        f"{table.name}/{name}/{column}": figure.value
        for table in report.tables
        for name, figures in table.rows
        for column, figure in zip(table.columns, figures, strict=True)
    }


BOXES = pytest.mark.parametrize(
    "truth",
    [
        pytest.param(coco([row("train", TRAIN), row("car", CAR)]), id="geti#7261-empty-lists"),
        pytest.param(
            coco([row("train", TRAIN, None), row("car", CAR, None)]), id="cocoapi#600-no-key"
        ),
        pytest.param(
            coco([row("train", TRAIN), row("car", CAR)], ("vehicles", "train", "car")),
            id="rf-detr#1303-root-class",
        ),
        pytest.param(coco([row("TRAIN", TRAIN), row("Car", CAR)], ("TRAIN", "Car")), id="case"),
    ],
)


@BOXES
def test_a_truth_of_boxes_compares_boxes_and_says_so(street: Street, truth: dict[str, Any]) -> None:
    report = street.beside(truth)
    found = values(report)
    assert dict(report.counts)["true objects"] == 2
    assert found["labels/all/precision"] == found["labels/all/recall"] == 1.0
    assert found["ap/box/AP"] == pytest.approx(1.0)
    masks_only = ("ap/mask/AP", "ap/boundary/AP", "labels/all/IoU of matches")
    assert [found[key] for key in masks_only] == [None] * 3
    assert not any(key.startswith(("panoptic", "yield")) for key in found)
    said = "The truth holds boxes and no masks: boxes are compared"
    assert said in "\n".join(report.lines()) and said in to_html(report)
    assert 0.0 not in found.values()
    stored = report.to_dict()["tables"]["ap"]["rows"]["mask"]["AP"]
    assert stored["value"] is None


def test_a_missed_box_is_a_real_zero(street: Street) -> None:
    """Boxes that lie elsewhere are not excused by what the truth lacks."""
    found = values(street.beside(coco([row("person", FAR)], ("train", "car", "person"))))
    assert found["labels/all/recall"] == 0.0
    assert found["labels/person/recall"] == 0.0
    assert found["labels/all/precision"] == 0.0


def test_a_class_without_true_objects_has_no_recall(street: Street) -> None:
    """The truth lists cars and has none: recall 0.000 would be made up."""
    report = street.beside(coco([row("train", TRAIN, outline(TRAIN))]))
    found = values(report)
    assert found["labels/car/recall"] is None
    assert found["labels/car/precision"] == 0.0
    assert found["labels/train/recall"] == 1.0
    assert any("The truth has no car on these images: 1 labels" in note for note in report.notes)


def test_of_masks_and_boxes_the_masks_are_judged_where_they_are_half(street: Street) -> None:
    """A label on an object that has a box only is neither right nor false."""
    report = street.beside(coco([row("train", TRAIN, outline(TRAIN)), row("car", CAR)]))
    found = values(report)
    assert dict(report.counts)["true objects"] == 1
    assert found["labels/all/precision"] == found["labels/all/recall"] == 1.0
    assert found["panoptic/mean/RQ"] == 1.0
    (note,) = [note for note in report.notes if "a box and no mask" in note]
    assert note.startswith("1 of 2 true objects have a box") and "the 1 with masks" in note


def test_of_masks_and_boxes_boxes_are_compared_where_masks_are_few(street: Street) -> None:
    rows = [row("train", TRAIN, outline(TRAIN)), row("car", CAR), row("car", FAR)]
    report = street.beside(coco(rows))
    assert dict(report.counts)["true objects"] == 3
    assert values(report)["labels/all/recall"] == pytest.approx(2 / 3)
    assert values(report)["ap/mask/AP"] is None
    assert any(note.startswith("1 of 3 true objects have a mask") for note in report.notes)


def test_a_crowd_with_a_box_only_is_an_ignored_region(street: Street) -> None:
    """Crowds without a mask were dropped, and labels in them counted as false."""
    for shape in (outline(TRAIN), ()):
        rows = [row("train", TRAIN, shape), row("car", (120, 70, 40, 40), iscrowd=1)]
        report = street.beside(coco(rows))
        assert values(report)["labels/all/precision"] == 1.0
        assert dict(report.counts)["ignored regions"] == 1


def test_a_row_with_neither_mask_nor_box_is_counted(street: Street) -> None:
    rows = [row("train", TRAIN), row("car", CAR), row("car", (130, 80, 0, 0))]
    report = street.beside(coco(rows))
    assert dict(report.counts)["true objects"] == 2
    assert any(note.startswith("1 annotations of the truth have neither") for note in report.notes)


def test_masks_that_are_boxes_are_told(street: Street) -> None:
    """Detection data whose rectangles were written as polygons, as Label Studio does."""

    def rectangle(box: tuple[int, int, int, int]) -> list[list[float]]:
        x, y, width, height = box
        return [[x, y, x + width, y, x + width, y + height, x, y + height]]

    rows = [row("train", TRAIN, rectangle(TRAIN)), row("car", CAR, rectangle(CAR))]
    said = "Every one of the 2 true masks fills its box"
    assert any(said in note for note in street.beside(coco(rows)).notes)
    rows[0]["segmentation"] = outline(TRAIN)
    assert not any("fills its box" in note for note in street.beside(coco(rows)).notes)


@pytest.mark.parametrize(
    "file_name",
    [
        pytest.param("train2017/street.jpg", id="cvat#1385-folder"),
        pytest.param("./street.jpg", id="dot"),
        pytest.param("images/street.jpg", id="own-folder"),
        pytest.param("street_jpg.rf.0a1b2c3d.jpg", id="X-AnyLabeling#938-roboflow"),
    ],
)
def test_images_are_found_by_names_of_another_form(street: Street, file_name: str) -> None:
    image = {"id": 1, "file_name": file_name, "width": 160, "height": 120}
    report = street.beside(coco([row("train", TRAIN), row("car", CAR)], images=[image]))
    assert dict(report.counts)["images with truth"] == 1
    assert values(report)["labels/all/recall"] == 1.0


def test_no_image_in_common_is_refused_with_the_names_of_both(street: Street) -> None:
    images = [{"id": 1, "file_name": "avenue.jpg", "width": 160, "height": 120}]
    error = street.refusal(coco([row("train", TRAIN)], images=images))
    assert error.code == "truth.mismatch"
    assert "street.jpg in the run, avenue.jpg in the truth" in error.message


@pytest.mark.parametrize(
    ("truth", "options", "message"),
    [
        pytest.param(coco([]), {}, "has no annotation", id="no-annotation"),
        pytest.param(
            coco([row("dog", CAR)], ("dog",)), {}, "1 categories are no classes", id="unknown-class"
        ),
        pytest.param(
            coco([row("dog", CAR)], ("dog",)),
            {"class_map": "coco80-to-road"},
            "none of its 1 categories stands for a class",
            id="all-ignored",
        ),
        pytest.param(coco([], (), images=[]), {}, "none in the truth", id="empty-file"),
    ],
)
def test_an_empty_truth_is_refused(
    street: Street, truth: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    assert message in street.refusal(truth, **options).message


def test_an_image_without_objects_says_that_labels_there_are_false(street: Street) -> None:
    images = [
        {"id": number, "file_name": name, "width": 160, "height": 120}
        for number, name in ((1, "other.jpg"), (2, "street.jpg"))
    ]
    report = street.beside(coco([row("car", CAR)], images=images))
    assert values(report)["labels/all/recall"] is None
    assert any("The truth has no object on the 1 images" in note for note in report.notes)


def test_images_that_the_truth_lacks_are_left_out_and_counted(
    tmp_path: Path, draw_street: Callable[[Path], Path], label_here: Callable[..., Any]
) -> None:
    for name in ("street.jpg", "second.jpg"):
        draw_street(tmp_path / "images" / name)
    both = [
        {"id": number, "file_name": name, "width": 160, "height": 120}
        for number, name in ((1, "street.jpg"), (2, "second.jpg"))
    ]
    boxes = coco([row("train", TRAIN), row("train", TRAIN, image_id=2)], images=both)
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    answer = label_here(tmp_path / "images", boxes=str(tmp_path / "boxes.json"))
    report = Street(answer.run, tmp_path).beside(coco([row("train", TRAIN)]))
    counts = dict(report.counts)
    assert (counts["images with truth"], counts["images without truth, left out"]) == (1, 1)
    assert values(report)["labels/all/precision"] == 1.0


def test_a_run_without_labels_is_a_real_zero(
    tmp_path: Path, draw_street: Callable[[Path], Path], label_here: Callable[..., Any]
) -> None:
    draw_street(tmp_path / "images" / "street.jpg")
    (tmp_path / "boxes.json").write_text(json.dumps(coco([])))
    answer = label_here(tmp_path / "images", boxes=str(tmp_path / "boxes.json"))
    for shape in ((), outline(TRAIN)):
        report = Street(answer.run, tmp_path).beside(coco([row("train", TRAIN, shape)]))
        assert values(report)["labels/all/recall"] == 0.0
        assert values(report)["ap/box/AP"] == 0.0


def test_a_paired_comparison_with_boxes_compares_boxes(street: Street) -> None:
    report = street.beside(coco([row("train", TRAIN), row("car", CAR)]))
    figure = paired_table(report, report).figure("box", "difference")
    assert (figure.value, figure.n) == (0.0, 2)


def test_what_needs_masks_refuses_a_truth_of_boxes(street: Street) -> None:
    path = street.folder / "truth.json"
    path.write_text(json.dumps(coco([row("train", TRAIN), row("car", CAR)])))
    with pytest.raises(RequestError, match="has boxes and no masks; trust is fitted on masks"):
        from_truth(street.run, str(path), right_iou=0.75)
    with pytest.raises(RequestError, match="has boxes and no masks; masks are compared here"):
        compare_pictures(street.run, str(path))


def test_trust_is_fitted_on_images_whose_names_differ_in_form(street: Street) -> None:
    image = {"id": 1, "file_name": "val/street.jpg", "width": 160, "height": 120}
    rows = [row("train", TRAIN, outline(TRAIN)), row("car", CAR, outline(CAR))]
    path = street.folder / "truth.json"
    path.write_text(json.dumps(coco(rows, images=[image])))
    assert len(from_truth(street.run, str(path), right_iou=0.75).examples) == 2
