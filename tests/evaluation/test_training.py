"""Bugs caught: an axis that ends before its curve, a column that is no curve, boxes misplaced."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.commands.train import _boxes
from perception.evaluation.plots import Plot
from perception.evaluation.svg import lines_svg
from perception.evaluation.training import draw_sample, training_plots, write_training_page

CURVES = (
    "epoch,train/box_loss,metrics/mAP50(B),val/box_loss,lr/pg0\n"
    "1,2.5,0.1,3.25,0.001\n2,1.5,0.4,nan,0.0005\n"
)


def test_losses_and_figures_are_drawn_by_epoch() -> None:
    losses, figures = training_plots(CURVES)
    assert losses.series() == {
        "train/box_loss": [(1.0, 2.5), (2.0, 1.5)],
        "val/box_loss": [(1.0, 3.25)],  # what is not finite is no point
    }
    assert figures.series() == {"mAP50(B)": [(1.0, 0.1), (2.0, 0.4)]}
    assert training_plots("epoch\n") == training_plots("") == ()


@pytest.mark.parametrize(
    ("largest", "end"), [(0.3, 1), (1, 1), (1.01, 2), (3.25, 4), (4.5, 10), (40, 40), (300, 400)]
)
def test_axes_end_at_a_round_number_beyond_all(largest: float, end: float) -> None:
    plot = Plot("x", "t", "lines", ("s", "x", "y"), (("a", 0.5, largest), ("a", 0.2, 0.1)))
    assert plot.ends() == (1, end)
    assert f'text-anchor="end">{end:g}</text>' in lines_svg(plot)


def test_boxes_of_a_yolo_file_are_pixels() -> None:
    shapes = [[0.5, 0.5, 0.2, 0.4], [0.1, 0.2, 0.3, 0.2, 0.3, 0.8]]  # a box, and a triangle
    np.testing.assert_allclose(
        _boxes(shapes, (100, 200)), [[80, 30, 120, 70], [20, 20, 60, 80]], rtol=1e-5
    )
    assert _boxes([], (100, 200)).shape == (0, 4)


def test_a_page_shows_curves_and_samples(tmp_path: Path) -> None:
    (tmp_path / "curves.csv").write_text(CURVES)
    image = np.zeros((60, 120, 3), np.uint8)
    box = np.array([[10, 10, 50, 40]], np.float32)
    nothing = np.zeros((0, 4), np.float32)
    samples = [("a<b>.png", draw_sample(image, box, nothing)), ("c", draw_sample(image, box, box))]
    write_training_page(tmp_path, "Training of <x>", ["held out"], samples)
    page = (tmp_path / "index.html").read_text()
    assert "a&lt;b&gt;.png" in page and "&lt;x&gt;" in page and "://" not in page
    for name in ("losses.csv", "figures.csv", "samples/0.jpg", "samples/1.jpg"):
        assert f'"{name}"' in page and (tmp_path / name).is_file()
    assert (tmp_path / "losses.csv").read_text().splitlines()[1] == "train/box_loss,1,2.5"
    shown = cv2.imread(str(tmp_path / "samples" / "0.jpg"))
    assert shown.shape == (240, 480, 3)
    green = np.argwhere((shown[..., 1] > 150) & (shown[..., 2] < 120))
    # x 10 to 50 of 120 px, and y 10 to 40, four times as large
    assert green.min(axis=0).tolist() == pytest.approx([40, 40], abs=3)
    assert green.max(axis=0).tolist() == pytest.approx([160, 200], abs=3)
    assert (draw_sample(image, nothing, nothing) == 0).all()
