"""The pages: they build without a warning, ask no other host, and say all that the code has."""

import importlib
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from perception.core.config import Config, LiftConfig
from perception.core.reasons import REASONS

pytest.importorskip("mkdocs")
ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, python_path) -> Path:
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": python_path(), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


class Asked(HTMLParser):
    """What a page asks for while it opens."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"link", "script", "img", "iframe", "source", "video", "object"}:
            self.addresses += [value or "" for key, value in attrs if key in {"href", "src"}]


def elsewhere(text: str) -> list[str]:
    page = Asked()
    page.feed(text)
    return [address for address in page.addresses if re.match(r"(https?:)?//", address)]


def test_what_a_page_asks_of_another_host_is_found() -> None:
    assert elsewhere(
        '<img src="a.png"><script src="//a/b.js"></script><link href="https://a/b.css">'
    ) == [
        "//a/b.js",
        "https://a/b.css",
    ]


def test_no_page_asks_anything_of_another_host(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 10
    found = {path.name: elsewhere(path.read_text()) for path in pages}
    assert {name: asked for name, asked in found.items() if asked} == {}
    styles = [path.read_text() for path in site.rglob("*.css")]
    assert styles and not any(re.search(r"(url\(|@import)\s*['\"]?https?:", s) for s in styles)


def test_the_reference_has_every_verb_setting_and_reason(site: Path) -> None:
    from perception.cli import app

    shown = {path.stem: path.read_text() for path in (site / "reference").glob("*.html")}
    for verb in app:
        assert verb.startswith("-") or f"perception {verb}" in shown["cli"], verb
    for name in [*Config.model_fields, *LiftConfig.model_fields]:
        if name in {"observe", "decide"}:  # whose settings stand in tables of their own
            continue
        assert f"<code>{name}</code>" in shown["settings"], name
    for code in REASONS:
        assert f"<code>{code}</code>" in shown["reasons"], code


def generated() -> object:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return importlib.import_module("generate")
    finally:
        sys.path.remove(str(ROOT / "docs"))


def test_the_reference_has_every_error_code_that_a_docstring_promises() -> None:
    page = generated().errors()
    text = "".join(
        path.read_text()
        for folder in ("perception", "integrations")
        for path in (ROOT / folder).rglob("*.py")
    )
    promised = set()
    for said in re.findall(r"Raises:\n(.*?)(?:\n\n|\"\"\")", text, re.DOTALL):
        promised |= set(re.findall(r"`([a-z_]+\.[a-z_]+)`", said))
    codes = {code for code in promised if f'"{code}"' in text and not code.endswith(".json")}
    assert len(codes) > 50
    assert codes - set(re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)) == set()
    assert "| `calib.invalid` |" in page and "| `disk.full` |" in page


def test_every_passed_on_code_stands_in_the_sources() -> None:
    module = generated()
    said = {fault.code for fault in module.faults()}
    assert set(module.SAID) - said <= {"environment.broken"}  # in a message of the command
