"""The shipped detector: is it the file that its card describes, and does it find anything?"""

import json
from pathlib import Path

import numpy as np
import pytest

from perception.core import boxes
from perception.core.config import ObserveConfig
from perception.core.types import Picture
from perception.formats import coco
from perception.io.images import decode_image
from perception.models import weights
from perception.models.registry import choose_detector, load_detector

pytestmark = pytest.mark.models

POCKET = Path(__file__).parents[2] / "datasets" / "pocket"
MAX_BYTES = 8_000_000


def test_the_card_is_that_of_the_file_and_says_what_it_knows() -> None:
    card = json.loads((POCKET / "card.json").read_text())
    assert weights.sha256_of(POCKET / "pocket.onnx") == card["sha256"]["best.onnx"]
    assert (POCKET / "pocket.onnx").stat().st_size <= MAX_BYTES
    assert "synthetic streets only" in card["what"]
    assert card["licence"] == "AGPL-3.0-only"


def test_it_finds_most_large_objects_of_a_street_it_has_not_seen(tmp_path: Path) -> None:
    pytest.importorskip("open3d")
    from perception.synthetic.command import synthesize
    from perception_open3d.caster import load_caster

    synthesize(tmp_path / "drive", 1, 20_000, load_caster(), lambda done, total: None)
    truth = coco.read(tmp_path / "drive" / "truth.json")[0]
    image = decode_image(tmp_path / "drive" / truth.file_name)
    choice = choose_detector(str(POCKET / "pocket.onnx"), trust_weights=False)
    detector = load_detector(choice.spec.kind, choice.path, ObserveConfig(threads=1))
    found = detector(Picture("", truth.file_name, image))
    rows = truth.annotations.detections
    sides = rows.boxes_xyxy[:, 2:] - rows.boxes_xyxy[:, :2]
    large = ~truth.annotations.iscrowd & (sides.prod(axis=1) >= 48**2)
    ious = boxes.ious(rows.boxes_xyxy[large], found.boxes_xyxy)
    same = np.array([rows.class_names[i] for i in rows.class_ids[large]])[:, None] == np.array(
        [found.class_names[i] for i in found.class_ids]
    )
    assert large.sum() >= 3
    assert ((ious >= 0.5) & same).any(axis=1).mean() >= 0.5
