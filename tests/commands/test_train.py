"""Training a tiny model on a tiny export: what is written, what is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

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


def test_settings_have_bounds() -> None:
    assert TrainConfig().seed == 0
    with pytest.raises(ValueError):
        TrainConfig(epochs=0)
