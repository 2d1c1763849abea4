"""Names of classes: every form that exporters and people write comes to the same tuple."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.core.errors import RequestError
from perception.models.class_names import names_of, parse_names, read_names, usual_files

CLASSES = ("car", "traffic light", "Fußgänger")
LINES = "car\ntraffic light\nFußgänger\n"


@given(st.lists(st.text(min_size=1).filter(lambda name: name.strip() == name), min_size=1))
def test_what_python_and_json_write_is_read_back(names: list[str]) -> None:
    by_number = dict(enumerate(names))
    for text in (str(by_number), json.dumps(by_number), json.dumps(names), str(names)):
        assert parse_names(text) == tuple(names)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("{}", ()),
        ("face", ("face",)),
        (LINES, CLASSES),
        ("0 car\n1 van\n", ("car", "van")),
        ("0: car\n1: van", ("car", "van")),
        ("1 car\n2 van", ("1 car", "2 van")),  # not their numbers: left as they stand
        ("{'1': 'van', '0': 'car'}", ("car", "van")),
    ],
)
def test_names_in_metadata(text: str, expected: tuple[str, ...]) -> None:
    assert parse_names(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "{1: 'car'}",
        "{'a': 'car'}",
        "{0: 1}",
        "['car', '']",
        "[" * 100_000,
        "car\n\nvan",
        "{'²': 'car'}",
    ],
)
def test_what_is_no_list_of_names_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"class|name"):
        parse_names(text)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("classes.txt", LINES.encode()),
        ("obj.names", LINES.replace("\n", "\r\n").encode()),
        ("bom.txt", b"\xef\xbb\xbf" + LINES.encode()),
        ("wide.txt", LINES.encode("utf-16")),
        ("list.json", json.dumps(CLASSES).encode()),
        ("config.json", json.dumps({"id2label": dict(enumerate(CLASSES))}).encode()),
        ("looks.txt", json.dumps(CLASSES).encode()),
        ("data.yaml", "names: [car, traffic light, Fußgänger]\nnc: 3\n".encode()),
        ("other.yml", "path: x\nnames:\n  0: car\n  1: traffic light\n  2: Fußgänger\n".encode()),
    ],
)
def test_files_of_names(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert read_names(path) == CLASSES


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.txt", None, "no such file"),
        ("empty.txt", b"\n", "holds no class name"),
        ("data.yaml", b"nc: 3\n", r"no number of a class"),
        ("data.yaml", b"names: [car, no]\n", "put quotes around"),
        ("names.json", b"[", "names.json"),
        ("latin.txt", "Fußgänger".encode("latin-1"), "latin.txt"),
        ("large.txt", b"car\n" * 300_000, "expected at most"),
    ],
)
def test_a_file_that_holds_none_is_named(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RequestError, match=rf"{name}.*{message}|{message}"):
        read_names(path)


def test_numbers_that_are_booleans_are_none() -> None:
    with pytest.raises(ValueError, match="no number"):
        names_of({True: "car", False: "van"})


def test_files_beside_weights_that_may_hold_names(tmp_path: Path) -> None:
    for name in ("det.names", "classes.txt", "readme.txt"):
        (tmp_path / name).write_text("car")
    assert usual_files(tmp_path / "det.onnx") == ("det.names", "classes.txt")
