"""Prompts of every kind against the `segment-anything` package's predictor, with its weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from perception.core import masks as masks_
from perception.core.config import EverythingConfig, ObserveConfig
from perception.core.errors import RequestError
from perception.core.types import Answers, Float32, Prompt, UInt8
from perception.models.everything import everything
from perception.models.import_guard import harden
from perception.models.protocols import Embedded

harden()  # before anything below imports ultralytics or OpenVINO

from perception_sam.architecture import load_sam
from perception_sam.backends import load_backend
from perception_sam.loading import load_promptable
from perception_sam.prompting import PromptedSam

pytestmark = pytest.mark.models

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
SIZE_HW = (90, 298)  # KITTI's proportions
BOXES = ((20.0, 30.0, 120.0, 80.0), (48.5, 9.0, 245.0, 88.0), (270.0, 38.0, 280.5, 60.0))
POINTS = (((60.0, 50.0, 1),), ((60.0, 50.0, 1), (100.0, 70.0, 0), (10.5, 20.0, 1)))
MIXTURE = (  # each kind of prompt, those with as many tokens apart
    Prompt(points=POINTS[1]),
    Prompt(BOXES[0]),
    Prompt(BOXES[1], POINTS[0]),
    Prompt(points=POINTS[0]),
    Prompt(BOXES[2], POINTS[1]),
    Prompt(BOXES[2]),
    Prompt(BOXES[1]),
)


def picture() -> UInt8:
    """Blobs of many sizes."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (9, 30, 3), np.uint8)
    return np.asarray(coarse.repeat(10, axis=0).repeat(10, axis=1)[:, :298])


@pytest.fixture(scope="module")
def mobile(mobile_sam: Path) -> tuple[Any, Path]:
    """The package's predictor around TinyViT, random weights, an image set; and its checkpoint."""
    segment_anything = pytest.importorskip("segment_anything")
    predictor = segment_anything.SamPredictor(package_sam(load_sam(mobile_sam, "cpu")))
    predictor.set_image(picture())
    return predictor, mobile_sam


def package_sam(model: Any) -> Any:
    """Give a MobileSAM of ultralytics the package's prompt encoder, decoder and arithmetic."""
    from segment_anything import modeling

    sam = modeling.Sam(
        model.image_encoder,
        modeling.PromptEncoder(256, (64, 64), (1024, 1024), 16),
        modeling.MaskDecoder(
            transformer_dim=256, transformer=modeling.TwoWayTransformer(2, 256, 8, 2048)
        ),
    )
    sam.image_encoder.img_size = 1024
    for part in ("prompt_encoder", "mask_decoder"):
        getattr(sam, part).load_state_dict(getattr(model, part).state_dict(), strict=True)
    return sam.eval()


@pytest.fixture(scope="module")
def embedded(mobile: tuple[Any, Path]) -> Embedded:
    config = ObserveConfig(threads=2, backend="torch", prompt_chunk=2)
    return load_promptable(mobile[1], config).embed(picture())


def reference(
    predictor: Any, prompts: Sequence[Prompt], masks_each: int, low_logits: Float32 | None
) -> list[tuple[Any, Any, Any]]:
    """Ask the package about one prompt after the other, as its users do."""
    answers = []
    for row, prompt in enumerate(prompts):
        points = np.array(prompt.points).reshape(-1, 3)
        answers.append(
            predictor.predict(
                point_coords=points[:, :2] if len(points) else None,
                point_labels=points[:, 2] if len(points) else None,
                box=np.array(prompt.box_xyxy) if prompt.box_xyxy else None,
                mask_input=None if low_logits is None else low_logits[row : row + 1],
                multimask_output=masks_each == 3,
            )
        )
    return answers


def compare(found: Answers, expected: list[tuple[Any, Any, Any]]) -> None:
    masks, ious, low = (np.stack(parts) for parts in zip(*expected, strict=True))
    assert found.low_logits.shape == low.shape
    assert np.abs(found.low_logits - low).max() <= 1e-4 * np.abs(low).max()
    segments = found.segments
    assert np.abs(segments.predicted_ious - ious.ravel()).max() <= 1e-4 * np.abs(ious).max()
    ours, theirs = masks_.decode(segments.masks), masks.reshape(-1, *SIZE_HW)
    union = (ours | theirs).sum(axis=(1, 2))
    assert union.min() > 100  # random weights, but not empty masks
    assert ((ours & theirs).sum(axis=(1, 2)) >= 0.999 * union).all()


@pytest.mark.parametrize("masks_each", [1, 3])
def test_answers_are_those_of_the_segment_anything_package(
    mobile: tuple[Any, Path], embedded: Embedded, masks_each: int
) -> None:
    """The package answers one by one: filling up the shorter prompts would show."""
    compare(embedded(MIXTURE, masks_each), reference(mobile[0], MIXTURE, masks_each, None))


@pytest.mark.parametrize("masks_each", [1, 3])
def test_logits_fed_back_refine_as_in_the_segment_anything_package(
    mobile: tuple[Any, Path], embedded: Embedded, masks_each: int
) -> None:
    earlier = embedded(MIXTURE, 3).low_logits[:, 1]
    expected = reference(mobile[0], MIXTURE, masks_each, earlier)
    compare(embedded(MIXTURE, masks_each, earlier), expected)
    alone = [Prompt()] * 2  # earlier logits may be all that is said
    expected = reference(mobile[0], alone, masks_each, earlier[:2])
    compare(embedded(alone, masks_each, earlier[:2]), expected)


def test_openvino_answers_logits_alone_as_pytorch_does(
    mobile: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No token at all: the one shape that its own tests do not have."""
    pytest.importorskip("openvino")
    monkeypatch.setenv("PERCEPTION_CACHE", "off")
    noise = np.random.default_rng(0).normal(size=(1, 256, 64, 64)).astype(np.float32)
    inputs = (np.zeros((2, 0, 2), np.float32), np.zeros((2, 0), np.int64), 1)
    answers = []
    for name in ("openvino", "torch"):
        config = ObserveConfig.model_validate({"threads": 2, "backend": name})
        backend = load_backend(mobile[1], config)
        embedding = noise if name == "openvino" else torch.from_numpy(noise)
        answers.append(
            backend.decode(embedding, *inputs, 20 * noise[0, :2].repeat(4, 1).repeat(4, 2))
        )
    assert np.abs(answers[0][0] - answers[1][0]).max() <= 1e-4 * np.abs(answers[1][0]).max()


def test_no_prompts_are_no_answers(embedded: Embedded) -> None:
    answers = embedded([], 3)
    assert len(answers.segments) == 0
    assert answers.low_logits.shape == (0, 3, 256, 256)


class Blind:
    """A backend that must not be asked."""

    def encode(self, pixels: Float32) -> None:
        assert pixels.shape == (1, 3, 1024, 1024)

    def decode(self, *_: object) -> None:
        raise AssertionError("a bad prompt was decoded")


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (Prompt(), "prompt 2 has neither a box nor a point"),
        (Prompt(points=((5, 5, 0),)), "prompt 2 says what the object is not: add a box"),
        (Prompt((0, 0, 10)), "expected four finite numbers"),
        (Prompt((0, 0, 10, float("nan"))), "expected four finite numbers"),
        (Prompt((0, 0, 10, float("inf"))), "expected four finite numbers"),
        (Prompt((10, 0, 10, 5)), "expected x0 < x1 and y0 < y1"),
        (Prompt((0, 0, 299, 90)), "is not inside the 298 x 90 image: cut it to 0, 0, 298, 90"),
        (Prompt((-1, 0, 20, 90)), "is not inside the 298 x 90 image"),
        (Prompt(points=((298, 5, 1),)), "the point 298, 5, which is not inside the 298 x 90"),
        (Prompt(points=((5, -0.5, 1),)), "which is not inside the 298 x 90 image"),
        (Prompt(points=((float("nan"), 5, 1),)), "which is not inside the 298 x 90 image"),
        (Prompt(points=((5, 5, 1), (6, 6, 2))), "label 2, expected 1 .on the object. or 0"),
        (Prompt(points=((5, 5, -1),)), "label -1"),
    ],
)
def test_bad_prompts_are_refused_with_their_number(prompt: Prompt, message: str) -> None:
    embedded = PromptedSam(Blind(), ObserveConfig()).embed(picture())
    with pytest.raises(RequestError, match=message):
        embedded([Prompt(BOXES[0]), prompt], 1)


def test_logits_of_another_shape_or_with_nan_are_refused() -> None:
    embedded = PromptedSam(Blind(), ObserveConfig()).embed(picture())
    good = np.zeros((1, 256, 256), np.float32)
    for bad in (good[0], good[:, :, :255], np.zeros((2, 256, 256), np.float32), good + np.nan):
        with pytest.raises(RequestError, match="low_logits has shape"):
            embedded([Prompt(BOXES[0])], 1, bad)
    with pytest.raises(RequestError, match="2 masks for each prompt, expected 1 or 3"):
        embedded([Prompt(BOXES[0])], 2)


@pytest.mark.parametrize("min_region_px", [0, 60])
def test_everything_finds_the_masks_of_the_packages_generator(min_region_px: int) -> None:
    """Real weights, since random ones give masks of the whole image."""
    weights = SHARED / "weights" / "mobile_sam.pt"
    if not weights.is_file():
        pytest.skip("needs ../shared/data/weights/mobile_sam.pt")
    segment_anything = pytest.importorskip("segment_anything")
    model = load_promptable(weights, ObserveConfig(threads=2, backend="torch"))
    generator = segment_anything.SamAutomaticMaskGenerator(
        package_sam(load_sam(weights, "cpu")),
        points_per_side=4,
        pred_iou_thresh=0.7,
        stability_score_thresh=0.8,
        min_mask_region_area=min_region_px,
    )
    found = everything(
        model,
        picture(),
        EverythingConfig(
            points_per_side=4, min_predicted_iou=0.7, min_stability=0.8, min_region_px=min_region_px
        ),
    )
    expected = generator.generate(picture())
    assert len(found) == len(expected) > 5
    theirs = np.stack([answer["segmentation"] for answer in expected])
    ours = masks_.decode(found.masks)
    union = (ours | theirs).sum(axis=(1, 2))
    assert ((ours & theirs).sum(axis=(1, 2)) >= 0.99 * union).all()
    for name, values in (
        ("predicted_iou", found.predicted_ious),
        ("stability_score", found.stabilities),
    ):
        np.testing.assert_allclose(values, [answer[name] for answer in expected], atol=1e-3)
