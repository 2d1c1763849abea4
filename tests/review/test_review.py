"""The review pages: their order, their estimate, and Chromium at work on them from disk."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception import cli
from perception.commands.label import label as label_source
from perception.commands.request import LabelRequest
from perception.core.errors import RequestError
from perception.core.sizes import size_name
from perception.core.types import Status
from perception.labeling.trust.features import FEATURES
from perception.review import crops, doubts
from perception.review.command import show
from perception.review.doubts import Candidate
from perception.review.review import review
from perception.runs import folder

HOSTILE = "<img src=x onerror=alert(1)>&\"'.png"


def candidate(row: int, trust: float = np.nan, **known: float) -> Candidate:
    features = np.array([known.get(name, np.nan) for name in FEATURES], np.float64)
    return Candidate(0, 0, row, Status.ACCEPTED, 6, 100, (), trust, features)


def test_the_least_trusted_come_first_whatever_their_signals() -> None:
    found = [candidate(0, 0.9, score=0), candidate(1, 0.2, score=9), candidate(2, 0.9, score=9)]
    assert [one.row for one in doubts.worst_first(found)] == [1, 0, 2]  # equal ones as they stand


def test_signals_alone_order_labels_of_which_one_has_no_trust() -> None:
    found = [candidate(0, 0.1, score=2), candidate(1, 0.9, score=0), candidate(2, score=1)]
    assert [one.row for one in doubts.worst_first(found)] == [1, 2, 0]
    assert doubts.worst_first([]) == []


@pytest.mark.parametrize("count", [0, 1, 4, 5, 23])
def test_every_label_is_queued_once_and_every_fifth_is_drawn(count: int) -> None:
    found = [candidate(i, 0.9 - i / 100) for i in range(count)]
    order = doubts.review_order(found)
    assert sorted(queued.candidate.row for queued in order) == list(range(count))
    assert [queued.drawn for queued in order] == [i % 5 == 4 for i in range(count)]
    worst = [queued.candidate.row for queued in order if not queued.drawn]
    assert worst == sorted(worst, reverse=True)


def test_sizes_are_cocos() -> None:
    assert [size_name(area) for area in (1, 1023, 1024, 9215, 9216)] == [
        "small",
        "small",
        "medium",
        "medium",
        "large",
    ]


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory, kitti: Callable[..., Path]) -> Path:
    root = tmp_path_factory.mktemp("review")
    fakes = ("--detector", "bright", "--segmenter", "boxes")
    source = f"kitti:{kitti(root / 'src', 3)}"
    assert cli.run(["label", source, *fakes, "--out", str(root / "run")]) == cli.FINE
    return root / "run"


def data(out: Path) -> dict[str, Any]:
    text = (out / "data.js").read_text(encoding="utf-8")
    value: dict[str, Any] = json.loads(text.removeprefix("const REVIEW = ").removesuffix(";\n"))
    return value


@pytest.mark.slow
def test_a_label_has_its_crop_its_edge_its_points_and_words(drive: Path, tmp_path: Path) -> None:
    done = review(drive, tmp_path / "out")
    held = data(tmp_path / "out")
    assert (done.labels, done.unreadable) == (3, 0)
    assert held["run"] == folder.read_spec(drive).evidence_fingerprint()
    assert held["label_set"] == folder.read_spec(drive).label_set()
    assert not held["has_trust"]
    for number, label in enumerate(held["labels"]):
        assert (label["class"], label["status"], label["size"]) == ("car", "accepted", "small")
        assert label["trust"] is None and "detector score 1.00" in label["words"]
        assert label["pictures"] == [["now", f"crops/{number:06d}-now.jpg"]]
        assert (tmp_path / "out" / label["pictures"][0][1]).is_file()
        # mask 20..44 x 14..34, window 0..64 x 0..48 scaled by 5
        (line,) = label["edge"]
        assert [min(line[::2]), max(line[::2])] == pytest.approx([100, 220], abs=4)
        assert [min(line[1::2]), max(line[1::2])] == pytest.approx([70, 170], abs=4)
        script = (tmp_path / f"out/points/{label['points']:06d}.js").read_text()
        near = json.loads(script.removeprefix("addPoints(").removesuffix(");\n"))[str(number)]
        assert (near["own"], near["centre_cm"]) == (1, [500, 0, 0])
        # the point 5.5 m beside it is out of reach
        assert base64.b64decode(near["codes"]) == bytes([crops.OWN])


@pytest.mark.slow
def test_a_source_that_is_gone_leaves_the_words(
    tmp_path: Path, pictures: Callable[..., Path]
) -> None:
    source = pictures(tmp_path / "src", 3)
    request = LabelRequest(f"images:{source}", tmp_path / "run", "boxes", detector="bright")
    label_source(request)
    (source / "001.png").unlink()
    done = review(tmp_path / "run", tmp_path / "out")
    assert (done.labels, done.unreadable) == (3, 1)
    lost = [one for one in data(tmp_path / "out")["labels"] if one["sample"] == "001.png"]
    assert [one["pictures"] for one in lost] == [[]] and lost[0]["words"]


@pytest.mark.slow
def test_frames_of_one_recording_have_neighbours_and_others_none(
    drive: Path, tmp_path: Path, kitti: Callable[..., Path]
) -> None:
    root = kitti(tmp_path / "src", 3)
    (root / "truth.json").write_text("{}")
    (root / "card.json").write_text('{"scenes": ["000000", "000002"]}')
    label_source(LabelRequest(f"kitti:{root}", tmp_path / "run", "boxes", detector="bright"))
    review(tmp_path / "run", tmp_path / "out")
    names = {
        label["sample"]: [name for name, _ in label["pictures"]]
        for label in data(tmp_path / "out")["labels"]
    }
    assert names == {"000000": ["now", "after"], "000001": ["now", "before"], "000002": ["now"]}


def test_a_folder_that_holds_something_is_refused(drive: Path, tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    with pytest.raises(RequestError, match=r"output\.exists"):
        review(drive, tmp_path)


@pytest.mark.slow
def test_chromium_filters_decides_and_downloads(
    page: Any, tmp_path: Path, draw: Callable[..., Path], crowd: Callable[..., Path]
) -> None:
    run = crowd(tmp_path, 2, 12, draw)
    review(run, tmp_path / "out", name="runs/my drive")  # from a bucket `run` is a copy
    page.goto((tmp_path / "out" / "index.html").as_uri())
    held = data(tmp_path / "out")["labels"]
    assert page.inner_text("#progress") == "0 of 24 checked, 0 wrong"
    assert "1 of 24" in page.inner_text("#where")
    assert page.evaluate("document.querySelector('#now').naturalWidth") > 0

    page.keyboard.press("a")
    page.keyboard.press("r")
    page.keyboard.press("b")
    assert "4 of 24" in page.inner_text("#where")
    page.keyboard.press("w")
    page.keyboard.press("9")  # bus, the ninth class
    page.keyboard.press("w")
    page.keyboard.press("Escape")
    page.keyboard.press("a")  # the fifth: drawn at random
    assert page.inner_text("#progress") == "5 of 24 checked, 3 wrong"
    # (0 + 2) / (1 + 4) = 0.4; 1.96 * sqrt(0.4 * 0.6 / 5) = 0.429
    assert "After 5 checks the remaining error is 40.0 % ± 42.9 %" in page.inner_text("#estimate")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("a")
    page.keyboard.press("u")  # directly after: the page has stepped on, and goes back
    assert page.inner_text("#decided") == "" and "6 of 24" in page.inner_text("#where")
    page.keyboard.press("k")
    page.keyboard.press("r")  # of the fifth, over what was decided
    page.keyboard.press("u")
    assert page.inner_text("#decided") == "accept" and "5 of 24" in page.inner_text("#where")

    assert not page.is_visible("#next")
    with page.expect_download() as caught:
        page.click("#download")
    name = caught.value.suggested_filename
    assert page.inner_text("#command") == f"perception corrections apply 'runs/my drive' {name}"
    stated = json.loads(Path(caught.value.path()).read_text())
    assert stated["run"] == folder.read_spec(run).evidence_fingerprint()
    assert stated["label_set"] == folder.read_spec(run).label_set()
    kinds = [one["decision"] for one in stated["decisions"]]
    assert kinds == ["accept", "reject", "bad_edge", "wrong_class", "accept"]
    assert stated["decisions"][3]["class"] == "bus"
    keys = ("sample", "picture", "instance")
    known = [[one[key] for key in keys] for one in held[:5]]
    assert [[one[key] for key in keys] for one in stated["decisions"]] == known

    page.select_option("#by-class", "=car")
    cars = sum(one["class"] == "car" for one in held)
    assert f"1 of {cars}" in page.inner_text("#where")
    page.select_option("#by-frame", f"={HOSTILE}")
    hostile = sum(one["class"] == "car" and one["sample"] == HOSTILE for one in held)
    assert f"1 of {hostile}" in page.inner_text("#where")
    assert HOSTILE in page.inner_text("#where")
    page.select_option("#by-size", "=small")
    page.select_option("#by-decision", "=bad_edge")
    page.select_option("#by-class", "")
    page.select_option("#by-frame", "")
    assert page.inner_text("#decided") == "bad edge"
    page.select_option("#by-reason", "=none")
    page.screenshot(path=str(tmp_path / "page.png"))

    page.reload()  # what was decided is still there
    assert page.inner_text("#progress") == "5 of 24 checked, 3 wrong"
    assert not page.is_visible("#next")
    for _ in range(24):
        page.keyboard.press("a")
    assert "corrections apply" in page.inner_text("#next")  # every label was looked at


@pytest.mark.slow
def test_chromium_draws_the_points(page: Any, drive: Path, tmp_path: Path) -> None:
    review(drive, tmp_path / "out")
    page.goto((tmp_path / "out" / "index.html").as_uri())
    page.wait_for_selector("#above[data-own='1']")
    yellow = (
        "[...document.querySelector('#above').getContext('2d').getImageData(0, 0, 320, 320).data]"
        ".filter((v, i, all) => i % 4 === 0 && v === 255 && all[i + 1] === 200).length"
    )
    assert page.evaluate(yellow) == 9  # one point, three pixels wide
    assert page.inner_text("#turn") == "1 points in 3D, drag to turn"
    assert page.locator("#edge polygon").count() == 2
    page.keyboard.press("e")
    assert page.locator("#edge polygon").count() == 0


@pytest.mark.slow
def test_two_thousand_labels_open_in_three_seconds_and_keys_are_quick(
    page: Any, tmp_path: Path, draw: Callable[..., Path], crowd: Callable[..., Path]
) -> None:
    review(crowd(tmp_path, 40, 50, draw), tmp_path / "out")
    started = time.monotonic()
    page.goto((tmp_path / "out" / "index.html").as_uri())
    page.wait_for_function("document.querySelector('#now').naturalWidth > 0")
    opened_s = time.monotonic() - started
    assert "of 2000 checked" in page.inner_text("#progress")
    # From the key to the next label's picture, drawn.
    waits_ms = page.evaluate(
        """async () => {
          const waits = [];
          for (let i = 0; i < 30; i++) {
            const begun = performance.now();
            document.dispatchEvent(new KeyboardEvent("keydown", { key: "a", bubbles: true }));
            await document.querySelector("#now").decode();
            waits.push(performance.now() - begun);
            await new Promise(requestAnimationFrame);
          }
          return waits;
        }"""
    )
    assert opened_s < 3
    assert np.median(waits_ms) < 100, waits_ms


@pytest.mark.slow
def test_a_run_without_labels_is_a_page_too(
    page: Any, tmp_path: Path, pictures: Callable[..., Path]
) -> None:
    source = pictures(tmp_path / "src", 1)
    label_source(LabelRequest(f"images:{source}", tmp_path / "run", "boxes", detector="bright"))
    assert review(tmp_path / "run", tmp_path / "out").labels == 0
    page.goto((tmp_path / "out" / "index.html").as_uri())
    assert page.is_visible("#none")
    page.keyboard.press("a")
    assert page.inner_text("#progress") == "0 of 0 checked, 0 wrong"


def test_the_verb_says_what_to_open(
    drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["show", str(drive), "--review", "--out", str(tmp_path / "out")]) == cli.FINE
    told = capsys.readouterr().out
    assert "3 labels to look at" in told and f"open {tmp_path / 'out' / 'index.html'}" in told


@pytest.mark.slow
@pytest.mark.parametrize("width_px", [1440, 390])
def test_outlines_lie_on_the_pictures_that_they_belong_to(
    page: Any, tmp_path: Path, draw: Callable[..., Path], crowd: Callable[..., Path], width_px: int
) -> None:
    show(crowd(tmp_path, 2, 12, draw), tmp_path / "report")
    page.set_viewport_size({"width": width_px, "height": 900})
    page.goto((tmp_path / "report" / "index.html").as_uri())
    boxes = page.evaluate(
        """[...document.querySelectorAll(".examples figure div")].map((div) =>
          ["img", "svg"].map((name) => {
            const box = div.querySelector(name).getBoundingClientRect();
            return [box.left, box.top, box.width, box.height];
          }))"""
    )
    assert boxes and min(image[2] for image, _ in boxes) < 240, "a crop narrower than its figure"
    for image, outline in boxes:
        assert outline == pytest.approx(image, abs=1)
