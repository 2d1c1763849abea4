"""Which folders a page may be written into, and what it may remove there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from perception import cli
from perception.core.errors import RequestError
from perception.io.files import TEMPORARY
from perception.review import folders, show


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, pictures: Callable[..., Path]) -> Path:
    root = tmp_path_factory.mktemp("run")
    source = pictures(root / "src", 3)
    fakes = ("--detector", "bright", "--segmenter", "boxes")
    assert cli.run(["label", str(source), *fakes, "--out", str(root / "run")]) == cli.FINE
    return root / "run"


@pytest.mark.slow
def test_a_page_is_replaced_when_that_is_asked_for_and_nothing_stale_stays(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page"
    show(run, out)
    assert (out / "frames" / "002.js").is_file()
    tokens = ["show", str(run), "--out", str(out), "--frames", "1"]
    assert cli.run(tokens) == cli.USAGE
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert cli.run([*tokens, "--overwrite"]) == cli.FINE
    assert [path.name for path in (out / "frames").iterdir()] == ["000.js"]
    assert cli.run([*tokens[:4], "--review", "--overwrite"]) == cli.FINE
    assert (out / "review.js").is_file() and not (out / "show.js").exists()
    assert show(run, out, overwrite=True).frames == 3


@pytest.mark.slow
def test_half_a_page_that_was_killed_is_replaced(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "page"
    show(run, out)
    for name in ("index.html", "data.js"):
        (out / name).unlink()
    temporary = out / "pictures" / f"{TEMPORARY}0123456789abcdef"
    temporary.touch()
    assert show(run, out, overwrite=True).frames == 3 and not temporary.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["notes.txt", "mine.js", "pictures/holiday.jpg", "frames/a/000.js"]
)
def test_a_folder_with_anything_else_in_it_is_left_alone(
    run: Path, tmp_path: Path, name: str, snapshot: Callable[[Path], dict[str, bytes]]
) -> None:
    out = tmp_path / "page"
    show(run, out)
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("mine")
    before = snapshot(out)
    with pytest.raises(RequestError, match=rf"output\.exists.*{name}"):
        show(run, out, overwrite=True)
    assert snapshot(out) == before


def test_a_folder_that_holds_no_page_is_refused_with_overwrite_too(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "000-0.jpg").write_bytes(b"mine")  # named as ours, without a page
    with pytest.raises(RequestError, match=r"output\.exists"):
        folders.refuse_occupied(tmp_path, overwrite=True)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(RequestError, match=r"output\.exists"):
        folders.refuse_occupied(file, overwrite=True)


def test_what_a_page_links_to_stays(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "000.js").touch()
    out = tmp_path / "page"
    out.mkdir()
    (out / "frames").symlink_to(elsewhere)
    for name in ("index.html", "data.js", "style.css", "point_view.js"):
        (out / name).touch()
    with pytest.raises(RequestError, match="holds frames"):
        folders.refuse_occupied(out, overwrite=True)
    assert (elsewhere / "000.js").is_file()
