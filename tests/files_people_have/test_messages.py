"""Refusals that name the cause."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perception import cli
from perception.core.errors import RequestError

Draw = Callable[[Path], Path]
LabelHere = Callable[..., Any]


@pytest.fixture
def street(tmp_path: Path, draw_street: Draw) -> Path:
    return draw_street(tmp_path / "images" / "street.png").parent


def test_the_class_that_no_map_knows_is_named_and_no_other(
    tmp_path: Path, street: Path, label_here: LabelHere
) -> None:
    # rf-detr#85: 80 names that are known, and one that is not.
    known = ["person", "bicycle", "car", "motorcycle", "bus", "train", "truck", "traffic light"]
    names = [*known, "traffic cone"]
    document = {
        "images": [{"id": 1, "file_name": "street.png"}],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names)],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": i, "bbox": [20, 30, 90, 40]}
            for i in range(len(names))
        ],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    with pytest.raises(RequestError) as caught:
        label_here(street, boxes=str(tmp_path / "boxes.json"))
    assert caught.value.code == "class.unknown" and "'traffic cone'" in caught.value.message
    assert "bicycle" not in caught.value.message


@pytest.mark.parametrize(
    ("change", "words", "labelled"),
    [
        (
            lambda root: (root / "new.png").write_bytes((root / "a.png").read_bytes()),
            "1 sample more than the run has: only these are seen",
            3,
        ),
        (lambda root: (root / "b.png").unlink(), "1 sample of the run not asked for now: kept", 2),
    ],
    ids=["one came", "one went"],
)
def test_resuming_with_other_pictures_says_so(
    draw_street: Draw,
    tmp_path: Path,
    label_here: LabelHere,
    change: Callable[[Path], object],
    words: str,
    labelled: int,
) -> None:
    # autodistill#58: a picture that came since the run is not skipped.
    root = tmp_path / "images"
    for name in ("a.png", "b.png"):
        draw_street(root / name)
    label_here(root, detector="bright")
    change(root)
    again = label_here(root, detector="bright")
    assert words in again.notices
    assert again.counts["samples"]["input"] == labelled


@pytest.mark.slow
def test_a_run_that_is_quarantined_whole_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "page.png").write_text("<html>Sign in</html>")
    arguments = ["label", str(tmp_path / "images"), "--detector", "bright", "--segmenter", "boxes"]
    assert cli.run([*arguments, "--out", str(tmp_path / "out")]) == cli.QUARANTINED
    said = "".join(capsys.readouterr())
    assert "page.png" in said and "<html>" in said


def test_weights_of_another_network_are_named_in_one_line(
    tmp_path: Path, street: Path, label_here: LabelHere
) -> None:
    # ultralytics#1114, #8667: a web page in place of weights, saved as .onnx.
    (tmp_path / "yolo.onnx").write_text("<!DOCTYPE html><title>Not found</title>")
    with pytest.raises(RequestError) as caught:
        label_here(street, detector=str(tmp_path / "yolo.onnx"))
    assert "yolo.onnx" in caught.value.message and "\n" not in caught.value.message


def test_a_dry_run_opens_weights_and_box_files(tmp_path: Path, street: Path) -> None:
    (tmp_path / "boxes.json").write_text("{")
    arguments = ["label", str(street), "--out", str(tmp_path / "out"), "--dry-run"]
    arguments += ["--segmenter", "boxes", "--boxes", str(tmp_path / "boxes.json")]
    assert cli.run(arguments) == cli.USAGE
    assert not (tmp_path / "out").exists()
