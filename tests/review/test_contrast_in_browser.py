"""Pages in the dark, in the light, on a telephone: contrast as WCAG AA asks, nothing too wide."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perception import cli
from perception.review import show
from perception.review.review import review

# What fails: [what it is, contrast]. Colours are blended over what lies below them.
FAULTS = """() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((side, i) => a * side + (1 - a) * below[i]);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const ground = (element) => {
    if (!element) return dark ? [18, 18, 18] : [255, 255, 255];
    const own = parse(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, ground(element.parentElement));
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((side) => side / 255)
      .map((side) => (side <= 0.04045 ? side / 12.92 : ((side + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const faults = [];
  let checked = 0;
  const name = (one) => `${one.tagName}#${one.id}.${one.className} ${one.textContent.slice(0, 30)}`;
  for (const one of document.body.querySelectorAll("*")) {
    if (one.closest("svg, script, noscript, canvas") || !one.checkVisibility()) continue;
    const style = getComputedStyle(one);
    const text = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (text || one.matches("input[type=search], select")) {
      checked++;
      const found = contrast(over(parse(style.color), ground(one)), ground(one));
      if (found < 4.5) faults.push([name(one), found]);
    }
    // The edge of a control, or its ground, tells where it is.
    if (one.matches("button:not(.chip), select, input[type=search]")) {
      const around = ground(one.parentElement);
      const edges = [parse(style.borderColor).slice(0, 3), ground(one)];
      const found = Math.max(...edges.map((edge) => contrast(edge, around)));
      if (found < 3) faults.push([name(one), found]);
    }
  }
  return { faults, checked };
}"""


@pytest.fixture(scope="module")
def pages(
    tmp_path_factory: pytest.TempPathFactory,
    draw: Callable[..., Path],
    crowd: Callable[..., Path],
    kitti: Callable[..., Path],
) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pages")
    photos = crowd(root, 2, 12, draw)
    fakes = ("--detector", "bright", "--segmenter", "boxes")
    source = f"kitti:{kitti(root / 'kitti', 2)}"
    assert cli.run(["label", source, *fakes, "--out", str(root / "drive")]) == cli.FINE
    truth = root / "truth.json"
    assert cli.run(["export", str(photos), "--to", "coco", "--out", str(truth)]) == cli.FINE
    return {
        "report": show(root / "drive", root / "report").page,
        "judged": show(photos, root / "judged", truth=str(truth)).page,
        "review": review(root / "drive", root / "review").page,
    }


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["report", "judged", "review"])
def test_what_is_written_can_be_read(
    page: Any, pages: dict[str, Path], name: str, scheme: str
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(pages[name].as_uri())
    page.wait_for_selector("#strip img" if name == "review" else ".chip")
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    if name == "review":
        page.keyboard.press("r")  # a decision is told in a colour of its own
        page.keyboard.press("k")
    else:
        page.click(".chip >> nth=0")
    found = page.evaluate(FAULTS)
    assert found["faults"] == [] and found["checked"] > 20
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["report", "judged", "review"])
@pytest.mark.parametrize("width_px", [320, 390, 1440])
def test_no_page_is_wider_than_its_window(
    page: Any, pages: dict[str, Path], name: str, width_px: int
) -> None:
    page.set_viewport_size({"width": width_px, "height": 844})
    page.goto(pages[name].as_uri())
    page.wait_for_selector("#strip img" if name == "review" else ".chip")
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
