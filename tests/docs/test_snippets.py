"""Commands and Python of the documents do what they say, or are at least understood.

README and docs/start.md are executed from top to bottom, in a folder of their own, on a synthetic
drive of three frames. `INSTEAD` is what is put in the place of what a reader brings.
"""

import json
import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import yaml

from perception import cli
from perception.cli.terminal import spell_options
from perception.core.config import Config, parse_config
from perception.runs import folder

ROOT = Path(__file__).resolve().parent.parent.parent
FENCE = re.compile(r'^```(\w*)(?: title="([^"]*)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("datasets/*/*.md")]
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language ("" for commands), where it stands, and which file it is of."""

    document: str
    language: str
    title: str
    text: str

    def commands(self) -> list[str]:
        """Return the commands, one each, without comments."""
        joined = self.text.replace("\\\n", " ")
        lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
        return [" ".join(line.split()) for line in lines if line]


def blocks(document: str, language: str) -> list[Block]:
    """Return the blocks of a document in one language."""
    found = FENCE.findall((ROOT / document).read_text(encoding="utf-8"))
    return [Block(document, kind, *rest) for kind, *rest in found if kind == language]


def languages(document: str) -> set[str]:
    """Return the languages of a document's blocks."""
    return {kind for kind, *_ in FENCE.findall((ROOT / document).read_text(encoding="utf-8"))}


def commands(document: str) -> list[str]:
    """Return all commands of a document, in their order."""
    return [command for block in blocks(document, "") for command in block.commands()]


def tokens(command: str) -> list[str]:
    """Return a command's words after `perception`."""
    return shlex.split(command)[1:]


POCKET = "datasets/pocket/pocket.onnx"
# Text of a document, and what is executed in its place.
INSTEAD = {
    "DATA/kitti_object": "DRIVE",  # the drive of these tests
    "--detector yolov8n.onnx": f"--detector {POCKET} --class-map road-to-road",  # what is shipped
    'detector="yolov8n.onnx"': f'detector="{POCKET}", class_map="road-to-road"',
    "mobile_sam.pt": "boxes",  # a segmenter without weights
    "grabcut": "boxes",  # in a tenth of the time
    "--frames 4": "--frames 2",
}
# Commands that are not executed, and why.
EXCLUDED = {
    "perception weights pull mobile_sam": "uses the network",
    "perception label photos": "uses the network; tests/commands/test_first_hour.py has a mirror",
    "make demo": "makes an environment and uses the network; CI's job demo",
    "make test": "this is it",
    "git clone ADDRESS driving-perception && cd driving-perception": "uses the network",
    "make setup": "makes the environment that these tests run in",
    ". .venv/bin/activate": "changes the reader's shell",
}
FINE = {"perception doctor": {0, 1}}  # 1: something is missing on this machine
EXECUTED = ("README.md", "docs/start.md")
OMITTED = "--detector yolov8n.onnx --segmenter mobile_sam.pt"  # what `...` stands for in guides
GUIDES = [name for name in DOCUMENTS if commands(name) and name not in EXECUTED]
# What has a title is a file of its own: `test_extend` puts it into a copy of the repository.
SNIPPETS = {
    name: [block for block in blocks(name, "python") if not block.title] for name in DOCUMENTS
}


def instead(text: str, drive: Path) -> str:
    for shown, done in INSTEAD.items():
        text = text.replace(shown, done.replace("DRIVE", str(drive)))
    return text


def decide_by_hand(run: Path) -> None:
    """Write what a person would download from the review page of a run: one label rejected."""
    sample, instance = next(
        (labels.id, int(picture.instances.instance_ids[0]))
        for _, labels in folder.read_labels(run)
        for picture in labels.pictures
    )
    spec = folder.read_spec(run)
    decided = [{"sample": sample, "instance": instance, "decision": "reject"}]
    document = {
        "run": spec.evidence_fingerprint(),
        "label_set": spec.label_set(),
        "decisions": decided,
    }
    Path("decisions.json").write_text(json.dumps(document))


def run_command(command: str, drive: Path) -> None:
    assert command.startswith("perception "), f"neither executed nor excluded: {command}"
    words = tokens(instead(command, drive))
    if words[:2] == ["corrections", "apply"]:
        decide_by_hand(Path(words[2]))
    assert cli.run(words) in FINE.get(command, {0}), command


@pytest.mark.models
@pytest.mark.slow
@pytest.mark.parametrize("document", EXECUTED)
def test_every_command_and_snippet_is_executed(
    document: str, drive: Path, workplace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for command in commands(document):
        if command not in EXCLUDED:
            run_command(command, drive)
    for block in SNIPPETS[document]:
        capfd.readouterr()
        exec(compile(instead(block.text, drive), document, "exec"), {"__name__": "snippet"})
        assert capfd.readouterr().out


@pytest.mark.models
@pytest.mark.slow
@pytest.mark.parametrize(
    "document", [name for name in DOCUMENTS if SNIPPETS[name] and name not in EXECUTED]
)
def test_python_of_other_documents_is_executed(
    document: str, drive: Path, example: Path, workplace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (workplace / "runs").mkdir()
    (workplace / "runs" / "example").symlink_to(example)  # the run that they read
    for block in SNIPPETS[document]:
        capfd.readouterr()
        exec(compile(instead(block.text, drive), document, "exec"), {"__name__": "snippet"})
        assert capfd.readouterr().out


def test_what_is_excluded_or_replaced_stands_in_a_document() -> None:
    shown = "\n".join((ROOT / name).read_text() for name in EXECUTED)
    assert [command for command in EXCLUDED if command not in shown] == []
    assert [text for text in INSTEAD if text not in shown] == []
    assert [command for command in FINE if command not in shown] == []


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    """Untagged blocks are commands; what is only to be read says `text`."""
    kinds = {"", "python", "text", "yaml", "diff"}
    unknown = {name: languages(name) - kinds for name in DOCUMENTS}
    assert {name: found for name, found in unknown.items() if found} == {}
    untitled = [name for name in DOCUMENTS for one in blocks(name, "diff") if not one.title]
    assert untitled == []


@pytest.mark.parametrize("document", GUIDES)
def test_every_command_is_understood(document: str) -> None:
    """Every verb and option exists, and nothing that a verb needs is missing."""
    for command in commands(document):
        words = command.split()
        if words[:3] == ["perception", "bench", "toy"]:  # `test_extend` makes it, and runs it
            continue
        if words[0] != "perception":
            assert words[0] in {"make", "pip", "python3", ".venv/bin/pip", ".venv/bin/pytest"}, (
                command
            )
            continue
        found = tokens(command.partition(" > ")[0].replace(" ... ", f" {OMITTED} "))
        cli.app.parse_args(spell_options(found, cli.app), exit_on_error=False, print_error=False)


def test_a_command_with_an_option_that_does_not_exist_is_not_understood() -> None:
    from cyclopts.exceptions import CycloptsError

    for wrong in ("perception relabel --min-score 1", "perception status a --fast", "perception x"):
        with pytest.raises(CycloptsError):
            cli.app.parse_args(tokens(wrong), exit_on_error=False, print_error=False)


@pytest.mark.parametrize("document", [n for n in DOCUMENTS if n.startswith("docs/guides")])
def test_settings_in_guides_are_settings(document: str) -> None:
    for block in blocks(document, "yaml"):
        stated = yaml.safe_load(block.text)
        assert parse_config(stated, document) != Config(), "settings that change something"


@cache
def options_of_the_command_line() -> set[str]:
    pages = cli.app.generate_docs()
    return set(re.findall(r"--[a-z][a-z-]*", pages)) | {"--help", "--version"}


@pytest.mark.parametrize(
    "document", ["README.md", *(n for n in DOCUMENTS if re.match(r"docs/(st|gu|co|ex)", n))]
)
def test_every_option_in_the_text_exists(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
    assert named - options_of_the_command_line() == set()


def files_named(document: str) -> list[str]:
    """Return what a document names as files and folders of the repository, without placeholders."""
    text = re.sub(r"```.*?```", "", (ROOT / document).read_text(encoding="utf-8"), flags=re.DOTALL)
    folders = "perception|integrations|tests|docs|datasets|configs"
    found = re.findall(rf"`((?:{folders})/[\w./-]+|pyproject\.toml|[A-Z]+\.md)`", text)
    return [
        name for name in found if "NAME" not in name and name != "perception/_data"
    ]  # the wheel's


DESIGNS = [
    path.relative_to(ROOT).as_posix()
    for folder in ("perception", "integrations")
    for path in sorted((ROOT / folder).rglob("design.md"))
]


@pytest.mark.parametrize(
    "document",
    [*DESIGNS, *(n for n in DOCUMENTS if n.startswith(("docs/extend", "docs/guides", "ARCH")))],
)
def test_files_that_a_document_names_are_there(document: str) -> None:
    missing = [name for name in files_named(document) if not (ROOT / name).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DESIGNS)
def test_modules_that_a_design_names_are_beside_it(document: str) -> None:
    place = ROOT / document
    named = re.findall(r"`(\w+\.py)`", place.read_text(encoding="utf-8"))
    assert named
    assert [name for name in named if not (place.parent / name).is_file()] == []


def test_designs_were_found() -> None:
    assert len(DESIGNS) >= 3
