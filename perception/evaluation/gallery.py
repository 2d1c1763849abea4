"""The files of a report: its page with pictures and numbers beside it, and plots for papers.

report.html                          the page
report_files/precision-recall.csv    the numbers of each plot
report_files/example-12.jpg          a label or an object of the confusion matrix

plots/precision-recall.png, .pdf, .csv      by matplotlib
"""

import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from perception.core import masks as masks_
from perception.core.errors import RequestError, SampleError
from perception.core.types import Float32, Float64, Masks, Picture, UInt8
from perception.evaluation.confusion import Example
from perception.evaluation.page import to_html
from perception.evaluation.plots import Plot
from perception.evaluation.report import Report
from perception.io.files import write_bytes
from perception.readers.sources import load_pictures
from perception.runs import folder
from perception.visualization.drawing import to_jpeg

SIDE_PX = 240  # of a picture's longer side
MARGIN_SHARE, MARGIN_PX = 0.25, 16
TRUE_RGB, LABEL_RGB = (60, 220, 90), (255, 150, 30)
DASH_PX = 5


def write_page(path: Path, report: Report, run: Path) -> None:
    """Write the page of a report, with the numbers of its plots and pictures in PATH's `_files`.

    Args:
        path: The page.
        report: Of the run.
        run: Where the plan is, for the pictures; those that cannot be read any more are left out.
    """
    beside = path.with_name(f"{path.stem}_files")
    files, pictures = {}, {}
    for plot in report.plots:
        files[plot.name] = f"{beside.name}/{plot.name}.csv"
        write_bytes(beside / f"{plot.name}.csv", plot.to_csv().encode())
    for number, data in _crops(report.examples, run):
        pictures[number] = f"{beside.name}/example-{number}.jpg"
        write_bytes(beside / f"example-{number}.jpg", data)
    write_bytes(path, to_html(report, files=files, pictures=pictures).encode())


def _crops(examples: Iterable[Example], run: Path) -> Iterator[tuple[int, bytes]]:
    """Yield number and picture of each example; every image is read once."""
    wanted: dict[str, list[tuple[int, Example]]] = {}
    for number, example in enumerate(examples):
        wanted.setdefault(example.file_name, []).append((number, example))
    for ref in folder.read_plan(run, folder.read_spec(run)).samples if wanted else ():
        if not any(picture.file_name in wanted for picture in ref.pictures):
            continue
        try:
            pictures: tuple[Picture, ...] = load_pictures(ref)
        except SampleError:
            continue  # it went since, or never could be read
        for picture in pictures:
            for number, example in wanted.get(picture.file_name, ()):
                yield number, to_jpeg(draw_example(picture.image_rgb, example))


def draw_example(image_rgb: UInt8, example: Example) -> UInt8:
    """Return a piece of an image round a label and its object, with their outlines."""
    boxes = np.concatenate([example.true_boxes_xyxy, example.label_boxes_xyxy])
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    margin = MARGIN_PX + MARGIN_SHARE * (high - low)
    limit = np.array(image_rgb.shape[1::-1])
    x0, y0 = np.clip(np.floor(low - margin), 0, limit - 1).astype(int)
    x1, y1 = np.clip(np.ceil(high + margin), (x0 + 1, y0 + 1), limit).astype(int)
    scale = SIDE_PX / max(x1 - x0, y1 - y0)
    size_wh = max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    crop = np.ascontiguousarray(image_rgb[y0:y1, x0:x1])
    canvas = np.asarray(cv2.resize(crop, size_wh, interpolation=way), np.uint8)
    corner = np.array([x0, y0])
    for line in _outlines(example.true_masks, example.true_boxes_xyxy):
        places = np.round((line - corner) * scale).astype(np.int32)
        cv2.polylines(canvas, [places], True, (0, 0, 0), 4)
        cv2.polylines(canvas, [places], True, TRUE_RGB, 2)
    for line in _outlines(example.label_masks, example.label_boxes_xyxy):
        draw_dashed(canvas, (line - corner) * scale)
    return canvas


def _outlines(masks: Masks, boxes_xyxy: Float32) -> Iterator[Float64]:
    """Yield (V, 2) corners round each mask, of its box where it is empty: a truth of boxes."""
    for row, (x0, y0, x1, y1) in enumerate(boxes_xyxy.tolist()):
        crop = masks_.decode_crop(masks, row)
        if not crop.any():
            yield np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float64)
            continue
        # Doubled, so that an outline runs along its pixels' outer edges.
        doubled = np.kron(crop, np.ones((2, 2))).astype(np.uint8)
        found, _ = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        for line in found:
            yield (line.reshape(-1, 2) + 0.5) / 2 + masks.boxes_xyxy[row, :2].astype(np.float64)


def draw_dashed(canvas: UInt8, corners: Float64) -> None:
    """Draw a closed line in dashes of `DASH_PX`, over a dark one."""
    closed = np.concatenate([corners, corners[:1]])
    steps = np.hypot(*np.diff(closed, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    stops = np.arange(0.0, along[-1] + DASH_PX, DASH_PX)
    places = np.stack([np.interp(stops, along, closed[:, axis]) for axis in (0, 1)], axis=1)
    pixels = np.round(places).astype(np.int32)
    for start, end in zip(pixels[:-1:2], pixels[1::2], strict=False):
        cv2.line(canvas, start.tolist(), end.tolist(), (0, 0, 0), 4)
        cv2.line(canvas, start.tolist(), end.tolist(), LABEL_RGB, 2)


def write_plots(out: Path, report: Report) -> tuple[str, ...]:
    """Write every plot as PNG and PDF, with its numbers as CSV; return their names.

    Raises:
        RequestError: `dependency.missing`.
    """
    figure_of = _matplotlib()
    out.mkdir(parents=True, exist_ok=True)
    for plot in report.plots:
        write_bytes(out / f"{plot.name}.csv", plot.to_csv().encode())
        figure = figure_of.Figure(figsize=(6, 4.5), layout="constrained")
        axes = figure.subplots()
        axes.set_title(plot.title, fontsize=9, wrap=True)
        {"lines": _draw_lines, "bars": _draw_bars, "matrix": _draw_matrix}[plot.kind](axes, plot)
        figure.savefig(out / f"{plot.name}.png", dpi=150, metadata={"Software": None})
        # No date: the same report gives the same bytes.
        figure.savefig(out / f"{plot.name}.pdf", metadata={"CreationDate": None})
    return tuple(plot.name for plot in report.plots)


def _matplotlib() -> ModuleType:
    try:  # without pyplot: no window, no state
        return importlib.import_module("matplotlib.figure")
    except ModuleNotFoundError as error:
        raise RequestError(
            "dependency.missing", "plots need `pip install 'driving-perception[plots]'`"
        ) from error


def _draw_lines(axes: Any, plot: Plot) -> None:
    for number, (name, points) in enumerate(plot.series().items()):
        style = ("-", "--", ":", "-.")[number % 4]
        mark = "o" if len(points) <= 12 else ""
        axes.plot(*zip(*points, strict=True), style, marker=mark, markersize=3, label=name)
    x_end, y_end = plot.ends()
    axes.set(xlim=(0, x_end), ylim=(0, y_end * 1.02))
    axes.set(xlabel=plot.columns[1], ylabel=plot.columns[2])
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)


def _draw_bars(axes: Any, plot: Plot) -> None:
    categories, series, counts = plot.table()
    left = np.zeros(len(categories))
    for name in series:
        widths = np.array([counts.get((one, name), 0) for one in categories])
        axes.barh(categories, widths, left=left, label=name)
        left = left + widths
    axes.invert_yaxis()
    axes.set_xlabel(plot.columns[2])
    axes.legend(fontsize=7)


def _draw_matrix(axes: Any, plot: Plot) -> None:
    rows, columns, counts = plot.table()
    table = np.array([[counts[row, column] for column in columns] for row in rows])
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", fontsize=7)
    axes.set_yticks(range(len(rows)), rows, fontsize=7)
    axes.set(xlabel=plot.columns[1], ylabel=plot.columns[0])
    for (row, column), count in np.ndenumerate(table):
        if count:
            dark = shares[row, column] > 0.5
            axes.text(
                *(column, row, f"{count:,}"),
                **{"ha": "center", "va": "center", "fontsize": 7},
                color="white" if dark else "black",
            )
