"""SAM 2 and 2.1 for images against ultralytics' own predictor functions, with random weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from perception.core.config import ObserveConfig
from perception.core.errors import RequestError
from perception.core.types import Prompt, UInt8
from perception.models.backends import segmenter_resolved
from perception.models.import_guard import harden
from perception.models.protocols import Embedded
from perception.models.registry import choose_segmenter, load_segmenter

harden()  # before anything below imports ultralytics

from perception_sam.architecture import builder_name, load_sam
from perception_sam.capabilities import capabilities
from perception_sam.loading import load_promptable
from perception_sam.sam2 import stretched
from perception_sam.views import pixels_of

pytestmark = pytest.mark.models

SIZE_HW = (90, 298)
PROMPTS = (
    Prompt((20, 30, 120, 80)),
    Prompt(points=((60, 50, 1),)),
    Prompt((48.5, 9, 245, 88), ((60, 50, 1), (100, 70, 0))),
    Prompt(points=((10, 20, 1), (200, 70, 0))),
    Prompt((270, 38, 280, 60)),
)
SAM21 = ("no_obj_embed_spatial", "obj_ptr_tpos_proj.weight", "obj_ptr_tpos_proj.bias")


def picture() -> UInt8:
    coarse = np.random.default_rng(3).integers(0, 256, (9, 30, 3), np.uint8)
    return np.asarray(coarse.repeat(10, axis=0).repeat(10, axis=1)[:, :298])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """SAM 2.1's tiny model with random weights, and its checkpoint as Meta lays it out."""
    from ultralytics.models.sam.build import build_sam2_t

    torch.manual_seed(0)
    model = build_sam2_t()
    model.no_obj_embed_spatial = torch.nn.Parameter(torch.zeros(1, 64))
    model.obj_ptr_tpos_proj = torch.nn.Linear(256, 64)
    with torch.no_grad():  # what is initialised with zeros must matter as well
        for parameter in model.parameters():
            if parameter.abs().max() == 0:
                parameter.normal_(std=0.02)
    path = tmp_path_factory.mktemp("tiny") / "mobile_sam.pt"  # the name says otherwise: keys decide
    torch.save({"model": model.state_dict()}, path)
    return model.eval(), path


@pytest.fixture(scope="module")
def features(tiny: tuple[Any, Path]) -> tuple[Any, Any]:
    """Ultralytics' predictor around the same model, and what it sees of the stretched picture."""
    from ultralytics.models.sam import SAM2Predictor

    predictor = SAM2Predictor(overrides={"imgsz": 1024, "device": "cpu", "verbose": False})
    predictor.setup_model(model=tiny[0], verbose=False)
    with torch.inference_mode():
        pixels = torch.from_numpy(pixels_of(picture(), stretched(SIZE_HW)))
        return predictor, predictor.get_im_features(pixels)


@pytest.fixture(scope="module")
def embedded(tiny: tuple[Any, Path]) -> Embedded:
    return load_promptable(tiny[1], ObserveConfig(threads=2, prompt_chunk=2)).embed(picture())


def close(found: Any, expected: Any) -> bool:
    """Tell whether logits agree to 1e-4 of the largest."""
    return bool(np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("masks_each", [1, 3])
@pytest.mark.parametrize("refine", [False, True])
def test_answers_are_those_of_ultralytics_own_functions(
    embedded: Embedded, features: tuple[Any, Any], masks_each: int, refine: bool
) -> None:
    fed = embedded(PROMPTS, 3).low_logits[:, 1] if refine else None
    answers = embedded(PROMPTS, masks_each, fed)
    predictor, seen = features
    for row, prompt in enumerate(PROMPTS):
        corners = np.array(prompt.box_xyxy).reshape(-1, 2)
        points = np.array(prompt.points).reshape(-1, 3)
        xy = np.concatenate([corners, points[:, :2]]) * [1024 / 298, 1024 / 90]
        labels = [*(2, 3)[: len(corners)], *points[:, 2].astype(int)]
        with torch.inference_mode():
            logits, ious = predictor._inference_features(
                seen,
                torch.tensor(xy[None], dtype=torch.float32),
                torch.tensor([labels], dtype=torch.int32),
                None if fed is None else torch.from_numpy(fed[row])[None, None].clamp(-32, 32),
                multimask_output=masks_each == 3,
            )
        assert close(answers.low_logits[row], logits.numpy())
        scores = answers.segments.predicted_ious[row * masks_each : (row + 1) * masks_each]
        assert close(scores, ious.numpy())


def test_masks_come_back_from_the_stretched_square(embedded: Embedded) -> None:
    answers = embedded(PROMPTS, 1)
    low = torch.from_numpy(answers.low_logits)
    expected = torch.nn.functional.interpolate(low, SIZE_HW, mode="bilinear")[:, 0].numpy() > 0
    from perception.core.masks import decode

    ours = decode(answers.segments.masks)
    union = (ours | expected).sum(axis=(1, 2))
    assert union.min() > 100
    assert ((ours & expected).sum(axis=(1, 2)) >= 0.9 * union).all()  # theirs skips the square


def test_a_run_prompts_it_with_boxes(tiny: tuple[Any, Path]) -> None:
    choice = choose_segmenter(str(tiny[1].rename(tiny[1].with_name("random21.pt"))))
    config = ObserveConfig(threads=2)
    segmenter = load_segmenter(choice.spec.kind, choice.path, config)
    boxes = np.array([PROMPTS[0].box_xyxy, PROMPTS[4].box_xyxy], np.float32)
    segments = segmenter(picture(), boxes)
    assert len(segments) == 2
    np.testing.assert_allclose(segments.logits.cells_per_px_xy[0], [256 / 298, 256 / 90])
    assert len(segmenter(picture(), boxes[:0])) == 0
    choice.path.rename(tiny[1])


def test_a_precision_that_only_sam_has_is_refused(tiny: tuple[Any, Path]) -> None:
    with pytest.raises(RequestError, match="precision bf16: torch computes this model in fp32"):
        segmenter_resolved(ObserveConfig(precision="bf16"), capabilities(tiny[1]))


@pytest.mark.parametrize("missing", [SAM21, SAM21[1:], ("no_mem_embed",)])
def test_a_checkpoint_is_sam_2_or_21_whole_or_refused(
    tiny: tuple[Any, Path], tmp_path: Path, missing: tuple[str, ...]
) -> None:
    state = {key: value for key, value in tiny[0].state_dict().items() if key not in missing}
    torch.save(state, tmp_path / "sam.pt")
    if missing == SAM21:  # then it is SAM 2
        load_sam(tmp_path / "sam.pt", "cpu")
        return
    with pytest.raises(RequestError, match="does not fit its architecture"):
        load_sam(tmp_path / "sam.pt", "cpu")


@pytest.mark.parametrize(
    ("channels", "blocks", "expected"),
    [
        (96, 12, "build_sam2_t"),
        (96, 16, "build_sam2_s"),
        (112, 24, "build_sam2_b"),
        (144, 48, "build_sam2_l"),
        (96, 13, ""),
    ],
)
def test_each_size_is_known_by_its_keys(channels: int, blocks: int, expected: str) -> None:
    shapes: dict[str, tuple[int, ...]] = {
        "image_encoder.trunk.patch_embed.proj.weight": (channels, 3, 7, 7),
        **{f"image_encoder.trunk.blocks.{i}.norm1.weight": (channels,) for i in range(blocks)},
    }
    if expected:
        assert builder_name(shapes, "file") == expected
        return
    with pytest.raises(RequestError, match="96 channels and 13 blocks"):
        builder_name(shapes, "file")
