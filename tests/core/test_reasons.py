"""The table of reasons against the code that gives them."""

import re
from pathlib import Path

import perception
from perception.core.reasons import GATES, REASONS, gate_of, kind_of, words_of

ROOMS = Path(perception.__file__).parent / "labeling"
CODE = re.compile(r'"((?:score|mask|iou|stability|points|rider|trust|class)\.[a-z_]+)"')


def test_each_code_that_labelling_gives_is_in_the_table_and_no_other() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(ROOMS.rglob("*.py")))
    given = {code for code in CODE.findall(text) if not code.startswith("trust.few")}
    given -= {"trust.invalid", "class.unknown"}  # errors
    given |= {f"{head}_of" for head in re.findall(r'f"(\w+)_of\.', text)}
    given |= {f"human.{word}" for word in ("reject", "wrong_class", "bad_edge")}
    assert given == REASONS.keys()
    assert {reason.gate for reason in REASONS.values()} == {"", *GATES}


def test_a_code_with_a_number_belongs_to_its_row() -> None:
    assert kind_of("duplicate_of.7") == "duplicate_of" and kind_of("no.such") == "no.such"
    assert words_of("duplicate_of.7") == "duplicate of label 7"
    assert words_of("mask.empty") == "the segmenter found nothing"
    assert words_of("no.such") == "no.such" and gate_of("no.such") == ""
    assert gate_of("part_of.3") == "one each" and gate_of("human.reject") == "people"
