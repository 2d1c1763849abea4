"""Training a tiny model on a tiny export: what is written, what is refused."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from perception.commands.train import TrainRequest, train
from perception.core.config import TrainConfig
from perception.core.errors import RequestError

pytestmark = pytest.mark.models

ROOT = Path(__file__).parents[2]


def export(folder: Path, count: int, names: str = "[car]") -> Path:
    """Draw a YOLO export: one bright box per picture."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for i in range(count):
        image = np.full((64, 96, 3), 40, np.uint8)
        image[16:48, 8 + 4 * i : 40 + 4 * i] = 250
        cv2.imwrite(str(folder / "images" / f"{i}.png"), image)
        row = f"0 {(24 + 4 * i) / 96:.4f} 0.5 {32 / 96:.4f} 0.5\n"
        (folder / "labels" / f"{i}.txt").write_text(row)
    (folder / "data.yaml").write_text(f"path: .\ntrain: images\nval: images\nnames: {names}\n")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_trained_model_comes_with_its_card_and_the_data_are_untouched(tmp_path: Path) -> None:
    data, val = export(tmp_path / "data", 6), export(tmp_path / "val", 2)
    before = contents(data) | contents(val)
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "perception.cli", "train", str(data), "--val", str(val)),
            *("--out", str(tmp_path / "out"), "--model", "yolo11n.yaml", "--epochs", "1"),
            *("--image-px", "64", "--batch", "3", "--json"),
        ],
        env={
            **os.environ,
            "HOME": str(home),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "integrations")]),
        },
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert json.loads(done.stdout.splitlines()[-1])["sha256"] == card["sha256"]
    assert card["data"]["objects"] == 6
    assert card["val"]["images"] == 2
    assert card["classes"] == ["car"]
    assert set(card["figures"]) >= {"metrics/mAP50(B)", "metrics/mAP50-95(B)"}
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert left == [
        *("best.onnx", "best.pt", "card.json", "curves.csv", "figures.csv", "index.html"),
        *("losses.csv", "samples"),
    ]
    curves = (tmp_path / "out" / "curves.csv").read_text().splitlines()
    assert len(curves) == 2 and "time" not in curves[0].split(",")  # one epoch, no clock
    page = (tmp_path / "out" / "index.html").read_text()
    assert "not trained on" in page and "://" not in page
    for name in ("samples/0.jpg", "samples/1.jpg", "losses.csv", "figures.csv"):
        assert (tmp_path / "out" / name).is_file() and f'"{name}"' in page
    assert contents(data) | contents(val) == before
    assert list(home.iterdir()) == []  # nothing beside, in the home folder or where it was called


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train for one step in this process; return the folder with best.pt and best.onnx."""
    from perception_ultralytics.trainer import train as fit

    folder = tmp_path_factory.mktemp("trained")
    data, out = export(folder / "data", 2), folder / "out"
    out.mkdir()
    fit("yolo11n.yaml", data, data, ("car",), out, TrainConfig(epochs=1, image_px=96, batch=2))
    return out


def test_the_onnx_file_answers_like_the_pickle_in_half_the_bytes(
    trained: Path, tmp_path: Path
) -> None:
    import onnxruntime
    import torch
    from ultralytics.models import YOLO

    from perception_ultralytics.exporter import export_onnx

    again = tmp_path / "again.onnx"
    export_onnx(trained / "best.pt", again, 96)
    assert again.read_bytes() == (trained / "best.onnx").read_bytes()  # no time stamp
    image = np.random.default_rng(0).random((2, 3, 96, 128), np.float32)  # other sizes, two images
    network = YOLO(str(trained / "best.pt")).model.float().eval()
    with torch.inference_mode():
        expected = network(torch.from_numpy(image))[0].numpy()
    found = onnxruntime.InferenceSession(str(again)).run(None, {"images": image})[0]
    assert np.abs(found - expected).max() < 2e-3 * np.abs(expected).max()  # float16 keeps 11 bits
    numbers = sum(parameter.numel() for parameter in network.parameters())
    assert again.stat().st_size < 2.2 * numbers


@pytest.mark.parametrize("name", ["best.onnx", "best.pt"])
def test_weights_look_in_the_size_they_were_trained_with(name: str, trained: Path) -> None:
    from perception.core.config import ObserveConfig
    from perception_ultralytics.detector import load_detector

    assert load_detector(trained / name, ObserveConfig(threads=1)).input_hw == (96, 96)


@pytest.mark.parametrize("missing", ["images", "labels", "data.yaml"])
def test_a_folder_that_is_no_export_is_refused(missing: str, tmp_path: Path) -> None:
    data = export(tmp_path / "data", 1)
    (data / missing).rename(tmp_path / "elsewhere")
    with pytest.raises(RequestError):
        train(TrainRequest(data, tmp_path / "out", "yolo11n.yaml"))
    assert not (tmp_path / "out").exists()


def test_data_that_would_run_code_is_refused(tmp_path: Path) -> None:
    data = export(tmp_path / "data", 1)
    (data / "data.yaml").write_text("names: [car]\ndownload: 'import os'\n")
    with pytest.raises(RequestError, match=r"config\.unsafe"):
        train(TrainRequest(data, tmp_path / "out", "yolo11n.yaml"))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("0 0.5 0.5 0.2 0.2 0.9\n", "6 words"),  # a score
        ("0 0.5 0.5 0.2 0.2 0.9 12\n", "12, expected 0 to 1"),  # score and track id: a triangle
        ("0 0.5 0.5 0.2 0.2 0.9 0.9 2\n", "8 words"),  # a key point
        ("0 0.5 0.5 0.2 0.2\n0 0.1 0.1 0.2 0.1 0.2 0.2\n", "boxes and polygons"),
        ("1 0.5 0.5 0.2 0.2\n", "class '1', expected 0 to 0"),
        ("0 0.5 0.5 0.2 nan\n", "'nan'"),
    ],
)
def test_rows_that_the_trainer_would_take_for_others_are_refused(
    tmp_path: Path, rows: str, words: str
) -> None:
    data = export(tmp_path / "data", 2)
    (data / "labels" / "1.txt").write_text(rows)
    with pytest.raises(RequestError, match=r"data\.invalid.*1\.txt") as caught:
        train(TrainRequest(data, tmp_path / "out", "yolo11n.yaml"))
    assert words in caught.value.message
    assert not (tmp_path / "out").exists()


def test_labels_in_an_encoding_that_the_trainer_skips_are_refused(tmp_path: Path) -> None:
    data = export(tmp_path / "data", 1)
    (data / "labels" / "0.txt").write_bytes("0 0.5 0.5 0.2 0.2".encode("utf-16"))
    with pytest.raises(RequestError, match=r"0\.txt: is UTF-16, which YOLO skips"):
        train(TrainRequest(data, tmp_path / "out", "yolo11n.yaml"))


def test_other_classes_a_full_folder_and_untrusted_weights_are_refused(tmp_path: Path) -> None:
    data, val = export(tmp_path / "data", 1), export(tmp_path / "val", 1, "[car, bus]")
    with pytest.raises(RequestError, match=r"data\.mismatch"):
        train(TrainRequest(data, tmp_path / "out", "yolo11n.yaml", val=val))
    with pytest.raises(RequestError, match=r"output\.exists"):
        train(TrainRequest(data, val, "yolo11n.yaml"))
    with pytest.raises(RequestError, match=r"weights\.missing"):
        train(TrainRequest(data, tmp_path / "out", str(tmp_path / "none.pt")))
    pickled = tmp_path / "some.pt"
    pickled.write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(RequestError, match=r"weights\.untrusted"):
        train(TrainRequest(data, tmp_path / "out", str(pickled)))
    assert not (tmp_path / "out").exists()


@dataclass
class FakeTrainer:
    """Notes what it was given, and leaves files where the real one does."""

    figures: dict[str, float] = field(default_factory=lambda: {"metrics/mAP50(B)": 0.5})
    calls: list[dict[str, Any]] = field(default_factory=list)

    def __call__(
        self, model: str, data: Path, val: Path, names: Any, out: Path, config: TrainConfig
    ) -> dict[str, float]:
        sides = {
            side: {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
            for side, folder in (("data", data), ("val", val))
        }
        self.calls.append({"model": model, **sides})
        for name in ("best.pt", "best.onnx"):
            (out / name).write_bytes(b"weights")
        (out / "curves.csv").write_text("epoch\n")
        return self.figures


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> FakeTrainer:
    from perception.commands import train as command

    fake = FakeTrainer()
    monkeypatch.setattr(command.pkgutil, "resolve_name", lambda _: fake)
    monkeypatch.setattr(command, "_samples", lambda *_: ())
    return fake


def in_folders(data: Path, *names: str) -> Path:
    """Move the pictures of an export into folders, in order, the last name for the rest."""
    for part in ("images", "labels"):
        for number, path in enumerate(sorted((data / part).iterdir())):
            place = data / part / names[min(number, len(names) - 1)] / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)
    return data


def test_a_share_is_held_out_by_recording_and_the_card_says_which(
    tmp_path: Path, trainer: FakeTrainer
) -> None:
    data = in_folders(export(tmp_path / "data", 8), *"aabbccdd")
    before = contents(data)
    card = train(TrainRequest(data, tmp_path / "out", "yolo11n.yaml", split=0.25))
    (given,) = trainer.calls
    held = {name for name in given["val"] if name.startswith("images/")}
    trained = {name for name in given["data"] if name.startswith("images/")}
    assert (len(held), len(trained)) == (2, 6)
    assert len({Path(name).parent for name in held}) == 1
    assert {Path(name).parent for name in held}.isdisjoint(Path(name).parent for name in trained)
    for names in (given["val"], given["data"]):  # each picture with its labels
        labels = {n.replace("images/", "labels/").replace(".png", ".txt") for n in names}
        assert labels - {"data.yaml"} <= names
    stated = card["split"]
    assert {f"images/{name}" for name in stated["held_out"]} == held
    assert (stated["by"], stated["groups"], stated["trained"]) == ("recording", 4, 6)
    assert (card["data"]["images"], card["val"]["images"]) == (8, 2)
    assert not card["val_is_train"]
    assert card["measured_on"] == "2 of 8 pictures held out, whole recordings of 4 (seed 0)"
    assert card["measured_on"] in (tmp_path / "out" / "index.html").read_text()
    assert contents(data) == before


def test_without_recordings_in_names_the_card_warns_of_neighbours(
    tmp_path: Path, trainer: FakeTrainer
) -> None:
    request = TrainRequest(export(tmp_path / "data", 6), tmp_path / "out", "yolo11n.yaml")
    card = train(replace(request, split=0.3))
    assert card["split"]["by"] == "moment" and len(card["split"]["held_out"]) == 2
    assert "neighbours in time" in card["measured_on"]
    whole = train(replace(request, out=tmp_path / "whole"))
    assert (whole["split"], whole["val_is_train"]) == (None, True)
    assert whole["measured_on"] == "the training data"
    assert trainer.calls[1]["data"] == trainer.calls[1]["val"]


@pytest.mark.parametrize("share", [-0.1, 1.0, 2.0, float("nan")])
def test_a_split_that_is_no_share_is_refused(tmp_path: Path, share: float) -> None:
    data = export(tmp_path / "data", 3)
    with pytest.raises(RequestError, match=r"option\.invalid.*between 0 and 1"):
        train(TrainRequest(data, tmp_path / "out", "yolo11n.yaml", split=share))


def test_a_split_beside_val_and_of_one_picture_is_refused(tmp_path: Path) -> None:
    data = export(tmp_path / "data", 1)
    request = TrainRequest(data, tmp_path / "out", "yolo11n.yaml", split=0.2)
    with pytest.raises(RequestError, match=r"option\.invalid.*give one"):
        train(replace(request, val=data))
    with pytest.raises(RequestError, match=r"data\.invalid.*none can be held out"):
        train(request)
    assert not (tmp_path / "out").exists()


def test_known_weights_by_name_are_told_fetched_and_stated(
    tmp_path: Path, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from perception.models.weights import catalogue, named

    content = b"\x80\x02}q\x00."
    known = replace(
        catalogue.by_name("yolo11n"), sha256=hashlib.sha256(content).hexdigest(), size_bytes=6
    )
    said = list[str]()

    def pull(name: str, folder: Path) -> Path:
        assert said and name == "yolo11n"  # told before
        folder.mkdir(parents=True)
        (folder / known.file_name).write_bytes(content)
        return folder / known.file_name

    monkeypatch.setattr(catalogue, "KNOWN", (known,))
    monkeypatch.setattr(named, "pull", pull)
    monkeypatch.setattr(named, "cache_folder", lambda: tmp_path / "cache")
    data = export(tmp_path / "data", 2)
    request = TrainRequest(data, tmp_path / "out", "yolo11n", offline=True)
    with pytest.raises(RequestError, match=r"weights\.missing.*--offline"):
        train(request, said.append)
    assert said == []
    card = train(replace(request, offline=False), said.append)
    assert "AGPL-3.0-only" in said[0] and known.sha256[:12] in said[0] and "0.0 MB" in said[0]
    assert trainer.calls[0]["model"] == str(tmp_path / "cache" / "weights" / "yolo11n.pt")
    assert (card["model"], card["started_from_sha256"]) == ("yolo11n.pt", known.sha256)
    assert card["started_from_licence"] == "AGPL-3.0-only"
    train(replace(request, out=tmp_path / "again"), said.append)  # kept: no second fetch
    assert len(said) == 1


@pytest.mark.parametrize("name", ["yolo11n-seg", "yolov5s", "mobile_sam"])
def test_a_name_that_is_no_known_detector_is_refused_with_those_there_are(
    tmp_path: Path, trainer: FakeTrainer, name: str
) -> None:
    data = export(tmp_path / "data", 1)
    with pytest.raises(RequestError, match=r"weights\.unknown.*yolov8n, yolo11n, .*\.yaml"):
        train(TrainRequest(data, tmp_path / "out", name))
    assert trainer.calls == [] and not (tmp_path / "out").exists()


def polygons(data: Path) -> Path:
    for path in (data / "labels").iterdir():
        path.write_text("0 0.1 0.1 0.4 0.1 0.4 0.6\n")
    return data


def test_a_student_that_segments_says_so_and_refuses_boxes(
    tmp_path: Path, trainer: FakeTrainer
) -> None:
    boxes, data = export(tmp_path / "boxes", 2), polygons(export(tmp_path / "data", 2))
    card = train(TrainRequest(data, tmp_path / "out", "yolo11n-seg.yaml"))
    assert card["task"] == "segment"
    card = train(TrainRequest(data, tmp_path / "boxed", "yolo11n.yaml"))
    assert card["task"] == "detect"  # polygons give boxes
    trainer.figures = {"metrics/mAP50(M)": 0.5}  # an architecture whose name does not say it
    assert train(TrainRequest(data, tmp_path / "own", "own.yaml"))["task"] == "segment"
    for request in (
        TrainRequest(boxes, tmp_path / "none", "yolo11n-seg.yaml"),
        TrainRequest(data, tmp_path / "none", "yolo11n-seg.yaml", val=boxes),
    ):
        with pytest.raises(RequestError, match=r"data\.invalid.*0\.txt: holds boxes.*polygons"):
            train(request)
    assert len(trainer.calls) == 3 and not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("network", "task"), [("DetectionModel", "detect"), ("SegmentationModel", "segment")]
)
def test_what_weights_learn_is_read_from_the_file(
    tmp_path: Path, trainer: FakeTrainer, network: str, task: str
) -> None:
    data, path = polygons(export(tmp_path / "data", 1)), whole_network(tmp_path, network)
    request = TrainRequest(data, tmp_path / "out", str(path), trust_weights=True)
    assert train(request)["task"] == task


def test_weights_that_neither_detect_nor_segment_are_refused(tmp_path: Path) -> None:
    data, path = export(tmp_path / "data", 1), whole_network(tmp_path, "PoseModel")
    with pytest.raises(RequestError, match=r"weights\.invalid.*PoseModel"):
        train(TrainRequest(data, tmp_path / "out", str(path), trust_weights=True))


def whole_network(folder: Path, name: str) -> Path:
    """Write what torch.save writes of a network of ultralytics, without the numbers."""
    path = folder / "network.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("network/data.pkl", f"\x80\x02cultralytics.nn.tasks\n{name}\n.")
        archive.writestr("network/version", "3\n")
    return path


def test_settings_have_bounds() -> None:
    assert TrainConfig().seed == 0
    with pytest.raises(ValueError):
        TrainConfig(epochs=0)
