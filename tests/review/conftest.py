"""A browser for pages that open from disk, and runs that they show."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from perception.commands.label import label as label_source
from perception.commands.request import LabelRequest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HOSTILE = "<img src=x onerror=alert(1)>&\"'.png"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        arguments = ["--no-sandbox", "--use-gl=swiftshader", "--enable-unsafe-swiftshader"]
        opened = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails the test on a script error, and on any request that leaves the disk."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    opened, faults = context.new_page(), []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("dialog", lambda dialog: faults.append(dialog.message))
    opened.on(
        "request",
        lambda request: (
            request.url.startswith(("file:", "blob:", "data:")) or faults.append(request.url)
        ),
    )
    yield opened
    context.close()
    assert faults == []


def _crowd(root: Path, images: int, each: int, draw: Callable[..., Path]) -> Path:
    """Label `images * each` boxes that a person gave, in classes that take turns."""
    document: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    names = ("person", "car", "bus")
    document["categories"] = [{"id": i, "name": name} for i, name in enumerate(names)]
    for number in range(images):
        size_hw = (200, 320)
        name = HOSTILE if number == 0 else f"{number:03d}.png"
        draw(root / "src" / name, size_hw=size_hw)
        document["images"].append({"id": number, "file_name": name, "width": 320, "height": 200})
        for place in range(each):
            x, y = place % 10 * 32, place // 10 * 40
            document["annotations"].append(
                {
                    "id": number * each + place,
                    "image_id": number,
                    "category_id": place % 3,
                    "bbox": [x, y, 20 + place % 10, 30],
                }
            )
    (root / "boxes.json").write_text(json.dumps(document))
    request = LabelRequest(
        f"images:{root / 'src'}",
        root / "run",
        "boxes",
        boxes=str(root / "boxes.json"),
        class_map="road-to-road",
    )
    label_source(request)
    return root / "run"


@pytest.fixture(scope="session")
def crowd() -> Callable[..., Path]:
    return _crowd
