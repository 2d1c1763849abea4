"""Bugs caught: a curve that is not the figure's, numbers beside a plot that it does not show."""

import csv
import importlib.util
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from perception.core.types import Status
from perception.evaluation import Report, evaluate_labels, ranking, to_html
from perception.evaluation.gallery import draw_example, write_plots
from perception.evaluation.instances import compare
from perception.evaluation.page import STYLE
from perception.evaluation.plots import (
    IDEAL,
    MAX_POINTS,
    NO_REASON,
    Plot,
    by_threshold,
    count_reasons,
    precision_recall,
    reliability,
    yield_curve,
)
from perception.evaluation.rows import label_table, object_table
from perception.evaluation.truth import vocabulary_of

CAR = 6
CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="module")
def report(make: SimpleNamespace) -> Report:
    """A world with every kind of plot: ranges, trusts and reasons included."""
    samples, truths = make.random_world(5, scenes=10)
    truths = [
        replace(one, ranges_m=np.linspace(3, 70, len(one)).astype(np.float32)) for one in truths
    ]
    trusted = []
    for sample in samples:
        (picture,) = sample.pictures
        rows = picture.instances
        reasons = tuple(() if s == Status.ACCEPTED else ("iou.low",) for s in rows.statuses)
        rows = replace(rows, trusts=rows.scores, reasons=reasons)
        trusted.append(replace(sample, pictures=(replace(picture, instances=rows),)))
    return evaluate_labels(trusted, make.truth_of(truths))


def compared(make: SimpleNamespace, *labels: Any, truth: Any) -> list[Any]:
    return [compare(0, one, truth, vocabulary_of(make.road)) for one in labels]


def test_precision_by_recall_is_what_a_hand_count_says(make: SimpleNamespace) -> None:
    # Four cars; by falling score: right, wrong, right, and two are never found. Precision is 1 up
    # to a recall of 1/4, then 2/3 up to 1/2, then nothing.
    truth = make.true_picture([(x, 0, x + 8, 8) for x in (0, 20, 40, 60)])
    labels = make.labelled([(0, 0, 8, 8), (0, 40, 8, 48), (20, 0, 28, 8)], scores=[0.9, 0.8, 0.7])
    found = compared(make, labels, truth=truth)
    plot = precision_recall(found, vocabulary_of(make.road), "segm")
    ((name, points),) = plot.series().items()
    assert name == "car (4)" and len(points) == 101
    for recall, precision in points:
        expected = 1.0 if recall <= 0.25 else 2 / 3 if recall <= 0.5 else 0.0
        assert precision == pytest.approx(expected, abs=1e-6), recall


def test_the_mean_of_a_curve_is_ap50_of_its_class(make: SimpleNamespace) -> None:
    samples, truths = make.random_world(6, scenes=8)
    classes = vocabulary_of(make.road)
    found = [
        compare(number, sample.pictures[0], truth, classes)
        for number, (sample, truth) in enumerate(zip(samples, truths, strict=True))
    ]
    plot = precision_recall(found, classes, "segm")
    once = np.ones((1, len(found)), np.int64)
    expected = ranking.draws(found, classes, "segm", once, ["AP50"])["AP50"][0][0]
    means = [np.mean([y for _, y in points]) for points in plot.series().values()]
    assert len(means) > 2
    assert np.mean(means) == pytest.approx(expected, abs=1e-5)


def test_curves_by_threshold_and_yield_are_what_a_hand_count_says(make: SimpleNamespace) -> None:
    # Three labels for four cars: IoU 1, 0.6 and nothing, by falling score.
    truth = make.true_picture([(x, 0, x + 10, 10) for x in (0, 20, 40, 60)])
    labels = make.labelled(
        [(0, 0, 10, 10), (20, 0, 30, 6), (0, 40, 8, 48)], scores=[0.75, 0.5, 0.25]
    )
    found = compared(make, labels, truth=truth)
    lines = by_threshold(label_table(found), object_table(found)).series()
    assert lines["precision, IoU 0.5"] == [(0.75, 1.0), (0.5, 1.0), (0.25, 0.666667)]
    assert lines["precision, IoU 0.75"] == [(0.75, 1.0), (0.5, 0.5), (0.25, 0.333333)]
    assert lines["yield, IoU 0.75"] == [(0.75, 0.25), (0.5, 0.25), (0.25, 0.25)]
    curve = yield_curve(label_table(found), object_table(found)).series()
    assert curve == {"by score": [(0.25, 1.0), (0.25, 0.5), (0.25, 0.333333)]}


def test_reliability_is_the_share_right_in_each_tenth_of_trust(make: SimpleNamespace) -> None:
    truth = make.true_picture([(0, 0, 10, 10), (20, 0, 30, 10)])
    labels = make.labelled([(0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)])
    assert reliability(label_table(compared(make, labels, truth=truth))).rows == ()
    trusts = np.array([0.82, 1.0, 0.84], np.float32)
    trusted = replace(labels, instances=replace(labels.instances, trusts=trusts))
    lines = reliability(label_table(compared(make, trusted, truth=truth))).series()
    assert lines == {
        IDEAL: [(0.0, 0.0), (1.0, 1.0)],
        "labels (3)": [(pytest.approx(0.83), 0.5), (1.0, 1.0)],
    }


def test_reasons_are_counted_by_what_became_of_their_labels(make: SimpleNamespace) -> None:
    labels = make.labelled(
        [(0, 0, 9, 9)] * 3, statuses=[Status.ACCEPTED, Status.REJECTED, Status.REVIEW]
    )
    reasons = ((), ("duplicate_of.7", "score.low"), ("iou.low",))
    rows = replace(labels.instances, reasons=reasons)
    assert count_reasons([replace(labels, instances=rows)]) == {
        (NO_REASON, Status.ACCEPTED): 1,
        ("duplicate_of", Status.REJECTED): 1,
        ("score.low", Status.REJECTED): 1,
        ("iou.low", Status.REVIEW): 1,
    }


def test_bars_add_up_to_what_the_tables_count(report: Report) -> None:
    plots = {plot.name: plot for plot in report.plots}
    objects = dict(report.counts)["true objects"]
    for name in ("classes", "sizes", "ranges"):
        _, _, counts = plots[name].table()
        assert sum(counts.values()) == objects, name
    found = sum(
        count for (_, what), count in plots["classes"].table()[2].items() if what == "found"
    )
    recall = report.figure("labels", "all", "recall")
    assert recall.value == pytest.approx(found / objects)
    _, _, counts = plots["scores"].table()
    precision = report.figure("labels", "all", "precision")
    assert sum(counts.values()) == precision.n
    right = sum(count for (_, what), count in counts.items() if what == "right")
    assert precision.value == pytest.approx(right / precision.n)


def test_a_report_without_labels_or_objects_has_plots_of_what_there_is(
    make: SimpleNamespace,
) -> None:
    truth = make.true_picture([(0, 0, 9, 9)])
    nothing = evaluate_labels([], make.truth_of())
    assert nothing.plots == () and "Plots" not in to_html(nothing)
    missed = evaluate_labels([make.sample(make.labelled())], make.truth_of([truth]))
    assert [one.name for one in missed.plots] == [
        *("precision-recall", "confusion", "classes", "sizes")
    ]
    alarm = evaluate_labels(
        [make.sample(make.labelled([(0, 0, 9, 9)]))], make.truth_of([make.true_picture()])
    )
    assert [one.name for one in alarm.plots] == ["thresholds", "confusion", "scores", "reasons"]
    for one in (missed, alarm):
        assert "nan" not in to_html(one)


def test_long_curves_are_thinned_and_keep_their_ends(make: SimpleNamespace) -> None:
    truth = make.true_picture([(0, 0, 9, 9)])
    n = 500
    scores = np.linspace(0.2, 0.9, n).tolist()
    found = compared(make, make.labelled([(0, 0, 9, 9)] * n, scores=scores), truth=truth)
    points = by_threshold(label_table(found), object_table(found)).series()["precision, IoU 0.5"]
    assert len(points) == MAX_POINTS
    assert points[0] == (0.9, 1.0) and points[-1] == (0.2, pytest.approx(1 / n))


class Links(HTMLParser):
    """What a page refers to, and the ids that it has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links, self.ids = list[str](), set[str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.links += [v for k in ("href", "src") if (v := values.get(k)) is not None]
        self.ids.add(values.get("id") or "")


def numbers_of(path: Path) -> list[tuple[str, ...]]:
    return [tuple(row) for row in csv.reader(io.StringIO(path.read_text()))]


def test_every_plot_of_a_page_has_its_numbers_beside_it(report: Report) -> None:
    names = {plot.name for plot in report.plots}
    assert names == {
        *("precision-recall", "thresholds", "yield", "reliability", "confusion", "classes"),
        *("sizes", "ranges", "scores", "reasons"),
    }
    page = to_html(report, files={name: f"x_files/{name}.csv" for name in names})
    links = Links(page)
    assert {f"x_files/{name}.csv" for name in names} <= set(links.links)
    assert {f"plot-{name}" for name in names} <= links.ids
    assert "://" not in page and "<script" not in page
    for plot in report.plots:
        (drawn,) = re.findall(rf'id="plot-{plot.name}">(.*?)</figure>', page, re.DOTALL)
        if plot.kind == "lines":
            assert drawn.count("<polyline") == len(plot.series())
            places = re.findall(r'points="([^"]+)"', drawn)
            assert [len(one.split()) for one in places] == [
                len(points) for points in plot.series().values()
            ]
        else:
            first, second, counts = plot.table()
            for count in counts.values():
                assert not count or f">{count:,}<" in drawn or f": {count:,}<" in drawn
            for name in (*first, *second):
                assert name in drawn


def test_matplotlib_draws_the_numbers_of_the_csv(report: Report, tmp_path: Path) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        pytest.skip("needs the extra plots")
    names = write_plots(tmp_path / "plots", report)
    assert set(names) == {plot.name for plot in report.plots}
    for plot in report.plots:
        base = tmp_path / "plots" / plot.name
        rows = [tuple(map(str, row)) for row in (plot.columns, *plot.rows)]
        assert numbers_of(base.with_suffix(".csv")) == rows
        image = cv2.imread(str(base.with_suffix(".png")))
        assert image is not None and image.shape[:2] == (675, 900) and image.std() > 5
        assert base.with_suffix(".pdf").read_bytes()[:5] == b"%PDF-"
    before = {path.name: path.read_bytes() for path in (tmp_path / "plots").iterdir()}
    write_plots(tmp_path / "plots", report)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "plots").iterdir()}


def test_cells_of_the_confusion_matrix_open_their_pictures(report: Report) -> None:
    pictures = {number: f"x_files/example-{number}.jpg" for number in range(len(report.examples))}
    page = to_html(report, pictures=pictures)
    links = Links(page)
    (plot,) = [one for one in report.plots if one.name == "confusion"]
    filled = [count for count in plot.table()[2].values() if count]
    cells = [link for link in links.links if link.startswith("#cell-")]
    assert len(cells) == len(set(cells)) == len(filled) > 5
    assert {link[1:] for link in cells} <= links.ids
    assert {link for link in links.links if link.endswith(".jpg")} == set(pictures.values())
    order = [page.index(text) for text in ("False alarms:", "Missed:", "Confused:", "Right,")]
    assert order == sorted(order)
    assert "#cell-" not in to_html(report)  # without pictures there is nothing to open


def test_an_example_is_drawn_with_both_outlines(report: Report) -> None:
    image = np.full((150, 200, 3), 128, np.uint8)
    for example in report.examples:
        drawn = draw_example(image, example)
        assert max(drawn.shape) == 240
        green = (drawn == (60, 220, 90)).all(axis=2).any()
        orange = (drawn == (255, 150, 30)).all(axis=2).any()
        assert (green, orange) == (len(example.true_masks) > 0, len(example.label_masks) > 0)


def test_boxes_stand_in_where_the_truth_has_no_masks(make: SimpleNamespace) -> None:
    picture = make.true_picture([(60, 30, 100, 70)], size_hw=(150, 200))
    empty = replace(picture.masks, boxes_xyxy=np.zeros((1, 4), np.int32), counts=(b"",))
    truth = replace(make.truth_of([replace(picture, masks=empty)]), has_masks=False)
    report = evaluate_labels([make.sample(make.labelled(size_hw=(150, 200)))], truth)
    found = evaluate_labels([make.sample(make.as_labels(picture))], truth)
    names = [plot.name for plot in found.plots]
    assert "precision-recall" in names and not {"yield", "reliability"} & set(names)
    (thresholds,) = [plot for plot in found.plots if plot.name == "thresholds"]
    assert not any("yield" in name for name in thresholds.series())
    (example,) = report.examples
    drawn = draw_example(np.zeros((150, 200, 3), np.uint8), example)
    # A window of 40 px and a margin of 26 on each side, 92 px, is shown 240 px large.
    rows, columns = np.nonzero((drawn == (60, 220, 90)).all(axis=2))
    assert [rows.min(), rows.max()] == pytest.approx([26 * 240 / 92, 66 * 240 / 92], abs=2)
    assert [columns.min(), columns.max()] == pytest.approx([26 * 240 / 92, 66 * 240 / 92], abs=2)


def luminance(colour: str) -> float:
    digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def mixed(one: str, other: str, share: float) -> str:
    first, second = ([int(c[i : i + 2], 16) for i in (0, 2, 4)] for c in (one, other))
    parts = zip(first, second, strict=True)
    return "".join(f"{round(a * share + b * (1 - share)):02x}" for a, b in parts)


def test_colours_keep_their_contrast_light_and_dark() -> None:
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[:2]
    for text in (light, dark):
        colours = dict(re.findall(r"--([\w]+): #([0-9a-f]+)", text))
        colours = {k: v if len(v) == 6 else "".join(2 * c for c in v) for k, v in colours.items()}
        assert len(colours) == 14
        for name in ("text", "dim", "accent"):
            assert contrast(colours[name], colours["ground"]) >= 4.5, name
        for number in range(8):
            assert contrast(colours[f"c{number}"], colours["ground"]) >= 3.0, number
        darkest = mixed(colours["accent"], colours["ground"], 0.3)
        assert contrast(colours["text"], darkest) >= 4.5


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not Path(CHROMIUM).is_file():
        pytest.skip("no chromium: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_fits_a_phone_asks_nobody_and_follows_the_scheme(
    browser: Any, report: Report, tmp_path: Path, scheme: str
) -> None:
    (tmp_path / "page.html").write_text(to_html(report))
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    page, asked = context.new_page(), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "page.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 24, 27)"}[scheme]
    assert len(asked) == 1
    context.close()


def test_csv_of_a_plot_has_its_columns(report: Report) -> None:
    plot = Plot("x", "t", "bars", ("a", "b", "c"), (("one, two", "y", 3),))
    assert plot.to_csv() == 'a,b,c\n"one, two",y,3\n'
