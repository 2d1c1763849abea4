"""The first command: pictures, and nothing else said."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from perception import cli
from perception.commands.calls import name_of
from perception.commands.label import plan
from perception.commands.request import LabelRequest
from perception.commands.results import read_labels
from perception.core.errors import RequestError
from perception.models import weights
from perception.runs import folder

ROOT = Path(__file__).resolve().parents[2]
POCKET = ROOT / "datasets" / "pocket" / "pocket.onnx"
SAM = ROOT.parent / "shared" / "data" / "weights" / "mobile_sam.pt"


@pytest.fixture
def mirror(server: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Serve weights from a folder of this machine, in place of the publishers."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    served, url = server
    entries = []
    for name, file in (("yolov8n", POCKET), ("mobile_sam", SAM)):
        if file.is_file():
            (served / file.name).write_bytes(file.read_bytes())
            digest, size = weights.sha256_of(file), file.stat().st_size
            changed = {"file_name": file.name, "url": f"{url}/{file.name}"}
            known = weights.by_name(name)
            entries.append(replace(known, sha256=digest, size_bytes=size, **changed))
    monkeypatch.setattr(weights.catalogue, "KNOWN", tuple(entries))
    monkeypatch.setattr(weights.catalogue, "FALLBACKS", {})
    return served


@pytest.mark.models
@pytest.mark.skipif(not SAM.is_file(), reason="MobileSAM's weights are not beside the repository")
def test_pictures_are_all_that_has_to_be_said(
    tmp_path: Path,
    mirror: Path,
    draw: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    draw(tmp_path / "photos" / "a.png", (20, 20, 60, 50, 230), size_hw=(96, 128))
    monkeypatch.chdir(tmp_path)
    assert cli.run(["label", "photos"]) == cli.FINE
    said = capsys.readouterr()
    assert said.err.count("fetching ") == 2 and "AGPL-3.0-only" in said.err
    assert "/runs/photos, pictures in" in said.out
    assert (tmp_path / "runs" / "photos" / "preview" / "a.jpg").is_file()
    spec = folder.read_spec(tmp_path / "runs" / "photos")
    assert (spec.detector.file_name, spec.segmenter.file_name) == ("pocket.onnx", "mobile_sam.pt")
    for file in mirror.iterdir():
        file.unlink()
    assert cli.run(["label", "photos", "--offline"]) == cli.FINE, "kept: nothing is fetched again"
    assert "fetching" not in capsys.readouterr().err


def test_a_dry_run_and_offline_fetch_nothing(
    tmp_path: Path, mirror: Path, draw: Callable[..., Path]
) -> None:
    source = draw(tmp_path / "photos" / "a.png").parent
    request = LabelRequest(str(source), tmp_path / "run", "boxes", "yolov8n")
    with pytest.raises(RequestError, match=r"weights\.missing: yolov8n: .*--dry-run"):
        plan(request)
    assert cli.run(["label", str(source), "--offline", "--out", str(tmp_path / "run")]) == cli.USAGE
    assert not (tmp_path / "cache").exists() and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("photos", "photos"),
        ("/data/photos/", "photos"),
        ("kitti:DATA/kitti_object", "kitti_object"),
        ("photos/*.jpg", "photos"),
        ("s3://bucket/street", "street"),
        ("lists/mine.txt", "mine"),
        ("a.JPG", "a"),
        ("../..", "labels"),
        ("*.png", "labels"),
    ],
)
def test_a_run_is_named_after_its_source(source: str, name: str) -> None:
    assert name_of(source) == name


@pytest.mark.slow
def test_a_detectors_own_classes_can_be_kept_and_some_of_them_chosen(
    tmp_path: Path, draw: Callable[..., Path]
) -> None:
    source = draw(tmp_path / "photos" / "a.png", (20, 20, 60, 50, 230)).parent
    (tmp_path / "boxes.json").write_text(
        '{"images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}],'
        ' "categories": [{"id": 1, "name": "sofa"}, {"id": 2, "name": "car"}], "annotations": ['
        '{"id": 1, "image_id": 1, "category_id": 1, "bbox": [20, 20, 40, 28]},'
        '{"id": 2, "image_id": 1, "category_id": 2, "bbox": [0, 0, 10, 10]}]}'
    )
    options = ["--boxes", str(tmp_path / "boxes.json"), "--segmenter", "boxes"]
    run = tmp_path / "all"
    assert cli.run(["label", str(source), *options, "--class-map", "same", "--out", str(run)]) == 0
    spec = folder.read_spec(run)
    assert {entry.name for entry in spec.ontology.classes} == {"sofa", "car"}
    (labels,) = read_labels(run)
    assert len(labels.pictures[0].instances) == 2
    few = tmp_path / "few"
    chosen = ["--class-map", "same", "--classes", "car", "--out", str(few)]
    assert cli.run(["label", str(source), *options, *chosen]) == 0
    (labels,) = read_labels(few)
    assert len(labels.pictures[0].instances) == 1 and labels.pictures[0].ignored == (("sofa", 1),)
