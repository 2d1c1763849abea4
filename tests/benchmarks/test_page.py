"""BENCHMARKS.md and README state what the data file holds, and nobody types a figure by hand."""

import re

import pytest

from perception.benchmarks.harness import page, record
from perception.benchmarks.harness.page import DATA, PAGE, README, TEMPLATE
from perception.benchmarks.harness.record import Entry

TWO = "<!-- figures: perception bench x -->\n\n<!-- figures -->\n"


def entry(what: str, figure: float, command: str = "perception bench x", **more: object) -> Entry:
    known = {"machine": "2 cores", "commit": "6385aa9", "date": "2026-12-01"}
    return Entry.model_validate(
        {"what": what, "figure": figure, "command": command, **known, **more}
    )


def test_the_page_is_what_the_data_file_and_the_prose_make() -> None:
    made = page.page(TEMPLATE.read_text(), record.read(DATA))
    assert PAGE.read_text() == made, "run `make benchmarks-page`"


def test_readme_states_the_figures_of_the_data_file() -> None:
    text = README.read_text()
    assert page.TOLD.search(text)
    assert page.readme(text, record.read(DATA)) == text, "run `make benchmarks-page`"


def test_the_prose_holds_no_figure() -> None:
    """Settings stand in it (a IoU of 0.75, a score of 0.01), in commands or as what is measured."""
    text = re.sub(r"`[^`]*`", "", TEMPLATE.read_text())
    assert set(re.findall(r"\d+\.\d+", text)) <= {"0.75", "0.01"}


def test_no_figure_of_the_data_file_is_without_a_place() -> None:
    begins = [found[1] for found in page.PLACE.finditer(TEMPLATE.read_text()) if found[1]]
    assert len(set(begins)) == len(begins)
    for one in record.read(DATA):
        assert any(one.command.startswith(begin) for begin in begins), one.command


def test_the_last_figure_of_a_command_counts_and_keeps_its_name_in_readme() -> None:
    first = entry("IoU", 0.5, readme="IoU of cars", unit="m")
    other = entry("IoU", 0.7, "perception bench x --mode fast")
    later = entry("IoU", 0.6, date="2026-12-02")
    assert page.newest([first, other, later]) == (
        entry("IoU", 0.6, date="2026-12-02", readme="IoU of cars"),
        other,
    )


def test_figures_stand_under_the_command_that_its_line_of_the_prose_names() -> None:
    found = page.page(
        "A\n\n" + TWO,
        [
            entry("mask IoU", 0.68449, interval=(0.6, 0.71)),
            entry("labels", 2882),
            entry("a: time", 14.0, unit="s"),
            entry("a: memory", 1.5, unit="GB"),
            entry("b | c: memory", 0.004, unit="GB"),
            entry("IoU", 0.5, "perception evaluate", machine="8 cores"),
        ],
    )
    assert found == (
        "A\n\n`perception bench x`\n(2026-12-01, 6385aa9; 2 cores)\n\n"
        "|  | figure |\n|---|---|\n| mask IoU | 0.684 [0.6, 0.71] |\n| labels | 2,882 |\n\n"
        "|  | time | memory |\n|---|---|---|\n"
        "| a | 14.0 s | 1.5 GB |\n| b \\| c |  | 0.004 GB |\n\n"
        "`perception evaluate`\n(2026-12-01, 6385aa9; 8 cores)\n\n"
        "|  | figure |\n|---|---|\n| IoU | 0.5 |\n"
    )


def test_figures_of_one_command_measured_on_two_days_are_kept_apart() -> None:
    found = page.page(TWO, [entry("a", 1), entry("b", 2, date="2026-12-02"), entry("c", 3)])
    days = re.findall(r"\((\d{4}-\d\d-\d\d)|^\| (\w) ", found, re.MULTILINE)
    assert days == [("2026-12-01", ""), ("", "a"), ("", "c"), ("2026-12-02", ""), ("", "b")]


def test_the_line_that_names_most_of_a_command_takes_it() -> None:
    template = "<!-- figures: perception -->\n\nMine:\n<!-- figures: perception bench x -->\n"
    assert page.page(template, [entry("a", 1)]).startswith("\n\nMine:\n`perception bench x`")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (57, "57"),
        (2882, "2,882"),
        (0, "0"),
        (0.0, "0.0"),
        (12.0, "12.0"),
        (208.937, "209"),
        (1032.4, "1,032"),
        (0.123456, "0.123"),
        (-0.0026, "-0.0026"),
        (99.96, "100.0"),
        (1e-7, "1e-07"),
    ],
)
def test_counts_are_whole_and_others_have_three_digits(value: float, text: str) -> None:
    assert page.figure(entry("a", value)) == text


def test_readme_has_a_line_for_each_name() -> None:
    text = "before\n<!-- figures -->\n| old | 1 |\n<!-- /figures -->\nafter\n"
    kept = [
        entry("a", 12.0, readme="fast / exact"),
        entry("b", 4.2, readme="fast / exact"),
        entry("c", 3),
        entry("d", 14.0, readme="time", unit="s"),
    ]
    expected = "| what | figure |\n|---|---|\n| fast / exact | 12.0 / 4.2 |\n| time | 14.0 s |\n"
    assert page.readme(text, kept) == (
        f"before\n<!-- figures -->\n{expected}<!-- /figures -->\nafter\n"
    )
    assert page.readme("no such lines\n", kept) == "no such lines\n"
