"""Folders, patterns, lists and single images; nothing is opened while planning."""

import os
from pathlib import Path

import pytest

from perception.core.errors import RequestError
from perception.readers.images import find, load_scene, survey


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def ids(source: Path) -> list[str]:
    refs = find(source)
    for ref in refs:
        assert ref.layout == "images"
        assert [picture.file_name for picture in ref.pictures] == [ref.id]
        assert (ref.sweep_file, ref.calib_files) == ("", ())
    return [ref.id for ref in refs]


def code_of(source: Path, match: str | None = None) -> str:
    with pytest.raises(RequestError, match=match) as caught:
        find(source)
    return caught.value.code


def test_a_folder_gives_its_images_sorted_hidden_ones_skipped(tmp_path: Path) -> None:
    touch(
        tmp_path, "b/2.png", "b/10.JPG", "a.jpeg", "c.BmP", "d.webp", "e.tif", "f.tiff", "notes.txt"
    )
    touch(tmp_path, ".hidden.png", ".cache/x.png", "b/.x.png", "a.png.part")
    assert ids(tmp_path) == ["a.jpeg", "b/10.JPG", "b/2.png", "c.BmP", "d.webp", "e.tif", "f.tiff"]
    assert find(tmp_path)[0].root == str(tmp_path.resolve())


def test_row_07_a_folder_without_permission_is_denied_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.png", "shut/b.png")
    plain = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "shut":  # root may read whatever the mode says
            raise PermissionError(13, "Permission denied", path)
        return plain(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert code_of(tmp_path, match="shut: Permission denied") == "io.denied"


def test_row_08_equal_names_in_two_folders_or_two_cases_stay_apart(tmp_path: Path) -> None:
    touch(tmp_path, "image_02/0001.png", "image_03/0001.png", "image_02/0001.jpg")
    expected = ["image_02/0001.jpg", "image_02/0001.png", "image_03/0001.png"]
    touch(tmp_path / "case", "a.png", "A.png")
    if len(list((tmp_path / "case").iterdir())) == 2:  # not on file systems that fold case
        expected = ["case/A.png", "case/a.png", *expected]
    assert ids(tmp_path) == expected


def test_a_pattern_has_its_longest_plain_part_as_root(tmp_path: Path) -> None:
    touch(tmp_path, "a/x/1.png", "a/x/deep/2.png", "a/3.png", "b/4.png", "a/x/5.txt", "a/.h/6.png")
    assert ids(tmp_path / "a" / "**" / "*.png") == ["3.png", "x/1.png", "x/deep/2.png"]
    assert find(tmp_path / "a" / "**" / "*.png")[0].root == str((tmp_path / "a").resolve())
    assert ids(tmp_path / "?" / "*") == ["a/3.png", "b/4.png"]
    assert code_of(tmp_path / "*" / ".." / "*.png") == "path.outside_root"
    assert code_of(tmp_path / "nowhere" / "*.png") == "io.not_found"


def test_a_folder_whose_name_looks_like_a_pattern_is_a_folder(tmp_path: Path) -> None:
    touch(tmp_path / "run [1]", "a.png")
    assert ids(tmp_path / "run [1]") == ["a.png"]


def test_a_single_image_has_its_folder_as_root(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png", "c.dat")
    assert ids(tmp_path / "a.png") == ["a.png"]
    assert code_of(tmp_path / "c.dat") == "source.invalid"
    assert code_of(tmp_path / "none.png") == "io.not_found"


def test_a_list_file_names_images_relative_to_itself(tmp_path: Path) -> None:
    touch(tmp_path, "a b.png", "sub/c.jpg", "#d.png")
    list_file = tmp_path / "list.txt"
    lines = ["\ufeff# comment", "", "sub/c.jpg", " a b.png ", "./#d.png", "gone.png"]
    lines.append(str(tmp_path / "sub" / "absolute.png"))
    list_file.write_text("\r\n".join(lines), encoding="utf-8", newline="")
    assert ids(list_file) == ["#d.png", "a b.png", "gone.png", "sub/absolute.png", "sub/c.jpg"]


def test_a_name_that_stands_twice_in_a_list_is_an_error_naming_both_lines(tmp_path: Path) -> None:
    list_file = touch(tmp_path, "sub/a.png") / "list.txt"
    list_file.write_text("sub/a.png\nb.png\nsub/../sub/./a.png\n")
    assert code_of(list_file, match="lines 1 and 3") == "source.duplicate"


@pytest.mark.parametrize("entry", ["/etc/passwd", "../../etc/shadow", "link/id_rsa"])
def test_row_09_a_list_that_leads_out_of_its_folder_to_no_image_is_an_error(
    tmp_path: Path, entry: str
) -> None:
    root = touch(tmp_path / "root", "sub/b.png")
    (root / "link").symlink_to(touch(tmp_path / "other", "id_rsa"))
    list_file = root / "list.txt"
    list_file.write_text(f"sub/b.png\n{entry}\n")
    assert code_of(list_file, match="list.txt:2") == "path.outside_root"


def test_a_list_beside_its_images_has_their_folder_as_root(tmp_path: Path) -> None:
    touch(tmp_path, "pictures/train/a.png", "pictures/val/b.png", "lists/c.png")
    list_file = tmp_path / "lists" / "all.txt"
    list_file.write_text("../pictures/train/a.png\n../pictures/val/b.png\n")
    assert ids(list_file) == ["train/a.png", "val/b.png"]
    assert find(list_file)[0].root == str(tmp_path / "pictures")
    list_file.write_text("c.png\n../pictures/val/b.png\n")
    assert ids(list_file) == ["lists/c.png", "pictures/val/b.png"]
    list_file.write_text("../pictures/train/a.png\n/nowhere/b.png\n")
    assert code_of(list_file, match="no folder in common") == "path.outside_root"


def test_what_a_list_names_may_lie_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "data/obj/a.png", "data/obj/b.png")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "train.txt").write_text("data/obj/a.png\ndata\\obj\\b.png\n")
    assert ids(tmp_path / "data" / "train.txt") == ["obj/a.png", "obj/b.png"]
    (tmp_path / "data" / "train.txt").write_text("000001\n000002\n")
    assert code_of(tmp_path / "data" / "train.txt", match="ending included") == "io.not_found"


def test_links_out_of_a_folder_are_followed_links_within_are_not(tmp_path: Path) -> None:
    outside = touch(tmp_path / "other", "a.png", "deep/c.png")
    for target, more in ((outside, ["out/a.png", "out/deep/c.png"]), (outside / "a.png", [])):
        root = touch(tmp_path / f"root-{target.name}", "b/b.png")
        (root / "again").symlink_to(root / "b")  # its images are found at their own place
        (root / "b.png").symlink_to("b/b.png")
        assert ids(root) == ["b.png", "b/b.png"]
        assert ids(root / "*" / "*.png") == ["b/b.png"]
        (root / f"out{target.suffix}").symlink_to(target)
        assert ids(root) == sorted(["b.png", "b/b.png", *(more or ["out.png"])])
        assert survey(root)[1] == (
            "passed over links to folders whose images are planned at another place, or that lead "
            "around the source: again",
        )
    assert ids(tmp_path / "root-other" / "*" / "*.png") == ["b/b.png", "out/a.png"]


def test_loops_of_links_end(tmp_path: Path) -> None:
    root, other = touch(tmp_path / "root", "a.png"), touch(tmp_path / "other", "x/b.png")
    (root / "loop.png").symlink_to("loop.png")
    (root / "up").symlink_to(root)
    (root / "all").symlink_to("/")
    (root / "1").symlink_to(other)
    (root / "2").symlink_to(other)  # once is enough
    (other / "x" / "back").symlink_to(other)
    (other / "home").symlink_to(root)
    assert ids(root) == ["1/x/b.png", "a.png", "loop.png"]


def test_what_looks_like_a_picture_and_is_not_read_is_counted(tmp_path: Path) -> None:
    touch(
        tmp_path, "a.jpg", "b.DNG", "c.dng", "d/e.psd", "Thumbs.db", "notes.txt", "f.jpg_original"
    )
    assert survey(tmp_path)[1] == (
        "passed over 3 pictures: 2 .dng, 1 .psd (convert it to JPEG or PNG)",
    )
    assert survey(tmp_path / "*.jpg")[1] == ()
    (tmp_path / "a.jpg").unlink()
    assert code_of(tmp_path, match="2 .dng, 1 .psd") == "source.empty"
    assert code_of(tmp_path / "c.dng", match="convert it") == "source.invalid"


def test_a_folder_of_links_that_were_copied_as_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "day1").write_text("../store")
    assert code_of(tmp_path, match="day1 holds nothing but the path '../store'") == "source.empty"


def test_every_suffix_of_a_kind_that_is_read_is_planned(tmp_path: Path) -> None:
    names = ["a.jfif", "b.jpe", "c.MPO", "d.gif", "e.avif", "f.apng"]
    touch(tmp_path, *names)
    assert ids(tmp_path) == sorted(names)


def test_a_pattern_in_a_folder_with_brackets(tmp_path: Path) -> None:
    touch(tmp_path / "photos [v2]", "a.jpg", "b[1].jpg", "c.txt")
    assert ids(tmp_path / "photos [v2]" / "*.jpg") == ["a.jpg", "b[1].jpg"]
    assert ids(tmp_path / "photos [v2]" / "b[1].jpg") == ["b[1].jpg"]
    assert ids(tmp_path / "phot*" / "a.jpg") == ["photos [v2]/a.jpg"]


def test_row_09_legal_odd_names_work(tmp_path: Path) -> None:
    names = sorted(["a b.png", "ä€🚗.png", "per%20cent.png", "tab\there.png", "q'\".png", "-x.png"])
    touch(tmp_path, *names)
    assert ids(tmp_path) == names


@pytest.mark.parametrize("name", [b"line\nbreak.png", b"latin\xe9.png", b"return\r.png"])
def test_row_09_names_that_no_text_file_can_hold_are_errors(tmp_path: Path, name: bytes) -> None:
    path = os.fsencode(tmp_path) + b"/" + name
    with open(path, "wb"):  # noqa: PTH123 - a name in bytes
        pass
    assert code_of(tmp_path, match=name[:4].decode()) == "path.invalid"
    (tmp_path / "list.txt").write_bytes(b"a\0b.png\n")
    assert code_of(tmp_path / "list.txt") == "path.invalid"
    (tmp_path / "list.txt").write_bytes(b"latin\xe9.png\n")
    assert code_of(tmp_path / "list.txt") == "path.invalid"


@pytest.mark.parametrize("name", ["", "*.png", "list.txt"])
def test_a_source_without_images_is_empty(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "list.txt", "sub/notes.md", "folder.png/notes.md")
    assert code_of(tmp_path / name) == "source.empty"


def test_plain_images_have_no_geometry(tmp_path: Path) -> None:
    scene = load_scene(find(touch(tmp_path, "a.png"))[0])
    assert scene.cameras == () and len(scene.points_lidar) == 0
