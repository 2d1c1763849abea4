"""Chromium at work on the report: where labels are drawn, what a click and a key do."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.spatial import KDTree

from perception import cli
from perception.core import masks as masks_
from perception.core.ontology import load_ontology
from perception.core.types import (
    Instances,
    Picture,
    PictureLabels,
    PointLabels,
    Sample,
    SampleLabels,
    Scene,
    Status,
    no_cuboids,
)
from perception.review import show
from perception.review.frames import frame_js, pack

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
ONTOLOGY = load_ontology()
SIZE_HW = (300, 1000)


def blobs(count: int, seed: int = 0) -> np.ndarray:
    """Draw (N, H, W) round, ragged masks beside each other, with a hole in the first."""
    rng = np.random.default_rng(seed)
    found = np.zeros((count, *SIZE_HW), bool)
    for row in range(count):
        x = round((row + 0.5) * SIZE_HW[1] / count)
        canvas = np.zeros(SIZE_HW, np.uint8)
        turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        reach_px = min(SIZE_HW[1] / count / 2, 100)
        radii = reach_px * rng.uniform(0.6, 0.95, len(turns))
        corners = np.column_stack([x + radii * np.cos(turns), 150 + radii * np.sin(turns)])
        cv2.fillPoly(canvas, [corners.round().astype(np.int32)], 1)
        if row == 0:
            cv2.circle(canvas, (x, 150), round(0.2 * reach_px), 0, cv2.FILLED)
        found[row] = canvas.astype(bool)
    return found


def labels(bitmaps: np.ndarray) -> SampleLabels:
    """Return cars, the last of them for review, and a person who is rejected; no points."""
    n = len(bitmaps)
    masks = masks_.encode(bitmaps)
    classes = [ONTOLOGY.id_of("car")] * (n - 1) + [ONTOLOGY.id_of("person")]
    statuses = [Status.ACCEPTED] * (n - 2) + [Status.REVIEW, Status.REJECTED]
    instances = replace(
        Instances.blank(n, SIZE_HW),
        instance_ids=np.arange(1, n + 1, dtype=np.int32),
        class_ids=np.array(classes, np.int32),
        statuses=np.array(statuses, np.uint8),
        reasons=((),) * (n - 2) + (("iou.low",), ("score.low",)),
        scores=np.full(n, 0.5, np.float32),
        boxes_xyxy=masks.boxes_xyxy.astype(np.float32),
        masks=masks,
    )
    nothing = PointLabels(*(np.zeros(0, kind) for kind in (np.uint8, np.int32, np.int32, np.uint8)))
    picture = PictureLabels("F", "f.png", SIZE_HW, instances, ())
    return SampleLabels("000001.png", (picture,), nothing, no_cuboids())


def put(report: Path, own: SampleLabels, number: int = 0) -> None:
    """Put labels in the place of those of a report's frame."""
    image = np.full((*SIZE_HW, 3), 90, np.uint8)
    file = f"pictures/{number:03d}-0.jpg"
    cv2.imwrite(str(report / file), image)
    loaded = Sample(
        own.id, (Picture("F", "f.png", image),), Scene((), np.zeros((0, 3), np.float32))
    )
    script = frame_js(pack(number, loaded, own, ONTOLOGY, (file,)))
    (report / f"frames/{number:03d}.js").write_text(script)


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory, kitti: Callable[..., Path]) -> Path:
    """Return a report of three frames with sweeps."""
    root = tmp_path_factory.mktemp("drive")
    fakes = ("--detector", "bright", "--segmenter", "boxes")
    source = f"kitti:{kitti(root / 'src', 3)}"
    assert cli.run(["label", source, *fakes, "--out", str(root / "run")]) == cli.FINE
    return show(root / "run", root / "page").page


@pytest.fixture(scope="module")
def photos(
    tmp_path_factory: pytest.TempPathFactory, draw: Callable[..., Path], crowd: Callable[..., Path]
) -> Path:
    """Return a report of pictures, one of them with a hostile name, against truth."""
    root = tmp_path_factory.mktemp("photos")
    run = crowd(root, 3, 12, draw)
    truth = root / "truth.json"
    assert cli.run(["export", str(run), "--to", "coco", "--out", str(truth)]) == cli.FINE
    return show(run, root / "page", truth=str(truth)).page


@pytest.fixture(scope="module")
def drawn(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a report whose first frame has five ragged masks: three cars accepted, two not."""
    report = shutil.copytree(photos.parent, tmp_path_factory.mktemp("drawn") / "page")
    put(report, labels(blobs(5)))
    return report / "index.html"


def open_page(page: Any, index: Path, width_px: int = 1440, frame: int = 0) -> None:
    page.set_viewport_size({"width": width_px, "height": 900 if width_px > 500 else 844})
    page.goto(index.as_uri())
    page.evaluate(f"go({frame})")
    page.wait_for_selector(f"#pictures[data-frame='{frame}'] .stage")
    page.wait_for_function("[...document.images].every((one) => one.complete)")


@pytest.mark.slow
@pytest.mark.parametrize("width_px", [1440, 390])
def test_an_outline_lies_on_the_edge_of_its_mask(page: Any, drawn: Path, width_px: int) -> None:
    open_page(page, drawn, width_px)
    page.locator(".stage").scroll_into_view_if_needed()
    stage = page.evaluate("document.querySelector('.stage').getBoundingClientRect().toJSON()")
    for row, bitmap in enumerate(blobs(5)[:4]):
        # One mask's outline alone, a pixel wide, in a colour that nothing else has.
        style = page.add_style_tag(
            content=f""".stage img, .captions, .stage svg * {{ visibility: hidden }}
            .stage .mask[data-id="{row + 1}"] {{ visibility: visible; fill-opacity: 0;
              stroke: #f0f; stroke-width: 1px; stroke-dasharray: none;
              shape-rendering: crispEdges }}"""
        )
        shot = page.locator(".stage").screenshot()
        style.evaluate("(one) => one.remove()")
        image = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR)
        pixels = (image == [255, 0, 255]).all(axis=2)
        offset = [stage["left"] % 1, stage["top"] % 1]  # of the stage in its first pixel
        wanted = edge_pixels(bitmap, stage["width"] / SIZE_HW[1], offset)
        found = np.argwhere(pixels)[:, ::-1]
        assert len(found), "an outline is drawn"
        for ours, theirs in ((found, wanted), (wanted, found)):
            assert KDTree(theirs).query(ours, p=np.inf)[0].max() <= 1, row


def edge_pixels(bitmap: np.ndarray, scale: float, offset: list[float]) -> np.ndarray:
    """Return the pixels of the screen, u and v, that the edge of an enlarged mask runs through."""
    fine = 8
    enlarged = np.kron(bitmap, np.ones((fine, fine), np.uint8)).astype(np.uint8)
    lines, _ = cv2.findContours(enlarged, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    edge = (np.concatenate(lines).reshape(-1, 2) + 0.5) / fine * scale + offset
    return np.unique(np.floor(edge), axis=0)


# The plates of captions and the height of their capitals, as the page shows them.
CAPTIONS = """() => {
  const pen = document.createElement("canvas").getContext("2d");
  return [...document.querySelectorAll(".stage")].map((stage) => ({
    stage: stage.getBoundingClientRect().toJSON(),
    plates: [...stage.querySelectorAll(".chip")].map((chip) => {
      const style = getComputedStyle(chip);
      pen.font = `${style.fontSize} ${style.fontFamily}`;
      const capital = pen.measureText("H").actualBoundingBoxAscent;
      const cut = chip.scrollWidth > chip.clientWidth + 1;
      return { ...chip.getBoundingClientRect().toJSON(), cut, capital, text: chip.textContent };
    }),
  }));
}"""


def check_captions(page: Any) -> int:
    """Check that no caption covers another, is cut, leaves its picture or is too small to read."""
    count = 0
    for picture in page.evaluate(CAPTIONS):
        stage, plates = picture["stage"], picture["plates"]
        count += len(plates)
        for place, one in enumerate(plates):
            assert one["capital"] >= 9 and not one["cut"], one
            assert one["left"] >= stage["left"] - 1 and one["right"] <= stage["right"] + 1
            assert one["top"] >= stage["top"] - 1 and one["bottom"] <= stage["bottom"] + 1
            for other in plates[:place]:
                across = min(one["right"], other["right"]) - max(one["left"], other["left"])
                down = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
                assert min(across, down) <= 0.5, (one, other)
    return count


@pytest.mark.slow
@pytest.mark.parametrize("width_px", [1440, 390])
def test_captions_can_be_read_and_cover_no_other(page: Any, photos: Path, width_px: int) -> None:
    open_page(page, photos, width_px)
    assert check_captions(page) >= (12 if width_px == 1440 else 6)


@pytest.mark.slow
@pytest.mark.parametrize("width_px", [1440, 390])
@pytest.mark.parametrize("source", ["kitti", "coco"])
def test_captions_of_crowded_streets_can_be_read(
    page: Any, source: str, width_px: int, real: dict[str, Path]
) -> None:
    open_page(page, real[source], width_px)
    count = 0
    for number, file in enumerate(page.evaluate("DATA.frames.map((frame) => frame.file)")):
        if not file:  # a frame that could not be used
            continue
        page.evaluate(f"go({number})")
        page.wait_for_selector(f"#pictures[data-frame='{number}'] .stage")
        count += check_captions(page)
    assert count >= 10


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return reports of real pictures with the boxes that people drew, filled."""
    if not (REAL / "kitti_object").is_dir() or not (REAL / "coco_inst").is_dir():
        pytest.skip("needs ../shared/data/kitti_object and coco_inst")
    root = tmp_path_factory.mktemp("real")
    sources = {
        "kitti": (f"kitti:{REAL / 'kitti_object'}", "label_2"),
        "coco": (f"images:{REAL / 'coco_inst/images'}", str(REAL / "coco_inst/instances_dev.json")),
    }
    for name, (source, boxes) in sources.items():
        tokens = ["label", source, "--boxes", boxes, "--segmenter", "boxes"]
        assert cli.run([*tokens, "--out", str(root / name)]) in (cli.FINE, cli.QUARANTINED)
    return {name: show(root / name, root / f"{name}-page").page for name in sources}


@pytest.mark.slow
@pytest.mark.parametrize("width_px", [1440, 390])
def test_the_first_screen_holds_verdict_picture_figures_and_the_next_step(
    page: Any, photos: Path, width_px: int
) -> None:
    page.set_viewport_size({"width": width_px, "height": 900 if width_px > 500 else 844})
    page.goto(photos.as_uri())
    page.wait_for_selector(".mask")
    shown = page.evaluate(
        """["#verdict", "#three", "#next code", ".stage"].map((one) =>
          document.querySelector(one).getBoundingClientRect().bottom)"""
    )
    assert max(shown) <= page.viewport_size["height"], shown
    assert page.locator("#three dd").count() == 3
    assert "100 accepted labels about 100 are right" in page.inner_text("#verdict")
    assert page.inner_text("#next code").startswith("perception ")
    text = page.inner_text("body")
    assert "fingerprint" not in text, "hashes are folded away"
    page.click("summary")
    assert "fingerprint" in page.inner_text("details")


@pytest.mark.slow
def test_switches_take_away_what_they_name(page: Any, drawn: Path) -> None:
    open_page(page, drawn)

    def seen() -> list[int]:
        kinds = (".mask", ".box", ".chip")
        return [page.locator(kind).count() for kind in kinds]

    assert seen() == [4, 4, 4], "rejected ones are off until asked for"
    for switch, left in (
        ("masks", [0, 4, 4]),
        ("boxes", [4, 0, 4]),
        ("text", [4, 4, 0]),
        ("accepted", [1, 1, 1]),
        ("review", [3, 3, 3]),
        ("car", [0, 0, 0]),
    ):
        page.click(f"#toggles input[value='{switch}']")
        assert seen() == left, switch
        page.click(f"#toggles input[value='{switch}']")
    page.click("#toggles input[value='rejected']")
    assert seen() == [4, 5, 4], "a rejected label has its box alone"
    assert "rejected (dotted) 1" in page.inner_text("#toggles")


@pytest.mark.slow
def test_a_class_that_is_called_as_a_layer_has_a_switch_of_its_own(page: Any, drawn: Path) -> None:
    open_page(page, drawn)
    page.evaluate("DATA.classes.find((one) => one.name === 'car').name = 'text'; open()")
    layer, own = page.locator("#toggles input[value='text']").all()
    layer.click()
    assert [page.locator(kind).count() for kind in (".mask", ".chip")] == [4, 0]
    own.click()
    assert page.locator(".mask").count() == 0


@pytest.mark.slow
def test_a_click_on_a_label_tells_its_story(page: Any, drawn: Path) -> None:
    open_page(page, drawn)
    assert "Click a label" in page.inner_text("#story")
    page.click(".chip >> nth=0")
    assert page.inner_text("#story h3") == "car"
    assert "Accepted: no check spoke against it." in page.inner_text("#story")
    place = page.evaluate(
        """() => { const box = document.querySelector(".mask.review").getBoundingClientRect();
                   return [box.left + box.width / 2, box.top + box.height / 2]; }"""
    )
    page.mouse.click(*place)  # a mask that is not filled
    assert "For review: the segmenter doubts its mask." in page.inner_text("#story")
    assert page.locator(".mask.chosen").count() == 1
    page.mouse.click(place[0], place[1] - 135)  # beside all
    assert page.locator(".chosen").count() == 0


# Pixels of the car's point, shares of width and height, while the canvas still holds them.
PIXELS = """
const pixelsOf = (paint) => {
  repaint(paint);
  const rgb = DATA.palettes[paint][PAINTS[paint](packed.get(number).sweep)[0]].rgb;
  view.draw();
  const source = view.renderer.domElement, copy = document.createElement("canvas");
  [copy.width, copy.height] = [source.width, source.height];
  const pen = copy.getContext("2d");
  pen.drawImage(source, 0, 0);
  const pixels = pen.getImageData(0, 0, copy.width, copy.height).data;
  const wanted = [1, 3, 5].map((at) => parseInt(rgb.slice(at, at + 2), 16));
  const found = [];
  for (let i = 0; i < pixels.length; i += 4)
    if (wanted.every((value, k) => Math.abs(pixels[i + k] - value) < 8))
      found.push(i / 4);
  const { width, height } = copy;
  return found.map((at) => [(at % width) / width, Math.floor(at / width) / height]);
};
"""
COUNT = f"(paint) => {{ {PIXELS} return pixelsOf(paint).length; }}"
# From a place where the point is neither in the middle nor on an axis.
FIND = f"""() => {{ {PIXELS}
  document.querySelector("#points").scrollIntoView();
  view.camera.position.set(0, 3, 2);
  view.controls.target.set(10, 3, 1);
  view.controls.update();
  return pixelsOf("label")[0]; }}"""


@pytest.mark.slow
def test_a_label_is_chosen_in_3d_where_it_is_clicked_and_the_other_way_round(
    page: Any, drive: Path
) -> None:
    open_page(page, drive)
    page.wait_for_selector("#points[data-points='3']")
    assert "3 of 4 points" in page.inner_text("#note")
    page.click(".mask")
    marked = "view.marks.map((mark) => mark.geometry.attributes.position.count)"
    assert page.evaluate(marked) == [1], "the one point of the car"
    page.evaluate("choose(null)")
    assert page.evaluate(marked) == []
    spot = page.evaluate(FIND)
    assert spot[0] != pytest.approx(0.5, abs=0.05) and spot[1] != pytest.approx(0.5, abs=0.05)
    box = page.locator("#points canvas").bounding_box()
    spot = box["x"] + spot[0] * box["width"], box["y"] + spot[1] * box["height"]
    page.mouse.click(*spot)
    assert page.inner_text("#story h3") == "car" and page.evaluate(marked) == [1]
    assert "1 LiDAR point" in page.inner_text("#story")
    assert page.locator(".mask.chosen").count() == 1


@pytest.mark.slow
@pytest.mark.parametrize("paint", ["label", "instance", "trust", "state"])
def test_points_are_drawn_in_the_colour_of_what_is_asked(
    page: Any, drive: Path, paint: str
) -> None:
    open_page(page, drive)
    page.wait_for_selector("#points[data-points='3']")
    assert page.evaluate(COUNT, paint) >= 4  # one point, three or four pixels wide


@pytest.mark.slow
def test_arrows_move_and_frames_are_found_by_name(page: Any, drive: Path) -> None:
    open_page(page, drive)
    assert page.input_value("#find") == "000000" and page.is_disabled("#back")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#pictures[data-frame='1'] .mask")
    assert page.inner_text("#where") == "2 of 3"
    page.fill("#find", "0002")
    page.keyboard.press("Enter")
    page.wait_for_selector("#pictures[data-frame='2'] .mask")
    assert page.input_value("#find") == "000002" and page.is_disabled("#on")
    page.keyboard.press("ArrowLeft")  # in the text, not among the frames
    assert page.inner_text("#where") == "3 of 3"
    page.fill("#find", "nowhere")
    page.keyboard.press("Enter")
    assert page.inner_text("#where") == "no frame on this page has that in its name"


@pytest.mark.slow
def test_a_hostile_name_is_shown_as_it_is(page: Any, photos: Path) -> None:
    open_page(page, photos)
    hostile = page.evaluate("DATA.frames.findIndex((frame) => frame.name.includes('onerror'))")
    open_page(page, photos, frame=hostile)
    assert "onerror=alert(1)" in page.inner_text("figcaption >> nth=0")
    page.click(".chip >> nth=0")
    assert "onerror=alert(1)" in page.inner_text("#story")


@pytest.mark.slow
def test_two_thousand_labels_open_in_three_seconds(page: Any, tmp_path: Path, photos: Path) -> None:
    report = shutil.copytree(photos.parent, tmp_path / "page")
    names = [f"{number:06d}.png" for number in range(40)]
    for number in range(40):  # of 50 labels each
        put(report, labels(blobs(50, seed=number)), number)
    text = (report / "data.js").read_text()
    data = json.loads(text.removeprefix("const DATA = ").removesuffix(";\n"))
    data["frames"] = [
        {"name": name, "file": f"frames/{number:03d}.js", "note": ""}
        for number, name in enumerate(names)
    ]
    (report / "data.js").write_text(f"const DATA = {json.dumps(data)};\n")
    started = time.monotonic()
    page.goto((report / "index.html").as_uri())
    page.wait_for_function("document.querySelectorAll('.mask').length === 49")
    assert time.monotonic() - started < 3
    assert page.locator("script[src^='frames/']").count() == 1, "one frame is read, not forty"
    waits_ms = page.evaluate(
        """async () => {
          const waits = [];
          for (let frame = 1; frame < 20; frame++) {
            const begun = performance.now();
            go(frame);
            while (document.querySelector("#pictures").dataset.frame !== String(frame))
              await new Promise(requestAnimationFrame);
            waits.push(performance.now() - begun);
          }
          return waits;
        }"""
    )
    assert np.median(waits_ms) < 200, waits_ms
