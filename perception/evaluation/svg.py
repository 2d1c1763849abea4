"""Plots as SVG that stands in a page: no script, no font, colours by classes of the page's style.

A line differs from the others by its dashes too, and a bar by its legend and count: nothing is told
by colour alone.
"""

from collections.abc import Mapping
from html import escape

from perception.evaluation.plots import Plot

WIDTH, HEIGHT = 360, 270
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 8, 40  # around the square of a plot of lines
BAR_HEIGHT, BAR_LEFT, BAR_RIGHT = 20, 124, 46
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
COLOURS = 8  # classes c0 to c7
DASHES = ("", "6 3", "2 3", "8 3 2 3", "10 4")


def lines_svg(plot: Plot) -> str:
    """Return a plot of lines, with its legend."""
    x_name, y_name = plot.columns[1:]
    x_end, y_end = plot.ends()
    grid = "".join(
        f'<path class="grid" d="M{_x(tick):g} {_y(0):g}V{_y(1):g}"/>'
        f'<path class="grid" d="M{_x(0):g} {_y(tick):g}H{_x(1):g}"/>'
        f'<text x="{_x(tick):g}" y="{_y(0) + 14:g}" text-anchor="middle">{tick * x_end:g}</text>'
        f'<text x="{LEFT - 5}" y="{_y(tick) + 4:g}" text-anchor="end">{tick * y_end:g}</text>'
        for tick in TICKS
    )
    axes = (
        f'<text x="{_x(0.5):g}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_name)}</text>'
        f'<text transform="translate(10 {_y(0.5):g}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_name)}</text>"
    )
    drawn, legend = [], []
    for number, (name, values) in enumerate(plot.series().items()):
        points = [(x / x_end, y / y_end) for x, y in values]
        style = (
            f'class="line c{number % COLOURS}" stroke-dasharray="{DASHES[number % len(DASHES)]}"'
        )
        places = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in points)
        marks = "".join(f'<circle cx="{_x(x):.1f}" cy="{_y(y):.1f}" r="2.5"/>' for x, y in points)
        dots = f'<g class="fill c{number % COLOURS}">{marks}</g>' if len(points) <= 12 else ""
        drawn.append(f'<polyline {style} points="{places}"/>{dots}')
        key = f'<svg width="26" height="10" aria-hidden="true"><path {style} d="M1 5H25"/></svg>'
        legend.append(f"<li>{key} {escape(name)}</li>")
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(plot.title)}">'
        f'{grid}{axes}{"".join(drawn)}</svg><ul class="legend">{"".join(legend)}</ul>'
    )


def bars_svg(plot: Plot) -> str:
    """Return stacked bars, one for each category, with their counts and the legend."""
    categories, series, counts = plot.table()
    sums = [sum(counts.get((one, name), 0) for name in series) for one in categories]
    scale = (WIDTH - BAR_LEFT - BAR_RIGHT) / max(*sums, 1)
    drawn = []
    for row, (category, total) in enumerate(zip(categories, sums, strict=True)):
        y, x = row * (BAR_HEIGHT + 4), float(BAR_LEFT)
        drawn.append(
            f'<text x="{BAR_LEFT - 6}" y="{y + 14}" text-anchor="end">{escape(category)}</text>'
        )
        for number, name in enumerate(series):
            width = counts.get((category, name), 0) * scale
            drawn.append(
                f'<rect class="fill c{number}" x="{x:.1f}" y="{y}" width="{width:.1f}" '
                f'height="{BAR_HEIGHT}"><title>{escape(category)}, {escape(name)}: '
                f"{counts.get((category, name), 0):,}</title></rect>"
            )
            x += width
        drawn.append(f'<text x="{x + 5:.1f}" y="{y + 14}">{total:,}</text>')
    legend = "".join(
        f'<li><svg width="14" height="10" aria-hidden="true"><rect class="fill c{number}" '
        f'width="14" height="10"/></svg> {escape(name)}</li>'
        for number, name in enumerate(series)
    )
    height = len(categories) * (BAR_HEIGHT + 4)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(plot.title)}">'
        f'{"".join(drawn)}</svg><ul class="legend">{legend}</ul>'
    )


def matrix_html(plot: Plot, links: Mapping[tuple[str, str], str]) -> str:
    """Return counts as a table whose cells open their pictures; the darker, the more of the row.

    Args:
        plot: A matrix.
        links: From row and column to where the cell leads, escaped already.
    """
    rows, columns, counts = plot.table()
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = []
    for row in rows:
        total = sum(counts[row, column] for column in columns)
        cells = "".join(
            _matrix_cell(counts[row, column], total, links.get((row, column), ""))
            for column in columns
        )
        body.append(f'<tr><th scope="row">{escape(row)}</th>{cells}</tr>')
    return (
        '<div class="wide"><table class="matrix">'
        f"<tr><td></td>{head}</tr>{''.join(body)}</table></div>"
    )


def _matrix_cell(count: int, total: int, link: str) -> str:
    if not count:
        return "<td></td>"
    text = f'<a href="{link}">{count:,}</a>' if link else f"{count:,}"
    # A third of the accent at most: text on it keeps its contrast.
    return f'<td style="--share:{count / total * 30:.0f}%">{text}</td>'


def _x(value: float) -> float:
    return LEFT + value * (WIDTH - LEFT - RIGHT)


def _y(value: float) -> float:
    return HEIGHT - BOTTOM - value * (HEIGHT - TOP - BOTTOM)
