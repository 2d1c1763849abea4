"""`perception init`: settings that are the defaults, said in words, and fit the data."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from perception import cli
from perception.commands.init import commented, init
from perception.core.config import Config, load_config
from perception.core.errors import RequestError


def test_the_file_holds_every_setting_with_its_default(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(commented(Config(), "perception label SOURCE"))
    assert load_config(path, {}) == Config()
    assert yaml.safe_load(path.read_text()) == Config().model_dump(mode="json")


def test_every_setting_of_a_run_has_a_comment() -> None:
    lines = commented(Config(), "perception label SOURCE").splitlines()
    for before, line in pairwise(lines):
        if line.strip() and not line.lstrip().startswith("#"):
            assert before.lstrip().startswith("# "), line


def test_what_was_found_and_the_next_command_are_said(
    tmp_path: Path,
    kitti: Callable[[Path, int], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = f"kitti:{kitti(tmp_path / 'drive', 3)}"
    out = tmp_path / "drive.yaml"
    assert cli.run(["init", source, "--out", str(out), "--json"]) == cli.FINE
    said = json.loads(capsys.readouterr().out)
    assert (said["samples"], said["pictures"], said["sweeps"]) == (3, 3, 3)
    assert said["command"].startswith(f"perception label {source} --config {out} ")
    assert said["command"] in out.read_text()


def test_a_panorama_moves_the_limit_of_pixels(
    tmp_path: Path, draw: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "src" / "a.png")
    monkeypatch.setattr("perception.commands.init.probe_image", lambda path: (6000, 12_001))
    init(str(tmp_path / "src"), tmp_path / "a.yaml")
    assert load_config(tmp_path / "a.yaml", {}).observe.max_megapixels == 73  # 72.006 rounded up


def test_a_file_that_is_there_is_never_replaced(tmp_path: Path, draw: Callable[..., Path]) -> None:
    draw(tmp_path / "src" / "a.png")
    (tmp_path / "mine.yaml").write_text("shard_size: 2\n")
    with pytest.raises(RequestError, match=r"output\.exists"):
        init(str(tmp_path / "src"), tmp_path / "mine.yaml")
    assert (tmp_path / "mine.yaml").read_text() == "shard_size: 2\n"


def test_a_source_that_is_not_there_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(RequestError):
        init(str(tmp_path / "nowhere"), tmp_path / "a.yaml")
    assert not (tmp_path / "a.yaml").exists()


def test_without_a_command_the_three_that_most_people_want_are_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run([]) == cli.FINE
    shown = capsys.readouterr().out
    commands = [line.split()[1] for line in shown.splitlines() if line.startswith("  perception")]
    assert commands == ["label", "show", "export"]
