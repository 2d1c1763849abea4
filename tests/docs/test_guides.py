"""Tables that people write name everything that the code has."""

import re
from pathlib import Path

from perception.commands.exports.command import FORMATS
from perception.core.reasons import REASONS
from perception.readers.sources import LAYOUTS

ROOT = Path(__file__).resolve().parent.parent.parent


def first_cells(document: str) -> set[str]:
    """Return what stands in code in the first cells of a document's tables."""
    text = (ROOT / document).read_text(encoding="utf-8")
    cells = re.findall(r"^\| ([^|]+)\|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_the_guide_to_labelling_names_every_layout_format_and_reason() -> None:
    named = first_cells("docs/guides/label.md")
    assert {name.split(":")[0] for name in named} >= LAYOUTS.keys()
    assert named >= FORMATS.keys()
    assert {name.removesuffix(".N") for name in named} >= REASONS.keys()


def test_every_decision_has_its_four_parts_and_a_row() -> None:
    index = (ROOT / "docs" / "decisions" / "index.md").read_text(encoding="utf-8")
    decisions = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    assert [path.name[:4] for path in decisions] == [
        f"{number:04d}" for number in range(1, len(decisions) + 1)
    ]
    for path in decisions:
        text = path.read_text(encoding="utf-8")
        assert re.match(rf"# {path.name[:4]}: .+\n\nStatus: ", text), path.name
        assert re.search(r"Date:\s\d{4}-\d\d-\d\d\.", text), path.name
        found = re.findall(r"^## (\w+)$", text, re.MULTILINE)
        assert found == ["Context", "Decision", "Consequence"], path.name
        assert f"]({path.name})" in index, path.name


def test_every_experiment_has_a_row() -> None:
    index = (ROOT / "docs" / "experiments" / "index.md").read_text(encoding="utf-8")
    for path in (ROOT / "docs" / "experiments").glob("*.md"):
        assert path.name == "index.md" or f"]({path.name})" in index, path.name
