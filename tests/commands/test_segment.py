"""`perception segment`: how prompts are written, what is written, and what is refused."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception import cli
from perception.commands.segment import parse_prompts
from perception.core import masks as masks_
from perception.core.config import ObserveConfig
from perception.core.errors import RequestError
from perception.core.types import Answers, Float32, Prompt, UInt8
from perception.models import registry
from perception.models.fakes import BoxFiller
from perception.models.protocols import Embedded, Promptable

SIZE_HW = (40, 60)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "street.png"
    pixels = np.random.default_rng(0).integers(0, 255, (*SIZE_HW, 3), np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return path


class Filler:
    """Answers a box with its pixels, and points with a square around the first."""

    def embed(self, image_rgb: UInt8) -> "Embedded":
        def look(
            prompts: "list[Prompt]", masks_each: int, low_logits: Float32 | None = None
        ) -> Answers:
            boxes = [
                prompt.box_xyxy or (x - 4, y - 4, x + 4, y + 4)
                for prompt in prompts
                for x, y, _ in [prompt.points[0] if prompt.points else (0, 0, 1)]
                for _ in range(masks_each)
            ]
            low = np.zeros((len(prompts), masks_each, 256, 256), np.float32)
            return Answers(BoxFiller()(image_rgb, np.array(boxes, np.float32)), low)

        return look  # type: ignore[return-value]


@pytest.fixture(autouse=True)
def filler(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(text: str, config: ObserveConfig) -> Promptable:
        assert config.threads > 0
        return Filler()

    monkeypatch.setattr(registry, "load_promptable", load)


def test_each_box_is_an_object_and_points_say_which_they_belong_to() -> None:
    found = parse_prompts(
        ["1,2,30,20", "5,5,9.5,9"], ["2:6,6", "1:8,8,0", "2:7,7,1", "3:50,30", " 3: 51, 31, 0"]
    )
    assert found == (
        Prompt((1, 2, 30, 20), ((8, 8, 0),)),
        Prompt((5, 5, 9.5, 9), ((6, 6, 1), (7, 7, 1))),
        Prompt((), ((50, 30, 1), (51, 31, 0))),
    )


def test_points_without_a_number_are_of_the_one_object() -> None:
    assert parse_prompts([], ["6,6", "8,8,0"]) == (Prompt((), ((6, 6, 1), (8, 8, 0))),)
    assert parse_prompts(["1,2,3,4"], ["2,3"]) == (Prompt((1, 2, 3, 4), ((2, 3, 1),)),)
    assert parse_prompts([], []) == ()


@pytest.mark.parametrize(
    ("boxes", "points", "message"),
    [
        (["1,2,3"], [], "--box 1,2,3: expected 4 numbers"),
        (["1,2,3,x"], [], "--box 1,2,3,x: expected 4 numbers"),
        ([], ["5"], r"--point 5: expected \[OBJECT:\]x,y\[,LABEL\]"),
        ([], ["a,5"], "--point a,5: expected 2 numbers"),
        ([], ["1,5,2"], "the label is 2, expected 1"),
        ([], ["1,5,1,1"], r"expected \[OBJECT:\]x,y\[,LABEL\]"),
        ([], ["0:1,5"], "objects are counted from 1"),
        ([], ["900000:1,5"], "objects are counted from 1"),
        ([], ["1:1,5", "3:2,2", "3:2,4"], "object 2 of 3 has neither a box nor a point"),
        (["1,2,3,4", "1,2,5,6"], ["1,2"], "which of the 2 boxes .* --point 1:1,2 for the first"),
    ],
)
def test_prompts_that_are_not_understood_are_refused(
    boxes: list[str], points: list[str], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        parse_prompts(boxes, points)


def test_an_overlay_coco_masks_and_cut_outs_are_written(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    tokens = ["--box", "10,10,30,20", "--point", "2:44,20", "--cutout", "--json"]
    assert cli.run(["segment", str(image), "--segmenter", "x", "--out", str(out), *tokens]) == 0
    rows = json.loads(capsys.readouterr().out)["masks"]
    assert [(row["object"], row["area_px"]) for row in rows] == [(1, 200), (2, 64)]

    coco = json.loads((out / "masks.json").read_text())
    assert coco["images"][0]["file_name"] == "street.png"
    assert coco["categories"][0]["name"] == "object"
    first, second = coco["annotations"]
    mask = masks_.decode_one(masks_.from_coco(first["segmentation"]), 0)
    assert mask.sum() == 200 and mask[10:20, 10:30].all()
    assert second["bbox"] == [40, 16, 8, 8]

    pixels = cv2.imread(str(image))
    cut = cv2.imread(str(out / "cutout-001.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(cut[..., :3], pixels[10:20, 10:30])
    assert (cut[..., 3] == 255).all()
    overlay = cv2.imread(str(out / "overlay.png"))
    changed = (overlay != pixels).any(axis=2)
    assert changed[12:18, 12:28].all() and changed[20, 44] and not changed[30:, :].any()


def test_three_masks_each_keep_the_number_of_their_object(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = ["--point", "9,9", "--point", "2:40,20", "--masks-each", "3", "--json"]
    out = str(tmp_path / "out")
    assert cli.run(["segment", str(image), "--segmenter", "x", "--out", out, *tokens]) == 0
    rows = json.loads(capsys.readouterr().out)["masks"]
    assert [row["object"] for row in rows] == [1, 1, 1, 2, 2, 2]


def test_everything_is_segmented_without_prompts(image: Path, tmp_path: Path) -> None:
    base = ["segment", str(image), "--segmenter", "x"]
    tokens = ["--everything", "--points-per-side", "2"]
    assert cli.run([*base, "--out", str(tmp_path / "out"), *tokens]) == 0
    coco = json.loads((tmp_path / "out" / "masks.json").read_text())
    assert [row["area"] for row in coco["annotations"]] == [64] * 4


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([], "prompt.invalid: give --box or --point"),
        (["--box", "1,1,5,5", "--everything"], "prompt.invalid: give --box or --point"),
        (["--everything", "--min-stability", "2"], "config.invalid: options: min_stability"),
        (["--box", "1,1,5,5", "--backend", "magic"], 'Invalid value "magic" for --backend'),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    image: Path,
    tmp_path: Path,
    tokens: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    code = cli.run(["segment", str(image), "--segmenter", "x", "--out", str(out), *tokens])
    assert code == cli.USAGE
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_that_holds_something_is_not_written_to(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = ["--segmenter", "x", "--out", str(image.parent), "--box", "1,1,5,5"]
    assert cli.run(["segment", str(image), *tokens]) == cli.USAGE
    assert "output.exists" in capsys.readouterr().err


def test_overwrite_discards_what_segment_wrote_and_nothing_else(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["segment", str(image), "--segmenter", "x", "--out", str(out), "--box", "1,1,5,5"]
    assert cli.run([*command, "--cutout"]) == cli.FINE
    assert cli.run(command) == cli.USAGE
    assert cli.run([*command, "--overwrite"]) == cli.FINE
    assert sorted(path.name for path in out.iterdir()) == ["masks.json", "overlay.png"]
    command[command.index(str(out))] = str(image.parent)
    assert cli.run([*command, "--overwrite"]) == cli.USAGE
    assert "holds something else (no masks.json)" in capsys.readouterr().err and image.is_file()


def test_a_model_for_boxes_only_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(RequestError, match="answers boxes only"):
        registry.load_promptable("grabcut", ObserveConfig())
