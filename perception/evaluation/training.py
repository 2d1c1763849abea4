"""The page of a training: its curves, and what the trained detector finds on pictures it measures.

OUT/index.html         curves and samples; opens from disk
OUT/curves.csv         a row for each epoch: losses on both data, figures on `val`
OUT/losses.csv, OUT/figures.csv       the numbers of the two plots
OUT/samples/3.jpg      truth and boxes of a picture of `val`
"""

import csv
import io
from collections.abc import Iterable
from html import escape
from pathlib import Path

import cv2
import numpy as np

from perception.core.types import Float32, UInt8
from perception.evaluation.gallery import TRUE_RGB, draw_dashed
from perception.evaluation.page import STYLE, plot_html
from perception.evaluation.plots import DECIMALS, Cell, Plot
from perception.io.files import write_bytes
from perception.visualization.drawing import to_jpeg

SAMPLES = 8
SAMPLE_PX = 480  # of a sample's longer side
EPOCH = "epoch"


def training_plots(curves: str) -> tuple[Plot, ...]:
    """Return the losses and the figures by epoch.

    Args:
        curves: CSV with a column `epoch`; columns with "loss" in their name are losses, those that
            begin with "metrics/" are figures; others are not drawn.
    """
    rows = list(csv.DictReader(io.StringIO(curves)))
    columns = list(rows[0]) if rows else []
    groups = {
        "losses": ("Losses by epoch, on training and validation data", "loss", "loss"),
        "figures": ("The trainer's own figures on validation data by epoch", "metrics/", "share"),
    }
    plots = []
    for name, (title, part, unit) in groups.items():
        points: list[tuple[Cell, Cell, Cell]] = [
            (column.removeprefix("metrics/"), int(row[EPOCH]), round(float(row[column]), DECIMALS))
            for column in columns
            if part in column
            for row in rows
            if np.isfinite(float(row[column]))
        ]
        if points:
            plots.append(Plot(name, title, "lines", ("series", EPOCH, unit), tuple(points)))
    return tuple(plots)


def draw_sample(image_rgb: UInt8, true_xyxy: Float32, found_xyxy: Float32) -> UInt8:
    """Return a picture with the true boxes, solid green, and those found, dashed orange."""
    height, width = image_rgb.shape[:2]
    scale = SAMPLE_PX / max(height, width)
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    canvas = np.asarray(cv2.resize(image_rgb, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    for corners in _corners(true_xyxy * scale):
        places = np.round(corners).astype(np.int32)
        cv2.polylines(canvas, [places], True, (0, 0, 0), 4)
        cv2.polylines(canvas, [places], True, TRUE_RGB, 2)
    for corners in _corners(found_xyxy * scale):
        draw_dashed(canvas, corners.astype(np.float64))
    return canvas


def _corners(boxes_xyxy: Float32) -> Iterable[Float32]:
    for x0, y0, x1, y1 in boxes_xyxy.tolist():
        yield np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)


def write_training_page(
    out: Path, title: str, lines: Iterable[str], samples: Iterable[tuple[str, UInt8]]
) -> None:
    """Write index.html and what it shows beside OUT/curves.csv.

    Args:
        out: The folder of the training.
        title: Of the page.
        lines: What is to be said first.
        samples: Name and drawn picture of each.
    """
    plots = training_plots((out / "curves.csv").read_text(encoding="utf-8"))
    for plot in plots:
        write_bytes(out / f"{plot.name}.csv", plot.to_csv().encode())
    shown = []
    for number, (name, image_rgb) in enumerate(samples):
        write_bytes(out / "samples" / f"{number}.jpg", to_jpeg(image_rgb))
        shown.append(
            f'<figure><img src="samples/{number}.jpg" loading="lazy" alt="{escape(name)}">'
            f"<figcaption><small>{escape(name)}</small></figcaption></figure>"
        )
    drawn = "".join(plot_html(plot, {plot.name: f"{plot.name}.csv"}) for plot in plots)
    told = "Solid green: the truth. Dashed orange: what the detector finds."
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}.gallery figure {{ width: auto; }}</style>"
        f"</head>\n<body><h1>{escape(title)}</h1>"
        f"{''.join(f'<p>{escape(line)}</p>' for line in lines)}"
        f'<h2>Curves</h2><div class="plots">{drawn}</div>'
        f"<h2>Pictures of the validation data</h2><p>{told}</p>"
        f'<div class="gallery">{"".join(shown)}</div></body></html>\n'
    )
    write_bytes(out / "index.html", page.encode())
