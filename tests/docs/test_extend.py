"""The pages of docs/extend are recipes: applied to a copy of the repository, each gives a part.

A page's fenced blocks with a title are files, or what changes in them (`diff`). What comes out is
driven in processes of its own, by the page's commands.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from perception.cli import FINE

ROOT = Path(__file__).resolve().parent.parent.parent
FENCE = re.compile(r'^```(\w*)(?: title="([^"]*)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
CODE = ("perception", "integrations")  # what two files are counted in
COPIED = (*CODE, "datasets", "pyproject.toml", "tests/conftest.py")
PAGES = ("reader", "format", "signal", "benchmark")
FOCAL_PX, SIZE_HW = 50, (48, 64)
CAR = (20, 14, 44, 34, 255)  # of a picture, see `draw`: ends at 34 of 48 rows


def replaced(text: str, diff: str, name: str) -> str:
    """Apply a diff without line numbers, its places divided by @@."""
    for hunk in re.split(r"^@@.*\n", diff, flags=re.MULTILINE):
        lines = [line or " " for line in hunk.splitlines()]
        old = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
        new = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
        assert text.count(old) == 1, f"{name}: there {text.count(old)} times, expected once:\n{old}"
        text = text.replace(old, new)
    return text


@dataclass(frozen=True)
class Copy:
    """A copy of the repository to which a page was applied, and a folder to work in beside it."""

    root: Path
    place: Path
    page: str
    code: frozenset[str]  # files of code that the page added or changed
    others: frozenset[str]

    def run(self, *words: str, at: Path | None = None) -> str:
        """Run Python in a process of its own, by default in the working folder."""
        path = os.pathsep.join([str(self.root), str(self.root / "integrations")])
        done = subprocess.run(
            [sys.executable, *words],
            cwd=at or self.place,
            env=os.environ | {"PYTHONPATH": path, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == FINE, (words, done.stdout + done.stderr)
        return done.stdout

    def commands(self) -> list[str]:
        """Run the page's first commands of `perception`; return what each printed."""
        shown = next(text for kind, _, text in FENCE.findall(self.page) if not kind)
        asked = [line for line in shown.splitlines() if line.startswith("perception ")]
        return [self.run("-m", "perception.cli", *shlex.split(line)[1:]) for line in asked]

    def ask(self, code: str) -> object:
        """Run lines of Python that set `said`, and return it."""
        return json.loads(self.run("-c", f"import json\n{code}\nprint(json.dumps(said))"))


def applied(name: str, tmp_path: Path) -> Copy:
    page = (ROOT / "docs" / "extend" / f"{name}.md").read_text(encoding="utf-8")
    root, place = tmp_path / "copy", tmp_path / "place"
    place.mkdir()
    files = {title: (kind, text) for kind, title, text in FENCE.findall(page) if title}
    rooms = {Path(title).parent for title in files if title.startswith("tests/")}
    conftests = [str(room / "conftest.py") for room in rooms]
    for part in (*COPIED, *(one for one in conftests if (ROOT / one).is_file())):
        (root / part).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, root / part)
    for title, (kind, text) in files.items():
        path = root / title
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "diff":
            text = replaced(path.read_text(encoding="utf-8"), text, title)
        else:
            assert not path.exists(), title
        path.write_text(text, encoding="utf-8")
    code = {title for title in files if title.startswith(CODE)}
    copy = Copy(root, place, page, frozenset(code), frozenset(files.keys() - code))
    assert copy.ask("import perception\nsaid = perception.__file__").startswith(str(root))
    return copy


@pytest.fixture
def toy(request: pytest.FixtureRequest, tmp_path: Path) -> Copy:
    return applied(request.param, tmp_path)


def page(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("toy", [name], indirect=True)


@pytest.mark.slow
@pytest.mark.parametrize("toy", PAGES, indirect=True)
def test_two_files_of_code_are_enough_and_pass_the_gates(toy: Copy) -> None:
    assert len(toy.code) == 2
    tests = sorted(name for name in toy.others if name.startswith("tests/"))
    assert tests and toy.others - set(tests) <= {"datasets/toy/dataset.yaml"}
    changed = [str(toy.root / name) for name in sorted(toy.code) + tests]
    toy.run("-m", "ruff", "check", *changed)
    toy.run("-m", "ruff", "format", "--check", *changed)
    lint_imports = str(Path(sys.executable).with_name("lint-imports"))
    assert " 0 broken" in toy.run(lint_imports, "--no-cache", at=toy.root)
    passed = toy.run(*"-m pytest -q -p no:cacheprovider".split(), *tests, at=toy.root)
    assert " passed" in passed and "skipped" not in passed


@pytest.mark.slow
@page("reader")
def test_a_layout_is_labelled_with_its_camera_and_its_points(
    toy: Copy, draw: Callable[..., Path]
) -> None:
    rig = toy.place / "ROOT"
    turned = [[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    K = [[FOCAL_PX, 0, 32], [0, FOCAL_PX, 24], [0, 0, 1]]
    # One point on the car, one beside it, one behind the camera.
    points = np.array([[5, 0, 0, 0], [10, 5.5, 0, 0], [-10, 0, 0, 0]], "<f4")
    for frame in ("0001", "0002"):
        draw(rig / "pictures" / f"{frame}.png", CAR)
        (rig / "sweeps").mkdir(exist_ok=True)
        (rig / "sweeps" / f"{frame}.bin").write_bytes(points.tobytes())
    (rig / "camera.json").write_text(json.dumps({"K": K, "T_cam_from_lidar": turned}))
    (said,) = toy.commands()
    assert "2 samples: 2 ok, 0 empty, 0 quarantined" in said
    assert toy.ask(
        "from perception.readers import sources\n"
        "refs = sources.find(sources.parse_source('toy:ROOT'))\n"
        "scenes = [sources.load_scene(ref) for ref in refs]\n"
        "said = [[c.name for s in scenes for c in s.cameras], len(scenes[0].points_lidar)]"
    ) == [["front", "front"], 3]
    states = toy.ask(
        "from pathlib import Path\nfrom perception.runs import folder\n"
        "labels = list(folder.usable_labels(Path('runs/toy')))\n"
        "said = [[s.points.instance_ids.tolist(), len(s.pictures[0].instances)] for s in labels]"
    )
    assert states == [[[1, 0, 0], 1]] * 2


@pytest.mark.slow
@page("format")
def test_a_format_is_written_read_back_and_compared(
    toy: Copy, pictures: Callable[..., Path]
) -> None:
    pictures(toy.place / "ROOT", 3)  # with 0, 1 and 2 objects
    _, said = toy.commands()
    assert "3 samples, 3 labels, 0 ignored; read again: 3 labels, unchanged" in said
    lines = (toy.place / "exported" / "labels.jsonl").read_text().splitlines()
    assert [len(json.loads(line)["labels"]) for line in lines] == [0, 1, 2]
    # The check is the export's own: a writer that loses a label is found out.
    source = toy.root / "perception" / "formats" / "toy.py"
    spoilt = source.read_text().replace("line = {", "labels = labels[1:]\n            line = {")
    assert spoilt != source.read_text()
    source.write_text(spoilt)
    with pytest.raises(AssertionError, match=r"export\.lossy"):
        toy.run(*"-m perception.cli export runs/toy --to toy --out again".split())


@pytest.mark.slow
@page("signal")
def test_a_signal_arrives_in_the_labels_in_trust_and_in_the_words_for_people(
    toy: Copy, draw: Callable[..., Path]
) -> None:
    draw(toy.place / "ROOT" / "a.png", CAR)
    toy.commands()
    assert toy.ask(
        "from pathlib import Path\nimport pyarrow.parquet as pq\n"
        "(path,) = Path('runs/toy/labels').rglob('*.parquet')\n"
        "said = [v for v in pq.read_table(path)['bottoms'].to_pylist() if v is not None]"
    ) == [pytest.approx(34 / 48)]
    assert toy.ask(
        "from pathlib import Path\nfrom perception.runs import folder\n"
        "from perception.labeling.trust.features import FEATURES, features_of\n"
        "(sample,) = folder.usable_labels(Path('runs/toy'))\n"
        "found = features_of(sample.pictures[0].instances)\n"
        "said = found[:, list(FEATURES).index('bottom')].tolist()"
    ) == [pytest.approx(34 / 48)]
    shown = "".join(
        path.read_text(encoding="utf-8")
        for path in (toy.place / "page").rglob("*")
        if path.suffix in {".html", ".js", ".json"}
    )
    assert "lowest row, as a share of the height 0.71" in shown


@pytest.mark.slow
@page("benchmark")
def test_a_benchmark_is_a_verb(toy: Copy, pictures: Callable[..., Path]) -> None:
    pictures(toy.place / "ROOT", 3)
    _, said = toy.commands()
    assert json.loads(said) == {"labels": 3, "accepted": 3}
    assert "perception bench toy" in toy.run("-m", "perception.cli", "bench", "toy", "--help")


def test_a_page_whose_words_are_no_longer_those_of_the_file_is_found_out() -> None:
    assert replaced("a\nb\nc\n", " a\n+x\n\n@@\n-c\n+d\n".replace("\n\n", "\n b\n"), "f") == (
        "a\nx\nb\nd\n"
    )
    with pytest.raises(AssertionError, match="there 0 times"):
        replaced("a\nb\n", " a\n+x\n c\n", "f")
    with pytest.raises(AssertionError, match="there 2 times"):
        replaced("a\na\n", " a\n+x\n", "f")
