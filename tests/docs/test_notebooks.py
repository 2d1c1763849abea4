"""The notebooks run from top to bottom, and draw what they say."""

import runpy
from collections.abc import Sequence
from pathlib import Path

import cv2
import pytest

from perception import cli

ROOT = Path(__file__).resolve().parent.parent.parent
FIGURES = {
    "label_and_look": ["label-and-look.png"],
    "lift_and_3d": ["lift-above.png", "lift-picture.png"],
    "trust_and_review": ["trust.png"],
}


def test_every_notebook_is_run() -> None:
    scripts = {path.stem: path.read_text() for path in (ROOT / "docs" / "notebooks").glob("*.py")}
    assert scripts.keys() == FIGURES.keys()
    for text in scripts.values():
        assert text.startswith("# ---\n# jupyter:") and "\n# %% [markdown]\n# # " in text


@pytest.mark.models
@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_a_notebook_runs(
    name: str,
    drive: Path,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for module in ("PIL", "sklearn"):
        pytest.importorskip(module)
    (workplace / "drives").mkdir()
    (workplace / "drives" / "streets").symlink_to(drive)
    run = cli.run

    def run_or_fail(tokens: Sequence[str]) -> int:
        code = run(tokens)
        assert code == cli.FINE, (tokens, capfd.readouterr().err)
        return code

    monkeypatch.setattr(cli, "run", run_or_fail)
    left = runpy.run_path(str(ROOT / "docs" / "notebooks" / f"{name}.py"))
    for figure in FIGURES[name]:
        drawn = cv2.imread(str(workplace / figure))
        assert drawn is not None and drawn.std() > 1, figure
    if name == "label_and_look":
        assert (
            left["stricter"].counts["statuses"]["accepted"]
            < (left["done"].counts["statuses"]["accepted"])
        )
    if name == "lift_and_3d":
        assert left["kept"].sum() > left["before"].sum() > 0
    if name == "trust_and_review":
        assert left["by_people"] == 1
