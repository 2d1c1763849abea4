import math
from pathlib import Path

import pytest

from perception.core.errors import RequestError
from perception.io.json_files import json_of, read_json, read_object

CAR = '{"name": "Straße"}'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_is_read_as_editors_save_it(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "car.json"
    path.write_bytes(CAR.encode(encoding))
    assert read_json(path, "x.invalid") == read_object(path, "x.invalid") == {"name": "Straße"}


def test_of_a_key_that_comes_twice_the_last_one_counts() -> None:
    assert json_of(b'{"id": 1, "id": 2}', "a.json", "x.invalid") == {"id": 2}


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "found an empty file"),
        (b'{\n"id": tru}', "line 2 column 7, found 'tru}'"),
        (b"[" * 100_000, "nests too deeply"),
        (b'{"id": ' + b"9" * 5000 + b"}", "digits"),
        (b'"\xe9t\xe9"', "no UTF-8 text"),
        (b'{"id": NaN}', "holds NaN, which JSON does not know; write null"),
        (b"[-Infinity]", "holds -Infinity"),
        (b"PK\x03\x04", "is an archive; unpack it"),
    ],
)
def test_what_is_no_json_is_refused_with_file_fault_and_fix(data: bytes, found: str) -> None:
    with pytest.raises(RequestError) as caught:
        json_of(data, "a.json", "x.invalid")
    assert caught.value.code == "x.invalid"
    assert caught.value.message.startswith("a.json: ")
    assert found in caught.value.message
    assert len(caught.value.message) < 300
    assert ";" in caught.value.message


def test_readers_that_leave_out_single_rows_may_see_nan() -> None:
    assert math.isnan(json_of(b"[NaN]", "a.json", "x.invalid", nan=True)[0])


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)  # sparse: to read it would take all memory
    with pytest.raises(RequestError, match=r"x\.invalid: .*expected at most 9;"):
        read_json(path, "x.invalid", limit=9)
    with pytest.raises(RequestError, match=r"x\.too_large"):
        read_json(path, "x.invalid", too_large="x.too_large")
    path.write_text(" " * 6 + "123")
    assert read_json(path, "x.invalid", limit=9) == 123


def test_what_is_no_file_and_no_object_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(RequestError, match=r"io\.not_found"):
            read_json(path, "x.invalid")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(RequestError, match=r"holds a list, expected an object"):
        read_object(tmp_path / "list.json", "x.invalid")
