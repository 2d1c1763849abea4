"""A report as one HTML page that opens from disk: no network, no scripts."""

from html import escape

from perception.core.statistics import Figure
from perception.evaluation.report import Report, Table

BAR_PX, HEIGHT_PX = 80, 10
STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; color: #222; background: #fff; }
.track { fill: #eee; } .bar { fill: #7aa6d8; } .interval { stroke: #222; }
h2 { font-size: 1.1rem; margin: 2rem 0 .2rem; } p { margin: .2rem 0 .6rem; color: #555; }
.wide { overflow-x: auto; } table { border-collapse: collapse; }
th, td { padding: .2rem .7rem; text-align: right; white-space: nowrap; vertical-align: top;
  border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; } small { color: #777; }
svg { display: block; } @media print { body { margin: 0; } }
"""


def to_html(report: Report, title: str = "Evaluation") -> str:
    """Return the report as a page; a bar shows a figure between 0 and 1, the line its interval."""
    counts = "".join(f"<tr><td>{escape(k)}</td><td>{n:,}</td></tr>" for k, n in report.counts)
    notes = "".join(f"<p>{escape(note)}</p>" for note in report.notes)
    tables = "\n".join(table_html(table) for table in report.tables)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>"
        f"<h1>{escape(title)}</h1><p>Truth: {escape(report.truth)}. Intervals: 95 %, bootstrap by "
        f"scene, seed {report.seed}. A dash: nothing to judge.</p>{notes}"
        f"<table>{counts}</table>\n{tables}</body></html>\n"
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
