"""What a person meets who does not know the command line yet: help, other tools' words, typos."""

from pathlib import Path

import pytest

from perception import cli
from perception.cli.terminal import in_blocks, spell_options


def said(capsys: pytest.CaptureFixture[str], *tokens: str) -> str:
    assert cli.run([*tokens, "--help"]) == cli.FINE
    return capsys.readouterr().out


def test_label_has_what_most_people_need_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    shown = said(capsys, "label")
    titles = ("What most people need", "Decisions", "Models", "Where it runs", "Input", "Safety")
    places = [shown.index(f"─ {title}") for title in titles]
    assert places == sorted(places)
    first = shown[places[0] : places[1]]
    assert "--detector" in first and "--out" in first and "--chunk" not in first
    assert "[default:" in shown and "default: False" not in shown and 'default: ""' not in shown


def test_the_verbs_that_most_people_need_come_first(capsys: pytest.CaptureFixture[str]) -> None:
    shown = said(capsys)
    places = [shown.index(name) for name in ("label ", "Better labels", "relabel ", "bench ")]
    assert places == sorted(places)


@pytest.mark.parametrize("verb", ["label", "segment", "show", "trust fit", "corrections apply"])
def test_examples_stand_one_a_line(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    shown = said(capsys, *verb.split())
    examples = shown.splitlines()[
        2 : next(i for i, line in enumerate(shown.splitlines()) if "─" in line)
    ]
    commands = [line for line in examples if f"perception {verb} " in line]
    assert len(commands) >= 2 and all(line.count("perception ") == 1 for line in commands)


def test_a_list_has_no_option_that_empties_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--empty" not in said(capsys, "segment") and "--empty" not in said(
        capsys, "trust", "fit"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("Do.", "Do."),
        ("Do.\n\nperception a\nperception b", "Do.\n\n```\nperception a\nperception b\n```"),
        ("perception a --x\n--y\n\nMore", "```\nperception a --x --y\n```\n\nMore"),
    ],
)
def test_commands_in_a_text_become_blocks(text: str, expected: str) -> None:
    assert in_blocks(text) == expected


@pytest.mark.parametrize(
    "tokens",
    [
        ["source=photos", "model=bright", "conf=0.4"],
        ["--source", "photos", "--model", "bright", "--conf", "0.4"],
        ["photos", "--detector", "bright", "--min-score", "0.4"],
    ],
)
def test_the_words_of_yolo_are_understood(tokens: list[str]) -> None:
    _, bound, _ = cli.app.parse_args(
        spell_options(["label", *tokens], cli.app), exit_on_error=False
    )
    expected = {"source": "photos", "detector": "bright", "min_score": 0.4}
    assert {name: bound.arguments[name] for name in expected} == expected


def test_an_option_that_does_not_exist_is_answered_with_all_that_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["label", "photos", "--overwritten"]) == cli.USAGE
    errors = capsys.readouterr().err
    assert "Did you mean --overwrite?" in errors
    for option in ("--source", "--detector", "--preset", "--json"):
        assert f"{option}," in errors or f"{option}." in errors


def test_a_pattern_that_the_shell_put_names_for_is_to_be_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).touch()
    assert cli.run(["label", "a.jpg", "b.jpg", "c.jpg"]) == cli.USAGE
    assert "put 3 names in the place of a pattern" in capsys.readouterr().err
    assert cli.run(["label", "a.jpg", "no-such-file"]) == cli.USAGE
    assert "pattern" not in capsys.readouterr().err
