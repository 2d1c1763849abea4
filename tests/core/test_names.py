"""Names of pictures as people's files write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.core.names import match_names, parts_of, same_name, stem_of, without_roboflow


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
        ("cam0/street.jpg", "CAM0/Street.JPG"),
        ("stra\u00dfe \u00e9.jpg", "STRASSE e\u0301.jpg"),
        ("my street.jpg", "images/my%20street.jpg"),
        ("50%25.jpg", "50%25.jpg"),
        ("street.jpg", "https://host/data/street.jpg?X-Amz-Date=20261130T000000Z&a=b/c"),
        ("street.jpg", "images/1/0a1b2c3d-street.jpg"),  # HumanSignal/label-studio-converter#188
        ("cam0/my street.jpg", "/data/local-files/?d=set/cam0/my%20street.jpg"),
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


def test_case_and_folders_decide_where_they_can() -> None:
    found = match_names(["a.jpg", "A.jpg"], ["A.jpg", "x/a.jpg"])
    assert found.theirs_of == {"A.jpg": "A.jpg", "a.jpg": "x/a.jpg"}
    found = match_names(["cam0/a.jpg"], ["cam1/a.jpg", "cam0/A.JPG"])
    assert found.theirs_of == {"cam0/a.jpg": "cam0/A.JPG"}
    found = match_names(["a.jpg", "A.jpg"], ["A.JPG"])
    assert found.contested == {"a.jpg": ("A.JPG",), "A.jpg": ("A.JPG",)}


def test_a_name_that_a_tool_made_yields_to_one_as_it_was() -> None:
    found = match_names(["a.jpg"], ["a_jpg.rf.00ff.jpg", "a.jpg", "0a1b2c3d-a.jpg"])
    assert found.theirs_of == {"a.jpg": "a.jpg"}
    found = match_names(["a.jpg"], ["a_jpg.rf.00ff.jpg", "a_jpg.rf.11ee.jpg"])  # augmented
    assert found.contested == {"a.jpg": ("a_jpg.rf.00ff.jpg", "a_jpg.rf.11ee.jpg")}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("street", "street.jpg"),
        ("street.png", "street.jpg"),
        ("cam0/video.0001", "x/cam0/video.0001.jpg"),
        ("street.jpg.txt", None),
        ("stree", None),
    ],
)
def test_without_suffixes_where_asked_for(theirs: str, ours: str | None) -> None:
    planned = ["street.jpg", "x/cam0/video.0001.jpg", "x/cam1/video.0001.jpg"]
    found = match_names(planned, [theirs], by_stem=True)
    assert found.theirs_of == ({ours: theirs} if ours else {})
    assert match_names(planned, [theirs]).theirs_of == {}


def test_twins_are_told_by_their_suffix() -> None:
    found = match_names(["a.jpg", "a.png"], ["a.png"], by_stem=True)
    assert found.theirs_of == {"a.png": "a.png"}
    assert match_names(["a.jpg", "a.png"], ["a"], by_stem=True).ambiguous == ("a",)


def test_names_of_the_same_last_part_and_stems() -> None:
    assert same_name("x/A.JPG", "a.jpg") and not same_name("a.png", "a.jpg")
    assert same_name("x/a", "a.jpg", by_stem=True) and not same_name("x/a", "a.jpg")
    assert (stem_of("x/A.b.JPG"), stem_of("a"), stem_of(".jpg"), stem_of("")) == (
        *("a.b", "a", ".jpg", ""),
    )


def test_many_names_are_matched_without_comparing_each_with_all() -> None:
    ours = [f"{drive}/data/{frame:06}.png" for drive in range(20) for frame in range(500)]
    theirs = [f"C:\\kitti\\{name}".replace("/", "\\") for name in ours]
    assert match_names(ours, theirs).theirs_of == dict(zip(ours, theirs, strict=True))


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
