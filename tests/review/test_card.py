"""The run card on the page of `perception show`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from perception.commands.label import label
from perception.commands.request import LabelRequest
from perception.review import card, show

STRICT = {"decide": {"judge": {"min_score": 0.9}}}  # the darker objects score 0.84
HOSTILE = "<img src=x onerror=alert(1)>&\"'.png"


@pytest.fixture
def run(tmp_path: Path, draw: Callable[..., Path]) -> Path:
    for name in (HOSTILE, "b.png", "c.png"):
        draw(tmp_path / "src" / name, (4, 8, 20, 30, 255), (30, 10, 44, 40, 215))
    request = LabelRequest(
        f"images:{tmp_path / 'src'}", tmp_path / "run", "boxes", detector="bright", overrides=STRICT
    )
    label(request)
    return tmp_path / "run"


@pytest.mark.slow
def test_the_card_counts_by_class_and_reason_and_shows_examples(run: Path, tmp_path: Path) -> None:
    shown = show(run, tmp_path / "page")
    text = shown.page.read_text()
    assert "<tr><td>car</td><td>3</td><td>0</td><td>3</td><td>50%</td></tr>" in text
    told = "score.low: the detector is below the threshold"
    assert f"<tr><td>{told}</td><td>0</td><td>0</td><td>3</td></tr>" in text
    assert "no trust curve" in text
    kinds = ["best", "worst", "random"]
    files = {f"{kind}-{number}.jpg" for kind in kinds for number in range(3)}
    assert {path.name for path in (tmp_path / "page/examples").iterdir()} == files
    assert HOSTILE not in text and "<img src=x" not in text
    assert any(line.startswith("Licences: source unknown") for line in shown.made)
    assert any('"min_score": 0.9' in line and "fingerprint" in line for line in shown.made)
    assert any("s a sample (3 samples" in line for line in shown.made)


@pytest.mark.slow
def test_a_source_that_is_gone_leaves_a_card_without_examples(run: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "src").iterdir():
        path.unlink()
    text = show(run, tmp_path / "page").page.read_text()
    assert "Acceptance" in text and "Examples" not in text


def test_the_curve_says_what_precision_to_expect() -> None:
    drawn = card._curve([0.5, 1.0, 1.0, 0.7])
    # the surer half: 1; all: 0.8
    assert "<tr><td>50%</td><td>1.000</td><td>1.000</td></tr>" in drawn
    assert "<tr><td>100%</td><td>0.500</td><td>0.800</td></tr>" in drawn
    assert "no trust curve" in card._curve([]) and "no trust curve" in card._curve([0.5, np.nan])


@pytest.mark.slow
def test_a_run_without_labels_has_a_card(tmp_path: Path, pictures: Callable[..., Path]) -> None:
    source = pictures(tmp_path / "src", 1)
    label(LabelRequest(f"images:{source}", tmp_path / "run", "boxes", detector="bright"))
    assert "No label has a class." in show(tmp_path / "run", tmp_path / "page").page.read_text()
