"""The page of `perception show`. Every text that comes from outside is escaped here."""

import json
from dataclasses import dataclass
from html import escape
from typing import Any

from perception.evaluation import Report
from perception.evaluation.page import table_html


@dataclass(frozen=True)
class Frame:
    """One sample on the page.

    Attributes:
        name: The sample's id.
        pictures: What each picture is called, and its file below the page's folder.
        sweep: As `pack_sweep` gives it; None without a sweep.
        note: Why there is nothing to see; "" if there is.
    """

    name: str
    pictures: tuple[tuple[str, str], ...] = ()
    sweep: dict[str, Any] | None = None
    note: str = ""


def page_html(
    title: str,
    made: list[str],
    frames: list[Frame],
    report: Report | None,
    good: list[str],
    card: str = "",
) -> str:
    """Return index.html; it loads style.css, data.js, point_view.js, show.js, three.min.js.

    `card` is HTML, escaped already; all else is text.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="stylesheet" href="style.css"></head>\n<body>\n'
        f"<h1>{escape(title)}</h1>\n{_list(made)}\n"
        + (f"<h2>How good</h2>\n{_list(good)}\n" if report else "")
        + f'<h2>Frames</h2><div id="tabs"></div>\n{"".join(map(_frame, frames))}'
        '<div id="cloud" hidden><p id="paints">points by </p>'
        '<div id="points"></div><div id="legend"></div>'
        '<p class="dim"><span id="note"></span> <button id="home">back to the start</button> '
        '<button id="above">from above</button> <button id="inside">from the car</button></p>'
        "</div>\n"
        + ("" if frames else "<p>No frame could be shown.</p>\n")
        + card
        + (_figures(report) if report else "")
        + "".join(f'<script src="{name}"></script>\n' for name in _scripts())
        + "</body></html>\n"
    )


def _scripts() -> tuple[str, ...]:
    return ("three.min.js", "data.js", "point_view.js", "show.js")


def data_js(palettes: dict[str, list[dict[str, str]]], frames: list[Frame]) -> str:
    """Return data.js: a script, since a page from disk may not read JSON files."""
    data = {"palettes": palettes, "sweeps": [frame.sweep for frame in frames]}
    return f"const DATA = {json.dumps(data, sort_keys=True)};\n"


def _list(lines: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _frame(frame: Frame) -> str:
    pictures = "".join(
        f'<figure><img src="{escape(file)}" alt="labels on {escape(name)}">'
        f"<figcaption>{escape(name)}</figcaption></figure>"
        for name, file in frame.pictures
    )
    note = f"<p>{escape(frame.name)}: {escape(frame.note)}</p>" if frame.note else ""
    return f'<section class="frame" data-name="{escape(frame.name)}">{pictures}{note}</section>\n'


def _figures(report: Report) -> str:
    notes = "".join(f"<p class='dim'>{escape(note)}</p>" for note in report.notes)
    tables = "\n".join(table_html(table) for table in report.tables)
    return (
        f"<h2>Figures</h2><p>Truth: {escape(report.truth)}. Intervals: 95 %, bootstrap by scene, "
        f"seed {report.seed}. A dash: nothing to judge.</p>{notes}{tables}\n"
    )
