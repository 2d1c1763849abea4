"""Canonical JSON."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.core.errors import RequestError
from perception.runs.records import read_json, to_json, write_json

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_json_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    path.write_bytes(to_json(value))
    assert read_json(path) == value


def test_names_of_all_scripts_can_be_read() -> None:
    assert to_json({"file_name": "straße/東京.png"}).decode() == (
        '{\n "file_name": "straße/東京.png"\n}\n'
    )


def test_the_order_of_keys_changes_no_byte() -> None:
    assert to_json({"b": 1, "a": {"d": 2, "c": 3}}) == to_json({"a": {"c": 3, "d": 2}, "b": 1})


def test_json_that_others_could_not_read_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "value.json", {"share": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [None, b"", b'{"a": ', b"\xff\xfe"])
def test_json_that_is_missing_or_torn_is_damage(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "value.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(RequestError, match=r"value\.json") as caught:
        read_json(path)
    assert caught.value.code == "run.damaged"
