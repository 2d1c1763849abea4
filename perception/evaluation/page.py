"""A report as one HTML page that opens from disk: no network, no scripts."""

from collections.abc import Mapping
from html import escape
from itertools import groupby
from urllib.parse import quote

from perception.core.statistics import Figure
from perception.evaluation.confusion import MISSED, NOTHING, Example
from perception.evaluation.plots import Plot
from perception.evaluation.report import Report, Table
from perception.evaluation.svg import bars_svg, lines_svg, matrix_html
from perception.evaluation.verdict import verdict_lines

BAR_PX, HEIGHT_PX = 80, 10
# Every pair of text and ground below has a contrast of 4.5 or more, of lines and ground 3 or more
# (WCAG 2.2, 1.4.3 and 1.4.11), light and dark.
STYLE = """
:root { color-scheme: light dark; --ground: #fff; --text: #222; --dim: #595959; --line: #ddd;
  --accent: #1f5fa8; --track: #eee;
  --c0: #1f5fa8; --c1: #b3541e; --c2: #2b7a3d; --c3: #8a3fa0; --c4: #a8323e; --c5: #5c5c5c;
  --c6: #86700c; --c7: #0f7580; }
@media (prefers-color-scheme: dark) { :root { --ground: #16181b; --text: #e6e6e6; --dim: #a9adb3;
  --line: #3a3d42; --accent: #8ab8ec; --track: #2b2e33;
  --c0: #7db1ea; --c1: #eb9a66; --c2: #7cc98c; --c3: #cf97e0; --c4: #f08a93; --c5: #b4b4b4;
  --c6: #d8c25a; --c7: #62c6d1; } }
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem; max-width: 1200px;
  color: var(--text); background: var(--ground); overflow-wrap: anywhere; }
a { color: var(--accent); } .track { fill: var(--track); } .bar { fill: var(--accent); }
.interval { stroke: var(--text); }
h2 { font-size: 1.1rem; margin: 2rem 0 .2rem; } h3 { font-size: 1rem; margin: 1.2rem 0 .2rem; }
p { margin: .2rem 0 .6rem; color: var(--dim); }
pre { white-space: pre-wrap; font: 13px/1.6 ui-monospace, monospace; }
.wide { overflow-x: auto; } table { border-collapse: collapse; }
th, td { padding: .2rem .7rem; text-align: right; white-space: nowrap; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; } small { color: var(--dim); }
svg { display: block; } @media print { body { margin: 0; } }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(340px, 100%), 1fr));
  gap: 1.5rem 2rem; }
figure { margin: 0; min-width: 0; } figcaption { color: var(--dim); }
figure > svg { width: 100%; height: auto; max-width: 480px; }
svg text { fill: currentColor; font-size: 11px; } .grid { stroke: var(--line); fill: none; }
.line { fill: none; stroke-width: 2; }
.legend { list-style: none; padding: 0; margin: .2rem 0; display: flex; flex-wrap: wrap;
  gap: .1rem .9rem; } .legend svg { display: inline-block; }
.matrix td { background: color-mix(in srgb, var(--accent) var(--share, 0%), var(--ground)); }
.matrix td a { color: var(--text); display: block; }
.gallery { display: flex; flex-wrap: wrap; gap: .8rem; }
.gallery figure { width: 200px; } .gallery img { max-width: 100%; }
""" + "".join(
    f".line.c{i} {{ stroke: var(--c{i}); }} .fill.c{i} {{ fill: var(--c{i}); }}\n" for i in range(8)
)
NO_FILES: Mapping[str, str] = {}
NO_LINKS: Mapping[tuple[str, str], str] = {}


def to_html(
    report: Report,
    title: str = "Evaluation",
    *,
    files: Mapping[str, str] = NO_FILES,
    pictures: Mapping[int, str] | None = None,
) -> str:
    """Return the report as a page; a bar shows a figure between 0 and 1, the line its interval.

    Args:
        report: What to show.
        title: Of the page.
        files: Name of a plot to the CSV of its numbers, relative to the page.
        pictures: Number of an example of the report to its picture, relative to the page.
    """
    shown = pictures or {}
    counts = "".join(f"<tr><td>{escape(k)}</td><td>{n:,}</td></tr>" for k, n in report.counts)
    notes = "".join(f"<p>{escape(note)}</p>" for note in report.notes)
    tables = "\n".join(table_html(table) for table in report.tables)
    verdict = "\n".join(escape(line) for line in verdict_lines(report))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>"
        f"<h1>{escape(title)}</h1><pre>{verdict}</pre>\n"
        f"{_plots_html(report, files, shown)}\n{_gallery_html(report, shown)}\n"
        f"<h2>All figures</h2><p>Truth: {escape(report.truth)}. Intervals: 95 %, bootstrap by "
        f"scene, seed {report.seed}. A dash: nothing to judge.</p>{notes}"
        f'<div class="wide"><table>{counts}</table></div>\n{tables}</body></html>\n'
    )


def _plots_html(report: Report, files: Mapping[str, str], pictures: Mapping[int, str]) -> str:
    numbers: dict[tuple[str, str], str] = {}
    for number, one in enumerate(report.examples):
        if number in pictures:
            numbers.setdefault((one.true, one.called), f"#cell-{number}")
    small = [plot_html(plot, files) for plot in report.plots if plot.kind != "matrix"]
    wide = [plot_html(plot, files, numbers) for plot in report.plots if plot.kind == "matrix"]
    grid = f'<div class="plots">{"".join(small)}</div>' if small else ""
    return f"<h2>Plots</h2>{grid}{''.join(wide)}" if report.plots else ""


def plot_html(
    plot: Plot, files: Mapping[str, str], links: Mapping[tuple[str, str], str] = NO_LINKS
) -> str:
    """Return one plot under its title.

    Args:
        plot: What to draw.
        files: Name of a plot to the CSV of its numbers, relative to the page.
        links: Of a matrix, see `matrix_html`.
    """
    if plot.kind == "matrix":
        drawn = matrix_html(plot, links)
    else:
        drawn = lines_svg(plot) if plot.kind == "lines" else bars_svg(plot)
    numbers = (
        f' <a href="{quote(files[plot.name])}">numbers (CSV)</a>' if plot.name in files else ""
    )
    return (
        f'<figure id="plot-{escape(plot.name)}"><h3>{escape(plot.title)}</h3>{drawn}'
        f"<figcaption>{numbers}</figcaption></figure>"
    )


def _gallery_html(report: Report, pictures: Mapping[int, str]) -> str:
    """Return the examples of each cell of the confusion matrix: the wrong ones first."""
    cells = [
        (pair, list(rows))
        for pair, rows in groupby(enumerate(report.examples), lambda one: _cell_of(one[1]))
    ]
    parts = []
    for (true, called), rows in sorted(cells, key=lambda cell: _order(cell[0])):
        shown = [(number, one) for number, one in rows if number in pictures]
        if shown:
            images = "".join(_example_html(n, one, pictures[n]) for n, one in shown)
            parts.append(
                f'<h3 id="cell-{shown[0][0]}">{escape(_cell_title(true, called))}</h3>'
                f'<div class="gallery">{images}</div>'
            )
    if not parts:
        return ""
    told = "Solid green: the truth. Dashed orange: the label. The worst of each kind come first."
    return f"<h2>Pictures</h2><p>{told}</p>{''.join(parts)}"


def _cell_of(example: Example) -> tuple[str, str]:
    return example.true, example.called


def _order(cell: tuple[str, str]) -> int:
    """Return false alarms, missed objects, confusions, and what is right, in this order."""
    true, called = cell
    return 0 if true == NOTHING else 1 if called == MISSED else 2 if true != called else 3


def _cell_title(true: str, called: str) -> str:
    if true == NOTHING:
        return f"False alarms: called {called}, no object of IoU 0.5"
    if called == MISSED:
        return f"Missed: {true}, no label of IoU 0.5"
    return f"Confused: {true}, called {called}" if true != called else f"Right, lowest IoU: {true}"


def _example_html(number: int, example: Example, picture: str) -> str:
    told = [example.file_name]
    told += [f"score {example.score:.2f}"] if example.score else []
    told += [f"IoU {example.iou:.2f}"] if example.iou else []
    words = escape(", ".join(told))
    return (
        f'<figure><a href="{quote(picture)}"><img src="{quote(picture)}" loading="lazy" '
        f'alt="{words}"></a><figcaption><small>{words}</small></figcaption></figure>'
    )


def table_html(table: Table) -> str:
    """Return one table under its heading; STYLE says what its classes look like."""
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    rows = "\n".join(
        f"<tr><td>{escape(name)}</td>{''.join(_cell(figure) for figure in figures)}</tr>"
        for name, figures in table.rows
        if any(figure.value is not None for figure in figures)
    )
    body = f"<tr><th></th>{head}</tr>\n{rows}" if rows else "<tr><td>nothing to judge</td></tr>"
    return (
        f"<h2>{escape(table.name)}</h2><p>{escape(table.title)}</p>"
        f'<div class="wide"><table>{body}</table></div>'
    )


def _cell(figure: Figure) -> str:
    if figure.value is None:
        return "<td>-</td>"
    sure = "" if figure.low is None else f"<br><small>{figure.low:.3f} to {figure.high:.3f}</small>"
    return f"<td>{figure.value:.3f} <small>n {figure.n:,}</small>{sure}{_bar(figure)}</td>"


def _bar(figure: Figure) -> str:
    value, low, high = figure.value, figure.low, figure.high
    if value is None or low is None or high is None or not 0 <= value <= 1:
        return ""
    middle = HEIGHT_PX / 2
    return (
        f'<svg width="{BAR_PX}" height="{HEIGHT_PX}" role="img" aria-label="{value:.3f}">'
        f'<rect width="{BAR_PX}" height="{HEIGHT_PX}" class="track"/>'
        f'<rect width="{value * BAR_PX:.1f}" height="{HEIGHT_PX}" class="bar"/>'
        f'<line x1="{low * BAR_PX:.1f}" x2="{high * BAR_PX:.1f}" y1="{middle}" y2="{middle}" '
        'class="interval"/></svg>'
    )
