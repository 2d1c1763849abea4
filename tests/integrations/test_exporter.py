"""SAM as ONNX: what onnxruntime answers with the files, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from perception import cli
from perception.core.config import ObserveConfig
from perception.core.errors import RequestError
from perception.models.import_guard import harden

harden()  # before anything below imports ultralytics

from perception_sam import exporter
from perception_sam.backends import load_backend

pytestmark = pytest.mark.models


def test_the_files_answer_any_number_of_prompts_as_pytorch_does(
    mobile_sam: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import onnxruntime

    assert exporter.SIDE_PX == 1024
    monkeypatch.setattr(exporter, "SIDE_PX", 256)  # the same steps for a sixteenth of the cells
    out = tmp_path / "onnx"
    assert cli.run(["weights", "export", str(mobile_sam), "--out", str(out), "--json"]) == cli.FINE
    files = json.loads(capsys.readouterr().out)["files"]
    assert [file["name"] for file in files] == ["encoder.onnx", "decoder.onnx", "decoder3.onnx"]
    assert all(file["difference"] <= 1e-4 and file["onnx_s"] > 0 for file in files)
    assert all(file["size_bytes"] == (out / file["name"]).stat().st_size for file in files)

    backend = load_backend(mobile_sam, ObserveConfig(threads=2, backend="torch"))
    noise = np.random.default_rng(5).normal(size=(1, 256, 16, 16)).astype(np.float32)
    encoder = onnxruntime.InferenceSession(str(out / "encoder.onnx"))
    assert encoder.get_inputs()[0].shape == [1, 3, 256, 256]
    for name, masks_each in exporter.MASKS_EACH.items():
        session = onnxruntime.InferenceSession(str(out / name))
        for count, kinds in ((1, [1, -1]), (11, [1, 0, 2, 3])):
            xy = np.random.default_rng(count).uniform(0, 1024, (count, len(kinds), 2))
            inputs = (noise, xy.astype(np.float32), np.array([kinds] * count))
            ours = session.run(None, dict(zip(exporter.INPUTS, inputs, strict=True)))
            expected = backend.decode(torch.from_numpy(noise), *inputs[1:], masks_each, None)
            for found, wanted in zip(ours, expected, strict=True):
                assert found.shape == wanted.shape
                assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_files_that_answer_otherwise_do_not_appear(
    mobile_sam: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "MAX_DIFFERENCE", -1.0)
    monkeypatch.setattr(exporter, "SIDE_PX", 64)
    with pytest.raises(RequestError, match=r"export\.mismatch: encoder\.onnx: ONNX Runtime diff"):
        exporter.export(mobile_sam, tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_sam_2_is_not_exported(tmp_path: Path) -> None:
    path = tmp_path / "sam2.pt"
    torch.save({"image_encoder.trunk.patch_embed.proj.weight": torch.zeros(96, 3, 7, 7)}, path)
    with pytest.raises(RequestError, match="is SAM 2; the export takes SAM and MobileSAM"):
        exporter.export(path, tmp_path / "onnx")


def test_other_weights_and_a_folder_that_holds_something_are_refused(
    mobile_sam: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["weights", "export"]
    assert cli.run([*base, "grabcut", "--out", str(tmp_path / "x")]) == cli.USAGE
    assert "expected a SAM checkpoint" in capsys.readouterr().err
    assert cli.run([*base, str(mobile_sam), "--out", str(mobile_sam.parent)]) == cli.USAGE
    assert "output.exists" in capsys.readouterr().err
