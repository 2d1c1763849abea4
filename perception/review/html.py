"""The page of `perception show`. Every text that comes from outside is escaped here."""

import json
from html import escape

from perception.evaluation import Report
from perception.evaluation.page import table_html
from perception.review.frames import Frame
from perception.review.verdict import Verdict

SCRIPTS = (
    "three.min.js",
    "data.js",
    "point_view.js",
    "captions.js",
    "picture_view.js",
    "show.js",
)


def page_html(
    title: str,
    verdict: Verdict,
    made: list[str],
    frames: list[Frame],
    selection: str,
    report: Report | None,
    good: list[str],
    card: str = "",
) -> str:
    """Return index.html; it loads style.css, show.css and `SCRIPTS`.

    Args:
        title: Of the page.
        verdict: Of the first screen.
        made: How the labels were made, for the end of the page.
        frames: On the page.
        selection: Which samples these are.
        report: Against truth, if there is one.
        good: What it says, in sentences.
        card: HTML, escaped already.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="stylesheet" href="style.css">'
        '<link rel="stylesheet" href="show.css"></head>\n<body>\n'
        f"{_first_screen(title, verdict)}{_viewer(frames, selection)}"
        + (f"<h2>How good</h2>\n{_list(good)}\n" if report else "")
        + card
        + (_figures(report) if report else "")
        + "<details><summary>How these labels were made</summary>"
        + f"{_list(made)}</details>\n"
        + "".join(f'<script src="{name}"></script>\n' for name in SCRIPTS)
        + "</body></html>\n"
    )


def data_js(
    palettes: dict[str, list[dict[str, str]]],
    classes: list[dict[str, str]],
    statuses: list[dict[str, str]],
    frames: list[Frame],
) -> str:
    """Return data.js: a script, since a page from disk may not read JSON files."""
    data = {
        "palettes": palettes,
        "classes": classes,
        "statuses": statuses,
        "start": start(frames),
        "frames": [
            {"name": frame.name, "file": frame.file, "note": frame.note} for frame in frames
        ],
    }
    return f"const DATA = {json.dumps(data, sort_keys=True)};\n"


def start(frames: list[Frame]) -> int:
    """Return the frame that the page opens with: that with most accepted labels and a picture."""
    worth = [(bool(frame.picture), bool(frame.file), frame.accepted) for frame in frames]
    return worth.index(max(worth)) if worth else 0


def _first_screen(title: str, verdict: Verdict) -> str:
    figures = "".join(
        f"<div><dt>{escape(what)}</dt><dd>{escape(value)}</dd></div>"
        for value, what in verdict.figures
    )
    return (
        f'<header id="first"><div><h1>{escape(title)}</h1>\n'
        f'<p id="verdict">{escape(" ".join(verdict.sentences))}</p>\n'
        f'<p id="next">{escape(verdict.why)}: <code>{escape(verdict.command)}</code></p></div>\n'
        f'<dl id="three">{figures}</dl></header>\n'
    )


def _viewer(frames: list[Frame], selection: str) -> str:
    if not frames:
        return "<p>No frame could be shown.</p>\n"
    names = "".join(f'<option value="{escape(frame.name)}">' for frame in frames)
    first = frames[start(frames)].picture
    without = f'<img src="{escape(first)}" alt="">' if first else ""
    return (
        '<section id="viewer" aria-label="frames">\n<div id="frames">'
        '<button id="back" aria-label="frame before">&larr;</button>'
        '<button id="on" aria-label="next frame">&rarr;</button>'
        f'<label>frame <input id="find" type="search" list="names" autocomplete="off"></label>'
        f'<datalist id="names">{names}</datalist>'
        f'<span id="where" class="dim" role="status"></span></div>\n'
        '<div id="look"><div><div id="pictures"></div>\n<div id="toggles"></div>\n'
        '<div id="cloud" hidden><p id="paints">points by </p>'
        '<div id="points"></div><div id="legend"></div>'
        '<p class="dim"><span id="note"></span> <button id="home">back to the start</button> '
        '<button id="above">from above</button> <button id="inside">from the car</button></p>'
        "</div></div>\n"
        '<aside id="story" aria-live="polite"></aside></div>\n'
        f'<p class="dim">{escape(selection)}</p>\n'
        f"<noscript><p>Labels are drawn with JavaScript; it asks no server.</p>{without}</noscript>"
        "</section>\n"
    )


def _list(lines: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _figures(report: Report) -> str:
    notes = "".join(f"<p class='dim'>{escape(note)}</p>" for note in report.notes)
    tables = "\n".join(table_html(table) for table in report.tables)
    return (
        f"<h2>Figures</h2><p>Truth: {escape(report.truth)}. Intervals: 95 %, bootstrap by scene, "
        f"seed {report.seed}. A dash: nothing to judge.</p>{notes}{tables}\n"
    )
