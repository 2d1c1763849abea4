"""A class map that is made for a detector is one that `label` reads, and says what is open."""

from pathlib import Path

import pytest

from perception import cli
from perception.commands import classes
from perception.core.errors import RequestError
from perception.core.ontology import load_class_map, load_ontology

ROOT = Path(__file__).resolve().parent.parent.parent
POCKET = ROOT / "datasets" / "pocket" / "pocket.onnx"


@pytest.mark.parametrize(
    ("names", "mapped", "ignored"),
    [
        (("car", "unicorn"), {"car": "car"}, ("unicorn",)),
        (("Car", "hot dog"), {"Car": "car"}, ("hot dog",)),
        (("stop sign", "yes", "1"), {"stop sign": "traffic-sign"}, ("yes", "1")),
        (("a: b", '"', "# c", "car"), {"car": "car"}, ("a: b", '"', "# c")),
        (("car", "car"), {"car": "car"}, ()),
        (("sofa",), {}, ("sofa",)),
        ((), {}, ()),
    ],
)
def test_it_is_read_as_it_was_meant(
    names: tuple[str, ...], mapped: dict[str, str], ignored: tuple[str, ...], tmp_path: Path
) -> None:
    text = classes.written(names, "mine\n# x.onnx", load_ontology())
    (tmp_path / "map.yaml").write_text(text)
    found = load_class_map(str(tmp_path / "map.yaml"))
    assert (found.map, found.ignore) == (mapped, ignored)
    found.check_names(names)
    assert text.startswith("# Class map of") and "traffic-light" in text
    assert ("not known" in text) == bool({"unicorn", "yes", "a: b"} & {*names})


def test_the_names_that_weights_state_are_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.run(["classes", "new", str(POCKET)]) == cli.FINE
    (tmp_path / "map.yaml").write_text(capsys.readouterr().out)
    assert load_class_map(str(tmp_path / "map.yaml")).map["car"] == "car"


def test_weights_that_state_none_need_a_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.onnx"
    mine.write_bytes(b"\x08\x08" + bytes(20))
    with pytest.raises(RequestError, match="give them with --names FILE"):
        classes.template(str(mine), "", print)
    (tmp_path / "names.txt").write_text("car\nsofa\n")
    assert '"car": car' in classes.template(str(mine), str(tmp_path / "names.txt"), print)


def test_a_class_that_nothing_maps_is_refused_with_the_way_to_a_map() -> None:
    with pytest.raises(RequestError, match=r"perception classes new DETECTOR > map\.yaml"):
        load_class_map("coco80-to-road").check_names(("unicorn",))
