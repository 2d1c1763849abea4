"""Segmenters side by side: the same boxes, the same functions, one table."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from perception import cli
from perception.benchmarks import compare
from perception.commands.exports import export
from perception.commands.label import label
from perception.commands.request import LabelRequest
from perception.commands.results import read_labels
from perception.core.errors import PerceptionError
from perception.evaluation import evaluate
from perception.formats import coco


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, pictures: Callable[..., Path]) -> Path:
    return pictures(tmp_path_factory.mktemp("contest") / "src", 3)


@pytest.fixture(scope="module")
def truth(source: Path) -> Path:
    """What plain boxes say, as truth: so they cannot be beaten."""
    run = source.parent / "truth"
    label(LabelRequest(str(source), run, "boxes", "bright"))
    export(run, "coco", source.parent / "truth.json")
    assert sum(len(p.annotations) for p in coco.read(source.parent / "truth.json")) == 3
    return source.parent / "truth.json"


@pytest.mark.slow
def test_each_contender_has_the_figures_of_label_and_evaluate(
    source: Path, truth: Path, tmp_path: Path
) -> None:
    request = LabelRequest(str(source), tmp_path / "runs", "", "bright")
    entries = compare.compete(request, ("boxes", "grabcut"), str(truth))
    assert [entry.segmenter for entry in entries] == ["boxes", "grabcut"]
    perfect, rough = entries
    assert perfect.figure("mask AP").value == pytest.approx(1.0)
    assert perfect.figure("mask IoU of matched").value == pytest.approx(1.0)
    alone = label(LabelRequest(str(source), tmp_path / "alone", "grabcut", "bright"))
    assert rough.report == evaluate(alone.folder, str(truth))
    assert rough.figure("boundary AP") == rough.report.figure("ap", "boundary", "AP")
    assert perfect.figure("point mIoU").value is None  # pictures have no points
    found = compare.report(entries)
    kept = {row.what: row.figure for row in found.rows}
    assert kept["grabcut: boundary AP"] == rough.figure("boundary AP")
    assert kept["boxes: true objects"].value == 3
    table = found.lines
    assert table[0].split() == ["boxes", "grabcut"]
    assert next(line.split() for line in table if line.startswith("mask AP50"))[2] == "1.000"
    assert next(line.split() for line in table if line.startswith("point mIoU"))[2:] == ["-", "-"]


@pytest.mark.slow
def test_boxes_that_differ_are_no_contest(source: Path, truth: Path, tmp_path: Path) -> None:
    request = LabelRequest(str(source), tmp_path / "runs", "", "bright")
    compare.compete(request, ("boxes",), str(truth))
    other = narrower_run(tmp_path, source)
    with pytest.raises(PerceptionError, match=r"boxes of .* differ \((\d) and \1\)"):
        compare._check_boxes(tmp_path / "runs" / "boxes", other)


def narrower_run(tmp_path: Path, source: Path) -> Path:
    """Label the same pictures from given boxes, each a little narrower."""
    boxes = tmp_path / "narrow"
    boxes.mkdir()
    for sample in read_labels(tmp_path / "runs" / "boxes"):
        name, found = Path(sample.pictures[0].file_name).stem, sample.pictures[0].instances
        rows = [(x0, y0, x1 - 1, y1) for x0, y0, x1, y1 in found.boxes_xyxy.tolist()]
        lines = (f"Car 0 0 0 {x0} {y0} {x1} {y1} 1 1 1 0 0 9 0\n" for x0, y0, x1, y1 in rows)
        (boxes / f"{name}.txt").write_text("".join(lines))
    run = tmp_path / "other"
    label(LabelRequest(str(source), run, "boxes", boxes=str(boxes)))
    return run


@pytest.mark.parametrize("names", [(), ("boxes", "boxes")], ids=["none", "twice"])
def test_contenders_have_names_of_their_own(
    source: Path, truth: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    request = LabelRequest(str(source), tmp_path, "", "bright")
    with pytest.raises(PerceptionError, match=r"contest\.invalid: --segmenter"):
        compare.compete(request, names, str(truth))


@pytest.mark.slow
def test_the_verb_prints_a_table_or_one_object(
    source: Path, truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = ["bench", "compare", str(source), "--truth", str(truth), "--detector", "bright"]
    tokens += ["--segmenter", "boxes", "--segmenter", "grabcut"]
    assert cli.run(tokens) == cli.FINE
    assert "yield at 95" in capsys.readouterr().out
    assert cli.run([*tokens, "--json"]) == cli.FINE
    found = json.loads(capsys.readouterr().out)["contenders"]
    assert list(found) == ["boxes", "grabcut"]
    assert found["boxes"]["tables"]["ap"]["rows"]["mask"]["AP"]["value"] == pytest.approx(1.0)
