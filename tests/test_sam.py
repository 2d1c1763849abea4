"""perception_sam against the `segment-anything` package and against hostile checkpoints."""

import pickle
import zlib
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from perception import masks as masks_
from perception.bench import segment_memory
from perception.bootstrap import harden
from perception.boxes import paired_ious
from perception.config import ObserveConfig
from perception.errors import RequestError
from perception.types import UInt8

harden()  # before anything below imports ultralytics

from perception_sam.architecture import builder_name, load_sam  # noqa: E402
from perception_sam.segmenter import (  # noqa: E402
    SamSegmenter,
    crop_logits,
    load_segmenter,
    resized_hw,
    stability,
    upsample,
)

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
BOXES = np.array([[20, 230, 805, 740], [48, 398, 245, 903], [670, 380, 809.5, 880]], np.float32)


def real_image() -> UInt8:
    """A photograph that ships with the ultralytics package: (1080, 810, 3)."""
    path = Path(str(resources.files("ultralytics"))) / "assets" / "bus.jpg"
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


@pytest.fixture(scope="module")
def vit_b(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The reference's ViT-B with random weights, and its checkpoint."""
    segment_anything = pytest.importorskip("segment_anything")
    torch.manual_seed(0)
    reference = segment_anything.sam_model_registry["vit_b"]()
    with torch.no_grad():  # what the package initialises with zeros must matter as well
        for parameter in reference.parameters():
            if parameter.abs().max() == 0:
                parameter.normal_(std=0.02)
    path = tmp_path_factory.mktemp("vit_b") / "renamed.pth"
    torch.save(reference.state_dict(), path)
    return reference.eval(), path


def test_logits_and_masks_are_those_of_the_segment_anything_package(
    vit_b: tuple[Any, Path],
) -> None:
    from segment_anything import SamPredictor

    reference, path = vit_b
    image = real_image()
    predictor = SamPredictor(reference)
    predictor.set_image(image)
    tensor = predictor.transform.apply_boxes_torch(torch.from_numpy(BOXES), image.shape[:2])
    masks, ious, low = predictor.predict_torch(None, None, tensor, multimask_output=False)

    ours = load_segmenter(path, ObserveConfig(threads=torch.get_num_threads()))
    logits, our_ious = ours.decode(ours.encode(image), BOXES, image.shape[:2])
    scale = low.abs().max()
    assert (logits - low).abs().max() <= 1e-4 * scale
    assert (our_ious - ious).abs().max() <= 1e-4 * ious.abs().max()
    segments = ours(image, BOXES)
    found, expected = masks_.decode(segments.masks), masks[:, 0].numpy()
    union = (found | expected).sum(axis=(1, 2))
    assert union.min() > 1000  # random weights, but not empty masks
    assert ((found & expected).sum(axis=(1, 2)) / union >= 0.999).all()


def test_upsampling_and_stability_are_those_of_the_segment_anything_package(
    vit_b: tuple[Any, Path],
) -> None:
    from segment_anything.utils.amg import calculate_stability_score

    reference, _ = vit_b
    low = torch.randn(2, 1, 256, 256, generator=torch.Generator().manual_seed(1)) * 3
    for size_hw in ((375, 1242), (1080, 810), (7, 5), (1024, 1024)):
        expected = reference.postprocess_masks(low, resized_hw(*size_hw), size_hw)
        full = upsample(low, size_hw)
        torch.testing.assert_close(full, expected, rtol=0, atol=0)
        scores = calculate_stability_score(expected[:, 0], 0.0, 1.0)
        found = [stability(row) for row in full[:, 0].numpy()]
        np.testing.assert_allclose(found, scores.numpy(), rtol=1e-6)


def test_stability_of_an_empty_mask_is_zero_and_not_nan() -> None:
    assert stability(np.full((4, 4), -5, np.float32)) == 0.0


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> SamSegmenter:
    """MobileSAM with random weights, loaded from a checkpoint of another name."""
    from ultralytics.models.sam.build import build_mobile_sam

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("tiny") / "sam_l.pt"  # the name says ViT-L: keys decide
    torch.save(build_mobile_sam().state_dict(), path)
    return load_segmenter(path, ObserveConfig(threads=1, prompt_chunk=2))


def test_the_architecture_is_told_by_the_keys_and_not_by_the_file_name(tiny: SamSegmenter) -> None:
    segments = tiny(real_image(), BOXES)
    assert len(segments) == 3
    assert segments.logits.grid_hw == (256, 256)


def test_row_16_boxes_and_image_are_unchanged_after_sam(tiny: SamSegmenter) -> None:
    image, boxes = real_image(), BOXES.copy()
    before = image.copy()
    image.setflags(write=False)
    boxes.setflags(write=False)
    tiny(image, boxes)
    np.testing.assert_array_equal(boxes, BOXES)
    np.testing.assert_array_equal(image, before)


def test_row_12_chunks_do_not_change_the_masks(tiny: SamSegmenter) -> None:
    image = real_image()
    one_by_one = SamSegmenter(tiny._sam, ObserveConfig(threads=1, prompt_chunk=1))
    boxes = np.concatenate([BOXES, BOXES + 5])
    first, second = tiny(image, boxes), one_by_one(image, boxes)
    both = np.stack([masks_.decode(first.masks), masks_.decode(second.masks)])
    union = both.any(axis=0).sum(axis=(1, 2))
    assert (both.all(axis=0).sum(axis=(1, 2)) >= 0.999 * union).all()


def test_row_12_many_boxes_on_a_4k_image_stay_under_three_gigabytes(
    tiny: SamSegmenter, tmp_path: Path
) -> None:
    torch.save(tiny._sam.state_dict(), tmp_path / "random.pt")
    figures = segment_memory(str(tmp_path / "random.pt"), boxes=40, width=3840, height=2160)
    # 40 masks at full size alone would be 1.3 GB more than the chunk of 8 that is ever in memory.
    assert figures["peak_gb"] < min(3.0, figures["loaded_gb"] + 1.3)


def test_without_boxes_nothing_is_encoded(
    tiny: SamSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode(self: SamSegmenter, image_rgb: UInt8) -> None:
        raise AssertionError("the image was encoded")

    monkeypatch.setattr(SamSegmenter, "encode", encode)
    assert len(tiny(real_image(), np.zeros((0, 4), np.float32))) == 0


def test_one_pixel_images_pass(tiny: SamSegmenter) -> None:
    segments = tiny(np.zeros((1, 1, 3), np.uint8), np.array([[0, 0, 1, 1]], np.float32))
    assert segments.masks.size_hw == (1, 1)


def test_logits_are_cut_to_the_masks_cells_plus_four_inside_the_image() -> None:
    logits = np.full((256, 256), -8, np.float32)
    logits[10:12, 100:103] = 3.5
    logits[200:, :] = 9  # the padding below a 375 x 1242 image: not part of it
    cells, data = crop_logits(logits, (375, 1242))
    assert cells.tolist() == [96, 6, 107, 16]
    crop = np.frombuffer(zlib.decompress(data), "<f2").reshape(10, 11)
    np.testing.assert_array_equal(crop, logits[6:16, 96:107])
    cells, data = crop_logits(np.full((256, 256), -8, np.float32), (375, 1242))
    assert (cells.tolist(), data) == ([0, 0, 0, 0], b"")


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({"image_encoder.patch_embed.proj.weight": (768, 3, 16, 16)}, "build_sam_vit_b"),
        ({"image_encoder.patch_embed.proj.weight": (1024, 3, 16, 16)}, "build_sam_vit_l"),
        ({"image_encoder.patch_embed.proj.weight": (1280, 3, 16, 16)}, "build_sam_vit_h"),
        ({"image_encoder.patch_embed.seq.0.c.weight": (32, 3, 3, 3)}, "build_mobile_sam"),
    ],
)
def test_each_architecture_is_known_by_a_key(
    shapes: dict[str, tuple[int, ...]], expected: str
) -> None:
    assert builder_name(shapes, "file") == expected


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mobile_sam.pt"
    for state, message in (
        ({"model.0.conv.weight": torch.zeros(1)}, "no SAM checkpoint"),
        ({}, "no tensors"),
        ({"image_encoder.patch_embed.seq.0.c.weight": torch.zeros(1)}, "does not fit"),
        ({"epoch": 3}, "not a state dict"),
    ):
        torch.save(state, path)
        with pytest.raises(RequestError, match=message):
            load_sam(path, "cpu")


class Canary:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self._path,)


def test_row_30_a_malicious_checkpoint_runs_nothing(tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "mobile_sam.pt"
    for protocol in (2, 4):
        path.write_bytes(pickle.dumps({"a": Canary(canary)}, protocol))
        with pytest.raises(RequestError, match=r"weights\.invalid"):
            load_sam(path, "cpu")
    torch.save({"a": Canary(canary)}, path)
    with pytest.raises(RequestError, match=r"weights\.invalid"):
        load_sam(path, "cpu")
    assert not canary.exists()


def test_the_masks_of_real_weights_fit_their_boxes() -> None:
    weights = SHARED / "weights" / "mobile_sam.pt"
    if not weights.is_file():
        pytest.skip("needs ../shared/data/weights/mobile_sam.pt")
    segments = load_segmenter(weights, ObserveConfig(threads=2))(real_image(), BOXES)
    tight = segments.masks.boxes_xyxy.astype(np.float32)
    assert (paired_ious(tight, BOXES) > 0.85).all()
    assert (segments.predicted_ious > 0.8).all()
    assert max(len(data) for data in segments.logits.data) < 256 * 256 * 2 * 0.5
