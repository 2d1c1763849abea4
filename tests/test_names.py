"""Names of pictures as people's files write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.names import match_names, parts_of, without_roboflow


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("street.jpg", "street.jpg"),
        ("street.jpg", "./street.jpg"),
        ("street.jpg", "train2017/street.jpg"),
        ("street.jpg", "/data/images/street.jpg"),
        ("street.jpg", "C:\\pictures\\street.jpg"),
        ("cam0/street.jpg", "images\\cam0\\street.jpg"),
        ("images/cam0/street.jpg", "street.jpg"),
        ("cam0/street.jpg", "cam0/street_jpg.rf.0a1b2c3d.jpg"),
    ],
)
def test_one_picture_written_in_another_way_is_found(ours: str, theirs: str) -> None:
    found = match_names([ours, "other/else.jpg"], [theirs])
    assert found.theirs_of == {ours: theirs}
    assert not (found.elsewhere or found.ambiguous or found.unknown)


def test_the_longest_common_end_decides_between_equal_file_names() -> None:
    found = match_names(["a/cam0/1.jpg", "a/cam1/1.jpg"], ["x/cam1/1.jpg", "x/cam0/1.jpg"])
    assert found.theirs_of == {"a/cam0/1.jpg": "x/cam0/1.jpg", "a/cam1/1.jpg": "x/cam1/1.jpg"}
    assert found.elsewhere == found.theirs_of  # a and x: said aloud


def test_a_name_that_two_pictures_could_have_is_given_to_neither() -> None:
    found = match_names(["a/1.jpg", "b/1.jpg"], ["1.jpg"])
    assert found.theirs_of == {}
    assert found.ambiguous == ("1.jpg",)


def test_two_names_for_one_picture_are_given_to_neither() -> None:
    found = match_names(["1.jpg"], ["a/1.jpg", "b/1.jpg"])
    assert found.theirs_of == {}
    assert found.ambiguous == ("a/1.jpg", "b/1.jpg")


def test_the_exact_name_wins_over_a_longer_path_with_the_same_end() -> None:
    found = match_names(["1.jpg"], ["a/1.jpg", "1.jpg"])
    assert found.theirs_of == {"1.jpg": "1.jpg"}
    assert found.unknown == ("a/1.jpg",)


def test_a_shorter_name_is_not_given_to_a_picture_that_another_name_fits_better() -> None:
    found = match_names(["a/1.jpg", "b/2.jpg"], ["a/1.jpg", "c/1.jpg"])
    assert found.theirs_of == {"a/1.jpg": "a/1.jpg"}
    assert found.unknown == ("c/1.jpg",)


@pytest.mark.parametrize("theirs", [[], [""], ["/"], ["other.jpg"], ["street.png"]])
def test_what_no_picture_is_called_stays_unknown(theirs: list[str]) -> None:
    found = match_names(["street.jpg"], theirs)
    assert found.theirs_of == {}
    assert found.unknown == tuple(theirs)


def test_only_roboflows_own_pattern_is_undone() -> None:
    assert without_roboflow("a/x_png.rf.00ff.jpg") == "a/x.png"
    assert without_roboflow("a/x.rf.jpg") == "a/x.rf.jpg"


_names = st.lists(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join), max_size=8, unique=True
)


@given(_names, _names)
def test_every_name_is_matched_once_or_named(ours: list[str], theirs: list[str]) -> None:
    found = match_names(ours, theirs)
    given_ = [*found.theirs_of.values(), *found.ambiguous, *found.unknown]
    assert sorted(given_) == sorted(theirs)
    assert set(found.theirs_of) <= set(ours)
    for mine, other in found.theirs_of.items():
        assert parts_of(mine)[-1] == parts_of(other)[-1]


@given(_names)
def test_the_same_names_are_matched_with_themselves(names: list[str]) -> None:
    assert match_names(names, names).theirs_of == {name: name for name in names}
